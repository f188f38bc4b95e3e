//! Where the sections of an annotation stand in the instance's text, and which tokens hold them.
//!
//! A section's text should be a word-for-word quotation of the output, but annotators drop line breaks, mend letters and
//! repeat themselves. So each section is looked for, kept if at least [`COVERAGE_THRESHOLD`] of it is there in one piece,
//! and otherwise dropped with its reason (the annotations: paper, section 3.1; the threshold: the published code).
//!
//! It does not say which rows or losses a segment gives rise to; that depends on the definition and is decided later.

use std::fmt;
use std::str::FromStr;

use cruxscope_study::Label;
use serde::{Deserialize, Serialize};

use crate::annotation::Section;
use crate::automaton::Automaton;
use crate::block::Block;
use crate::difflib;
use crate::dropped::{COVERAGE_THRESHOLD, DropCause, DroppedSection};
use crate::matching::longest_block;
use crate::token_index::TokenIndex;

/// How a section's text is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// Forward from the end of the last match, output before prompt: an exact match if there is one, otherwise the longest
    /// common block. Repeated text so finds its own place.
    #[default]
    ForwardSearch,
    /// As the published code does: the longest block of Python's `difflib`, `autojunk` included, in prompt and output
    /// together, so that repeated text goes to its first occurrence, be it in the prompt.
    Published,
}

impl Alignment {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ForwardSearch, Self::Published];

    /// The name in options and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForwardSearch => "forward-search",
            Self::Published => "published",
        }
    }
}

impl fmt::Display for Alignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Alignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|alignment| alignment.name() == text)
            .ok_or_else(|| format!("\"{text}\" is no way to align annotations; known are forward-search, published"))
    }
}

/// Where a section stands in the characters of prompt and output together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CharacterSegment {
    /// Its label.
    pub label: Label,
    /// The characters `[start, end)` of prompt and output together, from 0.
    pub characters: (usize, usize),
    /// Position of the section in the annotation, from 0.
    pub section: usize,
    /// The share of the section's characters that stands here, 0.9 to 1.
    pub coverage: f64,
    /// Whether it begins in the prompt, where the model reasons about nothing.
    pub in_prompt: bool,
}

/// Where a section stands in the tokens of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenSegment {
    /// Its label.
    pub label: Label,
    /// First token whose span holds the first character.
    pub start: usize,
    /// First token whose span holds the last character, inclusive.
    pub last: usize,
    /// The characters `[start, end)` of prompt and output together, from 0.
    pub characters: (usize, usize),
    /// Position of the section in the annotation, from 0.
    pub section: usize,
    /// The share of the section's characters that stands here, 0.9 to 1.
    pub coverage: f64,
    /// Whether it begins in the prompt, where the model reasons about nothing.
    pub in_prompt: bool,
}

/// What [`align_characters`] found, in the annotation's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharacterAlignment {
    /// Sections that were found.
    pub segments: Vec<CharacterSegment>,
    /// Sections that were not.
    pub dropped: Vec<DroppedSection>,
}

/// What [`align`] found, in the annotation's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlignedTrace {
    /// Sections that were found and that tokens hold.
    pub segments: Vec<TokenSegment>,
    /// Sections that were not.
    pub dropped: Vec<DroppedSection>,
}

impl CharacterAlignment {
    /// The tokens that hold each segment. Segments that no token holds join the dropped ones.
    pub fn locate(self, index: &TokenIndex) -> AlignedTrace {
        let Self { segments, mut dropped } = self;
        let mut located = Vec::with_capacity(segments.len());
        for segment in segments {
            let CharacterSegment {
                label,
                characters,
                section,
                coverage,
                in_prompt,
            } = segment;
            match index.locate(characters.0, characters.1) {
                Some((start, last)) => located.push(TokenSegment {
                    label,
                    start,
                    last,
                    characters,
                    section,
                    coverage,
                    in_prompt,
                }),
                None => dropped.push(DroppedSection {
                    section,
                    label,
                    reason: DropCause::NoToken,
                    coverage,
                }),
            }
        }
        dropped.sort_by_key(|drop| drop.section);
        AlignedTrace { segments: located, dropped }
    }
}

/// Finds each section in the tokens of an instance.
///
/// `offsets` are the character spans `[a, b)` of the tokens of `prompt` and `output` together, counted in characters from
/// the beginning of the prompt; tokens without width, such as the one that marks the beginning, are welcome.
pub fn align(prompt: &str, output: &str, sections: &[Section], alignment: Alignment, offsets: &[(usize, usize)]) -> AlignedTrace {
    let characters = prompt.chars().count() + output.chars().count();
    align_characters(prompt, output, sections, alignment).locate(&TokenIndex::new(offsets, characters))
}

/// Finds each section in the characters of an instance's prompt and output.
pub fn align_characters(prompt: &str, output: &str, sections: &[Section], alignment: Alignment) -> CharacterAlignment {
    let instance = InstanceText::new(prompt, output);
    let mut cursor = instance.prompt_length;
    let mut aligned = CharacterAlignment::default();
    for (section, Section { label, text, .. }) in sections.iter().enumerate() {
        let snippet: Vec<char> = text.chars().collect();
        if snippet.is_empty() {
            aligned.dropped.push(DroppedSection {
                section,
                label: *label,
                reason: DropCause::Empty,
                coverage: 0.0,
            });
            continue;
        }
        let (start, size) = match alignment {
            Alignment::ForwardSearch => instance.search_forward(text, &snippet, cursor),
            Alignment::Published => instance.search_as_published(text, &snippet),
        };
        let coverage = size as f64 / snippet.len() as f64;
        if coverage < COVERAGE_THRESHOLD {
            aligned.dropped.push(DroppedSection {
                section,
                label: *label,
                reason: DropCause::NotFound { coverage },
                coverage,
            });
            continue;
        }
        let in_prompt = start < instance.prompt_length;
        // A match in the prompt says nothing about how far the annotator has come in the output.
        if !in_prompt {
            cursor = start + size;
        }
        aligned.segments.push(CharacterSegment {
            label: *label,
            characters: (start, start + size),
            section,
            coverage,
            in_prompt,
        });
    }
    aligned
}

/// Prompt and output together, as bytes for exact search and as characters for everything else.
struct InstanceText {
    text: String,
    characters: Vec<char>,
    /// Byte at which each character begins, and the length in bytes.
    byte_of: Vec<usize>,
    /// Characters of the prompt.
    prompt_length: usize,
}

impl InstanceText {
    fn new(prompt: &str, output: &str) -> Self {
        let text = [prompt, output].concat();
        let byte_of = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
        Self {
            characters: text.chars().collect(),
            byte_of,
            prompt_length: prompt.chars().count(),
            text,
        }
    }

    /// The first character of the first verbatim occurrence that begins at or after the character `from`.
    fn find(&self, text: &str, from: usize) -> Option<usize> {
        let from = self.byte_of[from];
        let byte = from + self.text[from..].find(text)?;
        self.byte_of.binary_search(&byte).ok()
    }

    /// Start and size of the section's place by [`Alignment::ForwardSearch`]; `cursor` is the end of the last match.
    fn search_forward(&self, text: &str, snippet: &[char], cursor: usize) -> (usize, usize) {
        // Sections come mostly in order, but an annotator may jump back, and a match may have gone too far.
        let exact = self
            .find(text, cursor)
            .or_else(|| self.find(text, self.prompt_length))
            .or_else(|| self.find(text, 0));
        if let Some(start) = exact {
            return (start, snippet.len());
        }
        let automaton = Automaton::new(snippet);
        let longest_from = |from: usize| {
            let Block { start, size, .. } = automaton.longest_in(&self.characters[from..]);
            (from + start, size)
        };
        let enough = |size: usize| size as f64 / snippet.len() as f64 >= COVERAGE_THRESHOLD;
        // The same order, but a longer block is the better evidence: going forward only breaks ties in the output.
        let ahead = longest_from(cursor);
        let output = longest_from(self.prompt_length);
        let best = if ahead.1 >= output.1 { ahead } else { output };
        if enough(best.1) { best } else { longest_from(0) }
    }

    /// Start and size of the section's place by [`Alignment::Published`].
    fn search_as_published(&self, text: &str, snippet: &[char]) -> (usize, usize) {
        // Below that length a verbatim quotation is its own longest block, and the first occurrence wins.
        if snippet.len() < difflib::AUTOJUNK_FROM
            && let Some(start) = self.find(text, 0)
        {
            return (start, snippet.len());
        }
        let Block { start, size, .. } = longest_block(&self.characters, snippet, true);
        (start, size)
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::DropReason;

    use super::*;

    fn section(label: Label, text: &str) -> Section {
        Section {
            label,
            text: text.to_owned(),
            tolerated: false,
        }
    }

    fn spans(prompt: &str, output: &str, texts: &[&str], alignment: Alignment) -> Vec<Option<(usize, usize)>> {
        let sections: Vec<_> = texts.iter().map(|text| section(Label::Deduction, text)).collect();
        let aligned = align_characters(prompt, output, &sections, alignment);
        let mut spans = vec![None; texts.len()];
        for segment in aligned.segments {
            spans[segment.section] = Some(segment.characters);
        }
        spans
    }

    #[test]
    fn repeated_text_finds_its_own_place_going_forward() {
        let (prompt, output) = ("é Wait. ", "Wait. So. Wait. So.");
        assert_eq!(
            spans(prompt, output, &["Wait.", "So.", "Wait.", "So."], Alignment::ForwardSearch),
            [Some((8, 13)), Some((14, 17)), Some((18, 23)), Some((24, 27))]
        );
        assert_eq!(
            spans(prompt, output, &["Wait.", "So.", "Wait."], Alignment::Published),
            [Some((2, 7)), Some((14, 17)), Some((2, 7))]
        );
    }

    #[test]
    fn a_jump_back_and_the_prompt_are_found_too() {
        let (prompt, output) = ("Only here. ", "First. Second. Third.");
        assert_eq!(
            spans(prompt, output, &["Third.", "First.", "Only here.", "Second."], Alignment::ForwardSearch),
            [Some((26, 32)), Some((11, 17)), Some((0, 10)), Some((18, 25))]
        );
    }

    #[test]
    fn the_longest_block_goes_forward_on_ties_and_takes_the_longer_one_behind() {
        let output = "alpha beta gamma delta. x alpha beta gamma delta. alpha beta gamma";
        // The annotator's full stop is not in the text: 22 of 23 characters are.
        assert_eq!(
            spans("", output, &["x", "alpha beta gamma delta!"], Alignment::ForwardSearch),
            [Some((24, 25)), Some((26, 48))]
        );
        // Nothing ahead is as long as what is behind.
        assert_eq!(
            spans("", output, &["delta. alpha", "alpha beta gamma delta!"], Alignment::ForwardSearch),
            [Some((43, 55)), Some((0, 22))]
        );
    }

    #[test]
    fn drops_have_reasons() {
        let sections = [
            section(Label::Backtracking, ""),
            section(Label::Deduction, "0123456789 something else"),
            section(Label::Deduction, "0123456789"),
        ];
        let aligned = align("p", "0123456789", &sections, Alignment::ForwardSearch, &[(0, 0), (0, 1), (1, 10)]);
        assert_eq!(aligned.segments, []);
        let sentences: Vec<_> = aligned.dropped.iter().map(ToString::to_string).collect();
        assert_eq!(
            sentences,
            [
                "section 1 (backtracking) was dropped: it holds no text",
                "section 2 (deduction) was dropped: the trace holds only 40.0 % of its text in one piece, and 90 % are needed",
                "section 3 (deduction) was dropped: no token holds its first or last character",
            ]
        );
        assert_eq!(aligned.dropped[1].reason.reason(), DropReason::NotFound);
    }

    #[test]
    fn tokens_of_a_segment() {
        let offsets = [(0, 0), (0, 1), (1, 3), (3, 4), (3, 4), (4, 6)];
        let aligned = align("p", "abécd", &[section(Label::Backtracking, "bé")], Alignment::ForwardSearch, &offsets);
        let segment = aligned.segments[0];
        assert_eq!((segment.start, segment.last, segment.characters, segment.in_prompt), (2, 3, (2, 4), false));
    }

    #[test]
    fn coverage_of_exactly_the_threshold_is_kept() {
        assert_eq!(spans("", "abcdefghi", &["abcdefghiZ"], Alignment::ForwardSearch), [Some((0, 9))]);
        assert_eq!(spans("", "abcdefghi", &["abcdefghiZZ"], Alignment::Published), [None]);
    }

    #[test]
    fn names_read_back() {
        for alignment in Alignment::ALL {
            assert_eq!(alignment.name().parse(), Ok(alignment));
        }
        assert!("backward".parse::<Alignment>().is_err());
    }
}
