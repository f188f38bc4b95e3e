//! Claims about what compression did: each component alone, a protected part, a single matrix, AWQ's scales.

use cruxscope_study::{Bootstrap, Component, Divergence, Module, Positions, Ranks};

use super::evidence::{CompressionKind, Evidence, EvidenceStudy, Role};
use super::{Bound, Found, Number, Test};

/// Texts below which a bootstrap over them means little.
const LEAST_TEXTS: usize = 10;
/// Components below which a rank correlation means little.
const LEAST_COMPONENTS: usize = 10;

pub(super) fn found(test: &Test, evidence: &Evidence) -> Vec<Found> {
    let all: Vec<Found> = match test {
        Test::ImportanceOrdersDamage => evidence.studies.iter().filter_map(correlation).collect(),
        Test::FinalUpDamageRank { at_most } => evidence.studies.iter().filter_map(|study| damage_rank(study, *at_most)).collect(),
        Test::AwqScaleRank { at_most } => evidence.studies.iter().filter_map(|study| scale_rank(study, *at_most)).collect(),
        Test::FinalMlpProtects => {
            let is_protected = |kind: &CompressionKind, _: usize| kind.protected.as_deref() == Some("final-mlp");
            let is_plain = |kind: &CompressionKind, _: usize| kind.is_whole();
            ratios(
                evidence,
                &is_protected,
                &is_plain,
                "divergence with the final feed-forward block protected, over that without",
                Bound::Below(1.0),
            )
        }
        Test::FinalUpHurtsMoreThanFirst => {
            let only = |kind: &CompressionKind, layer: usize| kind.only.as_deref() == Some(Component::new(layer, Module::Up).to_string().as_str());
            let is_final = |kind: &CompressionKind, layers: usize| only(kind, layers - 1);
            let is_first = |kind: &CompressionKind, _: usize| only(kind, 0);
            ratios(
                evidence,
                &is_final,
                &is_first,
                "divergence with only the final up projection compressed, over that with only the first",
                Bound::Above(1.0),
            )
        }
        _ => Vec::new(),
    };
    if all.is_empty() { vec![missing(test)] } else { all }
}

fn missing(test: &Test) -> Found {
    let (statistic, bound, why, command) = match test {
        Test::ImportanceOrdersDamage => (
            "rank correlation of importance with divergence",
            Bound::Above(0.0),
            "no study holds the divergence of each component alone",
            "cruxscope validate --study STUDY --model MODEL …",
        ),
        Test::FinalUpDamageRank { at_most } => (
            "rank of the final up projection by divergence alone",
            Bound::AtMost(*at_most),
            "no study holds the divergence of each component alone",
            "cruxscope validate --study STUDY --model MODEL …",
        ),
        Test::AwqScaleRank { at_most } => (
            "rank of the final up projection by AWQ's scale",
            Bound::AtMost(*at_most),
            "no study is of a model whose AWQ scales are known",
            "cruxscope reproduce appendix-m --model MODEL …; cruxscope interpret --model awq4 …",
        ),
        Test::FinalMlpProtects => (
            "divergence with the final feed-forward block protected, over that without",
            Bound::Below(1.0),
            "no two studies compare a protected and an unprotected model with the original",
            "cruxscope reproduce table-4 --model MODEL …; cruxscope compare --model MODEL --model awq3 …, and awq3_protect_final_mlp",
        ),
        _ => (
            "divergence with only the final up projection compressed, over that with only the first",
            Bound::Above(1.0),
            "no two studies compare models with only the final and only the first up projection compressed with the original",
            "cruxscope reproduce table-9 --model MODEL …; cruxscope compare --model MODEL --model LAST_up …, and 1_up",
        ),
    };
    Found {
        subject: "nothing given".into(),
        definition: None,
        statistic: statistic.into(),
        number: None,
        bound,
        why: why.into(),
        command: command.into(),
        seen: Vec::new(),
    }
}

fn validation_view(study: &EvidenceStudy) -> Vec<(&'static str, String)> {
    vec![("view", "validation".into()), ("study", study.place.clone())]
}

/// Importance against the divergence of each component alone.
fn correlation(study: &EvidenceStudy) -> Option<Found> {
    let validation = study.validation.as_ref()?;
    let found = validation.correlation(&study.study.importance, None)?;
    Some(Found {
        subject: study.title(),
        definition: Some(study.study.manifest.definition),
        statistic: "rank correlation of importance with divergence".into(),
        number: Some(Number {
            value: found.rho,
            interval: Some((found.low, found.high)),
            n: found.n,
            units: "matrices",
            least: LEAST_COMPONENTS,
            exact: false,
        }),
        bound: Bound::Above(0.0),
        why: String::new(),
        command: "cruxscope validate --study STUDY --model MODEL …".into(),
        seen: validation_view(study),
    })
}

/// The final up projection among all components by their divergence alone. What was measured on a text has no interval over texts there.
fn damage_rank(study: &EvidenceStudy, at_most: f64) -> Option<Found> {
    let validation = study.validation.as_ref()?;
    let values: Vec<f64> = validation.components.iter().map(|damage| damage.divergence).collect();
    let layers = values.len() / Module::ALL.len();
    let final_up = Component::new(layers.checked_sub(1)?, Module::Up);
    let rank = Ranks::of(&values).overall(final_up) as f64;
    Some(Found {
        subject: study.title(),
        definition: None,
        statistic: "rank of the final up projection by divergence alone".into(),
        number: Some(Number {
            value: rank,
            interval: None,
            n: validation.predictions,
            units: "predictions",
            least: 1,
            // A rank far from the bound needs no interval, one beside it would: the text as it is decides.
            exact: true,
        }),
        bound: Bound::AtMost(at_most),
        why: "the rank is that on the text that was measured; another text may order neighbours otherwise".into(),
        command: String::new(),
        seen: validation_view(study),
    })
}

/// The final up projection among the up projections that AWQ scales at all.
fn scale_rank(study: &EvidenceStudy, at_most: f64) -> Option<Found> {
    let compression = study.compression.as_ref()?;
    let layers = compression.components.len() / Module::ALL.len();
    let scale = |layer: usize| {
        compression
            .components
            .get(Component::new(layer, Module::Up).index())
            .and_then(|entry| entry.awq_scale)
    };
    let own = scale(layers.checked_sub(1)?)?;
    // A factor of one is no scaling.
    let scaled: Vec<f64> = (0..layers).filter_map(scale).filter(|scale| (scale - 1.0).abs() > 1e-9).collect();
    let is_scaled = (own - 1.0).abs() > 1e-9;
    let rank = scaled.iter().filter(|scale| **scale > own).count() + 1;
    Some(Found {
        subject: study.title(),
        definition: None,
        statistic: "rank of the final up projection by AWQ's scale".into(),
        number: is_scaled.then_some(Number {
            value: rank as f64,
            interval: None,
            n: scaled.len(),
            units: "up projections",
            least: 1,
            exact: true,
        }),
        bound: Bound::AtMost(at_most),
        why: if is_scaled { String::new() } else { "AWQ does not scale it".into() },
        command: "cruxscope reproduce appendix-m --model MODEL …".into(),
        seen: vec![("view", "variants".into()), ("study", study.place.clone())],
    })
}

/// Studies of two kinds of one method, both compared with the same original on the same texts.
fn ratios(
    evidence: &Evidence,
    above: &dyn Fn(&CompressionKind, usize) -> bool,
    below: &dyn Fn(&CompressionKind, usize) -> bool,
    statistic: &str,
    bound: Bound,
) -> Vec<Found> {
    let of = |wanted: &dyn Fn(&CompressionKind, usize) -> bool| -> Vec<(&EvidenceStudy, &CompressionKind, &Divergence)> {
        let studies = evidence.studies.iter();
        let known = studies.filter_map(|study| match (&study.role, &study.divergence) {
            (Role::Compressed(kind), Some(divergence)) if wanted(kind, divergence.facts.layers) => Some((study, kind, divergence)),
            _ => None,
        });
        known.collect()
    };
    let mut all = Vec::new();
    for (first, kind, own) in of(above) {
        for (second, other_kind, other) in of(below) {
            if kind.same_method(other_kind) && own.facts.models[0] == other.facts.models[0] {
                let number = ratio(own, other);
                all.push(Found {
                    subject: format!("{} over {}", first.title(), second.title()),
                    definition: None,
                    statistic: statistic.into(),
                    why: if number.is_some() {
                        String::new()
                    } else {
                        "they were not compared on the same texts".into()
                    },
                    number,
                    bound,
                    command: "cruxscope compare --model ORIGINAL --model COMPRESSED --traces TRACES --out STUDY, on the same traces".into(),
                    seen: vec![("view", "shift".into()), ("from", second.place.clone()), ("to", first.place.clone())],
                });
            }
        }
    }
    all
}

/// Mean divergence of one over that of the other; texts are drawn for both together.
fn ratio(above: &Divergence, below: &Divergence) -> Option<Number> {
    let ids = |divergence: &Divergence| -> Vec<(String, usize)> { divergence.facts.texts.iter().map(|text| (text.id.clone(), text.tokens)).collect() };
    if ids(above) != ids(below) {
        return None;
    }
    let sums = |divergence: &Divergence| {
        let mut sums = vec![0.0; divergence.facts.texts.len()];
        divergence
            .predictions(Positions::All)
            .for_each(|(text, _, at)| sums[text] += f64::from(divergence.kl[at]));
        sums
    };
    let (above, below) = (sums(above), sums(below));
    let statistic = |times: &dyn Fn(usize) -> f64| {
        let sum = |values: &[f64]| values.iter().enumerate().map(|(text, value)| times(text) * value).sum::<f64>();
        let whole = sum(&below);
        (whole > 0.0).then(|| sum(&above) / whole)
    };
    Some(Number {
        value: statistic(&|_| 1.0)?,
        interval: Bootstrap::default().interval(above.len(), |times| statistic(&|text| times[text])),
        n: above.len(),
        units: "texts",
        least: LEAST_TEXTS,
        exact: false,
    })
}
