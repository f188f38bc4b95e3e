//! The header of a GGUF file in bytes: metadata with their types, and where tensors lie.

use anamnesis::{GgufMetadataArray, GgufMetadataValue};

use super::blocks::GgufNumbers;

/// Tensors begin at multiples of this.
pub(super) const ALIGNMENT: usize = 32;

/// A tensor of the file.
pub(super) struct Entry {
    pub name: String,
    /// Rows and columns, or the length of a vector.
    pub shape: Vec<usize>,
    pub numbers: GgufNumbers,
}

impl Entry {
    pub fn bytes(&self) -> usize {
        self.numbers.bytes(self.shape.iter().product())
    }
}

/// The next multiple of [`ALIGNMENT`].
pub(super) fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// The header, up to where the first tensor begins.
pub(super) fn header(metadata: &[(String, GgufMetadataValue)], entries: &[Entry]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(key, &mut out);
        out.extend(kind(value).to_le_bytes());
        put(value, &mut out);
    }
    let mut offset = 0;
    for entry in entries {
        text(&entry.name, &mut out);
        out.extend((entry.shape.len() as u32).to_le_bytes());
        // The innermost dimension comes first.
        entry.shape.iter().rev().for_each(|size| out.extend((*size as u64).to_le_bytes()));
        out.extend(entry.numbers.id().to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset = aligned(offset + entry.bytes());
    }
    out.resize(aligned(out.len()), 0);
    out
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// GGUF's number of a value's type.
fn kind(value: &GgufMetadataValue) -> u32 {
    match value {
        GgufMetadataValue::U8(_) => 0,
        GgufMetadataValue::I8(_) => 1,
        GgufMetadataValue::U16(_) => 2,
        GgufMetadataValue::I16(_) => 3,
        GgufMetadataValue::U32(_) => 4,
        GgufMetadataValue::I32(_) => 5,
        GgufMetadataValue::F32(_) => 6,
        GgufMetadataValue::Bool(_) => 7,
        GgufMetadataValue::String(_) => 8,
        GgufMetadataValue::Array(_) => 9,
        GgufMetadataValue::U64(_) => 10,
        GgufMetadataValue::I64(_) => 11,
        GgufMetadataValue::F64(_) => 12,
        // The library may come to know more; none of them is made here.
        _ => 9,
    }
}

fn put(value: &GgufMetadataValue, out: &mut Vec<u8>) {
    match value {
        GgufMetadataValue::U8(value) => out.push(*value),
        GgufMetadataValue::I8(value) => out.extend(value.to_le_bytes()),
        GgufMetadataValue::U16(value) => out.extend(value.to_le_bytes()),
        GgufMetadataValue::I16(value) => out.extend(value.to_le_bytes()),
        GgufMetadataValue::U32(value) => out.extend(value.to_le_bytes()),
        GgufMetadataValue::I32(value) => out.extend(value.to_le_bytes()),
        GgufMetadataValue::F32(value) => out.extend(value.to_le_bytes()),
        GgufMetadataValue::Bool(value) => out.push(u8::from(*value)),
        GgufMetadataValue::String(value) => text(value, out),
        GgufMetadataValue::Array(values) => array(values, out),
        GgufMetadataValue::U64(value) => out.extend(value.to_le_bytes()),
        GgufMetadataValue::I64(value) => out.extend(value.to_le_bytes()),
        GgufMetadataValue::F64(value) => out.extend(value.to_le_bytes()),
        _ => {}
    }
}

fn array(values: &GgufMetadataArray, out: &mut Vec<u8>) {
    fn all<T: Clone>(kind: u32, values: &[T], one: impl Fn(T) -> GgufMetadataValue, out: &mut Vec<u8>) {
        out.extend(kind.to_le_bytes());
        out.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| put(&one(value.clone()), out));
    }
    match values {
        GgufMetadataArray::U8(values) => all(0, values, GgufMetadataValue::U8, out),
        GgufMetadataArray::I8(values) => all(1, values, GgufMetadataValue::I8, out),
        GgufMetadataArray::U16(values) => all(2, values, GgufMetadataValue::U16, out),
        GgufMetadataArray::I16(values) => all(3, values, GgufMetadataValue::I16, out),
        GgufMetadataArray::U32(values) => all(4, values, GgufMetadataValue::U32, out),
        GgufMetadataArray::I32(values) => all(5, values, GgufMetadataValue::I32, out),
        GgufMetadataArray::F32(values) => all(6, values, GgufMetadataValue::F32, out),
        GgufMetadataArray::Bool(values) => all(7, values, GgufMetadataValue::Bool, out),
        GgufMetadataArray::String(values) => all(8, values, GgufMetadataValue::String, out),
        GgufMetadataArray::Array(values) => all(9, values, |value| GgufMetadataValue::Array(Box::new(value)), out),
        GgufMetadataArray::U64(values) => all(10, values, GgufMetadataValue::U64, out),
        GgufMetadataArray::I64(values) => all(11, values, GgufMetadataValue::I64, out),
        GgufMetadataArray::F64(values) => all(12, values, GgufMetadataValue::F64, out),
        _ => {}
    }
}
