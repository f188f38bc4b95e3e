//! The texts of instances as a study keeps them for display: which bytes of the output each section covers, and its fate.

use cruxscope_study::{DropReason, Label, TraceSection, TraceText};

/// Collects the sections of one instance while it is read.
pub(super) struct TextBuilder {
    text: TraceText,
    /// The byte at which each character of the output begins, and the end.
    starts: Vec<usize>,
    prompt_characters: usize,
    /// Where each section of the annotation stands in the list, by its number.
    places: std::collections::BTreeMap<usize, usize>,
}

impl TextBuilder {
    /// The text of an instance without sections.
    pub(super) fn new(id: &str, prompt: &str, output: &str) -> Self {
        let starts = output.char_indices().map(|(byte, _)| byte).chain([output.len()]).collect();
        Self {
            text: TraceText {
                id: id.to_owned(),
                prompt: prompt.to_owned(),
                output: output.to_owned(),
                ..TraceText::default()
            },
            starts,
            prompt_characters: prompt.chars().count(),
            places: std::collections::BTreeMap::new(),
        }
    }

    /// A section that was found: its characters in prompt and output together, and its tokens.
    pub(super) fn found(&mut self, section: usize, label: Label, characters: (usize, usize), tokens: (usize, usize)) {
        let byte = |character: usize| {
            let at = character.checked_sub(self.prompt_characters)?;
            self.starts.get(at).copied()
        };
        let bytes = byte(characters.0).zip(byte(characters.1)).map(|(start, end)| [start, end]);
        self.push(section, label, bytes, Some([tokens.0, tokens.1]), None);
    }

    /// A section that was not found: what the annotator wrote.
    pub(super) fn not_found(&mut self, section: usize, label: Label, reason: DropReason, written: Option<&str>) {
        self.push(section, label, None, None, written.map(str::to_owned));
        self.drop(section, reason);
    }

    /// Says why a section does not count.
    pub(super) fn drop(&mut self, section: usize, reason: DropReason) {
        if let Some(place) = self.places.get(&section) {
            self.text.sections[*place].dropped = Some(reason);
        }
    }

    fn push(&mut self, section: usize, label: Label, bytes: Option<[usize; 2]>, tokens: Option<[usize; 2]>, text: Option<String>) {
        self.places.insert(section, self.text.sections.len());
        self.text.sections.push(TraceSection {
            label,
            bytes,
            tokens,
            dropped: None,
            text,
        });
    }

    /// The text, its sections in the order in which they stand in it; those that stand nowhere keep their place in the annotation.
    pub(super) fn finish(mut self, tokens: usize) -> TraceText {
        self.text.tokens = tokens;
        let mut order: Vec<usize> = self.places.values().copied().collect();
        // By the annotation's order first, so that a section without a place follows the one before it.
        let mut last = 0;
        let keys: Vec<usize> = order
            .iter()
            .map(|place| {
                if let Some([start, _]) = self.text.sections[*place].bytes {
                    last = start;
                }
                last
            })
            .collect();
        let mut keyed: Vec<(usize, usize)> = keys.into_iter().zip(order.drain(..)).collect();
        keyed.sort_by_key(|(start, _)| *start);
        self.text.sections = keyed.into_iter().map(|(_, place)| self.text.sections[place].clone()).collect();
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_lie_at_bytes_of_the_output_in_the_order_of_the_text() {
        let mut builder = TextBuilder::new("a", "Où?", "Peut-être là… non.");
        // Characters count prompt and output together: "là…" are three characters and six bytes.
        builder.found(0, Label::Backtracking, (3 + 14, 3 + 18), (8, 9));
        builder.not_found(1, Label::Deduction, DropReason::NotFound, Some("elsewhere"));
        builder.found(2, Label::AddingKnowledge, (3 + 10, 3 + 13), (5, 7));
        builder.found(3, Label::Initializing, (0, 3), (0, 1));
        builder.drop(2, DropReason::BeyondCap);
        let text = builder.finish(12);
        let output = text.output.clone();
        let words: Vec<Option<&str>> = text
            .sections
            .iter()
            .map(|section| section.bytes.map(|[start, end]| &output[start..end]))
            .collect();
        assert_eq!(
            words,
            [Some("là…"), None, Some("non."), None],
            "what stands nowhere follows the section before it in the annotation"
        );
        assert_eq!(text.sections[0].dropped, Some(DropReason::BeyondCap));
        assert_eq!(text.sections[3].text.as_deref(), Some("elsewhere"));
        assert_eq!(
            text.sections[1].label,
            Label::Initializing,
            "what stands in the prompt has no place in the output"
        );
        assert_eq!(text.tokens, 12);
        assert!(text.to_file(0).is_ok());
    }
}
