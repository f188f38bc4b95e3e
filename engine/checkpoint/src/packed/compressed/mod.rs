//! compressed-tensors, the format of llm-compressor and vLLM: `config_groups` say how which modules are stored, `ignore` which are not.
//!
//! Weights are what the library itself gives back: `(code − zero) · scale`, rounded to the type of the scale; where scales are of 8 bits,
//! to bfloat16. Sparse forms and transforms are refused by name, activations and caches that were to be quantized are said and left as
//! they are. Source: compressed-tensors 0.20, `compressors/*/base.py` and `quantization/quant_config.py`.

mod inputs;
mod open;
mod pack;
mod targets;
mod weights;

use serde_json::{Map, Value, json};

use self::inputs::Inputs;
pub(super) use self::pack::{pack, shapes, unpack};
use self::targets::{Target, first};
use self::weights::{Form, Weights};
use super::arrays::Module;
use super::keys::Asked;
use super::keys::{refuse_unknown, refuse_unknown_in};
use super::scaled::Scaled;
use super::scheme::WrittenGroup;
use crate::error::CheckpointError;
use crate::input_rounding::InputRounding;

/// Names of a module's arrays.
pub(crate) const PARTS: &[&str] = &[
    "weight",
    "weight_g_idx",
    "weight_global_scale",
    "weight_packed",
    "weight_scale",
    "weight_shape",
    "weight_zero_point",
];

const KNOWN: &[&str] = &[
    "config_groups",
    "format",
    "global_compression_ratio",
    "ignore",
    "kv_cache_scheme",
    "quant_method",
    "quantization_status",
    "run_compressed",
    "sparsity_config",
    "version",
];
const KNOWN_OF_GROUP: &[&str] = &["format", "input_activations", "output_activations", "targets", "weights"];

/// What a configuration says.
#[derive(Debug, Clone)]
pub(crate) struct CompressedTensors {
    targets: Vec<(Target, Weights)>,
    ignore: Vec<Target>,
    /// How activations that modules read were to be quantized, or why that is not simulated, in the order of `targets`.
    inputs: Vec<(Target, Option<Result<Inputs, String>>)>,
    /// What says so.
    activations: Vec<String>,
    /// Caches were to be quantized.
    caches: bool,
}

impl CompressedTensors {
    /// Reads `quantization_config`.
    ///
    /// # Errors
    /// A sentence that names what is not known.
    pub fn parse(config: &Value) -> Result<Self, String> {
        refuse_unknown(config, KNOWN)?;
        let sparse = config.get("sparsity_config").and_then(|sparse| sparse.get("format")).and_then(Value::as_str);
        if let Some(format) = sparse.filter(|format| *format != "dense") {
            return Err(format!(
                "sparsity_config has format `{format}`, a sparse form, which is not read; decompress it with compressed-tensors first"
            ));
        }
        let global = config.get("format").and_then(Value::as_str).unwrap_or("unknown");
        let none = Map::new();
        let groups = config.get("config_groups").and_then(Value::as_object).unwrap_or(&none);
        let (mut targets, mut inputs, mut activations) = (Vec::<(Target, Weights)>::new(), Vec::new(), Vec::new());
        for (name, group) in groups {
            let place = format!("config_groups.{name}");
            if !group.is_object() {
                return Err(format!(
                    "{place} is {group}, the targets of a scheme that its name stands for; write the scheme out"
                ));
            }
            refuse_unknown_in(&place, group, KNOWN_OF_GROUP)?;
            let own = group.get("format").and_then(Value::as_str).unwrap_or(global);
            let weights = match group.get("weights") {
                None | Some(Value::Null) => Weights::DENSE,
                Some(said) => Weights::parse(&place, said, own)?,
            };
            let said = |part: &str| group.get(part).filter(|said| !said.is_null());
            for part in ["input_activations", "output_activations"] {
                if said(part).is_some() {
                    activations.push(format!("{place}.{part}"));
                }
            }
            let read = match (said("input_activations"), said("output_activations")) {
                (None, None) => None,
                (_, Some(_)) => Some(Err(format!(
                    "{place} has output_activations; activations are simulated where linear maps read them"
                ))),
                (Some(said), None) => Some(Inputs::parse(&place, said)),
            };
            for target in strings(group, "targets", &place)? {
                let target = Target::parse(&target)?;
                if let Some((_, other)) = targets.iter().find(|(known, _)| known.text() == target.text())
                    && *other != weights
                {
                    return Err(format!("two of config_groups have the target `{}`, and store it in two ways", target.text()));
                }
                inputs.push((target.clone(), read.clone()));
                targets.push((target, weights));
            }
        }
        let ignore = strings(config, "ignore", "quantization_config")?;
        Ok(Self {
            targets,
            ignore: ignore.iter().map(|text| Target::parse(text)).collect::<Result<_, _>>()?,
            inputs,
            activations,
            caches: config.get("kv_cache_scheme").is_some_and(|said| !said.is_null()),
        })
    }

    /// What says that activations, and caches, were to be quantized.
    pub fn asked(&self) -> Asked {
        Asked {
            activations: self.activations.join(", "),
            caches: if self.caches { "kv_cache_scheme" } else { "" },
        }
    }

    /// How what a module reads is rounded, if it is; `number` gives its arrays of activations by the last part of their names.
    ///
    /// # Errors
    /// A sentence where that is not simulated.
    pub fn input_rounding(&self, module: &str, number: impl Fn(&str) -> Option<f32>) -> Result<Option<InputRounding>, String> {
        if self.ignore.iter().any(|entry| entry.names(module) || entry.is_class_of(module)) {
            return Ok(None);
        }
        match first(&self.inputs, module) {
            None | Some(None) => Ok(None),
            Some(Some(Err(reason))) => Err(reason.clone()),
            Some(Some(Ok(inputs))) => inputs.rounding(number).map(Some),
        }
    }

    /// Whether a module with these arrays is packed.
    pub fn is_packed(has: impl Fn(&str) -> bool) -> bool {
        has("weight_packed") || has("weight_scale") && has("weight")
    }

    /// How a module is stored, if the configuration says it.
    fn weights_of(&self, module: &str) -> Result<Weights, String> {
        if let Some(entry) = self.ignore.iter().find(|entry| entry.names(module) || entry.is_class_of(module)) {
            return Err(format!(
                "quantization_config leaves it out (ignore: `{}`), and its arrays are those of a packed one",
                entry.text()
            ));
        }
        match first(&self.targets, module) {
            Some(weights) if weights.form != Form::Dense => Ok(*weights),
            Some(_) => Err("it has scales, and quantization_config says that it is stored dense: weights that were not rounded yet are not read".to_string()),
            None => Err("no target of config_groups means it, and its arrays are those of a packed one".to_string()),
        }
    }

    /// Checks the arrays of a module.
    ///
    /// # Errors
    /// `MissingTensor`, `Shape` or `Unsupported`.
    pub fn open<'a>(&self, module: &Module<'a>, rows: usize, columns: usize) -> Result<Scaled<'a>, CheckpointError> {
        let weights = self.weights_of(module.stem).map_err(|reason| module.refuse(reason))?;
        open::open(&weights, module, rows, columns)
    }

    /// The name of a module's form.
    pub fn kind(&self, module: &str) -> String {
        self.weights_of(module).unwrap_or(Weights::DENSE).name()
    }
}

/// A list of texts under a key; nothing where there is none.
fn strings(json: &Value, key: &str, place: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("{place} has {key} that is no list of texts");
    match json.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_string).ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

/// `quantization_config` for modules by name in one or several groups; the others, among them `kept`, stay plain numbers.
pub(super) fn configuration(groups: &[(WrittenGroup, Vec<String>)], kept: &[String]) -> Value {
    let mut ignore = vec!["lm_head".to_string()];
    ignore.extend(kept.iter().cloned());
    let groups: Map<String, Value> = groups
        .iter()
        .enumerate()
        .map(|(place, (group, modules))| {
            let weights = json!({
                "num_bits": group.bits, "type": "int", "symmetric": group.symmetric, "dynamic": false,
                "strategy": if group.group.is_some() { "group" } else { "channel" }, "group_size": group.group,
            });
            // One group of all is said by its class, as is usual; of several each names its modules.
            let targets = if groups.len() == 1 { vec!["Linear".to_string()] } else { modules.clone() };
            (
                format!("group_{place}"),
                json!({"targets": targets, "weights": weights, "input_activations": null, "output_activations": null}),
            )
        })
        .collect();
    json!({
        "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed", "config_groups": groups,
        "ignore": ignore, "kv_cache_scheme": null, "global_compression_ratio": null,
    })
}

#[cfg(test)]
mod tests;
