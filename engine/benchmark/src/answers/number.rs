//! Where the number of an output stands: in a box, after what announces it, or alone. What it is is [`formula`](super::formula)'s to say.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::Found;
use super::formula::{LONGEST, number};
use super::plain::{Pattern, lines};

/// A number as it may begin prose after an announcement, with a name and an equals sign before it.
static IN_PROSE: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:(?:\b[A-Za-z]{1,2}\b|\d+|[_{}^+\-*/() ])+=\s*)*",
        r"([+\-−－–]?\s?[$€£]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:\s?/\s?\d+)?)"
    ))
    .ok()
});
/// Another number that is offered beside.
static ANOTHER: Pattern = LazyLock::new(|| Regex::new(r"^[\s*$]*(?:\bor\b|/|\bto\b|–|±|\\pm)[\s*$]*[+\-−]?\d").ok());
/// Numbers in prose, each with its sign, where a sign can be one.
static NUMBERS: Pattern = LazyLock::new(|| Regex::new(r"(?:^|[^\w.\d)])([+\-−]\d[\d,.]*)|\d[\d,.]*").ok());

/// The number that a box holds.
pub(super) fn in_box(text: &str, range: Range<usize>) -> Option<Found> {
    let value = number(text.get(range.clone())?)?;
    Some(Found { range, value })
}

/// The number that stands after an announcement: a formula between its delimiters, bold text, or a number in prose.
pub(super) fn announced(text: &str, at: usize, end: usize) -> Option<Found> {
    let rest = text.get(at..end)?;
    // The words before may have ended in the asterisks that begin bold text.
    let bold = text[..at].ends_with("**").then_some("**");
    for (open, close) in [
        ("$$", "$$"),
        ("$", "$"),
        ("\\(", "\\)"),
        ("\\[", "\\]"),
        ("`", "`"),
        ("\"", "\""),
        ("“", "”"),
        ("(", ")"),
    ] {
        if let Some(inside) = rest.strip_prefix(open)
            && let Some(length) = inside.find(close).filter(|length| *length <= LONGEST)
        {
            let start = at + open.len();
            match in_box(text, start..start + length) {
                Some(found) => return (!is_offered_beside(&inside[length + close.len()..])).then_some(found),
                // A price: the next dollar sign belongs to another one.
                None if open == "$" && inside.starts_with(|next: char| next.is_ascii_digit()) => break,
                None => return None,
            }
        }
    }
    if let Some(close) = bold
        && let Some(length) = rest.find(close).filter(|length| *length <= LONGEST)
        && let Some(found) = in_box(text, at..at + length)
    {
        return (!is_offered_beside(&rest[length + close.len()..])).then_some(found);
    }
    let captures = IN_PROSE.as_ref()?.captures(rest)?;
    let group = captures.get(1)?;
    let after = &rest[group.end()..];
    let mut following = after.chars();
    let goes_on = match (following.next(), following.next()) {
        (Some(next), _) if next.is_alphanumeric() || matches!(next, '_' | '^' | '\\' | '{') => {
            !(after.starts_with("\\%") || after.starts_with("^\\circ") || after.starts_with("^{\\circ}"))
        }
        (Some('.' | ','), Some(digit)) => digit.is_ascii_digit(),
        _ => false,
    };
    if goes_on || is_offered_beside(after) {
        return None;
    }
    in_box(text, at + group.start()..at + group.end())
}

/// A number that is a line of its own at the end, or the only one that is mentioned. Where thoughts were not closed, only a number that
/// is the whole output.
pub(super) fn alone(text: &str, range: Range<usize>, closed: bool) -> Option<Found> {
    let lines = lines(text, range.clone());
    let last = lines.last()?;
    if (closed || lines.len() == 1)
        && let Some(found) = in_box(text, last.clone())
    {
        return Some(found);
    }
    if !closed {
        return None;
    }
    let part = text.get(range.clone())?;
    let mut found: Option<Found> = None;
    for captures in NUMBERS.as_ref()?.captures_iter(part) {
        let group = captures.get(1).or_else(|| captures.get(0))?;
        let digits = group.as_str().trim_end_matches(['.', ',']);
        let place = range.start + group.start()..range.start + group.start() + digits.len();
        let next = in_box(text, place)?;
        if found.as_ref().is_some_and(|found| found.value != next.value) {
            return None;
        }
        found = Some(next);
    }
    found
}

fn is_offered_beside(rest: &str) -> bool {
    ANOTHER.as_ref().is_some_and(|regex| regex.is_match(rest))
}

#[cfg(test)]
mod tests {
    use super::super::{Source, read_number};
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&IN_PROSE, &ANOTHER, &NUMBERS] {
            assert!(pattern.is_some());
        }
    }

    fn read(text: &str) -> Option<String> {
        let tail = text.rfind("</think>").map_or(0, |at| at + 8);
        read_number(Source { text, tail, closed: tail > 0 }).answer().map(|found| {
            assert_eq!(number(&text[found.range]).unwrap(), found.value, "the place is that of the number");
            found.value
        })
    }

    #[test]
    fn boxes_announcements_and_numbers_alone() {
        for text in [
            r"\boxed{12} or rather \boxed{33}",
            r"\boxed {33}. Checked in 2 ways.",
            r"$\boxed{33}$ answers problem 12 of 2024.",
            "The final answer is **33**. (Steps: 7)",
            "The answer is $m + n = 33$, from 12 cases.",
            "Answer: 33 cm",
            "**Answer:** $33$",
            "### Final Answer\n\n33\n",
            "So the answer is 33. Twelve is not, 7 neither.",
            "The answer is m + n = 33.",
            "Steps: 7, 8.\n\n33",
            "It is 33.",
            "It is 33, yes 33.0.",
        ] {
            assert_eq!(read(&format!(r"maybe \boxed{{12}}</think> {text}")).as_deref(), Some("33"), "{text}");
        }
        assert_eq!(read("hm, 5</think> The answer is -33.").as_deref(), Some("-33"));
        assert_eq!(read("hm, 5</think> The answer is 33.5.").as_deref(), Some("67/2"));
        assert_eq!(
            read(r"so \boxed{33}</think>").as_deref(),
            Some("33"),
            "the box of the thoughts, where nothing follows them"
        );
        assert_eq!(read("33").as_deref(), Some("33"));
    }

    #[test]
    fn what_cannot_be_read_is_replaced_by_nothing() {
        for text in [
            r"\boxed{x}, so 33",
            r"\boxed{\sqrt{33}} and 33",
            r"33 \boxed{3 3}",
            r"\boxed{33",
            "The answer is thirty-three: 33.",
            "The answer is 12 or 33.",
            "The answer is 33x.",
            "The answer is 3,3.",
            "There are 12 cases and 33 ways.",
        ] {
            assert_eq!(read(&format!(r"\boxed{{7}}</think> {text}")).filter(|value| value != "7"), None, "{text}");
        }
        assert_eq!(read("let n = 33 and so"), None, "cut off within its thoughts");
    }
}
