//! A module's arrays, checked against what its group says.

use super::weights::{Form, Grain, Weights};
use crate::dtype::DType;
use crate::error::CheckpointError;
use crate::packed::arrays::{Array, FLOATS, Module};
use crate::packed::scaled::{Codes, Divisor, Fields, Rounded, Scaled, Scales, Zeros};

/// Checks the arrays of a module.
pub(super) fn open<'a>(weights: &Weights, module: &Module<'a>, rows: usize, columns: usize) -> Result<Scaled<'a>, CheckpointError> {
    let whole = [rows, columns];
    check_shape(module, whole)?;
    let (codes, fields) = match weights.form {
        Form::Words => {
            let (array, fields) = words(weights, module, rows, columns)?;
            (Codes::Words(array, fields, middle(weights.bits)), fields)
        }
        Form::Nvfp4 | Form::Mxfp4 => {
            if !columns.is_multiple_of(2) {
                return Err(module.refuse(format!("{columns} inputs do not fill bytes of two codes")));
            }
            let array = module.get("weight_packed", &[&[rows, columns / 2]], &[DType::Byte])?;
            (Codes::Pairs(array), no_fields(weights.bits))
        }
        Form::Single | Form::Mxfp8 | Form::Dense => {
            let kinds: &[DType] = if weights.float {
                &[DType::Float8, DType::Float8Wide]
            } else {
                &[DType::Integer8]
            };
            (Codes::Single(module.get("weight", &[&whole], kinds)?), no_fields(weights.bits))
        }
    };
    let scales = scales(weights, module, rows, columns)?;
    let zeros = zeros(weights, module, &scales, fields, rows)?;
    let rounded = match weights.form {
        Form::Nvfp4 | Form::Mxfp4 | Form::Mxfp8 => Rounded::BrainFloat16,
        Form::Words | Form::Single | Form::Dense => Rounded::as_stored(scales.array.element),
    };
    Ok(Scaled {
        columns,
        codes,
        zeros,
        index: index(weights, module, columns, scales.across)?,
        scales,
        rounded,
    })
}

/// What is added to signed codes before they are packed.
fn middle(bits: u32) -> f32 {
    (1u32 << (bits - 1)) as f32
}

fn no_fields(bits: u32) -> Fields {
    Fields { bits, stream: true }
}

/// `weight_shape`, where there is one.
fn check_shape(module: &Module<'_>, whole: [usize; 2]) -> Result<(), CheckpointError> {
    if module.find("weight_shape").is_none() {
        return Ok(());
    }
    let array = module.get("weight_shape", &[&[2]], &[DType::Integer64, DType::Integer32])?;
    let found: Vec<i64> = match array.element {
        DType::Integer64 => array.bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        _ => array
            .bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| i64::from(i32::from_le_bytes(*bytes)))
            .collect(),
    };
    if found.iter().map(|size| usize::try_from(*size).ok()).eq(whole.map(Some)) {
        return Ok(());
    }
    Err(module.refuse(format!("weight_shape says {found:?}, and the configuration implies {whole:?}")))
}

/// The words of codes, and how fields lie in them: newer versions of the library let them go on over the ends of words, older ones leave
/// the rest of a word empty. The two differ where bits do not divide 32, and are told apart by the number of words.
fn words<'a>(weights: &Weights, module: &Module<'a>, rows: usize, columns: usize) -> Result<(Array<'a>, Fields), CheckpointError> {
    let of = |stream: bool| Fields { bits: weights.bits, stream };
    let widths = [true, false].map(|stream| of(stream).words(columns));
    let array = module.get("weight_packed", &[&[rows, widths[0]], &[rows, widths[1]]], &[DType::Integer32])?;
    if widths[0] == widths[1] && !32u32.is_multiple_of(weights.bits) && widths[0] > 1 {
        return Err(module.refuse(format!("{columns} inputs of {} bits could lie in their words in two ways", weights.bits)));
    }
    Ok((array, of(array.shape == [rows, widths[0]])))
}

fn scales<'a>(weights: &Weights, module: &Module<'a>, rows: usize, columns: usize) -> Result<Scales<'a>, CheckpointError> {
    let kinds: &[DType] = match weights.form {
        Form::Nvfp4 => &[DType::Float8],
        Form::Mxfp4 | Form::Mxfp8 => &[DType::Byte, DType::Exponent8],
        Form::Words | Form::Single | Form::Dense => &FLOATS,
    };
    let (tall, wide, shapes): (usize, usize, Vec<Vec<usize>>) = match weights.grain {
        Grain::Tensor => (rows, columns, vec![vec![1], vec![], vec![1, 1]]),
        Grain::Channel => (1, columns, vec![vec![rows, 1], vec![rows]]),
        Grain::Group(size) => {
            if !columns.is_multiple_of(size) {
                return Err(module.refuse(format!("groups of {size} do not divide its {columns} inputs")));
            }
            (1, size, vec![vec![rows, columns / size]])
        }
        Grain::Block(tall, wide) => (tall, wide, vec![vec![rows.div_ceil(tall), columns.div_ceil(wide)]]),
    };
    let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    let divisor = match weights.form {
        Form::Nvfp4 => Divisor::Of(module.get("weight_global_scale", &[&[1], &[]], &[DType::Float32])?),
        _ => Divisor::By(1.0),
    };
    Ok(Scales {
        array: module.get("weight_scale", &shapes, kinds)?,
        tall,
        wide,
        across: columns.div_ceil(wide.max(1)),
        divisor,
    })
}

fn zeros<'a>(weights: &Weights, module: &Module<'a>, scales: &Scales<'a>, fields: Fields, rows: usize) -> Result<Zeros<'a>, CheckpointError> {
    const PART: &str = "weight_zero_point";
    if weights.symmetric {
        // Older versions store zero points of symmetric weights too.
        if module.find(PART).is_some_and(|array| array.bytes.iter().any(|byte| *byte != 0)) {
            return Err(module.refuse("its group is symmetric, and weight_zero_point is not all zeros"));
        }
        return Ok(Zeros::None);
    }
    let packed = weights.form == Form::Words && matches!(weights.grain, Grain::Group(_) | Grain::Channel);
    if packed && module.find(PART).is_some_and(|array| *array.element == DType::Integer32) {
        let array = module.get(PART, &[&[fields.words(rows), scales.across]], &[DType::Integer32])?;
        return Ok(Zeros::Down(array, fields, middle(weights.bits)));
    }
    Ok(Zeros::Beside(module.get(PART, &[scales.array.shape], &[DType::Integer8])?))
}

/// The group of every column, where columns were put into groups in another order.
fn index(weights: &Weights, module: &Module<'_>, columns: usize, groups: usize) -> Result<Option<Vec<u32>>, CheckpointError> {
    const PART: &str = "weight_g_idx";
    if module.find(PART).is_none() {
        return match weights.moved {
            true => Err(module.refuse("its group has actorder `group`, and it has no weight_g_idx")),
            false => Ok(None),
        };
    }
    let array = module.get(PART, &[&[columns]], &[DType::Integer32])?;
    let found: Vec<i32> = array.bytes.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
    // Minus one throughout is how the library says that there is no order.
    if found.iter().all(|group| *group == -1) {
        return Ok(None);
    }
    let Grain::Group(size) = weights.grain else {
        return Err(module.refuse("it has weight_g_idx and no groups"));
    };
    let index: Option<Vec<u32>> = found
        .iter()
        .map(|group| u32::try_from(*group).ok().filter(|group| (*group as usize) < groups))
        .collect();
    let Some(index) = index else {
        return Err(module.refuse(format!("weight_g_idx holds a group that is not one of its {groups}")));
    };
    if index.iter().enumerate().all(|(column, group)| *group as usize == column / size) {
        return Ok(None);
    }
    match weights.moved {
        true => Ok(Some(index)),
        false => Err(module.refuse("it has weight_g_idx in another order, and its group does not say actorder `group`")),
    }
}
