//! `quantization_config`: what a checkpoint says of its packed weights.

use serde_json::Value;

use super::{Layout, ZeroFormat, keys};

/// How a checkpoint's packed weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// Whose layout.
    pub layout: Layout,
    /// Bits of a code.
    pub bits: u8,
    /// Columns of a group; none is the whole row.
    pub group: Option<usize>,
    /// Whether single modules may have groups of another size.
    pub groups_differ: bool,
    /// Whether how zeros are stored is known only where all of them are the middle code.
    pub zeros_unknown: bool,
}

/// Keys that are read here or by `packed_zeros`, or that tell how the codes were found and not what they stand for.
const KNOWN: &[&str] = &[
    "act_group_aware",
    "amp",
    "auto_forward_data_parallel",
    "autoround_version",
    "backend",
    "batch_size",
    "bits",
    "block_name_to_quantize",
    "cache_block_outputs",
    "checkpoint_format",
    "damp_auto_increment",
    "damp_percent",
    "damp_style",
    "data_type",
    "dataset",
    "dense_vram_strategy",
    "desc_act",
    "device",
    "disable_exllama",
    "do_fuse",
    "dynamic",
    "enable_minmax_tuning",
    "enable_norm_bias_tuning",
    "enable_quanted_input",
    "exllama_config",
    "extra_config",
    "failsafe",
    "fallback",
    "foem",
    "format",
    "fuse_max_seq_len",
    "gc_mode",
    "gptaq",
    "gptaq_alpha",
    "gradient_accumulate_steps",
    "group_size",
    "hessian",
    "iters",
    "lm_head",
    "low_gpu_mem_usage",
    "lr",
    "max_input_length",
    "meta",
    "minmax_lr",
    "model_file_base_name",
    "model_name_or_path",
    "model_seqlen",
    "module_name_preceding_first_block",
    "modules_in_block_to_quantize",
    "modules_to_fuse",
    "modules_to_not_convert",
    "moe_vram_strategy",
    "mse",
    "nsamples",
    "offload_to_disk",
    "offload_to_disk_path",
    "pack_dtype",
    "pack_impl",
    "packing_format",
    "pad_token_id",
    "parallel_packing",
    "provider",
    "q_group_size",
    "quant_lm_head",
    "quant_method",
    "scale_dtype",
    "seed",
    "seqlen",
    "static_groups",
    "super_bits",
    "super_group_size",
    "sym",
    "to_quant_block_names",
    "tokenizer",
    "true_sequential",
    "use_cuda_fp16",
    "use_exllama",
    "use_exllama_v2",
    "v2",
    "v2_alpha",
    "version",
    "vram_strategy",
    "w_bit",
    "wait_for_submodule_finalizers",
    "zero_point",
];

impl Scheme {
    /// Reads `quantization_config`.
    ///
    /// # Errors
    /// A sentence, for anything but AutoAWQ's GEMM and GPTQ's layouts, and for keys that are not known: a rotation or an adapter
    /// changes what the codes stand for.
    pub(crate) fn parse(config: &Value) -> Result<Self, String> {
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_lowercase);
        let method = text("quant_method").unwrap_or_else(|| "unknown".to_string());
        // Two keys name the format, one or both of which programs write.
        let formats = ["checkpoint_format", "format"].map(text);
        let format = match &formats {
            [Some(one), Some(other)] if one != other => {
                return Err(format!("quantization_config says checkpoint_format `{one}` and format `{other}`"));
            }
            [one, other] => one.clone().or_else(|| other.clone()),
        };
        let rounded = matches!(method.as_str(), "auto-round" | "intel/auto-round");
        let layout = match (method.as_str(), format.as_deref()) {
            ("awq", _) => match [text("version"), format.clone()].into_iter().flatten().find(|name| name != "gemm") {
                None => Layout::Awq,
                Some(other) => return Err(format!("its AWQ weights are packed as `{other}`; known are `gemm` and `gemv`")),
            },
            ("gptq", None | Some("gptq")) => Layout::Gptq(ZeroFormat::V1),
            ("gptq", Some("gptq_v2")) => Layout::Gptq(ZeroFormat::V2),
            ("gptq", Some(other)) => return Err(format!("its GPTQ weights are packed as `{other}`; known are `gptq` and `gptq_v2`")),
            _ if rounded => match text("packing_format").as_deref() {
                Some("auto_round:auto_awq") => Layout::Awq,
                Some("auto_round:auto_gptq" | "auto_round:gptqmodel") => Layout::Gptq(ZeroFormat::V1),
                other => {
                    return Err(format!(
                        "auto-round packed its weights as `{}`; known are `auto_round:auto_gptq`, `auto_round:gptqmodel` and `auto_round:auto_awq`",
                        other.unwrap_or("unknown")
                    ));
                }
            },
            (other, _) => {
                return Err(format!(
                    "quantization_config says the weights are packed by `{other}`, which has no words of AutoAWQ or GPTQ"
                ));
            }
        };
        refuse_unknown(config)?;
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
        let settings = ["dynamic", "extra_config"].iter().filter_map(|key| config.get(*key)?.as_object());
        Ok(Self {
            layout,
            bits,
            group,
            groups_differ: settings.flat_map(|modules| modules.values()).any(|module| module.get("group_size").is_some()),
            zeros_unknown: rounded,
        })
    }

    /// Columns of a group in rows of `columns`.
    pub fn group_of(&self, columns: usize) -> usize {
        self.group.unwrap_or(columns).clamp(1, columns.max(1))
    }
}

/// Refuses keys that are not known, and known ones that say what is not read.
fn refuse_unknown(config: &Value) -> Result<(), String> {
    keys::refuse_unknown(config, KNOWN)?;
    for (key, only) in [("pack_dtype", "int32"), ("data_type", "int")] {
        if let Some(said) = config.get(key).and_then(Value::as_str)
            && said != only
        {
            return Err(format!("quantization_config has {key} `{said}`; known is `{only}`"));
        }
    }
    Ok(())
}

/// What modules that are written alike have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrittenGroup {
    /// Bits of a code.
    pub bits: u8,
    /// Columns of a group; none is the whole row.
    pub group: Option<usize>,
    /// Whether every zero is the middle code.
    pub symmetric: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Of a checkpoint in which every packed module has the same groups.
    fn uniform(layout: Layout, bits: u8, group: Option<usize>) -> Scheme {
        Scheme {
            layout,
            bits,
            group,
            groups_differ: false,
            zeros_unknown: false,
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
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
        let gptq = |key: &str, value: Value| {
            let mut config = json!({"quant_method": "gptq", "bits": 4, "group_size": 64});
            config[key] = value;
            config
        };
        refused(gptq("format", json!("gptq_p")), "`gptq_p`");
        refused(gptq("rotation", json!("hadamard")), "rotation");
        refused(gptq("adapter", json!({"path": "x", "rank": 8})), "adapter");
        refused(gptq("pack_dtype", json!("int8")), "`int8`");
        assert_eq!(
            Scheme::parse(&gptq("rotation", Value::Null)).unwrap(),
            uniform(Layout::Gptq(ZeroFormat::V1), 4, Some(64))
        );
        assert_eq!(Scheme::parse(&gptq("format", json!("gptq_v2"))).unwrap().layout, Layout::Gptq(ZeroFormat::V2));
        let mut both = gptq("format", json!("gptq_v2"));
        both["checkpoint_format"] = json!("gptq");
        refused(both, "`gptq_v2`");
        refused(json!({"quant_method": "awq", "bits": 4, "group_size": 64, "format": "gemv"}), "`gemv`");
        assert!(Scheme::parse(&gptq("dynamic", json!({"+:.*down": {"group_size": 32}}))).unwrap().groups_differ);
    }
}
