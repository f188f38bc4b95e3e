//! What a row of the table of families says.

use serde_json::Value;

use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::description::{Activation, Fused};

/// What is known of a family.
pub(crate) struct Family {
    /// Its names.
    pub architecture: Architecture,
    /// The classes of transformers that compute it; the first is the usual one. A bare model has no head of its own and is one with a
    /// head where the head is the embedding.
    pub classes: &'static [&'static str],
    /// Keys of `config.json` that its function reads, beside those that all families have.
    pub keys: &'static [&'static str],
    /// Keys that a configuration of it always has, and others have not.
    pub required: &'static [&'static str],
    /// Keys that say nothing where they hold this value (as JSON), and are not known otherwise.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Parameters of its rotary embedding, beside those that all families may have.
    pub rope_keys: &'static [&'static str],
    /// Whether its rotary parameters may stand one set for each kind of layer.
    pub rope_by_kind: bool,
    /// Whether a repository's own code under the name of one of `classes` is known to compute the same.
    pub own_code: bool,
    /// How it deals with windows.
    pub windows: Windows,
    /// Sizes that every other family has to say, where nothing says them.
    pub sizes: &'static [(&'static str, usize)],
    /// `head_dim` where nothing says one; `None` for the width over the heads.
    pub head_dim: Option<usize>,
    /// `num_key_value_heads` where nothing says it; `None` for the query heads.
    pub key_value_heads: Option<usize>,
    /// ε of its norms where nothing says one.
    pub epsilon: f64,
    /// The key of that ε.
    pub epsilon_key: &'static str,
    /// The key of the activation.
    pub activation_key: &'static str,
    /// The activation where nothing says one.
    pub activation: &'static str,
    /// θ where nothing says one.
    pub theta: f64,
    /// Share of a head's features that turns where nothing says it; `None` where it is always the whole.
    pub partial: Option<f64>,
    /// `max_position_embeddings` where nothing says it.
    pub context: usize,
    /// `tie_word_embeddings` where nothing says it.
    pub tied: bool,
    /// Activations under names that stand for another one elsewhere.
    pub activations: &'static [(&'static str, Activation)],
    /// Whether the class looks at `mlp_bias`.
    pub mlp_bias: bool,
    /// `attention_bias` where nothing says it.
    pub attention_bias: bool,
    /// Whether its angles are taken as transformers takes them; see [`crate::description::BlockDescription`]. Families that were read
    /// before this was known keep the numbers that they had.
    pub float32_angles: bool,
    /// Matrices that its files hold as one.
    pub fused: Fused,
    /// Completes what was read by the rules of all families.
    pub describe: fn(&Value, &mut ModelConfig) -> Result<(), String>,
}

/// How a class deals with `sliding_window`, `layer_types` and the like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Windows {
    /// It has none: who wrote one into its configuration has a model that needs it.
    None,
    /// It looks at a window only where `use_sliding_window` says so, which is refused.
    OnlyOnRequest,
    /// Its function reads them.
    Read,
}

/// What a family is unless its row says otherwise.
pub(super) const PLAIN: Family = Family {
    architecture: Architecture::new("", false),
    classes: &[],
    keys: &[],
    required: &[],
    fixed: &[],
    rope_keys: &[],
    rope_by_kind: false,
    own_code: false,
    windows: Windows::None,
    sizes: &[],
    head_dim: None,
    key_value_heads: None,
    epsilon: 1e-6,
    epsilon_key: "rms_norm_eps",
    activation_key: "hidden_act",
    activation: "silu",
    theta: 10_000.0,
    partial: None,
    context: 2048,
    tied: false,
    activations: &[],
    mlp_bias: false,
    attention_bias: false,
    float32_angles: true,
    fused: Fused {
        query_key_value: false,
        gate_up: false,
    },
    describe: |_, _| Ok(()),
};
