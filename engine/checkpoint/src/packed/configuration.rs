//! `quantization_config` of what is written.

use serde_json::{Value, json};

use super::scheme::WrittenGroup;
use super::{Layout, compressed};

/// `quantization_config` for engines: groups of modules that are written alike, and the modules that stay as they are, by their names
/// (`model.layers.3.mlp.up_proj`). Only compressed-tensors has several groups; of the other layouts the first holds for all. Whether
/// columns are in groups by their activations matters to GPTQ's alone.
pub fn quantization_config(layout: Layout, groups: &[(WrittenGroup, Vec<String>)], activation_order: bool, kept: &[String]) -> Value {
    let first = groups.first().map(|(group, _)| *group);
    let WrittenGroup { bits, group, symmetric } = first.unwrap_or(WrittenGroup {
        bits: 4,
        group: None,
        symmetric: false,
    });
    let group = group.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
    match layout {
        Layout::Awq => {
            let mut skipped = vec!["lm_head".to_string()];
            skipped.extend(kept.iter().cloned());
            json!({
                "quant_method": "awq", "bits": bits, "group_size": group, "zero_point": !symmetric, "version": "gemm",
                "modules_to_not_convert": skipped,
            })
        }
        Layout::Gptq(zero_format) => {
            let dynamic: serde_json::Map<String, Value> = kept.iter().map(|name| (format!("-:^{}$", name.replace('.', "\\.")), json!({}))).collect();
            json!({
                "quant_method": "gptq", "bits": bits, "group_size": group, "sym": symmetric, "desc_act": activation_order,
                "lm_head": false, "checkpoint_format": zero_format, "dynamic": dynamic,
            })
        }
        Layout::CompressedTensors(_) => compressed::configuration(groups, kept),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packing, ZeroFormat};
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for layout in [Layout::Awq, Layout::Gptq(ZeroFormat::V1), Layout::Gptq(ZeroFormat::V2)] {
            for group in [None, Some(128)] {
                let written = WrittenGroup {
                    bits: 4,
                    group,
                    symmetric: false,
                };
                let config = quantization_config(layout, &[(written, Vec::new())], false, &["model.layers.1.mlp.up_proj".to_string()]);
                let Ok(Packing::Words(scheme)) = Packing::parse(&config) else {
                    panic!("{config}")
                };
                assert_eq!((scheme.layout, scheme.bits, scheme.group), (layout, 4, group));
                assert!(config.to_string().contains("up_proj"));
            }
        }
    }
}
