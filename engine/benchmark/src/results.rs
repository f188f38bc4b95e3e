//! Scores as a study shows them: one's own, by rule, and the published ones, by table.

use std::collections::BTreeMap;

use cruxscope_study::{RESULTS_SCHEMA, Results, Score, ScoredOutput};

use crate::datasets::Benchmark;
use crate::generator::Finish;
use crate::published::{Published, Row, Table};
use crate::samples::{Output, Outputs};
use crate::scoring::{BenchmarkScore, Estimate, Judged, Verdict};

/// How a set of outputs is named among others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heading<'a> {
    /// The experiment it belongs to.
    pub experiment: &'a str,
    /// The model, before compression.
    pub model: &'a str,
    /// How it was compressed; empty where it was not.
    pub compression: &'a str,
    /// What else sets it apart.
    pub setting: &'a str,
}

/// A benchmark's score with the outputs behind it: one entry, or for MuSiQue one each for exact match and F1. Lengths are in tokens where
/// every output's are known, and in characters otherwise.
pub fn scores_of(score: &BenchmarkScore, outputs: &Outputs, heading: &Heading<'_>) -> Vec<Score> {
    let known: BTreeMap<(&str, u32), &Output> = (outputs.outputs.iter()).map(|output| ((output.id.as_str(), output.pass), output)).collect();
    let behind: Vec<(&Judged, Option<&Output>)> = (score.verdicts.iter())
        .map(|judged| (judged, known.get(&(judged.id.as_str(), judged.pass)).copied()))
        .collect();
    let counted = behind.iter().all(|(_, output)| output.is_some_and(|output| output.new_tokens.is_some()));
    let entry = |metric: &str, estimate: Option<Estimate>, value_of: &dyn Fn(&Verdict) -> f64| {
        let Estimate { value, interval } = estimate?;
        let outputs = behind.iter().map(|(judged, output)| ScoredOutput {
            id: judged.id.clone(),
            pass: judged.pass,
            score: value_of(&judged.verdict),
            length: output.and_then(|output| {
                if counted {
                    output.new_tokens
                } else {
                    Some(output.output.chars().count() as u64)
                }
            }),
            parsed: judged.verdict.extracted.is_some(),
            ended: output.is_none_or(|output| matches!(output.finish, None | Some(Finish::Stop | Finish::Unknown))),
        });
        Some(Score {
            experiment: heading.experiment.to_owned(),
            model: heading.model.to_owned(),
            compression: heading.compression.to_owned(),
            setting: heading.setting.to_owned(),
            benchmark: score.benchmark.title().to_owned(),
            metric: metric.to_owned(),
            unit: "%".into(),
            value: 100.0 * value,
            interval: interval.map(|(low, high)| [100.0 * low, 100.0 * high]),
            questions: Some(score.questions),
            passes: Some(score.passes as u32),
            unparsed: Some(score.unparsed),
            unclosed: Some(score.unclosed),
            failed: score.failed.iter().map(|(kind, count)| (kind.name(), *count)).collect(),
            missing: Some(score.missing),
            rule: score.rule.to_string(),
            chance: chance(score.benchmark),
            length_unit: if counted { "tokens" } else { "characters" }.into(),
            outputs: outputs.collect(),
        })
    };
    let right = |verdict: &Verdict| f64::from(u8::from(verdict.correct));
    let first = if score.f1.is_some() { "EM" } else { "accuracy" };
    [
        entry(first, score.accuracy, &right),
        entry("F1", score.f1, &|verdict| verdict.f1.unwrap_or(0.0)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What guessing among the options gives, in percent.
fn chance(benchmark: Benchmark) -> Option<f64> {
    match benchmark {
        Benchmark::Folio => Some(100.0 / 3.0),
        Benchmark::Temporal => Some(25.0),
        Benchmark::Aime | Benchmark::Musique => None,
    }
}

impl Published {
    /// The paper's tables as results, an experiment each.
    pub fn results(&self) -> Results {
        let source = &self.source;
        let mut scores = Vec::new();
        for table in &self.tables {
            for row in &table.rows {
                scores.extend(self.row(table, row));
            }
        }
        Results {
            schema: RESULTS_SCHEMA,
            title: "Published: When Reasoning Meets Compression".into(),
            source: format!(
                "{}. {}. arXiv {}v{}, {}",
                source.authors, source.title, source.arxiv, source.version, source.licence
            ),
            program: String::new(),
            published: true,
            scores,
            extra: serde_json::Map::new(),
        }
    }

    fn row(&self, table: &Table, row: &Row) -> Vec<Score> {
        let words = |parts: &[Option<&String>]| parts.iter().flatten().map(|part| part.as_str()).collect::<Vec<_>>().join(" ");
        let mut scores = Vec::new();
        for (metric, value) in &row.values {
            // The ends of an interval belong to their value.
            if metric.ends_with("_low") || metric.ends_with("_high") {
                continue;
            }
            let found = self.value(table, row, metric, *value);
            let named = Named::of(metric, table.share);
            let printed = row
                .values
                .get(&format!("{metric}_low"))
                .zip(row.values.get(&format!("{metric}_high")))
                .map(|(low, high)| [*low, *high]);
            let setting = [row.setting.as_deref(), named.end.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", ");
            scores.push(Score {
                experiment: format!("Table {}: {}", table.number, table.title),
                model: words(&[Some(&row.model), row.parameters.as_ref()]),
                compression: row.compression.clone().unwrap_or_default(),
                setting,
                benchmark: named.benchmark,
                metric: named.metric,
                unit: named.unit.into(),
                value: *value,
                interval: printed.or(found.interval.map(|(low, high)| [low, high])),
                questions: found.n,
                passes: row.passes,
                rule: format!("Table {}, {}", table.number, table.place),
                chance: answers_of(metric).and_then(chance),
                ..Score::default()
            });
        }
        scores
    }
}

fn answers_of(metric: &str) -> Option<Benchmark> {
    match metric.split('_').next() {
        Some("folio") if !metric.ends_with("_ratio") => Some(Benchmark::Folio),
        Some("temporal") if !metric.ends_with("_ratio") => Some(Benchmark::Temporal),
        _ => None,
    }
}

/// A column of the paper's tables, in words.
struct Named {
    benchmark: String,
    metric: String,
    unit: &'static str,
    end: Option<String>,
}

impl Named {
    fn of(column: &str, share: Option<f64>) -> Self {
        let percent = share.map_or(0.0, |share| 100.0 * share);
        let (stem, end) = if let Some(stem) = column.strip_suffix("_short") {
            (stem, Some(format!("shortest {percent:.0} %")))
        } else if let Some(stem) = column.strip_suffix("_long") {
            (stem, Some(format!("longest {percent:.0} %")))
        } else {
            (column, None)
        };
        let (benchmark, metric, unit) = match stem {
            "average" => ("Average of three".to_owned(), "accuracy".to_owned(), "%"),
            "musique_em" => (Benchmark::Musique.title().to_owned(), "EM".to_owned(), "%"),
            "musique_f1" => (Benchmark::Musique.title().to_owned(), "F1".to_owned(), "%"),
            _ => match stem.strip_suffix("_ratio").map(|name| (name, true)).unwrap_or((stem, false)) {
                (name, ratio) if benchmark_of(name).is_some() => {
                    let title = benchmark_of(name).map(Benchmark::title).unwrap_or_default().to_owned();
                    if ratio {
                        (title, "length, longest over shortest".to_owned(), "")
                    } else {
                        (title, "accuracy".to_owned(), "%")
                    }
                }
                _ => ("Annotation".to_owned(), stem.replace('_', " "), ""),
            },
        };
        Self { benchmark, metric, unit, end }
    }
}

fn benchmark_of(name: &str) -> Option<Benchmark> {
    match name {
        "aime" => Some(Benchmark::Aime),
        "folio" => Some(Benchmark::Folio),
        "temporal" => Some(Benchmark::Temporal),
        "musique" => Some(Benchmark::Musique),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_value_is_there_once() {
        let published = Published::load().unwrap();
        let results = published.results();
        let ends = published
            .values()
            .iter()
            .filter(|value| value.metric.ends_with("_low") || value.metric.ends_with("_high"))
            .count();
        assert_eq!(results.scores.len() + ends, published.values().len());
        assert_eq!(results.experiments().len(), 10, "table 5 holds facts, no scores");
        let of = |experiment: &str, model: &str, setting: &str, metric: &str| {
            let found: Vec<&Score> = results
                .scores
                .iter()
                .filter(|score| score.experiment.starts_with(experiment) && score.model == model && score.setting == setting && score.metric == metric)
                .collect();
            assert_eq!(found.len(), 1, "{experiment} {model} {setting} {metric}");
            found[0].clone()
        };
        let spearman = of("Table 6", "GPT-4o", "Backtracking", "spearman");
        assert_eq!((spearman.value, spearman.interval, spearman.unit.as_str()), (0.892, Some([0.474, 1.0]), ""));
        let short = results
            .scores
            .iter()
            .find(|score| score.experiment.starts_with("Table 10") && score.setting == "shortest 30 %" && score.benchmark == "AIME 2024")
            .unwrap();
        assert_eq!((short.value, short.questions, short.metric.as_str()), (88.9, Some(9), "accuracy"));
        assert!(results.to_json().is_ok());
    }
}
