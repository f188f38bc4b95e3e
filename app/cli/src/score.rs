//! `cruxscope score`: outputs into scores, by rules that can be switched without generating again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use cruxscope_benchmark::datasets::{Benchmark, Dataset};
use cruxscope_benchmark::results::{Heading, scores_of};
use cruxscope_benchmark::samples::Outputs;
use cruxscope_benchmark::scoring::{BenchmarkScore, Estimate, PairedScores, Rule, ScoreSettings, compare, score};
use cruxscope_run::RunError;
use cruxscope_study::folder::write_atomically;
use cruxscope_study::{OutputLock, RESULTS_SCHEMA, Results, Score};
use serde::Serialize;

use crate::failure::Failure;
use crate::numbers::{MOST, whole};
use crate::output::{print_json, print_text, status};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Outputs: a file of samples, or any JSON lines of {"id","output"}, plain or gzip
    #[arg(required_unless_present = "list_rules")]
    outputs: Option<PathBuf>,
    /// A dataset with the answers; may be given several times
    #[arg(long, value_name = "FILE", required_unless_present = "list_rules")]
    data: Vec<PathBuf>,
    /// Maximum number of questions of each dataset, from the first
    #[arg(long = "limit", alias = "first", value_name = "N", value_parser = whole::<usize>(1, MOST))]
    first: Option<usize>,
    /// A rule; may be given several times [default: one a benchmark, two for MuSiQue]
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// Every rule of every benchmark
    #[arg(long, conflicts_with = "rule")]
    all_rules: bool,
    /// Print the rules and stop
    #[arg(long)]
    list_rules: bool,
    /// Count the dataset's answer alone, not the others it accepts (MuSiQue)
    #[arg(long)]
    no_aliases: bool,
    /// Other outputs on the same questions: both are scored, and the difference is tested question by question
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Only the outputs of this model, where a file holds several
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Write every verdict with what was read and where it stands, one JSON object a line
    #[arg(long, value_name = "FILE.jsonl")]
    verdicts: Option<PathBuf>,
    /// Write the scores and the outputs' own into a file that the window shows; scores that are there already stay, but for those of
    /// the same model, compression and experiment
    #[arg(long, value_name = "results.json")]
    results: Option<PathBuf>,
    /// With --results: the model's name, before compression [default: as the outputs say]
    #[arg(long, value_name = "NAME", requires = "results")]
    name: Option<String>,
    /// With --results: how the model was compressed, such as "3-bit RTN"
    #[arg(long, value_name = "TEXT", default_value = "", requires = "results", hide_default_value = true)]
    compression: String,
    /// With --results: the experiment that the scores belong to
    #[arg(long, value_name = "TEXT", default_value = "", requires = "results", hide_default_value = true)]
    experiment: String,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Scores {
    model: String,
    scores: Vec<BenchmarkScore>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    against: Vec<BenchmarkScore>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comparisons: Vec<PairedScores>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.list_rules {
        let line = |rule: Rule| {
            let usual = if Rule::shown_of(rule.benchmark()).contains(&rule) { "*" } else { " " };
            format!("{usual} {:<28} {:<10} {}", rule.to_string(), rule.benchmark().title(), rule.about())
        };
        return print_text(&Rule::ALL.map(line).join("\n"));
    }
    let Some(path) = &arguments.outputs else {
        return Err(Failure::mistake("give a file of outputs"));
    };
    let datasets = read_datasets(&arguments.data, arguments.first)?;
    let outputs = read_outputs(path, arguments.model.as_deref())?;
    let settings = ScoreSettings {
        aliases: !arguments.no_aliases,
        ..ScoreSettings::default()
    };
    let named: Vec<Rule> = arguments
        .rule
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()
        .map_err(Failure::mistake)?;
    let rules = |benchmark: Benchmark| -> Vec<Rule> {
        if arguments.all_rules {
            Rule::of(benchmark).collect()
        } else if named.iter().any(|rule| rule.benchmark() == benchmark) {
            named.iter().copied().filter(|rule| rule.benchmark() == benchmark).collect()
        } else {
            Rule::shown_of(benchmark)
        }
    };
    if let Some(rule) = named.iter().find(|rule| datasets.iter().all(|dataset| dataset.benchmark != rule.benchmark())) {
        return Err(Failure::mistake(format!(
            "the rule {rule} is for {}, and no dataset of it is given",
            rule.benchmark().title()
        )));
    }
    let score_all = |outputs: &Outputs| -> Vec<BenchmarkScore> {
        datasets
            .iter()
            .flat_map(|dataset| rules(dataset.benchmark).into_iter().map(|rule| score(dataset, outputs, rule, &settings)))
            .collect()
    };
    let scores = score_all(&outputs);
    if scores.iter().all(|score| score.outputs == 0 && score.failed.is_empty()) {
        return Err(Failure::mistake("no output belongs to any question of the datasets given"));
    }
    warn_of_others(&outputs, &datasets);
    let against = match &arguments.against {
        Some(path) => score_all(&read_outputs(path, None)?),
        None => Vec::new(),
    };
    let comparisons: Vec<PairedScores> = scores
        .iter()
        .zip(&against)
        .flat_map(|(first, second)| compare(first, second, &settings.bootstrap))
        .collect();
    if arguments.against.is_some() && comparisons.is_empty() {
        return Err(Failure::mistake("no question is answered in both files, so there is nothing to compare"));
    }
    if let Some(path) = &arguments.results {
        keep_results(arguments, path, &scores, &outputs)?;
    }
    if let Some(path) = &arguments.verdicts {
        write_verdicts(path, &scores)?;
    }
    let found = Scores {
        model: outputs.models().join(", "),
        scores,
        against,
        comparisons,
    };
    if arguments.json {
        return print_json(&found);
    }
    let mut lines = table(&found.scores);
    if !found.against.is_empty() {
        lines.push(String::new());
        lines.push("against".into());
        lines.extend(table(&found.against));
        lines.push(String::new());
        lines.push(format!(
            "{:<28} {:<8} {:>9} {:>7} {:>7} {:>12} {:>18} {:>9}",
            "difference", "metric", "questions", "better", "worse", "difference", "95 %", "p"
        ));
        lines.extend(found.comparisons.iter().map(|PairedScores { rule, metric, test }| {
            let interval = test
                .interval
                .map_or_else(String::new, |(low, high)| format!("{:+.1} to {:+.1}", 100.0 * low, 100.0 * high));
            format!(
                "{rule:<28} {metric:<8} {:>9} {:>7} {:>7} {:>+12.2} {interval:>18} {:>9.4}",
                test.questions,
                test.better,
                test.worse,
                100.0 * test.difference,
                test.p_value
            )
        }));
    }
    print_text(&lines.join("\n"))
}

/// The datasets of some files, cut if asked.
pub fn read_datasets(paths: &[PathBuf], first: Option<usize>) -> Result<Vec<Dataset>, Failure> {
    let read = |path: &PathBuf| -> Result<Dataset, Failure> {
        let dataset = Dataset::read(path).map_err(RunError::from)?;
        Ok(match first {
            Some(count) => dataset.first(count),
            None => dataset,
        })
    };
    paths.iter().map(read).collect()
}

/// The outputs of one model of a file.
pub fn read_outputs(path: &Path, model: Option<&str>) -> Result<Outputs, Failure> {
    let outputs = Outputs::read(path).map_err(RunError::from)?;
    for (what, lines) in [("damaged", &outputs.damaged_lines), ("repeated", &outputs.repeated_lines)] {
        if let Some(first) = lines.first() {
            status!(
                "note: {} {what} lines of {} are passed over, the first is line {first}",
                lines.len(),
                path.display()
            );
        }
    }
    let models = outputs.models();
    match model {
        Some(name) if !models.iter().any(|known| known == name) => Err(Failure::mistake(format!(
            "{} holds no outputs of \"{name}\"; it holds those of {}",
            path.display(),
            models.join(", ")
        ))),
        Some(name) => Ok(outputs.of_model(name)),
        None if models.len() > 1 => Err(Failure::mistake(format!(
            "{} holds outputs of several models, {}: choose one with --model",
            path.display(),
            models.join(", ")
        ))),
        None => Ok(outputs),
    }
    .and_then(|outputs| of_one_kind(path, outputs))
}

/// Refuses to mix outputs that were sampled or prompted differently.
fn of_one_kind(path: &Path, outputs: Outputs) -> Result<Outputs, Failure> {
    // Outputs are in order, so two of one question and pass are neighbours.
    let twice = outputs
        .outputs
        .windows(2)
        .find(|pair| (&pair[0].id, pair[0].pass) == (&pair[1].id, pair[1].pass));
    if let Some([one, _]) = twice {
        return Err(Failure::mistake(format!(
            "{} holds several outputs for {} pass {}, made with other prompts, settings, engines or seeds: keep each kind in a file of its own",
            path.display(),
            one.id,
            one.pass
        )));
    }
    let first = outputs.outputs.first().and_then(|output| output.settings.as_ref());
    match outputs.outputs.iter().find(|output| output.settings.as_ref() != first) {
        None => Ok(outputs),
        Some(other) => Err(Failure::mistake(format!(
            "{} mixes outputs that were sampled differently, such as {} pass {}: keep each setting in a file of its own",
            path.display(),
            other.id,
            other.pass
        ))),
    }
}

fn warn_of_others(outputs: &Outputs, datasets: &[Dataset]) {
    let known: std::collections::BTreeSet<&str> = datasets
        .iter()
        .flat_map(|dataset| dataset.questions.iter().map(|question| question.id.as_str()))
        .collect();
    let others = outputs.outputs.iter().filter(|output| !known.contains(output.id.as_str())).count();
    if others > 0 {
        status!("note: {others} outputs belong to none of the questions given and are not scored");
    }
}

fn table(scores: &[BenchmarkScore]) -> Vec<String> {
    let percent = |estimate: Option<Estimate>| {
        estimate.map_or_else(
            || "-".to_owned(),
            |Estimate { value, interval }| {
                let interval = interval.map_or_else(String::new, |(low, high)| format!(" ({:.1} to {:.1})", 100.0 * low, 100.0 * high));
                format!("{:.2}{interval}", 100.0 * value)
            },
        )
    };
    let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.1}", 100.0 * value));
    let mut lines = vec![format!(
        "{:<28} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}  {:<24} {:<22} {:>7} {:>8}",
        "rule", "outputs", "missing", "failed", "unclosed", "unparsed", "right", "% (95 %)", "F1 (95 %)", "pass@k", "majority"
    )];
    lines.extend(scores.iter().map(|score| {
        format!(
            "{:<28} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}  {:<24} {:<22} {:>7} {:>8}",
            score.rule.to_string(),
            score.outputs,
            score.missing,
            score.failed.values().sum::<usize>(),
            score.unclosed,
            score.unparsed,
            score.correct,
            percent(score.accuracy),
            percent(score.f1),
            share(score.pass_at_k),
            share(score.majority)
        )
    }));
    // The rules of a benchmark score the same answers.
    let mut told = std::collections::BTreeSet::new();
    for score in scores.iter().filter(|score| !score.failed.is_empty() && told.insert(score.benchmark)) {
        let kinds: Vec<String> = score.failed.iter().map(|(kind, count)| format!("{count} {}", kind.words())).collect();
        lines.push(format!(
            "{}: of the missing, answers came without usable text: {}",
            score.benchmark.title(),
            kinds.join(", ")
        ));
    }
    lines
}

/// Adds the scores to a file of results, which is made if need be.
fn keep_results(arguments: &Arguments, path: &Path, scores: &[BenchmarkScore], outputs: &Outputs) -> Result<(), Failure> {
    let said = outputs.models().join(", ");
    let heading = Heading {
        experiment: &arguments.experiment,
        model: arguments.name.as_deref().unwrap_or(if said.is_empty() { "model" } else { &said }),
        compression: &arguments.compression,
        setting: "",
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| RunError::Io {
            attempt: "create",
            path: folder.to_owned(),
            source,
        })?;
    }
    // Two runs that add to one file do so in turn.
    let _lock = OutputLock::take(path, Duration::from_secs(30))?;
    let mut results = match std::fs::read(path) {
        Ok(bytes) => Results::from_json(&bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Results {
            schema: RESULTS_SCHEMA,
            title: "Own results".into(),
            source: "cruxscope score".into(),
            program: format!("cruxscope {}", env!("CARGO_PKG_VERSION")),
            ..Results::default()
        },
        Err(source) => {
            let (attempt, path) = ("read", path.to_owned());
            return Err(RunError::Io { attempt, path, source }.into());
        }
    };
    let added: Vec<Score> = scores.iter().flat_map(|score| scores_of(score, outputs, &heading)).collect();
    let replaced = |known: &Score| {
        let same = |new: &Score| {
            (&new.experiment, &new.model, &new.compression, &new.benchmark, &new.metric, &new.rule)
                == (
                    &known.experiment,
                    &known.model,
                    &known.compression,
                    &known.benchmark,
                    &known.metric,
                    &known.rule,
                )
        };
        added.iter().any(same)
    };
    results.scores.retain(|known| !replaced(known));
    results.scores.extend(added);
    Ok(write_atomically(path, &results.to_json()?)?)
}

fn write_verdicts(path: &Path, scores: &[BenchmarkScore]) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line<'a> {
        rule: Rule,
        #[serde(flatten)]
        judged: &'a cruxscope_benchmark::scoring::Judged,
    }
    let mut text = String::new();
    for score in scores {
        for judged in &score.verdicts {
            text.push_str(&serde_json::to_string(&Line { rule: score.rule, judged }).map_err(Failure::failed)?);
            text.push('\n');
        }
    }
    Ok(write_atomically(path, text.as_bytes())?)
}
