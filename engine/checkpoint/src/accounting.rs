//! Every tensor of a checkpoint is accounted for: used, or refused by name, or listed.
//!
//! A tensor that nothing uses is a sign that the model is another than its configuration says: a norm of queries, a bias, a layer more.
//! Inside the decoder and its head such a tensor is refused, since numbers computed without it would be those of no model. What stands
//! outside of them (a value head, a vision tower) changes no next token and is listed. So are buffers that are computed anew, and
//! biases that hold nothing but zeros, which some quantizers write for every matrix.

use std::collections::BTreeSet;

use crate::config::{EMBEDDING, HEAD, ModelConfig, PROJECTIONS};
use crate::error::CheckpointError;
use crate::store::Store;

/// Prefixes under which programs store a model that they have wrapped.
const WRAPPERS: [(&str, &str); 4] = [
    ("_orig_mod.", "a model compiled by torch.compile: save the module that it wraps"),
    (
        "base_model.model.",
        "a model with PEFT's adapters around it: merge them into it (merge_and_unload) and save that",
    ),
    ("language_model.", "the language model of a multimodal one: save it as a model of its own"),
    ("module.", "a model wrapped for training on several devices: save the module that it wraps"),
];

/// Names of buffers that are computed from the configuration.
const BUFFERS: [&str; 4] = [
    ".rotary_emb.inv_freq",
    ".rotary_emb.cos_cached",
    ".rotary_emb.sin_cached",
    ".attention.masked_bias",
];

/// What a store holds beside what the configuration asks for, a sentence each.
///
/// # Errors
/// `Unsupported` naming the first tensor of the decoder or its head that nothing uses.
pub(crate) fn account(config: &ModelConfig, store: &Store) -> Result<Vec<String>, CheckpointError> {
    let mut used = BTreeSet::new();
    for (name, _) in config.tensors() {
        match store.packed_tensors(&name) {
            Some(tensors) => used.extend(tensors),
            None => {
                used.insert(name);
            }
        }
    }
    if config.tied_head {
        // Only a head that equals the embedding stays unused (see `folder`).
        used.insert(HEAD.to_string());
    }
    let (mut strange, mut listed) = (Vec::new(), Vec::new());
    for name in store.tensors.keys().filter(|name| !used.contains(*name) && !store.is_of_activations(name)) {
        if belongs(name) && !is_beyond(config, name) && !BUFFERS.iter().any(|buffer| name.ends_with(buffer)) && !is_bias_of_zeros(store, name) {
            strange.push(name.as_str());
        } else {
            listed.push(name.as_str());
        }
    }
    if let Some(first) = strange.first() {
        let others = match strange.len() {
            1 => String::new(),
            count => format!(" (nor {} others)", count - 1),
        };
        return Err(refused(
            store,
            format!(
                "nothing in a {} model of {} layers with this configuration uses its tensor {first}{others}: it belongs to another model than the configuration says",
                config.architecture.name(),
                config.layers
            ),
        ));
    }
    Ok(match listed.as_slice() {
        [] => Vec::new(),
        [one] => vec![format!("the tensor {one} is not used")],
        [first, rest @ ..] => vec![format!("{} tensors are not used, such as {first}", rest.len() + 1)],
    })
}

fn refused(store: &Store, reason: String) -> CheckpointError {
    CheckpointError::Unsupported {
        file: store.path.clone(),
        reason,
    }
}

/// Refuses an adapter, and a model that was saved together with what wraps it.
///
/// # Errors
/// `Unsupported`, which says what it is and what to do.
pub(crate) fn refuse_wrappers(store: &Store) -> Result<(), CheckpointError> {
    wrapped(store).map_or(Ok(()), |reason| Err(refused(store, reason)))
}

/// Why no tensor has its own name, if that is so.
fn wrapped(store: &Store) -> Option<String> {
    if let Some(adapter) = store.tensors.keys().find(|name| name.contains(".lora_")) {
        return Some(format!(
            "its tensor {adapter} is of a LoRA adapter, not of a model: merge the adapter into its base model"
        ));
    }
    if store.tensors.contains_key(EMBEDDING) || store.packed_module(EMBEDDING).is_some() {
        return None;
    }
    let named = |prefix: &str| store.tensors.keys().find(|name| name.starts_with(prefix));
    WRAPPERS
        .iter()
        .find_map(|(prefix, what)| named(prefix).map(|name| format!("its tensors are called like {name}: it is {what}")))
}

/// Whether a name is one of the decoder or its head.
fn belongs(name: &str) -> bool {
    name.starts_with("model.") || name.starts_with("lm_head")
}

/// Whether a tensor is of a layer that predicts tokens further ahead.
fn is_beyond(config: &ModelConfig, name: &str) -> bool {
    let layer = name
        .strip_prefix("model.layers.")
        .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    layer.is_some_and(|layer| (config.layers..config.layers + config.layers_beyond).contains(&layer))
}

/// A bias of a projection that adds nothing.
fn is_bias_of_zeros(store: &Store, name: &str) -> bool {
    let of_projection = PROJECTIONS.iter().any(|projection| name.ends_with(&format!("{projection}.bias")));
    of_projection && store.whole(name).is_ok_and(|values| values.iter().all(|value| *value == 0.0))
}
