//! The file of a part: safetensors arrays, with small facts as JSON in the metadata, among them the key of what it was computed from.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The metadata's entry.
const FACTS: &str = "cruxscope";

/// An array to write: type, shape, little-endian values.
pub type Array = (Dtype, Vec<usize>, Vec<u8>);

/// The bytes of a part.
///
/// # Errors
/// What does not fit, in words.
pub fn write(facts: &impl Serialize, arrays: &BTreeMap<String, Array>) -> Result<Vec<u8>, String> {
    let facts = serde_json::to_string(facts).map_err(|error| error.to_string())?;
    let views = arrays
        .iter()
        .map(|(name, (dtype, shape, bytes))| Ok((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| error.to_string())?)))
        .collect::<Result<Vec<_>, String>>()?;
    safetensors::serialize(views, Some(HashMap::from([(FACTS.to_owned(), facts)]))).map_err(|error| error.to_string())
}

/// The bytes of a file, where there is one.
///
/// # Errors
/// Why it cannot be read, in words.
pub fn bytes(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::read(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The facts of a part.
///
/// # Errors
/// How the file is damaged, in words.
pub fn facts<T: DeserializeOwned>(file: &[u8]) -> Result<T, String> {
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(|error| error.to_string())?;
    let facts = metadata
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(FACTS))
        .ok_or_else(|| "it has no facts".to_owned())?;
    serde_json::from_str(facts).map_err(|error| error.to_string())
}

/// The bytes of an array of a type.
///
/// # Errors
/// When it is not there, or of another type, in words.
pub fn array<'data>(arrays: &SafeTensors<'data>, name: &str, dtype: Dtype) -> Result<&'data [u8], String> {
    let view = arrays.tensor(name).map_err(|error| error.to_string())?;
    if view.dtype() != dtype {
        return Err(format!("{name} is stored as {:?} instead of {dtype:?}", view.dtype()));
    }
    Ok(view.data())
}
