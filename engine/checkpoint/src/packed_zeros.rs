//! How the zero points of GPTQ's layout are stored, as the numbers and the origin of a checkpoint tell it.
//!
//! Version 1 stores zero − 1 and version 2 the zero, and not every checkpoint says truthfully which of the two it is. There are also two
//! ways to take one away: from every code modulo 2ᵇ, or from the whole 32-bit word, where a zero point of 0 borrows from the code beside
//! it. GPTQModel and auto-round do the latter. The two differ only where a zero point is 0 (and at 3 bits everywhere); where they differ
//! and nothing says who wrote the checkpoint, it is refused.

use std::path::Path;

use serde_json::Value;

use crate::error::CheckpointError;
use crate::packed::{Layout, Packing, Scheme, ZeroFormat, zeros_of_words};
use crate::store::{DType, Store};

/// The file that this program's compression leaves in a folder.
const OWN_REPORT: &str = "cruxscope_compression.json";
/// The file beside `config.json` in which AutoGPTQ and GPTQModel repeat their settings.
const SETTINGS: &str = "quantize_config.json";

/// Who wrote a packed checkpoint, as far as it matters to its zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This program, which takes one away from every code.
    Own,
    /// A program that takes one away from the whole word.
    WholeWords,
    /// Nothing says.
    Unknown,
}

impl Origin {
    /// The origin of the checkpoint in a folder whose `quantization_config` is `said`.
    pub fn of(folder: &Path, said: &Value) -> Self {
        if folder.join(OWN_REPORT).is_file() {
            return Self::Own;
        }
        let beside = std::fs::read_to_string(folder.join(SETTINGS)).ok();
        let beside: Value = beside.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let writes_words = [said, &beside].into_iter().any(|settings| {
            let meta = settings.get("meta");
            let names = ["quantizer", "packer"].iter().filter_map(|key| meta?.get(*key));
            names.chain(settings.get("provider")).any(names_a_writer_of_words) || settings.get("autoround_version").is_some()
        });
        if writes_words { Self::WholeWords } else { Self::Unknown }
    }
}

/// Whether a text, or one of a list, names a program that takes one away from whole words.
fn names_a_writer_of_words(value: &Value) -> bool {
    match value {
        Value::String(name) => {
            let name: String = name.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect();
            name.contains("gptqmodel") || name.contains("autoround")
        }
        Value::Array(names) => names.iter().any(names_a_writer_of_words),
        _ => false,
    }
}

/// Settles how zeros are read, and sets the store's scheme accordingly. Reads all zeros, and no codes.
///
/// With `sym` all zeros are the middle code: the reading under which they are is the right one, whatever else is said. Otherwise what
/// is said of the version holds, and of version 1 the origin decides.
///
/// # Errors
/// `Unsupported` where nothing decides.
pub(crate) fn resolve(store: &mut Store, said: &Value, origin: Origin) -> Result<(), CheckpointError> {
    let Some(Packing::Words(scheme)) = store.packed else { return Ok(()) };
    let Layout::Gptq(declared) = scheme.layout else { return Ok(()) };
    let modules = modules(store);
    let reads = |format: ZeroFormat, holds: fn(&Module, &[u8]) -> bool| {
        let mut rows = modules
            .iter()
            .flat_map(|module| module.zeros.chunks(module.width.max(1)).map(move |row| (module, row)));
        rows.all(|(module, row)| holds(module, &zeros_of_words(row, module.bits, format)))
    };
    let symmetric = said.get("sym").and_then(Value::as_bool).unwrap_or(false);
    let middle = [declared, ZeroFormat::V1, ZeroFormat::V1Words, ZeroFormat::V2]
        .into_iter()
        .find(|format| symmetric && !modules.is_empty() && reads(*format, |module, zeros| zeros.iter().all(|zero| *zero == 1 << (module.bits - 1))));
    let refuse = |reason: &str| CheckpointError::Unsupported {
        file: store.path.clone(),
        reason: reason.to_string(),
    };
    let format = match (middle, declared, origin) {
        (Some(format), ..) => format,
        (None, ZeroFormat::V2, _) => ZeroFormat::V2,
        (None, _, Origin::Own) => ZeroFormat::V1,
        (None, _, _) if scheme.zeros_unknown => {
            return Err(refuse(
                "its packed zeros are not all in the middle, and how auto-round stores such zeros in this format is not known",
            ));
        }
        (None, _, Origin::WholeWords) => ZeroFormat::V1Words,
        (None, _, Origin::Unknown) => {
            let same = modules.iter().all(|module| {
                let mut rows = module.zeros.chunks(module.width.max(1));
                rows.all(|row| zeros_of_words(row, module.bits, ZeroFormat::V1) == zeros_of_words(row, module.bits, ZeroFormat::V1Words))
            });
            if !same {
                return Err(refuse(
                    "some of its packed zeros are 0, stored less one (checkpoint_format `gptq`), and programs differ in how they do that; nothing says \
                     which program wrote it. If it was GPTQModel, say so in quantization_config: \"meta\": {\"quantizer\": [\"gptqmodel\"]}",
                ));
            }
            ZeroFormat::V1
        }
    };
    store.packed = Some(Packing::Words(Scheme {
        layout: Layout::Gptq(format),
        ..scheme
    }));
    Ok(())
}

/// The zeros of a packed module as they are stored.
struct Module {
    bits: u32,
    /// Words of a group.
    width: usize,
    /// `[groups, out · bits / 32]`.
    zeros: Vec<i32>,
}

/// All modules whose arrays have sensible shapes; others are refused when they are checked.
fn modules(store: &Store) -> Vec<Module> {
    let stems = store.tensors.keys().filter_map(|name| name.strip_suffix(".qzeros"));
    stems
        .filter_map(|stem| {
            let zeros = store.tensors.get(&format!("{stem}.qzeros"))?;
            let outputs = *store.tensors.get(&format!("{stem}.qweight"))?.shape.get(1)?;
            let width = *zeros.shape.get(1)?;
            let bits = u32::try_from(width.checked_mul(32)?.checked_div(outputs)?).ok()?;
            let bytes = store
                .bytes(zeros)
                .filter(|_| zeros.element == DType::Integer32 && matches!(bits, 2 | 3 | 4 | 8))?;
            Some(Module {
                bits,
                width,
                zeros: bytes.as_chunks::<4>().0.iter().map(|word| i32::from_le_bytes(*word)).collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn writers_are_known_by_what_they_leave() {
        let folder = tempfile::tempdir().unwrap();
        let of = |said: Value| Origin::of(folder.path(), &said);
        assert_eq!(of(json!({"meta": {"quantizer": ["gptqmodel:2.2.0"]}})), Origin::WholeWords);
        assert_eq!(of(json!({"meta": {"quantizer": "GPT-QModel:7.0"}})), Origin::WholeWords);
        assert_eq!(of(json!({"provider": "auto-round"})), Origin::WholeWords);
        assert_eq!(of(json!({"autoround_version": "0.5"})), Origin::WholeWords);
        assert_eq!(of(json!({"meta": {"quantizer": ["optimum:1.2"]}})), Origin::Unknown);
        std::fs::write(folder.path().join(SETTINGS), r#"{"meta": {"quantizer": ["gptqmodel:1"]}}"#).unwrap();
        assert_eq!(of(json!({})), Origin::WholeWords);
        std::fs::write(folder.path().join(OWN_REPORT), "{}").unwrap();
        assert_eq!(of(json!({"provider": "auto-round"})), Origin::Own);
    }
}
