//! `config.json` of a Hugging Face folder into a [`ModelConfig`].
//!
//! Here is what holds for every family; a family's own rules, and the defaults of transformers' configuration classes, are in
//! `families`. What the forward pass does not know how to do is refused here by name (windows of a family without, other
//! activations), so that no study is made with a model computed wrongly; keys that are not known at all are refused in `config_keys`.

use std::path::Path;

use serde_json::Value;

use crate::config::ModelConfig;
use crate::config_keys;
use crate::description::{Activation, BlockDescription, Ends};
use crate::error::CheckpointError;
use crate::families::{self, Family, Windows};
use crate::json_fields::{flag, flag_or, number, optional_size, present, size};
use crate::rope_config::{self, RopeDefaults};
use crate::wrapped::{self, Wrapper};

impl ModelConfig {
    /// What a `config.json` of this text says.
    ///
    /// # Errors
    /// [`CheckpointError::UnknownArchitecture`], or [`CheckpointError::Configuration`] with the field that is wrong.
    pub fn from_json(text: &str) -> Result<Self, CheckpointError> {
        Ok(parse(Path::new("config.json"), text)?.0)
    }
}

/// Reads `config.json`'s text: the configuration, and what the model is wrapped in.
///
/// # Errors
/// [`CheckpointError::UnknownArchitecture`], or [`CheckpointError::Configuration`] with the field that is wrong.
pub(crate) fn parse(file: &Path, text: &str) -> Result<(ModelConfig, Option<&'static Wrapper>), CheckpointError> {
    let fault = |reason: String| CheckpointError::Configuration {
        file: file.to_path_buf(),
        reason,
    };
    let json: Value = serde_json::from_str(text).map_err(|error| fault(format!("it is not JSON: {error}")))?;
    let (wrapper, json) = match wrapped::text_model(&json).map_err(fault)? {
        Some((wrapper, inner)) => (Some(wrapper), inner),
        None => (None, json),
    };
    let Some(model_type) = json.get("model_type").and_then(Value::as_str) else {
        return Err(fault("model_type is missing".to_string()));
    };
    let Some(family) = families::from_name(model_type) else {
        return Err(CheckpointError::UnknownArchitecture {
            file: file.to_path_buf(),
            architecture: model_type.to_string(),
            known: families::names().into_iter().chain(wrapped::names()).collect::<Vec<_>>().join(", "),
        });
    };
    Ok((read(family, &json).map_err(fault)?, wrapper))
}

/// The configuration of a family that these fields make, wherever they come from.
///
/// # Errors
/// A sentence that names what is wrong.
pub(crate) fn of_fields(model_type: &str, json: &Value) -> Result<ModelConfig, String> {
    let family = families::from_name(model_type).ok_or_else(|| format!("`{model_type}` is no family that is known"))?;
    read(family, json)
}

fn read(family: &Family, json: &Value) -> Result<ModelConfig, String> {
    config_keys::check_class(family, json)?;
    config_keys::refuse_unknown(family, json)?;
    let needed = |key: &str| match family.sizes.iter().find(|(name, _)| *name == key) {
        Some((_, default)) => Ok(optional_size(json, key)?.unwrap_or(*default)),
        None => size(json, key),
    };
    let context = optional_size(json, "max_position_embeddings")?.unwrap_or(family.context);
    refuse_unknown_computation(family, context, json)?;
    let (hidden, heads) = (needed("hidden_size")?, needed("num_attention_heads")?);
    let head_dim = match optional_size(json, "head_dim")?.or(family.head_dim) {
        Some(head_dim) => head_dim,
        None if heads > 0 => hidden / heads,
        None => 0,
    };
    let attention_bias = flag_or(json, "attention_bias", family.attention_bias)?;
    let named = json.get(family.activation_key).and_then(Value::as_str).unwrap_or(family.activation);
    let mut block = BlockDescription::plain(head_dim);
    (block.fused, block.float32_angles) = (family.fused, family.float32_angles);
    let own = family.activations.iter().find(|(name, _)| *name == named).map(|(_, own)| *own);
    block.activation = own
        .or_else(|| Activation::from_name(named))
        .filter(|activation| *activation != Activation::SquaredRelu || family.activation == "relu2")
        .ok_or_else(|| format!("{} is `{named}`; known are silu (swish) and gelu_pytorch_tanh", family.activation_key))?;
    if let Some(share) = family.partial {
        let share = rope_config::partial_factor(json)?.unwrap_or(share);
        if !(share > 0.0 && share <= 1.0) {
            return Err(format!("partial_rotary_factor is {share}; it must be above 0 and at most 1"));
        }
        block.rotary_dim = (head_dim as f64 * share) as usize;
    }
    let defaults = RopeDefaults { theta: family.theta, context };
    let mut config = ModelConfig {
        architecture: family.architecture,
        layers: needed("num_hidden_layers")?,
        hidden,
        intermediate: needed("intermediate_size")?,
        heads,
        key_value_heads: optional_size(json, "num_key_value_heads")?.unwrap_or(family.key_value_heads.unwrap_or(heads)),
        head_dim,
        vocabulary: needed("vocab_size")?,
        norm_epsilon: number(json, family.epsilon_key)?.unwrap_or(family.epsilon),
        rope: rope_config::rope(json, usual_parameters(family, json)?, defaults)?,
        local_rope: None,
        tied_head: flag_or(json, "tie_word_embeddings", family.tied)?,
        layers_beyond: 0,
        context,
        query_key_value_bias: attention_bias,
        output_bias: attention_bias,
        feed_forward_bias: family.mlp_bias && flag(json, "mlp_bias")?,
        block,
        kinds: Vec::new(),
        ends: Ends::default(),
    };
    // What follows makes a list of as many layers.
    if let Some(fault) = config.fault() {
        return Err(fault);
    }
    (family.describe)(json, &mut config)?;
    config.fault().map_or(Ok(config), Err)
}

/// The rotary parameters of layers that see everything.
fn usual_parameters<'a>(family: &Family, json: &'a Value) -> Result<Option<&'a Value>, String> {
    let parameters = rope_config::parameters(json)?;
    let by_kind = parameters.and_then(|all| all.get("full_attention")).filter(|_| family.rope_by_kind);
    Ok(by_kind.or(parameters))
}

fn refuse_unknown_computation(family: &Family, context: usize, json: &Value) -> Result<(), String> {
    if family.windows != Windows::Read {
        // Some classes look at the window only where `use_sliding_window` says so. Others know none: whoever wrote one into their
        // configuration has a model that needs it, unless no text is longer than the window.
        if let Some(window) = optional_size(json, "sliding_window")?
            && family.windows == Windows::None
            && present(json, "use_sliding_window").is_none()
            && window < context
        {
            return Err(format!("sliding_window is {window} in a context of {context}; only full attention is known"));
        }
        if flag(json, "use_sliding_window")? {
            return Err("use_sliding_window is true; only full attention is known".to_string());
        }
        if let Some(kinds) = json.get("layer_types").and_then(Value::as_array)
            && let Some(kind) = kinds.iter().find(|kind| kind.as_str() != Some("full_attention"))
        {
            return Err(format!("layer_types holds {kind}; only full_attention is known"));
        }
    }
    if flag(json, "mlp_bias")? && !family.mlp_bias {
        return Err("mlp_bias is true; the class is not known to have biases in the feed-forward block".to_string());
    }
    if let Some(part) = rope_config::partial_factor(json)?
        && family.partial.is_none()
        && part != 1.0
    {
        return Err(format!("partial_rotary_factor is {part}; only 1 is known"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{LayerRotation, QueryKeyNorm};
    use crate::rope::{Rope, RopeScaling};
    use serde_json::json;

    fn base() -> Value {
        json!({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 8,
               "num_key_value_heads": 2, "vocab_size": 100, "rms_norm_eps": 1e-5, "max_position_embeddings": 256})
    }

    fn with(changes: Value) -> Result<ModelConfig, CheckpointError> {
        let mut json = base();
        for (key, value) in changes.as_object().unwrap() {
            json[key] = value.clone();
        }
        parse(Path::new("config.json"), &json.to_string()).map(|(config, _)| config)
    }

    fn refusal(changes: Value) -> String {
        with(changes).unwrap_err().to_string()
    }

    #[test]
    fn families_differ_in_biases_and_norms() {
        let llama = with(json!({})).unwrap();
        assert_eq!(
            (llama.head_dim, llama.query_key_value_bias, llama.output_bias, llama.block.query_key_norm),
            (8, false, false, QueryKeyNorm::None)
        );
        assert_eq!(
            llama.rope,
            Rope {
                theta: 10_000.0,
                scaling: RopeScaling::Default
            }
        );
        let biased = with(json!({"attention_bias": true})).unwrap();
        assert!(biased.query_key_value_bias && biased.output_bias);
        let qwen2 = with(json!({"model_type": "qwen2"})).unwrap();
        assert!(qwen2.query_key_value_bias && !qwen2.output_bias && qwen2.block.query_key_norm == QueryKeyNorm::None);
        assert_eq!(with(json!({"model_type": "qwen3"})).unwrap().head_dim, 128, "the default of its class");
        let qwen3 = with(json!({"model_type": "qwen3", "head_dim": 32})).unwrap();
        assert!(!qwen3.query_key_value_bias && qwen3.block.query_key_norm == QueryKeyNorm::Heads && qwen3.head_dim == 32);
    }

    #[test]
    fn rotary_scaling_in_all_spellings() {
        let scaling = |changes| with(changes).unwrap().rope;
        assert_eq!(
            scaling(json!({"rope_scaling": {"type": "linear", "factor": 2}})).scaling,
            RopeScaling::Linear { factor: 2.0 }
        );
        let newer = scaling(json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}));
        assert_eq!(
            newer,
            Rope {
                theta: 5e5,
                scaling: RopeScaling::Default
            }
        );
        let RopeScaling::Yarn {
            factor,
            original_context,
            attention_factor,
            ..
        } = scaling(json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}})).scaling
        else {
            panic!("not yarn")
        };
        assert_eq!((factor, original_context), (4.0, 64.0));
        assert!((attention_factor - 1.138_629_436_111_989).abs() < 1e-12);
        let same = scaling(json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 1.0}}));
        assert_eq!(same.attention_scale(), 1.0);
        assert_eq!(
            scaling(json!({"rope_scaling": {"type": "dynamic", "factor": 2}})).scaling,
            RopeScaling::Dynamic {
                factor: 2.0,
                original_context: 256.0
            }
        );
        let original = json!({"rope_scaling": {"type": "dynamic", "factor": 2, "original_max_position_embeddings": 64}});
        assert!(refusal(original).contains("original_max_position_embeddings is 64"));
        let divisors = vec![1.0; 4];
        let long = json!({"rope_type": "longrope", "short_factor": divisors, "long_factor": divisors, "original_max_position_embeddings": 64});
        let RopeScaling::LongRope { attention_factor, .. } = scaling(json!({"rope_parameters": long})).scaling else {
            panic!("not longrope")
        };
        // √(1 + ln 4 / ln 64)
        assert!((attention_factor - (4f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(
            refusal(json!({"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": divisors, "original_max_position_embeddings": 64}}))
                .contains("1 rotary divisors")
        );
        let twice = json!({"model_type": "phi3", "original_max_position_embeddings": 64, "rope_scaling": {"type": "longrope", "factor": 2.0,
            "short_factor": divisors, "long_factor": divisors}});
        assert!(refusal(twice).contains("versions of transformers differ"));
        assert!(refusal(json!({"rope_scaling": {"type": "su", "factor": 2}})).contains("`su`"));
        assert!(refusal(json!({"rope_scaling": {"type": "linear"}})).contains("lacks factor"));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let unknown = with(json!({"model_type": "mamba"})).unwrap_err();
        assert!(matches!(unknown, CheckpointError::UnknownArchitecture { .. }));
        assert!(unknown.to_string().contains("`mamba`") && unknown.to_string().contains("llama, qwen2, qwen3"));
        assert!(refusal(json!({"hidden_act": "gelu"})).contains("gelu"));
        assert!(with(json!({"hidden_act": "swish"})).is_ok());
        assert!(refusal(json!({"sliding_window": 16})).contains("sliding_window"));
        assert!(with(json!({"sliding_window": 256})).is_ok(), "no text is longer than the window");
        assert!(
            with(json!({"model_type": "qwen2", "sliding_window": 16})).is_ok(),
            "Qwen's class ignores it unless told to use it"
        );
        assert!(refusal(json!({"logits_scaling": 2.0})).contains("logits_scaling"));
        assert!(refusal(json!({"architectures": ["Ernie4_5ForCausalLM"]})).contains("Ernie4_5ForCausalLM"));
        let both = json!({"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"rope_type": "linear", "factor": 2}});
        assert!(refusal(both).contains("different things"));
        assert!(refusal(json!({"use_sliding_window": true})).contains("use_sliding_window"));
        assert!(refusal(json!({"layer_types": ["full_attention", "sliding_attention"]})).contains("sliding_attention"));
        assert!(refusal(json!({"num_attention_heads": 0})).contains("attention heads is 0"));
        assert!(refusal(json!({"num_key_value_heads": 3})).contains("multiple of 3"));
        assert!(refusal(json!({"head_dim": 7})).contains("odd"));
        assert!(refusal(json!({"num_hidden_layers": 2_000_000})).contains("layers"));
        assert!(refusal(json!({"hidden_size": -4})).contains("hidden_size is -4"));
        assert!(refusal(json!({"hidden_size": null})).contains("hidden_size is missing"));
    }

    #[test]
    fn families_say_what_differs_from_layer_to_layer() {
        let windows = |config: &ModelConfig| (0..config.layers).map(|layer| config.kind(layer).window).collect::<Vec<_>>();
        let mistral = with(json!({"model_type": "mistral", "sliding_window": 16})).unwrap();
        assert_eq!(windows(&mistral), [Some(16); 2]);
        assert_eq!(windows(&with(json!({"model_type": "mistral", "sliding_window": null})).unwrap()), [None; 2]);
        assert_eq!(
            windows(&with(json!({"model_type": "mistral"})).unwrap()),
            [Some(4096); 2],
            "the default of its class"
        );
        assert!(refusal(json!({"model_type": "mistral", "use_sliding_window": true})).contains("use_sliding_window"));
        let gemma = with(json!({"model_type": "gemma2", "query_pre_attn_scalar": 16, "sliding_window": 16, "head_dim": 8})).unwrap();
        assert_eq!(windows(&gemma), [Some(16), None]);
        assert_eq!((gemma.block.activation, gemma.block.attention_cap), (Activation::GeluTanh, Some(50.0)));
        assert!(gemma.tied_head && gemma.ends.embedding_factor == 8.0 && gemma.block.attention_scale == Some(0.25));
        let uncapped = with(json!({"model_type": "gemma2", "query_pre_attn_scalar": 16, "attn_logit_softcapping": null})).unwrap();
        assert_eq!(uncapped.block.attention_cap, None);
        let kinds = ["full_attention", "sliding_attention"];
        let older = json!({"model_type": "gemma3_text", "layer_types": kinds, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0}});
        let newer = json!({"model_type": "gemma3_text", "layer_types": kinds, "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}});
        let (older, newer) = (with(older).unwrap(), with(newer).unwrap());
        assert_eq!(older, newer, "both spellings");
        assert_eq!((older.kind(0).rotation, older.kind(1).rotation), (LayerRotation::Usual, LayerRotation::Local));
        assert_eq!(older.local_rope.unwrap().theta, 1e4);
        let smollm = with(json!({"model_type": "smollm3", "no_rope_layers": [1, 0]})).unwrap();
        assert_eq!((smollm.kind(0).rotation, smollm.kind(1).rotation), (LayerRotation::Usual, LayerRotation::None));
        assert!(refusal(json!({"model_type": "smollm3", "no_rope_layers": [1]})).contains("no_rope_layers"));
        assert!(
            refusal(json!({"model_type": "cohere2", "rms_norm_eps": null, "logit_scale": 0.5, "layer_types": ["conv", "full_attention"]})).contains("conv")
        );
        assert!(refusal(json!({"model_type": "exaone4", "sliding_window_pattern": "LLLG"})).contains("LLLG"));
        let capped = json!({"model_type": "gemma3_text", "attn_logit_softcapping": 50.0});
        assert!(refusal(capped).contains("attn_logit_softcapping"), "its class does not apply it");
        let both = json!({"model_type": "olmo3", "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "full_attention": {"rope_type": "default"}}});
        assert!(refusal(both).contains("beside parameters of kinds of layers"));
        let ramp = json!({"rope_type": "yarn", "factor": 4.0, "truncate": false});
        assert!(refusal(json!({"model_type": "olmo3", "rope_parameters": {"full_attention": ramp}})).contains("truncate"));
        assert!(refusal(json!({"model_type": "olmo3", "rope_theta": 1e4})).contains("rope_theta"));
        assert!(with(json!({"model_type": "olmo3", "rope_theta": 5e5})).is_ok());
        assert!(
            refusal(json!({"model_type": "qwen3_next", "hidden_act": "gelu_new", "shared_expert_intermediate_size": 8, "linear_num_value_heads": 4}))
                .contains("hidden_act")
        );
        let glm = with(json!({"model_type": "glm4", "head_dim": 8})).unwrap();
        assert_eq!(glm.block.rotary_dim, 4, "half of a head turns unless it says otherwise");
    }

    #[test]
    fn a_family_under_another_name_is_refused() {
        let granite = json!({"attention_multiplier": 0.5, "embedding_multiplier": 2.0, "logits_scaling": 4.0, "residual_multiplier": 0.5});
        assert!(refusal(granite).contains("multiplier"));
        assert!(refusal(json!({"model_type": "granite"})).contains("attention_multiplier is missing"));
        assert!(refusal(json!({"model_type": "ernie4_5"})).contains("use_bias is missing"));
        assert!(refusal(json!({"model_type": "mistral", "use_bias": false})).contains("use_bias"));
        assert!(refusal(json!({"model_type": "phi3", "no_rope_layers": [1, 0], "original_max_position_embeddings": 64})).contains("no_rope_layers"));
    }

    #[test]
    fn a_wrapped_model_is_the_decoder_inside() {
        let inner = base();
        let outer = |model_type: &str, kind: &str| {
            let mut inner = inner.clone();
            inner["model_type"] = kind.into();
            json!({"model_type": model_type, "text_config": inner, "vision_config": {}, "image_token_index": 9, "architectures": ["Mistral3ForConditionalGeneration"]})
        };
        let read = |json: Value| parse(Path::new("config.json"), &json.to_string()).map_err(|error| error.to_string());
        let (config, wrapper) = read(outer("mistral3", "mistral")).unwrap();
        assert_eq!((config.architecture.name(), wrapper.unwrap().name), ("mistral", "mistral3"));
        assert!(!config.tied_head);
        let mut tied = outer("mistral3", "mistral");
        (tied["tie_word_embeddings"], tied["text_config"]["tie_word_embeddings"]) = (true.into(), false.into());
        assert!(read(tied).unwrap().0.tied_head, "what stands outside holds");
        assert!(read(outer("mistral3", "llama")).err().unwrap().contains("`llama`"));
        assert!(read(outer("gemma3", "gemma3_text")).err().unwrap().contains("Mistral3ForConditionalGeneration"));
        let mut strange = outer("mistral3", "mistral");
        strange["something_new"] = 1.into();
        assert!(read(strange).err().unwrap().contains("something_new"));
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        assert!(parse(Path::new("config.json"), "{").unwrap_err().to_string().contains("not JSON"));
        assert!(parse(Path::new("config.json"), "[]").unwrap_err().to_string().contains("model_type"));
    }
}
