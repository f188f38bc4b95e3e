//! The letter of an option, A to D.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::Found;
use super::plain::{Pattern, lines, skip, skip_closers, skip_openers};

/// Words that may stand before the letter in a box or on a line of its own.
static NAMED: Pattern = LazyLock::new(|| Regex::new(r"(?i)^\s*(?:(?:the|final|correct|answer|option|choice|letter|is)\b[\s:*_]*)+").ok());
/// After a letter: another one, so that neither is the answer.
static ANOTHER: Pattern = LazyLock::new(|| {
    Regex::new(r"^\s*(?:(?:,\s*)?(?i:or|and)\b|[,/&])\s*(?i:option\s+|choice\s+)?(?:[(\[{*$（]+\s*([A-Da-d])\b|([A-D])\b(?:[^\w\s]|\s*$))").ok()
});
/// After a bare A that is no article: a word that goes on with the sentence.
static GOES_ON: Pattern = LazyLock::new(|| Regex::new(r"^\s+(?:because|since|as|for|which|with|is|was|due|given|but|when|based|according)\b").ok());
/// `(X)`, or a letter that is named an option.
static MENTIONED: Pattern = LazyLock::new(|| Regex::new(r"[(（]\s*([A-DＡ-Ｄ])\s*[)）]|\b(?i:option|choice)\s+[*_$(（]*([A-DＡ-Ｄ])\b").ok());
/// `(X)`, or a letter that is named an option, where words say that it is the one.
static CONCLUDED: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:[(（]\s*([A-D])\s*[)）]|\b(?i:option|choice)\s+[*_$(（]*([A-D])\b)[*_$)）]*\s+(?:is|must\s+be|would\s+be)\s+(?:therefore\s+|thus\s+|clearly\s+)?",
        r"(?:the\s+)?(?:only\s+)?(?:correct|right|answer|best)\b",
        r"|(?i:\b(?:i(?:'ll|\s+will|\s+would|'d)?\s+(?:choose|select|pick|go\s+with)))\s+(?:option\s+|choice\s+)?[*_$]*[(（]\s*([A-D])\s*[)）]",
        r"|(?i:\b(?:therefore|thus|hence|so|in\s+conclusion)\b),?\s+(?:(?i:it\s+is|it's|it\s+must\s+be|we\s+have|choose)\s+)?(?i:option\s+|choice\s+)?[*_$]*[(（]\s*([A-D])\s*[)）]"
    ))
    .ok()
});

/// The letter that an answer of a dataset is: `(B)`, `B`, `b)`.
pub fn letter(text: &str) -> Option<String> {
    in_box(text, 0..text.len()).map(|found| found.value)
}

/// The letter that a box, or a line of its own, holds, alone or before the words of its option.
pub(super) fn in_box(text: &str, range: Range<usize>) -> Option<Found> {
    let inside = text.get(..range.end)?;
    let (at, _) = skip_openers(inside, range.start, range.end);
    let at = skip(&NAMED, inside, at);
    let (at, _) = skip_openers(inside, at, range.end);
    let (found, after) = one(text, at, range.end)?;
    let rest = text.get(after..range.end)?;
    if is_among_others(rest) {
        return None;
    }
    // "B", "B.", "B. 2am to 3am", "(B) 2am to 3am", but not "A longer one" nor "BC".
    let bracketed = after > found.range.end;
    let spaced = rest.starts_with(char::is_whitespace) || rest.starts_with("\\ ") || rest.starts_with('~');
    let ended = rest.trim().is_empty() || rest.trim_start().starts_with(['.', ':', ',', ';', ')', '-', '–', '—', '=']);
    (ended || (spaced && (bracketed || found.value != "A"))).then_some(found)
}

/// The letter that stands after an announcement.
pub(super) fn announced(text: &str, at: usize, end: usize) -> Option<Found> {
    let (start, wrapped) = skip_openers(text, at, end);
    let (found, after) = one(text, start, end)?;
    let rest = text.get(after..end)?;
    if is_among_others(rest) {
        return None;
    }
    let bare = !wrapped && after == found.range.end;
    let lower = text[found.range.clone()].chars().all(char::is_lowercase);
    let ended = rest.is_empty() || rest.starts_with(['.', ',', ';', ':', '!', '?', '\n', '\r', '—', '<']) || rest.trim().is_empty();
    let goes_on = GOES_ON.as_ref().is_some_and(|regex| regex.is_match(rest));
    // A bare "a" is an article, and so is a bare "A" before another word.
    let article = bare && !ended && (lower || (found.value == "A" && !goes_on));
    (!article).then_some(found)
}

/// The last letter of which words say that it is the one.
pub(super) fn concluded(text: &str, range: Range<usize>) -> Option<Found> {
    let part = text.get(range.clone())?;
    let captures = CONCLUDED.as_ref()?.captures_iter(part).last()?;
    let group = captures.iter().skip(1).flatten().next()?;
    let rest = &part[captures.get(0)?.end()..];
    if is_among_others(rest) {
        return None;
    }
    Some(Found {
        range: range.start + group.start()..range.start + group.end(),
        value: capital(group.as_str())?,
    })
}

/// A letter that is a line of its own at the end, or the only one that is mentioned. Where thoughts were not closed, only a letter that
/// is the whole output.
pub(super) fn alone(text: &str, range: Range<usize>, closed: bool) -> Option<Found> {
    let lines = lines(text, range.clone());
    let last = lines.last()?;
    if closed || lines.len() == 1 {
        let line = in_box(text, last.clone()).filter(|found| {
            // "(B)", "B.", "**Option B**", "(B) 2am to 3am": the line begins with its letter.
            let rest = text.get(found.range.end..last.end).unwrap_or_default();
            rest.chars().count() <= 60 && !rest.contains(['(', '（'])
        });
        if line.is_some() {
            return line;
        }
    }
    if !closed {
        return None;
    }
    let part = text.get(range.clone())?;
    let mentioned: Vec<Found> = MENTIONED
        .as_ref()?
        .captures_iter(part)
        .filter_map(|captures| captures.iter().skip(1).flatten().next())
        .filter_map(|group| {
            Some(Found {
                range: range.start + group.start()..range.start + group.end(),
                value: capital(group.as_str())?,
            })
        })
        .collect();
    let last = mentioned.last()?;
    mentioned.iter().all(|found| found.value == last.value).then(|| last.clone())
}

/// The letter at a place, which no other letter or digit follows, and where its brackets end.
fn one(text: &str, at: usize, end: usize) -> Option<(Found, usize)> {
    let rest = text.get(at..end)?;
    let first = rest.chars().next()?;
    let value = capital(rest.get(..first.len_utf8())?)?;
    let after = at + first.len_utf8();
    if rest[first.len_utf8()..].starts_with(|next: char| next.is_alphanumeric() || next == '_') {
        return None;
    }
    // An apostrophe and a letter: "A's", "d'accord".
    let mut following = rest[first.len_utf8()..].chars();
    if matches!(following.next(), Some('\'' | '’')) && following.next().is_some_and(char::is_alphabetic) {
        return None;
    }
    let range = at..after;
    Some((Found { range, value }, skip_closers(text, after, end)))
}

fn is_among_others(rest: &str) -> bool {
    ANOTHER.as_ref().is_some_and(|regex| regex.is_match(rest))
}

/// A letter A to D as a capital, wide ones too.
fn capital(letter: &str) -> Option<String> {
    let character = letter.chars().next()?;
    let plain = match character {
        'Ａ'..='Ｄ' => char::from_u32(u32::from(character) - u32::from('Ａ') + u32::from('A'))?,
        'ａ'..='ｄ' => char::from_u32(u32::from(character) - u32::from('ａ') + u32::from('A'))?,
        other => other.to_ascii_uppercase(),
    };
    ('A'..='D').contains(&plain).then(|| plain.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Reading, Source, read_letter};
    use super::*;

    fn read(text: &str) -> Option<String> {
        let tail = text.rfind("</think>").map_or(0, |at| at + 8);
        let closed = tail > 0;
        read_letter(Source { text, tail, closed }).answer().map(|found| {
            assert_eq!(capital(&text[found.range]).unwrap(), found.value, "the place is that of the letter");
            found.value
        })
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&NAMED, &ANOTHER, &GOES_ON, &MENTIONED, &CONCLUDED] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn letters_of_datasets() {
        for text in ["(B)", "B", "b", "B)", " (b) ", "（Ｂ）", "B. 2am to 3am"] {
            assert_eq!(letter(text).as_deref(), Some("B"), "{text}");
        }
        for text in ["", "(E)", "2", "Both", "(A) or (B)", "yes"] {
            assert_eq!(letter(text), None, "{text}");
        }
    }

    #[test]
    fn boxes_and_announcements() {
        for text in [
            r"\boxed{B}",
            r"$\boxed{\text{(B) 2am to 3am}}$",
            r"\boxed{\textbf{(B)}\ 2am}",
            r"\boxed {\mathrm{B}}. A check: done.",
            r"\fbox{b}",
            r"(A) \boxed{Option B} (D)",
            r"\boxed{(A)} no, \boxed{(B)}",
            "The answer is (B).",
            "Answer: B\n\nA is ruled out.",
            "The answer is (B), since the answer (A) would need more.",
            "The answer is b.",
            "The ANSWER is: \n\n**(B)** 2am. D is later.",
            r"The answer is \(\text{B}\). A check passes.",
            "The answer is B because A is closed.",
            "The answer isn't (A). The answer is (B), not (C).",
            "The answer is not (A). (B) is the correct answer.",
            "the answer is （Ｂ）",
            "Final answer\n\n(B)",
            "(A), (C) and (D) overlap. Therefore, (B).",
        ] {
            assert_eq!(read(&format!("hm (C)</think>{text}")).as_deref(), Some("B"), "{text}");
        }
        assert_eq!(read("x</think>The answer is A.").as_deref(), Some("A"));
        assert_eq!(read("x</think>The answer is A because B is closed.").as_deref(), Some("A"));
        assert_eq!(read("x</think>The answer is **A** overall").as_deref(), Some("A"));
    }

    #[test]
    fn what_cannot_be_read_is_replaced_by_nothing() {
        for text in [
            r"\boxed{2am to 3am}, so (B)",
            r"\boxed{E} (B)",
            r"\boxed{(A), (B)}",
            r"(B) \boxed{B",
            "The answer is 2am to 3am. (B) is open.",
            "The answer is a longer window (B).",
            "Answer: A longer window was free (B).",
            "The answer is (A) or (B).",
            "The answer is A/B.",
            "The answer is",
            "The answer is unclear. (C)",
        ] {
            assert_eq!(read(&format!("hm</think>{text}")), None, "{text}");
        }
    }

    #[test]
    fn unannounced_letters_count_only_alone() {
        assert_eq!(read("x</think>She was free then.\n\n(B)").as_deref(), Some("B"));
        assert_eq!(read("x</think>She was free then.\n\n**B. 2am to 3am**").as_deref(), Some("B"));
        assert_eq!(read("x</think>Free from 2am, which is (B).").as_deref(), Some("B"));
        assert_eq!(read("x</think>(A) and (B) both fit."), None);
        assert_eq!(read("x</think>A person could go at 2am."), None);
        // Cut off within its thoughts.
        assert_eq!(read("I think (A). Hmm, A person could"), None);
        assert_eq!(read("(B)").as_deref(), Some("B"));
        assert_eq!(read("So the answer is (B).").as_deref(), Some("B"));
        assert_eq!(
            read_letter(Source {
                text: "",
                tail: 0,
                closed: false
            }),
            Reading::Nothing
        );
    }
}
