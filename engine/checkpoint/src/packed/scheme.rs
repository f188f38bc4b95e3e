//! `quantization_config`: what a checkpoint says of its packed weights.

use serde_json::{Value, json};

use super::{Layout, ZeroFormat};

/// How a checkpoint's packed weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// Whose layout.
    pub layout: Layout,
    /// Bits of a code.
    pub bits: u8,
    /// Columns of a group; none is the whole row.
    pub group: Option<usize>,
}

impl Scheme {
    /// Reads `quantization_config`.
    ///
    /// # Errors
    /// A sentence, for anything but AutoAWQ's GEMM and GPTQ's layouts.
    pub(crate) fn parse(config: &Value) -> Result<Self, String> {
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_lowercase);
        let method = text("quant_method").unwrap_or_else(|| "unknown".to_string());
        let layout = match method.as_str() {
            "awq" => match text("version").as_deref() {
                None | Some("gemm") => Layout::Awq,
                Some(other) => return Err(format!("its AWQ weights are packed as `{other}`; known is `gemm`")),
            },
            "gptq" => match text("checkpoint_format").as_deref() {
                None | Some("gptq") => Layout::Gptq(ZeroFormat::V1),
                Some("gptq_v2") => Layout::Gptq(ZeroFormat::V2),
                Some(other) => return Err(format!("its GPTQ weights are packed as `{other}`; known are `gptq` and `gptq_v2`")),
            },
            other => {
                return Err(format!(
                    "quantization_config says the weights are packed by `{other}`; known are `awq` and `gptq`. Give a checkpoint in float32, \
                     float16 or bfloat16 (dequantized, same values), or a GGUF file"
                ));
            }
        };
        let bits = config.get("bits").or_else(|| config.get("w_bit")).and_then(Value::as_u64);
        let bits = bits.and_then(|bits| u8::try_from(bits).ok()).filter(|bits| (2..=8).contains(bits));
        let bits = bits.ok_or_else(|| "quantization_config has no bits between 2 and 8".to_string())?;
        if layout == Layout::Awq && bits != 4 {
            return Err(format!("its AWQ weights have {bits} bits; the layout holds 4"));
        }
        let group = config.get("group_size").or_else(|| config.get("q_group_size")).and_then(Value::as_i64);
        let group = match group {
            Some(-1) => None,
            Some(size) if size > 0 => usize::try_from(size).ok(),
            other => return Err(format!("quantization_config has group_size {other:?}; it is -1 or a positive number")),
        };
        Ok(Self { layout, bits, group })
    }

    /// Columns of a group in rows of `columns`.
    pub fn group_of(&self, columns: usize) -> usize {
        self.group.unwrap_or(columns).clamp(1, columns.max(1))
    }
}

/// `quantization_config` for engines: one scheme, and the modules that stay as they are, by their names (`model.layers.3.mlp.up_proj`).
pub fn quantization_config(scheme: &Scheme, symmetric: bool, activation_order: bool, kept: &[String]) -> Value {
    let group = scheme.group.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
    match scheme.layout {
        Layout::Awq => {
            let mut skipped = vec!["lm_head".to_string()];
            skipped.extend(kept.iter().cloned());
            json!({
                "quant_method": "awq", "bits": scheme.bits, "group_size": group, "zero_point": !symmetric, "version": "gemm",
                "modules_to_not_convert": skipped,
            })
        }
        Layout::Gptq(zero_format) => {
            let dynamic: serde_json::Map<String, Value> = kept.iter().map(|name| (format!("-:^{}$", name.replace('.', "\\.")), json!({}))).collect();
            json!({
                "quant_method": "gptq", "bits": scheme.bits, "group_size": group, "sym": symmetric, "desc_act": activation_order,
                "lm_head": false, "checkpoint_format": zero_format, "dynamic": dynamic,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_read_what_is_written_and_refuse_the_rest() {
        for layout in [Layout::Awq, Layout::Gptq(ZeroFormat::V1), Layout::Gptq(ZeroFormat::V2)] {
            for group in [None, Some(128)] {
                let scheme = Scheme { layout, bits: 4, group };
                let config = quantization_config(&scheme, false, false, &["model.layers.1.mlp.up_proj".to_string()]);
                assert_eq!(Scheme::parse(&config).unwrap(), scheme);
                assert!(config.to_string().contains("up_proj"));
            }
        }
        let refused = |config: Value, part: &str| assert!(Scheme::parse(&config).unwrap_err().contains(part), "{config}");
        refused(json!({"quant_method": "fp8"}), "`fp8`");
        refused(json!({"quant_method": "awq", "version": "gemv", "bits": 4, "group_size": 64}), "`gemv`");
        refused(json!({"quant_method": "awq", "bits": 3, "group_size": 64}), "3 bits");
        refused(
            json!({"quant_method": "gptq", "bits": 4, "group_size": 64, "checkpoint_format": "marlin"}),
            "`marlin`",
        );
        refused(json!({"quant_method": "gptq", "bits": 40, "group_size": 64}), "between 2 and 8");
        refused(json!({"quant_method": "gptq", "bits": 4, "group_size": 0}), "group_size");
        refused(json!({}), "`unknown`");
    }
}
