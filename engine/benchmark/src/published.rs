//! The paper's tables, value by value: what one's own runs are laid beside.
//!
//! The numbers stand in `published/tables.json`, each under its table, row and metric, so that every one of them can be
//! looked up in the paper. What a table says of the number of passes is there too; intervals are computed from it here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::datasets::Benchmark;

/// The file of this program.
const TABLES: &str = include_str!("../published/tables.json");

/// A study of published results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Where the numbers come from.
    pub source: Source,
    /// Questions of each benchmark (table 5).
    pub questions: BTreeMap<Benchmark, usize>,
    /// The tables, by number.
    pub tables: Vec<Table>,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its title.
    pub title: String,
    /// Its authors.
    pub authors: String,
    /// Its number at arXiv.
    pub arxiv: String,
    /// The version there.
    pub version: u32,
    /// Its licence.
    pub licence: String,
}

/// A table of the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its number.
    pub number: u32,
    /// What it shows.
    pub title: String,
    /// The section it belongs to.
    pub place: String,
    /// How its numbers came about, as far as the paper says or the numbers show.
    pub note: String,
    /// The share of outputs at either end, for the tables of test-time compute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Its rows, in its order.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The model, or what else the row is about.
    pub model: String,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// How it was compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// What else sets the row apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// Passes that its values are means of; nothing where the paper does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<u32>,
    /// Its values by metric: percent, but ratios, ratings and correlations as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f64>,
    /// Facts that are no scores.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
}

/// One published value with what can be computed from it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublishedValue {
    /// The table.
    pub table: u32,
    /// The row, in words.
    pub row: String,
    /// The metric, such as `folio` or `musique_em_short`.
    pub metric: String,
    /// The value as printed.
    pub value: f64,
    /// Passes, if they are known.
    pub passes: Option<u32>,
    /// Questions, for shares of questions.
    pub n: Option<usize>,
    /// Answers that were right in all passes together, where the printed value is such a number to its last digit.
    pub correct: Option<usize>,
    /// Wilson's interval at 95 %, in percent, from the questions alone: passes over the same questions do not make it narrower,
    /// since without the outputs nobody can say by how much.
    pub interval: Option<(f64, f64)>,
    /// Whether the printed value is a whole number of answers to its last digit; nothing for values that are no such share.
    pub on_grid: Option<bool>,
}

impl Published {
    /// The tables that this program carries.
    ///
    /// # Errors
    ///
    /// If its file is damaged, which the tests rule out.
    pub fn load() -> Result<Self, serde_json::Error> {
        serde_json::from_str(TABLES)
    }

    /// Every value, table by table, row by row.
    pub fn values(&self) -> Vec<PublishedValue> {
        let of_table = |table: &Table| -> Vec<PublishedValue> {
            let of_row = |row: &Row| -> Vec<PublishedValue> {
                let value = |(metric, value): (&String, &f64)| self.value(table, row, metric, *value);
                row.values.iter().map(value).collect()
            };
            table.rows.iter().flat_map(of_row).collect()
        };
        self.tables.iter().flat_map(of_table).collect()
    }

    pub(crate) fn value(&self, table: &Table, row: &Row, metric: &str, value: f64) -> PublishedValue {
        let n = answers(metric)
            .and_then(|benchmark| self.questions.get(&benchmark))
            .map(|questions| match table.share {
                // As test-time splits are counted: rounded down, 0.3 times 30 being a hair below 9.
                Some(share) => (share * *questions as f64 + 1e-9).floor() as usize,
                None => *questions,
            });
        let mut found = PublishedValue {
            table: table.number,
            row: row.words(),
            metric: metric.to_owned(),
            value,
            passes: row.passes,
            n,
            correct: None,
            interval: None,
            on_grid: None,
        };
        if let (Some(n), Some(passes)) = (n, row.passes) {
            let answers = n * passes as usize;
            let nearest = (value / 100.0 * answers as f64).round();
            let on_grid = (100.0 * nearest / answers as f64 - value).abs() <= 0.05 + 1e-9;
            found.on_grid = Some(on_grid);
            found.correct = on_grid.then_some(nearest as usize);
            let share = if on_grid { nearest / answers as f64 } else { value / 100.0 };
            found.interval = cruxscope_statistics::wilson_share(share, n as f64).map(|(low, high)| (100.0 * low, 100.0 * high));
        }
        found
    }
}

/// The benchmark whose questions a metric counts right; nothing for F1, averages, ratios and ratings.
fn answers(metric: &str) -> Option<Benchmark> {
    let metric = metric.trim_end_matches("_short").trim_end_matches("_long");
    match metric {
        "aime" => Some(Benchmark::Aime),
        "folio" => Some(Benchmark::Folio),
        "temporal" => Some(Benchmark::Temporal),
        "musique_em" => Some(Benchmark::Musique),
        _ => None,
    }
}

impl Row {
    /// The row in words, such as `R1-Distill-Llama 70B, Distillation & 4-bit AWQ`.
    pub fn words(&self) -> String {
        let name = [Some(&self.model), self.parameters.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        [Some(&name), self.compression.as_ref(), self.setting.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::{Level, collapse_point};

    fn published() -> Published {
        Published::load().unwrap()
    }

    fn value(table: u32, row: &str, metric: &str) -> PublishedValue {
        let found: Vec<PublishedValue> = published()
            .values()
            .into_iter()
            .filter(|value| value.table == table && value.row == row && value.metric == metric)
            .collect();
        assert_eq!(found.len(), 1, "{table} {row} {metric}");
        found[0].clone()
    }

    #[test]
    fn eleven_tables_with_their_rows() {
        let rows: Vec<(u32, usize)> = published().tables.iter().map(|table| (table.number, table.rows.len())).collect();
        assert_eq!(
            rows,
            [(1, 39), (2, 16), (3, 5), (4, 2), (5, 4), (6, 4), (7, 2), (8, 4), (9, 6), (10, 10), (11, 10)]
        );
        let awq = value(1, "R1-Distill-Llama 8B, Distillation & 4-bit AWQ", "aime");
        assert_eq!((awq.value, awq.passes, awq.n, awq.correct), (47.8, Some(3), Some(30), Some(43)));
        assert_eq!(value(1, "R1-Distill-Llama 8B, Distillation & 4-bit AWQ", "musique_f1").interval, None);
    }

    #[test]
    fn single_passes_are_whole_numbers_of_questions() {
        let off: Vec<PublishedValue> = published()
            .values()
            .into_iter()
            .filter(|value| value.passes == Some(1) && value.on_grid == Some(false))
            .collect();
        // One misprint: 18 of 203 are 8.9.
        assert_eq!(
            off.iter().map(|value| (value.table, value.metric.as_str(), value.value)).collect::<Vec<_>>(),
            [(2, "folio", 8.7)]
        );
        for table in [3, 4, 9] {
            let values: Vec<_> = published()
                .values()
                .into_iter()
                .filter(|value| value.table == table && value.n.is_some())
                .collect();
            assert!(values.len() >= 6 && values.iter().all(|value| value.on_grid == Some(true) && value.passes == Some(1)));
        }
        // Means of three passes were rounded before they were averaged, now and then.
        let averaged: Vec<_> = published()
            .values()
            .into_iter()
            .filter(|value| value.passes == Some(3) && value.on_grid == Some(false))
            .collect();
        assert_eq!(averaged.len(), 7);
    }

    #[test]
    fn averages_are_those_of_their_parts_but_for_two() {
        let mut off = Vec::new();
        for table in &published().tables {
            for row in &table.rows {
                if let (Some(average), Some(aime), Some(folio), Some(temporal)) = (
                    row.values.get("average"),
                    row.values.get("aime"),
                    row.values.get("folio"),
                    row.values.get("temporal"),
                ) {
                    // The parts are rounded themselves.
                    if ((aime + folio + temporal) / 3.0 - average).abs() > 0.06 {
                        off.push((table.number, *average));
                        assert!(table.note.contains(&average.to_string()), "the note says so");
                    }
                }
            }
        }
        assert_eq!(off, [(1, 64.1), (2, 76.8)]);
    }

    #[test]
    fn intervals_come_from_the_questions_alone() {
        let one = value(3, "R1-Distill-Llama 8B, 3-bit, only 32_up, importance 1st in all", "aime");
        assert_eq!(
            (one.correct, one.interval),
            (Some(6), cruxscope_statistics::wilson(6, 30).map(|(low, high)| (100.0 * low, 100.0 * high)))
        );
        assert_eq!(value(8, "R1-Distill-Llama 8B, Distillation, retrieval, top 10", "musique_em").interval, None);
        for found in published().values() {
            if let Some((low, high)) = found.interval {
                assert!(low <= found.value + 0.06 && found.value <= high + 0.06, "{found:?}");
            }
        }
        let short = value(10, "R1-Distill-Qwen 32B, Distillation", "folio_short");
        assert_eq!((short.n, short.correct), (Some(60), Some(52)));
    }

    #[test]
    fn collapse_points_are_those_of_the_paper() {
        let point = |model: &str, metric: &str, benchmark| {
            let published = published();
            let rows = published.tables[1].rows.iter().filter(|row| row.model == model);
            let levels: Vec<Level> = rows
                .map(|row| Level {
                    level: row
                        .setting
                        .as_ref()
                        .and_then(|setting| setting.strip_prefix("sparsity ")?.parse().ok())
                        .unwrap(),
                    score: row.values[metric] / 100.0,
                })
                .collect();
            collapse_point(&levels, benchmark).map(|point| (point.before.level, point.collapsed.level))
        };
        // Section 3.2: AIME between 40 and 50 %, FOLIO and Temporal between 60 and 70 %; section 3.3: MuSiQue between 30 and 40 %.
        for model in ["R1-Distill-Llama", "R1-Distill-Qwen"] {
            assert_eq!(point(model, "aime", Benchmark::Aime), Some((40.0, 50.0)), "{model}");
            assert_eq!(point(model, "folio", Benchmark::Folio), Some((60.0, 70.0)), "{model}");
            assert_eq!(point(model, "temporal", Benchmark::Temporal), Some((60.0, 70.0)), "{model}");
        }
        assert_eq!(point("R1-Distill-Llama", "musique_em", Benchmark::Musique), Some((30.0, 40.0)));
    }
}
