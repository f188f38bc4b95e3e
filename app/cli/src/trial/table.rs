//! A trial as tables and as JSON.

use std::fmt::Write as _;

use cruxscope_study::{Measured, Trial, TrialRow, perplexity};
use serde_json::{Value, json};

/// `0.1234 [0.1200, 0.1300]`.
pub fn in_words(measured: Option<Measured>) -> String {
    measured.map_or_else(
        || "-".into(),
        |measured| {
            let interval = measured.interval.map_or_else(String::new, |(low, high)| format!(" [{low:.4}, {high:.4}]"));
            format!("{:.4}{interval}", measured.value)
        },
    )
}

/// A table for every group, the best row first, and a sentence on which is best.
pub fn table(trial: &Trial) -> String {
    let mut text = format!(
        "the model itself: perplexity {} over {} predictions\n",
        in_words(perplexity(&trial.original)),
        trial.original.iter().map(|window| window.predictions).sum::<usize>()
    );
    for group in trial.groups() {
        let mut rows: Vec<&TrialRow> = trial.rows.iter().filter(|row| row.group == group).collect();
        let Some(first) = rows.first().copied() else { continue };
        let kl = |row: &TrialRow| row.kl().map_or(f64::INFINITY, |kl| kl.value);
        rows.sort_by(|a, b| kl(a).total_cmp(&kl(b)));
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(group.len());
        // Writing to a String cannot fail.
        writeln!(
            text,
            "\n{group:<width$}  bits/weight  predicted  KL measured, nats        perplexity                  KL over {}'s",
            first.name
        )
        .ok();
        for row in &rows {
            let predicted = row.predicted_kl.map_or_else(|| "-".into(), |kl| format!("{kl:.4}"));
            writeln!(
                text,
                "{:<width$}  {:>11.3}  {predicted:>9}  {:<23}  {:<26}  {}",
                row.name,
                row.bits_per_weight,
                in_words(row.kl()),
                in_words(perplexity(&row.windows)),
                in_words(row.ratio(first))
            )
            .ok();
        }
        writeln!(text, "{}", verdict(first, &rows)).ok();
        write_accuracy(&mut text, &rows, width);
    }
    text.trim_end().to_owned()
}

/// How the models of some rows answer beside the model itself.
fn write_accuracy(text: &mut String, rows: &[&TrialRow], width: usize) {
    for row in rows {
        for found in &row.accuracy {
            let interval = found
                .interval
                .map_or_else(String::new, |(low, high)| format!(" [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high));
            // Writing to a String cannot fail.
            writeln!(
                text,
                "{:<width$}  {}: {} {:.1} %, the model itself {:.1} %, difference {:+.1}{interval} points over {} questions, p = {:.3}",
                row.name,
                found.benchmark,
                found.metric,
                100.0 * found.value,
                100.0 * found.original,
                100.0 * found.difference,
                found.questions,
                found.p_value
            )
            .ok();
        }
    }
}

/// Which row is best, and whether the interval says so.
fn verdict(first: &TrialRow, rows: &[&TrialRow]) -> String {
    let Some(best) = rows.first() else { return String::new() };
    let second = rows.iter().find(|row| row.windows != best.windows);
    let certain = second.and_then(|second| best.ratio(second)?.interval).is_some_and(|(_, high)| high < 1.0);
    let by = match (second, certain) {
        (Some(second), true) => format!(", certainly better than {}", second.name),
        (Some(second), false) => format!("; the intervals do not tell it from {}", second.name),
        (None, _) => String::new(),
    };
    let own = if best.name == first.name { "" } else { ", which is not the first recipe" };
    format!("best: {}{own}{by}", best.name)
}

/// Everything as JSON, means and intervals worked out.
pub fn summary(trial: &Trial) -> Value {
    let measured = |measured: Option<Measured>| measured.map(|measured| json!({"value": measured.value, "interval": measured.interval}));
    let groups: Vec<Value> = (trial.groups().into_iter())
        .map(|group| {
            let rows: Vec<&TrialRow> = trial.rows.iter().filter(|row| row.group == group).collect();
            let first = rows.first().copied();
            let of = |row: &&TrialRow| {
                json!({
                    "name": row.name,
                    "rule": row.rule,
                    "bits_per_weight": row.bits_per_weight,
                    "predicted_kl": row.predicted_kl,
                    "kl": measured(row.kl()),
                    "perplexity": measured(perplexity(&row.windows)),
                    "kl_over_first": measured(first.and_then(|first| row.ratio(first))),
                    "accuracy": row.accuracy,
                })
            };
            json!({"group": group, "best": trial.best(group).map(|row| &row.name), "rows": rows.iter().map(of).collect::<Vec<_>>()})
        })
        .collect();
    json!({"model": trial.model, "data": trial.data, "perplexity": measured(perplexity(&trial.original)), "groups": groups})
}
