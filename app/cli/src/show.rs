//! `cruxscope show`: a study in words and numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use cruxscope_study::{Behaviour, Component, Module, Ranks, Study, folder};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::numbers::{MOST, whole};
use crate::output::{print_json, print_text};

/// Components listed per behaviour.
pub const TOP: usize = 10;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The study: its folder, or its study.json
    study: PathBuf,
    /// Print everything as JSON: importance and relative_importance are objects by behaviour, each an array over layers of arrays
    /// over modules, in the order of "modules"
    #[arg(long)]
    json: bool,
    /// How many components to list per behaviour
    #[arg(long, default_value_t = TOP, value_parser = whole::<usize>(0, MOST))]
    top: usize,
}

/// What `--json` prints.
#[derive(Serialize)]
pub struct Summary {
    title: String,
    definition: String,
    model: Value,
    behaviours: Vec<String>,
    modules: Vec<String>,
    layers: usize,
    instances: Vec<Value>,
    tokens: usize,
    segments_used: usize,
    segments_dropped: usize,
    segments: BTreeMap<String, Value>,
    dropped: Vec<Value>,
    unscored_sections: usize,
    importance: BTreeMap<String, Vec<Vec<f64>>>,
    relative_importance: BTreeMap<String, Vec<Vec<f64>>>,
    top: BTreeMap<String, Vec<TopComponent>>,
    /// Of components that are made of parts, such as experts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    top_parts: BTreeMap<String, Vec<TopPart>>,
    manifest_digest: String,
    manifest: Value,
}

#[derive(Serialize)]
struct TopComponent {
    component: String,
    layer: usize,
    module: String,
    importance: f64,
    relative_importance: f64,
    rank: usize,
    rank_in_column: usize,
    rank_in_row: usize,
}

/// A part of a component.
#[derive(Serialize)]
struct TopPart {
    part: String,
    importance: f64,
    relative_importance: f64,
    /// What share of all tokens, and of the behaviour's, was routed to it.
    share: f64,
    share_of_behaviour: f64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let study = folder::load(&arguments.study)?;
    if arguments.json {
        print_json(&summary(&study, arguments.top)?)
    } else {
        print(&study, arguments.top)
    }
}

/// A study as JSON for other programs.
pub fn summary(study: &Study, top: usize) -> Result<Summary, Failure> {
    let manifest = &study.manifest;
    let by_layer = |values: &[f64]| values.chunks_exact(Module::ALL.len()).map(<[f64]>::to_vec).collect::<Vec<_>>();
    let maps = |of: &dyn Fn(Behaviour) -> Vec<f64>| {
        Behaviour::ALL
            .into_iter()
            .map(|behaviour| (behaviour.name().to_owned(), by_layer(&of(behaviour))))
            .collect()
    };
    let json = |value: serde_json::Result<Value>| value.map_err(Failure::failed);
    let mut segments = BTreeMap::new();
    for behaviour in Behaviour::ALL {
        segments.insert(behaviour.name().to_owned(), json(serde_json::to_value(manifest.segments[behaviour.index()]))?);
    }
    Ok(Summary {
        title: manifest.title.clone(),
        definition: manifest.definition.name().into(),
        model: json(serde_json::to_value(&manifest.model))?,
        behaviours: Behaviour::ALL.iter().map(|behaviour| behaviour.name().to_owned()).collect(),
        modules: Module::ALL.iter().map(|module| module.projection().to_owned()).collect(),
        layers: manifest.model.layers,
        instances: manifest
            .instances
            .iter()
            .map(|instance| json(serde_json::to_value(instance)))
            .collect::<Result<_, _>>()?,
        tokens: manifest.tokens(),
        segments_used: manifest.segments_used(),
        segments_dropped: manifest.dropped.len(),
        segments,
        dropped: manifest.dropped.iter().map(|drop| json(serde_json::to_value(drop))).collect::<Result<_, _>>()?,
        unscored_sections: manifest.unscored_sections,
        importance: maps(&|behaviour| study.importance.of(behaviour).to_vec()),
        relative_importance: maps(&|behaviour| study.importance.relative_of(behaviour)),
        top: Behaviour::ALL
            .into_iter()
            .filter(|behaviour| study.importance.has(*behaviour))
            .map(|behaviour| (behaviour.name().to_owned(), top_components(study, behaviour, top)))
            .collect(),
        top_parts: Behaviour::ALL
            .into_iter()
            .filter(|behaviour| study.parts.is_some() && study.importance.has(*behaviour))
            .map(|behaviour| (behaviour.name().to_owned(), top_parts(study, behaviour, top)))
            .collect(),
        manifest_digest: manifest.digest()?.0,
        manifest: json(serde_json::to_value(manifest))?,
    })
}

fn top_components(study: &Study, behaviour: Behaviour, top: usize) -> Vec<TopComponent> {
    let relative = study.importance.relative_of(behaviour);
    let ranks = Ranks::of(&relative);
    let describe = |component: &Component| TopComponent {
        component: component.to_string(),
        layer: component.layer.number(),
        module: component.module.projection().into(),
        importance: study.importance.at(behaviour, *component),
        relative_importance: relative[component.index()],
        rank: ranks.overall(*component),
        rank_in_column: ranks.in_column(*component),
        rank_in_row: ranks.in_row(*component),
    };
    ranks.order().iter().take(top).map(describe).collect()
}

/// The most important parts of components, where there are such.
fn top_parts(study: &Study, behaviour: Behaviour, top: usize) -> Vec<TopPart> {
    let (Some(parts), Some(layout)) = (&study.parts, &study.manifest.model.parts) else {
        return Vec::new();
    };
    let total: f64 = study.importance.of(behaviour).iter().sum();
    let importance = &parts.importance[behaviour.index()];
    let mut all: Vec<(usize, String)> = (layout.all())
        .map(|(component, part)| format!("{component}.{}", part.name))
        .enumerate()
        .collect();
    all.sort_by(|(a, _), (b, _)| importance[*b].total_cmp(&importance[*a]).then(a.cmp(b)));
    let describe = |(place, part): (usize, String)| TopPart {
        part,
        importance: importance[place],
        relative_importance: if total > 0.0 { importance[place] / total } else { 0.0 },
        share: parts.shares[0][place],
        share_of_behaviour: parts.shares[1 + behaviour.index()][place],
    };
    all.into_iter().take(top).map(describe).collect()
}

/// A study for a person: counts, and the first components of each behaviour.
pub fn print(study: &Study, top: usize) -> Result<(), Failure> {
    let manifest = &study.manifest;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |content: String| {
        let _ = writeln!(text, "{content}");
    };
    line(manifest.title.clone());
    let modules = manifest.model.layers * Module::ALL.len();
    line(format!(
        "{} {}, {} layers, {modules} matrices; definition {}",
        manifest.model.architecture, manifest.model.name, manifest.model.layers, manifest.definition
    ));
    line(format!(
        "{} instances, {} tokens; {} segments used, {} dropped",
        manifest.instances.len(),
        manifest.tokens(),
        manifest.segments_used(),
        manifest.dropped.len()
    ));
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for drop in &manifest.dropped {
        *reasons.entry(drop.reason.words()).or_default() += 1;
    }
    for (reason, count) in reasons {
        line(format!("  dropped {count}: {reason}"));
    }
    for behaviour in Behaviour::ALL {
        let counts = manifest.segments[behaviour.index()];
        line(String::new());
        line(format!("{} (n = {} instances, {} segments)", behaviour.title(), counts.instances, counts.used));
        if !study.importance.has(behaviour) {
            line("  no instance holds it".into());
            continue;
        }
        line("  rank  component   relative importance  importance  in column  in row".into());
        for component in top_components(study, behaviour, top) {
            line(format!(
                "  {:>4}  {:<10} {:>18.3} %  {:>10.3e}  {:>4} of 7  {:>2} of {}",
                component.rank,
                component.component,
                100.0 * component.relative_importance,
                component.importance,
                component.rank_in_column,
                component.rank_in_row,
                manifest.model.layers
            ));
        }
    }
    for behaviour in Behaviour::ALL.into_iter().filter(|behaviour| study.importance.has(*behaviour)) {
        let parts = top_parts(study, behaviour, top);
        if parts.is_empty() {
            continue;
        }
        line(String::new());
        line(format!("{}, parts of components", behaviour.title()));
        line("  part             relative importance  importance  of all tokens  of its tokens".into());
        for part in parts {
            line(format!(
                "  {:<16} {:>17.3} %  {:>10.3e}  {:>11.1} %  {:>11.1} %",
                part.part,
                100.0 * part.relative_importance,
                part.importance,
                100.0 * part.share,
                100.0 * part.share_of_behaviour
            ));
        }
    }
    print_text(text.trim_end())
}
