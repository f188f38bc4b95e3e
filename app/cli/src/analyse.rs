//! `cruxscope analyze`: what outputs say beyond their scores.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cruxscope_benchmark::analyses::{Collapse, CollapsePoint, Ending, Level, Response, TestTime, collapse_point, endings, repeated_chunk, test_time};
use cruxscope_benchmark::datasets::{Benchmark, Dataset};
use cruxscope_benchmark::samples::{Output, Outputs};
use cruxscope_benchmark::scoring::{BenchmarkScore, Rule, ScoreSettings, score};
use serde::Serialize;

use crate::failure::Failure;
use crate::numbers::share;
use crate::output::{print_json, print_text};
use crate::score::{read_datasets, read_outputs};

/// Collapsed outputs that are listed.
const SHOWN: usize = 5;

/// The analyses.
#[derive(Debug, Subcommand)]
pub enum Analysis {
    /// Test-time compute, collapse and skipped thinking of one file of outputs
    Outputs(OutputsFlags),
    /// Where along a sweep of compression scores break down
    Sweep(SweepFlags),
}

#[derive(Debug, Args)]
pub struct OutputsFlags {
    /// Outputs: a file of samples, or any JSON lines of {"id","output"}, plain or gzip
    outputs: PathBuf,
    /// A dataset with the answers; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// Only the outputs of this model, where a file holds several
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Shares of the outputs to compare, shortest against longest
    #[arg(long, value_name = "SHARE", value_delimiter = ',', default_values_t = [0.2, 0.3], value_parser = share(0.5))]
    shares: Vec<f64>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct SweepFlags {
    /// Files of outputs with their level of compression, such as 0=dense.jsonl 50=half.jsonl; the lowest is the baseline
    #[arg(value_name = "LEVEL=FILE", required = true, num_args = 2..)]
    levels: Vec<String>,
    /// A dataset with the answers; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What is said of the outputs on one benchmark.
#[derive(Serialize)]
struct OutputsAnalysis {
    benchmark: Benchmark,
    rule: Rule,
    outputs: usize,
    /// Whether lengths are in tokens; in characters otherwise.
    lengths_in_tokens: bool,
    test_time: Vec<TestTime>,
    endings: Vec<EndingCount>,
    collapsed: Vec<CollapsedOutput>,
    skipped_thinking: Vec<String>,
}

#[derive(Serialize)]
struct EndingCount {
    ending: Ending,
    outputs: usize,
    bytes: usize,
    right: usize,
}

#[derive(Serialize)]
struct CollapsedOutput {
    id: String,
    pass: u32,
    #[serde(flatten)]
    collapse: Collapse,
    repeats: Option<String>,
}

#[derive(Serialize)]
struct SweepAnalysis {
    benchmark: Benchmark,
    rule: Rule,
    levels: Vec<Level>,
    collapse_point: Option<CollapsePoint>,
}

/// Does what an analysis command says.
pub fn run(analysis: Analysis) -> Result<(), Failure> {
    match analysis {
        Analysis::Outputs(arguments) => outputs(&arguments),
        Analysis::Sweep(arguments) => sweep(&arguments),
    }
}

fn outputs(arguments: &OutputsFlags) -> Result<(), Failure> {
    if let Some(share) = arguments.shares.iter().find(|share| !(**share > 0.0 && **share <= 0.5)) {
        return Err(Failure::mistake(format!("a share is {share}, but it must be above 0 and at most 0.5")));
    }
    let datasets = read_datasets(&arguments.data, None)?;
    let outputs = read_outputs(&arguments.outputs, arguments.model.as_deref())?;
    let found: Vec<OutputsAnalysis> = datasets.iter().filter_map(|dataset| analyse(dataset, &outputs, &arguments.shares)).collect();
    if found.is_empty() {
        return Err(Failure::mistake("no output belongs to any question of the datasets given"));
    }
    if arguments.json {
        return print_json(&found);
    }
    print_text(&found.iter().map(words).collect::<Vec<_>>().join("\n\n"))
}

fn analyse(dataset: &Dataset, outputs: &Outputs, shares: &[f64]) -> Option<OutputsAnalysis> {
    let scored: BenchmarkScore = score(dataset, outputs, Rule::default_of(dataset.benchmark), &ScoreSettings::default());
    let by_key: std::collections::BTreeMap<(&str, u32), &Output> = outputs.outputs.iter().map(|output| ((output.id.as_str(), output.pass), output)).collect();
    let pairs: Vec<_> = scored
        .verdicts
        .iter()
        .filter_map(|judged| Some((judged, *by_key.get(&(judged.id.as_str(), judged.pass))?)))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let in_tokens = pairs.iter().all(|(_, output)| output.new_tokens.is_some());
    let responses: Vec<Response> = pairs
        .iter()
        .map(|(judged, output)| Response {
            length: match output.new_tokens {
                Some(tokens) if in_tokens => tokens as f64,
                _ => output.output.chars().count() as f64,
            },
            score: f64::from(u8::from(judged.verdict.correct)),
            f1: judged.verdict.f1,
        })
        .collect();
    let counts = endings(pairs.iter().map(|(_, output)| *output)).map(|(ending, outputs, bytes)| EndingCount {
        ending,
        outputs,
        bytes,
        right: pairs
            .iter()
            .filter(|(judged, output)| judged.verdict.correct && Ending::of(output) == ending)
            .count(),
    });
    let collapsed = pairs.iter().filter(|(_, output)| Ending::of(output) == Ending::Collapsed);
    let skipped = pairs.iter().filter(|(_, output)| Ending::of(output) == Ending::SkippedThinking);
    Some(OutputsAnalysis {
        benchmark: dataset.benchmark,
        rule: scored.rule,
        outputs: pairs.len(),
        lengths_in_tokens: in_tokens,
        test_time: shares.iter().filter_map(|share| test_time(&responses, *share)).collect(),
        endings: counts.into_iter().collect(),
        collapsed: collapsed
            .map(|(_, output)| CollapsedOutput {
                id: output.id.clone(),
                pass: output.pass,
                collapse: Collapse::of(&output.output),
                repeats: repeated_chunk(&output.output),
            })
            .collect(),
        skipped_thinking: skipped.map(|(_, output)| format!("{} pass {}", output.id, output.pass)).collect(),
    })
}

fn words(found: &OutputsAnalysis) -> String {
    let mut lines = vec![format!("{} (n = {}, rule {})", found.benchmark.title(), found.outputs, found.rule)];
    let unit = if found.lengths_in_tokens { "tokens" } else { "characters" };
    for split in &found.test_time {
        let end = |of: &cruxscope_benchmark::analyses::Split| {
            let f1 = of.f1.map_or_else(String::new, |f1| format!(", F1 {:.1}", 100.0 * f1));
            format!("{:.1} %{f1} (n = {}, {:.0} {unit})", 100.0 * of.score, of.outputs, of.mean_length)
        };
        lines.push(format!(
            "  shortest {:.0} %: {}; longest: {}; ratio {:.1}",
            100.0 * split.share,
            end(&split.short),
            end(&split.long),
            split.ratio
        ));
    }
    let total: usize = found.endings.iter().map(|count| count.bytes).sum();
    for count in &found.endings {
        lines.push(format!(
            "  {:<17} {:>5} outputs, {:>5} right, {:>5.1} % of all bytes",
            count.ending.words(),
            count.outputs,
            count.right,
            100.0 * count.bytes as f64 / total.max(1) as f64
        ));
    }
    for output in found.collapsed.iter().take(SHOWN) {
        let repeats = output
            .repeats
            .as_ref()
            .map_or_else(String::new, |chunk| format!(", repeats {:?}", chunk.chars().take(60).collect::<String>()));
        lines.push(format!(
            "  collapsed: {} pass {}, {} bytes, ratio {:.1}{repeats}",
            output.id, output.pass, output.collapse.bytes, output.collapse.ratio
        ));
    }
    if found.collapsed.len() > SHOWN {
        lines.push(format!("  … and {} more (--json lists all)", found.collapsed.len() - SHOWN));
    }
    lines.join("\n")
}

fn sweep(arguments: &SweepFlags) -> Result<(), Failure> {
    let datasets = read_datasets(&arguments.data, None)?;
    let mut levels = Vec::new();
    for argument in &arguments.levels {
        let parsed = argument.split_once('=').and_then(|(level, path)| Some((level.parse::<f64>().ok()?, path)));
        let (level, path) = parsed
            .filter(|(level, _)| level.is_finite())
            .ok_or_else(|| Failure::mistake(format!("\"{argument}\" is not of the form LEVEL=FILE, such as 50=half.jsonl")))?;
        levels.push((level, read_outputs(&PathBuf::from(path), None)?));
    }
    let found: Vec<SweepAnalysis> = datasets
        .iter()
        .map(|dataset| {
            let rule = Rule::default_of(dataset.benchmark);
            let levels: Vec<Level> = levels
                .iter()
                .filter_map(|(level, outputs)| {
                    let score = score(dataset, outputs, rule, &ScoreSettings::default());
                    Some(Level {
                        level: *level,
                        score: score.accuracy?.value,
                    })
                })
                .collect();
            SweepAnalysis {
                benchmark: dataset.benchmark,
                rule,
                collapse_point: collapse_point(&levels, dataset.benchmark),
                levels,
            }
        })
        .collect();
    if arguments.json {
        return print_json(&found);
    }
    let lines = found.iter().map(|of| {
        let scores: Vec<String> = of.levels.iter().map(|level| format!("{}: {:.1} %", level.level, 100.0 * level.score)).collect();
        let point = of.collapse_point.map_or_else(
            || "no collapse".to_owned(),
            |point| {
                format!(
                    "collapses between {} and {} (below {:.1} %)",
                    point.before.level,
                    point.collapsed.level,
                    100.0 * point.threshold
                )
            },
        );
        format!("{:<10} {}; {point}", of.benchmark.title(), scores.join(", "))
    });
    print_text(&lines.collect::<Vec<_>>().join("\n"))
}
