//! What families say of their layers, one by one: windows and rotations, as classes read or default them.

use serde_json::Value;

use crate::config::ModelConfig;
use crate::description::{LayerKind, LayerRotation};
use crate::json_fields::{optional_size, present};
use crate::rope::{Rope, RopeScaling};
use crate::rope_config::{RopeDefaults, parameters, rope};

/// Where the class has no biases in attention, whatever `attention_bias` says.
pub(super) fn without_biases(config: &mut ModelConfig) {
    (config.query_key_value_bias, config.output_bias) = (false, false);
}

pub(super) fn positive(key: &str, value: f64) -> Result<f64, String> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(format!("{key} is {value} where a positive number belongs"))
}

/// Every `n`th layer sees everything, under any of the names.
pub(super) fn window_pattern(json: &Value, default: usize) -> Result<usize, String> {
    for key in ["sliding_window_pattern", "_sliding_window_pattern"] {
        if let Some(pattern) = optional_size(json, key)? {
            return if pattern > 0 { Ok(pattern) } else { Err(format!("{key} is 0")) };
        }
    }
    Ok(default)
}

/// Which layers have a window: `layer_types`, or the class's own pattern where that is missing.
pub(super) fn local_layers(json: &Value, layers: usize, pattern: impl Fn(usize) -> bool) -> Result<Vec<bool>, String> {
    layers_of(json, layers, "sliding_attention", pattern)
}

/// Which layers are of a kind, where all others have full attention.
pub(super) fn layers_of(json: &Value, layers: usize, wanted: &str, pattern: impl Fn(usize) -> bool) -> Result<Vec<bool>, String> {
    let Some(kinds) = present(json, "layer_types") else {
        return Ok((0..layers).map(pattern).collect());
    };
    let kinds = kinds.as_array().filter(|kinds| kinds.len() == layers);
    let Some(kinds) = kinds else {
        return Err(format!("layer_types is not a list of {layers} kinds"));
    };
    kinds
        .iter()
        .map(|kind| match kind.as_str() {
            Some("full_attention") => Ok(false),
            Some(kind) if kind == wanted => Ok(true),
            _ => Err(format!("layer_types holds {kind}; known are full_attention and {wanted}")),
        })
        .collect()
}

/// The kinds of all layers, to be changed.
pub(super) fn kinds(config: &mut ModelConfig) -> impl Iterator<Item = (usize, &mut LayerKind)> {
    config.kinds.resize(config.layers, LayerKind::default());
    config.kinds.iter_mut().enumerate()
}

/// Gives every layer a window.
pub(super) fn everywhere(config: &mut ModelConfig, window: Option<usize>) {
    if window.is_some() {
        kinds(config).for_each(|(_, kind)| kind.window = window);
    }
}

/// Gives some layers a window.
pub(super) fn windows(config: &mut ModelConfig, window: Option<usize>, local: &[bool]) -> Result<(), String> {
    if !local.contains(&true) {
        return Ok(());
    }
    if window.is_none() {
        return Err("layers have sliding attention, and sliding_window says no window".to_string());
    }
    kinds(config).filter(|(layer, _)| local[*layer]).for_each(|(_, kind)| kind.window = window);
    Ok(())
}

/// Which layers turn queries and keys, where every few do not: `no_rope_layers` holds a flag for each that is set where one does.
pub(super) fn turning_layers(json: &Value, layers: usize) -> Result<Vec<bool>, String> {
    let flags = present(json, "no_rope_layers").filter(|list| list.as_array().is_none_or(|list| !list.is_empty()));
    let Some(flags) = flags else {
        let interval = optional_size(json, "no_rope_layer_interval")?.unwrap_or(4);
        return Ok((0..layers).map(|layer| interval == 0 || !(layer + 1).is_multiple_of(interval)).collect());
    };
    flags
        .as_array()
        .and_then(|list| list.iter().map(|turns| turns.as_bool().or(turns.as_f64().map(|turns| turns != 0.0))).collect())
        .filter(|turns: &Vec<bool>| turns.len() == layers)
        .ok_or_else(|| format!("no_rope_layers is not a list of {layers} flags"))
}

/// Gives every layer its rotation.
pub(super) fn rotations(config: &mut ModelConfig, of: impl Fn(usize) -> LayerRotation) {
    if (0..config.layers).any(|layer| of(layer) != LayerRotation::Usual) {
        kinds(config).for_each(|(layer, kind)| kind.rotation = of(layer));
    }
}

/// Gives layers with a window the rotation of their own: of parameters that stand by kinds of layers, or, where one set is a scaling
/// of whole attention, the plain one of `theta`.
pub(super) fn local_rope(json: &Value, config: &mut ModelConfig, theta: f64) -> Result<(), String> {
    let nested = parameters(json)?.and_then(|all| all.get("sliding_attention")).filter(|own| own.is_object());
    let own = match nested {
        Some(own) => {
            let defaults = RopeDefaults {
                theta,
                context: config.context,
            };
            rope(&Value::Null, Some(own), defaults)?
        }
        None => {
            if let Some(flat) = json.get("rope_parameters").filter(|flat| flat.is_object())
                && (config.rope.scaling != RopeScaling::Default || config.rope.theta != theta)
            {
                return Err(format!(
                    "rope_parameters is {flat}, one set that may be meant for all layers or for those without a window; give one set for each of \
                     full_attention and sliding_attention"
                ));
            }
            Rope {
                theta,
                scaling: RopeScaling::Default,
            }
        }
    };
    if own != config.rope {
        config.local_rope = Some(own);
        kinds(config)
            .filter(|(_, kind)| kind.window.is_some())
            .for_each(|(_, kind)| kind.rotation = LayerRotation::Local);
    }
    Ok(())
}
