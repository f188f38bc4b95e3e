//! `cruxscope allocate`: a format for each matrix under a budget, out of a study's sensitivity.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use cruxscope_sensitivity::allocate::{Constraints, counts, uniform, warning};
use cruxscope_sensitivity::curve::{Allocation, Curve, CurvePoint, Target, size_in_words};
use cruxscope_sensitivity::export::{Tool, export};
use cruxscope_sensitivity::recipe::RecipeFile;
use cruxscope_statistics::Bootstrap;
use cruxscope_study::{Scope, Sensitivity, folder};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::numbers::{number, whole};
use crate::output::{print_json, print_text, status};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["target_bits", "target_size", "max_kl"]))]
pub struct Arguments {
    /// The study with a sensitivity: its folder
    #[arg(long, value_name = "STUDY")]
    study: PathBuf,
    /// Stored bits a weight of all matrices together, scales and zeros included
    #[arg(long, value_name = "BITS", value_parser = number(0.0, 64.0))]
    target_bits: Option<f64>,
    /// Size of all matrices together, such as 5.2GiB or 700MB
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    target_size: Option<f64>,
    /// The smallest recipe whose predicted divergence is at most this, in nats
    #[arg(long, value_name = "NATS", value_parser = number(0.0, 1e6))]
    max_kl: Option<f64>,
    /// Whose positions count: all, or a behaviour
    #[arg(long, default_value = "all")]
    scope: Scope,
    /// One format for q, k and v of a layer, and one for gate and up, as engines want that fuse them
    #[arg(long)]
    keep_fused: bool,
    /// No matrix below so many bits a weight, scales included
    #[arg(long, value_name = "BITS", value_parser = number(0.0, 64.0))]
    min_bits: Option<f64>,
    /// Matrices may be left as they are, in 16-bit numbers
    #[arg(long)]
    unchanged: bool,
    /// The recipe to write
    #[arg(long, value_name = "FILE.json")]
    out: PathBuf,
    /// Write it beside that for another tool too: llama.cpp, llm-compressor, gptqmodel, auto-round, modelopt, cruxscope; several separated by commas
    #[arg(long, value_name = "TOOLS", value_delimiter = ',')]
    export: Vec<Tool>,
    /// Points of the curve of size against divergence
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = whole::<usize>(1, 10_000))]
    points: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// A size in bytes.
fn bytes(text: &str) -> Result<f64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let units = [
        ("kib", 1024.0),
        ("mib", 1024.0 * 1024.0),
        ("gib", 1024.0 * 1024.0 * 1024.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("b", 1.0),
    ];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)))
        .ok_or_else(|| format!("\"{text}\" has no unit; write such as 5.2GiB or 700MB"))?;
    match number.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number * factor),
        _ => Err(format!("\"{text}\" is no size; write such as 5.2GiB or 700MB")),
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let missing = || {
        let study = arguments.study.display();
        Failure::mistake(format!("{study} holds no sensitivity; `cruxscope sensitivity --out {study}` makes one"))
    };
    let sensitivity = folder::load_sensitivity(&arguments.study)?.ok_or_else(missing)?;
    let target = target(arguments)?;
    let constraints = Constraints {
        keep_fused: arguments.keep_fused,
        min_bits: arguments.min_bits,
        unchanged: arguments.unchanged,
    };
    let curve = Curve::new(&sensitivity, arguments.scope, constraints, Bootstrap::default())?;
    let allocation = curve.allocate(target)?;
    let recipe = RecipeFile::new(&sensitivity, &allocation.choice, arguments.scope, &allocation.cost);
    // What another tool cannot do is found out before anything is written.
    let family = folder::load_without_channels(&arguments.study).map(|study| study.manifest.model.architecture);
    if let (Ok(family), Some(tool)) = (family, arguments.export.iter().find(|tool| **tool != Tool::Cruxscope))
        && cruxscope_checkpoint::holds_fused_matrices(&family)
    {
        return Err(Failure::mistake(format!(
            "a recipe for {} names single matrices, and files of {family} hold several as one; use the recipe with `cruxscope compress --recipe`",
            tool.name()
        )));
    }
    let mut files = Vec::new();
    for tool in &arguments.export {
        files.extend(export(*tool, &sensitivity, &allocation.choice)?);
    }
    let mut text = serde_json::to_vec_pretty(&recipe).map_err(Failure::failed)?;
    text.push(b'\n');
    folder::write_atomically(&arguments.out, &text)?;
    status!("recipe saved in {}", arguments.out.display());
    for file in files {
        let path = beside(&arguments.out, file.ending);
        folder::write_atomically(&path, file.text.as_bytes())?;
        status!("            and {}", path.display());
    }
    let points = curve.points(arguments.points);
    if let Some(warning) = warning(&allocation.cost) {
        status!("warning: {warning}");
    }
    if arguments.json {
        return print_json(&summary(&sensitivity, &recipe, &allocation, &points));
    }
    print_text(&table(&sensitivity, arguments.scope, &allocation, &points))
}

fn target(arguments: &Arguments) -> Result<Target, Failure> {
    let positive = |flag: &str, value: f64| {
        if value > 0.0 && value.is_finite() {
            Ok(value)
        } else {
            Err(Failure::mistake(format!("{flag} is {value}, but it has to be a positive number")))
        }
    };
    match (arguments.target_bits, arguments.target_size, arguments.max_kl) {
        (Some(bits), _, _) => Ok(Target::BitsPerWeight(positive("--target-bits", bits)?)),
        (_, Some(bytes), _) => Ok(Target::Bytes(bytes)),
        (_, _, Some(kl)) => Ok(Target::Divergence(positive("--max-kl", kl)?)),
        _ => Err(Failure::mistake("give --target-bits, --target-size or --max-kl")),
    }
}

/// A file beside the recipe: `recipe.json` and `recipe.llm-compressor.yaml`.
fn beside(recipe: &Path, ending: &str) -> PathBuf {
    let stem = recipe.file_stem().map_or_else(|| "recipe".into(), |stem| stem.to_string_lossy().into_owned());
    recipe.with_file_name(format!("{stem}.{ending}"))
}

fn interval_in_words(interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(|| "-".into(), |(low, high)| format!("[{low:.5}, {high:.5}]"))
}

fn table(sensitivity: &Sensitivity, scope: Scope, allocation: &Allocation, points: &[CurvePoint]) -> String {
    let cost = &allocation.cost;
    let mut text = format!(
        "{:.4} bits/weight, {}; predicted divergence {:.5} {} nats (by windows that did not choose; {:.5} on those that did)\n",
        cost.bits_per_weight,
        size_in_words(cost.bits),
        cost.kl,
        interval_in_words(cost.interval),
        allocation.optimistic_kl
    );
    // Writing to a String cannot fail.
    for (name, count) in counts(sensitivity, &allocation.choice) {
        writeln!(text, "  {count:>4} matrices  {name}").ok();
    }
    writeln!(text, "\nuniform        bits/weight  predicted KL").ok();
    for (format, own) in sensitivity.facts.formats.iter().enumerate() {
        if let Some(cost) = sensitivity.cost(scope, &uniform(sensitivity, format), Bootstrap::default()) {
            writeln!(
                text,
                "  {:<12} {:>11.3}  {:>12.5}  {}",
                own.name,
                cost.bits_per_weight,
                cost.kl,
                interval_in_words(cost.interval)
            )
            .ok();
        }
    }
    writeln!(text, "\nsize against divergence, by windows that did not choose").ok();
    for point in points {
        let beyond = if point.is_beyond_trust {
            "  beyond the second order: the real one is larger"
        } else {
            ""
        };
        writeln!(
            text,
            "  {:<10} {:>13.3}  {:>12.5}  {}{beyond}",
            size_in_words(point.bits),
            point.bits_per_weight,
            point.kl,
            interval_in_words(point.interval)
        )
        .ok();
    }
    text.trim_end().to_owned()
}

fn summary(sensitivity: &Sensitivity, recipe: &RecipeFile, allocation: &Allocation, points: &[CurvePoint]) -> Value {
    let points: Vec<Value> = points
        .iter()
        .map(|point| {
            json!({
                "bits": point.bits,
                "bits_per_weight": point.bits_per_weight,
                "kl": point.kl,
                "interval": point.interval,
                "beyond_second_order": point.is_beyond_trust,
            })
        })
        .collect();
    let counts: serde_json::Map<String, Value> = counts(sensitivity, &allocation.choice)
        .into_iter()
        .map(|(name, count)| (name, count.into()))
        .collect();
    json!({"recipe": recipe, "matrices": counts, "kl_on_choosing_windows": allocation.optimistic_kl, "curve": points})
}
