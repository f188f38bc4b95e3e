//! The manifest's short form, which every exported file carries: from which study a figure was made, and by which program.

use cruxscope_selectors::{format, status};
use cruxscope_study::{Behaviour, Study};

/// The name of the program that writes figures.
pub const PROGRAM: &str = concat!("cruxscope ", env!("CARGO_PKG_VERSION"));

/// Keys and values of the metadata, in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Each key with its value; neither holds a line break.
    pub pairs: Vec<(String, String)>,
}

impl Stamp {
    /// What a study says of itself in short.
    pub fn of(study: &Study) -> Self {
        let mut stamp = Self::default();
        stamp.add_study("", study);
        stamp.finished()
    }

    /// The same of two studies.
    pub fn of_pair(a: &Study, b: &Study) -> Self {
        let mut stamp = Self::default();
        stamp.add_study(" A", a);
        stamp.add_study(" B", b);
        stamp.finished()
    }

    /// A stamp for figures that come from no study: pairs of keys and values.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        let mut stamp = Self::default();
        for (key, value) in pairs {
            stamp.add(key, value);
        }
        stamp.finished()
    }

    fn add_study(&mut self, side: &str, study: &Study) {
        let manifest = &study.manifest;
        let n: Vec<String> = Behaviour::ALL
            .into_iter()
            .map(|behaviour| format!("{} {}", behaviour.name(), manifest.segments[behaviour.index()].instances))
            .collect();
        let instances = format::things(manifest.instances.len(), "instance", "instances");
        self.add(&format!("study{side}"), status::title(study));
        self.add(&format!("model{side}"), &manifest.model.name);
        self.add(&format!("definition{side}"), manifest.definition.name());
        self.add(&format!("n{side}"), &format!("{instances} ({})", n.join(", ")));
        if let Ok(digest) = manifest.digest() {
            self.add(&format!("manifest sha256{side}"), &digest.0);
        }
        let made_by = format!("{} {}", manifest.program.name, manifest.program.version);
        self.add(&format!("computed by{side}"), made_by.trim());
    }

    fn add(&mut self, key: &str, value: &str) {
        let value = plain(value);
        if !value.is_empty() {
            self.pairs.push((key.to_owned(), value));
        }
    }

    fn finished(mut self) -> Self {
        self.add("drawn by", PROGRAM);
        self
    }

    /// All pairs as lines `key: value`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.pairs.iter().map(|(key, value)| format!("{key}: {value}"))
    }
}

/// Text of a study that can stand in one line of any file: without control characters, line breaks and markers that turn the
/// direction of what follows.
pub fn plain(text: &str) -> String {
    let turns = |character: char| matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // XML knows no characters of these two kinds.
    let kept = |character: &char| !turns(*character) && !matches!(character, '\u{fffe}' | '\u{ffff}');
    let spaced = text.chars().filter(kept).map(|character| {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            ' '
        } else {
            character
        }
    });
    spaced.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn a_stamp_names_study_model_definition_number_digest_and_program() {
        let study = samples::study(6);
        let lines: Vec<String> = Stamp::of(&study).lines().collect();
        let digest = study.manifest.digest().unwrap().0;
        assert_eq!(lines[..3], ["study: Sample study", "model: Sample-135M", "definition: paper"]);
        assert!(lines[3].starts_with("n: 4 instances (backtracking 4, "), "{lines:?}");
        assert_eq!(lines[4], format!("manifest sha256: {digest}"));
        assert!(lines[6].starts_with("drawn by: cruxscope "));
        let pair: Vec<String> = Stamp::of_pair(&study, &samples::compressed(6)).lines().collect();
        assert!(pair.contains(&"study B: Sample, compressed".to_owned()), "{pair:?}");
    }

    #[test]
    fn no_title_breaks_a_line_or_turns_the_direction() {
        assert_eq!(plain(" a\nb\u{0}c\u{202e}d\u{ffff} "), "a b cd");
    }
}
