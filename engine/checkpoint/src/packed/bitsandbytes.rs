//! bitsandbytes: 4-bit codes of a table (`nf4`, `fp4`) in blocks of the flattened matrix, and int8 rows (LLM.int8).
//!
//! 4 bits: `weight` holds two codes a byte, the upper four bits first, and `w[i] = quant_map[code[i]] · absmax[i / blocksize]` over the
//! matrix row by row. With double quantization `absmax` is a code itself: `absmax[b] = nested_quant_map[code[b]] · nested_absmax[b /
//! nested_blocksize] + nested_offset`. Sizes stand in `weight.quant_state.bitsandbytes__nf4` (or `__fp4`), a JSON text in bytes. The
//! library rounds the result to the type that it computes with (`dtype` in that text); here it stays float32.
//! 8 bits: `w[r, c] = code[r, c] · SCB[r] / 127`. Sources: bitsandbytes, `functional.py` (`QuantState`, `int8_vectorwise_dequant`).

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
    "SCB",
    "weight",
    "weight.absmax",
    "weight.nested_absmax",
    "weight.nested_quant_map",
    "weight.quant_map",
    STATES[0],
    STATES[1],
    "weight_format",
];
/// Under which names sizes stand.
const STATES: [&str; 2] = ["weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4"];

const KNOWN: &[&str] = &[
    "_load_in_4bit",
    "_load_in_8bit",
    "bnb_4bit_compute_dtype",
    "bnb_4bit_quant_storage",
    "bnb_4bit_quant_type",
    "bnb_4bit_use_double_quant",
    "llm_int8_enable_fp32_cpu_offload",
    "llm_int8_has_fp16_weight",
    "llm_int8_skip_modules",
    "llm_int8_threshold",
    "load_in_4bit",
    "load_in_8bit",
    "quant_method",
];

/// What a configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BitsAndBytes {
    eight: bool,
}

impl BitsAndBytes {
    /// Reads `quantization_config`.
    pub fn parse(config: &Value) -> Result<Self, String> {
        refuse_unknown(config, KNOWN)?;
        let flag = |keys: [&str; 2]| keys.iter().any(|key| config.get(*key).and_then(Value::as_bool) == Some(true));
        let (four, eight) = (flag(["load_in_4bit", "_load_in_4bit"]), flag(["load_in_8bit", "_load_in_8bit"]));
        if four == eight {
            return Err(format!(
                "quantization_config says load_in_4bit: {four} and load_in_8bit: {eight}; bitsandbytes does one of them"
            ));
        }
        Ok(Self { eight })
    }

    /// A sentence on what is not computed.
    pub fn asked(&self) -> Asked {
        Asked {
            activations: if self.eight { "load_in_8bit".to_string() } else { String::new() },
            caches: "",
        }
    }

    /// Whether a module with these arrays is packed.
    pub fn is_packed(has: impl Fn(&str) -> bool) -> bool {
        has("SCB") || STATES.iter().any(|state| has(state))
    }

    /// Checks the arrays of a module.
    pub fn open<'a>(&self, module: &Module<'a>, rows: usize, columns: usize) -> Result<Box<dyn Rows + 'a>, CheckpointError> {
        match module.find("SCB") {
            Some(_) => Ok(Box::new(eight_bits(module, rows, columns)?)),
            None => Ok(Box::new(Table::open(module, rows, columns)?)),
        }
    }

    /// The name of a module's form.
    pub fn kind(module: &Module<'_>) -> &'static str {
        match (module.find("SCB"), module.find(STATES[0])) {
            (Some(_), _) => "bitsandbytes INT8",
            (None, Some(_)) => "bitsandbytes NF4",
            (None, None) => "bitsandbytes FP4",
        }
    }
}

fn eight_bits<'a>(module: &Module<'a>, rows: usize, columns: usize) -> Result<Scaled<'a>, CheckpointError> {
    let codes = module.get("weight", &[&[rows, columns]], &[DType::Integer8])?;
    let array = module.get("SCB", &[&[rows]], &FLOATS)?;
    if let Some(order) = module.find("weight_format")
        && order.bytes.iter().any(|byte| *byte != 0)
    {
        return Err(module.refuse("weight_format is not 0: its rows are in the order of some processor, which is not read"));
    }
    Ok(Scaled {
        columns,
        codes: Codes::Single(codes),
        zeros: Zeros::None,
        scales: Scales {
            array,
            tall: 1,
            wide: columns,
            across: 1,
            divisor: Divisor::By(127.0),
        },
        index: None,
        rounded: Rounded::Not,
    })
}

/// Codes of a table.
struct Table<'a> {
    columns: usize,
    codes: &'a [u8],
    map: Array<'a>,
    absmax: Array<'a>,
    block: usize,
    nested: Option<Nested<'a>>,
}

/// How `absmax` is packed itself.
struct Nested<'a> {
    map: Array<'a>,
    absmax: Array<'a>,
    block: usize,
    offset: f32,
}

impl<'a> Table<'a> {
    fn open(module: &Module<'a>, rows: usize, columns: usize) -> Result<Self, CheckpointError> {
        let state = STATES.iter().find_map(|state| module.find(state));
        let state = state.ok_or_else(|| module.refuse("it has no quant_state"))?;
        let state: Value = serde_json::from_slice(state.bytes).map_err(|error| module.refuse(format!("its quant_state is no JSON: {error}")))?;
        let size = |key: &str| {
            let found = state.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
            found
                .filter(|size| *size > 0)
                .ok_or_else(|| module.refuse(format!("its quant_state has {key} {:?}; it is a positive number", state.get(key))))
        };
        let kind = state.get("quant_type").and_then(Value::as_str).unwrap_or("unknown");
        if !matches!(kind, "nf4" | "fp4") {
            return Err(module.refuse(format!("its quant_type is `{kind}`; known are `nf4` and `fp4`")));
        }
        let shape: Option<Vec<u64>> = state
            .get("shape")
            .and_then(Value::as_array)
            .map(|shape| shape.iter().filter_map(Value::as_u64).collect());
        if shape.as_deref() != Some(&[rows as u64, columns as u64]) {
            return Err(module.refuse(format!(
                "its quant_state has shape {:?}, and the configuration implies [{rows}, {columns}]",
                state.get("shape")
            )));
        }
        let numbers = rows.saturating_mul(columns);
        // Bytes may be called numbers of another type, for programs that cut a model up by its types (`bnb_4bit_quant_storage`).
        let codes = module.find("weight").map(|array| array.bytes).unwrap_or_default();
        if codes.len() != numbers.div_ceil(2) {
            return Err(module.refuse(format!("weight has {} bytes, where {} hold its codes", codes.len(), numbers.div_ceil(2))));
        }
        let block = size("blocksize")?;
        let blocks = numbers.div_ceil(block);
        let map = module.get("weight.quant_map", &[&[16]], &FLOATS)?;
        let nested = state.get("nested_blocksize").is_some() || module.find("weight.nested_absmax").is_some();
        let (absmax, nested) = if nested {
            let block = size("nested_blocksize")?;
            let offset = state.get("nested_offset").and_then(Value::as_f64);
            let nested = Nested {
                map: module.get("weight.nested_quant_map", &[&[256]], &FLOATS)?,
                absmax: module.get("weight.nested_absmax", &[&[blocks.div_ceil(block)]], &FLOATS)?,
                block,
                offset: offset.ok_or_else(|| module.refuse("its quant_state has no nested_offset"))? as f32,
            };
            (module.get("weight.absmax", &[&[blocks]], &[DType::Byte])?, Some(nested))
        } else {
            (module.get("weight.absmax", &[&[blocks]], &FLOATS)?, None)
        };
        Ok(Self {
            columns,
            codes,
            map,
            absmax,
            block,
            nested,
        })
    }

    fn absmax_of(&self, block: usize) -> f32 {
        match &self.nested {
            None => self.absmax.float(block),
            Some(nested) => {
                let code = self.absmax.bytes.get(block).copied().unwrap_or_default();
                nested.map.float(usize::from(code)) * nested.absmax.float(block / nested.block) + nested.offset
            }
        }
    }
}

impl Rows for Table<'_> {
    fn rows(&self, here: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let map: Vec<f32> = (0..16).map(|code| self.map.float(code)).collect();
        let mut values = vec![0.0; here.len() * self.columns];
        values.par_chunks_mut(self.columns.max(1)).zip(here).for_each(|(out, row)| {
            let (mut known, mut absmax) = (usize::MAX, 0.0);
            for (column, out) in out.iter_mut().enumerate() {
                let place = row * self.columns + column;
                if place / self.block != known {
                    known = place / self.block;
                    absmax = self.absmax_of(known);
                }
                let byte = self.codes[place / 2];
                let code = if place.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
                *out = map[usize::from(code)] * absmax;
            }
        });
        Ok(values)
    }
}
