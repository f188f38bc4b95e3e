//! What a group of `config_groups` says of activations that linear maps read (`input_activations`).
//!
//! Source: compressed-tensors 0.20, `quantization/utils/helpers.py` (`calculate_qparams`, `compute_dynamic_scales_and_zp`) and
//! `quantization/lifecycle/forward_helpers.py` (`_quantize_dequantize`).

use serde_json::Value;

use crate::input_rounding::{GroupScales, InputRounding, InputScales, RoundedNumbers};
use crate::packed::keys::refuse_unknown_in;

/// Activations of a group of modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inputs {
    numbers: RoundedNumbers,
    grain: Grain,
}

/// What shares a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grain {
    /// All, by a stored scale.
    Stored,
    Row,
    Group(usize),
    /// Groups of 16 whose scales are of float8 over one that is stored.
    Nested,
}

const KNOWN: &[&str] = &[
    "dynamic",
    "group_size",
    "num_bits",
    "observer",
    "observer_kwargs",
    "scale_dtype",
    "strategy",
    "symmetric",
    "type",
    "zp_dtype",
];

impl Inputs {
    /// Reads `input_activations` of a group.
    ///
    /// # Errors
    /// A sentence that names the group and what is not simulated.
    pub fn parse(group: &str, said: &Value) -> Result<Self, String> {
        let place = format!("{group}.input_activations");
        refuse_unknown_in(&place, said, KNOWN)?;
        let text = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_lowercase);
        let bits = said.get("num_bits").and_then(Value::as_u64).unwrap_or(8);
        let symmetric = said.get("symmetric").and_then(Value::as_bool).unwrap_or(true);
        let numbers = match (text("type").as_deref().unwrap_or("int"), bits, symmetric) {
            ("int", 2..=8, symmetric) => RoundedNumbers::Integers {
                bits: u32::try_from(bits).unwrap_or(8),
                symmetric,
            },
            ("float", 8, true) => RoundedNumbers::E4M3,
            ("float", 4, true) => RoundedNumbers::E2M1,
            (kind, bits, _) => {
                return Err(format!(
                    "{place} are of {bits} bits of type {kind}, symmetric {symmetric}; simulated are int of 2 to 8 bits, and symmetric float of 8 and 4"
                ));
            }
        };
        let group = said.get("group_size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let group = group.filter(|size| *size > 0);
        let dynamic = match said.get("dynamic") {
            Some(Value::Bool(dynamic)) => if *dynamic { "true" } else { "false" }.to_string(),
            None | Some(Value::Null) => "false".to_string(),
            Some(other) => other.as_str().unwrap_or_default().to_lowercase(),
        };
        let scales = text("scale_dtype").map(|name| name.trim_start_matches("torch.").to_string());
        let strategy = text("strategy");
        let grain = match (strategy.as_deref(), dynamic.as_str(), scales.as_deref(), numbers) {
            (Some("tensor") | None, "false", None, _) => Grain::Stored,
            (Some("token"), "true", None, _) => Grain::Row,
            (Some("group"), "true", None, _) => Grain::Group(group.ok_or_else(|| format!("{place} has no group_size"))?),
            (Some("tensor_group"), "local", Some("float8_e4m3fn") | None, RoundedNumbers::E2M1) if group == Some(16) => Grain::Nested,
            _ => {
                return Err(format!(
                    "{place} have strategy {}, dynamic {dynamic}, group_size {}, scale_dtype {}; simulated are tensor (not dynamic), token and group \
                     (dynamic), and NVFP4's tensor_group (local, 16, float8_e4m3fn)",
                    strategy.as_deref().unwrap_or("none"),
                    said.get("group_size").unwrap_or(&Value::Null),
                    scales.as_deref().unwrap_or("none"),
                ));
            }
        };
        Ok(Self { numbers, grain })
    }

    /// For a module whose arrays of activations `number` gives, by the last part of their names.
    ///
    /// # Errors
    /// A sentence where an array is missing.
    pub fn rounding(&self, number: impl Fn(&str) -> Option<f32>) -> Result<InputRounding, String> {
        let stored = |part: &str| number(part).ok_or_else(|| format!("it has no {part}, which its activations are quantized with"));
        let scales = match self.grain {
            Grain::Stored => InputScales::Fixed {
                scale: stored("input_scale")?,
                zero: number("input_zero_point").unwrap_or(0.0),
            },
            Grain::Row => InputScales::Rows,
            Grain::Group(columns) => InputScales::Groups {
                columns,
                scales: GroupScales::Plain,
            },
            Grain::Nested => InputScales::Groups {
                columns: 16,
                scales: GroupScales::E4M3 {
                    of_all: stored("input_global_scale")?,
                },
            },
        };
        Ok(InputRounding { numbers: self.numbers, scales })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_simulated_is_refused_by_name() {
        let base = json!({"num_bits": 8, "type": "float", "symmetric": true, "strategy": "token", "dynamic": true});
        let with = |key: &str, value: Value| {
            let mut said = base.clone();
            said[key] = value;
            Inputs::parse("config_groups.group_0", &said)
        };
        assert_eq!(
            with("strategy", json!("token")),
            Ok(Inputs {
                numbers: RoundedNumbers::E4M3,
                grain: Grain::Row
            })
        );
        for (key, value, part) in [
            ("strategy", json!("tensor"), "dynamic true"),
            ("strategy", json!("channel"), "channel"),
            ("strategy", json!("group"), "group_size"),
            ("symmetric", json!(false), "symmetric false"),
            ("num_bits", json!(6), "6 bits"),
            ("dynamic", json!("local"), "local"),
            ("scale_dtype", json!("torch.uint8"), "uint8"),
            ("rotation", json!("hadamard"), "rotation"),
        ] {
            let error = with(key, value).unwrap_err();
            assert!(error.contains(part) && error.contains("group_0"), "{key}: {error}");
        }
    }
}
