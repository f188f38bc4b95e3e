//! Claims about maps: which components are important, what distillation gave them, and what compression took.

use cruxscope_study::{Behaviour, Bootstrap, Component, Definition, Maps, Module, Ranks, Study, StudyError, map_statistic};

use super::evidence::{Evidence, EvidenceStudy, Role};
use super::{Bound, Found, Number, Part, Test};

/// Instances below which a bootstrap over them means little.
const LEAST_INSTANCES: usize = 10;
/// Behaviours are looked at where every study holds them; a worst one needs at least this many.
const INTERPRET: &str = "cruxscope interpret --model MODEL --traces TRACES --annotations ANNOTATIONS --out STUDY";

pub(super) fn found(test: &Test, evidence: &Evidence) -> Result<Vec<Found>, StudyError> {
    let mut all = Vec::new();
    for definition in [Definition::Paper, Definition::Released] {
        let own = of_definition(test, evidence, definition)?;
        if own.is_empty() {
            all.push(missing(test, definition));
        }
        all.extend(own);
    }
    Ok(all)
}

fn of_definition(test: &Test, evidence: &Evidence, definition: Definition) -> Result<Vec<Found>, StudyError> {
    let of = |role: &Role, wanted: &Role| role == wanted;
    let defined = |study: &&EvidenceStudy| study.study.manifest.definition == definition;
    let originals: Vec<&EvidenceStudy> = evidence.read(|role| of(role, &Role::Original)).filter(defined).collect();
    let mut all = Vec::new();
    match test {
        Test::FinalUpRank { .. } | Test::FinalUpWorstRank { .. } | Test::FinalLayerInTop { .. } => {
            // Claims about any reasoning model: other models than the original are told too.
            let others = evidence.read(|role| of(role, &Role::Other)).filter(defined);
            for study in originals.into_iter().chain(others) {
                all.push(one(test, &[study], study.title(), importance_view(study))?);
            }
        }
        Test::ImportantFromDistillation { .. } => {
            let bases: Vec<&EvidenceStudy> = evidence.read(|role| of(role, &Role::Base)).filter(defined).collect();
            for (original, base) in originals.iter().flat_map(|original| bases.iter().map(move |base| (*original, *base))) {
                let subject = format!("{} and {}", original.title(), base.title());
                all.push(one(test, &[original, base], subject, shift_view(base, original))?);
            }
        }
        Test::BaseFinalUpRankInLayer { .. } => {
            for base in evidence.read(|role| of(role, &Role::Base)).filter(defined) {
                all.push(one(test, &[base], base.title(), importance_view(base))?);
            }
        }
        Test::DecreasesIn { methods, .. } | Test::NetIsDecrease { methods, .. } => {
            let compressed = |role: &Role| matches!(role, Role::Compressed(kind) if kind.is_whole() && methods.contains(&kind.method));
            let variants: Vec<&EvidenceStudy> = evidence.read(compressed).filter(defined).collect();
            for (original, variant) in originals.iter().flat_map(|original| variants.iter().map(move |variant| (*original, *variant))) {
                all.push(one(test, &[original, variant], variant.title(), shift_view(original, variant))?);
            }
        }
        _ => {}
    }
    Ok(all)
}

fn importance_view(study: &EvidenceStudy) -> Vec<(&'static str, String)> {
    vec![("view", "importance".into()), ("study", study.place.clone())]
}

fn shift_view(from: &EvidenceStudy, to: &EvidenceStudy) -> Vec<(&'static str, String)> {
    vec![
        ("view", "shift".into()),
        ("from", from.place.clone()),
        ("to", to.place.clone()),
        ("shift", "net".into()),
    ]
}

/// The number of a test over the instances that its studies share.
fn one(test: &Test, studies: &[&EvidenceStudy], subject: String, seen: Vec<(&'static str, String)>) -> Result<Found, StudyError> {
    let own: Vec<&Study> = studies.iter().map(|study| &study.study).collect();
    let number = map_statistic(&own, &Bootstrap::default(), |maps| statistic(test, maps))?;
    let folded = studies.iter().find(|study| study.study.manifest.model.basis == "folded");
    let mut why = match (&number, studies.len()) {
        (Some(_), _) => String::new(),
        (None, 1) => "no instance of it holds the behaviours that are asked for".into(),
        (None, _) => "the studies share no instance that holds the behaviours asked for".to_owned(),
    };
    if let Some(folded) = folded {
        why += &format!("{} is of a model with folded scales, whose activations stand in another basis", folded.title());
    }
    Ok(Found {
        subject,
        definition: Some(own[0].manifest.definition),
        statistic: words(test),
        number: number.map(|found| Number {
            value: found.value,
            interval: found.interval,
            n: found.instances,
            units: "traces",
            least: LEAST_INSTANCES,
            exact: false,
        }),
        bound: bound(test),
        why,
        command: format!("{INTERPRET}, with more annotated traces"),
        seen,
    })
}

fn missing(test: &Test, definition: Definition) -> Found {
    let flag = match definition {
        Definition::Paper => "",
        Definition::Released => " --definition reference",
    };
    let (why, command) = match test {
        Test::ImportantFromDistillation { .. } | Test::BaseFinalUpRankInLayer { .. } => {
            ("no study of the base model".to_owned(), format!("{INTERPRET}{flag}, on the base model"))
        }
        Test::DecreasesIn { methods, .. } | Test::NetIsDecrease { methods, .. } => (
            format!("no study of the model compressed by {}", methods.join(", ")),
            format!("cruxscope compress --model MODEL …; {INTERPRET}{flag}, on the compressed model"),
        ),
        _ => ("no study".to_owned(), format!("{INTERPRET}{flag}")),
    };
    Found {
        subject: "nothing given".into(),
        definition: Some(definition),
        statistic: words(test),
        number: None,
        bound: bound(test),
        why: format!("{why} under the definition {definition} was given"),
        command,
        seen: Vec::new(),
    }
}

fn bound(test: &Test) -> Bound {
    match test {
        Test::FinalUpRank { at_most } | Test::FinalUpWorstRank { at_most } => Bound::AtMost(*at_most),
        Test::FinalLayerInTop { at_least, .. } | Test::BaseFinalUpRankInLayer { at_least } => Bound::AtLeast(*at_least),
        Test::ImportantFromDistillation { above, .. } => Bound::Above(*above),
        Test::NetIsDecrease { of, .. } => Bound::AtLeast((of / 2 + 1) as f64),
        _ => Bound::Above(1.0),
    }
}

fn words(test: &Test) -> String {
    match test {
        Test::FinalUpRank { .. } => "rank of the final up projection, mean over behaviours".into(),
        Test::FinalUpWorstRank { .. } => "worst rank of the final up projection over behaviours".into(),
        Test::FinalLayerInTop { of, .. } => format!("of the {of} most important, those of the final layer, fewest over behaviours"),
        Test::ImportantFromDistillation { of, .. } => format!("share of the importance of the first {of} that the base model lacks"),
        Test::BaseFinalUpRankInLayer { .. } => "rank of the final up projection in its layer, uncertainty estimation".into(),
        Test::DecreasesIn { part, .. } => {
            let part = match part {
                Part::FinalLayer => "the final layer",
                Part::Gate => "the gate projections",
            };
            format!("share of decreases in {part} over the even share")
        }
        Test::NetIsDecrease { of, .. } => format!("decreases among the {of} largest net changes"),
        _ => String::new(),
    }
}

/// A test's number in one sample of the instances.
fn statistic(test: &Test, maps: &Maps) -> Option<f64> {
    let last = maps.layers.checked_sub(1)?;
    let final_up = Component::new(last, Module::Up);
    let held = || Behaviour::ALL.into_iter().filter(|behaviour| maps.has(*behaviour));
    let components = || Component::all(maps.layers);
    match test {
        Test::FinalUpRank { .. } => Some(Ranks::of(&maps.mean(0)?).overall(final_up) as f64),
        Test::FinalUpWorstRank { .. } => held()
            .filter_map(|behaviour| Some(Ranks::of(maps.relative(0, behaviour)?).overall(final_up) as f64))
            .max_by(f64::total_cmp),
        Test::FinalLayerInTop { of, .. } => held()
            .filter_map(|behaviour| {
                let ranks = Ranks::of(maps.relative(0, behaviour)?);
                Some(ranks.order().iter().take(*of).filter(|component| component.layer.0 == last).count() as f64)
            })
            .min_by(f64::total_cmp),
        Test::ImportantFromDistillation { of, .. } => {
            let (original, base) = (maps.mean(0)?, maps.mean(1)?);
            let ranks = Ranks::of(&original);
            let sum = |values: &[f64]| ranks.order().iter().take(*of).map(|component| values[component.index()]).sum::<f64>();
            let whole = sum(&original);
            (whole > 0.0).then(|| (whole - sum(&base)) / whole)
        }
        Test::BaseFinalUpRankInLayer { .. } => {
            let values = maps.relative(0, Behaviour::UncertaintyEstimation)?;
            Some(Ranks::of(values).in_column(final_up) as f64)
        }
        Test::DecreasesIn { part, .. } => {
            let (original, compressed) = (maps.mean(0)?, maps.mean(1)?);
            let decrease = |component: Component| (original[component.index()] - compressed[component.index()]).max(0.0);
            let inside = |component: &Component| match part {
                Part::FinalLayer => component.layer.0 == last,
                Part::Gate => component.module == Module::Gate,
            };
            let whole: f64 = components().map(decrease).sum();
            let own: f64 = components().filter(inside).map(decrease).sum();
            let even = components().filter(inside).count() as f64 / components().count() as f64;
            (whole > 0.0).then(|| own / whole / even)
        }
        Test::NetIsDecrease { of, .. } => {
            let (original, compressed) = (maps.mean(0)?, maps.mean(1)?);
            let net: Vec<f64> = compressed.iter().zip(&original).map(|(to, from)| to - from).collect();
            let sizes: Vec<f64> = net.iter().map(|net| net.abs()).collect();
            Some(
                Ranks::of(&sizes)
                    .order()
                    .iter()
                    .take(*of)
                    .filter(|component| net[component.index()] < 0.0)
                    .count() as f64,
            )
        }
        _ => None,
    }
}
