//! What is known of an architecture, and the configuration of a file by it.

use serde_json::{Map, Value};

use super::fields::Fields;
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
    /// Its attention is latent: widths of heads stand under other names, and what is told of rotation is of a part of them.
    pub latent: bool,
    /// Keys that are read, beside those of all.
    pub keys: &'static [&'static str],
    /// Completes the configuration.
    pub describe: fn(&Fields<'_>, &mut Map<String, Value>) -> Result<(), CheckpointError>,
}

/// A row in which nothing is said.
pub(super) const ROW: GgufFamily = GgufFamily {
    name: "",
    model_type: "",
    interleaved: false,
    one_added: false,
    latent: false,
    keys: &[],
    describe: |_, _| Ok(()),
};

impl GgufFamily {
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
        if let Some(values) = fields.size("attention.value_length")?.filter(|values| *values != head_dim && !self.latent) {
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
        if turned != head_dim && !self.latent {
            json.insert("partial_rotary_factor".into(), (turned as f64 / head_dim as f64).into());
        }
        (self.describe)(&fields, &mut json)?;
        let model_type = json.get("model_type").and_then(Value::as_str).unwrap_or(self.model_type).to_string();
        let mut config = hugging_face_config::of_fields(&model_type, &Value::Object(json)).map_err(|reason| metadata.fault(reason))?;
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
        if let (RopeScaling::Yarn { attention_factor, .. }, true) = (&mut config.rope.scaling, self.latent) {
            *attention_factor = 1.0;
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
