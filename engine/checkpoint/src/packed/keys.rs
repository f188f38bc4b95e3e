//! The keys of a `quantization_config`: those that are not known are refused, since any may change what the codes stand for.

use serde_json::Value;

/// Whether a value says nothing.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Refuses keys that are not known and say something.
///
/// # Errors
/// A sentence that names the key and its value.
pub(super) fn refuse_unknown(config: &Value, known: &[&str]) -> Result<(), String> {
    refuse_unknown_in("quantization_config", config, known)
}

/// Likewise for an object inside of it.
pub(super) fn refuse_unknown_in(place: &str, config: &Value, known: &[&str]) -> Result<(), String> {
    for (key, value) in config.as_object().into_iter().flatten() {
        if !says_nothing(value) && !known.contains(&key.as_str()) {
            return Err(format!(
                "{place} has {key}: {value}, a key that is not known here and may change what the codes stand for; remove it if it does not"
            ));
        }
    }
    Ok(())
}

/// What a checkpoint asks for beside quantized weights; empty where it asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What says that activations are to be quantized.
    pub activations: String,
    /// What says that caches are.
    pub caches: &'static str,
}

impl Asked {
    /// What a person should know of what is not computed, or is.
    pub fn note(&self, simulates: bool) -> Option<String> {
        let said: Vec<&str> = [self.activations.as_str(), self.caches].into_iter().filter(|said| !said.is_empty()).collect();
        if said.is_empty() {
            return None;
        }
        if !simulates {
            let said = said.join(", ");
            return Some(format!(
                "the model was made to be run with quantized activations ({said}): its weights are computed with as they are stored, and the quantization of activations is not simulated"
            ));
        }
        let mut note = format!(
            "quantized activations are simulated ({}): what linear maps read is rounded; gradients go through the rounding as if it were not there",
            self.activations
        );
        if !self.caches.is_empty() {
            note.push_str(&format!("; quantized caches ({}) are not simulated", self.caches));
        }
        Some(note)
    }
}
