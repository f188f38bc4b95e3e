//! Llama 4: chunks, layers without a rotation whose queries grow, norms of queries and keys without weights, and experts that are given
//! their tokens times the router's weights.

use serde_json::Value;

use super::family::{Family, PLAIN, Windows};
use super::layers::{kinds, layers_of, positive, rotations, turning_layers};
use super::mixtures::{experts, mixture, mixture_keys};
use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::description::{LayerRotation, QueryKeyNorm, RopePairs, Temperature};
use crate::experts::{ExpertNames, ExpertStorage, Experts, Router, RouterScores, SharedExpert, StackedNames};
use crate::json_fields::{flag_or, number, optional_size, present, size_or};

pub(super) static LLAMA4: Family = Family {
    architecture: Architecture::new("llama4_text", false),
    classes: &["Llama4ForCausalLM", "Llama4TextModel"],
    keys: mixture_keys![
        "attention_chunk_size",
        "attn_scale",
        "attn_temperature_tuning",
        "floor_scale",
        "interleave_moe_layer_step",
        "intermediate_size_mlp",
        "layer_types",
        "moe_layers",
        "no_rope_layer_interval",
        "no_rope_layers",
        "num_experts_per_tok",
        "num_local_experts",
        "use_qk_norm",
    ],
    required: &["num_local_experts", "intermediate_size_mlp"],
    fixed: &[("cache_implementation", "\"hybrid\""), ("for_llm_compressor", "false")],
    windows: Windows::Read,
    head_dim: Some(128),
    key_value_heads: Some(8),
    epsilon: 1e-5,
    theta: 500_000.0,
    context: 131_072,
    describe: |json, config| {
        let turns = turning_layers(json, config.layers)?;
        let chunk = size_or(json, "attention_chunk_size", Some(8192))?;
        let chunked = layers_of(json, config.layers, "chunked_attention", |layer| turns[layer] && chunk.is_some())?;
        if chunk.is_none() && chunked.contains(&true) {
            return Err("layers have chunked attention, and attention_chunk_size says no chunk".to_string());
        }
        kinds(config).filter(|(layer, _)| chunked[*layer]).for_each(|(_, kind)| kind.chunk = chunk);
        if flag_or(json, "use_qk_norm", true)? {
            config.block.query_key_norm = QueryKeyNorm::UnweightedAfterRotation;
        }
        config.block.rope_pairs = RopePairs::Neighbours;
        config.block.temperature = temperature(json)?;
        let still = match config.block.temperature {
            Some(_) => LayerRotation::Still,
            None => LayerRotation::None,
        };
        rotations(config, |layer| if turns[layer] { LayerRotation::Usual } else { still });
        feed_forward(json, config)
    },
    ..PLAIN
};

/// How queries of layers without a rotation grow. Older files say 4 where newer ones say true.
fn temperature(json: &Value) -> Result<Option<Temperature>, String> {
    let on = match json.get("attn_temperature_tuning") {
        None => true,
        Some(Value::Null) => false,
        Some(value) => {
            (value.as_bool().or(value.as_f64().map(|value| value != 0.0))).ok_or_else(|| format!("attn_temperature_tuning is {value}, not true or false"))?
        }
    };
    let own = Temperature {
        beta: number(json, "attn_scale")?.unwrap_or(0.1),
        original_context: positive("floor_scale", number(json, "floor_scale")?.unwrap_or(8192.0))?,
        first: 1,
        of_still_layers: true,
    };
    Ok(on.then_some(own))
}

/// Dense blocks in some layers, and experts beside one for all tokens in the others.
fn feed_forward(json: &Value, config: &mut ModelConfig) -> Result<(), String> {
    config.block.feed_forward = "feed_forward";
    // `intermediate_size` is the width of experts; dense blocks have a width of their own.
    let width = config.intermediate;
    config.intermediate = size_or(json, "intermediate_size_mlp", Some(16_384))?.unwrap_or(0);
    let chosen = size_or(json, "num_experts_per_tok", Some(1))?.unwrap_or(1);
    let router = Router {
        scores: RouterScores::Sigmoid,
        renormalised: false,
        onto_inputs: true,
        ..Router::plain(size_or(json, "num_local_experts", Some(16))?.unwrap_or(0), chosen)
    };
    let names = ExpertNames {
        router: "feed_forward.router",
        experts: "feed_forward.experts",
        shared: "feed_forward.shared_expert",
        ..ExpertNames::MLP
    };
    let own = Experts {
        shared: Some(SharedExpert { width, gated: false }),
        storage: ExpertStorage::Transposed(StackedNames {
            gate_up: "feed_forward.experts.gate_up_proj",
            down: "feed_forward.experts.down_proj",
        }),
        ..experts(router, width, names)
    };
    let step = optional_size(json, "interleave_moe_layer_step")?.unwrap_or(1);
    let has: Vec<bool> = match present(json, "moe_layers") {
        Some(list) => {
            let listed: Option<Vec<u64>> = list.as_array().and_then(|list| list.iter().map(Value::as_u64).collect());
            let listed = listed.ok_or_else(|| format!("moe_layers is {list}, not a list of layers"))?;
            (0..config.layers).map(|layer| listed.contains(&(layer as u64))).collect()
        }
        None if step == 0 => return Err("interleave_moe_layer_step is 0".to_string()),
        None => (0..config.layers).map(|layer| (layer + 1).is_multiple_of(step)).collect(),
    };
    mixture(config, own, |layer| has[layer]);
    Ok(())
}
