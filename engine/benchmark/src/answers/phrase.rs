//! An answer in a few words, and how such answers are compared.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::Found;
use super::cue;
use super::plain::{Pattern, lines, skip_openers};

/// Marks of a chat format, and of a page, that are no part of an answer: `<|im_end|>`, `</s>`, `</answer>`.
static MARKS: Pattern = LazyLock::new(|| Regex::new(r"<[|｜][^<>\n]{0,40}[|｜]>|</?[A-Za-z]{1,12}>").ok());
/// The end of a sentence after a word of some length, so that no initial or abbreviation ends one.
static SENTENCE: Pattern = LazyLock::new(|| Regex::new(r"[\p{L}\p{N}]{4,}[)”’\x22*]*([.!?])\s+\p{Lu}").ok());
/// An answer between its tags.
static TAGGED: Pattern = LazyLock::new(|| Regex::new(r"(?is)<answer>(.*?)(?:</answer>|$)").ok());

/// The words of an answer in one form: lower case, without accents, punctuation, and a, an, the. Answers are the same whose words are.
pub fn words(text: &str) -> Vec<String> {
    let plain: String = text
        .nfkd()
        .filter(|character| !is_combining_mark(*character))
        .flat_map(char::to_lowercase)
        .filter(|character| character.is_alphanumeric() || character.is_whitespace())
        .collect();
    let is_article = |word: &&str| matches!(*word, "a" | "an" | "the");
    // A grade or a blood group may be an A.
    let only_articles = plain.split_whitespace().all(|word| is_article(&word));
    let words = plain.split_whitespace().filter(|word| only_articles || !is_article(word));
    words.map(str::to_owned).collect()
}

/// The words that a box holds.
pub(super) fn in_box(text: &str, range: Range<usize>) -> Option<Found> {
    let (start, _) = skip_openers(text, range.start, range.end);
    filled(text, start..range.end)
}

/// What stands between the tags of an answer, or after the last announcement: the rest of its line, or the next line with words, up to the
/// end of the sentence.
pub(super) fn announced(text: &str, range: Range<usize>) -> Option<Found> {
    let part = text.get(range.clone())?;
    let tagged = TAGGED.as_ref()?.captures_iter(part).last().and_then(|captures| captures.get(1));
    if let Some(tagged) = tagged
        && let Some(found) = filled(text, range.start + tagged.start()..range.start + tagged.end())
    {
        return Some(found);
    }
    let at = *cue::places(text, range.clone()).last()?;
    let line = lines(text, at..range.end).into_iter().next()?;
    // What is in bold right there is the answer, whatever follows.
    let bold = text[..line.start].ends_with("**").then(|| text[line.clone()].find("**")).flatten();
    let end = bold.map_or(line.end, |length| line.start + length);
    let sentence = text.get(line.start..end)?;
    let ended = SENTENCE.as_ref()?.captures(sentence).and_then(|captures| captures.get(1));
    filled(text, line.start..ended.map_or(end, |stop| line.start + stop.start()))
}

/// The last line that holds words.
pub(super) fn last_line(text: &str, range: Range<usize>) -> Option<Found> {
    lines(text, range).into_iter().rev().find_map(|line| filled(text, line))
}

/// A range without the marks at its ends, if any words are left.
fn filled(text: &str, range: Range<usize>) -> Option<Found> {
    let (mut start, mut end) = (range.start, range.end);
    let marks = MARKS.as_ref()?;
    loop {
        let part = text.get(start..end)?;
        let trimmed = part.trim_matches(|character: char| character.is_whitespace() || matches!(character, '*' | '`' | '_' | '#'));
        if trimmed.is_empty() {
            return None;
        }
        start += part.find(trimmed)?;
        end = start + trimmed.len();
        let first = marks.find(trimmed).filter(|mark| mark.start() == 0);
        let last = marks.find_iter(trimmed).last().filter(|mark| mark.end() == trimmed.len());
        match (first, last) {
            (Some(mark), _) => start += mark.end(),
            (None, Some(mark)) => end = start + mark.start(),
            (None, None) => break,
        }
    }
    let value = words(&text[start..end]).join(" ");
    (!value.is_empty()).then_some(Found { range: start..end, value })
}

#[cfg(test)]
mod tests {
    use super::super::{Source, read_words};
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&MARKS, &SENTENCE, &TAGGED] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn words_that_are_the_same() {
        for (one, other) in [
            ("Bogota", "Bogotá"),
            ("e\u{301}cole", "\u{e9}cole"),
            ("the city of O’Hare", "city of O'Hare"),
            ("twenty–two", "twenty-two"),
            ("Jean\u{a0}Paul", "jean paul"),
            ("1,000", "1000"),
            ("“Nairobi”", "Nairobi."),
            ("The U.S.  Senate", "US senate"),
        ] {
            assert_eq!(words(one), words(other), "{one}");
        }
        assert!(words(" … — !").is_empty());
        assert_eq!(words("A."), ["a"]);
    }

    #[test]
    fn outputs() {
        for text in [
            "Nairobi",
            "**Nairobi**",
            "Answer: Nairobi",
            "The answer is Nairobi.",
            "Nairobi\n\n---",
            "Nairobi\n```",
            "\n**Answer:**\nNairobi",
            "Nairobi</answer>",
            r"\boxed{Nairobi}",
            r"\boxed{\text{Nairobi}}. I hope this helps.",
            "“Nairobi”",
            "Nairobi<｜end▁of▁sentence｜>",
            "Nairobi<|im_end|>",
            "<answer>Nairobi</answer>\nThat is all.",
            "The answer is **Nairobi**, the capital of Kenya.",
            "The answer is Nairobi. It is the capital of Kenya.",
            "It was founded in 1899.\n\nFinal answer: Nairobi\n\n***",
        ] {
            let text = format!("x</think>{text}");
            let found = read_words(Source {
                text: &text,
                tail: 9,
                closed: true,
            });
            assert_eq!(found.answer().map(|found| found.value).as_deref(), Some("nairobi"), "{text}");
        }
        let none = read_words(Source {
            text: "x</think>\n---\n",
            tail: 9,
            closed: true,
        });
        assert_eq!(none.answer(), None);
    }
}
