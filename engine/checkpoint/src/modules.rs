//! The linear maps of a layer: which there are, what they are called, what they read, and which of the seven usual maps each is or is a
//! part of. Everything that goes through a layer's matrices goes by this list.

use crate::config::{ModelConfig, PROJECTIONS};
use crate::description::{DeltaRule, Latent};
use crate::experts::Experts;

/// What a linear map of attention reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionInput {
    /// The layer's stream, after the norm before attention.
    Stream,
    /// What the heads give.
    Heads,
    /// The narrow vector of queries, after its norm.
    QueryLatent,
    /// The narrow vector of keys and values, after its norm.
    KeyValueLatent,
}

/// Which part of a layer a linear map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleRole {
    /// A map of attention.
    Attention(AttentionInput),
    /// A map of the feed-forward block: the place, of which a dense layer has one, and gate (0), up (1) or down (2).
    FeedForward {
        /// The place: an expert's number, or the one after them of the shared expert.
        place: usize,
        /// Gate, up or down.
        part: usize,
    },
    /// What chooses experts.
    Router,
    /// What the shared expert is multiplied by the sigmoid of.
    SharedGate,
}

/// A linear map of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleShape {
    /// Its name inside of the layer, as Hugging Face writes it.
    pub name: String,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Whether it has a bias.
    pub bias: bool,
    /// Which part of the layer it is.
    pub role: ModuleRole,
    /// Which of the seven usual maps it is, or is a part of; `None` of one that only decides where tokens go.
    pub slot: Option<usize>,
    /// Its name among the parts of that map, such as `e37`, where there are several.
    pub part: Option<String>,
}

impl ModelConfig {
    /// The linear maps of a layer, in the order of every list of them: those of attention, gate, up and down of every place of the
    /// feed-forward block, and what chooses among places.
    pub fn modules(&self, layer: usize) -> Vec<ModuleShape> {
        let plain = |index: usize, role: ModuleRole| {
            let (rows, columns) = self.dimensions(index);
            ModuleShape {
                name: self.projection(index),
                rows,
                columns,
                bias: self.has_bias(index),
                role,
                slot: Some(index),
                part: None,
            }
        };
        let read = |index: usize| if index == 3 { AttentionInput::Heads } else { AttentionInput::Stream };
        let mut modules: Vec<ModuleShape> = match self.block.latent {
            Some(latent) => self.latent_modules(latent),
            None => (0..4).map(|index| plain(index, ModuleRole::Attention(read(index)))).collect(),
        };
        if let Some(rule) = self.delta(layer) {
            modules = self.delta_modules(rule);
        } else if self.block.output_gate {
            modules[0].rows *= 2;
        }
        match self.experts(layer) {
            None => modules.extend((0..3).map(|part| plain(4 + part, ModuleRole::FeedForward { place: 0, part }))),
            Some(experts) => modules.extend(self.expert_modules(experts)),
        }
        modules
    }

    /// The name of one of the seven usual maps inside of a layer.
    fn projection(&self, index: usize) -> String {
        match index.checked_sub(4) {
            Some(part) => format!("{}.{}", self.block.feed_forward, self.block.feed_forward_maps[part]),
            None => PROJECTIONS[index].to_string(),
        }
    }

    fn delta_modules(&self, rule: &DeltaRule) -> Vec<ModuleShape> {
        let (values, widths) = (rule.values(), rule.widths());
        let module = |name: &str, rows: usize, slot: usize, part: Option<&str>| ModuleShape {
            name: format!("linear_attn.{name}"),
            rows,
            columns: self.hidden,
            bias: false,
            role: ModuleRole::Attention(AttentionInput::Stream),
            slot: Some(slot),
            part: part.map(str::to_string),
        };
        let names: &[(&str, usize, &str)] = if rule.by_key_head {
            &[("in_proj_qkvz", 0, "qkvz"), ("in_proj_ba", 1, "ba")]
        } else {
            &[("in_proj_qkv", 0, "qkv"), ("in_proj_z", 0, "z"), ("in_proj_b", 1, "b"), ("in_proj_a", 1, "a")]
        };
        let of_stream = names.iter().zip(widths);
        let mut modules: Vec<ModuleShape> = of_stream.map(|((name, slot, part), rows)| module(name, rows, *slot, Some(part))).collect();
        modules.push(ModuleShape {
            rows: self.hidden,
            columns: values,
            role: ModuleRole::Attention(AttentionInput::Heads),
            part: None,
            ..module("out_proj", 0, 3, None)
        });
        modules
    }

    /// The delta rule of a layer, if it has one in the place of attention.
    pub fn delta(&self, layer: usize) -> Option<&DeltaRule> {
        self.block.delta.as_ref().filter(|_| self.kind(layer).delta)
    }

    fn latent_modules(&self, latent: Latent) -> Vec<ModuleShape> {
        let heads = self.heads;
        let module = |name: &str, (rows, columns): (usize, usize), bias: bool, read: AttentionInput, slot: usize, part: Option<&str>| ModuleShape {
            name: format!("self_attn.{name}"),
            rows,
            columns,
            bias,
            role: ModuleRole::Attention(read),
            slot: Some(slot),
            part: part.map(str::to_string),
        };
        let (queries, bias) = (heads * (latent.plain + latent.turning), self.query_key_value_bias);
        let mut modules = match latent.query_rank {
            Some(rank) => vec![
                module("q_a_proj", (rank, self.hidden), bias, AttentionInput::Stream, 0, Some("a")),
                module("q_b_proj", (queries, rank), false, AttentionInput::QueryLatent, 0, Some("b")),
            ],
            None => vec![module("q_proj", (queries, self.hidden), false, AttentionInput::Stream, 0, None)],
        };
        let (rank, both) = (latent.key_value_rank, heads * (latent.plain + latent.value));
        modules.extend([
            module(
                "kv_a_proj_with_mqa",
                (rank + latent.turning, self.hidden),
                bias,
                AttentionInput::Stream,
                1,
                Some("kv_a"),
            ),
            module("kv_b_proj", (both, rank), false, AttentionInput::KeyValueLatent, 2, Some("kv_b")),
            module("o_proj", (self.hidden, heads * latent.value), self.output_bias, AttentionInput::Heads, 3, None),
        ]);
        modules
    }

    fn expert_modules(&self, experts: &Experts) -> Vec<ModuleShape> {
        let (names, router) = (&experts.names, &experts.router);
        let mut modules = Vec::with_capacity(3 * experts.places() + 2);
        for place in 0..experts.places() {
            let shared = (experts.shared_place() == Some(place)).then_some(experts.shared).flatten();
            let width = shared.map_or(experts.width, |shared| shared.width);
            for part in 0..3 {
                let name = match shared {
                    Some(_) => format!("{}.{}", names.shared, ["gate_proj", "up_proj", "down_proj"][part]),
                    None => format!("{}.{place}.{}", names.experts, names.parts[part]),
                };
                let (rows, columns) = if part == 2 { (self.hidden, width) } else { (width, self.hidden) };
                modules.push(ModuleShape {
                    name,
                    rows,
                    columns,
                    bias: shared.is_none() && experts.biases,
                    role: ModuleRole::FeedForward { place, part },
                    slot: Some(4 + part),
                    part: Some(shared.map_or_else(|| format!("e{place}"), |_| "shared".to_string())),
                });
            }
        }
        let beside = |name: &str, rows: usize, bias: bool, role: ModuleRole| ModuleShape {
            name: name.to_string(),
            rows,
            columns: self.hidden,
            bias,
            role,
            slot: None,
            part: None,
        };
        modules.push(beside(names.router, router.experts, experts.router_bias, ModuleRole::Router));
        if experts.shared.is_some_and(|shared| shared.gated) {
            modules.push(beside(names.shared_gate, 1, false, ModuleRole::SharedGate));
        }
        modules
    }

    /// The experts of a layer, if its feed-forward block is one of experts.
    pub fn experts(&self, layer: usize) -> Option<&Experts> {
        self.block.experts.as_ref().filter(|_| self.kind(layer).experts)
    }

    /// Weights of a layer's linear maps.
    pub fn layer_weights(&self, layer: usize) -> usize {
        self.modules(layer).iter().map(|module| module.rows * module.columns).sum()
    }

    /// Weights of all layers.
    pub fn weights_of_layers(&self) -> usize {
        (0..self.layers).map(|layer| self.layer_weights(layer)).sum()
    }

    /// Weights of the largest layer.
    pub fn largest_layer(&self) -> usize {
        (0..self.layers).map(|layer| self.layer_weights(layer)).max().unwrap_or(0)
    }

    /// Outputs that the linear maps of a layer give for a token, of the layer that has most of them; of experts as many as are chosen.
    pub fn most_outputs(&self) -> usize {
        let of_layer = |layer: usize| -> usize {
            let all: usize = self.modules(layer).iter().map(|module| module.rows).sum();
            let idle = self.experts(layer).map_or(0, |experts| {
                (experts.router.experts - experts.router.chosen) * (2 * experts.width + self.hidden)
            });
            all - idle
        };
        (0..self.layers).map(of_layer).max().unwrap_or(0)
    }

    /// Weights of a layer that a token passes through: of experts as many as are chosen for it.
    pub fn active_weights(&self, layer: usize) -> usize {
        let all = self.layer_weights(layer);
        let idle = self.experts(layer).map_or(0, |experts| experts.router.experts - experts.router.chosen);
        all - idle * 3 * self.block.experts.map_or(0, |experts| experts.width) * self.hidden
    }

    /// Why the layers are not all of the seven usual linear maps, if so.
    pub fn beyond_seven_modules(&self) -> Option<&'static str> {
        if self.block.delta.is_some() || self.block.output_gate {
            return Some("recurrent layers (a gated delta rule), or attention whose output is gated");
        }
        if self.block.latent.is_some() {
            return Some("latent attention");
        }
        if self.block.ungated {
            return Some("feed-forward blocks without a gate");
        }
        (0..self.layers).any(|layer| self.kind(layer).experts).then_some("mixtures of experts")
    }
}
