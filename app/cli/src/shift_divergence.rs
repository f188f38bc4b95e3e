//! Beside a shift of relative importance, what the same compression costs: where study A holds a sketch of the compressed model as a
//! candidate (`cruxscope sensitivity --candidate`), the predicted divergence of every component stands next to its shift.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cruxscope_statistics::RankCorrelation;
use cruxscope_study::{Behaviour, Comparison, Component, FileDigest, Manifest, Module, Ranks, Scope, Sensitivity, ShiftView};
use serde::Serialize;

/// Components of which it is said how many both put first.
const FIRST: usize = 10;

/// Divergence beside shift, for one behaviour.
#[derive(Serialize)]
pub struct Divergence {
    /// Predicted divergence of the whole compression at this behaviour's positions, in nats.
    predicted_kl: f64,
    /// The measured one.
    measured_kl: Option<f64>,
    /// Each component's predicted divergence alone, in nats: an array over layers of arrays over modules.
    alone: Vec<Vec<f64>>,
    /// Rank correlation of that with the size of the net shift.
    rank_correlation_with_net_shift: Option<RankCorrelation>,
    /// Likewise with decreases, which the paper looks at.
    rank_correlation_with_decreases: Option<RankCorrelation>,
    /// How many of the ten components of the largest divergence are among the ten of the largest net shift.
    among_first_ten: usize,
    /// The component of the largest divergence.
    largest: String,
}

/// The format of a sketch that is the model of a study, by the digests of its files.
fn format_of(sensitivity: &Sensitivity, manifest: &Manifest) -> Option<usize> {
    let digests = |files: &[FileDigest]| files.iter().map(|file| file.sha256.0.clone()).collect::<BTreeSet<_>>();
    let own = digests(&manifest.model.files);
    let candidates = sensitivity.facts.formats.iter();
    (!own.is_empty()).then_some(())?;
    candidates
        .map(|format| format.candidate.as_ref())
        .position(|candidate| candidate.is_some_and(|candidate| digests(&candidate.files) == own))
}

/// For every behaviour that is compared, and for the mean over them, whose divergence is that of all positions.
pub fn divergences(sensitivity: &Sensitivity, to: &Manifest, comparison: &Comparison, parts: &[Option<Behaviour>]) -> Vec<(Option<Behaviour>, Divergence)> {
    let Some(format) = format_of(sensitivity, to) else { return Vec::new() };
    let recipe = vec![Some(format); sensitivity.facts.components()];
    let windows: Vec<usize> = (0..sensitivity.facts.windows.len()).collect();
    let of_part = |part: &Option<Behaviour>| {
        let scope = part.map_or(Scope::All, Scope::Behaviour);
        let alone = sensitivity.alone(scope, format)?;
        let components: Vec<Component> = Component::all(sensitivity.facts.layers).collect();
        let net: Vec<f64> = components.iter().map(|component| comparison.net(*part, *component)).collect();
        let size: Vec<f64> = net.iter().map(|net| net.abs()).collect();
        let decreases: Vec<f64> = net.iter().map(|net| ShiftView::Decreases.of(*net)).collect();
        let first = |values: &[f64]| Ranks::of(values).order().iter().take(FIRST).copied().collect::<BTreeSet<_>>();
        let measured = &sensitivity.facts.formats[format].measured;
        Some(Divergence {
            predicted_kl: sensitivity.predicted_kl(scope, &recipe, &windows)?,
            measured_kl: measured.iter().find(|measured| measured.scope == scope).map(|measured| measured.kl),
            rank_correlation_with_net_shift: RankCorrelation::of(&alone, &size),
            rank_correlation_with_decreases: RankCorrelation::of(&alone, &decreases),
            among_first_ten: first(&alone).intersection(&first(&size)).count(),
            largest: Ranks::of(&alone).order().first()?.to_string(),
            alone: alone.chunks_exact(Module::ALL.len()).map(<[f64]>::to_vec).collect(),
        })
    };
    parts.iter().filter_map(|part| Some((*part, of_part(part)?))).collect()
}

/// The same for a person. Writing to a string cannot fail.
pub fn text(divergences: &[(Option<Behaviour>, Divergence)]) -> String {
    let mut text = String::new();
    if divergences.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "\nwhat the same compression costs, by the sketch in A; rank correlation of each component's divergence with its shift\n  {:<24}  predicted KL  measured  with the net shift    with decreases        of the first {FIRST}  largest",
        ""
    );
    let rank = |rank: Option<RankCorrelation>| rank.map_or_else(|| "-".into(), |rank| format!("{:.2} [{:.2}, {:.2}]", rank.rho, rank.low, rank.high));
    for (behaviour, own) in divergences {
        let _ = writeln!(
            text,
            "  {:<24}  {:>12.4}  {:>8}  {:<20}  {:<20}  {:>15}  {}",
            behaviour.map_or("All positions", Behaviour::title),
            own.predicted_kl,
            own.measured_kl.map_or_else(|| "-".into(), |kl| format!("{kl:.4}")),
            rank(own.rank_correlation_with_net_shift),
            rank(own.rank_correlation_with_decreases),
            own.among_first_ten,
            own.largest
        );
    }
    text
}
