//! Files of arrays that describe themselves: safetensors with an entry of metadata that says, as JSON, what the arrays are.

use std::collections::{BTreeMap, HashMap};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::de::DeserializeOwned;

use crate::StudyError;

/// The entry of the metadata.
const FACTS: &str = "cruxscope";

/// Arrays by name: type, shape and bytes.
pub type Arrays = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn broken(file: &str, reason: String) -> StudyError {
    StudyError::Arrays { file: file.into(), reason }
}

/// The bytes of a file with these arrays and facts.
pub fn file(arrays: &Arrays, facts: String, name: &str) -> Result<Vec<u8>, StudyError> {
    let refuse = |error: safetensors::SafeTensorError| broken(name, error.to_string());
    let views = arrays
        .iter()
        .map(|(name, (dtype, shape, bytes))| Ok((name.clone(), TensorView::new(*dtype, shape.clone(), bytes).map_err(refuse)?)))
        .collect::<Result<Vec<_>, StudyError>>()?;
    safetensors::serialize(views, Some(HashMap::from([(FACTS.to_owned(), facts)]))).map_err(refuse)
}

/// What a file says of itself, if its schema is one up to `schema`.
pub fn facts<T: DeserializeOwned>(bytes: &[u8], name: &str, schema: u32) -> Result<T, StudyError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| broken(name, error.to_string()))?;
    let facts = (metadata.metadata().as_ref())
        .and_then(|metadata| metadata.get(FACTS))
        .ok_or_else(|| broken(name, "it does not say what it holds".into()))?;
    crate::read_versioned(facts.as_bytes(), name, schema)
}
