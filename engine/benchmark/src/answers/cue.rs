//! Words that announce an answer: "the final answer is …", "**Answer:** …", a heading that says "Answer".

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::plain::{Pattern, skip};
use super::{Found, Reading};

/// "answer", "correct option" and the like, up to the word or sign after which the answer stands.
static ANNOUNCED: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\b(?:answers?|(?:correct|right|best|final)\s+(?:option|choice|letter|result|value|solution))\b",
        r#"[*_\s`"'”’)\]}]*"#,
        r"(?:(?:to|for|of|in)\s[^.:=\n]{0,60}?)?(?:,[^.,:=\n]{0,30},\s*)?",
        r"(?:\b(?:is|are|becomes|equals|remains|(?:would|will|should|must|could|can\s+only|has\s+to|have\s+to)\s+be)\b|[:：=]|->|→|⇒|\\to\b|[-—–]\s)"
    ))
    .ok()
});
/// A line of its own that only says "Answer".
static HEADED: Pattern = LazyLock::new(|| Regex::new(r"(?im)^[#*_>\s]*(?:the\s+)?(?:final\s+|correct\s+|my\s+)*(?:answer|solution)[*_\s]*\r?\n").ok());
/// Words between the announcement and the answer.
static FILLER: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)^(?:\n\s*[-•]\s|[\s*_:：,>#=]|",
        r"\b(?:therefore|thus|hence|so|then|indeed|clearly|simply|just|definitely|obviously|certainly|actually|now|again|also|given\s+by|",
        r"equal\s+to|as\s+follows|the\s+following|option|choice|letter|number|integer|value|the|that|which\s+is|is)\b)+"
    ))
    .ok()
});
/// What turns an announcement into its opposite.
static DENIED: Pattern = LazyLock::new(|| Regex::new(r"(?i)^(?:not|never|neither|no\s+longer|wrong|incorrect)\b").ok());

/// What `read` makes of the last announcement: `read` is given the text, the place after the announcement and the end of the range.
/// An announcement that denies, such as "the answer is not", is none. An answer that is not there cannot be read.
pub(super) fn last(text: &str, range: Range<usize>, read: impl Fn(&str, usize, usize) -> Option<Found>) -> Reading {
    match places(text, range.clone()).into_iter().next_back() {
        None => Reading::Nothing,
        // A text that was cut off right after its announcement.
        Some(at) => Reading::announced(read(text, at, range.end)),
    }
}

/// Where the announcements of a range end, in order.
pub(super) fn places(text: &str, range: Range<usize>) -> Vec<usize> {
    let part = text.get(range.clone()).unwrap_or_default();
    let ends = |pattern: &Pattern| -> Vec<usize> {
        let regex = pattern.as_ref();
        regex
            .into_iter()
            .flat_map(|regex| regex.find_iter(part))
            .map(|found| range.start + found.end())
            .collect()
    };
    let mut found: Vec<usize> = ends(&ANNOUNCED)
        .into_iter()
        .chain(ends(&HEADED))
        .map(|at| skip(&FILLER, text.get(..range.end).unwrap_or(text), at))
        .filter(|at| !DENIED.as_ref().is_some_and(|regex| regex.is_match(&text[*at..range.end])))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&ANNOUNCED, &HEADED, &FILLER, &DENIED] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn what_announces_and_what_does_not() {
        let after = |text: &'static str| -> Vec<&str> { places(text, 0..text.len()).into_iter().map(|at| &text[at..]).collect() };
        for text in [
            "The answer is X",
            "the final ANSWER: X",
            "**Answer:** X",
            "## Answer\n\nX",
            "The answer to the question is therefore X",
            "The correct option would be option X",
            "So the answer, then, is X",
            "Answer = X",
            "The Answer Is: **X",
        ] {
            assert_eq!(after(text), ["X"], "{text}");
        }
        for text in ["since the answer (A) would", "the answer is not X", "it is answered: X", "The answer isn't X"] {
            assert!(after(text).iter().all(|rest| !rest.starts_with('X')), "{text}");
        }
    }
}
