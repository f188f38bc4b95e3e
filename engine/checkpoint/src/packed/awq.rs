//! AutoAWQ's GEMM layout: 4 bits, eight outputs to a word, interleaved.

use rayon::prelude::*;

use super::{Codes, Layout, PackedError, PackedWeight, check_divides, check_length};

/// Nibble `k` of a word holds output `8 · word + INTERLEAVED[k]`.
const INTERLEAVED: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

pub(super) fn pack(codes: &Codes) -> Result<PackedWeight, PackedError> {
    let Codes { rows, columns, group, .. } = *codes;
    let groups = codes.groups();
    if codes.bits != 4 || codes.group_index.is_some() {
        let order = if codes.group_index.is_some() {
            "in activation order"
        } else {
            "of neighbours"
        };
        return Err(PackedError::Setting {
            setting: "codes",
            value: format!("of {} bits, groups {order}", codes.bits),
            rule: "AWQ's layout holds codes of 4 bits in groups of neighbours".to_string(),
        });
    }
    check_sizes(rows, columns, group)?;
    let words = |codes: &[u8], stride: usize, place: usize| {
        let mut out = vec![0; rows / 8];
        for (word, out) in out.iter_mut().enumerate() {
            let nibbles = INTERLEAVED
                .iter()
                .enumerate()
                .map(|(k, output)| u32::from(codes[(8 * word + output) * stride + place]) << (4 * k));
            *out = nibbles.sum::<u32>().cast_signed();
        }
        out
    };
    Ok(PackedWeight {
        layout: Layout::Awq,
        rows,
        columns,
        bits: 4,
        group,
        qweight: (0..columns)
            .into_par_iter()
            .flat_map_iter(|column| words(&codes.codes, columns, column))
            .collect(),
        qzeros: (0..groups).flat_map(|group| words(&codes.zeros, groups, group)).collect(),
        scales: codes.half_scales()?,
        group_index: Vec::new(),
    })
}

fn check_sizes(rows: usize, columns: usize, group: usize) -> Result<(), PackedError> {
    check_divides("the number of outputs", rows, 8)?;
    check_divides("the number of inputs", columns, group)
}

pub(super) fn unpack(packed: &PackedWeight) -> Result<Codes, PackedError> {
    let PackedWeight { rows, columns, group, .. } = *packed;
    check_sizes(rows, columns, group)?;
    let groups = columns / group.max(1);
    check_length("qweight", packed.qweight.len(), columns * rows / 8)?;
    check_length("qzeros", packed.qzeros.len(), groups * rows / 8)?;
    check_length("scales", packed.scales.len(), groups * rows)?;
    let mut place_of = [0; 8];
    INTERLEAVED.iter().enumerate().for_each(|(k, &output)| place_of[output] = k);
    let nibble = |words: &[i32], row: usize, place: usize| {
        let word = words[place * (rows / 8) + row / 8].cast_unsigned();
        (word >> (4 * place_of[row % 8]) & 15) as u8
    };
    Ok(Codes {
        rows,
        columns,
        bits: 4,
        group,
        codes: (0..rows)
            .into_par_iter()
            .flat_map_iter(|row| (0..columns).map(move |column| nibble(&packed.qweight, row, column)))
            .collect(),
        zeros: (0..rows * groups).map(|place| nibble(&packed.qzeros, place / groups, place % groups)).collect(),
        scales: packed.whole_scales(groups),
        group_index: None,
    })
}
