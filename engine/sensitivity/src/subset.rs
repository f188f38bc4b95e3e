//! A sketch over some of its formats: the menu of one method, or the two formats between which matrices are protected.

use cruxscope_study::{Errors, ScopeSketch, Sensitivity, SensitivityFacts};

/// The sketch over some formats, in the order in which they are given; nothing where one is unknown or stands twice.
pub fn of_formats(sensitivity: &Sensitivity, formats: &[usize]) -> Option<Sensitivity> {
    let all = sensitivity.facts.formats.len();
    let known = formats.iter().all(|format| *format < all);
    let twice = formats.iter().enumerate().any(|(place, format)| formats[..place].contains(format));
    if !known || twice || formats.is_empty() {
        return None;
    }
    let singles = |values: &[f32]| -> Vec<f32> { values.chunks_exact(all).flat_map(|row| formats.iter().map(|format| row[*format])).collect() };
    let doubles = |values: &[f64]| -> Vec<f64> { values.chunks_exact(all).flat_map(|row| formats.iter().map(|format| row[*format])).collect() };
    Some(Sensitivity {
        facts: SensitivityFacts {
            formats: formats.iter().map(|format| sensitivity.facts.formats[*format].clone()).collect(),
            ..sensitivity.facts.clone()
        },
        scopes: sensitivity
            .scopes
            .iter()
            .map(|scope| ScopeSketch {
                sketch: singles(&scope.sketch),
                score: singles(&scope.score),
                outputs: singles(&scope.outputs),
                positions: scope.positions.clone(),
            })
            .collect(),
        bits: doubles(&sensitivity.bits),
        errors: Errors {
            weight: doubles(&sensitivity.errors.weight),
            input: doubles(&sensitivity.errors.input),
            gradient: doubles(&sensitivity.errors.gradient),
            first_order: doubles(&sensitivity.errors.first_order),
        },
    })
}

/// A choice over those formats as a choice over the whole menu.
pub fn over_all(formats: &[usize], choice: &[Option<usize>]) -> Vec<Option<usize>> {
    choice.iter().map(|format| format.and_then(|format| formats.get(format).copied())).collect()
}
