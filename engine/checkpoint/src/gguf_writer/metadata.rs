//! What a GGUF file says of a model beside its tensors, in the keys that [`crate::gguf_config`] reads.

use anamnesis::GgufMetadataValue;

use super::blocks::GgufNumbers;
use crate::Checkpoint;
use crate::architecture::Architecture;
use crate::rope::{Rope, RopeScaling, yarn_magnitude};

/// Keys and values, in their order.
pub(super) type Pairs = Vec<(String, GgufMetadataValue)>;

/// Confirms that a model can be said in metadata.
///
/// # Errors
/// A sentence that names what cannot.
pub(super) fn check(source: &Checkpoint) -> Result<(), String> {
    let config = source.config();
    if ![Architecture::LLAMA, Architecture::QWEN2, Architecture::QWEN3].contains(&config.architecture) {
        return Err(format!(
            "GGUF files of {} models are not written; known are llama, qwen2 and qwen3",
            config.architecture.name()
        ));
    }
    if config.feed_forward_bias {
        return Err("its feed-forward blocks have biases, which are not written into GGUF files".into());
    }
    match &config.rope.scaling {
        RopeScaling::Default | RopeScaling::Linear { .. } | RopeScaling::Llama3 { .. } | RopeScaling::Divided { .. } => Ok(()),
        RopeScaling::Yarn { truncate: true, .. } => Ok(()),
        RopeScaling::Yarn { truncate: false, .. } => Err("its rotary scaling is YaRN with a ramp that is not rounded (truncate), which GGUF cannot say".into()),
        RopeScaling::Dynamic { .. } => Err("its rotary scaling is dynamic, which GGUF cannot say".into()),
        RopeScaling::LongRope { .. } => Err("its rotary scaling is longrope, which is not written".into()),
    }
}

/// Divisors of rotary frequencies, which stand in a tensor.
pub(super) fn rope_divisors(source: &Checkpoint) -> Option<Vec<f32>> {
    let config = source.config();
    match &config.rope.scaling {
        RopeScaling::Divided { divisors } => Some(divisors.clone()),
        RopeScaling::Llama3 { .. } => {
            let plain = Rope {
                scaling: RopeScaling::Default,
                ..config.rope.clone()
            };
            let (plain, scaled) = (plain.inverse_frequencies(config.head_dim), config.rope.inverse_frequencies(config.head_dim));
            Some(plain.iter().zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect())
        }
        _ => None,
    }
}

/// What is said of the model itself.
pub(super) fn of_model(source: &Checkpoint, numbers: GgufNumbers) -> Pairs {
    let config = source.config();
    let name = config.architecture.name();
    let text = |value: &str| GgufMetadataValue::String(value.to_string());
    let whole = |value: usize| GgufMetadataValue::U32(value as u32);
    let number = |value: f64| GgufMetadataValue::F32(value as f32);
    let mut pairs: Pairs = vec![
        ("general.architecture".into(), text(name)),
        ("general.type".into(), text("model")),
        ("general.name".into(), text(&source.name())),
        ("general.file_type".into(), GgufMetadataValue::U32(numbers.file_type())),
        ("general.quantization_version".into(), GgufMetadataValue::U32(2)),
    ];
    let own = [
        ("block_count", whole(config.layers)),
        ("context_length", whole(config.context)),
        ("embedding_length", whole(config.hidden)),
        ("feed_forward_length", whole(config.intermediate)),
        ("attention.head_count", whole(config.heads)),
        ("attention.head_count_kv", whole(config.key_value_heads)),
        ("attention.key_length", whole(config.head_dim)),
        ("attention.value_length", whole(config.head_dim)),
        ("attention.layer_norm_rms_epsilon", number(config.norm_epsilon)),
        ("rope.dimension_count", whole(config.head_dim)),
        ("rope.freq_base", number(config.rope.theta)),
        ("vocab_size", whole(config.vocabulary)),
    ];
    pairs.extend(own.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
    let scaling: Vec<(&str, GgufMetadataValue)> = match &config.rope.scaling {
        RopeScaling::Linear { factor } => vec![("type", text("linear")), ("factor", number(*factor))],
        RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast,
            beta_slow,
            attention_factor,
            ..
        } => {
            let usual = yarn_magnitude(*factor, 1.0);
            vec![
                ("type", text("yarn")),
                ("factor", number(*factor)),
                ("original_context_length", whole(*original_context as usize)),
                ("yarn_beta_fast", number(*beta_fast)),
                ("yarn_beta_slow", number(*beta_slow)),
                ("attn_factor", number(attention_factor / usual)),
            ]
        }
        _ => Vec::new(),
    };
    pairs.extend(scaling.into_iter().map(|(key, value)| (format!("{name}.rope.scaling.{key}"), value)));
    pairs
}
