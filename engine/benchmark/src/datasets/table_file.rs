//! Files of records: JSON, JSON lines or Parquet, told apart by their bytes. Parquet is read where the feature `parquet` is built in.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use crate::error::BenchmarkError;

/// Bytes of the largest dataset that is read, unpacked.
const LARGEST: u64 = 1 << 30;
/// Rows of the largest Parquet file that is read.
#[cfg(feature = "parquet")]
const MOST_ROWS: u64 = 10_000_000;

/// One record: its fields, names in lower case.
pub(super) type Record = Map<String, Value>;

/// The records of a file.
pub(super) fn records(path: &Path) -> Result<Vec<Record>, BenchmarkError> {
    let wrong = |why: String| BenchmarkError::Dataset { path: path.to_owned(), why };
    let mut file = fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut bytes = bounded(&mut file, LARGEST).map_err(wrong)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        bytes = bounded(&mut MultiGzDecoder::new(bytes.as_slice()), LARGEST).map_err(|why| wrong(format!("unpacked, {why}")))?;
    }
    let values = if bytes.starts_with(b"PAR1") {
        parquet_rows(path, file).map_err(wrong)?
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

/// All that a reader gives, if it is no more than so many bytes.
fn bounded(reader: &mut dyn Read, largest: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.take(largest + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > largest {
        return Err(format!("it is larger than {largest} bytes, and no dataset that is known here is"));
    }
    Ok(bytes)
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

/// The rows of a Parquet file. A small file can hold a row any number of times, so the rows are bounded by what they unpack to.
#[cfg(feature = "parquet")]
fn parquet_rows(_: &Path, file: fs::File) -> Result<Vec<Value>, String> {
    // The reader panics on some damaged files.
    std::panic::catch_unwind(|| rows_within(file)).unwrap_or_else(|_| Err("it is damaged: its columns contradict each other".into()))
}

#[cfg(feature = "parquet")]
fn rows_within(file: fs::File) -> Result<Vec<Value>, String> {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    let words = |error: parquet::errors::ParquetError| format!("it is damaged, or Parquet of a kind that is not read: {error}");
    let reader = SerializedFileReader::new(file).map_err(words)?;
    let groups = reader.metadata().row_groups();
    let unpacked: u64 = groups
        .iter()
        .map(|group| u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add);
    let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(u64::MAX);
    let too_many = || format!("it unpacks to more than {LARGEST} bytes or {MOST_ROWS} rows, and no dataset that is known here does");
    if unpacked > LARGEST || rows > MOST_ROWS {
        return Err(too_many());
    }
    let mut found = Vec::new();
    let mut held = 0u64;
    for row in reader.get_row_iter(None).map_err(words)? {
        let value = row.map_err(words)?.to_json_value();
        held = held.saturating_add(size(&value));
        if held > LARGEST || found.len() as u64 >= MOST_ROWS {
            return Err(too_many());
        }
        found.push(value);
    }
    Ok(found)
}

/// Bytes that a value holds, near enough for a bound.
#[cfg(feature = "parquet")]
fn size(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 + 32,
        Value::Array(values) => 32 + values.iter().map(size).sum::<u64>(),
        Value::Object(fields) => 32 + fields.iter().map(|(name, value)| name.len() as u64 + size(value)).sum::<u64>(),
        _ => 32,
    }
}

/// What to do about a Parquet file in a program that was built without its reader.
#[cfg(not(feature = "parquet"))]
fn parquet_rows(path: &Path, _: fs::File) -> Result<Vec<Value>, String> {
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
    fn a_small_file_cannot_unpack_to_more_than_is_read() {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&[b' '; 100_000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(packed.len() < 1000);
        let unpacked = |largest| bounded(&mut MultiGzDecoder::new(packed.as_slice()), largest);
        assert_eq!(unpacked(100_000).unwrap().len(), 100_000);
        let why = unpacked(99_999).unwrap_err();
        assert!(why.contains("larger than 99999 bytes"), "{why}");
    }

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
