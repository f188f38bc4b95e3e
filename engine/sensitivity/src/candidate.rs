//! Whether a compressed checkpoint can be compared with the original matrix by matrix, and what it changed.
//!
//! A change D = W' - W means something only where both stand in the same basis. AWQ as engines load it folds scales into the norms,
//! and into the outputs of the matrix before; rotations do more. The function stays, D does not (METHOD: "One basis, or say so").

use cruxscope_checkpoint::{LayerWeights, Matrix, ModelConfig, ModuleShape};
use cruxscope_model::module::projection_index;
use cruxscope_study::{Component, Module};

use crate::SensitivityError;
use crate::outputs::MapChanges;

/// Relative difference of norms and biases that formats of numbers can cause.
const ROUNDING: f64 = 0.01;
/// Cosine of a matrix with the original below which it has nothing to do with it: rounding to signs alone leaves 0.6 and more,
/// pruning all but a hundredth of the weights 0.2 and more.
const UNRELATED: f64 = 0.1;
/// Relative squared error at which nothing of a matrix is left as it was: that of zeros is 1.
const DIFFERENT: f64 = 1.0;
/// A matrix counts as scaled row by row where that explains so much of its difference.
const EXPLAINED: f64 = 0.75;
/// Below this relative squared error, scales of rows are those that rounding makes.
const SMALL: f64 = 1e-3;

/// Refuses a checkpoint of another shape.
///
/// # Errors
/// [`SensitivityError::Candidate`] that names what differs.
pub fn same_model(name: &str, original: &ModelConfig, candidate: &ModelConfig) -> Result<(), SensitivityError> {
    let refuse = |what: &str, own: String, other: String| SensitivityError::Candidate {
        name: name.into(),
        why: format!("it is of another model: {what} is {other}, the original's {own}"),
    };
    let compare = |what: &str, own: usize, other: usize| {
        if own == other {
            Ok(())
        } else {
            Err(refuse(what, own.to_string(), other.to_string()))
        }
    };
    if original.architecture != candidate.architecture {
        let names = (original.architecture.name().to_owned(), candidate.architecture.name().to_owned());
        return Err(refuse("its architecture", names.0, names.1));
    }
    compare("the number of its layers", original.layers, candidate.layers)?;
    compare("its hidden size", original.hidden, candidate.hidden)?;
    compare("the number of its heads", original.heads, candidate.heads)?;
    compare("the number of its key and value heads", original.key_value_heads, candidate.key_value_heads)?;
    compare("the width of its heads", original.head_dim, candidate.head_dim)?;
    compare("the width of its feed-forward block", original.intermediate, candidate.intermediate)?;
    compare("its vocabulary", original.vocabulary, candidate.vocabulary)
}

/// What a candidate changed in a layer of these linear maps ([`ModelConfig::modules`]): compressed minus original, nothing where a matrix
/// is the same.
///
/// # Errors
/// [`SensitivityError::Candidate`] where it stands in another basis, or is of another model.
pub fn changes_of(
    name: &str,
    maps: &[ModuleShape],
    layer: usize,
    (original, candidate): (&LayerWeights, &LayerWeights),
) -> Result<MapChanges, SensitivityError> {
    let refuse = |why: String| SensitivityError::Candidate { name: name.into(), why };
    let folded = |what: String| {
        refuse(format!(
            "{what}: scales are folded into it, and its matrices stand in another basis than the original's; give a checkpoint with the scales folded back (`cruxscope compress --basis original`)"
        ))
    };
    let number = layer + 1;
    let titles: Vec<Option<String>> = maps.iter().map(|map| title(layer, map)).collect();
    for ((own, other), title) in original.projections.iter().zip(&candidate.projections).zip(&titles) {
        let (own, other) = (&own.weight, &other.weight);
        if cosine(&own.values, &other.values) < UNRELATED {
            let component = title.as_deref().unwrap_or("a router");
            return Err(refuse(format!(
                "{component} has nothing to do with the original's: the candidate is of another model"
            )));
        }
    }
    let norms = [
        ("the norm before attention", Some(&original.attention_norm), Some(&candidate.attention_norm)),
        (
            "the norm before the feed-forward block",
            Some(&original.feed_forward_norm),
            Some(&candidate.feed_forward_norm),
        ),
        (
            "the norm of what attention gives",
            original.after_attention_norm.as_ref(),
            candidate.after_attention_norm.as_ref(),
        ),
        (
            "the norm of what the feed-forward block gives",
            original.after_feed_forward_norm.as_ref(),
            candidate.after_feed_forward_norm.as_ref(),
        ),
        ("the norm of query heads", original.query_norm.as_ref(), candidate.query_norm.as_ref()),
        ("the norm of key heads", original.key_norm.as_ref(), candidate.key_norm.as_ref()),
    ];
    for (what, own, other) in norms {
        if let (Some(own), Some(other)) = (own, other)
            && relative_difference(own, other) > ROUNDING
        {
            return Err(folded(format!("{what} of layer {number} differs")));
        }
    }
    let mut changes: MapChanges = vec![None; maps.len()];
    for (index, (map, component)) in maps.iter().zip(&titles).enumerate() {
        // What only decides where tokens go is no component; compressed checkpoints leave it as it is.
        let Some(component) = component else { continue };
        let (own, other) = (&original.projections[index], &candidate.projections[index]);
        let values: Vec<f32> = other.weight.values.iter().zip(&own.weight.values).map(|(new, old)| new - old).collect();
        let (error, size) = (square(&values), square(&own.weight.values));
        if error == 0.0 {
            continue;
        }
        // Scales that are divided out of the next matrix's inputs are multiplied into these rows: of v_proj and up_proj.
        let carries_scales = matches!(map.slot, Some(projection_index::VALUE | projection_index::UP));
        if carries_scales && error > SMALL * size && explained_by_rows(&own.weight, &other.weight) > EXPLAINED {
            return Err(folded(format!("{component} is the original's with its rows scaled")));
        }
        if error >= DIFFERENT * size {
            return Err(folded(format!(
                "{component} differs from the original's by {:.0} % of its own square",
                100.0 * error / size.max(f64::MIN_POSITIVE)
            )));
        }
        if let (Some(own), Some(other)) = (&own.bias, &other.bias)
            && relative_difference(own, other) > ROUNDING
        {
            return Err(refuse(format!("the bias of {component} differs, which no sketch of weights covers")));
        }
        changes[index] = Some(Matrix {
            rows: own.weight.rows,
            columns: own.weight.columns,
            values,
        });
    }
    Ok(changes)
}

/// The name of a linear map as a component or a part of one; nothing of one that only decides where tokens go.
fn title(layer: usize, map: &ModuleShape) -> Option<String> {
    let component = Component::new(layer, *Module::ALL.get(map.slot?)?);
    Some(match &map.part {
        Some(part) => format!("{component}.{part}"),
        None => component.to_string(),
    })
}

fn square(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum()
}

/// a . b / |a| |b|; that of zeros with anything counts as 1, since nothing can be said of it.
fn cosine(own: &[f32], other: &[f32]) -> f64 {
    let product: f64 = own.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let sizes = (square(own) * square(other)).sqrt();
    if sizes > 0.0 { product / sizes } else { 1.0 }
}

/// |a - b| / |a|.
fn relative_difference(own: &[f32], other: &[f32]) -> f64 {
    let difference: f64 = own.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let size = square(own);
    if difference == 0.0 {
        0.0
    } else {
        (difference / size.max(f64::MIN_POSITIVE)).sqrt()
    }
}

/// The share of |W' - W|^2 that is gone once every row of W may be scaled by a number of its own.
fn explained_by_rows(own: &Matrix, other: &Matrix) -> f64 {
    let (mut whole, mut left) = (0.0, 0.0);
    for row in 0..own.rows {
        let (mut own_own, mut own_other, mut other_other) = (0.0, 0.0, 0.0);
        for (a, b) in own.row(row).iter().zip(other.row(row)) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            own_own += a * a;
            own_other += a * b;
            other_other += b * b;
        }
        whole += (own_own - 2.0 * own_other + other_other).max(0.0);
        let projected = if own_own > 0.0 { own_other * own_other / own_own } else { 0.0 };
        left += (other_other - projected).max(0.0);
    }
    if whole > 0.0 { 1.0 - left / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use cruxscope_checkpoint::{AttentionInput, LayerKind, ModuleRole, Projection};
    use cruxscope_statistics::SplitMix;

    use super::*;

    fn layer(seed: u64) -> LayerWeights {
        let mut random = SplitMix::new(seed);
        let mut numbers = |count: usize| (0..count).map(|_| random.share() as f32 - 0.5).collect::<Vec<f32>>();
        let projections = (0..7)
            .map(|_| Projection {
                weight: Matrix {
                    rows: 16,
                    columns: 16,
                    values: numbers(256),
                },
                bias: None,
                inputs: None,
            })
            .collect();
        LayerWeights {
            attention_norm: vec![1.0; 16],
            feed_forward_norm: vec![0.5; 16],
            after_attention_norm: None,
            after_feed_forward_norm: None,
            query_norm: None,
            key_norm: None,
            projections,
            norm_biases: None,
            delta: None,
            query_latent_norm: None,
            key_value_latent_norm: None,
            sinks: None,
            choice_bias: None,
            kind: LayerKind::default(),
        }
    }

    fn maps() -> Vec<ModuleShape> {
        let map = |slot: usize| ModuleShape {
            name: slot.to_string(),
            rows: 16,
            columns: 16,
            bias: false,
            role: ModuleRole::Attention(AttentionInput::Stream),
            slot: Some(slot),
            part: None,
        };
        (0..7).map(map).collect()
    }

    fn rounded(layer: &LayerWeights, steps: f32) -> LayerWeights {
        let mut layer = layer.clone();
        for projection in &mut layer.projections {
            projection.weight.values.iter_mut().for_each(|value| *value = (*value * steps).round() / steps);
        }
        layer
    }

    #[test]
    fn rounding_is_a_change_and_the_same_matrix_is_none() {
        let own = layer(1);
        // From fine steps to the signs alone, and half the weights gone.
        for steps in [100.0, 7.0, 2.0] {
            let found = changes_of("c", &maps(), 0, (&own, &rounded(&own, steps))).unwrap();
            assert!(found.iter().all(Option::is_some), "{steps}");
        }
        let mut pruned = own.clone();
        pruned.projections[5].weight.values.iter_mut().step_by(2).for_each(|value| *value = 0.0);
        let found = changes_of("c", &maps(), 0, (&own, &pruned)).unwrap();
        assert_eq!(found.iter().filter(|change| change.is_some()).count(), 1);
        let change = found[5].as_ref().unwrap();
        assert_eq!(change.values[0], -own.projections[5].weight.values[0]);
    }

    #[test]
    fn another_basis_and_another_model_are_refused() {
        let own = layer(1);
        let refused = |spoil: fn(&mut LayerWeights)| {
            let mut other = rounded(&own, 7.0);
            spoil(&mut other);
            changes_of("c", &maps(), 2, (&own, &other)).unwrap_err().to_string()
        };
        let folded = refused(|layer| layer.attention_norm.iter_mut().for_each(|value| *value *= 1.3));
        assert!(folded.contains("layer 3") && folded.contains("folded"), "{folded}");
        let scaled = refused(|layer| {
            for (row, values) in layer.projections[projection_index::UP].weight.values.chunks_mut(16).enumerate() {
                values.iter_mut().for_each(|value| *value /= 1.0 + 0.2 * row as f32);
            }
        });
        assert!(scaled.contains("3_up") && scaled.contains("folded"), "{scaled}");
        let other = changes_of("c", &maps(), 0, (&own, &layer(2))).unwrap_err().to_string();
        assert!(other.contains("1_q") && other.contains("another model"), "{other}");
        let rescaled = refused(|layer| layer.projections[0].weight.values.iter_mut().for_each(|value| *value *= 3.0));
        assert!(rescaled.contains("3_q") && rescaled.contains("another basis"), "{rescaled}");
    }
}
