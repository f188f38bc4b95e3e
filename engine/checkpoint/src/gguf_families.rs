//! Families whose GGUF files are read by way of what their `config.json` would say: a row for each, and the translation of metadata.
//!
//! llama.cpp's programs know of each architecture what a GGUF file does not say (which layers have windows, whether weights of experts
//! are brought to a sum of one, what queries are scaled by); what is written here is what they compute and its converter writes down.
//! Where a family's norms multiply by 1 + w, the converter adds the one. Llama's descendants keep the rows of query and key with rotary
//! pairs side by side.

use serde_json::{Map, Value, json};

use crate::config::ModelConfig;
use crate::description::{LayerKind, LayerRotation};
use crate::error::CheckpointError;
use crate::gguf_config::{Metadata, TensorFacts};
use crate::hugging_face_config;
use crate::rope::{Rope, RopeScaling};

/// What is known of an architecture.
pub(crate) struct GgufFamily {
    /// Its `general.architecture`.
    pub name: &'static str,
    /// The `model_type` of the family that computes it.
    pub model_type: &'static str,
    /// Rows of query and key have rotary pairs side by side.
    pub interleaved: bool,
    /// Its norms hold 1 + w of what the family's own files hold.
    pub one_added: bool,
    /// Keys that are read, beside those of all.
    pub keys: &'static [&'static str],
    /// Completes the configuration.
    describe: fn(&Fields<'_>, &mut Map<String, Value>) -> Result<(), CheckpointError>,
}

const ROW: GgufFamily = GgufFamily {
    name: "",
    model_type: "",
    interleaved: false,
    one_added: false,
    keys: &[],
    describe: |_, _| Ok(()),
};

/// Keys of mixtures.
macro_rules! expert_keys {
    ($($key:literal),* $(,)?) => {
        &["expert_count", "expert_used_count", "expert_feed_forward_length", $($key),*]
    };
}

static FAMILIES: &[GgufFamily] = &[
    GgufFamily {
        name: "qwen3moe",
        model_type: "qwen3_moe",
        keys: expert_keys![],
        describe: |fields, json| {
            fields.experts(json, "num_experts")?;
            json.insert("norm_topk_prob".into(), true.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "qwen2moe",
        model_type: "qwen2_moe",
        keys: expert_keys!["expert_shared_feed_forward_length"],
        describe: |fields, json| {
            fields.experts(json, "num_experts")?;
            let shared = fields.needed("expert_shared_feed_forward_length")?;
            json.insert("shared_expert_intermediate_size".into(), shared.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "olmoe",
        model_type: "olmoe",
        keys: expert_keys![],
        describe: |fields, json| {
            fields.experts(json, "num_experts")?;
            json.remove("moe_intermediate_size");
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "glm4moe",
        model_type: "glm4_moe",
        keys: expert_keys![
            "expert_gating_func",
            "expert_group_count",
            "expert_group_used_count",
            "expert_shared_count",
            "expert_weights_norm",
            "expert_weights_scale",
            "leading_dense_block_count",
            "nextn_predict_layers"
        ],
        describe: |fields, json| {
            fields.experts(json, "n_routed_experts")?;
            if let Some(kind) = fields.size("expert_gating_func")?.filter(|kind| *kind != 2) {
                return Err(fields.metadata.fault(format!("expert_gating_func is {kind}; known is 2, the sigmoid")));
            }
            for (key, field) in [
                ("n_group", "expert_group_count"),
                ("topk_group", "expert_group_used_count"),
                ("n_shared_experts", "expert_shared_count"),
                ("first_k_dense_replace", "leading_dense_block_count"),
                ("num_nextn_predict_layers", "nextn_predict_layers"),
            ] {
                json.insert(key.into(), fields.size(field)?.into());
            }
            json.insert("routed_scaling_factor".into(), fields.number("expert_weights_scale")?.unwrap_or(1.0).into());
            json.insert("norm_topk_prob".into(), fields.flag("expert_weights_norm").unwrap_or(true).into());
            json.insert("use_qk_norm".into(), fields.facts.query_key_norms.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "gpt-oss",
        model_type: "gpt_oss",
        keys: expert_keys!["attention.sliding_window"],
        describe: |fields, json| {
            fields.experts(json, "num_local_experts")?;
            json.remove("moe_intermediate_size");
            json.insert("sliding_window".into(), fields.needed("attention.sliding_window")?.into());
            json.insert("rope_parameters".into(), json!({"rope_type": "default"}));
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "gemma2",
        model_type: "gemma2",
        one_added: true,
        keys: &["attention.sliding_window", "attn_logit_softcapping", "final_logit_softcapping"],
        describe: |fields, json| {
            gemma(fields, json, 46)?;
            // Uncapped where nothing is said.
            json.insert("attn_logit_softcapping".into(), fields.number("attn_logit_softcapping")?.into());
            json.insert("final_logit_softcapping".into(), fields.number("final_logit_softcapping")?.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "gemma3",
        model_type: "gemma3_text",
        one_added: true,
        keys: &[
            "attention.sliding_window",
            "attention.sliding_window_pattern",
            "final_logit_softcapping",
            "rope.freq_base_swa",
        ],
        describe: |fields, json| {
            gemma(fields, json, 62)?;
            fields.layer_types(json, 6)?;
            json.insert("final_logit_softcapping".into(), fields.number("final_logit_softcapping")?.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "phi3",
        model_type: "phi3",
        keys: &["attention.sliding_window"],
        describe: |fields, json| {
            let original = fields.size("rope.scaling.original_context_length")?;
            json.insert("original_max_position_embeddings".into(), original.into());
            json.insert(
                "sliding_window".into(),
                fields.size("attention.sliding_window")?.filter(|window| *window > 0).into(),
            );
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "granite",
        model_type: "granite",
        interleaved: true,
        keys: &["attention.scale", "embedding_scale", "logit_scale", "residual_scale"],
        describe: |fields, json| {
            for (key, field) in [
                ("attention_multiplier", "attention.scale"),
                ("embedding_multiplier", "embedding_scale"),
                ("logits_scaling", "logit_scale"),
                ("residual_multiplier", "residual_scale"),
            ] {
                let value = fields.number(field)?.filter(|value| *value != 0.0);
                let default = if field == "attention.scale" {
                    (fields.head_dim()? as f64).powf(-0.5)
                } else {
                    1.0
                };
                json.insert(key.into(), value.unwrap_or(default).into());
            }
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "smollm3",
        model_type: "smollm3",
        interleaved: true,
        ..ROW
    },
    GgufFamily {
        name: "glm4",
        model_type: "glm4",
        ..ROW
    },
    GgufFamily {
        name: "cohere2",
        model_type: "cohere2",
        keys: &[
            "attention.layer_norm_epsilon",
            "attention.sliding_window",
            "attention.sliding_window_pattern",
            "logit_scale",
        ],
        describe: |fields, json| {
            json.insert("logit_scale".into(), fields.number("logit_scale")?.unwrap_or(1.0).into());
            json.insert("sliding_window".into(), fields.size("attention.sliding_window")?.into());
            fields.layer_types(json, 4)?;
            fields.epsilon(json, "layer_norm_eps")
        },
        ..ROW
    },
    GgufFamily {
        name: "exaone4",
        model_type: "exaone4",
        keys: &["attention.sliding_window", "attention.sliding_window_pattern"],
        describe: |fields, json| {
            let window = fields.size("attention.sliding_window")?.filter(|window| *window > 0);
            json.insert("sliding_window".into(), window.into());
            match window {
                Some(_) => fields.layer_types(json, 4),
                None => {
                    let all = vec!["full_attention"; fields.layers()?];
                    json.insert("layer_types".into(), all.into());
                    Ok(())
                }
            }
        },
        ..ROW
    },
    GgufFamily {
        name: "ernie4_5",
        model_type: "ernie4_5",
        describe: |_, json| {
            json.insert("use_bias".into(), false.into());
            Ok(())
        },
        ..ROW
    },
    GgufFamily {
        name: "hunyuan-dense",
        model_type: "hunyuan_v1_dense",
        ..ROW
    },
    GgufFamily {
        name: "olmo2",
        model_type: "olmo2",
        ..ROW
    },
    GgufFamily {
        name: "olmo2",
        model_type: "olmo3",
        keys: &["attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa"],
        describe: |fields, json| {
            json.insert("sliding_window".into(), fields.needed("attention.sliding_window")?.into());
            fields.layer_types(json, 4)
        },
        ..ROW
    },
    GgufFamily {
        name: "seed_oss",
        model_type: "seed_oss",
        ..ROW
    },
    GgufFamily {
        name: "nemotron",
        model_type: "nemotron",
        one_added: true,
        keys: &["attention.layer_norm_epsilon"],
        describe: |fields, json| fields.epsilon(json, "norm_eps"),
        ..ROW
    },
    GgufFamily {
        name: "llama",
        model_type: "mixtral",
        interleaved: true,
        keys: expert_keys![],
        describe: |fields, json| {
            fields.experts(json, "num_local_experts")?;
            json.remove("moe_intermediate_size");
            json.insert("sliding_window".into(), Value::Null);
            Ok(())
        },
        ..ROW
    },
];

/// What Gemma's generations have in common. Queries are scaled by the width of a head, in the largest model, of `largest` layers, by the
/// width of the stream over the heads.
fn gemma(fields: &Fields<'_>, json: &mut Map<String, Value>, largest: usize) -> Result<(), CheckpointError> {
    let scalar = match fields.layers()? == largest {
        true => fields.needed("embedding_length")? / fields.needed("attention.head_count")?.max(1),
        false => fields.head_dim()?,
    };
    json.insert("query_pre_attn_scalar".into(), scalar.into());
    json.insert("sliding_window".into(), fields.needed("attention.sliding_window")?.into());
    Ok(())
}

/// Metadata of one architecture.
pub(crate) struct Fields<'a> {
    metadata: &'a Metadata<'a>,
    facts: &'a TensorFacts,
    prefix: &'a str,
}

impl Fields<'_> {
    fn key(&self, field: &str) -> String {
        format!("{}.{field}", self.prefix)
    }

    fn size(&self, field: &str) -> Result<Option<usize>, CheckpointError> {
        self.metadata.whole(&self.key(field))
    }

    fn needed(&self, field: &str) -> Result<usize, CheckpointError> {
        self.size(field)?.ok_or_else(|| self.metadata.fault(format!("{} is missing", self.key(field))))
    }

    fn number(&self, field: &str) -> Result<Option<f64>, CheckpointError> {
        self.metadata.number(&self.key(field))
    }

    fn flag(&self, field: &str) -> Option<bool> {
        self.metadata.flag(&self.key(field))
    }

    /// Layers that predict the next token.
    fn layers(&self) -> Result<usize, CheckpointError> {
        Ok(self.needed("block_count")?.saturating_sub(self.size("nextn_predict_layers")?.unwrap_or(0)))
    }

    fn head_dim(&self) -> Result<usize, CheckpointError> {
        match self.size("attention.key_length")? {
            Some(width) => Ok(width),
            None => Ok(self.needed("embedding_length")? / self.needed("attention.head_count")?.max(1)),
        }
    }

    fn experts(&self, json: &mut Map<String, Value>, count: &str) -> Result<(), CheckpointError> {
        json.insert(count.into(), self.needed("expert_count")?.into());
        json.insert("num_experts_per_tok".into(), self.needed("expert_used_count")?.into());
        let width = match self.size("expert_feed_forward_length")? {
            Some(width) => width,
            None => self.needed("feed_forward_length")?,
        };
        json.insert("moe_intermediate_size".into(), width.into());
        Ok(())
    }

    /// The kinds of layers: as they are listed, or every `pattern`th sees everything.
    fn layer_types(&self, json: &mut Map<String, Value>, pattern: usize) -> Result<(), CheckpointError> {
        let (layers, key) = (self.layers()?, self.key("attention.sliding_window_pattern"));
        let local: Vec<bool> = match self.metadata.flags(&key) {
            Some(local) if local.len() >= layers => local[..layers].to_vec(),
            Some(local) => return Err(self.metadata.fault(format!("{key} lists {} layers of {layers}", local.len()))),
            None => {
                let pattern = self.metadata.whole(&key)?.unwrap_or(pattern).max(1);
                (0..layers).map(|layer| !(layer + 1).is_multiple_of(pattern)).collect()
            }
        };
        let kinds: Vec<&str> = local.iter().map(|local| if *local { "sliding_attention" } else { "full_attention" }).collect();
        json.insert("layer_types".into(), kinds.into());
        Ok(())
    }

    /// ε of norms about the mean.
    fn epsilon(&self, json: &mut Map<String, Value>, key: &str) -> Result<(), CheckpointError> {
        json.remove("rms_norm_eps");
        json.insert(key.into(), self.number("attention.layer_norm_epsilon")?.into());
        Ok(())
    }
}

impl GgufFamily {
    /// The row of an architecture, where it is one of these: `has_experts` and `has_windows` tell apart what has one name.
    pub fn find(name: &str, has_experts: bool, has_windows: bool) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| {
            let is_right = match family.model_type {
                "mixtral" => has_experts,
                "olmo2" => !has_windows,
                "olmo3" => has_windows,
                _ => true,
            };
            family.name == name && is_right
        })
    }

    /// Names of all, for messages.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let distinct = |(place, family): (usize, &'static Self)| FAMILIES[..place].iter().all(|other| other.name != family.name).then_some(family.name);
        FAMILIES.iter().enumerate().filter_map(distinct)
    }

    /// The configuration of a file.
    ///
    /// # Errors
    /// [`CheckpointError::Configuration`] with what is wrong.
    pub fn config(&self, metadata: &Metadata<'_>, facts: &TensorFacts) -> Result<ModelConfig, CheckpointError> {
        metadata.refuse_unknown(self.name, self.keys)?;
        let fields = Fields {
            metadata,
            facts,
            prefix: self.name,
        };
        let head_dim = fields.head_dim()?;
        if let Some(values) = fields.size("attention.value_length")?.filter(|values| *values != head_dim) {
            return Err(metadata.fault(format!("values of a head have size {values}, keys {head_dim}; only equal sizes are known")));
        }
        let turned = fields.size("rope.dimension_count")?.unwrap_or(head_dim);
        let context = fields.needed("context_length")?;
        let sizes = [
            ("num_hidden_layers", fields.layers()?),
            ("hidden_size", fields.needed("embedding_length")?),
            ("intermediate_size", fields.needed("feed_forward_length")?),
            ("num_attention_heads", fields.needed("attention.head_count")?),
            ("head_dim", head_dim),
            ("vocab_size", facts.vocabulary),
            ("max_position_embeddings", context),
        ];
        let mut json: Map<String, Value> = sizes.into_iter().map(|(key, size)| (key.to_string(), size.into())).collect();
        json.insert("model_type".into(), self.model_type.into());
        let heads = fields.needed("attention.head_count")?;
        json.insert("num_key_value_heads".into(), fields.size("attention.head_count_kv")?.unwrap_or(heads).into());
        json.insert("rms_norm_eps".into(), fields.number("attention.layer_norm_rms_epsilon")?.into());
        json.insert("tie_word_embeddings".into(), facts.tied_head.into());
        if turned != head_dim {
            json.insert("partial_rotary_factor".into(), (turned as f64 / head_dim as f64).into());
        }
        (self.describe)(&fields, &mut json)?;
        let mut config = hugging_face_config::of_fields(self.model_type, &Value::Object(json)).map_err(|reason| metadata.fault(reason))?;
        config.block.rotary_dim = turned;
        (config.query_key_value_bias, config.output_bias) = (facts.query_key_value_bias, facts.output_bias);
        if self.one_added {
            config.block.norms.less_one = false;
        }
        self.rotate(metadata, facts, context, &mut config)?;
        match config.fault() {
            Some(reason) => Err(metadata.fault(reason)),
            None => Ok(config),
        }
    }

    /// Rotary embeddings, which metadata says otherwise than a configuration.
    fn rotate(&self, metadata: &Metadata<'_>, facts: &TensorFacts, context: usize, config: &mut ModelConfig) -> Result<(), CheckpointError> {
        let key = |field: &str| format!("{}.rope.{field}", self.name);
        config.rope = match &facts.long_rope {
            None => metadata.rope(self.name, context, facts.rope_divisors.clone())?,
            Some([short, long]) => {
                let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
                Rope {
                    theta: metadata.number(&key("freq_base"))?.unwrap_or(10_000.0),
                    scaling: RopeScaling::LongRope {
                        short: wide(short),
                        long: wide(long),
                        original_context: metadata.number(&key("scaling.original_context_length"))?.unwrap_or(context as f64),
                        attention_factor: metadata.number(&key("scaling.attn_factor"))?.unwrap_or(1.0),
                    },
                }
            }
        };
        if let (RopeScaling::Yarn { truncate, .. }, "gpt_oss") = (&mut config.rope.scaling, self.model_type) {
            *truncate = false;
        }
        if !matches!(self.model_type, "gemma3_text" | "olmo3") {
            return Ok(());
        }
        // Layers with a window turn by a base of their own, and unscaled.
        let own = if self.model_type == "olmo3" { config.rope.theta } else { 10_000.0 };
        let local = Rope {
            theta: metadata.number(&key("freq_base_swa"))?.unwrap_or(own),
            scaling: RopeScaling::Default,
        };
        let differs = local != config.rope;
        let of = |kind: &LayerKind| match kind.window {
            Some(_) if differs => LayerRotation::Local,
            _ => LayerRotation::Usual,
        };
        config.kinds.iter_mut().for_each(|kind| kind.rotation = of(kind));
        config.local_rope = differs.then_some(local);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use anamnesis::{GgufMetadataArray, GgufMetadataValue};

    use super::*;

    /// Metadata of four layers with these fields beside the sizes, and what `config.json` says beside them.
    fn both(name: &str, fields: &Value, json: &Value) -> (Result<ModelConfig, CheckpointError>, ModelConfig) {
        let sizes = json!({"block_count": 4, "embedding_length": 64, "feed_forward_length": 96, "attention.head_count": 4,
            "attention.head_count_kv": 2, "attention.key_length": 16, "context_length": 256, "attention.layer_norm_rms_epsilon": 0.5});
        let value = |value: &Value| match value {
            Value::Number(number) if number.is_u64() => GgufMetadataValue::U32(number.as_u64().unwrap() as u32),
            Value::Number(number) => GgufMetadataValue::F32(number.as_f64().unwrap() as f32),
            Value::Bool(flag) => GgufMetadataValue::Bool(*flag),
            Value::String(text) => GgufMetadataValue::String(text.clone()),
            Value::Array(flags) => GgufMetadataValue::Array(Box::new(GgufMetadataArray::Bool(flags.iter().map(|flag| flag.as_bool().unwrap()).collect()))),
            other => panic!("{other}"),
        };
        let all = sizes.as_object().unwrap().iter().chain(fields.as_object().unwrap());
        let values: HashMap<String, GgufMetadataValue> = all.map(|(key, own)| (format!("{name}.{key}"), value(own))).collect();
        let metadata = Metadata {
            file: Path::new("m.gguf"),
            values: &values,
        };
        let facts = TensorFacts {
            vocabulary: 100,
            tied_head: false,
            query_key_value_bias: false,
            output_bias: false,
            rope_divisors: None,
            long_rope: None,
            query_key_norms: false,
        };
        let has = |field: &str| values.get(&format!("{name}.{field}")).is_some();
        let row = GgufFamily::find(name, has("expert_count"), has("attention.sliding_window")).unwrap();
        let mut own = json!({"model_type": row.model_type, "num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 96,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 100, "max_position_embeddings": 256,
            "rms_norm_eps": 0.5, "tie_word_embeddings": false});
        for (key, value) in json.as_object().unwrap() {
            own[key] = value.clone();
        }
        let mut wanted = ModelConfig::from_json(&own.to_string()).unwrap();
        if row.one_added {
            wanted.block.norms.less_one = false;
        }
        (wanted.query_key_value_bias, wanted.output_bias) = (false, false);
        (row.config(&metadata, &facts), wanted)
    }

    #[test]
    fn metadata_says_what_a_configuration_says() {
        let experts = |more: Value| {
            let mut fields = json!({"expert_count": 8, "expert_used_count": 2, "expert_feed_forward_length": 32});
            more.as_object().unwrap().iter().for_each(|(key, value)| fields[key] = value.clone());
            fields
        };
        let windows = json!({"attention.sliding_window": 16, "attention.sliding_window_pattern": [true, true, false, true]});
        let kinds = json!({"sliding_window": 16, "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]});
        let cases = [
            (
                "qwen3moe",
                experts(json!({"rope.freq_base": 1e6})),
                json!({"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": true, "rope_theta": 1e6}),
            ),
            (
                "qwen2moe",
                experts(json!({"expert_shared_feed_forward_length": 48})),
                json!({"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48}),
            ),
            (
                "llama",
                json!({"expert_count": 8, "expert_used_count": 2, "rope.freq_base": 1e6}),
                json!({"num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": null, "rope_theta": 1e6}),
            ),
            (
                "glm4moe",
                experts(
                    json!({"expert_gating_func": 2, "expert_shared_count": 1, "leading_dense_block_count": 1, "expert_weights_scale": 2.5,
                    "expert_weights_norm": true, "nextn_predict_layers": 1, "rope.dimension_count": 8}),
                ),
                json!({"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1, "num_hidden_layers": 3,
                    "first_k_dense_replace": 1, "routed_scaling_factor": 2.5, "norm_topk_prob": true, "num_nextn_predict_layers": 1,
                    "use_qk_norm": false, "partial_rotary_factor": 0.5}),
            ),
            (
                "gpt-oss",
                experts(json!({"attention.sliding_window": 16, "rope.scaling.type": "yarn", "rope.scaling.factor": 32.0,
                    "rope.scaling.original_context_length": 64, "rope.freq_base": 150_000.0, "expert_feed_forward_length": 96})),
                json!({"num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": 16, "rope_parameters": {"rope_type": "yarn",
                    "factor": 32.0, "original_max_position_embeddings": 64, "rope_theta": 150_000.0, "truncate": false}}),
            ),
            (
                "gemma2",
                json!({"attention.sliding_window": 16, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}),
                json!({"query_pre_attn_scalar": 16, "sliding_window": 16}),
            ),
            (
                "gemma3",
                json!({"attention.sliding_window": 16, "rope.freq_base": 1e6, "rope.freq_base_swa": 10_000.0, "rope.scaling.type": "linear",
                    "rope.scaling.factor": 8.0}),
                json!({"query_pre_attn_scalar": 16, "sliding_window": 16, "layer_types": ["sliding_attention", "sliding_attention",
                    "sliding_attention", "sliding_attention"], "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0,
                    "rope_theta": 1e6}, "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}}}),
            ),
            (
                "granite",
                json!({"attention.scale": 0.25, "embedding_scale": 12.0, "logit_scale": 4.0, "residual_scale": 0.5}),
                json!({"attention_multiplier": 0.25, "embedding_multiplier": 12.0, "logits_scaling": 4.0, "residual_multiplier": 0.5}),
            ),
            ("exaone4", windows.clone(), kinds.clone()),
            ("olmo2", windows.clone(), kinds.clone()),
            ("olmo2", json!({}), json!({})),
            (
                "cohere2",
                json!({"attention.sliding_window": 16, "logit_scale": 0.5, "attention.layer_norm_epsilon": 0.25}),
                json!({"sliding_window": 16, "logit_scale": 0.5, "layer_norm_eps": 0.25, "rms_norm_eps": null}),
            ),
            (
                "nemotron",
                json!({"attention.layer_norm_epsilon": 0.25, "rope.dimension_count": 8}),
                json!({"norm_eps": 0.25, "rms_norm_eps": null, "partial_rotary_factor": 0.5}),
            ),
            ("ernie4_5", json!({"rope.freq_base": 500_000.0}), json!({"use_bias": false})),
            ("smollm3", json!({"rope.freq_base": 2e6}), json!({"rope_theta": 2e6})),
            ("glm4", json!({"rope.dimension_count": 8}), json!({})),
            ("hunyuan-dense", json!({}), json!({})),
            ("seed_oss", json!({}), json!({})),
            (
                "phi3",
                json!({"attention.sliding_window": 16, "rope.scaling.original_context_length": 4096}),
                json!({"sliding_window": 16, "original_max_position_embeddings": 4096}),
            ),
        ];
        for (name, fields, json) in cases {
            let (found, wanted) = both(name, &fields, &json);
            assert_eq!(found.unwrap(), wanted, "{name}");
        }
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let refusal = |name: &str, fields: Value, json: Value| both(name, &fields, &json).0.unwrap_err().to_string();
        assert!(refusal("seed_oss", json!({"attention.sliding_window": 16}), json!({})).contains("seed_oss.attention.sliding_window"));
        assert!(refusal("hunyuan-dense", json!({"something_new": 1}), json!({})).contains("hunyuan-dense.something_new"));
        assert!(refusal("hunyuan-dense", json!({"attention.value_length": 8}), json!({})).contains("size 8"));
        assert!(GgufFamily::find("deepseek2", true, false).is_none());
    }
}
