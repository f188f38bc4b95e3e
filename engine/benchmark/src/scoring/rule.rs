//! The rules by name, and what each says of one output.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::extract::{
    ANSWER_IS, ANY_LETTER, BOLD, BOLD_TRUTH, BRACKETED_LETTER, INTEGER, LETTER, TRUTH, boxes, closes_its_thoughts, last_line, stripped, tail,
};
use super::words::{exact_match, f1, f1_of, normalised};
use crate::answers::{self, Found, Source};
use crate::datasets::{Benchmark, Question};

/// A way to read an answer out of an output and to compare it. Each has a name and a version; a change of what a rule says
/// is a new version. The first versions are those of the published scores and stay; the later ones read strictly ([`answers`]): what
/// announces an answer and cannot be read is unparsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// AIME: the last box that is an integer, else the last integer.
    AimeLastBoxed,
    /// AIME: the same, in the tail.
    AimeLastBoxedOfTail,
    /// AIME: the first box, else the last integer.
    AimeFirstBoxed,
    /// FOLIO: the first of true, false, uncertain in the tail.
    FolioFirstOfTail,
    /// FOLIO: the last of them in the tail.
    FolioLastOfTail,
    /// FOLIO: the last of them anywhere.
    FolioLast,
    /// FOLIO, in the tail: boxed, else bold, else the last.
    FolioBoxedBoldLast,
    /// Temporal, in the tail: the letter in the last box, else the last "answer is X", else the last `(X)` or lone capital.
    TemporalCascade,
    /// Temporal, in the tail: the last `(X)` or lone capital A to D.
    TemporalLastLetter,
    /// Temporal, in the tail: the last `(X)`.
    TemporalLastBracketed,
    /// Temporal, in the tail: the last "answer is X".
    TemporalAnswerIs,
    /// Temporal: the last `(X)` after thoughts that were closed; nothing where they were not.
    TemporalClosedThoughts,
    /// Temporal: the last `(X)` anywhere.
    TemporalLastAnywhere,
    /// MuSiQue: the last line of the tail.
    MusiqueLastLine,
    /// MuSiQue: the last bold span of the tail, else the whole tail.
    MusiqueLastBold,
    /// MuSiQue: the whole tail.
    MusiqueTail,
    /// MuSiQue: the whole output.
    MusiqueOutput,
    /// AIME, strictly: the last box of the tail, else the number that is announced there, else one that stands alone.
    AimeStrict,
    /// FOLIO, strictly: boxed, else announced, else said of the conclusion, else in bold or alone.
    FolioStrict,
    /// Temporal, strictly: the letter in the last box, else announced, else alone.
    TemporalStrict,
    /// MuSiQue, strictly: boxed, else announced, else the last line with words.
    MusiqueStrict,
}

/// The answer that a rule read out of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// The answer as it stands in the output.
    pub text: String,
    /// Its first character in the output, from 0.
    pub start: usize,
    /// One past its last character.
    pub end: usize,
}

/// What a rule says of one output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The answer, or nothing where the rule found none: such an output scores 0 and is counted as unparsed.
    pub extracted: Option<Extracted>,
    /// Whether the answer is right; for MuSiQue, the exact match.
    pub correct: bool,
    /// For MuSiQue, the F1 of the answer, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
}

impl Extracted {
    /// What stands at a range of bytes.
    fn at(output: &str, range: Range<usize>) -> Self {
        let text = output.get(range.clone()).unwrap_or_default();
        let start = output.get(..range.start).unwrap_or_default().chars().count();
        Self {
            text: text.to_owned(),
            start,
            end: start + text.chars().count(),
        }
    }
}

impl Rule {
    /// Every rule, by benchmark; the strict ones last.
    pub const ALL: [Self; 21] = [
        Self::AimeLastBoxed,
        Self::AimeLastBoxedOfTail,
        Self::AimeFirstBoxed,
        Self::FolioFirstOfTail,
        Self::FolioLastOfTail,
        Self::FolioLast,
        Self::FolioBoxedBoldLast,
        Self::TemporalCascade,
        Self::TemporalLastLetter,
        Self::TemporalLastBracketed,
        Self::TemporalAnswerIs,
        Self::TemporalClosedThoughts,
        Self::TemporalLastAnywhere,
        Self::MusiqueLastLine,
        Self::MusiqueLastBold,
        Self::MusiqueTail,
        Self::MusiqueOutput,
        Self::AimeStrict,
        Self::FolioStrict,
        Self::TemporalStrict,
        Self::MusiqueStrict,
    ];

    /// Name, version, benchmark and description of each.
    const fn entry(self) -> (&'static str, u32, Benchmark, &'static str) {
        use Benchmark::{Aime, Folio, Musique, Temporal};
        match self {
            Self::AimeLastBoxed => ("aime-last-boxed", 1, Aime, "last box that is an integer, else last integer"),
            Self::AimeLastBoxedOfTail => ("aime-last-boxed-of-tail", 1, Aime, "tail: last box that is an integer, else last integer"),
            Self::AimeFirstBoxed => ("aime-first-boxed", 1, Aime, "first box that is an integer, else last integer"),
            Self::FolioFirstOfTail => ("folio-first-of-tail", 1, Folio, "tail: first of true, false, uncertain"),
            Self::FolioLastOfTail => ("folio-last-of-tail", 1, Folio, "tail: last of true, false, uncertain"),
            Self::FolioLast => ("folio-last", 1, Folio, "last of true, false, uncertain"),
            Self::FolioBoxedBoldLast => ("folio-boxed-bold-last", 1, Folio, "tail: boxed, else bold, else last"),
            Self::TemporalCascade => (
                "temporal-cascade",
                1,
                Temporal,
                "tail: boxed letter, else \"answer is X\", else last (X) or lone capital",
            ),
            Self::TemporalLastLetter => ("temporal-last-letter", 1, Temporal, "tail: last (X) or lone capital A-D"),
            Self::TemporalLastBracketed => ("temporal-last-bracketed", 1, Temporal, "tail: last (X)"),
            Self::TemporalAnswerIs => ("temporal-answer-is", 1, Temporal, "tail: last \"answer is X\""),
            Self::TemporalClosedThoughts => ("temporal-closed-thoughts", 1, Temporal, "last (X) after a closed </think> only"),
            Self::TemporalLastAnywhere => ("temporal-last-anywhere", 1, Temporal, "last (X) anywhere"),
            Self::MusiqueLastLine => ("musique-last-line", 1, Musique, "last non-empty line of the tail"),
            Self::MusiqueLastBold => ("musique-last-bold", 1, Musique, "last bold span of the tail, else the tail"),
            Self::MusiqueTail => ("musique-tail", 1, Musique, "whole tail"),
            Self::MusiqueOutput => ("musique-output", 1, Musique, "whole output"),
            Self::AimeStrict => (
                "aime-last-boxed",
                2,
                Aime,
                "tail, strictly: last box, else \"answer is N\", else N alone; else last box of the thoughts",
            ),
            Self::FolioStrict => (
                "folio-last-of-tail",
                2,
                Folio,
                "tail, strictly: boxed, else \"answer is X\", else last said of the conclusion, else bold, else alone",
            ),
            Self::TemporalStrict => (
                "temporal-cascade",
                2,
                Temporal,
                "tail, strictly: boxed letter, else \"answer is X\", else X alone",
            ),
            Self::MusiqueStrict => (
                "musique-last-line",
                2,
                Musique,
                "tail, strictly: boxed, else \"answer is …\", else last line with words; accents and dashes alike",
            ),
        }
    }

    /// The name in options and files, such as `temporal-cascade`.
    pub const fn name(self) -> &'static str {
        self.entry().0
    }

    /// The version of what it says.
    pub const fn version(self) -> u32 {
        self.entry().1
    }

    /// The benchmark whose outputs it reads.
    pub const fn benchmark(self) -> Benchmark {
        self.entry().2
    }

    /// What it looks for, in a few words.
    pub const fn about(self) -> &'static str {
        self.entry().3
    }

    /// All rules of a benchmark.
    pub fn of(benchmark: Benchmark) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |rule| rule.benchmark() == benchmark)
    }

    /// The rule that is used where none is named.
    pub const fn default_of(benchmark: Benchmark) -> Self {
        match benchmark {
            Benchmark::Aime => Self::AimeStrict,
            Benchmark::Folio => Self::FolioStrict,
            Benchmark::Temporal => Self::TemporalStrict,
            Benchmark::Musique => Self::MusiqueStrict,
        }
    }

    /// The rules that are shown where none is named: the default, and for MuSiQue the last bold span beside it.
    pub fn shown_of(benchmark: Benchmark) -> Vec<Self> {
        match benchmark {
            Benchmark::Musique => vec![Self::MusiqueStrict, Self::MusiqueLastBold],
            _ => vec![Self::default_of(benchmark)],
        }
    }

    /// Reads the answer out of an output and compares it with the question's. `aliases` says whether the other accepted
    /// answers count (MuSiQue).
    pub fn judge(self, question: &Question, output: &str, aliases: bool) -> Verdict {
        if self.is_strict() {
            return self.judge_strictly(question, output, aliases);
        }
        let found = self.find(output);
        let text = found.clone().and_then(|range| output.get(range)).unwrap_or_default();
        let (correct, f1) = match self.benchmark() {
            Benchmark::Aime => (found.is_some() && integer(text) == integer(&question.answer), None),
            Benchmark::Folio => (text.eq_ignore_ascii_case(question.answer.trim()), None),
            Benchmark::Temporal => (found.is_some() && text == question.answer.trim().trim_matches(['(', ')']), None),
            Benchmark::Musique => {
                let others = question.aliases.iter().filter(|_| aliases);
                let expected: Vec<&String> = std::iter::once(&question.answer).chain(others).collect();
                let correct = found.is_some() && expected.iter().any(|expected| exact_match(text, expected));
                let best = expected.iter().map(|expected| f1(text, expected)).fold(0.0, f64::max);
                (correct, Some(if found.is_some() { best } else { 0.0 }))
            }
        };
        let extracted = found.map(|range| Extracted::at(output, range));
        Verdict { extracted, correct, f1 }
    }

    /// Whether it reads strictly.
    pub const fn is_strict(self) -> bool {
        matches!(self, Self::AimeStrict | Self::FolioStrict | Self::TemporalStrict | Self::MusiqueStrict)
    }

    fn judge_strictly(self, question: &Question, output: &str, aliases: bool) -> Verdict {
        let source = Source {
            text: output,
            tail: tail(output).start,
            closed: closes_its_thoughts(output),
        };
        let reading = match self.benchmark() {
            Benchmark::Aime => answers::read_number(source),
            Benchmark::Folio => answers::read_truth(source),
            Benchmark::Temporal => answers::read_letter(source),
            Benchmark::Musique => answers::read_words(source),
        };
        let is_musique = self.benchmark() == Benchmark::Musique;
        let Some(Found { range, value }) = reading.answer() else {
            return Verdict {
                extracted: None,
                correct: false,
                f1: is_musique.then_some(0.0),
            };
        };
        let accepted: Vec<String> = std::iter::once(&question.answer)
            .chain(question.aliases.iter().filter(|_| aliases))
            .filter_map(|answer| self.strict_value(answer))
            .collect();
        let tokens = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let best = accepted.iter().map(|expected| f1_of(&tokens(&value), &tokens(expected))).fold(0.0, f64::max);
        Verdict {
            correct: accepted.contains(&value),
            extracted: Some(Extracted::at(output, range)),
            f1: is_musique.then_some(best),
        }
    }

    /// The value of an answer in the one form in which answers are compared strictly.
    fn strict_value(self, text: &str) -> Option<String> {
        match self.benchmark() {
            Benchmark::Aime => answers::number(text),
            Benchmark::Folio => answers::truth(text),
            Benchmark::Temporal => answers::letter(text),
            Benchmark::Musique => Some(answers::words(text).join(" ")).filter(|words| !words.is_empty()),
        }
    }

    /// An extracted answer as answers are counted in a vote.
    pub(crate) fn canonical(self, text: &str) -> String {
        if self.is_strict() {
            return self.strict_value(text).unwrap_or_else(|| text.to_owned());
        }
        match self.benchmark() {
            Benchmark::Aime => integer(text).unwrap_or_else(|| text.to_owned()),
            Benchmark::Musique => normalised(text).join(" "),
            Benchmark::Folio | Benchmark::Temporal => text.to_lowercase(),
        }
    }

    /// Where the answer stands, in bytes.
    fn find(self, output: &str) -> Option<Range<usize>> {
        let whole = 0..output.len();
        let tail = tail(output);
        match self {
            Self::AimeLastBoxed => last_box_or_integer(output, whole),
            Self::AimeLastBoxedOfTail => last_box_or_integer(output, tail),
            Self::AimeFirstBoxed => {
                let first = boxes(output, whole.clone()).into_iter().find_map(|range| only_integer(output, range));
                first.or_else(|| INTEGER.last(output, whole))
            }
            Self::FolioFirstOfTail => TRUTH.first(output, tail),
            Self::FolioLastOfTail => TRUTH.last(output, tail),
            Self::FolioLast => TRUTH.last(output, whole),
            Self::FolioBoxedBoldLast => {
                let boxed = boxes(output, tail.clone()).into_iter().rev().find_map(|range| TRUTH.last(output, range));
                boxed.or_else(|| BOLD_TRUTH.last(output, tail.clone())).or_else(|| TRUTH.last(output, tail))
            }
            Self::TemporalCascade => {
                let boxed = boxes(output, tail.clone()).into_iter().rev().find_map(|range| LETTER.last(output, range));
                boxed.or_else(|| ANSWER_IS.last(output, tail.clone())).or_else(|| ANY_LETTER.last(output, tail))
            }
            Self::TemporalLastLetter => ANY_LETTER.last(output, tail),
            Self::TemporalLastBracketed => BRACKETED_LETTER.last(output, tail),
            Self::TemporalAnswerIs => ANSWER_IS.last(output, tail),
            Self::TemporalClosedThoughts => BRACKETED_LETTER.last(output, tail).filter(|_| closes_its_thoughts(output)),
            Self::TemporalLastAnywhere => BRACKETED_LETTER.last(output, whole),
            Self::MusiqueLastLine => last_line(output, tail),
            Self::MusiqueLastBold => BOLD.last(output, tail.clone()).or_else(|| stripped(output, tail)),
            Self::MusiqueTail => stripped(output, tail),
            Self::MusiqueOutput => stripped(output, whole),
            Self::AimeStrict | Self::FolioStrict | Self::TemporalStrict | Self::MusiqueStrict => None,
        }
    }
}

/// The last box that is an integer, else the last integer.
fn last_box_or_integer(output: &str, range: Range<usize>) -> Option<Range<usize>> {
    let boxed = boxes(output, range.clone()).into_iter().rev().find_map(|inside| only_integer(output, inside));
    boxed.or_else(|| INTEGER.last(output, range))
}

/// The range itself if it holds one integer and no other digits, thousands separated by commas or not.
fn only_integer(output: &str, range: Range<usize>) -> Option<Range<usize>> {
    integer(output.get(range.clone())?).map(|_| range)
}

/// The one integer in a text, without leading zeros; commas between digits are passed over.
fn integer(text: &str) -> Option<String> {
    let plain = text.replace(',', "");
    match INTEGER.all(&plain, 0..plain.len()).as_slice() {
        [only] => {
            let digits = plain[only.clone()].trim_start_matches('0');
            Some(if digits.is_empty() { "0" } else { digits }.to_owned())
        }
        _ => None,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name(), self.version())
    }
}

impl FromStr for Rule {
    type Err = String;

    /// The rule of a name: the version after an `@`, or the newest.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
        let mut versions: Vec<Self> = Self::ALL.into_iter().filter(|rule| rule.name() == name).collect();
        versions.sort_by_key(|rule| rule.version());
        let Some(newest) = versions.last().copied() else {
            let mut known: Vec<&str> = Self::ALL.iter().map(|rule| rule.name()).collect();
            known.sort_unstable();
            known.dedup();
            return Err(format!("\"{text}\" is no scoring rule; known are {}", known.join(", ")));
        };
        match version {
            None => Ok(newest),
            Some(version) => versions.iter().find(|rule| rule.version().to_string() == version).copied().ok_or_else(|| {
                let known: Vec<String> = versions.iter().map(ToString::to_string).collect();
                format!("\"{text}\" is no version that this program knows; known are {}", known.join(", "))
            }),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(benchmark: Benchmark, answer: &str) -> Question {
        Question {
            answer: answer.into(),
            ..Question::bare(benchmark, 0)
        }
    }

    fn judge(rule: Rule, answer: &str, output: &str) -> Verdict {
        rule.judge(&question(rule.benchmark(), answer), output, true)
    }

    #[test]
    fn names_and_versions_read_back() {
        for rule in Rule::ALL {
            let newest = Rule::ALL
                .into_iter()
                .filter(|other| other.name() == rule.name())
                .max_by_key(|other| other.version());
            assert_eq!(rule.name().parse().ok(), newest);
            assert_eq!(rule.to_string().parse(), Ok(rule));
            let alike = Rule::ALL
                .into_iter()
                .filter(|other| (other.name(), other.version()) == (rule.name(), rule.version()));
            assert_eq!(alike.count(), 1);
        }
        assert!("aime-last-boxed@9".parse::<Rule>().unwrap_err().contains("@1"));
        assert!("nonsense".parse::<Rule>().is_err());
    }

    #[test]
    fn integers() {
        let verdict = judge(Rule::AimeLastBoxed, "33", r"So é \boxed{\text{033}} or \boxed{x}. In 2024.");
        assert!(verdict.correct);
        let extracted = verdict.extracted.unwrap();
        assert_eq!((extracted.text.as_str(), extracted.start, extracted.end), (r"\text{033}", 12, 22));
        assert!(judge(Rule::AimeLastBoxed, "1024", r"\boxed{1,024}").correct);
        assert!(judge(Rule::AimeLastBoxed, "7", "it is 7.").correct);
        assert!(!judge(Rule::AimeLastBoxed, "7", r"\boxed{\frac{7}{2}}").correct);
        let none = judge(Rule::AimeLastBoxed, "7", "no idea");
        assert!(none.extracted.is_none() && !none.correct);
    }

    #[test]
    fn truths_and_letters() {
        assert!(judge(Rule::FolioLastOfTail, "Uncertain", "True.</think> It is false, no: **Uncertain**.").correct);
        assert!(judge(Rule::FolioFirstOfTail, "False", "True.</think> It is FALSE, no: uncertain.").correct);
        assert!(judge(Rule::FolioBoxedBoldLast, "True", "**True** and not false").correct);
        assert!(judge(Rule::TemporalCascade, "(C)", r"(A) \boxed{C} B").correct);
        assert!(judge(Rule::TemporalCascade, "(B)", "The answer is (B). See D").correct);
        assert!(judge(Rule::TemporalClosedThoughts, "(B)", "(B)").extracted.is_none());
        assert!(!judge(Rule::TemporalCascade, "(A)", "a b c").correct);
    }

    #[test]
    fn strict_rules_say_what_a_person_says() {
        for (rule, answer, output, right) in [
            (Rule::AimeStrict, "33", r"x</think> \boxed{33.0}. The run took 2 steps.", true),
            (Rule::AimeStrict, "33", r"x</think> \boxed{-33}", false),
            (Rule::AimeStrict, "1033", r"x</think> \boxed{1{,}033}", true),
            (Rule::TemporalStrict, "(B)", "x</think>**Answer: (B)**\n\nA quick check confirms it.", true),
            (Rule::FolioStrict, "False", "x</think> The conclusion is not true.", true),
            (Rule::MusiqueStrict, "Bogotá", "x</think> The answer is Bogota.", true),
        ] {
            let verdict = judge(rule, answer, output);
            assert_eq!((verdict.correct, verdict.extracted.is_some()), (right, true), "{output}");
        }
        let cut = judge(Rule::TemporalStrict, "(B)", "I think A. Hmm, A person could");
        assert_eq!((cut.correct, cut.extracted), (false, None));
        assert_eq!(Rule::AimeStrict.canonical("33.0"), "33");
        assert_eq!(Rule::TemporalStrict.canonical("b"), "B");
    }

    #[test]
    fn words_take_the_best_of_answer_and_aliases() {
        let question = Question {
            aliases: vec!["The Beatles' firm".into()],
            ..question(Benchmark::Musique, "Apple Corps")
        };
        let output = "hm</think>It was\n**Beatles firm**";
        assert!(Rule::MusiqueLastLine.judge(&question, output, true).correct);
        let alone = Rule::MusiqueLastLine.judge(&question, output, false);
        assert_eq!((alone.correct, alone.f1), (false, Some(0.0)));
        let empty = Rule::MusiqueLastLine.judge(&question, "thoughts</think>\n", true);
        assert_eq!((empty.extracted, empty.f1), (None, Some(0.0)));
    }
}
