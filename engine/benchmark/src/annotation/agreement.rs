//! Two annotations of the same traces: do they mark the same text with the same behaviour?

use std::collections::BTreeMap;

use cruxscope_statistics::{Bootstrap, cohens_kappa, spearman, spearman_interval};
use cruxscope_study::Label;
use cruxscope_trace::{Alignment, ParsedAnnotation, Reading, align_characters};
use serde::Serialize;

use super::{AnnotatedOutput, Subject};

/// The six labels, and none.
const MARKS: usize = Label::ALL.len() + 1;

/// How far two annotators agree on one behaviour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelAgreement {
    /// The label.
    pub label: String,
    /// Characters that the first marks with it.
    pub first: u64,
    /// Characters that the second marks with it.
    pub second: u64,
    /// Characters that both do.
    pub both: u64,
    /// `2 both / (first + second)`.
    pub overlap: Option<f64>,
    /// Spearman's correlation, over traces, of the shares of an output that carry the label.
    pub spearman: Option<f64>,
    /// Its bootstrap interval.
    pub interval: Option<(f64, f64)>,
}

/// How far two annotators agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Traces that both annotated.
    pub traces: usize,
    /// Characters of their outputs.
    pub characters: u64,
    /// The share of characters to which both give the same label, or both none.
    pub same: f64,
    /// Cohen's kappa of that.
    pub kappa: Option<f64>,
    /// Label by label.
    pub labels: Vec<LabelAgreement>,
}

/// Compares two sets of annotations character by character of the outputs. `None` if they share no trace.
pub fn agreement(
    subjects: &[Subject],
    first: &[AnnotatedOutput],
    second: &[AnnotatedOutput],
    reading: Reading,
    alignment: Alignment,
    bootstrap: &Bootstrap,
) -> Option<Agreement> {
    let first: BTreeMap<&str, &AnnotatedOutput> = first.iter().map(|annotation| (annotation.id.as_str(), annotation)).collect();
    let second: BTreeMap<&str, &AnnotatedOutput> = second.iter().map(|annotation| (annotation.id.as_str(), annotation)).collect();
    let mut counts = [[0u64; MARKS]; MARKS];
    let mut shares: Vec<[Vec<f64>; 2]> = vec![Default::default(); Label::ALL.len()];
    let mut traces = 0;
    for subject in subjects {
        let (Some(first), Some(second)) = (first.get(subject.id.as_str()), second.get(subject.id.as_str())) else {
            continue;
        };
        traces += 1;
        let (a, b) = (marks(subject, first, reading, alignment), marks(subject, second, reading, alignment));
        for (a, b) in a.iter().zip(&b) {
            counts[usize::from(*a)][usize::from(*b)] += 1;
        }
        for (label, shares) in shares.iter_mut().enumerate() {
            for (marks, shares) in [&a, &b].into_iter().zip(shares.iter_mut()) {
                let marked = marks.iter().filter(|mark| usize::from(**mark) == label).count();
                shares.push(marked as f64 / marks.len().max(1) as f64);
            }
        }
    }
    if traces == 0 {
        return None;
    }
    let characters: u64 = counts.iter().flatten().sum();
    let labels = Label::ALL.iter().zip(&shares).enumerate().map(|(place, (label, [a, b]))| {
        let first: u64 = counts[place].iter().sum();
        let second: u64 = counts.iter().map(|row| row[place]).sum();
        let both = counts[place][place];
        LabelAgreement {
            label: label.name().to_owned(),
            first,
            second,
            both,
            overlap: (first + second > 0).then(|| 2.0 * both as f64 / (first + second) as f64),
            spearman: spearman(a, b),
            interval: spearman_interval(a, b, bootstrap),
        }
    });
    let same: u64 = (0..MARKS).map(|mark| counts[mark][mark]).sum();
    Some(Agreement {
        traces,
        characters,
        same: same as f64 / characters.max(1) as f64,
        kappa: cohens_kappa(&counts),
        labels: labels.collect(),
    })
}

/// The label of each character of the output, by its place among [`Label::ALL`]; the last place for none. Where sections
/// overlap, the later one counts.
fn marks(subject: &Subject, annotation: &AnnotatedOutput, reading: Reading, alignment: Alignment) -> Vec<u8> {
    let before = subject.prompt.chars().count();
    let mut marks = vec![Label::ALL.len() as u8; subject.output.chars().count()];
    let parsed = ParsedAnnotation::read(&annotation.annotated, reading);
    for segment in align_characters(&subject.prompt, &subject.output, &parsed.sections, alignment).segments {
        let place = Label::ALL.iter().position(|label| *label == segment.label).unwrap_or(Label::ALL.len());
        let (start, end) = segment.characters;
        for mark in marks.iter_mut().take(end.saturating_sub(before)).skip(start.saturating_sub(before)) {
            *mark = place as u8;
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(id: &str, text: &str) -> AnnotatedOutput {
        AnnotatedOutput {
            id: id.into(),
            annotated: text.into(),
            windows_cut: 0,
        }
    }

    #[test]
    fn the_same_and_another() {
        let subject = |id: &str| Subject {
            id: id.into(),
            prompt: "é?".into(),
            output: "Wait. So x.".into(),
        };
        let subjects = ["a", "b", "c", "d", "e"].map(subject);
        let first = [
            annotation("a", r#"["backtracking"] Wait. ["end-section"] ["deduction"] So x. ["end-section"]"#),
            annotation("b", r#"["deduction"] So x. ["end-section"]"#),
            annotation("c", ""),
            annotation("d", ""),
            annotation("x", ""),
        ];
        let same = agreement(&subjects, &first, &first, Reading::Tolerant, Alignment::ForwardSearch, &Bootstrap::default()).unwrap();
        assert_eq!((same.traces, same.characters, same.same, same.kappa), (4, 44, 1.0, Some(1.0)));
        let backtracking = same.labels.iter().find(|label| label.label == "backtracking").unwrap();
        assert_eq!((backtracking.first, backtracking.both, backtracking.overlap), (5, 5, Some(1.0)));
        assert_eq!(backtracking.spearman.map(|rho| (rho * 1e9).round() / 1e9), Some(1.0));
        let second = [annotation(
            "a",
            r#"["uncertainty-estimation"] Wait. ["end-section"] ["deduction"] So x. ["end-section"]"#,
        )];
        let other = agreement(&subjects, &first, &second, Reading::Tolerant, Alignment::ForwardSearch, &Bootstrap::default()).unwrap();
        assert_eq!(other.same, 6.0 / 11.0);
        assert!(other.kappa.unwrap() < 0.5);
        assert_eq!(
            agreement(&subjects, &first, &[], Reading::Tolerant, Alignment::ForwardSearch, &Bootstrap::default()),
            None
        );
    }
}
