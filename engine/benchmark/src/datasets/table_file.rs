//! Files of records: JSON, JSON lines or Parquet, told apart by their bytes.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Map, Value};

use crate::error::BenchmarkError;

/// Bytes of the largest dataset that is read, unpacked.
const LARGEST: u64 = 1 << 30;

/// One record: its fields, names in lower case.
pub(super) type Record = Map<String, Value>;

/// The records of a file.
pub(super) fn records(path: &Path) -> Result<Vec<Record>, BenchmarkError> {
    let wrong = |why: String| BenchmarkError::Dataset { path: path.to_owned(), why };
    let read = || -> std::io::Result<Vec<u8>> {
        let file = fs::read(path)?;
        if !file.starts_with(&[0x1f, 0x8b]) {
            return Ok(file);
        }
        let mut bytes = Vec::new();
        MultiGzDecoder::new(file.as_slice()).take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(format!("it is larger than {LARGEST} bytes")));
    }
    let values = if bytes.starts_with(b"PAR1") {
        let file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
        parquet_rows(file).map_err(wrong)?
    } else {
        json_values(&bytes).map_err(wrong)?
    };
    let mut records = Vec::with_capacity(values.len());
    for (number, value) in values.into_iter().enumerate() {
        match value {
            Value::Object(fields) => records.push(fields.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect()),
            other => return Err(wrong(format!("record {} is {other}, not an object with fields", number + 1))),
        }
    }
    if records.is_empty() {
        return Err(wrong("it holds no record".into()));
    }
    Ok(records)
}

/// A whole file of JSON, or one value a line. A list is its elements, and so is the list that an object keeps under
/// `examples` or `data`.
fn json_values(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut values: Vec<Value> = serde_json::Deserializer::from_slice(bytes)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is neither JSON, JSON lines nor Parquet: {error}"))?;
    if values.len() != 1 {
        return Ok(values);
    }
    Ok(match values.pop() {
        Some(Value::Array(elements)) => elements,
        Some(Value::Object(mut fields)) => match ["examples", "data"].into_iter().find(|name| fields.get(*name).is_some_and(Value::is_array)) {
            Some(name) => match fields.remove(name) {
                Some(Value::Array(elements)) => elements,
                _ => Vec::new(),
            },
            None => vec![Value::Object(fields)],
        },
        other => other.into_iter().collect(),
    })
}

/// The rows of a Parquet file.
fn parquet_rows(file: fs::File) -> Result<Vec<Value>, String> {
    let words = |error: parquet::errors::ParquetError| format!("it is damaged, or Parquet of a kind that is not read: {error}");
    let reader = SerializedFileReader::new(file).map_err(words)?;
    reader
        .get_row_iter(None)
        .map_err(words)?
        .map(|row| row.map(|row| row.to_json_value()).map_err(words))
        .collect()
}
