//! The published numbers themselves: what their own intervals say of what is said of them.
//!
//! Only questions and passes are known, not the outputs, so that two rows cannot be compared question by question. The interval of a
//! difference combines those of the two values (MOVER, Newcombe 1998): with d = a - b, `low = d - sqrt((a - a_low)^2 + (b_high - b)^2)`.
//! Several passes over the same questions do not make an interval narrower, since nobody can say by how much.

use super::{Bound, Found, Number, Statement};
use crate::published::{Published, PublishedValue, Row, Table};

/// The benchmarks that the paper's average is over.
const AVERAGED: [&str; 3] = ["aime", "folio", "temporal"];

/// A published value with its interval, in percent.
#[derive(Clone, Copy)]
struct Known {
    value: f64,
    interval: Option<(f64, f64)>,
    n: usize,
    single: bool,
}

pub(super) fn found(statement: &Statement, published: &Published) -> Found {
    let bound = match (statement.above, statement.below, statement.within) {
        (Some(above), ..) => Bound::Above(above),
        (_, Some(below), _) => Bound::Below(below),
        (_, _, within) => Bound::Within(within.unwrap_or(0.0)),
    };
    let own = known(published, statement.table, &statement.row, &statement.metric);
    let other = statement.minus.as_deref().map(|minus| match minus.split_once(": ") {
        Some((table, row)) if table.parse::<u32>().is_ok() => known(published, table.parse().unwrap_or_default(), row, &statement.metric),
        _ => known(published, statement.table, minus, &statement.metric).or_else(|| known(published, statement.table, &statement.row, minus)),
    });
    let number = match (own, other) {
        (Some(own), None) => Some((own, own.value, own.interval)),
        (Some(own), Some(Some(other))) => {
            let single = own.single || other.single;
            let n = own.n.min(other.n);
            Some((Known { n, single, ..own }, own.value - other.value, difference(own, other)))
        }
        _ => None,
    };
    let mut why = Vec::new();
    if let Some((known, value, interval)) = number {
        if known.single {
            why.push("one pass".to_owned());
        }
        if let (Some((low, high)), true) = (interval, statement.minus.is_some()) {
            let half = if value >= 0.0 { value - low } else { high - value };
            why.push(format!("z about {:.1}", value.abs() / (half / 1.96).max(f64::MIN_POSITIVE)));
        }
        if interval.is_none() {
            why.push("the paper does not say of how many passes it is".into());
        }
    } else {
        why.push("the paper does not give these numbers".into());
    }
    Found {
        subject: format!("published, Table {}: {}", statement.table, statement.words),
        definition: None,
        statistic: if statement.minus.is_some() { "difference in points" } else { "value, %" }.into(),
        number: number.map(|(known, value, interval)| Number {
            value: rounded(value),
            interval: interval.map(|(low, high)| (rounded(low), rounded(high))),
            n: known.n,
            units: "questions",
            least: 1,
            exact: false,
        }),
        bound,
        why: why.join("; "),
        command: "cruxscope benchmark run … --samples-per-question N; cruxscope score …, on both models".into(),
        seen: vec![("view", "benchmarks".into()), ("experiment", format!("Table {}", statement.table))],
    }
}

/// Printed values have two digits at most; what is computed from them has no more.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// MOVER's interval of a difference.
fn difference(own: Known, other: Known) -> Option<(f64, f64)> {
    let ((low, high), (other_low, other_high)) = (own.interval?, other.interval?);
    let difference = own.value - other.value;
    let below = ((own.value - low).powi(2) + (other_high - other.value).powi(2)).sqrt();
    let above = ((high - own.value).powi(2) + (other.value - other_low).powi(2)).sqrt();
    Some((difference - below, difference + above))
}

fn known(published: &Published, table: u32, row: &str, metric: &str) -> Option<Known> {
    let table = published.tables.iter().find(|known| known.number == table)?;
    let row = table.rows.iter().find(|known| known.words() == row)?;
    let value = *row.values.get(metric)?;
    if metric != "average" {
        let found = of(published, table, row, metric)?;
        return Some(Known {
            value,
            interval: found.interval,
            n: found.n.unwrap_or(0),
            single: row.passes == Some(1),
        });
    }
    // The mean of three shares, whose intervals combine as those of a sum.
    let parts = AVERAGED.iter().map(|metric| of(published, table, row, metric)).collect::<Option<Vec<_>>>()?;
    let (mut below, mut above) = (0.0, 0.0);
    for part in &parts {
        let (low, high) = part.interval?;
        below += (part.value - low).powi(2) / 9.0;
        above += (high - part.value).powi(2) / 9.0;
    }
    Some(Known {
        value,
        interval: Some((value - f64::sqrt(below), value + f64::sqrt(above))),
        n: parts.iter().filter_map(|part| part.n).sum(),
        single: row.passes == Some(1),
    })
}

fn of(published: &Published, table: &Table, row: &Row, metric: &str) -> Option<PublishedValue> {
    let value = *row.values.get(metric)?;
    Some(published.value(table, row, metric, value))
}
