//! A truth value: true, false or uncertain, in the words that say so.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::plain::{Pattern, lines, skip, skip_openers};
use super::{Found, Reading};

/// Words that say a truth value, in groups by what they mean. The first group says none: lists of the three, and denials that leave
/// two open.
static VALUES: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(\btrue\s*,\s*false\s*,?\s*(?:and|or|/)\s*(?:uncertain|unknown)\b|\btrue\s*(?:or|and|/)\s*false\b|",
        r"\b(?:not|isn['’]t|never)\s+(?:necessarily|always|certainly|logically|definitely)\s+(?:true|false)\b|\b(?:not|isn['’]t)\s+(?:false|uncertain|unknown)\b)",
        r"|(\bneither\s+(?:\w+\s+)?true\s+nor\s+(?:\w+\s+)?false\b|\bneither\s+(?:be\s+)?(?:proven|proved|confirmed|verified|established)\b[^.\n]{0,40}?\bnor\s+\w+|",
        r"\b(?:cannot|can\s*not|can['’]t|could\s+not)\s+be\s+(?:\w+ly\s+)?(?:determined|decided|known|inferred|concluded|established|ascertained)\b",
        r"(?:\s+(?:as\s+|to\s+be\s+)?true\s+or\s+false\b)?|",
        r"\b(?:not\s+enough|not\s+sufficient|insufficient)\s+information\b|\b(?:uncertain|unknown|undetermined|indeterminate|undecidable|indeterminable|inconclusive)\b)",
        r"|(\b(?:not|isn['’]t)\s+true\b|\buntrue\b|\bfalse\b)",
        r"|(\btrue\b)"
    ))
    .ok()
});
/// What is said of the conclusion, up to the word after which its truth value stands.
static SAID: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:\b(?:conclusion|statement|claim|proposition|verdict|judge?ment|label|truth\s+value|result|it|this)\b[*_]*\s*",
        r#"(?:[“"‘'][^”"\n]{0,300}[”"’']|\*+[^*\n]{0,300}\*+)?[\s,*_]*"#,
        r"(?:\b(?:is|must\s+be|would\s+be|should\s+be|can\s+only\s+be|has\s+to\s+be|remains|evaluates\s+to)\b|[:：])",
        r"|\b(?:so|therefore|thus|hence|in\s+conclusion|overall)\b\s*[,:]?)"
    ))
    .ok()
});
/// Before what is said: words that make it a supposition.
static SUPPOSED: Pattern =
    LazyLock::new(|| Regex::new(r"(?i)\b(?:if|whether|suppose|supposing|assume|assuming|unless|that|when)\s+(?:the\s+|this\s+|our\s+)?$").ok());
/// Words between what is said and the truth value.
static FILLER: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)^(?:[\s*_:：,>#=]|\b(?:therefore|thus|hence|then|indeed|clearly|definitely|logically|considered|to\s+be|that|the|given|provided|",
        r"conclusion|statement|answer|is|it|be|must|option)\b|\\(?:text|textbf|mathrm|mathbf)\{|[“\x22'‘(\[{$`])+"
    ))
    .ok()
});
/// What stands between two pairs of asterisks, on one line.
static BOLD: Pattern = LazyLock::new(|| Regex::new(r"\*\*([^*\n]{1,80})\*\*").ok());

/// The names of the groups, in order, after the one that says nothing.
const NAMES: [&str; 3] = ["uncertain", "false", "true"];

/// The truth value that a label of a dataset is.
pub fn truth(text: &str) -> Option<String> {
    only(text, 0..text.len())
        .filter(|found| text.trim().len() == found.range.len())
        .map(|found| found.value)
}

/// The truth value that a box holds.
pub(super) fn in_box(text: &str, range: Range<usize>) -> Option<Found> {
    only(text, range)
}

/// The truth value that stands after an announcement, or the only one of its sentence.
pub(super) fn announced(text: &str, at: usize, end: usize) -> Option<Found> {
    let start = skip(&FILLER, text.get(..end)?, at);
    if let Some(found) = beginning(text, start, end) {
        return Some(found);
    }
    let sentence = text.get(at..end)?.find(['.', '\n']).map_or(end, |length| at + length);
    only(text, at..sentence)
}

/// The last truth value that is said of the conclusion.
pub(super) fn concluded(text: &str, range: Range<usize>) -> Option<Found> {
    let part = text.get(range.clone())?;
    let said = SAID.as_ref()?.find_iter(part).filter_map(|said| {
        let supposed = SUPPOSED.as_ref().is_some_and(|regex| regex.is_match(&part[..said.start()]));
        let at = skip(&FILLER, part, said.end());
        (!supposed).then(|| beginning(text, range.start + at, range.end)).flatten()
    });
    said.last()
}

/// The last bold text that says one truth value; else the first or last line that begins with one; else the only one that is said.
pub(super) fn alone(text: &str, range: Range<usize>, closed: bool) -> Reading {
    let part = text.get(range.clone()).unwrap_or_default();
    let bold = BOLD.as_ref().into_iter().flat_map(|regex| regex.captures_iter(part)).filter_map(|captures| {
        let inside = captures.get(1)?;
        only(text, range.start + inside.start()..range.start + inside.end())
    });
    if let Some(found) = bold.last() {
        return Reading::Answer(found);
    }
    let lines = lines(text, range.clone());
    if closed || lines.len() == 1 {
        let begins = |line: Option<&Range<usize>>| {
            let line = line?;
            let (start, _) = skip_openers(text, line.start, line.end);
            let found = beginning(text, start, line.end)?;
            let rest = text
                .get(found.range.end..line.end)?
                .trim_start_matches(['*', '_', '"', '”', '\'', ')', '}', '$']);
            (rest.is_empty() || rest.starts_with(['.', ',', ':', ';', '!', '—', '–', '-', '('])).then_some(found)
        };
        match (begins(lines.first()), begins(lines.last())) {
            (Some(first), Some(last)) if first.value != last.value => return Reading::Unreadable,
            (first, last) => {
                if let Some(found) = last.or(first) {
                    return Reading::Answer(found);
                }
            }
        }
    }
    Reading::unannounced(if closed { only(text, range) } else { None })
}

/// The one truth value that a range says, however often.
fn only(text: &str, range: Range<usize>) -> Option<Found> {
    let part = text.get(range.clone())?;
    let mut found: Option<Found> = None;
    for captures in VALUES.as_ref()?.captures_iter(part) {
        // A denial that leaves two open says that nothing here is plain.
        let next = value(&captures, range.start)?;
        if found.as_ref().is_some_and(|found| found.value != next.value) {
            return None;
        }
        found = Some(next);
    }
    found
}

/// The truth value that begins exactly at a place.
fn beginning(text: &str, at: usize, end: usize) -> Option<Found> {
    let captures = VALUES.as_ref()?.captures(text.get(at..end)?)?;
    if captures.get(0)?.start() > 0 {
        return None;
    }
    value(&captures, at)
}

fn value(captures: &Captures<'_>, start: usize) -> Option<Found> {
    let (name, group) = NAMES.iter().enumerate().find_map(|(place, name)| Some((name, captures.get(place + 2)?)))?;
    Some(Found {
        range: start + group.start()..start + group.end(),
        value: (*name).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Source, read_truth};
    use super::*;

    fn read(text: &str) -> Option<String> {
        let tail = text.rfind("</think>").map_or(0, |at| at + 8);
        read_truth(Source { text, tail, closed: tail > 0 }).answer().map(|found| {
            assert_eq!(only(&text[found.range.clone()], 0..found.range.len()).unwrap().value, found.value);
            found.value
        })
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&VALUES, &SAID, &SUPPOSED, &FILLER, &BOLD] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn labels_of_datasets() {
        for (text, value) in [("True", "true"), ("FALSE", "false"), (" Uncertain ", "uncertain"), ("unknown", "uncertain")] {
            assert_eq!(truth(text).as_deref(), Some(value), "{text}");
        }
        for text in ["", "Maybe", "True or False", "it is true", "1"] {
            assert_eq!(truth(text), None, "{text}");
        }
    }

    #[test]
    fn outputs() {
        for (text, value) in [
            ("The conclusion is **Uncertain**.", "uncertain"),
            ("Uncertain. It can be neither proven true nor false.", "uncertain"),
            ("The answer is Unknown.", "uncertain"),
            ("**Answer: Uncertain**\n\nThe premises do not say whether it is true.", "uncertain"),
            (r"\boxed{\text{Uncertain}}", "uncertain"),
            ("It is False that we can prove it; so: Uncertain", "uncertain"),
            ("It cannot be determined.", "uncertain"),
            ("The conclusion is not true.", "false"),
            ("The conclusion is untrue.", "false"),
            ("**False.** So the claim “all is true” fails.", "false"),
            ("FALSE", "false"),
            ("The statement is **True**, because its negation would be false.", "true"),
            ("Answer: **True**\n\n(It would be uncertain without premise 3.)", "true"),
            ("The conclusion \"No a is b\" is false, as the premises say what is true.", "false"),
            ("The answer is that the conclusion is true. False would need more.", "true"),
            ("Whether it is true or false is open. So the conclusion is uncertain.", "uncertain"),
            ("There is not enough information.", "uncertain"),
        ] {
            assert_eq!(read(&format!("true or false?</think> {text}")).as_deref(), Some(value), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_replaced_by_nothing() {
        for text in [
            r"\boxed{Maybe}, so true",
            r"\boxed{\text{True or False}} true",
            "The answer is maybe. True would need more.",
            "The answer is true or false.",
            "The answer is not necessarily true.",
            "Some say true and some false here.",
        ] {
            assert_eq!(read(&format!("hm</think> {text}")), None, "{text}");
        }
        assert_eq!(read("so it might be true if the second premise"), None, "cut off within its thoughts");
    }
}
