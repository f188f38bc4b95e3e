//! A sheet on which a person checks a sample of sections, and what filled sheets say (paper, appendix G and table 6).

use std::collections::BTreeMap;

use cruxscope_statistics::{Bootstrap, SplitMix, spearman, spearman_interval};
use cruxscope_study::{Behaviour, printable};
use cruxscope_trace::{Alignment, ParsedAnnotation, Reading, align_characters};
use serde::Serialize;

use super::{AnnotatedOutput, Subject};
use crate::error::BenchmarkError;

/// Characters of text shown before and after a section.
const CONTEXT: usize = 120;
/// How a text begins that a spreadsheet would compute, or take for a quotation.
const ARMED: [char; 6] = ['=', '+', '-', '@', '"', '\''];
/// The first line of a sheet.
const HEADER: &str = "id\tsection\tbehaviour\tbefore\ttext\tafter\tcorrect";

/// One section to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRow {
    /// The instance.
    pub id: String,
    /// The section's place in the annotation, from 0.
    pub section: usize,
    /// What the annotator calls it.
    pub behaviour: Behaviour,
    /// Text before it in the output.
    pub before: String,
    /// Its text in the output.
    pub text: String,
    /// Text after it.
    pub after: String,
    /// What the person says; nothing yet, or where nothing can be said.
    pub correct: Option<bool>,
}

/// A sheet of sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckSheet {
    /// Its rows, trace by trace.
    pub rows: Vec<CheckRow>,
}

impl CheckSheet {
    /// Draws so many of the annotated traces, and lists every section of the four behaviours in them.
    pub fn draw(subjects: &[Subject], annotations: &[AnnotatedOutput], traces: usize, seed: u64) -> Self {
        let by_id: BTreeMap<&str, &AnnotatedOutput> = annotations.iter().map(|annotation| (annotation.id.as_str(), annotation)).collect();
        let annotated: Vec<(&Subject, &AnnotatedOutput)> = subjects
            .iter()
            .filter_map(|subject| Some((subject, *by_id.get(subject.id.as_str())?)))
            .collect();
        let mut rows = Vec::new();
        for place in SplitMix::new(seed).pick(traces, annotated.len()) {
            let (subject, annotation) = annotated[place];
            let parsed = ParsedAnnotation::read(&annotation.annotated, Reading::Tolerant);
            let characters: Vec<char> = subject.prompt.chars().chain(subject.output.chars()).collect();
            let text = |start: usize, end: usize| characters[start..end].iter().collect::<String>();
            for segment in align_characters(&subject.prompt, &subject.output, &parsed.sections, Alignment::ForwardSearch).segments {
                let Some(behaviour) = segment.label.behaviour() else { continue };
                let (start, end) = segment.characters;
                rows.push(CheckRow {
                    id: subject.id.clone(),
                    section: segment.section,
                    behaviour,
                    before: text(start.saturating_sub(CONTEXT), start),
                    text: text(start, end),
                    after: text(end, (end + CONTEXT).min(characters.len())),
                    correct: None,
                });
            }
        }
        Self { rows }
    }

    /// The sheet as text for any spreadsheet: tabs between columns, line breaks and tabs in texts shown as `↵` and a space; what a
    /// spreadsheet would take for a formula, or for the beginning of a quotation, has an apostrophe before it. The last column is to be
    /// filled with `1` (right) or `0` (wrong).
    pub fn to_text(&self) -> String {
        let plain = |text: &str| {
            let text = text.replace('\n', "↵").replace(['\t', '\r'], " ");
            let text = printable(&text);
            if text.trim_start().starts_with(ARMED) {
                format!("'{text}")
            } else {
                text.into_owned()
            }
        };
        let mut lines = vec![HEADER.to_owned()];
        lines.extend(self.rows.iter().map(|row| {
            let correct = row.correct.map_or("", |correct| if correct { "1" } else { "0" });
            format!(
                "{}\t{}\t{}\t{}\t{}\t{}\t{correct}",
                plain(&row.id),
                row.section,
                row.behaviour,
                plain(&row.before),
                plain(&row.text),
                plain(&row.after)
            )
        }));
        lines.join("\n") + "\n"
    }

    /// Reads a sheet, filled or in part.
    ///
    /// # Errors
    ///
    /// If a line is none of a sheet, with its number.
    pub fn from_text(text: &str) -> Result<Self, BenchmarkError> {
        let wrong = |number: usize, why: &str| BenchmarkError::Nothing {
            what: format!("line {number} of the check sheet {why}"),
        };
        let mut rows = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(place, line)| (place + 1, line.trim_end_matches('\r'))) {
            if number == 1 && line.trim_start_matches('\u{feff}') != HEADER {
                return Err(wrong(1, "is not the sheet's header; keep the columns as they are"));
            }
            if number == 1 || line.trim().is_empty() {
                continue;
            }
            let columns: Vec<&str> = line.split('\t').collect();
            let [id, section, behaviour, before, text, after, correct] = columns.as_slice() else {
                return Err(wrong(number, "does not have seven columns between tabs"));
            };
            let text_of = |column: &str| {
                let armed = |rest: &&str| rest.trim_start().starts_with(ARMED);
                column.strip_prefix('\'').filter(armed).unwrap_or(column).to_owned()
            };
            rows.push(CheckRow {
                id: text_of(id),
                section: section.parse().map_err(|_| wrong(number, "has no number in its second column"))?,
                behaviour: behaviour.parse().map_err(|why: String| wrong(number, &why))?,
                before: text_of(before),
                text: text_of(text),
                after: text_of(after),
                correct: match correct.trim().to_lowercase().as_str() {
                    "" | "?" => None,
                    "1" | "yes" | "true" => Some(true),
                    "0" | "no" | "false" => Some(false),
                    _ => return Err(wrong(number, "says neither 1 nor 0 in its last column")),
                },
            });
        }
        Ok(Self { rows })
    }

    /// The rating of each trace for a behaviour: the share of its checked sections that are right.
    fn ratings_of(&self, behaviour: Behaviour) -> BTreeMap<&str, f64> {
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.behaviour == behaviour) {
            if let Some(correct) = row.correct {
                let (right, all) = counts.entry(row.id.as_str()).or_default();
                *right += usize::from(correct);
                *all += 1;
            }
        }
        counts.into_iter().map(|(id, (right, all))| (id, right as f64 / all as f64)).collect()
    }
}

/// Two filled sheets side by side, for one behaviour: a line of the paper's table 6.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RatingComparison {
    /// The behaviour.
    pub behaviour: String,
    /// Traces that both sheets rate.
    pub traces: usize,
    /// Mean rating on the first.
    pub first: Option<f64>,
    /// Mean rating on the second.
    pub second: Option<f64>,
    /// Spearman's correlation of the two.
    pub spearman: Option<f64>,
    /// Its bootstrap interval.
    pub interval: Option<(f64, f64)>,
}

/// Compares two filled sheets, such as those of two annotators or two temperatures. Traces without a checked section of a
/// behaviour have no rating for it, and only traces that both sheets rate are compared.
pub fn ratings(first: &CheckSheet, second: &CheckSheet, bootstrap: &Bootstrap) -> Vec<RatingComparison> {
    let compare = |behaviour: Behaviour| {
        let (a, b) = (first.ratings_of(behaviour), second.ratings_of(behaviour));
        let (a, b): (Vec<f64>, Vec<f64>) = a.iter().filter_map(|(id, a)| Some((*a, *b.get(id)?))).unzip();
        let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        RatingComparison {
            behaviour: behaviour.name().to_owned(),
            traces: a.len(),
            first: mean(&a),
            second: mean(&b),
            spearman: spearman(&a, &b),
            interval: spearman_interval(&a, &b, bootstrap),
        }
    };
    Behaviour::ALL.into_iter().map(compare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material() -> (Vec<Subject>, Vec<AnnotatedOutput>) {
        let subjects = (0..6).map(|i| Subject {
            id: format!("FOLIO/{i}"),
            prompt: "p".into(),
            output: "Hm.\nWait,\tno. So é.".into(),
        });
        let annotation = |subject: &Subject| AnnotatedOutput {
            id: subject.id.clone(),
            annotated: "[\"backtracking\"] Wait,\tno. [\"end-section\"] [\"deduction\"] So é. [\"end-section\"]".into(),
            windows_cut: 0,
        };
        let subjects: Vec<Subject> = subjects.collect();
        let annotations = subjects.iter().map(annotation).collect();
        (subjects, annotations)
    }

    #[test]
    fn a_sheet_is_drawn_filled_and_read_back() {
        let (subjects, annotations) = material();
        let mut sheet = CheckSheet::draw(&subjects, &annotations, 5, 1);
        assert_eq!(sheet.rows.len(), 5);
        assert_eq!(sheet, CheckSheet::draw(&subjects, &annotations, 5, 1));
        assert_eq!(
            (sheet.rows[0].before.as_str(), sheet.rows[0].text.as_str(), sheet.rows[0].after.as_str()),
            ("pHm.\n", "Wait,\tno.", " So é.")
        );
        for (place, row) in sheet.rows.iter_mut().enumerate() {
            row.correct = (place < 4).then_some(place < 3);
        }
        let read = CheckSheet::from_text(&sheet.to_text()).unwrap();
        assert_eq!(
            read.rows.iter().map(|row| row.correct).collect::<Vec<_>>(),
            [Some(true), Some(true), Some(true), Some(false), None]
        );
        assert_eq!(read.rows[0].text, "Wait, no.");
        let compared = ratings(&read, &read, &Bootstrap::default());
        assert_eq!((compared[0].traces, compared[0].first), (4, Some(0.75)));
        assert!((compared[0].spearman.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!((compared[1].traces, compared[1].first), (0, None));
    }

    #[test]
    fn no_text_is_a_formula_in_a_spreadsheet_and_all_read_back() {
        let texts = ["=HYPERLINK(\"x\")", "+1", "-1", "@x", "\"quoted", "'plain", " =1", "'=1", "plain"];
        let rows = texts.map(|text| CheckRow {
            id: text.into(),
            section: 0,
            behaviour: Behaviour::Backtracking,
            before: "a\u{1b}[31m".into(),
            text: text.into(),
            after: String::new(),
            correct: Some(true),
        });
        let sheet = CheckSheet { rows: rows.to_vec() };
        let written = sheet.to_text();
        for column in written.lines().flat_map(|line| line.split('\t')) {
            assert!(
                !column.trim_start().starts_with(['=', '+', '-', '@', '"']) && !column.contains('\u{1b}'),
                "{column}"
            );
        }
        let read = CheckSheet::from_text(&written).unwrap();
        assert_eq!(read.rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), texts);
        assert_eq!(read.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn wrong_sheets_are_told_by_line() {
        let (subjects, annotations) = material();
        let text = CheckSheet::draw(&subjects, &annotations, 2, 1).to_text();
        assert!(CheckSheet::from_text("a\tb").unwrap_err().to_string().contains("line 1"));
        assert!(
            CheckSheet::from_text(&text.replace("backtracking", "dancing"))
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
        assert!(
            CheckSheet::from_text(&text.replacen("So é.\t\n", "So é.\tperhaps\n", 1))
                .unwrap_err()
                .to_string()
                .contains("neither 1 nor 0")
        );
    }
}
