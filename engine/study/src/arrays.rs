//! Arrays in safetensors files: types and shapes checked, values as bytes.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::StudyError;

/// The bytes of a file with these arrays.
pub(crate) fn serialise<'a>(file: &str, arrays: impl IntoIterator<Item = (&'a str, Dtype, Vec<usize>, &'a Vec<u8>)>) -> Result<Vec<u8>, StudyError> {
    let refuse = |error: safetensors::SafeTensorError| StudyError::Arrays {
        file: file.into(),
        reason: error.to_string(),
    };
    let views: BTreeMap<String, TensorView<'_>> = arrays
        .into_iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.to_owned(), TensorView::new(dtype, shape, bytes).map_err(refuse)?)))
        .collect::<Result<_, StudyError>>()?;
    safetensors::serialize(views, None).map_err(refuse)
}

/// The arrays of a file.
pub(crate) fn parse<'a>(file: &str, bytes: &'a [u8]) -> Result<SafeTensors<'a>, StudyError> {
    SafeTensors::deserialize(bytes).map_err(|error| StudyError::Arrays {
        file: file.into(),
        reason: error.to_string(),
    })
}

/// The bytes of an array, if it has this type and shape.
pub(crate) fn array<'a>(arrays: &SafeTensors<'a>, file: &str, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8], StudyError> {
    let view = arrays.tensor(name).map_err(|_| StudyError::MissingArray {
        array: name.into(),
        file: file.into(),
    })?;
    if view.dtype() != dtype || view.shape() != shape {
        return Err(StudyError::Shape {
            array: name.into(),
            expected: shape.to_vec(),
            found: format!("{:?} of {:?}", view.shape(), view.dtype()),
        });
    }
    Ok(view.data())
}

/// float64 as bytes, the lowest first.
pub(crate) fn bytes_of(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Bytes as float64.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()
}
