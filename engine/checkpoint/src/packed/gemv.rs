//! AutoAWQ's GEMV layout: 4 bits, eight inputs to a word along a row, zeros and scales likewise, padded to whole words.
//!
//! `qweight [out, in / 8]`, `qzeros [out, words]`, `scales [out, 8 · words]`: what is stored of groups beyond the last says nothing.
//! Source: AutoAWQ, `awq/modules/linear/gemv.py`.

use serde_json::Value;

use super::arrays::{FLOATS, Module};
use super::scaled::{Codes, Divisor, Fields, Rounded, Scaled, Scales, Zeros};
use super::scheme::Scheme;
use crate::dtype::DType;
use crate::error::CheckpointError;

/// Names of a module's arrays.
pub(crate) const PARTS: &[&str] = &["qweight", "qzeros", "scales"];

const FOUR: Fields = Fields { bits: 4, stream: false };

/// What a configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gemv {
    group: Option<usize>,
}

impl Gemv {
    /// Whether a configuration of AWQ says that this is its layout.
    pub fn is_said_by(config: &Value) -> bool {
        let said = ["version", "format", "checkpoint_format"].iter().filter_map(|key| config.get(*key)?.as_str());
        said.map(str::to_lowercase).any(|name| name == "gemv")
    }

    /// Reads `quantization_config`.
    pub fn parse(config: &Value) -> Result<Self, String> {
        // All else that it says is said of the GEMM layout in the same words.
        let mut other = config.clone();
        for key in ["version", "format", "checkpoint_format"] {
            if let Some(said) = other.get_mut(key)
                && said.as_str().is_some_and(|name| name.eq_ignore_ascii_case("gemv"))
            {
                *said = "gemm".into();
            }
        }
        Scheme::parse(&other).map(|scheme| Self { group: scheme.group })
    }

    /// Checks the arrays of a module.
    pub fn open<'a>(&self, module: &Module<'a>, rows: usize, columns: usize) -> Result<Scaled<'a>, CheckpointError> {
        let group = self.group.unwrap_or(columns);
        // Words of zeros come in as many as one step of the kernel reads.
        let unit = match group {
            128.. => 1,
            64 => 2,
            32 => 4,
            _ => return Err(module.refuse(format!("groups of {group} in AutoAWQ's GEMV layout; it has 32, 64, or 128 and more"))),
        };
        if !columns.is_multiple_of(group.max(1)) || !columns.is_multiple_of(8) {
            return Err(module.refuse(format!("groups of {group} and words of 8 codes do not divide its {columns} inputs")));
        }
        let width = (columns / group.max(1)).div_ceil(8).div_ceil(unit) * unit;
        // As where AutoAWQ's other layout was given this name.
        let other = [columns / group.max(1), rows / 8];
        if other != [rows, width] && module.find("qzeros").is_some_and(|zeros| zeros.shape == other) {
            return Err(module.refuse("quantization_config says `gemv`, and its zeros are those of `gemm`: if all its arrays are, say version `gemm`"));
        }
        let words = |part, shape: [usize; 2]| module.get(part, &[&shape], &[DType::Integer32]);
        let codes = words("qweight", [rows, columns / 8])?;
        let zeros = words("qzeros", [rows, width])?;
        Ok(Scaled {
            columns,
            codes: Codes::Words(codes, FOUR, 0.0),
            zeros: Zeros::Along(zeros, FOUR),
            scales: Scales {
                array: module.get("scales", &[&[rows, 8 * width]], &FLOATS)?,
                tall: 1,
                wide: group,
                across: 8 * width,
                divisor: Divisor::By(1.0),
            },
            index: None,
            rounded: Rounded::Not,
        })
    }
}
