//! The forms in which compressed models are kept: codes in several arrays in the place of a weight.
//!
//! What is read: [`Packing`] is what `quantization_config` says, [`arrays::Module`] the arrays of one module, and [`Rows`] those arrays
//! once they are checked, of which rows come as float32. AutoAWQ's and GPTQ's words are in [`words`], all forms of codes with scales in
//! [`scaled`], and every format says in a file of its own which arrays it has and what they stand for.
//!
//! What is written: [`Codes`] is a matrix of codes as it is thought of, [`PackedWeight`] the arrays that stand for it in a file. There are
//! three layouts: AutoAWQ's GEMM, that of GPTQ in both of its versions, and compressed-tensors' packed words. Ragged last groups in words
//! and other sizes that no engine loads are refused.

pub(crate) mod arrays;
mod awq;
mod bitsandbytes;
mod compressed;
mod configuration;
mod fields;
mod float8;
mod gemv;
mod gptq;
mod hqq;
mod joined;
mod keys;
pub mod mxfp4;
mod packing;
mod scaled;
mod scheme;
mod small_floats;
mod torchao;
mod words;

use half::f16;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use configuration::quantization_config;
pub(crate) use gptq::zeros_of_words;
pub(crate) use packing::Packing;
pub(crate) use scaled::Rows;
pub(crate) use scheme::Scheme;
pub use scheme::WrittenGroup;

/// How zeros are stored; `checkpoint_format` in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ZeroFormat {
    /// `gptq`: zero − 1, modulo 2ᵇ, as AutoGPTQ wrote it and vLLM expects. Engines add 1 to what they read; a zero of 0 would
    /// come back as 2ᵇ in an engine that does not take it modulo 2ᵇ again, so none is written: see [`Codes::with_positive_zeros`].
    #[default]
    #[serde(rename = "gptq")]
    V1,
    /// `gptq` as GPTQModel and auto-round write it: one is taken away from every code of a whole word at once, so that a zero of 0
    /// borrows from the code beside it. Read only; it is the same as the above where no zero is 0, but for 3 bits.
    #[serde(skip)]
    V1Words,
    /// `gptq_v2`: the zero itself.
    #[serde(rename = "gptq_v2")]
    V2,
}

/// Whose layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// AutoAWQ's GEMM: 4 bits, eight outputs to a word, interleaved.
    Awq,
    /// GPTQ's: 2, 3, 4 or 8 bits, the codes of one output running down the words of a column.
    Gptq(ZeroFormat),
    /// compressed-tensors' `pack-quantized`: 2 to 8 bits, the codes of one output running along the words of a row; scales are of this
    /// type, to which weights are rounded too.
    CompressedTensors(ScaleType),
}

/// How scales are stored where a layout leaves the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScaleType {
    /// 32 bits.
    Float32,
    /// 16 bits, half precision.
    Float16,
    /// 16 bits, with float32's range.
    BFloat16,
}

impl ScaleType {
    /// The usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
        }
    }
}

impl Layout {
    /// The name in `quantization_config`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Awq => "awq",
            Self::Gptq(_) => "gptq",
            Self::CompressedTensors(_) => "compressed-tensors",
        }
    }
}

/// A matrix `[out, in]` of codes: `w[r, c] = (code[r, c] − zero[r, g]) · scale[r, g]`, `g` the group of `c`.
#[derive(Debug, Clone, PartialEq)]
pub struct Codes {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Bits of a code, 2 to 8.
    pub bits: u8,
    /// Columns of a group; the last group of a row may be shorter.
    pub group: usize,
    /// `[out, in]`.
    pub codes: Vec<u8>,
    /// `[out, groups]`.
    pub zeros: Vec<u8>,
    /// `[out, groups]`.
    pub scales: Vec<f32>,
    /// The group of every column, `[in]`, where groups are not of neighbours.
    pub group_index: Option<Vec<u32>>,
}

impl Codes {
    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.columns.div_ceil(self.group.max(1))
    }

    /// The weights that the codes stand for, `[out, in]`.
    pub fn dequantize(&self) -> Vec<f32> {
        let groups = self.groups();
        let of = self.group_of_columns();
        let mut weights = vec![0.0; self.rows * self.columns];
        let width = self.columns.max(1);
        weights
            .par_chunks_mut(width)
            .zip(self.codes.par_chunks(width))
            .enumerate()
            .for_each(|(row, (weights, codes))| {
                let (zeros, scales) = (&self.zeros[row * groups..][..groups], &self.scales[row * groups..][..groups]);
                for ((weight, code), group) in weights.iter_mut().zip(codes).zip(&of) {
                    *weight = (f32::from(*code) - f32::from(zeros[*group])) * scales[*group];
                }
            });
        weights
    }

    /// These codes in a layout. Scales become float16, or what the layout says, which is the only loss.
    ///
    /// # Errors
    /// When the layout holds no such bits, groups or sizes, or a scale is beyond float16.
    ///
    /// Source: AutoAWQ, `awq/modules/linear/gemm.py` (`from_linear`); GPTQModel, `nn_modules/qlinear/__init__.py` (`pack_original`).
    pub fn pack(&self, layout: Layout) -> Result<PackedWeight, PackedError> {
        match layout {
            Layout::Awq => awq::pack(self),
            Layout::Gptq(zero_format) => gptq::pack(self, zero_format),
            Layout::CompressedTensors(scales) => compressed::pack(self, scales, false),
        }
    }

    /// These codes, all of whose zeros are the middle one, in compressed-tensors' layout without zeros.
    ///
    /// # Errors
    /// As [`Codes::pack`], and when a zero is another.
    pub fn pack_symmetric(&self, scales: ScaleType) -> Result<PackedWeight, PackedError> {
        compressed::pack(self, scales, true)
    }

    /// The same weights, as nearly as codes can say it, without zeros of 0, which version 1 of GPTQ's layout cannot hold safely: the
    /// weights of such a group, which are all at least 0, get `z' = 1`, `s' = s (2ᵇ − 1)/(2ᵇ − 2)` and `q' = round(q s/s') + 1`.
    /// The largest stays what it was; others move by at most half a step.
    #[must_use]
    pub fn with_positive_zeros(mut self) -> Self {
        let groups = self.groups();
        let largest = f32::from(u8::MAX >> (8 - self.bits));
        let of: Vec<usize> = self.group_of_columns();
        for place in 0..self.zeros.len() {
            if self.zeros[place] != 0 {
                continue;
            }
            let (row, group) = (place / groups, place % groups);
            self.zeros[place] = 1;
            self.scales[place] *= largest / (largest - 1.0);
            let codes = &mut self.codes[row * self.columns..][..self.columns];
            for (code, _) in codes.iter_mut().zip(&of).filter(|(_, of)| **of == group) {
                *code = (f32::from(*code) * (largest - 1.0) / largest).round_ties_even() as u8 + 1;
            }
        }
        self
    }

    /// The group of every column.
    fn group_of_columns(&self) -> Vec<usize> {
        match &self.group_index {
            Some(index) => index.iter().map(|group| *group as usize).collect(),
            None => (0..self.columns).map(|column| column / self.group.max(1)).collect(),
        }
    }

    /// Scales as the layouts hold them: `[out, groups]` to `[groups, out]`, rounded to float16. None may become infinite; whoever writes
    /// them checks that not too many vanish.
    fn half_scales(&self) -> Result<Vec<f32>, PackedError> {
        let (rows, groups) = (self.rows, self.groups());
        let scales = (0..groups * rows).map(|place| self.scales[place % rows * groups + place / rows]);
        scales
            .map(|scale| {
                let half = f16::from_f32(scale);
                if half.is_finite() {
                    Ok(half.to_f32())
                } else {
                    Err(PackedError::Scale { scale, dtype: "float16" })
                }
            })
            .collect()
    }
}

/// The arrays that stand for a matrix of codes.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedWeight {
    /// Whose layout.
    pub layout: Layout,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Bits of a code.
    pub bits: u8,
    /// Columns of a group.
    pub group: usize,
    /// AWQ `[in, out/8]`; GPTQ `[in · bits / 32, out]`; compressed-tensors `[out, in · bits / 32]`, rounded up.
    pub qweight: Vec<i32>,
    /// `[groups, out · bits / 32]`; compressed-tensors `[out · bits / 32, groups]`, rounded up, or nothing where all are the middle code.
    pub qzeros: Vec<i32>,
    /// `[groups, out]`, compressed-tensors `[out, groups]`; numbers of float16, or of the layout's type, in what is written.
    pub scales: Vec<f32>,
    /// `g_idx`, the group of every column, `[in]`; in GPTQ's layout only.
    pub group_index: Vec<i32>,
}

impl PackedWeight {
    /// The codes again: what was packed, with the scales' float16.
    ///
    /// # Errors
    /// When the arrays do not fit the sizes, or a column's group does not exist.
    pub fn unpack(&self) -> Result<Codes, PackedError> {
        match self.layout {
            Layout::Awq => awq::unpack(self),
            Layout::Gptq(zero_format) => gptq::unpack(self, zero_format),
            Layout::CompressedTensors(_) => compressed::unpack(self),
        }
    }

    /// The weights that are read back, `[out, in]`.
    ///
    /// # Errors
    /// As [`PackedWeight::unpack`].
    pub fn weights(&self) -> Result<Vec<f32>, PackedError> {
        let mut weights = self.unpack()?.dequantize();
        if let Layout::CompressedTensors(scales) = self.layout {
            let rounded = scales.rounded();
            weights.par_iter_mut().for_each(|weight| *weight = rounded.round(*weight));
        }
        Ok(weights)
    }

    /// Names and shapes of the arrays.
    pub(crate) fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let groups = self.columns.div_ceil(self.group.max(1));
        let zeros = self.rows * usize::from(self.bits) / 32;
        match self.layout {
            Layout::Awq => vec![
                ("qweight", vec![self.columns, self.rows / 8]),
                ("qzeros", vec![groups, zeros]),
                ("scales", vec![groups, self.rows]),
            ],
            Layout::Gptq(_) => vec![
                ("qweight", vec![self.columns * usize::from(self.bits) / 32, self.rows]),
                ("qzeros", vec![groups, zeros]),
                ("scales", vec![groups, self.rows]),
                ("g_idx", vec![self.columns]),
            ],
            Layout::CompressedTensors(_) => compressed::shapes(self),
        }
    }

    /// Scales as they are thought of: `[groups, out]` to `[out, groups]`.
    fn whole_scales(&self, groups: usize) -> Vec<f32> {
        (0..self.rows * groups)
            .map(|place| self.scales[place % groups * self.rows + place / groups])
            .collect()
    }
}

/// Why codes cannot be packed, or arrays not be read as codes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PackedError {
    /// The layout has no room for it.
    #[error("{setting} is {value}, but {rule}")]
    Setting {
        /// What.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// An array has another length than its sizes imply.
    #[error("{what} has {found} values, where {expected} were expected")]
    Length {
        /// The array.
        what: &'static str,
        /// What was found.
        found: usize,
        /// What was expected.
        expected: usize,
    },
    /// A scale is beyond the type that scales are stored in.
    #[error("the scale {scale:e} of a group is not finite in {dtype}, which this layout holds scales in; write plain numbers instead")]
    Scale {
        /// The scale.
        scale: f32,
        /// The type.
        dtype: &'static str,
    },
}

/// Refuses sizes that the layout cannot hold.
fn check_divides(setting: &'static str, value: usize, divisor: usize) -> Result<(), PackedError> {
    if value.is_multiple_of(divisor.max(1)) {
        return Ok(());
    }
    Err(PackedError::Setting {
        setting,
        value: value.to_string(),
        rule: format!("this layout holds multiples of {divisor}"),
    })
}

/// Refuses an array of another length.
fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), PackedError> {
    if found == expected {
        return Ok(());
    }
    Err(PackedError::Length { what, found, expected })
}
