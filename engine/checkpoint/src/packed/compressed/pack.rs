//! Codes as words of `pack-quantized`, and back.

use rayon::prelude::*;

use crate::packed::scaled::{Fields, Rounded};
use crate::packed::{Codes, Layout, PackedError, PackedWeight, ScaleType, check_length, fields};

/// Names and shapes of the arrays.
pub(in crate::packed) fn shapes(packed: &PackedWeight) -> Vec<(&'static str, Vec<usize>)> {
    let (stream, groups) = (stream(packed.bits), packed.columns.div_ceil(packed.group.max(1)));
    let mut shapes = vec![
        ("weight_packed", vec![packed.rows, stream.words(packed.columns)]),
        ("weight_scale", vec![packed.rows, groups]),
        ("weight_shape", vec![2]),
    ];
    if !packed.qzeros.is_empty() {
        shapes.push(("weight_zero_point", vec![stream.words(packed.rows), groups]));
    }
    shapes
}

fn stream(bits: u8) -> Fields {
    Fields {
        bits: u32::from(bits),
        stream: true,
    }
}

/// Codes in words: those of a row one after the other, zeros likewise down the rows of a group, scales beside them. Symmetric codes have
/// no zeros stored; all of them are the middle code.
///
/// # Errors
/// When the library or an engine would not read them.
pub(in crate::packed) fn pack(codes: &Codes, scales: ScaleType, symmetric: bool) -> Result<PackedWeight, PackedError> {
    let Codes {
        rows, columns, group, bits, ..
    } = *codes;
    let refuse = |setting, value: String, rule: &str| PackedError::Setting {
        setting,
        value,
        rule: rule.to_string(),
    };
    if !(2..=8).contains(&bits) {
        return Err(refuse("bits", bits.to_string(), "this layout holds 2 to 8"));
    }
    if codes.group_index.is_some() {
        let rule = "compressed-tensors reads groups of neighbours (others were removed from it in 2026)";
        return Err(refuse("the order of groups", "that of activations".to_string(), rule));
    }
    if !columns.is_multiple_of(group.max(1)) {
        return Err(refuse(
            "the number of inputs",
            columns.to_string(),
            &format!("groups of {group} have to divide it"),
        ));
    }
    let middle = 1 << (bits - 1);
    if symmetric && let Some(zero) = codes.zeros.iter().find(|zero| **zero != middle) {
        return Err(refuse("a zero of symmetric codes", zero.to_string(), &format!("it is {middle}")));
    }
    let (stream, groups) = (stream(bits), codes.groups());
    let width = stream.words(columns);
    let mut qweight = vec![0; rows * width];
    for (row, words) in qweight.chunks_mut(width.max(1)).enumerate() {
        fill(codes.codes[row * columns..][..columns].iter().copied(), bits, words, 1, 0);
    }
    let mut qzeros = Vec::new();
    if !symmetric {
        qzeros = vec![0; stream.words(rows) * groups];
        for group in 0..groups {
            fill((0..rows).map(|row| codes.zeros[row * groups + group]), bits, &mut qzeros, groups, group);
        }
    }
    let rounded = codes.scales.iter().map(|scale| {
        let stored = scales.rounded().round(*scale);
        if stored.is_finite() {
            Ok(stored)
        } else {
            Err(PackedError::Scale {
                scale: *scale,
                dtype: scales.name(),
            })
        }
    });
    Ok(PackedWeight {
        layout: Layout::CompressedTensors(scales),
        rows,
        columns,
        bits,
        group,
        qweight,
        qzeros,
        scales: rounded.collect::<Result<_, _>>()?,
        group_index: Vec::new(),
    })
}

/// Puts codes into every `stride`th word from `first`, the rest of the last word empty.
fn fill(codes: impl Iterator<Item = u8>, bits: u8, words: &mut [i32], stride: usize, first: usize) {
    // What fills no word is put there by codes of 0 after it.
    let padded = codes.chain(std::iter::repeat_n(0, 32));
    fields::pack(padded, u32::from(bits), |word, value| {
        if let Some(out) = words.get_mut(first + word * stride) {
            *out = value;
        }
    });
}

/// The codes again.
///
/// # Errors
/// When the arrays do not fit the sizes.
pub(in crate::packed) fn unpack(packed: &PackedWeight) -> Result<Codes, PackedError> {
    let PackedWeight {
        rows, columns, group, bits, ..
    } = *packed;
    let (stream, groups) = (stream(bits), columns.div_ceil(group.max(1)));
    let width = stream.words(columns);
    check_length("weight_packed", packed.qweight.len(), rows * width)?;
    check_length("weight_scale", packed.scales.len(), rows * groups)?;
    let symmetric = packed.qzeros.is_empty();
    if !symmetric {
        check_length("weight_zero_point", packed.qzeros.len(), stream.words(rows) * groups)?;
    }
    let mut unpacked = vec![0; rows * columns];
    let lines = unpacked.par_chunks_mut(columns.max(1)).zip(packed.qweight.par_chunks(width.max(1)));
    lines.for_each(|(codes, words)| fields::unpack(columns, u32::from(bits), |word| words[word], |column, code| codes[column] = code));
    let zero = |row: usize, group: usize| match symmetric {
        true => 1 << (bits - 1),
        false => stream.field(row, |place| packed.qzeros.get(place * groups + group).map_or(0, |word| word.cast_unsigned())),
    };
    Ok(Codes {
        rows,
        columns,
        bits,
        group,
        codes: unpacked,
        zeros: (0..rows * groups).map(|place| zero(place / groups, place % groups)).collect(),
        scales: packed.scales.clone(),
        group_index: None,
    })
}

impl ScaleType {
    /// To what numbers are rounded that are stored so.
    pub(in crate::packed) fn rounded(self) -> Rounded {
        match self {
            Self::Float32 => Rounded::Not,
            Self::Float16 => Rounded::Float16,
            Self::BFloat16 => Rounded::BrainFloat16,
        }
    }
}
