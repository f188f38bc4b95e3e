//! GPTQ's layout: 2, 3, 4 or 8 bits, the codes of one output running down the words of a column.

use rayon::prelude::*;

use super::{Codes, Layout, PackedError, PackedWeight, ZeroFormat, check_divides, check_length, fields};

fn check_bits(bits: u8) -> Result<u32, PackedError> {
    match bits {
        2 | 3 | 4 | 8 => Ok(u32::from(bits)),
        other => Err(PackedError::Setting {
            setting: "bits",
            value: other.to_string(),
            rule: "GPTQ's layout holds codes of 2, 3, 4 or 8 bits".to_string(),
        }),
    }
}

/// Codes that fill whole words together.
fn unit(bits: u32) -> usize {
    match bits {
        3 => 32,
        bits => 32 / bits as usize,
    }
}

fn check_sizes(rows: usize, columns: usize, bits: u32) -> Result<(), PackedError> {
    check_divides("the number of inputs", columns, unit(bits))?;
    check_divides("the number of outputs", rows, unit(bits))
}

/// A zero and what is stored of it are a step apart, modulo 2ᵇ.
fn shifted(zero: u8, by: u8, bits: u32) -> u8 {
    zero.wrapping_add(by) & (u8::MAX >> (8 - bits))
}

/// What is added to words of zeros in which one was taken away from all codes at once. GPTQModel's constants for 3 bits are not those
/// of one a code (the first and the third are exchanged), but it takes away and adds the same, which is all that counts.
fn added_to_word(bits: u32, word: usize) -> u32 {
    match bits {
        2 => 0x5555_5555,
        3 => [0x2492_4924, 0x9249_2492, 0x4924_9249][word % 3],
        4 => 0x1111_1111,
        _ => 0x0101_0101,
    }
}

/// The zeros of one group out of its words.
pub(crate) fn zeros_of_words(words: &[i32], bits: u32, format: ZeroFormat) -> Vec<u8> {
    let whole = |word: usize| match format {
        ZeroFormat::V1Words => words[word].wrapping_add(added_to_word(bits, word).cast_signed()),
        ZeroFormat::V1 | ZeroFormat::V2 => words[word],
    };
    let shift = u8::from(format == ZeroFormat::V1);
    let mut zeros = vec![0; words.len() * 32 / bits.max(1) as usize];
    fields::unpack(zeros.len(), bits, whole, |row, zero| zeros[row] = shifted(zero, shift, bits));
    zeros
}

pub(super) fn pack(codes: &Codes, zero_format: ZeroFormat) -> Result<PackedWeight, PackedError> {
    if zero_format == ZeroFormat::V1 && codes.zeros.contains(&0) {
        return pack_as_is(&codes.clone().with_positive_zeros(), zero_format);
    }
    pack_as_is(codes, zero_format)
}

fn pack_as_is(codes: &Codes, zero_format: ZeroFormat) -> Result<PackedWeight, PackedError> {
    let Codes { rows, columns, group, .. } = *codes;
    let groups = codes.groups();
    let bits = check_bits(codes.bits)?;
    check_sizes(rows, columns, bits)?;
    // 32 inputs are `bits` rows of words.
    let mut qweight = vec![0; columns * bits as usize / 32 * rows];
    let chunk = bits as usize * rows;
    qweight.par_chunks_mut(chunk.max(1)).enumerate().for_each(|(chunk, words)| {
        let first = chunk * 32;
        let last = (first + 32).min(columns);
        for row in 0..rows {
            let codes = codes.codes[row * columns + first..row * columns + last].iter().copied();
            fields::pack(codes, bits, |word, value| words[word * rows + row] = value);
        }
    });
    let shift = match zero_format {
        ZeroFormat::V1 => u8::MAX,
        ZeroFormat::V2 => 0,
        ZeroFormat::V1Words => {
            return Err(PackedError::Setting {
                setting: "the format of zeros",
                value: "one less a word".to_string(),
                rule: "it is read, and never written".to_string(),
            });
        }
    };
    let width = rows * bits as usize / 32;
    let mut qzeros = vec![0; groups * width];
    for group in 0..groups {
        let zeros = (0..rows).map(|row| shifted(codes.zeros[row * groups + group], shift, bits));
        fields::pack(zeros, bits, |word, value| qzeros[group * width + word] = value);
    }
    Ok(PackedWeight {
        layout: Layout::Gptq(zero_format),
        rows,
        columns,
        bits: codes.bits,
        group,
        qweight,
        qzeros,
        scales: codes.half_scales()?,
        group_index: match &codes.group_index {
            Some(index) => index.iter().map(|group| group.cast_signed()).collect(),
            None => (0..columns).map(|column| (column / group.max(1)) as i32).collect(),
        },
    })
}

pub(super) fn unpack(packed: &PackedWeight, zero_format: ZeroFormat) -> Result<Codes, PackedError> {
    let PackedWeight { rows, columns, group, .. } = *packed;
    let groups = columns.div_ceil(group.max(1));
    let bits = check_bits(packed.bits)?;
    check_sizes(rows, columns, bits)?;
    let width = rows * bits as usize / 32;
    check_length("qweight", packed.qweight.len(), columns * bits as usize / 32 * rows)?;
    check_length("qzeros", packed.qzeros.len(), groups * width)?;
    check_length("scales", packed.scales.len(), groups * rows)?;
    check_length("g_idx", packed.group_index.len(), columns)?;
    let group_index: Vec<u32> = packed.group_index.iter().map(|&group| u32::try_from(group).unwrap_or(u32::MAX)).collect();
    if let Some(stray) = group_index.iter().find(|&&group| group as usize >= groups) {
        return Err(PackedError::Setting {
            setting: "g_idx",
            value: stray.to_string(),
            rule: format!("there are {groups} groups"),
        });
    }
    let mut codes = vec![0; rows * columns];
    codes.par_chunks_mut(columns.max(1)).enumerate().for_each(|(row, codes)| {
        fields::unpack(columns, bits, |word| packed.qweight[word * rows + row], |column, code| codes[column] = code);
    });
    let mut zeros = vec![0; rows * groups];
    for group in 0..groups {
        let of_group = zeros_of_words(&packed.qzeros[group * width..][..width], bits, zero_format);
        for (row, zero) in of_group.into_iter().enumerate() {
            zeros[row * groups + group] = zero;
        }
    }
    let neighbours = group_index.iter().enumerate().all(|(column, &index)| index as usize == column / group.max(1));
    Ok(Codes {
        rows,
        columns,
        bits: packed.bits,
        group,
        codes,
        zeros,
        scales: packed.whole_scales(groups),
        group_index: (!neighbours).then_some(group_index),
    })
}
