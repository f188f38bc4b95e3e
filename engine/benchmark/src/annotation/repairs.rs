//! What was odd about annotations: what the tolerant reading mended, and what it could not.

use std::collections::BTreeMap;

use cruxscope_trace::{ParsedAnnotation, Reading};
use serde::Serialize;

/// Oddities of a set of annotations, each listed with the annotations that have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repairs {
    /// Opening tags with a numbered, capitalised or otherwise respelled label, which the strict reading ignores.
    pub respelled: BTreeMap<String, usize>,
    /// These labels as written, with their counts.
    pub respelled_labels: BTreeMap<String, usize>,
    /// Sections that only the tolerant reading finds.
    pub tolerated: BTreeMap<String, usize>,
    /// Sections that were closed at a nested opening tag.
    pub closed_early: BTreeMap<String, usize>,
    /// Opening tags that nothing closes.
    pub unclosed: BTreeMap<String, usize>,
    /// Labels that are none of the six, as written, with their counts.
    pub unknown_labels: BTreeMap<String, usize>,
    /// Annotations in which no section could be read.
    pub empty: Vec<String>,
}

impl Repairs {
    /// Takes in one annotation.
    pub(super) fn add(&mut self, id: &str, annotated: &str, parsed: &ParsedAnnotation) {
        let mut count = |of: fn(&mut Self) -> &mut BTreeMap<String, usize>, number: usize| {
            if number > 0 {
                *of(self).entry(id.to_owned()).or_default() += number;
            }
        };
        // What the tolerant reading makes of it is told whichever reading is in use.
        let tolerant = ParsedAnnotation::read(annotated, Reading::Tolerant);
        count(|repairs| &mut repairs.respelled, tolerant.respelled);
        count(|repairs| &mut repairs.tolerated, tolerant.tolerated);
        count(|repairs| &mut repairs.closed_early, tolerant.repaired);
        count(|repairs| &mut repairs.unclosed, parsed.unclosed);
        for (label, number) in &tolerant.respelled_labels {
            *self.respelled_labels.entry(label.clone()).or_default() += number;
        }
        for (label, number) in &parsed.unknown_labels {
            *self.unknown_labels.entry(label.clone()).or_default() += number;
        }
        if parsed.sections.is_empty() {
            self.empty.push(id.to_owned());
        }
    }

    /// The sum of one kind of oddity.
    pub fn total(of: &BTreeMap<String, usize>) -> usize {
        of.values().sum()
    }
}
