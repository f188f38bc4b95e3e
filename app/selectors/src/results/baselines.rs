//! What rows are compared with: the model as it is, and the model compressed all over where rows spare some of it.
//!
//! Experiments that protect a few matrices say little without both. Where an experiment leaves them out they are taken from the other
//! experiments of the same results, and said to be.

use cruxscope_study::Score;

use super::methods::{Method, MethodKind, is_none};
use super::rows::{Cell, Column, Group, Row, label};

/// Adds to every group the rows that it is to be compared with, out of all numbered scores of its results: first the model as it is,
/// then what its other compressions are variants of.
pub fn borrow<'a>(groups: &mut [Group], columns: &[Column], scores: impl Iterator<Item = (usize, &'a Score)>) {
    let scores: Vec<(usize, &Score)> = scores.filter(|(_, score)| score.setting.is_empty()).collect();
    for group in groups {
        let mut taken: Vec<Row> = Vec::new();
        for (number, score) in scores.iter().filter(|(_, score)| score.model == group.model) {
            let Some(column) = columns.iter().position(|column| column.holds(score)) else {
                continue;
            };
            if !is_wanted(group, score) {
                continue;
            }
            let cell = Cell {
                score: *number,
                value: score.value,
                interval: score.interval,
                gain: None,
            };
            let at = taken.iter().position(|row| same(&row.compression, &score.compression)).unwrap_or_else(|| {
                taken.push(Row {
                    label: label(&score.compression),
                    setting: String::new(),
                    method: Method::of(&score.compression),
                    compression: score.compression.clone(),
                    borrowed: true,
                    source: 0,
                    cells: vec![None; columns.len()],
                });
                taken.len() - 1
            });
            // The first experiment that says it counts.
            taken[at].cells[column].get_or_insert(cell);
        }
        taken.sort_by_key(|row| row.method.kind != MethodKind::None);
        group.rows.splice(0..0, taken);
    }
}

fn same(a: &str, b: &str) -> bool {
    a == b || is_none(a) && is_none(b)
}

/// Whether a group lacks the row of a score and has others that are to be compared with it.
fn is_wanted(group: &Group, score: &Score) -> bool {
    let has = group.rows.iter().any(|row| same(&row.compression, &score.compression));
    !has && (is_none(&score.compression) || group.rows.iter().any(|row| is_variant(&row.compression, &score.compression)))
}

/// Whether a compression is another one with something added: `RTN, 2 bits, most important` is of `RTN, 2 bits`.
fn is_variant(compression: &str, of: &str) -> bool {
    !is_none(of) && compression.strip_prefix(of).is_some_and(|rest| rest.starts_with(", "))
}

/// Whether a row is the compression all over that others of its group are variants of: by its name, or by saying that it spares nothing.
fn is_all_over(row: &Row, group: &Group) -> bool {
    let spares_nothing = row.setting.to_ascii_lowercase().ends_with(": nothing");
    let variants = || group.rows.iter().any(|other| is_variant(&other.compression, &row.compression));
    row.method.kind != MethodKind::None && (spares_nothing || row.setting.is_empty() && variants())
}

/// Fills in the values that the rows of a group are compared with, and what each row gains.
pub fn mark(group: &mut Group) {
    let values = |row: &Row| row.cells.iter().map(|cell| cell.as_ref().map(|cell| cell.value)).collect();
    if let Some(plain) = group.rows.iter().find(|row| row.method.kind == MethodKind::None) {
        group.reference = values(plain);
    }
    let mut all_over = group.rows.iter().enumerate().filter(|(_, row)| is_all_over(row, group));
    // With two of them it is not said which a row is to be compared with.
    let (Some((at, row)), None) = (all_over.next(), all_over.next()) else {
        return;
    };
    group.compressed = values(row);
    for (position, row) in group.rows.iter_mut().enumerate() {
        if position == at || row.method.kind == MethodKind::None {
            continue;
        }
        for (cell, base) in row.cells.iter_mut().zip(&group.compressed) {
            if let (Some(cell), Some(base)) = (cell, base) {
                cell.gain = Some(cell.value - base);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::Results;

    use super::*;
    use crate::results::ResultsTable;

    fn score(experiment: &str, compression: &str, setting: &str, value: f64) -> Score {
        Score {
            experiment: experiment.into(),
            model: "m".into(),
            compression: compression.into(),
            setting: setting.into(),
            benchmark: "A".into(),
            metric: "accuracy".into(),
            unit: "%".into(),
            value,
            ..Score::default()
        }
    }

    #[test]
    fn rows_that_spare_some_matrices_stand_beside_both_ends() {
        let results = Results {
            schema: 1,
            scores: vec![
                score("all", "", "", 90.0),
                score("all", "RTN, 2 bits", "", 60.0),
                score("all", "AWQ, 2 bits", "", 70.0),
                score("few", "RTN, 2 bits, most important", "kept 6_down", 85.0),
            ],
            ..Results::default()
        };
        let table = ResultsTable::of(&[&results], "few", None);
        let rows = &table.groups[0].rows;
        let labels: Vec<(&str, bool)> = rows.iter().map(|row| (row.label.as_str(), row.borrowed)).collect();
        assert_eq!(
            labels,
            [("not compressed", true), ("RTN, 2 bits", true), ("RTN, 2 bits, most important", false)]
        );
        assert_eq!(table.groups[0].reference, [Some(90.0)]);
        assert_eq!(table.groups[0].compressed, [Some(60.0)]);
        let gains: Vec<Option<f64>> = rows.iter().map(|row| row.cells[0].as_ref().and_then(|cell| cell.gain)).collect();
        assert_eq!(gains, [None, None, Some(25.0)]);
        // The experiment that has everything is left as it is.
        let all = ResultsTable::of(&[&results], "all", None);
        assert_eq!(all.groups[0].rows.len(), 3);
        assert_eq!(all.groups[0].compressed, [None]);
    }

    #[test]
    fn a_row_that_says_it_spares_nothing_is_what_others_are_compared_with() {
        let results = Results {
            schema: 1,
            scores: vec![
                score("t", "3-bit AWQ", "full precision: nothing", 46.0),
                score("t", "3-bit AWQ", "full precision: last MLP", 52.6),
                score("other", "Distillation", "", 65.0),
            ],
            ..Results::default()
        };
        let group = &ResultsTable::of(&[&results], "t", None).groups[0];
        assert_eq!(group.rows.len(), 3);
        assert_eq!((group.reference[0], group.compressed[0]), (Some(65.0), Some(46.0)));
        assert!((group.rows[2].cells[0].as_ref().unwrap().gain.unwrap() - 6.6).abs() < 1e-9);
    }
}
