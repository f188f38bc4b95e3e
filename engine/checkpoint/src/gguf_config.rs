//! Metadata of a GGUF file into a [`ModelConfig`].
//!
//! Keys are `<architecture>.<field>`. Some facts stand in no key and are read off the tensors' names: biases, the tied head, and
//! Llama 3's rotary divisors; the caller hands those over in [`TensorFacts`].

use std::collections::HashMap;
use std::path::Path;

use anamnesis::{GgufMetadataArray, GgufMetadataValue};

use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::description::{BlockDescription, Ends, QueryKeyNorm};
use crate::error::CheckpointError;
use crate::rope::{Rope, RopeScaling, yarn_magnitude};

/// What the tensors say about the configuration.
pub(crate) struct TensorFacts {
    /// Rows of `token_embd.weight`.
    pub vocabulary: usize,
    /// `output.weight` is missing.
    pub tied_head: bool,
    /// The bias of a query, key or value is there, in whatever layer.
    pub query_key_value_bias: bool,
    /// The bias of an attention output is there.
    pub output_bias: bool,
    /// The values of `rope_freqs.weight`.
    pub rope_divisors: Option<Vec<f32>>,
    /// Those of `rope_factors_short.weight` and `rope_factors_long.weight`.
    pub long_rope: Option<[Vec<f32>; 2]>,
    /// Queries and keys have norms.
    pub query_key_norms: bool,
}

/// Keys of an architecture that are read, and those that say nothing of the computation.
const KNOWN: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "tensor_data_layout",
    "vocab_size",
];

/// Keys that change the computation, with the values under which they do not; a flag is 0 or 1. llama.cpp takes 0 for "unset" in scales
/// and caps, and −1 in YaRN's factor of extrapolation.
const NEUTRAL: &[(&str, &[f64])] = &[
    ("attention.causal", &[1.0]),
    ("attention.clamp_kqv", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.scale", &[0.0]),
    ("attention.sliding_window", &[0.0]),
    ("attn_logit_softcapping", &[0.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("expert_used_count", &[0.0]),
    ("final_logit_softcapping", &[0.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("pooling_type", &[0.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("rope.scaling.yarn_attn_factor", &[1.0]),
    ("rope.scaling.yarn_ext_factor", &[-1.0, 1.0]),
    ("rope.scaling.yarn_log_multiplier", &[0.0]),
    ("use_parallel_residual", &[0.0]),
];

/// Metadata with the file's path, for messages.
pub(crate) struct Metadata<'a> {
    /// The GGUF file.
    pub file: &'a Path,
    /// Its keys.
    pub values: &'a HashMap<String, GgufMetadataValue>,
}

impl Metadata<'_> {
    /// A [`CheckpointError::Configuration`] about this file.
    pub fn fault(&self, reason: String) -> CheckpointError {
        CheckpointError::Configuration {
            file: self.file.to_path_buf(),
            reason,
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).and_then(GgufMetadataValue::as_string)
    }

    /// A flag.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.values.get(key).and_then(GgufMetadataValue::as_bool)
    }

    /// A list of flags.
    pub fn flags(&self, key: &str) -> Option<&[bool]> {
        match self.values.get(key) {
            Some(GgufMetadataValue::Array(array)) => array.as_bool_slice(),
            _ => None,
        }
    }

    /// A whole number of any width; an array counts if all its values are equal (some writers repeat a value for each layer).
    pub fn whole(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let number = match value {
            GgufMetadataValue::U8(v) => Some(u64::from(*v)),
            GgufMetadataValue::U16(v) => Some(u64::from(*v)),
            GgufMetadataValue::U32(v) => Some(u64::from(*v)),
            GgufMetadataValue::U64(v) => Some(*v),
            GgufMetadataValue::I8(v) => u64::try_from(*v).ok(),
            GgufMetadataValue::I16(v) => u64::try_from(*v).ok(),
            GgufMetadataValue::I32(v) => u64::try_from(*v).ok(),
            GgufMetadataValue::I64(v) => u64::try_from(*v).ok(),
            GgufMetadataValue::Array(array) => match array.as_ref() {
                GgufMetadataArray::U32(values) if values.windows(2).all(|pair| pair[0] == pair[1]) => values.first().map(|v| u64::from(*v)),
                GgufMetadataArray::I32(values) if values.windows(2).all(|pair| pair[0] == pair[1]) => values.first().and_then(|v| u64::try_from(*v).ok()),
                _ => return Err(self.fault(format!("{key} differs from layer to layer; only models with equal layers are known"))),
            },
            _ => None,
        };
        number
            .and_then(|v| usize::try_from(v).ok())
            .map(Some)
            .ok_or_else(|| self.fault(format!("{key} is not a whole number")))
    }

    /// A number of any width. A float32 is taken for the shortest decimal that rounds to it: 1e-5 means 0.00001.
    pub fn number(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(GgufMetadataValue::F32(v)) => Ok(Some(v.to_string().parse().unwrap_or(f64::from(*v)))),
            Some(GgufMetadataValue::F64(v)) => Ok(Some(*v)),
            Some(_) => Ok(self.whole(key)?.map(|v| v as f64)),
        }
    }

    /// The model's configuration.
    ///
    /// # Errors
    /// [`CheckpointError::UnknownArchitecture`], or [`CheckpointError::Configuration`] with the key that is wrong.
    pub fn config(&self, architecture: Architecture, facts: TensorFacts) -> Result<ModelConfig, CheckpointError> {
        let key = |field: &str| format!("{}.{field}", architecture.name());
        self.refuse_unknown(architecture.name(), &[])?;
        let needed = |field: &str| self.whole(&key(field))?.ok_or_else(|| self.fault(format!("{} is missing", key(field))));
        if let Some(experts) = self.whole(&key("expert_count"))?
            && experts > 0
        {
            return Err(self.fault(format!("{} is {experts}; mixtures of experts are not known", key("expert_count"))));
        }
        let (hidden, heads) = (needed("embedding_length")?, needed("attention.head_count")?);
        let head_dim = match self.whole(&key("attention.key_length"))? {
            Some(head_dim) => head_dim,
            None if heads > 0 => hidden / heads,
            None => 0,
        };
        if let Some(value_length) = self.whole(&key("attention.value_length"))?
            && value_length != head_dim
        {
            return Err(self.fault(format!(
                "values of a head have size {value_length}, keys {head_dim}; only equal sizes are known"
            )));
        }
        if let Some(turned) = self.whole(&key("rope.dimension_count"))?
            && turned != head_dim
        {
            return Err(self.fault(format!(
                "{} is {turned}, but heads have size {head_dim}; only whole heads are turned",
                key("rope.dimension_count")
            )));
        }
        let context = needed("context_length")?;
        let mut block = BlockDescription::plain(head_dim);
        if architecture == Architecture::QWEN3 {
            block.query_key_norm = QueryKeyNorm::Heads;
        }
        let config = ModelConfig {
            architecture,
            layers: needed("block_count")?,
            hidden,
            intermediate: needed("feed_forward_length")?,
            heads,
            key_value_heads: self.whole(&key("attention.head_count_kv"))?.unwrap_or(heads),
            head_dim,
            vocabulary: facts.vocabulary,
            norm_epsilon: self.number(&key("attention.layer_norm_rms_epsilon"))?.unwrap_or(1e-6),
            rope: self.rope(architecture.name(), context, facts.rope_divisors)?,
            tied_head: facts.tied_head,
            layers_beyond: 0,
            context,
            query_key_value_bias: facts.query_key_value_bias,
            output_bias: facts.output_bias,
            feed_forward_bias: false,
            block,
            kinds: Vec::new(),
            ends: Ends::default(),
            local_rope: None,
        };
        match config.fault() {
            Some(reason) => Err(self.fault(reason)),
            None => Ok(config),
        }
    }

    /// Refuses keys of the architecture that are neither known nor among `own`, and known ones that say what is not computed here.
    ///
    /// # Errors
    /// [`CheckpointError::Configuration`] with the key.
    pub fn refuse_unknown(&self, architecture: &str, own: &[&str]) -> Result<(), CheckpointError> {
        if let Some(kind) = self.text("general.type")
            && kind != "model"
        {
            return Err(self.fault(format!("general.type is `{kind}`: it is not a model of its own")));
        }
        let context = self.whole(&format!("{architecture}.context_length"))?.unwrap_or(0) as f64;
        let mut keys: Vec<&String> = self.values.keys().collect();
        keys.sort_unstable();
        for key in keys {
            if key.starts_with("adapter.") {
                return Err(self.fault(format!("it has {key}: it is an adapter, to be merged into its base model")));
            }
            let Some(field) = key.strip_prefix(architecture).and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            if KNOWN.contains(&field) || own.contains(&field) {
                continue;
            }
            let neutral: &[f64] = match NEUTRAL.iter().find(|(name, _)| *name == field) {
                Some((_, values)) => values,
                None => {
                    return Err(self.fault(format!("{key} is a key that is not known here and may change what the model computes")));
                }
            };
            let value = match self.flag(key) {
                Some(flag) => f64::from(u8::from(flag)),
                None => self.number(key)?.unwrap_or(f64::NAN),
            };
            let wide_window = field == "attention.sliding_window" && value >= context;
            if !neutral.contains(&value) && !wide_window {
                return Err(self.fault(format!("{key} is {value}, which is not computed here (nothing but {neutral:?} is)")));
            }
        }
        Ok(())
    }

    /// The rotary embedding of an architecture.
    ///
    /// # Errors
    /// [`CheckpointError::Configuration`] where it is not known.
    pub fn rope(&self, architecture: &str, context: usize, divisors: Option<Vec<f32>>) -> Result<Rope, CheckpointError> {
        let key = |field: &str| format!("{architecture}.rope.{field}");
        let theta = self.number(&key("freq_base"))?.unwrap_or(10_000.0);
        let factor = match self.number(&key("scaling.factor"))? {
            Some(factor) => Some(factor),
            None => self.number(&key("scale_linear"))?,
        };
        let kind = self.text(&key("scaling.type")).unwrap_or(if factor.is_some() { "linear" } else { "none" });
        let factor = factor.filter(|factor| *factor != 0.0).unwrap_or(1.0);
        let scaling = match (kind, divisors) {
            ("none", Some(divisors)) => RopeScaling::Divided { divisors },
            ("none", None) => RopeScaling::Default,
            ("linear", None) => RopeScaling::Linear { factor },
            ("yarn", None) => {
                let extra = self.number(&key("scaling.attn_factor"))?.unwrap_or(1.0);
                let magnitude = yarn_magnitude(factor, 1.0);
                RopeScaling::Yarn {
                    factor,
                    original_context: self.number(&key("scaling.original_context_length"))?.unwrap_or(context as f64),
                    beta_fast: self.number(&key("scaling.yarn_beta_fast"))?.unwrap_or(32.0),
                    beta_slow: self.number(&key("scaling.yarn_beta_slow"))?.unwrap_or(1.0),
                    attention_factor: extra * magnitude,
                    truncate: true,
                }
            }
            (other, Some(_)) => return Err(self.fault(format!("both rope_freqs.weight and the rotary scaling `{other}` are given"))),
            (other, None) => return Err(self.fault(format!("rotary scaling `{other}` is not known; known are: none, linear, yarn"))),
        };
        Ok(Rope { theta, scaling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> TensorFacts {
        TensorFacts {
            vocabulary: 10,
            tied_head: true,
            query_key_value_bias: false,
            output_bias: false,
            rope_divisors: None,
            long_rope: None,
            query_key_norms: false,
        }
    }

    fn base() -> HashMap<String, GgufMetadataValue> {
        let mut values = HashMap::new();
        let sizes = [
            ("block_count", 2),
            ("embedding_length", 8),
            ("feed_forward_length", 12),
            ("attention.head_count", 4),
            ("context_length", 64),
        ];
        for (field, value) in sizes {
            values.insert(format!("llama.{field}"), GgufMetadataValue::U32(value));
        }
        values.insert("llama.attention.layer_norm_rms_epsilon".to_string(), GgufMetadataValue::F32(1e-5));
        values
    }

    fn read(values: &HashMap<String, GgufMetadataValue>, facts: TensorFacts) -> Result<ModelConfig, CheckpointError> {
        Metadata {
            file: Path::new("m.gguf"),
            values,
        }
        .config(Architecture::LLAMA, facts)
    }

    #[test]
    fn plain_keys_are_read() {
        let config = read(&base(), facts()).unwrap();
        assert_eq!(
            (config.layers, config.hidden, config.heads, config.key_value_heads, config.head_dim),
            (2, 8, 4, 4, 2)
        );
        assert_eq!(config.norm_epsilon, 1e-5, "the decimal that was meant, not the float32");
    }

    #[test]
    fn scalings_and_divisors_are_read() {
        let mut values = base();
        values.insert("llama.rope.scaling.type".to_string(), GgufMetadataValue::String("linear".to_string()));
        values.insert("llama.rope.scaling.factor".to_string(), GgufMetadataValue::F32(4.0));
        assert_eq!(read(&values, facts()).unwrap().rope.scaling, RopeScaling::Linear { factor: 4.0 });
        values.insert("llama.rope.scaling.type".to_string(), GgufMetadataValue::String("longrope".to_string()));
        assert!(read(&values, facts()).unwrap_err().to_string().contains("`longrope`"));
        let divided = TensorFacts {
            rope_divisors: Some(vec![8.0]),
            ..facts()
        };
        assert_eq!(read(&base(), divided).unwrap().rope.scaling, RopeScaling::Divided { divisors: vec![8.0] });
    }

    #[test]
    fn keys_that_change_the_computation_are_refused() {
        let with = |field: &str, value| {
            let mut values = base();
            values.insert(format!("llama.{field}"), value);
            read(&values, facts()).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(with("attention.causal", GgufMetadataValue::Bool(false)).contains("attention.causal"));
        assert!(with("attention.scale", GgufMetadataValue::F32(0.1)).contains("attention.scale"));
        assert!(with("rope.scaling.yarn_ext_factor", GgufMetadataValue::F32(0.5)).contains("yarn_ext_factor"));
        assert!(with("attention.sliding_window", GgufMetadataValue::U32(16)).contains("sliding_window"));
        assert!(with("logit_scale", GgufMetadataValue::F32(0.5)).contains("logit_scale"));
        assert!(with("something_new", GgufMetadataValue::U32(1)).contains("something_new"));
        for (field, value) in [
            ("attention.causal", GgufMetadataValue::Bool(true)),
            ("attention.sliding_window", GgufMetadataValue::U32(64)),
            ("logit_scale", GgufMetadataValue::F32(1.0)),
            ("rope.scaling.yarn_ext_factor", GgufMetadataValue::F32(1.0)),
            ("vocab_size", GgufMetadataValue::U32(10)),
        ] {
            assert_eq!(with(field, value), "", "{field}");
        }
        let mut values = base();
        values.insert("general.type".to_string(), GgufMetadataValue::String("adapter".to_string()));
        assert!(read(&values, facts()).unwrap_err().to_string().contains("`adapter`"));
    }

    #[test]
    fn layers_that_differ_and_experts_are_refused() {
        let mut values = base();
        values.insert(
            "llama.feed_forward_length".to_string(),
            GgufMetadataValue::Array(Box::new(GgufMetadataArray::I32(vec![12, 16]))),
        );
        assert!(read(&values, facts()).unwrap_err().to_string().contains("differs from layer to layer"));
        let mut values = base();
        values.insert("llama.expert_count".to_string(), GgufMetadataValue::U32(8));
        assert!(read(&values, facts()).unwrap_err().to_string().contains("experts"));
    }
}
