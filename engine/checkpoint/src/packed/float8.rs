//! Weights in float8 with scales of the whole matrix, of rows, or of blocks: `w[r, c] = f8[r, c] · scale[block]`.
//!
//! `quant_method: fp8` as DeepSeek and Qwen ship it has `weight` (E4M3) and `weight_scale_inv`, which despite of its name is multiplied,
//! one for each `weight_block_size` block, the last ones of which may be cut off; without blocks it has one for the matrix under that name or
//! as `weight_scale`. `fbgemm_fp8` has one `weight_scale` a row. Sources: transformers, `quantizers/quantizer_finegrained_fp8.py` and
//! `quantizer_fbgemm_fp8.py`; vLLM, `layers/quantization/fp8.py`.

use serde_json::Value;

use super::arrays::{FLOATS, Module};
use super::keys::{Asked, refuse_unknown};
use super::scaled::{Codes, Divisor, Rounded, Scaled, Scales, Zeros};
use crate::dtype::DType;
use crate::error::CheckpointError;
use crate::input_rounding::{GroupScales, InputRounding, InputScales, RoundedNumbers};

/// Names of a module's arrays.
pub(crate) const PARTS: &[&str] = &["weight", "weight_scale", "weight_scale_inv"];

const KNOWN: &[&str] = &[
    "activation_scale_ub",
    "activation_scheme",
    "fmt",
    "ignored_layers",
    "modules_to_not_convert",
    "quant_method",
    "scale_fmt",
    "weight_block_size",
];

/// What a configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Float8 {
    /// Rows and columns of a block.
    block: Option<(usize, usize)>,
    /// What is said of activations; empty for nothing.
    said: String,
    /// How activations are rounded, where that is known.
    inputs: Option<Inputs>,
}

/// Activations of all modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inputs {
    /// By a stored scale.
    Stored,
    /// So many columns together, by scales that may be powers of two.
    Group { columns: usize, powers: bool },
}

impl Float8 {
    /// Reads `quantization_config`.
    pub fn parse(config: &Value) -> Result<Self, String> {
        refuse_unknown(config, KNOWN)?;
        if let Some(format) = config.get("fmt").and_then(Value::as_str)
            && format != "e4m3"
        {
            return Err(format!("quantization_config has fmt `{format}`; known is `e4m3`"));
        }
        let block = match config.get("weight_block_size") {
            None | Some(Value::Null) => None,
            Some(said) => Some(block_of(said).ok_or_else(|| format!("quantization_config has weight_block_size {said}; it is two positive numbers"))?),
        };
        let scheme = config.get("activation_scheme").and_then(Value::as_str);
        let fbgemm = config.get("quant_method").and_then(Value::as_str) == Some("fbgemm_fp8");
        let said = scheme
            .map(|scheme| format!("activation_scheme `{scheme}`"))
            .or(fbgemm.then(|| "fbgemm_fp8".to_string()));
        let powers = match config.get("scale_fmt").and_then(Value::as_str) {
            None => Some(false),
            Some("ue8m0") => Some(true),
            Some(_) => None,
        };
        let inputs = match (scheme, block, powers) {
            (Some("static"), ..) => Some(Inputs::Stored),
            (Some("dynamic"), Some((_, columns)), Some(powers)) => Some(Inputs::Group { columns, powers }),
            _ => None,
        };
        Ok(Self {
            block,
            said: said.unwrap_or_default(),
            inputs,
        })
    }

    /// What says that activations were to be quantized.
    pub fn asked(&self) -> Asked {
        Asked {
            activations: self.said.clone(),
            caches: "",
        }
    }

    /// How what a packed module reads is rounded, if it is; `number` gives its arrays of activations by the last part of their names.
    ///
    /// # Errors
    /// A sentence where that is not simulated.
    pub fn input_rounding(&self, number: impl Fn(&str) -> Option<f32>) -> Result<Option<InputRounding>, String> {
        let scales = match self.inputs {
            _ if self.said.is_empty() => return Ok(None),
            None => {
                return Err(format!(
                    "the activations of {} are not simulated; known are activation_scheme `static`, and `dynamic` with weight_block_size",
                    self.said
                ));
            }
            Some(Inputs::Stored) => InputScales::Fixed {
                scale: (number("input_scale").or_else(|| number("activation_scale")))
                    .ok_or_else(|| "it has no input_scale, which its activations are quantized with".to_string())?,
                zero: 0.0,
            },
            Some(Inputs::Group { columns, powers }) => InputScales::Groups {
                columns,
                scales: if powers { GroupScales::PowersOfTwo } else { GroupScales::Plain },
            },
        };
        Ok(Some(InputRounding {
            numbers: RoundedNumbers::E4M3,
            scales,
        }))
    }

    /// Checks the arrays of a module.
    pub fn open<'a>(&self, module: &Module<'a>, rows: usize, columns: usize) -> Result<Scaled<'a>, CheckpointError> {
        let codes = module.get("weight", &[&[rows, columns]], &[DType::Float8])?;
        let exponent = || [FLOATS.as_slice(), &[DType::Exponent8]].concat();
        let (array, tall, wide) = match (module.find("weight_scale_inv"), self.block) {
            (Some(_), Some((tall, wide))) => {
                let shape = [rows.div_ceil(tall), columns.div_ceil(wide)];
                (module.get("weight_scale_inv", &[&shape], &exponent())?, tall, wide)
            }
            (Some(_), None) => (module.get("weight_scale_inv", &[&[], &[1]], &FLOATS)?, rows, columns),
            (None, Some(_)) => return Err(module.refuse("quantization_config has weight_block_size, and it has no weight_scale_inv")),
            (None, None) => {
                let array = module.get("weight_scale", &[&[], &[1], &[rows, 1], &[rows]], &FLOATS)?;
                let tall = if array.shape.first().copied().unwrap_or(1) == rows { 1 } else { rows };
                (array, tall, columns)
            }
        };
        Ok(Scaled {
            columns,
            codes: Codes::Single(codes),
            zeros: Zeros::None,
            scales: Scales {
                array,
                tall,
                wide,
                across: columns.div_ceil(wide.max(1)),
                divisor: Divisor::By(1.0),
            },
            index: None,
            rounded: Rounded::Not,
        })
    }
}

/// Two positive numbers.
pub(super) fn block_of(said: &Value) -> Option<(usize, usize)> {
    let size = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
    match said.as_array()?.as_slice() {
        [tall, wide] => Some((size(tall)?, size(wide)?)),
        _ => None,
    }
}
