//! `cruxscope stability`: how far a map would be another with other traces, another annotator, another cap on length or definition.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use cruxscope_run::{Event, Observer as _};
use cruxscope_study::robustness::{SampleAgreement, absolute_inside, behaviours_agree, disjoint_samples, studies_agree};
use cruxscope_study::{Behaviour, Bootstrap, Comparability, MapStatistic, Measured, Study, folder};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::numbers::{MOST, whole};
use crate::output::{print_json, print_text};
use crate::progress::Progress;

/// The share of the first components that two samples must have in common to be called stable.
const STABLE: f64 = 0.9;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The study
    study: PathBuf,
    /// A study of the same model that differs in one thing, such as the annotations, the cap on length or the definition; can be given several times
    #[arg(long, value_name = "STUDY")]
    against: Vec<PathBuf>,
    /// How many of the most important components are compared
    #[arg(long, default_value_t = 10, value_parser = whole::<usize>(1, MOST))]
    top: usize,
    /// Pairs of samples for each size
    #[arg(long, default_value_t = 200, value_parser = whole::<usize>(10, 100_000))]
    draws: usize,
    /// Seed of the samples
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Samples of a behaviour, or of all together.
struct Samples {
    behaviour: Option<Behaviour>,
    instances: usize,
    found: Vec<SampleAgreement>,
    /// Correlation and overlap with the map whose absolute values are taken inside the sum.
    absolute: Option<(f64, f64)>,
}

/// Two studies beside each other.
struct Pair {
    title: String,
    differences: Vec<String>,
    parts: Vec<(Option<Behaviour>, MapStatistic, MapStatistic)>,
}

fn name(behaviour: Option<Behaviour>) -> &'static str {
    behaviour.map_or("mean", Behaviour::name)
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let study = folder::load_without_channels(&arguments.study)?;
    let bootstrap = Bootstrap::default();
    let held: Vec<Behaviour> = Behaviour::ALL.into_iter().filter(|behaviour| study.importance.has(*behaviour)).collect();
    if held.is_empty() {
        return Err(Failure::mistake(format!(
            "{} holds no interpreted trace: `cruxscope interpret` makes a study that does",
            arguments.study.display()
        )));
    }
    let parts: Vec<Option<Behaviour>> = [None].into_iter().chain(held.iter().copied().map(Some)).collect();
    let mut progress = Progress::stopped_by(Arc::default());
    let steps = (parts.len() + held.len() * (held.len() - 1) / 2 + arguments.against.len()) as f64;
    let mut step = 0.0;
    let mut told = |what: &str| {
        progress.event(Event::Preparing {
            what: what.to_owned(),
            share: step / steps,
        });
        step += 1.0;
    };
    let mut samples = Vec::new();
    for behaviour in &parts {
        told("drawing samples of the traces");
        let instances = holders(&study, *behaviour);
        let settings = (arguments.top, arguments.draws, arguments.seed);
        samples.push(Samples {
            behaviour: *behaviour,
            instances,
            found: disjoint_samples(&study, *behaviour, &sizes(instances), settings)?,
            absolute: absolute_inside(&study, *behaviour, arguments.top),
        });
    }
    let mut between = Vec::new();
    for (place, first) in held.iter().enumerate() {
        for second in &held[place + 1..] {
            told("comparing behaviours");
            if let Some(found) = behaviours_agree(&study, *first, *second, &bootstrap)? {
                between.push((*first, *second, found));
            }
        }
    }
    let mut pairs = Vec::new();
    for path in &arguments.against {
        told("comparing studies");
        pairs.push(pair(&study, &folder::load_without_channels(path)?, &parts, arguments.top)?);
    }
    progress.finish();
    if arguments.json {
        return print_json(&summary(&study, &samples, &between, &pairs, arguments.top));
    }
    print_text(&text(&study, &samples, &between, &pairs, arguments.top))
}

fn holders(study: &Study, behaviour: Option<Behaviour>) -> usize {
    let instances = study.contributions.instances.iter();
    let holds = |weights: &[f64; 4]| match behaviour {
        Some(behaviour) => weights[behaviour.index()] > 0.0,
        None => weights.iter().any(|weight| *weight > 0.0),
    };
    instances.filter(|instance| holds(&instance.weights)).count()
}

/// Sizes of samples: doubling, and the largest that can be disjoint.
fn sizes(instances: usize) -> Vec<usize> {
    let most = instances / 2;
    let mut sizes: Vec<usize> = (0..).map(|power| 1 << power).take_while(|size| *size < most).collect();
    sizes.extend((most > 0).then_some(most));
    sizes
}

fn pair(a: &Study, b: &Study, parts: &[Option<Behaviour>], top: usize) -> Result<Pair, Failure> {
    let known = Comparability::between(&a.manifest, &b.manifest);
    // Another definition forbids a shift; how far the maps agree is what is asked here.
    let differences = known
        .refusals
        .into_iter()
        .chain(known.differences.into_iter().map(|difference| difference.sentence));
    let mut found = Vec::new();
    for behaviour in parts {
        if let Some((correlation, overlap)) = studies_agree(a, b, *behaviour, top, &Bootstrap::default())? {
            found.push((*behaviour, correlation, overlap));
        }
    }
    Ok(Pair {
        title: b.manifest.title.clone(),
        differences: differences.collect(),
        parts: found,
    })
}

fn interval(value: f64, interval: Option<(f64, f64)>) -> String {
    let ends = interval.map_or_else(String::new, |(low, high)| format!(" [{low:.2}, {high:.2}]"));
    format!("{value:.2}{ends}")
}

fn measured(of: Measured) -> String {
    interval(of.value, of.interval)
}

/// The smallest size from which on samples have so much in common.
fn stable_from(found: &[SampleAgreement]) -> Option<usize> {
    let last = found.iter().rposition(|agreement| agreement.overlap.value < STABLE);
    found.get(last.map_or(0, |last| last + 1)).map(|agreement| agreement.instances)
}

fn text(study: &Study, samples: &[Samples], between: &[(Behaviour, Behaviour, MapStatistic)], pairs: &[Pair], top: usize) -> String {
    let mut text = format!(
        "{} ({}, definition {})\n",
        study.manifest.title, study.manifest.model.name, study.manifest.definition
    );
    // Writing to a String cannot fail.
    writeln!(
        text,
        "\ntwo disjoint samples of so many traces   share of the top {top} in common  rank correlation of the maps"
    )
    .ok();
    for part in samples {
        writeln!(text, "{} ({} traces)", name(part.behaviour), part.instances).ok();
        for agreement in &part.found {
            writeln!(
                text,
                "  {:>6}                                {:<30}  {}",
                agreement.instances,
                measured(agreement.overlap),
                measured(agreement.correlation)
            )
            .ok();
        }
        let verdict = match stable_from(&part.found) {
            Some(size) => format!("the top {top} is stable (90 % in common) from {size} traces on"),
            None => format!(
                "the top {top} is not stable (90 % in common) with {} traces; more annotated traces would tell how many are needed",
                part.instances / 2
            ),
        };
        writeln!(text, "  {verdict}").ok();
        if let Some((correlation, overlap)) = part.absolute {
            writeln!(
                text,
                "  with absolute values inside the sum over traces: rank correlation {correlation:.2} with this map, {:.0} % of the top {top} in common",
                100.0 * overlap
            )
            .ok();
        }
    }
    if !between.is_empty() {
        writeln!(text, "\nbehaviours beside each other, rank correlation of their maps").ok();
        for (first, second, found) in between {
            writeln!(text, "  {:<24} {:<24} {}", first.name(), second.name(), interval(found.value, found.interval)).ok();
        }
    }
    for pair in pairs {
        writeln!(text, "\nagainst {}", pair.title).ok();
        pair.differences.iter().for_each(|sentence| {
            writeln!(text, "  {sentence}").ok();
        });
        for (behaviour, correlation, overlap) in &pair.parts {
            writeln!(
                text,
                "  {:<24} rank correlation {:<22} top {top} in common {}  ({} traces)",
                name(*behaviour),
                interval(correlation.value, correlation.interval),
                interval(overlap.value, overlap.interval),
                correlation.instances
            )
            .ok();
        }
        if pair.parts.is_empty() {
            writeln!(text, "  they share no trace that holds a behaviour").ok();
        }
    }
    text.trim_end().to_owned()
}

fn summary(study: &Study, samples: &[Samples], between: &[(Behaviour, Behaviour, MapStatistic)], pairs: &[Pair], top: usize) -> Value {
    let statistic = |found: &MapStatistic| json!({"value": found.value, "interval": found.interval, "traces": found.instances});
    let value = |found: Measured| json!({"value": found.value, "interval": found.interval});
    let samples: serde_json::Map<String, Value> = samples
        .iter()
        .map(|part| {
            let curve: Vec<Value> = part
                .found
                .iter()
                .map(|own| json!({"traces": own.instances, "top_in_common": value(own.overlap), "rank_correlation": value(own.correlation)}))
                .collect();
            let absolute = part
                .absolute
                .map(|(correlation, overlap)| json!({"rank_correlation": correlation, "top_in_common": overlap}));
            let own = json!({"traces": part.instances, "samples": curve, "stable_from": stable_from(&part.found), "absolute_inside": absolute});
            (name(part.behaviour).to_owned(), own)
        })
        .collect();
    let between: Vec<Value> = between
        .iter()
        .map(|(first, second, found)| json!({"behaviours": [first.name(), second.name()], "rank_correlation": statistic(found)}))
        .collect();
    let pairs: Vec<Value> = pairs
        .iter()
        .map(|pair| {
            let parts: serde_json::Map<String, Value> = pair
                .parts
                .iter()
                .map(|(behaviour, correlation, overlap)| {
                    let own = json!({"rank_correlation": statistic(correlation), "top_in_common": statistic(overlap)});
                    (name(*behaviour).to_owned(), own)
                })
                .collect();
            json!({"title": pair.title, "differences": pair.differences, "parts": parts})
        })
        .collect();
    json!({
        "title": study.manifest.title,
        "definition": study.manifest.definition,
        "top": top,
        "samples": samples,
        "behaviours": between,
        "against": pairs,
    })
}
