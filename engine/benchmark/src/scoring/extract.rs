//! Finding candidate answers in an output: boxes, bold spans, integers, letters, words, lines.
//!
//! Everything here returns ranges of bytes, so that a verdict can say where its answer stands; which candidate counts is
//! each rule's own business.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// What closes a reasoning model's thoughts.
pub const END_OF_THOUGHT: &str = "</think>";

/// A pattern that stands in this file. It is compiled once; the tests compile every one.
pub(super) struct Pattern(LazyLock<Option<Regex>>);

impl Pattern {
    pub(super) const fn new(compile: fn() -> Option<Regex>) -> Self {
        Self(LazyLock::new(compile))
    }

    /// The range of the first group of every match in `range` of `text`, or of the whole match where there is no group.
    pub(super) fn all(&self, text: &str, range: Range<usize>) -> Vec<Range<usize>> {
        let Some(regex) = &*self.0 else { return Vec::new() };
        let Some(part) = text.get(range.clone()) else { return Vec::new() };
        regex
            .captures_iter(part)
            .filter_map(|found| found.iter().skip(1).flatten().next().or_else(|| found.get(0)))
            .map(|found| found.start() + range.start..found.end() + range.start)
            .collect()
    }

    pub(super) fn last(&self, text: &str, range: Range<usize>) -> Option<Range<usize>> {
        self.all(text, range).pop()
    }

    pub(super) fn first(&self, text: &str, range: Range<usize>) -> Option<Range<usize>> {
        self.all(text, range).into_iter().next()
    }
}

pub(super) static INTEGER: Pattern = Pattern::new(|| Regex::new(r"\d+").ok());
pub(super) static TRUTH: Pattern = Pattern::new(|| Regex::new(r"(?i)\b(true|false|uncertain)\b").ok());
pub(super) static BOLD_TRUTH: Pattern = Pattern::new(|| Regex::new(r"(?i)\*\*[^*]*?\b(true|false|uncertain)\b[^*]*?\*\*").ok());
pub(super) static LETTER: Pattern = Pattern::new(|| Regex::new(r"\b([A-D])\b").ok());
pub(super) static BRACKETED_LETTER: Pattern = Pattern::new(|| Regex::new(r"\(([A-D])\)").ok());
/// `(X)`, or a capital A to D that stands alone.
pub(super) static ANY_LETTER: Pattern = Pattern::new(|| Regex::new(r"\(([A-D])\)|\b([A-D])\b").ok());
/// `answer is X`, `answer: **(X)**`, `answer is option X`.
pub(super) static ANSWER_IS: Pattern = Pattern::new(|| Regex::new(r"answer(?: is)?:?\s*\**\s*(?:option\s*)?\(?\**([A-D])\b").ok());
/// What stands between two pairs of asterisks, on one line.
pub(super) static BOLD: Pattern = Pattern::new(|| Regex::new(r"\*\*(.+?)\*\*").ok());

/// Whether the output closes its thoughts.
pub fn closes_its_thoughts(output: &str) -> bool {
    output.contains(END_OF_THOUGHT)
}

/// The tail of an output: what follows the last `</think>`, or all of it where there is none.
pub fn tail(output: &str) -> Range<usize> {
    let start = output.rfind(END_OF_THOUGHT).map_or(0, |at| at + END_OF_THOUGHT.len());
    start..output.len()
}

/// What stands in each `\boxed{…}`, braces inside counted. A box that never closes ends the search.
pub fn boxes(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    const OPENING: &str = "\\boxed{";
    let mut found = Vec::new();
    let mut from = range.start;
    while let Some(at) = text.get(from..range.end).and_then(|part| part.find(OPENING)) {
        let start = from + at + OPENING.len();
        let mut depth = 1usize;
        let end = text.as_bytes()[start..range.end].iter().position(|byte| {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some(length) = end else { break };
        found.push(start..start + length);
        from = start + length;
    }
    found
}

/// The last line of a range that holds more than white space, without the white space around it.
pub fn last_line(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let part = text.get(range.clone())?;
    let trimmed = part.trim_end();
    let start = trimmed.rfind('\n').map_or(0, |at| at + 1);
    stripped(text, range.start + start..range.start + trimmed.len())
}

/// A range without the white space around it, or nothing if that is all it holds.
pub fn stripped(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let part = text.get(range.clone())?;
    let start = range.start + (part.len() - part.trim_start().len());
    let length = part.trim().len();
    (length > 0).then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(text: &'a str, ranges: &[Range<usize>]) -> Vec<&'a str> {
        ranges.iter().map(|range| &text[range.clone()]).collect()
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&INTEGER, &TRUTH, &BOLD_TRUTH, &LETTER, &BRACKETED_LETTER, &ANY_LETTER, &ANSWER_IS, &BOLD] {
            assert!(pattern.0.is_some());
        }
    }

    #[test]
    fn boxes_nest_and_end_at_one_that_never_closes() {
        let text = r"a \boxed{\frac{1}{2}} b \boxed{7} c \boxed{\text{é} d";
        assert_eq!(texts(text, &boxes(text, 0..text.len())), [r"\frac{1}{2}", "7"]);
        assert_eq!(texts(text, &boxes(text, 5..text.len())), ["7"]);
        assert!(boxes("", 0..0).is_empty());
    }

    #[test]
    fn tails_and_lines() {
        let text = "x</think>y</think>\n first\n\n **last** \n \n";
        let tail = tail(text);
        assert_eq!(&text[tail.clone()], "\n first\n\n **last** \n \n");
        assert_eq!(&text[last_line(text, tail).unwrap()], "**last**");
        assert_eq!(super::tail("none"), 0..4);
        assert_eq!(last_line(" \n ", 0..3), None);
        assert_eq!(&"é\nü"[last_line("é\nü", 0..5).unwrap()], "ü");
    }

    #[test]
    fn letters() {
        let text = "The answer is **(B)**, not A.";
        assert_eq!(&text[ANSWER_IS.last(text, 0..text.len()).unwrap()], "B");
        assert_eq!(&text[ANY_LETTER.last(text, 0..text.len()).unwrap()], "A");
        assert_eq!(&text[BRACKETED_LETTER.last(text, 0..text.len()).unwrap()], "B");
        assert_eq!(ANY_LETTER.last("Dear", 0..4), None);
    }
}
