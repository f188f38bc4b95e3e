//! torchao: tensors of its classes, flattened as transformers writes them into safetensors.
//!
//! A module has `_weight_qdata` and `_weight_scale` beside others, and the header of the file says of which class they are
//! ([`Module::facts`], a JSON text): `Int8Tensor` and `IntxUnpackedToInt8Tensor` (`w = (code − zero) · scale` of a block, codes in signed
//! bytes), `Float8Tensor` (`w = f8 · scale`), both rounded to the class's `dtype` as `dequantize` does, and `Int4Tensor` (two signed codes of
//! 4 bits to a byte, the even column below; `w = code · scale + zero`, scales and zeros `[groups, out]` and floating). Layouts for the cores
//! of one processor are not read. Sources: torchao, `prototype/safetensors`, `quantization/quantize_/workflows`, `quant_primitives.py`;
//! FBGEMM, `int4_row_quantize_zp`.

use std::ops::Range;

use rayon::prelude::*;
use serde_json::Value;

use super::arrays::{Array, FLOATS, Module};
use super::keys::{Asked, refuse_unknown};
use super::scaled::{Codes, Divisor, Rounded, Rows, Scaled, Scales, Zeros};
use crate::dtype::DType;
use crate::error::CheckpointError;

/// Names of a module's arrays.
pub(crate) const PARTS: &[&str] = &[
    "_weight_act_pre_scale",
    "_weight_act_quant_scale",
    "_weight_act_quant_zero_point",
    "_weight_per_tensor_scale",
    "_weight_qdata",
    "_weight_scale",
    "_weight_scale_and_zero",
    "_weight_zero_point",
];

const KNOWN: &[&str] = &[
    "include_input_output_embeddings",
    "modules_to_not_convert",
    "quant_method",
    "quant_type",
    "quant_type_kwargs",
    "untie_embedding_weights",
];

/// What a configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TorchAo {
    /// What is said of activations; empty for nothing.
    said: String,
}

impl TorchAo {
    /// Reads `quantization_config`. Which matrices are packed, and how, is said by the files.
    pub fn parse(config: &Value) -> Result<Self, String> {
        refuse_unknown(config, KNOWN)?;
        let said = config.get("quant_type").unwrap_or(&Value::Null).to_string();
        let note = said
            .split('"')
            .find(|word| word.contains("DynamicActivation") || word.contains("StaticActivation") || word.contains("dynamic_activation"));
        Ok(Self {
            said: note.unwrap_or_default().to_string(),
        })
    }

    /// What says that activations were to be quantized.
    pub fn asked(&self) -> Asked {
        Asked {
            activations: self.said.clone(),
            caches: "",
        }
    }

    /// Whether a module with these arrays is packed.
    pub fn is_packed(has: impl Fn(&str) -> bool) -> bool {
        has("_weight_qdata")
    }

    /// The name of a module's form.
    pub fn kind(module: &Module<'_>) -> String {
        match Class::of(module) {
            Ok(class) => format!("torchao {}", class.name),
            Err(_) => "torchao".to_string(),
        }
    }

    /// Checks the arrays of a module.
    pub fn open<'a>(module: &Module<'a>, rows: usize, columns: usize) -> Result<Box<dyn Rows + 'a>, CheckpointError> {
        let class = Class::of(module)?;
        if module.find("_weight_act_pre_scale").is_some() {
            return Err(module.refuse("its activations are to be multiplied by act_pre_scale before it, which is not computed"));
        }
        match class.name.as_str() {
            "Int8Tensor" | "IntxUnpackedToInt8Tensor" => Ok(Box::new(class.scaled(module, rows, columns, &[DType::Integer8])?)),
            "Float8Tensor" => Ok(Box::new(class.scaled(module, rows, columns, &[DType::Float8, DType::Float8Wide])?)),
            "Int4Tensor" => Ok(Box::new(Pairs::open(&class, module, rows, columns)?)),
            other => Err(module.refuse(format!(
                "it is an `{other}`, whose layout is not read; known are Int8Tensor, IntxUnpackedToInt8Tensor, Int4Tensor (int4_packing_format \
                 plain) and Float8Tensor. Save it in one of these, or dequantized"
            ))),
        }
    }
}

/// What the header of a file says of a tensor.
struct Class {
    name: String,
    /// Rows and columns of a block.
    block: [usize; 2],
    rounded: Option<Rounded>,
}

impl Class {
    fn of(module: &Module<'_>) -> Result<Self, CheckpointError> {
        let facts = module
            .facts
            .ok_or_else(|| module.refuse("the header of its file does not say of which class of torchao it is"))?;
        let facts: Value = serde_json::from_str(facts).map_err(|error| module.refuse(format!("what the header of its file says is no JSON: {error}")))?;
        let name = facts.get("_type").and_then(Value::as_str).unwrap_or("unknown").to_string();
        let data = facts.get("_data").unwrap_or(&Value::Null);
        let sizes = data.get("block_size").and_then(Value::as_array).map(|sizes| {
            let sizes = sizes.iter().map(|size| size.as_u64().and_then(|size| usize::try_from(size).ok()));
            sizes.collect::<Option<Vec<usize>>>().unwrap_or_default()
        });
        let block = match sizes.as_deref() {
            Some([tall, wide]) if *tall > 0 && *wide > 0 => [*tall, *wide],
            _ if !matches!(name.as_str(), "Int8Tensor" | "IntxUnpackedToInt8Tensor" | "Float8Tensor" | "Int4Tensor") => [1, 1],
            _ => return Err(module.refuse(format!("its block_size is {sizes:?}; it is two positive numbers"))),
        };
        let rounded = match data.get("dtype").and_then(|dtype| dtype.get("_data")).and_then(Value::as_str) {
            None => None,
            Some("float32") => Some(Rounded::Not),
            Some("float16") => Some(Rounded::Float16),
            Some("bfloat16") => Some(Rounded::BrainFloat16),
            Some(other) => return Err(module.refuse(format!("its dtype is `{other}`; known are float32, float16 and bfloat16"))),
        };
        Ok(Self { name, block, rounded })
    }

    /// Codes that stand alone, with scales of blocks.
    fn scaled<'a>(&self, module: &Module<'a>, rows: usize, columns: usize, kinds: &[DType]) -> Result<Scaled<'a>, CheckpointError> {
        let rounded = self.rounded.ok_or_else(|| module.refuse("it has no dtype, to which its weights are rounded"))?;
        let codes = module.get("_weight_qdata", &[&[rows, columns]], kinds)?;
        let [tall, wide] = self.block;
        if !rows.is_multiple_of(tall) || !columns.is_multiple_of(wide) {
            return Err(module.refuse(format!("blocks of {tall} by {wide} do not divide {rows} by {columns} weights")));
        }
        let (down, across) = (rows / tall, columns / wide);
        let shapes: Vec<Vec<usize>> = match (down, across) {
            (1, 1) => vec![vec![1, 1], vec![], vec![1]],
            (_, 1) => vec![vec![down, 1], vec![down]],
            _ => vec![vec![down, across]],
        };
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let array = module.get("_weight_scale", &shapes, &FLOATS)?;
        let zeros = match module.find("_weight_zero_point") {
            Some(_) => Zeros::Beside(module.get("_weight_zero_point", &shapes, &[DType::Integer8])?),
            None => Zeros::None,
        };
        Ok(Scaled {
            columns,
            codes: Codes::Single(codes),
            zeros,
            scales: Scales {
                array,
                tall,
                wide,
                across,
                divisor: Divisor::By(1.0),
            },
            index: None,
            rounded,
        })
    }
}

/// Two signed codes to a byte.
struct Pairs<'a> {
    rows: usize,
    columns: usize,
    group: usize,
    codes: Array<'a>,
    scale: Array<'a>,
    zero: Array<'a>,
}

impl<'a> Pairs<'a> {
    fn open(class: &Class, module: &Module<'a>, rows: usize, columns: usize) -> Result<Self, CheckpointError> {
        let [tall, group] = class.block;
        if tall != 1 || !columns.is_multiple_of(group) || !columns.is_multiple_of(2) {
            return Err(module.refuse(format!("blocks of {tall} by {group} are not groups of its {columns} columns")));
        }
        let shape = [columns / group, rows];
        let scale = module.get("_weight_scale", &[&shape], &FLOATS)?;
        Ok(Self {
            rows,
            columns,
            group,
            codes: module.get("_weight_qdata", &[&[rows, columns / 2]], &[DType::Integer8, DType::Byte])?,
            scale,
            zero: module.get("_weight_zero_point", &[&shape], &FLOATS)?,
        })
    }
}

impl Rows for Pairs<'_> {
    fn rows(&self, here: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let mut values = vec![0.0; here.len() * self.columns];
        values.par_chunks_mut(self.columns.max(1)).zip(here).for_each(|(out, row)| {
            let bytes = self.codes.row(row);
            for (group, out) in out.chunks_mut(self.group).enumerate() {
                let place = group * self.rows + row;
                let (scale, zero) = (self.scale.float(place), self.zero.float(place));
                for (column, out) in out.iter_mut().enumerate() {
                    let column = group * self.group + column;
                    let byte = bytes.get(column / 2).copied().unwrap_or_default();
                    // The sign of four bits.
                    let code = if column.is_multiple_of(2) { byte << 4 } else { byte }.cast_signed() >> 4;
                    *out = f32::from(code) * scale + zero;
                }
            }
        });
        Ok(values)
    }
}
