//! The tour: what the chain found, stop by stop, in words made of the numbers.

use std::collections::BTreeMap;

use cruxscope_benchmark::claims::{Evidence, EvidenceStudy, Role};
use cruxscope_study::{Comparison, DifferenceKind, Ledger, Positions, Ranks, ShiftView, TourStop};

use crate::RunError;

fn stop(title: &str, caption: String, seen: &[(&str, &str)]) -> TourStop {
    TourStop {
        title: title.into(),
        caption,
        seen: seen
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        notes: String::new(),
    }
}

/// What the ledger says of a claim, in one sentence; nothing where it says nothing.
fn said(ledger: &Ledger, claim: &str) -> String {
    let own: Vec<_> = ledger.of(claim).filter(|entry| !entry.subject.starts_with("published")).collect();
    let counts: Vec<String> = cruxscope_study::LedgerVerdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            let count = own.iter().filter(|entry| entry.verdict == verdict).count();
            (count > 0).then(|| format!("{} {count}", verdict.words()))
        })
        .collect();
    match (ledger.claim(claim), counts.is_empty()) {
        (Some(known), false) => format!(" The paper says: {} Here: {}.", known.words, counts.join(", ")),
        _ => String::new(),
    }
}

/// All stops.
pub(super) fn stops(evidence: &Evidence, ledger: &Ledger) -> Result<Vec<TourStop>, RunError> {
    let find = |place: &str| evidence.studies.iter().find(|study| study.place == place);
    let Some(original) = find("studies/original") else { return Ok(Vec::new()) };
    let mean = original.study.importance.relative_mean();
    let first = Ranks::of(&mean).order()[0];
    let mut stops = vec![stop(
        "Where reasoning is concentrated",
        format!(
            "Relative importance of all {} weight matrices over {} traces. **{first}** matters most: {:.1} %, where an even share would be {:.2} %.{}",
            mean.len(),
            original.study.manifest.instances.len(),
            100.0 * mean[first.index()],
            100.0 / mean.len() as f64,
            said(ledger, "finding-2")
        ),
        &[("view", "importance"), ("study", &original.place), ("component", &first.to_string())],
    )];
    let mut moved = |from: &EvidenceStudy, to: &EvidenceStudy, title: &str, claim: &str| -> Result<(), RunError> {
        let comparison = Comparison::between(&from.study, &to.study, &DifferenceKind::ALL)?;
        if let Some(component) = comparison.shift_ranks(None, ShiftView::Net).order().first() {
            let name = component.to_string();
            stops.push(stop(
                title,
                format!(
                    "{name} moves most: {:+.2} points of relative importance.{}",
                    100.0 * comparison.net(None, *component),
                    said(ledger, claim)
                ),
                &[
                    ("view", "shift"),
                    ("from", &from.place),
                    ("to", &to.place),
                    ("shift", "net"),
                    ("component", &name),
                ],
            ));
        }
        Ok(())
    };
    if let Some(base) = find("studies/base") {
        moved(base, original, "What distillation moved", "takeaway-4.3")?;
    }
    for (place, title, claim) in [
        ("studies/awq-4", "What 4-bit AWQ moved", "finding-3-final-layer"),
        ("studies/gptq-4", "What 4-bit GPTQ moved", "finding-3-gate"),
        ("studies/alphapruning-30", "What 30 % AlphaPruning moved", "appendix-I"),
    ] {
        if let Some(study) = find(place) {
            moved(original, study, title, claim)?;
        }
    }
    if original.validation.is_some() {
        stops.push(stop(
            "Importance against measured damage",
            format!("Every matrix alone rounded to 3 bits.{}", said(ledger, "section-4.2")),
            &[("view", "validation"), ("study", &original.place)],
        ));
    }
    let parted: Vec<String> = evidence
        .studies
        .iter()
        .filter(|study| matches!(study.role, Role::Compressed(_)))
        .filter_map(|study| {
            let kl = study.divergence.as_ref()?.mean_kl(Positions::All)?;
            Some(format!("{} {:.4}", study.place.trim_start_matches("studies/"), kl.value))
        })
        .collect();
    if !parted.is_empty() {
        stops.push(stop(
            "Where models part",
            format!(
                "Mean divergence from the original on its own traces, in nats: {}.{}",
                parted.join(", "),
                said(ledger, "table-4")
            ),
            &[("view", "importance"), ("study", &original.place)],
        ));
    }
    Ok(stops)
}
