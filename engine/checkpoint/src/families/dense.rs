//! Dense families that differ from Llama in norms, rotation, biases or factors, and whose layers are all alike or differ in windows only.

use super::factors::granite_factors;
use super::family::{Family, PLAIN, Windows};
use super::layers::{everywhere, positive};
use super::windowed::{gemma, gemma2_windows_and_caps};
use crate::architecture::Architecture;
use crate::description::{Activation, NormKind, Norms, RopePairs};
use crate::json_fields::{flag_or, number, optional_size};

pub(super) static ARCEE: Family = Family {
    architecture: Architecture::new("arcee", false),
    classes: &["ArceeForCausalLM", "ArceeModel"],
    mlp_bias: true,
    epsilon: 1e-5,
    activation: "relu2",
    context: 4096,
    describe: |_, config| {
        if config.block.activation != Activation::SquaredRelu {
            return Err("hidden_act is not relu2, which alone is known of its blocks without a gate".to_string());
        }
        config.block.ungated = true;
        Ok(())
    },
    ..PLAIN
};

pub(super) static STARCODER2: Family = Family {
    architecture: Architecture::new("starcoder2", false),
    classes: &["Starcoder2ForCausalLM", "Starcoder2Model"],
    keys: &["sliding_window", "use_bias"],
    required: &["norm_epsilon"],
    fixed: &[("mlp_type", "\"default\""), ("norm_type", "\"layer_norm\"")],
    windows: Windows::Read,
    key_value_heads: Some(2),
    epsilon: 1e-5,
    epsilon_key: "norm_epsilon",
    activation: "gelu_pytorch_tanh",
    context: 4096,
    tied: true,
    describe: |json, config| {
        everywhere(config, optional_size(json, "sliding_window")?);
        let biases = flag_or(json, "use_bias", true)?;
        (config.query_key_value_bias, config.output_bias, config.feed_forward_bias) = (biases, biases, biases);
        config.block.ungated = true;
        config.block.feed_forward_maps = ["c_gate", "c_fc", "c_proj"];
        config.block.norms = Norms {
            kind: NormKind::Layer,
            biases: true,
            ..Norms::BEFORE
        };
        Ok(())
    },
    ..PLAIN
};

pub(super) static STABLELM: Family = Family {
    architecture: Architecture::new("stablelm", false),
    classes: &["StableLmForCausalLM", "StableLmModel"],
    keys: &["use_qkv_bias"],
    fixed: &[("qk_layernorm", "false"), ("use_parallel_residual", "false")],
    key_value_heads: Some(32),
    epsilon: 1e-5,
    epsilon_key: "layer_norm_eps",
    partial: Some(0.25),
    context: 4096,
    describe: |json, config| {
        (config.query_key_value_bias, config.output_bias) = (flag_or(json, "use_qkv_bias", false)?, false);
        config.block.norms = Norms {
            kind: NormKind::Layer,
            biases: true,
            ..Norms::BEFORE
        };
        Ok(())
    },
    ..PLAIN
};

pub(super) static OLMO: Family = Family {
    architecture: Architecture::new("olmo", false),
    classes: &["OlmoForCausalLM", "OlmoModel"],
    epsilon: 1e-5,
    epsilon_key: "layer_norm_eps",
    describe: |json, config| {
        // The class has one ε, whatever the configuration says.
        if let Some(epsilon) = number(json, "layer_norm_eps")?.filter(|epsilon| *epsilon != 1e-5) {
            return Err(format!("layer_norm_eps is {epsilon}, and the class of OLMo has 1e-5"));
        }
        config.block.norms = Norms {
            kind: NormKind::Layer,
            unweighted: true,
            ..Norms::BEFORE
        };
        Ok(())
    },
    ..PLAIN
};

pub(super) static HELIUM: Family = Family {
    architecture: Architecture::new("helium", false),
    classes: &["HeliumForCausalLM", "HeliumModel"],
    mlp_bias: true,
    head_dim: Some(128),
    key_value_heads: Some(20),
    epsilon: 1e-8,
    theta: 100_000.0,
    context: 4096,
    describe: |_, config| {
        // Its files are told from Llama's by little else.
        if config.norm_epsilon != 1e-8 {
            return Err(format!("rms_norm_eps is {}, and that of every Helium is 1e-8", config.norm_epsilon));
        }
        config.output_bias = false;
        config.block.rope_pairs = RopePairs::Neighbours;
        Ok(())
    },
    ..PLAIN
};

pub(super) static COHERE: Family = Family {
    architecture: Architecture::new("cohere", false),
    classes: &["CohereForCausalLM", "CohereModel"],
    keys: &["logit_scale"],
    required: &["logit_scale"],
    fixed: &[("use_qk_norm", "false")],
    epsilon: 1e-5,
    epsilon_key: "layer_norm_eps",
    theta: 500_000.0,
    context: 8192,
    tied: true,
    describe: |json, config| {
        config.block.norms = Norms {
            kind: NormKind::Layer,
            before_feed_forward: None,
            ..Norms::BEFORE
        };
        config.block.parallel = true;
        config.block.rope_pairs = RopePairs::Neighbours;
        config.ends.logit_factor = positive("logit_scale", number(json, "logit_scale")?.unwrap_or(0.0625))?;
        Ok(())
    },
    ..PLAIN
};

pub(super) static GEMMA: Family = Family {
    architecture: Architecture::new("gemma", false),
    classes: &["GemmaForCausalLM", "GemmaModel"],
    keys: &["hidden_activation"],
    fixed: &[("use_bidirectional_attention", "false")],
    head_dim: Some(256),
    key_value_heads: Some(16),
    activation: "gelu_pytorch_tanh",
    // So the first files call what they compute by the approximation.
    activations: &[("gelu", Activation::GeluTanh)],
    context: 8192,
    tied: true,
    describe: |json, config| {
        if config.block.activation != Activation::GeluTanh {
            return Err("hidden_act is not gelu_pytorch_tanh, which it is of every Gemma".to_string());
        }
        if let Some(other) = json.get("hidden_activation").filter(|said| !said.is_null() && **said != "gelu_pytorch_tanh") {
            return Err(format!("hidden_activation is {other}, which versions of transformers read differently"));
        }
        config.block.norms = Norms {
            less_one: true,
            ..Norms::BEFORE
        };
        config.ends.embedding_factor = (config.hidden as f64).sqrt();
        Ok(())
    },
    ..PLAIN
};

pub(super) static VAULTGEMMA: Family = Family {
    architecture: Architecture::new("vaultgemma", false),
    classes: &["VaultGemmaForCausalLM", "VaultGemmaModel"],
    keys: &[
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "hidden_activation",
        "layer_types",
        "query_pre_attn_scalar",
        "sliding_window",
    ],
    required: &["query_pre_attn_scalar"],
    windows: Windows::Read,
    head_dim: Some(256),
    key_value_heads: Some(4),
    activation_key: "hidden_activation",
    activation: "gelu_pytorch_tanh",
    context: 8192,
    tied: true,
    describe: |json, config| {
        gemma(json, config)?;
        config.block.norms = Norms {
            less_one: true,
            before_feed_forward: Some("pre_feedforward_layernorm.weight"),
            ..Norms::BEFORE
        };
        gemma2_windows_and_caps(json, config)
    },
    ..PLAIN
};

pub(super) static HYPERCLOVAX: Family = Family {
    architecture: Architecture::new("hyperclovax", false),
    classes: &["HyperCLOVAXForCausalLM", "HyperCLOVAXModel"],
    keys: &[
        "attention_multiplier",
        "embedding_multiplier",
        "logits_scaling",
        "residual_multiplier",
        "use_post_norm",
    ],
    required: &["attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"],
    mlp_bias: true,
    own_code: true,
    describe: |json, config| {
        granite_factors(json, config)?;
        // Where Granite divides, it multiplies.
        config.ends.logit_factor = 1.0 / config.ends.logit_factor;
        if number(json, "attention_multiplier")?.is_none() {
            config.block.attention_scale = None;
        }
        if flag_or(json, "use_post_norm", true)? {
            config.block.norms = Norms {
                after_attention: Some("post_norm1.weight"),
                after_feed_forward: Some("post_norm2.weight"),
                ..Norms::BEFORE
            };
        }
        Ok(())
    },
    ..PLAIN
};
