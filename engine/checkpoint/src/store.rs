//! Tensors in memory-mapped files, by Hugging Face's names, turned into float32 a few rows at a time.
//!
//! Safetensors and GGUF meet here: both become places in a file with an element type. Nothing is converted before it is asked for
//! and nothing converted is kept, so opening a model costs its headers and a layer costs that layer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anamnesis::F32Out;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use rayon::prelude::*;

pub(crate) use crate::dtype::DType;
use crate::error::CheckpointError;
use crate::packed::Packing;
use crate::stacked_slice::StackedSlice;

/// Where a tensor lies and how to read it.
#[derive(Debug, Clone)]
pub(crate) struct StoredTensor {
    /// Which of the store's files.
    pub file: usize,
    /// First byte in that file.
    pub offset: usize,
    /// Number of bytes.
    pub length: usize,
    /// `[n]` or `[out, in]`.
    pub shape: Vec<usize>,
    /// How numbers are stored.
    pub element: DType,
    /// Size of a head whose rows are stored with rotary pairs side by side `(0, 1), (2, 3), …`; they are read back as
    /// `(0, half), (1, half + 1), …`, which is Hugging Face's order.
    pub interleaved_head: Option<usize>,
    /// What every number is multiplied by (NVFP4 has one such factor a tensor), 1 otherwise.
    pub scale: f32,
}

impl StoredTensor {
    /// Row of the file that holds row `row` of the tensor.
    fn source_row(&self, row: usize) -> usize {
        match self.interleaved_head {
            None => row,
            Some(size) => {
                let (head, within, half) = (row / size, row % size, size / 2);
                head * size + 2 * (within % half) + within / half
            }
        }
    }

    /// Rows and columns; dimensions after the second belong to rows. A vector is one row, or one column where its elements have to be put in order.
    fn matrix(&self) -> (usize, usize) {
        match (self.shape.as_slice(), self.interleaved_head) {
            ([n], Some(_)) => (*n, 1),
            ([n], None) => (1, *n),
            (shape, _) => (shape.first().copied().unwrap_or(0), shape.iter().skip(1).product()),
        }
    }
}

/// One mapped file of weights.
pub(crate) struct StoreFile {
    /// Its path.
    pub path: PathBuf,
    /// Its bytes.
    pub map: Mmap,
}

impl StoreFile {
    /// Maps a file.
    pub fn map(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Io {
            path: path.to_path_buf(),
            source,
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        // SAFETY: the map is only read. If another program shortens or rewrites the file meanwhile, reading it can fail or give other
        // numbers, as for every program that maps weights; checkpoints are not written in place.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self { path: path.to_path_buf(), map })
    }
}

impl StoreFile {
    /// Lets go of the pages that were read: they stay in the system's cache, and are not counted as this process's any more.
    fn release(&self) {
        #[cfg(unix)]
        // SAFETY: the map is of a file and never written, so that its pages can be read again at any time.
        unsafe {
            // Advice that is not taken leaves everything as it was.
            self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed).ok();
        }
    }
}

/// Where a matrix lies that a file holds packed, as one with others.
pub(crate) struct PackedSlice {
    /// The weight that holds it.
    pub whole: String,
    /// Its first row there.
    pub first: usize,
    /// Its rows.
    pub rows: usize,
    /// All rows there.
    pub of: usize,
}

/// All tensors of a model.
pub(crate) struct Store {
    /// The folder or file the model was opened from.
    pub path: PathBuf,
    /// The mapped files, in sorted order.
    pub files: Vec<StoreFile>,
    /// By Hugging Face's name.
    pub tensors: BTreeMap<String, StoredTensor>,
    /// How packed weights are stored, if some are.
    pub packed: Option<Packing>,
    /// What linear maps read is rounded as it asks for.
    pub simulates: bool,
    /// Weights that are rows of packed ones, by their names.
    pub slices: BTreeMap<String, PackedSlice>,
    /// Matrices and biases of experts that lie in arrays of a whole layer's, by their names.
    pub stacked: BTreeMap<String, StackedSlice>,
    /// What headers of files say of tensors beside type and shape, by the tensors' names.
    pub facts: BTreeMap<String, String>,
}

/// Numbers converted by one task: enough to hide its cost, few enough to share a layer among cores.
const CHUNK: usize = 1 << 16;

impl Store {
    /// Without files yet.
    pub fn empty(path: &Path, packed: Option<Packing>) -> Self {
        Self {
            path: path.to_path_buf(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
            packed,
            simulates: false,
            slices: BTreeMap::new(),
            stacked: BTreeMap::new(),
            facts: BTreeMap::new(),
        }
    }

    /// Has the system read the bytes of these tensors ahead, beside whatever is computed meanwhile.
    pub fn expect(&self, is_wanted: impl Fn(&str) -> bool) {
        #[cfg(unix)]
        for tensor in self.tensors.iter().filter(|(name, _)| is_wanted(name)).map(|(_, tensor)| tensor) {
            if let Some(file) = self.files.get(tensor.file) {
                // Advice that is not taken leaves everything as it was.
                file.map.advise_range(memmap2::Advice::WillNeed, tensor.offset, tensor.length).ok();
            }
        }
        #[cfg(not(unix))]
        let _ = is_wanted;
    }

    /// Lets go of all pages that were read.
    pub fn release(&self) {
        self.files.iter().for_each(StoreFile::release);
    }

    /// Confirms that a tensor is there, has this shape, a readable type and all its bytes.
    ///
    /// # Errors
    /// `MissingTensor`, `Shape`, `Unsupported` or `Damaged`, all of which name the tensor.
    pub fn check(&self, name: &str, expected: &[usize]) -> Result<(), CheckpointError> {
        if let Some(slice) = self.stacked.get(name) {
            return self.check_stacked(slice);
        }
        if let (Some(slice), [_, columns]) = (self.slices.get(name), expected) {
            return self.check(&slice.whole, &[slice.of, *columns]);
        }
        if let (Some(module), [rows, columns]) = (self.packed_module(name), expected) {
            return self.packed_rows(&module, *rows, *columns).map(drop);
        }
        let Some(tensor) = self.tensors.get(name) else {
            return Err(CheckpointError::MissingTensor {
                tensor: name.to_string(),
                path: self.path.clone(),
                expected: expected.to_vec(),
            });
        };
        if tensor.shape != expected {
            let (found, expected) = (tensor.shape.clone(), expected.to_vec());
            return Err(CheckpointError::Shape {
                tensor: name.to_string(),
                path: self.path.clone(),
                found,
                expected,
            });
        }
        self.row_bytes(name, tensor).map(|_| ())
    }

    /// Bytes of one row, once it is certain that all rows lie inside the file.
    fn row_bytes(&self, name: &str, tensor: &StoredTensor) -> Result<usize, CheckpointError> {
        let file = self.files.get(tensor.file).map(|file| file.path.clone()).unwrap_or_default();
        let (rows, columns) = tensor.matrix();
        let Some((elements, bytes)) = tensor.element.unit() else {
            let reason = format!(
                "tensor {name} is stored as {}; known are F32, F16, BF16 and the block types of GGUF",
                tensor.element.name()
            );
            return Err(CheckpointError::Unsupported { file, reason });
        };
        let row = (columns % elements == 0).then(|| (columns / elements).checked_mul(bytes)).flatten();
        match row {
            Some(row) if row.checked_mul(rows) == Some(tensor.length) && self.bytes(tensor).is_some() => Ok(row),
            _ => {
                let format = if matches!(tensor.element, DType::Block(_)) { "GGUF" } else { "weights" };
                let reason = format!(
                    "tensor {name} of shape {:?} and type {} does not fill its {} bytes",
                    tensor.shape,
                    tensor.element.name(),
                    tensor.length
                );
                Err(CheckpointError::Damaged { file, format, reason })
            }
        }
    }

    pub(crate) fn bytes(&self, tensor: &StoredTensor) -> Option<&[u8]> {
        let end = tensor.offset.checked_add(tensor.length)?;
        self.files.get(tensor.file)?.map.get(tensor.offset..end)
    }

    /// A whole tensor as float32, row-major.
    pub fn whole(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let rows = self.tensors.get(name).map_or(0, |tensor| tensor.matrix().0);
        self.rows(name, rows, |row| row)
    }

    /// Rows `pick(0), …, pick(count - 1)` of a tensor as float32: `[count, columns]`, row-major. Rows out of range are an error.
    ///
    /// # Errors
    /// Those of [`Store::check`], and `NotFinite` with the first place, in the order picked, that holds NaN or infinity.
    pub fn rows(&self, name: &str, count: usize, pick: impl Fn(usize) -> usize + Sync) -> Result<Vec<f32>, CheckpointError> {
        let tensor = self.tensors.get(name).ok_or_else(|| CheckpointError::MissingTensor {
            tensor: name.to_string(),
            path: self.path.clone(),
            expected: Vec::new(),
        })?;
        let row_bytes = self.row_bytes(name, tensor)?;
        let bytes = self.bytes(tensor).unwrap_or_default();
        let columns = tensor.matrix().1;
        let mut values = vec![0f32; count * columns];
        if values.is_empty() {
            return Ok(values);
        }
        let rows_a_task = (CHUNK / columns).max(1);
        let fault = values.par_chunks_mut(rows_a_task * columns).enumerate().find_map_first(|(task, chunk)| {
            for (index, out) in chunk.chunks_exact_mut(columns).enumerate() {
                let source = tensor.source_row(pick(task * rows_a_task + index));
                let Some(stored) = source.checked_mul(row_bytes).and_then(|start| bytes.get(start..start + row_bytes)) else {
                    return Some(Fault::Row(source));
                };
                if let Err(reason) = decode(&tensor.element, stored, tensor.scale, out) {
                    return Some(Fault::Block(reason));
                }
            }
            // One pass over the whole chunk, which the compiler turns into vector code; the place is looked for only on a fault.
            (!all_finite(chunk)).then(|| {
                let place = chunk.iter().position(|value| !value.is_finite()).unwrap_or(0);
                Fault::NotFinite {
                    row: pick(task * rows_a_task + place / columns),
                    column: place % columns,
                    value: chunk[place],
                }
            })
        });
        let file = self.files.get(tensor.file).map(|file| file.path.clone()).unwrap_or_default();
        match fault {
            None => Ok(values),
            Some(Fault::NotFinite { row, column, value }) => Err(CheckpointError::NotFinite {
                tensor: name.to_string(),
                path: self.path.clone(),
                row,
                column,
                value,
            }),
            Some(Fault::Row(row)) => Err(CheckpointError::NoSuchToken {
                token: row,
                vocabulary: tensor.matrix().0,
            }),
            Some(Fault::Block(reason)) => Err(CheckpointError::Damaged {
                file,
                format: "GGUF",
                reason: format!("tensor {name}: {reason}"),
            }),
        }
    }
}

enum Fault {
    Row(usize),
    Block(String),
    NotFinite { row: usize, column: usize, value: f32 },
}

/// Whether no exponent is all ones.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    values.iter().fold(0u32, |bad, value| bad | u32::from(value.to_bits() & EXPONENT == EXPONENT)) == 0
}

/// Turns one row's bytes into float32. `stored` holds exactly `out.len()` elements.
pub(crate) fn decode(element: &DType, stored: &[u8], scale: f32, out: &mut [f32]) -> Result<(), String> {
    match element {
        DType::Float32 => {
            for (value, bytes) in out.iter_mut().zip(stored.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        DType::BrainFloat16 => {
            for (value, bytes) in out.iter_mut().zip(stored.as_chunks::<2>().0) {
                *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
            }
        }
        DType::Float16 => {
            let mut halves = [f16::ZERO; 256];
            for (values, bytes) in out.chunks_mut(halves.len()).zip(stored.chunks(2 * halves.len())) {
                let halves = &mut halves[..values.len()];
                for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *half = f16::from_le_bytes(*bytes);
                }
                halves.convert_to_f32_slice(values);
            }
        }
        DType::Block(kind) => {
            let mut rest = &mut *out;
            let count = rest.len();
            anamnesis::dequantize_gguf_blocks::<F32Out, _>(stored, *kind, count, |block| {
                let (now, later) = std::mem::take(&mut rest).split_at_mut((block.len() / 4).min(count));
                for (value, bytes) in now.iter_mut().zip(block.as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
                rest = later;
                Ok(())
            })
            .map_err(|error| error.to_string())?;
        }
        other => return Err(format!("type {} is not read", other.name())),
    }
    if scale != 1.0 {
        out.iter_mut().for_each(|value| *value *= scale);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anamnesis::GgufType;

    use super::*;

    #[test]
    fn interleaved_rows_come_back_as_halves() {
        let tensor = StoredTensor {
            file: 0,
            offset: 0,
            length: 0,
            shape: vec![8, 1],
            element: DType::Float32,
            interleaved_head: Some(4),
            scale: 1.0,
        };
        let order: Vec<usize> = (0..8).map(|row| tensor.source_row(row)).collect();
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
    }

    #[test]
    fn finiteness_of_every_special_value() {
        assert!(all_finite(&[0.0, -0.0, f32::MAX, f32::MIN_POSITIVE / 2.0]));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!all_finite(&[1.0, bad]));
        }
    }

    #[test]
    fn halves_of_every_bit_pattern() {
        let stored: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut out = vec![0f32; 1 << 16];
        decode(&DType::Float16, &stored, 1.0, &mut out).unwrap();
        for (bits, value) in (0..=u16::MAX).zip(&out) {
            assert!(value.to_bits() == f16::from_bits(bits).to_f32().to_bits() || value.is_nan(), "{bits:04x}");
        }
        decode(&DType::BrainFloat16, &stored, 1.0, &mut out).unwrap();
        for (bits, value) in (0..=u16::MAX).zip(&out) {
            assert!(
                value.to_bits() == half::bf16::from_bits(bits).to_f32().to_bits() || value.is_nan(),
                "{bits:04x}"
            );
        }
    }

    const BLOCKS: [GgufType; 23] = [
        GgufType::Q4_0,
        GgufType::Q4_1,
        GgufType::Q5_0,
        GgufType::Q5_1,
        GgufType::Q8_0,
        GgufType::Q2_K,
        GgufType::Q3_K,
        GgufType::Q4_K,
        GgufType::Q5_K,
        GgufType::Q6_K,
        GgufType::IQ1_S,
        GgufType::IQ1_M,
        GgufType::IQ2_XXS,
        GgufType::IQ2_XS,
        GgufType::IQ2_S,
        GgufType::IQ3_XXS,
        GgufType::IQ3_S,
        GgufType::IQ4_NL,
        GgufType::IQ4_XS,
        GgufType::TQ1_0,
        GgufType::TQ2_0,
        GgufType::MXFP4,
        GgufType::NVFP4,
    ];

    /// Against gguf-py, the format's own reader; `tests/fixtures/make_block_types.py` made the values.
    #[test]
    fn block_types_equal_those_of_gguf_py() {
        let stored = safetensors::SafeTensors::deserialize(include_bytes!("../tests/fixtures/block_types.safetensors")).unwrap();
        assert_eq!(stored.len(), 2 * BLOCKS.len());
        for kind in BLOCKS {
            let bytes = stored.tensor(&format!("{kind}.bytes")).unwrap();
            let expected = stored.tensor(&format!("{kind}.values")).unwrap();
            let mut out = vec![0f32; 512];
            decode(&DType::Block(kind), bytes.data(), 1.0, &mut out).unwrap();
            let expected: Vec<f32> = expected.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            assert_eq!(out, expected, "{kind}");
        }
    }

    /// Against bytes and values that llama.cpp itself gave, where those fixtures are at hand.
    #[test]
    fn gguf_fixtures_are_bit_exact() {
        let Some(folder) = cruxscope_needs::fixtures_of("compress/gguf") else {
            return;
        };
        let (mut checked, mut kinds) = (0, std::collections::BTreeSet::new());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let case: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            for variant in case["variants"].as_array().unwrap() {
                let Some(file) = variant["file"].as_str() else { continue };
                let name = variant["variant"].as_str().unwrap().trim_end_matches("_imatrix").to_uppercase();
                let kind = *BLOCKS.iter().find(|kind| kind.to_string() == name).unwrap();
                let stored = std::fs::read(folder.join(file)).unwrap();
                let stored = safetensors::SafeTensors::deserialize(&stored).unwrap();
                let (bytes, expected) = (stored.tensor("bytes").unwrap(), stored.tensor("deq").unwrap());
                let mut out = vec![0f32; expected.data().len() / 4];
                decode(&DType::Block(kind), bytes.data(), 1.0, &mut out).unwrap();
                for (place, (value, expected)) in out.iter().zip(expected.data().as_chunks::<4>().0).enumerate() {
                    let expected = f32::from_le_bytes(*expected);
                    // Minus zero and zero are one value; all else is compared bit by bit.
                    assert!(
                        value.to_bits() == expected.to_bits() || (*value == 0.0 && expected == 0.0),
                        "{file} {place}: {value} {expected}"
                    );
                }
                checked += 1;
                kinds.insert(name);
            }
        }
        println!("gguf: {checked} variants of {} block types, bit for bit", kinds.len());
        assert!(checked > 0);
    }
}
