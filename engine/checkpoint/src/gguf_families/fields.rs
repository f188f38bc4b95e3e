//! Metadata of one architecture, by the names of its fields.

use serde_json::{Map, Value};

use crate::error::CheckpointError;
use crate::gguf_config::{Metadata, TensorFacts};

/// Metadata of one architecture.
pub(crate) struct Fields<'a> {
    pub metadata: &'a Metadata<'a>,
    pub facts: &'a TensorFacts,
    pub prefix: &'a str,
}

impl Fields<'_> {
    pub fn key(&self, field: &str) -> String {
        format!("{}.{field}", self.prefix)
    }

    pub fn size(&self, field: &str) -> Result<Option<usize>, CheckpointError> {
        self.metadata.whole(&self.key(field))
    }

    pub fn needed(&self, field: &str) -> Result<usize, CheckpointError> {
        self.size(field)?.ok_or_else(|| self.metadata.fault(format!("{} is missing", self.key(field))))
    }

    pub fn number(&self, field: &str) -> Result<Option<f64>, CheckpointError> {
        self.metadata.number(&self.key(field))
    }

    pub fn flag(&self, field: &str) -> Option<bool> {
        self.metadata.flag(&self.key(field))
    }

    /// Layers that predict the next token.
    pub fn layers(&self) -> Result<usize, CheckpointError> {
        Ok(self.needed("block_count")?.saturating_sub(self.size("nextn_predict_layers")?.unwrap_or(0)))
    }

    pub fn head_dim(&self) -> Result<usize, CheckpointError> {
        match self.size("attention.key_length")? {
            Some(width) => Ok(width),
            None => Ok(self.needed("embedding_length")? / self.needed("attention.head_count")?.max(1)),
        }
    }

    pub fn experts(&self, json: &mut Map<String, Value>, count: &str) -> Result<(), CheckpointError> {
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
    pub fn layer_types(&self, json: &mut Map<String, Value>, pattern: usize) -> Result<(), CheckpointError> {
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
    pub fn epsilon(&self, json: &mut Map<String, Value>, key: &str) -> Result<(), CheckpointError> {
        json.remove("rms_norm_eps");
        json.insert(key.into(), self.number("attention.layer_norm_epsilon")?.into());
        Ok(())
    }
}
