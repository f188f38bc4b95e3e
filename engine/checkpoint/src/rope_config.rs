//! The rotary embedding out of `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before).

use serde_json::Value;

use crate::json_fields::{number, numbers};
use crate::rope::{Rope, RopeScaling, yarn_magnitude};

/// What the rest of a configuration says of its rotary embedding.
#[derive(Clone, Copy)]
pub(crate) struct RopeDefaults {
    /// θ where nothing says one.
    pub theta: f64,
    /// `max_position_embeddings`.
    pub context: usize,
}

/// The object that holds the parameters, by whichever name.
///
/// # Errors
/// When both names are there and disagree.
pub(crate) fn parameters(json: &Value) -> Result<Option<&Value>, String> {
    let given = ["rope_parameters", "rope_scaling"].map(|key| json.get(key).filter(|value| value.is_object()));
    if let [Some(newer), Some(older)] = given
        && newer != older
    {
        return Err("rope_parameters and rope_scaling say different things; keep the one that is right".to_string());
    }
    Ok(given.into_iter().flatten().next())
}

/// The share of a head's features that turns, wherever it stands.
///
/// # Errors
/// When two places disagree, or it is no number.
pub(crate) fn partial_factor(json: &Value) -> Result<Option<f64>, String> {
    let key = "partial_rotary_factor";
    let inside = match parameters(json)? {
        Some(parameters) => number(parameters, key)?,
        None => None,
    };
    match (inside, number(json, key)?) {
        (Some(inside), Some(outside)) if inside != outside => Err(format!("{key} is {outside}, and {inside} among the rotary parameters")),
        (inside, outside) => Ok(inside.or(outside)),
    }
}

/// A rotary embedding of these parameters; `json` is the whole configuration.
///
/// # Errors
/// A sentence that names the field.
pub(crate) fn rope(json: &Value, parameters: Option<&Value>, defaults: RopeDefaults) -> Result<Rope, String> {
    let scaling = parameters.unwrap_or(&Value::Null);
    let theta = match number(scaling, "rope_theta")? {
        Some(theta) => theta,
        None => number(json, "rope_theta")?.unwrap_or(defaults.theta),
    };
    let kind = ["rope_type", "type"]
        .iter()
        .find_map(|key| scaling.get(*key).and_then(Value::as_str))
        .unwrap_or("default");
    let needed = |key: &str| number(scaling, key)?.ok_or_else(|| format!("rope_scaling of type {kind} lacks {key}"));
    let original = number(scaling, "original_max_position_embeddings")?;
    let context = defaults.context as f64;
    let scaling = match kind {
        "default" => RopeScaling::Default,
        "linear" => RopeScaling::Linear { factor: needed("factor")? },
        "dynamic" => {
            if let Some(original) = original.filter(|original| *original != context) {
                return Err(format!(
                    "original_max_position_embeddings is {original} and max_position_embeddings {context}; dynamic scaling is known where they are one"
                ));
            }
            RopeScaling::Dynamic {
                factor: needed("factor")?,
                original_context: context,
            }
        }
        "llama3" => RopeScaling::Llama3 {
            factor: needed("factor")?,
            low_frequency_factor: needed("low_freq_factor")?,
            high_frequency_factor: needed("high_freq_factor")?,
            original_context: needed("original_max_position_embeddings")?,
        },
        "yarn" => yarn(scaling, original.unwrap_or(context), context)?,
        "longrope" => long_rope(json, scaling, original, context)?,
        other => {
            return Err(format!(
                "rotary scaling `{other}` is not known; known are: default, linear, dynamic, llama3, yarn, longrope"
            ));
        }
    };
    Ok(Rope { theta, scaling })
}

/// YaRN's numbers with transformers' defaults. The attention factor is `m(mscale) / m(mscale_all_dim)` where both are given and not zero,
/// else `m(1)`, with m as in [`yarn_magnitude`].
fn yarn(scaling: &Value, original_context: f64, context: f64) -> Result<RopeScaling, String> {
    let factor = number(scaling, "factor")?.unwrap_or(context / original_context);
    let magnitude = |scale: f64| yarn_magnitude(factor, scale);
    let given = |key: &str| Ok::<_, String>(number(scaling, key)?.filter(|value| *value != 0.0));
    let attention_factor = match (number(scaling, "attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
        (Some(attention_factor), _, _) => attention_factor,
        (None, Some(scale), Some(all)) => magnitude(scale) / magnitude(all),
        _ => magnitude(1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        original_context,
        beta_fast: given("beta_fast")?.unwrap_or(32.0),
        beta_slow: given("beta_slow")?.unwrap_or(1.0),
        attention_factor,
        truncate: scaling.get("truncate").and_then(Value::as_bool).unwrap_or(true),
    })
}

/// LongRoPE's numbers with transformers' defaults. With s the context over the original one (or `factor`, where the configuration does
/// not say an original one outside of these parameters; where both are said and differ, versions of transformers do too), the attention factor is √(1 + ln s / ln c), and 1 for s up to 1.
fn long_rope(json: &Value, scaling: &Value, inside: Option<f64>, context: f64) -> Result<RopeScaling, String> {
    let outside = number(json, "original_max_position_embeddings")?;
    if let (Some(inside), Some(outside)) = (inside, outside)
        && inside != outside
    {
        return Err(format!(
            "original_max_position_embeddings is {outside}, and {inside} among the rotary parameters"
        ));
    }
    let Some(original_context) = outside.or(inside) else {
        return Err("rope_scaling of type longrope lacks original_max_position_embeddings".to_string());
    };
    let ratio = context / original_context;
    let factor = match (outside, number(scaling, "factor")?) {
        (Some(_), Some(factor)) if factor != ratio => {
            return Err(format!(
                "the rotary factor is {factor}, and max_position_embeddings over original_max_position_embeddings {ratio}: versions of transformers \
                 differ in which of them scales attention; remove the one that is wrong"
            ));
        }
        (None, Some(factor)) => factor,
        _ => ratio,
    };
    let attention_factor = match number(scaling, "attention_factor")? {
        Some(attention_factor) => attention_factor,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / original_context.ln()).sqrt(),
    };
    Ok(RopeScaling::LongRope {
        short: numbers(scaling, "short_factor")?,
        long: numbers(scaling, "long_factor")?,
        original_context,
        attention_factor,
    })
}
