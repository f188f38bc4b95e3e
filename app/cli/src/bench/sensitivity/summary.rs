//! Everything that the bench found, as JSON.
//!
//! A rule chooses a recipe from every sketch. Its divergence is the mean over them; the interval is over evaluation windows (a bootstrap
//! that draws the windows of all recipes together), the range over seeds of labels.

use cruxscope_run::RunError;
use cruxscope_sensitivity::allocate::uniform;
use cruxscope_sensitivity::rules::{Rule, numbers};
use cruxscope_statistics::{Bootstrap, RankCorrelation};
use cruxscope_study::{Measured, Scope, Sensitivity, Trial, TrialRow, Validation, WindowLoss};
use serde_json::{Value, json};

use super::Arguments;
use super::measure::{Findings, SEED, UNIFORM};
use crate::failure::Failure;

/// The summary.
pub(super) fn summary(arguments: &Arguments, found: &Findings) -> Result<Value, Failure> {
    let first = &found.sketches[0];
    let rows = |trial: &Trial| trial.rows.clone();
    let all: Vec<TrialRow> = found.trials.iter().flat_map(rows).collect();
    let uniforms: Vec<Value> = (all.iter().filter(|row| row.group == UNIFORM).enumerate())
        .map(|(format, row)| {
            let recipe = uniform(first, format);
            json!({
                "format": row.name,
                "bits_per_weight": row.bits_per_weight,
                "predicted": measured(predicted(&found.sketches, &recipe)),
                "predicted_by_seed": of_seeds(&found.sketches, &recipe),
                "measured": measured(row.kl()),
            })
        })
        .collect();
    let mut contests = Vec::new();
    for trial in &found.trials {
        for group in trial.groups().into_iter().filter(|group| *group != UNIFORM) {
            contests.push(contest(trial, group));
        }
    }
    let correlations = match &found.alone {
        Some(alone) => correlations(found, alone)?,
        None => Vec::new(),
    };
    let (sketching, measuring) = found.seconds;
    Ok(json!({
        "model": first.facts.model,
        "sketched": arguments.calibration_array,
        "evaluated": arguments.evaluation_array,
        "draws": arguments.draws * first.facts.windows.len(),
        "seeds": found.sketches.len(),
        "menu": first.facts.formats.iter().map(|format| &format.name).collect::<Vec<_>>(),
        "uniform": uniforms,
        "rank_correlation": correlations,
        "has_importance": found.importance.is_some(),
        "alone": found.alone.as_ref().map(|alone| json!({
            "format": first.facts.formats[0].name,
            "components": alone.components.len(),
            "predictions": alone.predictions,
        })),
        "contests": contests,
        "processor_seconds": {"sketch": sketching, "every_matrix_alone_in_one_format": measuring},
    }))
}

fn measured(value: Option<Measured>) -> Value {
    value.map_or(Value::Null, |value| json!({"value": value.value, "interval": value.interval}))
}

/// What a recipe is predicted to cost by the draws of all sketches together; the interval is over windows.
fn predicted(sketches: &[Sensitivity], recipe: &[Option<usize>]) -> Option<Measured> {
    let mut windows: Vec<(f64, f64)> = Vec::new();
    for sketch in sketches {
        let own = sketch.window_squares(Scope::All, recipe)?;
        windows.resize(own.len(), (0.0, 0.0));
        for (sum, own) in windows.iter_mut().zip(own) {
            *sum = (sum.0 + own.0, sum.1 + own.1);
        }
    }
    let mean = |times: &[f64]| {
        let (squares, positions) = (windows.iter().zip(times)).fold((0.0, 0.0), |sum, (window, times)| (sum.0 + times * window.0, sum.1 + times * window.1));
        (positions > 0.0).then(|| squares / (2.0 * positions))
    };
    Some(Measured {
        value: mean(&vec![1.0; windows.len()])?,
        interval: Bootstrap::default().interval(windows.len(), |times| mean(&times)),
    })
}

fn of_seeds(sketches: &[Sensitivity], recipe: &[Option<usize>]) -> Value {
    let windows: Vec<usize> = (0..sketches[0].facts.windows.len()).collect();
    let values: Vec<f64> = sketches.iter().filter_map(|sketch| sketch.predicted_kl(Scope::All, recipe, &windows)).collect();
    spread(&values)
}

/// Mean, lowest and highest of some numbers.
fn spread(values: &[f64]) -> Value {
    if values.is_empty() {
        return Value::Null;
    }
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    json!({"mean": mean, "lowest": low, "highest": high, "n": values.len()})
}

/// Rows of one size, by rule.
fn contest(trial: &Trial, group: &str) -> Value {
    // Uniform formats of several methods are rows of their own.
    let label = |row: &TrialRow| -> String {
        if row.rule == UNIFORM {
            row.name.rsplit_once(SEED).map_or(row.name.as_str(), |(name, _)| name).to_owned()
        } else {
            row.rule.clone()
        }
    };
    let mut rules: Vec<(String, Vec<&TrialRow>)> = Vec::new();
    for row in trial.rows.iter().filter(|row| row.group == group) {
        let label = label(row);
        match rules.iter_mut().find(|(known, _)| *known == label) {
            Some((_, rows)) => rows.push(row),
            None => rules.push((label, vec![row])),
        }
    }
    let means: Vec<TrialRow> = rules.iter().map(|(label, rows)| mean_row(label, rows)).collect();
    let gradient = means.iter().find(|row| row.name == Rule::GradientScore.name());
    let kl = |row: &TrialRow| row.kl().map_or(f64::INFINITY, |kl| kl.value);
    let uniform = means.iter().filter(|row| row.rule == UNIFORM).min_by(|a, b| kl(a).total_cmp(&kl(b)));
    let of_rule = |((label, rows), mean): (&(String, Vec<&TrialRow>), &TrialRow)| {
        let values: Vec<f64> = rows.iter().filter_map(|row| Some(row.kl()?.value)).collect();
        let predicted: Vec<f64> = rows.iter().filter_map(|row| row.predicted_kl).collect();
        json!({
            "rule": label,
            "bits_per_weight": mean.bits_per_weight,
            "predicted_kl": spread(&predicted),
            "kl": measured(mean.kl()),
            "kl_by_seed": spread(&values),
            "over_gradient_score": measured(gradient.and_then(|gradient| mean.ratio(gradient))),
            "over_best_uniform": measured(uniform.and_then(|uniform| mean.ratio(uniform))),
        })
    };
    let predictions: usize = trial.original.iter().map(|window| window.predictions).sum();
    json!({
        "group": group,
        "windows": trial.original.len(),
        "predictions": predictions,
        "best_uniform": uniform.map(|row| &row.name),
        "rules": rules.iter().zip(&means).map(of_rule).collect::<Vec<_>>(),
    })
}

/// A rule's rows, window by window in the mean.
fn mean_row(label: &str, rows: &[&TrialRow]) -> TrialRow {
    let count = rows.len() as f64;
    let mut windows: Vec<WindowLoss> = rows[0].windows.iter().map(|window| WindowLoss { kl: 0.0, loss: 0.0, ..*window }).collect();
    for row in rows {
        for (sum, own) in windows.iter_mut().zip(&row.windows) {
            sum.kl += own.kl / count;
            sum.loss += own.loss / count;
        }
    }
    TrialRow {
        name: label.to_owned(),
        bits_per_weight: rows.iter().map(|row| row.bits_per_weight).sum::<f64>() / count,
        windows,
        ..rows[0].clone()
    }
}

/// Rank correlation of every rule's numbers for the first format with the measured divergence of each matrix alone, and the sum of the
/// numbers over that of the divergences where they are in nats.
fn correlations(found: &Findings, alone: &Validation) -> Result<Vec<Value>, Failure> {
    let divergences: Vec<f64> = alone.components.iter().map(|component| component.divergence).collect();
    let total: f64 = divergences.iter().sum();
    let mut all = Vec::new();
    let mut add = |name: &str, is_in_nats: bool, of_seeds: Vec<Vec<f64>>, of_all: Option<Vec<f64>>| {
        let rho: Vec<f64> = (of_seeds.iter())
            .filter_map(|numbers| RankCorrelation::of(numbers, &divergences))
            .map(|correlation| correlation.rho)
            .collect();
        let sums: Vec<f64> = of_seeds.iter().map(|numbers| numbers.iter().sum::<f64>() / total).collect();
        if !rho.is_empty() {
            let of_all = of_all.and_then(|numbers| RankCorrelation::of(&numbers, &divergences));
            all.push(json!({
                "rule": name,
                "rho": spread(&rho),
                "rho_of_all_draws": of_all.map(|correlation| correlation.rho),
                "sum_over_measured": if is_in_nats { spread(&sums) } else { Value::Null },
            }));
        }
    };
    let of_sketch = |sketch: &Sensitivity, rule: Rule| -> Result<Option<Vec<f64>>, Failure> {
        let formats = sketch.facts.formats.len();
        let numbers = numbers(sketch, Scope::All, rule).map_err(RunError::from)?;
        Ok(numbers.map(|numbers| numbers.iter().step_by(formats).copied().collect()))
    };
    for rule in Rule::ALL {
        let mut of_seeds = Vec::new();
        for sketch in &found.sketches {
            of_seeds.extend(of_sketch(sketch, rule)?);
        }
        let of_all = match &found.together {
            Some(sketch) => of_sketch(sketch, rule)?,
            None => None,
        };
        let is_in_nats = matches!(rule, Rule::Estimate | Rule::Score | Rule::Predicted | Rule::GradientRatio);
        add(rule.name(), is_in_nats, of_seeds, of_all);
    }
    if let Some(importance) = &found.importance {
        add("the paper's relative importance", false, vec![importance.clone()], None);
    }
    Ok(all)
}
