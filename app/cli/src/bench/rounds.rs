//! Measurements that are repeated in turn: every round measures all rows once, so that what the machine does besides falls on all of
//! them. A figure is the median of its rounds, and so is a ratio, which is taken inside each round.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::process::thread_counts;
use crate::failure::Failure;
use crate::output::{print_json, print_text, status};

/// Rounds where nothing else is asked for.
pub const ROUNDS: usize = 5;

/// The median of some measurements, the lowest and the highest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

impl Spread {
    /// Of numbers; none of no number.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() / 2;
        let lower = (sorted.len() - 1) / 2;
        Some(Self {
            median: (sorted[lower] + sorted[upper]) / 2.0,
            lowest,
            highest,
        })
    }
}

/// `2.71 (2.65 to 2.80)` with a precision; one measurement is a number alone.
impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = formatter.precision().unwrap_or(2);
        write!(formatter, "{:.digits$}", self.median)?;
        if self.lowest < self.highest {
            write!(formatter, " ({:.digits$} to {:.digits$})", self.lowest, self.highest)?;
        }
        Ok(())
    }
}

/// The rows of every round, in one order.
pub struct Rounds(Vec<Vec<Value>>);

impl Rounds {
    /// Measures so many rounds, each of which gives the same rows: those `of_threads` for every number of threads, and those that are
    /// measured `once` a round.
    ///
    /// # Errors
    /// The first of a round.
    pub fn measure(
        runs: usize,
        threads: Option<usize>,
        mut of_threads: impl FnMut(usize) -> Result<Vec<Value>, Failure>,
        mut once: impl FnMut() -> Result<Vec<Value>, Failure>,
    ) -> Result<Self, Failure> {
        let mut rounds = Vec::new();
        for round in 1..=runs {
            let mut rows = Vec::new();
            for threads in thread_counts(threads) {
                status!("round {round} of {runs}: {threads} thread{}", if threads == 1 { "" } else { "s" });
                rows.extend(of_threads(threads)?);
            }
            rows.extend(once()?);
            rounds.push(rows);
        }
        Ok(Self(rounds))
    }

    /// Prints the rows as JSON, or what `table` makes of them and what its numbers are.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self, figures: &[&str], json: bool, table: impl FnOnce(&[Value]) -> (Vec<String>, Vec<String>)) -> Result<(), Failure> {
        let rows = self.rows(figures);
        if json {
            return print_json(&rows);
        }
        let (mut lines, below) = table(&rows);
        lines.push(format!("medians of {} rounds (lowest to highest)", self.0.len()));
        lines.extend(below);
        print_text(&lines.join("\n"))
    }

    /// The rows with the medians of these figures, their lowest and highest under `range`, and the number of `runs`; all else as the
    /// first round says it.
    fn rows(&self, figures: &[&str]) -> Vec<Value> {
        let first = self.0.first().map_or(&[][..], Vec::as_slice);
        let merged = |(place, row): (usize, &Value)| {
            let mut row = row.clone();
            let mut range = Map::new();
            for figure in figures {
                if let Some(spread) = self.spread(place, figure) {
                    row[*figure] = spread.median.into();
                    range.insert((*figure).into(), json!([spread.lowest, spread.highest]));
                }
            }
            row["range"] = range.into();
            row["runs"] = self.0.len().into();
            row
        };
        first.iter().enumerate().map(merged).collect()
    }

    /// What the rounds measured of a row's figure.
    pub fn spread(&self, row: usize, figure: &str) -> Option<Spread> {
        Spread::of(self.0.iter().filter_map(|rows| rows.get(row)?[figure].as_f64()))
    }

    /// A row's figure in units of another row's, round by round.
    pub fn ratio(&self, row: usize, other: usize, figure: &str) -> Option<Spread> {
        let of_round = |rows: &Vec<Value>| Some(rows.get(row)?[figure].as_f64()? / rows.get(other)?[figure].as_f64()?);
        Spread::of(self.0.iter().filter_map(of_round))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_medians_and_ratios_are_taken_inside_a_round() {
        let own = [4.0, 2.0, 9.0];
        let other = [8.0, 8.0, 9.0];
        let rounds = Rounds(
            (0..3)
                .map(|round| {
                    vec![
                        json!({"what": "own", "seconds": own[round], "threads": 1}),
                        json!({"what": "other", "seconds": other[round], "threads": 2, "memory": null}),
                    ]
                })
                .collect(),
        );
        let rows = rounds.rows(&["seconds", "memory"]);
        let wanted = json!([
            {"what": "own", "seconds": 4.0, "threads": 1, "range": {"seconds": [2.0, 9.0]}, "runs": 3},
            {"what": "other", "seconds": 8.0, "threads": 2, "memory": null, "range": {"seconds": [8.0, 9.0]}, "runs": 3},
        ]);
        assert_eq!(Value::from(rows), wanted);
        assert_eq!(rounds.ratio(0, 1, "seconds").unwrap().to_string(), "0.50 (0.25 to 1.00)");
        assert_eq!(rounds.ratio(0, 1, "memory"), None);
    }

    #[test]
    fn one_measurement_has_no_range_and_an_even_number_two_in_the_middle() {
        assert_eq!(format!("{:.1}", Spread::of([2.0]).unwrap()), "2.0");
        assert_eq!(Spread::of([1.0, 9.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }
}
