//! Files of records: JSON, JSON lines or Parquet, told apart by their bytes. Parquet is read where the feature `parquet` is built in.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
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
        parquet_rows(path).map_err(wrong)?
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
#[cfg(feature = "parquet")]
fn parquet_rows(path: &Path) -> Result<Vec<Value>, String> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let words = |error: parquet::errors::ParquetError| format!("it is damaged, or Parquet of a kind that is not read: {error}");
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let reader = SerializedFileReader::new(file).map_err(words)?;
    reader
        .get_row_iter(None)
        .map_err(words)?
        .map(|row| row.map(|row| row.to_json_value()).map_err(words))
        .collect()
}

/// What to do about a Parquet file in a program that was built without its reader.
#[cfg(not(feature = "parquet"))]
fn parquet_rows(path: &Path) -> Result<Vec<Value>, String> {
    Err(without_parquet(path))
}

/// Why this program does not read a Parquet file, and two ways around it.
#[cfg(any(test, not(feature = "parquet")))]
fn without_parquet(path: &Path) -> String {
    let converted = path.with_extension("jsonl");
    format!(
        "it is Parquet, and this program was built without its reader; build with --features parquet, or convert the file once with python3 -c \
         \"import pandas; pandas.read_parquet('{}').to_json('{}', orient='records', lines=True)\" and give {}",
        path.display(),
        converted.display(),
        converted.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_parquet_says_how_to_convert() {
        let said = without_parquet(Path::new("kept/aime.parquet"));
        assert!(
            said.contains("--features parquet") && said.contains("read_parquet('kept/aime.parquet')") && said.ends_with("give kept/aime.jsonl"),
            "{said}"
        );
        // Whatever was built in, what begins as Parquet does is never taken for JSON.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.parquet");
        fs::write(&path, b"PAR1 and nothing else").unwrap();
        let error = records(&path).unwrap_err().to_string();
        assert!(error.contains("Parquet") && !error.contains("JSON lines nor"), "{error}");
    }
}
