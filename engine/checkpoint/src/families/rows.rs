//! The table of families, and the rows of those whose layers are all alike.

use serde_json::Value;

use super::dense::{ARCEE, COHERE, GEMMA, HELIUM, HYPERCLOVAX, OLMO, STABLELM, STARCODER2, VAULTGEMMA};
use super::factors::granite_factors;
use super::family::{Family, PLAIN, Windows};
use super::latent::{DEEPSEEK_V2, DEEPSEEK_V3};
use super::layers::{everywhere, positive, without_biases};
use super::llama4::LLAMA4;
use super::mixtures::{GPT_OSS, GRANITEMOE, MIXTRAL, OLMOE, QWEN2_MOE, QWEN3_MOE};
use super::recurrent::{QWEN3_5, QWEN3_5_MOE, QWEN3_NEXT};
use super::sigmoids::{DOTS1, ERNIE4_5_MOE, GLM4_MOE, HUNYUAN_MOE, MINIMAX_M2};
use super::windowed::{COHERE2, EXAONE4, GEMMA2, GEMMA3, MINISTRAL, OLMO3, SMOLLM3};
use crate::architecture::Architecture;
use crate::description::{Activation, Fused, NormKind, Norms, QueryKeyNorm, RopePairs, Temperature};
use crate::json_fields::{flag, flag_or, number, optional_size, size_or};
use crate::rope::{Rope, RopeScaling};
use crate::rope_config::parameters;

static LLAMA: Family = Family {
    architecture: Architecture::LLAMA,
    float32_angles: false,
    classes: &["LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel"],
    mlp_bias: true,
    ..PLAIN
};

static QWEN2: Family = Family {
    architecture: Architecture::QWEN2,
    float32_angles: false,
    classes: &["Qwen2ForCausalLM", "Qwen2Model"],
    windows: Windows::OnlyOnRequest,
    describe: |_, config| {
        (config.query_key_value_bias, config.output_bias) = (true, false);
        Ok(())
    },
    ..PLAIN
};

static QWEN3: Family = Family {
    architecture: Architecture::QWEN3,
    float32_angles: false,
    classes: &["Qwen3ForCausalLM", "Qwen3Model"],
    windows: Windows::OnlyOnRequest,
    // The class does not derive it from the width.
    head_dim: Some(128),
    describe: |_, config| {
        config.block.query_key_norm = QueryKeyNorm::Heads;
        Ok(())
    },
    ..PLAIN
};

static MISTRAL: Family = Family {
    architecture: Architecture::new("mistral", false),
    classes: &["MistralForCausalLM", "MistralModel"],
    keys: &["sliding_window"],
    windows: Windows::Read,
    key_value_heads: Some(8),
    context: 131_072,
    describe: |json, config| {
        everywhere(config, size_or(json, "sliding_window", Some(4096))?);
        without_biases(config);
        Ok(())
    },
    ..PLAIN
};

static MINISTRAL3: Family = Family {
    architecture: Architecture::new("ministral3", false),
    classes: &["Ministral3ForCausalLM", "Ministral3Model"],
    keys: &["sliding_window"],
    rope_keys: &["llama_4_scaling_beta"],
    windows: Windows::Read,
    head_dim: Some(128),
    key_value_heads: Some(8),
    epsilon: 1e-5,
    theta: 1e6,
    context: 262_144,
    describe: |json, config| {
        everywhere(config, optional_size(json, "sliding_window")?);
        without_biases(config);
        let scaling = parameters(json)?.unwrap_or(&Value::Null);
        let needed = |key: &str| number(scaling, key)?.ok_or_else(|| format!("the rotary parameters lack {key}"));
        config.block.temperature = Some(Temperature {
            beta: needed("llama_4_scaling_beta")?,
            original_context: positive("original_max_position_embeddings", needed("original_max_position_embeddings")?)?,
            first: 0,
            of_still_layers: false,
        });
        Ok(())
    },
    ..PLAIN
};

static SEED_OSS: Family = Family {
    architecture: Architecture::new("seed_oss", false),
    classes: &["SeedOssForCausalLM", "SeedOssModel"],
    keys: &["attention_out_bias"],
    required: &["attention_out_bias"],
    head_dim: Some(128),
    key_value_heads: Some(8),
    context: 524_288,
    attention_bias: true,
    describe: |json, config| {
        config.output_bias = flag(json, "attention_out_bias")?;
        Ok(())
    },
    ..PLAIN
};

static INTERNLM3: Family = Family {
    architecture: Architecture::new("internlm3", false),
    classes: &["InternLM3ForCausalLM", "InternLM3Model", "LlamaForCausalLM"],
    keys: &["bias", "qkv_bias"],
    own_code: true,
    context: 32_768,
    describe: |json, config| {
        if flag(json, "bias")? {
            return Err("bias is true; biases in the feed-forward block are not known".to_string());
        }
        config.query_key_value_bias |= flag(json, "qkv_bias")?;
        Ok(())
    },
    ..PLAIN
};

static NEMOTRON: Family = Family {
    architecture: Architecture::new("nemotron", false),
    classes: &["NemotronForCausalLM", "NemotronModel"],
    required: &["norm_eps"],
    epsilon: 1e-5,
    epsilon_key: "norm_eps",
    activation: "relu2",
    partial: Some(0.5),
    context: 4096,
    describe: |_, config| {
        if config.block.activation != Activation::SquaredRelu {
            return Err("hidden_act is not relu2, which alone is known of blocks without a gate".to_string());
        }
        config.block.ungated = true;
        config.block.norms = Norms {
            kind: NormKind::Layer,
            less_one: true,
            biases: true,
            ..Norms::BEFORE
        };
        Ok(())
    },
    ..PLAIN
};

static PHI3: Family = Family {
    architecture: Architecture::new("phi3", false),
    classes: &["Phi3ForCausalLM", "Phi3Model"],
    keys: &["original_max_position_embeddings", "sliding_window"],
    required: &["original_max_position_embeddings"],
    fixed: &[("full_attn_mod", "1"), ("interpolate_factor", "1"), ("lm_head_bias", "false")],
    own_code: true,
    windows: Windows::Read,
    epsilon: 1e-5,
    partial: Some(1.0),
    context: 4096,
    fused: Fused {
        query_key_value: true,
        gate_up: true,
    },
    describe: |json, config| {
        everywhere(config, optional_size(json, "sliding_window")?);
        without_biases(config);
        Ok(())
    },
    ..PLAIN
};

static OLMO2: Family = Family {
    architecture: Architecture::new("olmo2", false),
    classes: &["Olmo2ForCausalLM", "Olmo2Model"],
    epsilon: 1e-5,
    describe: |_, config| {
        (config.block.norms, config.block.query_key_norm) = (Norms::AFTER, QueryKeyNorm::Rows);
        Ok(())
    },
    ..PLAIN
};

static GRANITE: Family = Family {
    architecture: Architecture::new("granite", false),
    classes: &["GraniteForCausalLM", "GraniteModel"],
    keys: &["attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"],
    required: &["attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"],
    mlp_bias: true,
    describe: granite_factors,
    ..PLAIN
};

const GLM4: Family = Family {
    architecture: Architecture::new("glm4", false),
    classes: &["Glm4ForCausalLM", "Glm4Model"],
    head_dim: Some(128),
    key_value_heads: Some(2),
    epsilon: 1.5625e-7,
    partial: Some(0.5),
    context: 131_072,
    fused: Fused {
        query_key_value: false,
        gate_up: true,
    },
    describe: |_, config| {
        config.output_bias = false;
        config.block.rope_pairs = RopePairs::Neighbours;
        config.block.norms = Norms {
            after_attention: Some("post_self_attn_layernorm.weight"),
            after_feed_forward: Some("post_mlp_layernorm.weight"),
            ..Norms::BEFORE
        };
        Ok(())
    },
    ..PLAIN
};

static GLM: Family = Family {
    architecture: Architecture::new("glm", false),
    classes: &["GlmForCausalLM", "GlmModel"],
    attention_bias: true,
    describe: |_, config| {
        config.output_bias = false;
        config.block.rope_pairs = RopePairs::Neighbours;
        Ok(())
    },
    ..GLM4
};

static HUNYUAN: Family = Family {
    architecture: Architecture::new("hunyuan_v1_dense", false),
    classes: &["HunYuanDenseV1ForCausalLM", "HunYuanDenseV1Model"],
    keys: &["eod_token_id"],
    fixed: &[
        ("norm_type", "\"rms\""),
        ("num_experts", "1"),
        ("use_cla", "false"),
        ("use_qk_norm", "true"),
        ("use_rotary_pos_emb", "true"),
    ],
    rope_keys: &["alpha"],
    epsilon: 1e-5,
    describe: |json, config| {
        config.block.query_key_norm = QueryKeyNorm::HeadsAfterRotation;
        let scaling = parameters(json)?.unwrap_or(&Value::Null);
        if let Some(alpha) = number(scaling, "alpha")?.filter(|alpha| *alpha != 0.0) {
            if !matches!(config.rope.scaling, RopeScaling::Dynamic { .. }) {
                return Err(format!("the rotary parameters hold alpha {alpha}, which is known with dynamic scaling only"));
            }
            // A larger base for texts of any length, in the place of one that grows with them.
            let width = config.block.rotary_dim as f64;
            config.rope = Rope {
                theta: config.rope.theta * positive("alpha", alpha)?.powf(width / (width - 2.0)),
                scaling: RopeScaling::Default,
            };
        }
        Ok(())
    },
    ..PLAIN
};

static ERNIE4_5: Family = Family {
    architecture: Architecture::new("ernie4_5", false),
    classes: &["Ernie4_5ForCausalLM", "Ernie4_5Model"],
    keys: &["use_bias"],
    required: &["use_bias"],
    head_dim: Some(128),
    epsilon: 1e-5,
    theta: 500_000.0,
    context: 131_072,
    tied: true,
    describe: |json, config| {
        let biases = flag_or(json, "use_bias", false)?;
        (config.query_key_value_bias, config.output_bias, config.feed_forward_bias) = (biases, biases, biases);
        config.block.rope_pairs = RopePairs::Neighbours;
        Ok(())
    },
    ..PLAIN
};

/// Every known family.
pub(super) static FAMILIES: [&Family; 48] = [
    &LLAMA,
    &QWEN2,
    &QWEN3,
    &MISTRAL,
    &MINISTRAL,
    &MINISTRAL3,
    &SEED_OSS,
    &INTERNLM3,
    &PHI3,
    &OLMO2,
    &OLMO3,
    &SMOLLM3,
    &GRANITE,
    &EXAONE4,
    &GLM,
    &GLM4,
    &GEMMA2,
    &GEMMA3,
    &COHERE2,
    &HUNYUAN,
    &ERNIE4_5,
    &QWEN3_MOE,
    &QWEN2_MOE,
    &OLMOE,
    &MIXTRAL,
    &GRANITEMOE,
    &GPT_OSS,
    &LLAMA4,
    &GLM4_MOE,
    &DOTS1,
    &MINIMAX_M2,
    &ERNIE4_5_MOE,
    &HUNYUAN_MOE,
    &DEEPSEEK_V2,
    &DEEPSEEK_V3,
    &NEMOTRON,
    &ARCEE,
    &STARCODER2,
    &STABLELM,
    &OLMO,
    &HELIUM,
    &COHERE,
    &GEMMA,
    &VAULTGEMMA,
    &HYPERCLOVAX,
    &QWEN3_NEXT,
    &QWEN3_5,
    &QWEN3_5_MOE,
];
