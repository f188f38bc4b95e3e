//! The sections of an annotation: what the annotator labelled, in its own words and order.
//!
//! An annotation is text of the form `["label"] … ["end-section"]`, repeated. This reads it, strictly as the published
//! parser does or tolerantly; where the sections stand in the instance is [`alignment`](crate::alignment)'s to say.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use cruxscope_study::Label;
use serde::{Deserialize, Serialize};

use crate::section_tags::{Tag, TagKind, tags};

/// How an annotation's text is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Numbered, capitalised and otherwise respelled labels count, and a nested opening tag closes the section around it.
    #[default]
    Tolerant,
    /// The published parser's: labels as written in the instructions, and all up to the next end tag is the section's text.
    Strict,
}

impl Reading {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tolerant, Self::Strict];

    /// The name in options and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tolerant => "tolerant",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Reading {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|reading| reading.name() == text)
            .ok_or_else(|| format!("\"{text}\" is no way to read annotations; known are tolerant, strict"))
    }
}

/// One labelled stretch of an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its label.
    pub label: Label,
    /// Its text, stripped of white space at both ends. It should stand in the instance's output, word for word.
    pub text: String,
    /// Whether only the tolerant reading finds a section here.
    pub tolerated: bool,
}

/// An annotation's sections, and what was odd about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedAnnotation {
    /// The sections, in the annotation's order.
    pub sections: Vec<Section>,
    /// Sections that only the tolerant reading finds.
    pub tolerated: usize,
    /// Opening tags whose label is numbered, capitalised or otherwise respelled; the strict reading ignores them.
    pub respelled: usize,
    /// These labels as written, with their counts.
    pub respelled_labels: BTreeMap<String, usize>,
    /// Sections that were closed at a nested opening tag. Always 0 in the strict reading.
    pub repaired: usize,
    /// Opening tags that nothing closes; they make no section.
    pub unclosed: usize,
    /// Labels that are none of the six, as written, with their counts.
    pub unknown_labels: BTreeMap<String, usize>,
}

impl ParsedAnnotation {
    /// Reads an annotation's text. Anything is an annotation; at worst it has no sections.
    ///
    /// # Examples
    ///
    /// ```
    /// use cruxscope_trace::{ParsedAnnotation, Reading};
    ///
    /// let text = r#"["deduction"] So x = 2. ["end-section"] ["5. backtracking"] Wait, no. ["end-section"]"#;
    /// assert_eq!(ParsedAnnotation::read(text, Reading::Strict).sections.len(), 1);
    /// assert_eq!(ParsedAnnotation::read(text, Reading::Tolerant).sections[1].text, "Wait, no.");
    /// ```
    pub fn read(text: &str, reading: Reading) -> Self {
        let tags = tags(text);
        let (strict, strictly_unclosed) = strict_sections(&tags);
        let mut parsed = Self {
            respelled: tags.iter().filter(|tag| matches!(tag.kind, TagKind::Open(_)) && !tag.exact).count(),
            ..Self::default()
        };
        for tag in &tags {
            match &tag.kind {
                TagKind::Unknown(label) => *parsed.unknown_labels.entry(label.clone()).or_default() += 1,
                TagKind::Open(_) if !tag.exact => *parsed.respelled_labels.entry(tag.written(text).to_owned()).or_default() += 1,
                TagKind::Open(_) | TagKind::Close => {}
            }
        }
        match reading {
            Reading::Strict => {
                parsed.unclosed = strictly_unclosed;
                parsed.sections = strict
                    .iter()
                    .map(|found| Section {
                        label: found.label,
                        text: strip(&text[found.start..found.end]).to_owned(),
                        tolerated: false,
                    })
                    .collect();
            }
            Reading::Tolerant => {
                let mut open: Option<(Label, usize)> = None;
                for tag in &tags {
                    let next = match tag.kind {
                        TagKind::Open(label) => Some((label, tag.end)),
                        TagKind::Close => None,
                        TagKind::Unknown(_) => continue,
                    };
                    if let Some((label, start)) = open {
                        parsed.repaired += usize::from(next.is_some());
                        // Strict sections are in order, and each is named by where its text begins.
                        let tolerated = strict.binary_search_by_key(&start, |found| found.start).is_err();
                        parsed.tolerated += usize::from(tolerated);
                        parsed.sections.push(Section {
                            label,
                            text: strip(&text[start..tag.start]).to_owned(),
                            tolerated,
                        });
                    }
                    open = next;
                }
                parsed.unclosed = usize::from(open.is_some());
            }
        }
        parsed
    }
}

/// A section as a range of bytes of the annotation, tags not included.
struct FoundSection {
    label: Label,
    start: usize,
    end: usize,
}

/// The published parser: from each opening tag to the next end tag, and on after it. An opening tag without an end tag
/// ends the reading. Also returns how many such there are: 0 or 1.
fn strict_sections(tags: &[Tag]) -> (Vec<FoundSection>, usize) {
    let mut sections = vec![];
    let mut open: Option<(Label, usize)> = None;
    for tag in tags.iter().filter(|tag| tag.exact) {
        match (&tag.kind, open) {
            (TagKind::Open(label), None) => open = Some((*label, tag.end)),
            (TagKind::Close, Some((label, start))) => {
                sections.push(FoundSection { label, start, end: tag.start });
                open = None;
            }
            _ => {}
        }
    }
    (sections, usize::from(open.is_some()))
}

/// Without white space at both ends, as Python's `str.strip` has it: the four separators U+001C to U+001F are white space
/// there, though not in Unicode.
fn strip(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, reading: Reading) -> (Vec<(Label, String, bool)>, ParsedAnnotation) {
        let parsed = ParsedAnnotation::read(text, reading);
        (
            parsed
                .sections
                .iter()
                .map(|section| (section.label, section.text.clone(), section.tolerated))
                .collect(),
            parsed,
        )
    }

    #[test]
    fn plain_sections_read_the_same_either_way() {
        let text = "before [\"initializing\"] Okay,\n so. [\"end-section\"]between[\"adding-knowledge\"]\u{1f}é = 1\u{a0}[\"end-section\"] after";
        let expected = vec![
            (Label::Initializing, "Okay,\n so.".to_owned(), false),
            (Label::AddingKnowledge, "é = 1".to_owned(), false),
        ];
        for reading in Reading::ALL {
            let (sections, parsed) = read(text, reading);
            assert_eq!(sections, expected);
            assert_eq!(
                (
                    parsed.tolerated,
                    parsed.repaired,
                    parsed.unclosed,
                    parsed.respelled,
                    parsed.unknown_labels.len()
                ),
                (0, 0, 0, 0, 0)
            );
        }
    }

    #[test]
    fn respelled_labels_are_tolerated_only() {
        let text = r#"["5. backtracking"] Wait. ["end-section"] ["Example-testing"] Try 3. ["end-section"] ["deduction"] So. ["end-section"]"#;
        let (sections, parsed) = read(text, Reading::Tolerant);
        assert_eq!(
            sections.iter().map(|section| (section.0, section.2)).collect::<Vec<_>>(),
            [(Label::Backtracking, true), (Label::ExampleTesting, true), (Label::Deduction, false)]
        );
        assert_eq!((parsed.tolerated, parsed.respelled), (2, 2));
        assert_eq!(
            parsed.respelled_labels,
            BTreeMap::from([("5. backtracking".to_owned(), 1), ("Example-testing".to_owned(), 1)])
        );
        let (sections, parsed) = read(text, Reading::Strict);
        assert_eq!(sections, [(Label::Deduction, "So.".to_owned(), false)]);
        assert_eq!((parsed.tolerated, parsed.respelled), (0, 2));
    }

    #[test]
    fn nested_tag_closes_the_outer_section_there() {
        let text = r#"["deduction"] So a. ["backtracking"] Wait. ["end-section"] rest ["end-section"]"#;
        let (sections, parsed) = read(text, Reading::Tolerant);
        assert_eq!(
            sections,
            [(Label::Deduction, "So a.".to_owned(), false), (Label::Backtracking, "Wait.".to_owned(), true)]
        );
        assert_eq!((parsed.repaired, parsed.tolerated), (1, 1));
        let (sections, parsed) = read(text, Reading::Strict);
        assert_eq!(sections, [(Label::Deduction, r#"So a. ["backtracking"] Wait."#.to_owned(), false)]);
        assert_eq!(parsed.repaired, 0);
    }

    #[test]
    fn unclosed_and_unknown_are_counted() {
        let text = r#"["insight"] x ["end-section"] ["insight"] y ["end-section"] ["backtracking"] never ends ["deuction"]"#;
        for reading in Reading::ALL {
            let (sections, parsed) = read(text, reading);
            assert_eq!(sections, []);
            assert_eq!(parsed.unclosed, 1);
            assert_eq!(parsed.unknown_labels, BTreeMap::from([("deuction".to_owned(), 1), ("insight".to_owned(), 2)]));
        }
    }

    #[test]
    fn empty_sections_are_kept_for_the_report() {
        let (sections, _) = read(r#"["deduction"]  ["end-section"]"#, Reading::Strict);
        assert_eq!(sections, [(Label::Deduction, String::new(), false)]);
        assert_eq!(read("", Reading::Tolerant).0, []);
    }

    #[test]
    fn names_read_back() {
        for reading in Reading::ALL {
            assert_eq!(reading.name().parse(), Ok(reading));
        }
        assert!("loose".parse::<Reading>().is_err());
    }
}
