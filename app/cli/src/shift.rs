//! `cruxscope shift`: how relative importance moves from one study to another, in words and numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use cruxscope_run::{Event, Observer as _};
use cruxscope_study::{Behaviour, Bootstrap, Comparability, Comparison, Component, DifferenceKind, Module, ShiftInterval, ShiftView, Study, folder, printable};
use serde::Serialize;

use crate::failure::Failure;
use crate::numbers::{MOST, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::shift_divergence::{self, Divergence};
use crate::show::TOP;

/// The name under which the mean over behaviours stands beside them.
const MEAN: &str = "mean";

#[derive(Debug, Args)]
pub struct Arguments {
    /// Study A, of the more capable model: its folder, or its study.json
    #[arg(long, value_name = "STUDY")]
    from: PathBuf,
    /// Study B, of the compressed model or the base model
    #[arg(long, value_name = "STUDY")]
    to: PathBuf,
    /// decreases (RI_A - RI_B where that is positive), increases, or net (RI_B - RI_A)
    #[arg(long = "direction", alias = "view", default_value = "decreases")]
    view: ShiftView,
    /// In what the studies may differ, and the result says so: data, instances, basis, settings, or all
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    allow_different: Vec<String>,
    /// Print everything as JSON: shift, relative_importance_from and relative_importance_to are objects by behaviour (and
    /// "mean"), each an array over layers of arrays over modules, in the order of "modules"
    #[arg(long)]
    json: bool,
    /// How many components to list per behaviour
    #[arg(long, default_value_t = TOP, value_parser = whole::<usize>(0, MOST))]
    top: usize,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Summary {
    from: Side,
    to: Side,
    view: &'static str,
    definition: &'static str,
    warnings: Vec<Warning>,
    instances_shared: usize,
    behaviours: Vec<&'static str>,
    modules: Vec<&'static str>,
    layers: usize,
    shift: BTreeMap<&'static str, Vec<Vec<f64>>>,
    relative_importance_from: BTreeMap<&'static str, Vec<Vec<f64>>>,
    relative_importance_to: BTreeMap<&'static str, Vec<Vec<f64>>>,
    top: BTreeMap<&'static str, Vec<TopShift>>,
    /// What the same compression costs, where A holds a sketch of it; of all positions under "mean".
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    divergence: BTreeMap<&'static str, Divergence>,
}

#[derive(Serialize)]
struct Side {
    title: String,
    model: String,
    basis: String,
    manifest_digest: String,
}

#[derive(Serialize)]
struct Warning {
    kind: &'static str,
    sentence: String,
}

/// One listed component. The interval is that of the shift through the view that was asked for.
#[derive(Serialize)]
struct TopShift {
    component: String,
    layer: usize,
    module: &'static str,
    rank: usize,
    shift: f64,
    low: Option<f64>,
    high: Option<f64>,
    relative_importance_from: f64,
    relative_importance_to: f64,
    rank_from: usize,
    rank_to: usize,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let allowed = allowed(&arguments.allow_different)?;
    let (a, b) = (folder::load(&arguments.from)?, folder::load(&arguments.to)?);
    let comparison = compare(&a, &b, &allowed)?;
    for difference in &comparison.differences {
        status!("note: {}", printable(&difference.sentence));
    }
    let parts_of = parts(&comparison);
    let divergences = match folder::load_sensitivity(&arguments.from)? {
        Some(sensitivity) => shift_divergence::divergences(&sensitivity, &b.manifest, &comparison, &parts_of),
        None => Vec::new(),
    };
    let mut progress = Progress::stopped_by(Arc::default());
    let mut told = |share: f64| {
        progress.event(Event::Preparing {
            what: format!("resampling {} shared instances", comparison.shared_instances()),
            share,
        });
    };
    let found = comparison.intervals_of(&a, &b, &parts_of, &Bootstrap::default(), &mut told);
    progress.finish();
    let intervals: Vec<_> = parts_of.into_iter().zip(found?).collect();
    let top = |behaviour: Option<Behaviour>, intervals: Option<&[ShiftInterval]>| listed(&comparison, behaviour, arguments.view, intervals, arguments.top);
    if !arguments.json {
        let lists = intervals
            .iter()
            .map(|(behaviour, intervals)| (*behaviour, top(*behaviour, intervals.as_deref())));
        let said = text(&a, &b, &comparison, arguments.view, lists.collect()) + &shift_divergence::text(&divergences);
        return print_text(said.trim_end());
    }
    let by_layer = |values: &[f64]| values.chunks_exact(Module::ALL.len()).map(<[f64]>::to_vec).collect::<Vec<_>>();
    let maps = |of: &dyn Fn(Option<Behaviour>) -> Vec<f64>| parts(&comparison).into_iter().map(|part| (name(part), by_layer(&of(part)))).collect();
    print_json(&Summary {
        from: side(&a)?,
        to: side(&b)?,
        view: arguments.view.name(),
        definition: a.manifest.definition.name(),
        warnings: comparison
            .differences
            .iter()
            .map(|difference| Warning {
                kind: difference.kind.name(),
                sentence: difference.sentence.clone(),
            })
            .collect(),
        instances_shared: comparison.shared_instances(),
        behaviours: Behaviour::ALL.into_iter().map(Behaviour::name).collect(),
        modules: Module::ALL.into_iter().map(Module::projection).collect(),
        layers: comparison.layers(),
        shift: maps(&|part| comparison.shift(part, arguments.view)),
        relative_importance_from: maps(&|part| comparison.from(part).to_vec()),
        relative_importance_to: maps(&|part| comparison.to(part).to_vec()),
        top: intervals
            .iter()
            .map(|(behaviour, intervals)| (name(*behaviour), top(*behaviour, intervals.as_deref())))
            .collect(),
        divergence: divergences.into_iter().map(|(behaviour, own)| (name(behaviour), own)).collect(),
    })
}

/// Compares, and says of a difference that may be allowed how to allow it.
fn compare(a: &Study, b: &Study, allowed: &[DifferenceKind]) -> Result<Comparison, Failure> {
    Comparison::between(a, b, allowed).map_err(|error| {
        let found = Comparability::between(&a.manifest, &b.manifest);
        let kinds: Vec<&str> = found.differences.iter().map(|difference| difference.kind.name()).collect();
        if found.refusals.is_empty() && !kinds.is_empty() {
            Failure::mistake(format!("{error} To compare them all the same, add --allow-different {}", kinds.join(",")))
        } else {
            Failure::mistake(error.to_string())
        }
    })
}

fn allowed(words: &[String]) -> Result<Vec<DifferenceKind>, Failure> {
    let mut kinds = Vec::new();
    for word in words {
        if word == "all" {
            kinds.extend(DifferenceKind::ALL);
        } else {
            kinds.push(word.parse().map_err(|complaint: String| Failure::mistake(format!("{complaint}, all")))?);
        }
    }
    Ok(kinds)
}

/// What is compared: the behaviours that both studies hold, and the mean over them.
fn parts(comparison: &Comparison) -> Vec<Option<Behaviour>> {
    let all = Behaviour::ALL.map(Some).into_iter().chain([None]);
    all.filter(|part| comparison.has(*part)).collect()
}

fn name(behaviour: Option<Behaviour>) -> &'static str {
    behaviour.map_or(MEAN, Behaviour::name)
}

fn side(study: &Study) -> Result<Side, Failure> {
    Ok(Side {
        title: study.manifest.title.clone(),
        model: study.manifest.model.name.clone(),
        basis: study.manifest.model.basis.clone(),
        manifest_digest: study.manifest.digest()?.0,
    })
}

/// The first components by size of the shift; those that do not shift through this view are left out.
fn listed(comparison: &Comparison, behaviour: Option<Behaviour>, view: ShiftView, intervals: Option<&[ShiftInterval]>, top: usize) -> Vec<TopShift> {
    let ranks = comparison.shift_ranks(behaviour, view);
    let shift = |component: Component| view.of(comparison.net(behaviour, component));
    let order = ranks.order().iter().copied().filter(|component| shift(*component) != 0.0);
    let describe = |component: Component| {
        let interval = intervals
            .and_then(|intervals| intervals.get(component.index()))
            .map(|interval| interval.through(view));
        let [from, to] = comparison.ranks(behaviour);
        TopShift {
            component: component.to_string(),
            layer: component.layer.number(),
            module: component.module.projection(),
            rank: ranks.overall(component),
            shift: shift(component),
            low: interval.map(|[low, _]| low),
            high: interval.map(|[_, high]| high),
            relative_importance_from: comparison.from(behaviour)[component.index()],
            relative_importance_to: comparison.to(behaviour)[component.index()],
            rank_from: from.overall(component),
            rank_to: to.overall(component),
        }
    };
    order.take(top).map(describe).collect()
}

/// A comparison for a person. Writing to a string cannot fail.
fn text(a: &Study, b: &Study, comparison: &Comparison, view: ShiftView, lists: Vec<(Option<Behaviour>, Vec<TopShift>)>) -> String {
    let mut text = String::new();
    let said = match view {
        ShiftView::Decreases => "decreases, A - B",
        ShiftView::Increases => "increases, B - A",
        ShiftView::Net => "net, B - A",
    };
    for (side, study) in [("A", a), ("B", b)] {
        let manifest = &study.manifest;
        let _ = writeln!(
            text,
            "{side}  {} ({} {}, basis {})",
            manifest.title, manifest.model.architecture, manifest.model.name, manifest.model.basis
        );
    }
    let shared = comparison.shared_instances();
    let _ = writeln!(
        text,
        "shift of relative importance: {said}; definition {}; 95 % intervals over {shared} shared {}",
        a.manifest.definition,
        if shared == 1 { "instance" } else { "instances" }
    );
    let sign = if view == ShiftView::Net { "+" } else { "" };
    for (behaviour, list) in lists {
        let title = behaviour.map_or("Mean over behaviours", Behaviour::title);
        let _ = write!(text, "\n{title}\n");
        if list.is_empty() {
            let _ = writeln!(text, "  nothing shifts");
            continue;
        }
        let _ = writeln!(
            text,
            "  rank  component         shift          interval     in A     in B   rank in A  rank in B"
        );
        for row in list {
            let percent = |value: f64| {
                if sign.is_empty() {
                    format!("{:.3}", 100.0 * value)
                } else {
                    format!("{:+.3}", 100.0 * value)
                }
            };
            let interval = match (row.low, row.high) {
                (Some(low), Some(high)) => format!("{} to {}", percent(low), percent(high)),
                _ => "none".to_owned(),
            };
            let _ = writeln!(
                text,
                "  {:>4}  {:<10} {:>7} %  {:>16}  {:>6.3} %  {:>6.3} %  {:>9}  {:>9}",
                row.rank,
                row.component,
                percent(row.shift),
                interval,
                100.0 * row.relative_importance_from,
                100.0 * row.relative_importance_to,
                row.rank_from,
                row.rank_to
            );
        }
    }
    text
}
