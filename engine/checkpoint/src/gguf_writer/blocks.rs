//! Numbers as GGUF keeps them: blocks of 32 that share a scale, and a minimum in some types, or plain numbers.
//!
//! | type | a block of 32 | scale d | number |
//! | --- | --- | --- | --- |
//! | Q4_0, Q5_0 | f16 d, codes of 4 or 5 bits | the value of largest magnitude over −8, −16 | (q − 8) d, (q − 16) d |
//! | Q4_1, Q5_1 | f16 d, f16 m, codes | (largest − smallest) over 15, 31 | q d + m, with m the smallest |
//! | Q8_0 | f16 d, signed bytes | largest magnitude over 127 | q d |
//!
//! Codes are rounded with d as it is before it becomes float16, halves upwards (Q8_0: away from zero), in the order of operations of
//! gguf-py's `quants.py`, with which the bytes agree. The first sixteen codes of a block are the lower four bits of its bytes, and the fifth
//! bits lie in a word before them.

use half::{bf16, f16};

/// How matrices are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GgufNumbers {
    /// 32 bits.
    F32,
    /// Half precision.
    F16,
    /// The upper half of float32.
    Bf16,
    /// 4 bits about zero.
    Q4_0,
    /// 4 bits from the smallest on.
    Q4_1,
    /// 5 bits about zero.
    Q5_0,
    /// 5 bits from the smallest on.
    Q5_1,
    /// 8 bits about zero.
    Q8_0,
}

/// Numbers of a block.
pub(crate) const BLOCK: usize = 32;

impl GgufNumbers {
    /// Its usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
        }
    }

    /// Its number among GGUF's types of tensors.
    pub(super) const fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Bf16 => 30,
        }
    }

    /// The number by which a file says that most of its matrices are of this type.
    pub(super) const fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q8_0 => 7,
            Self::Q5_0 => 8,
            Self::Q5_1 => 9,
            Self::Bf16 => 32,
        }
    }

    /// Numbers that are stored together.
    pub(super) const fn together(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            _ => BLOCK,
        }
    }

    /// Bytes of so many numbers, which fill whole blocks.
    pub(super) const fn bytes(self, numbers: usize) -> usize {
        let of_one = match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
        };
        numbers / self.together() * of_one
    }

    /// Adds numbers, which fill whole blocks, as they are stored.
    pub(super) fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::F32 => values.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::F16 => values.iter().for_each(|value| out.extend(f16::from_f32(*value).to_le_bytes())),
            Self::Bf16 => values.iter().for_each(|value| out.extend(bf16::from_f32(*value).to_le_bytes())),
            Self::Q8_0 => values.chunks_exact(BLOCK).for_each(|block| eight(block, out)),
            Self::Q4_0 => values.chunks_exact(BLOCK).for_each(|block| about_zero(block, 4, out)),
            Self::Q5_0 => values.chunks_exact(BLOCK).for_each(|block| about_zero(block, 5, out)),
            Self::Q4_1 => values.chunks_exact(BLOCK).for_each(|block| from_smallest(block, 4, out)),
            Self::Q5_1 => values.chunks_exact(BLOCK).for_each(|block| from_smallest(block, 5, out)),
        }
    }
}

fn half(value: f32) -> [u8; 2] {
    f16::from_f32(value).to_le_bytes()
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Codes of 4 or 5 bits: the fifth bits, where there are such, and then two codes to a byte.
fn put(codes: [u8; BLOCK], bits: u32, out: &mut Vec<u8>) {
    if bits == 5 {
        let fifth = codes.iter().enumerate().fold(0u32, |word, (place, code)| word | u32::from(code >> 4) << place);
        out.extend(fifth.to_le_bytes());
    }
    out.extend((0..BLOCK / 2).map(|place| (codes[place] & 15) | codes[place + BLOCK / 2] << 4));
}

fn codes_of(block: &[f32], code: impl Fn(f32) -> f32) -> [u8; BLOCK] {
    let mut codes = [0; BLOCK];
    codes.iter_mut().zip(block).for_each(|(place, value)| *place = code(*value) as u8);
    codes
}

fn about_zero(block: &[f32], bits: u32, out: &mut Vec<u8>) {
    let middle = (1u32 << (bits - 1)) as f32;
    // The first of those of largest magnitude.
    let largest = block
        .iter()
        .fold(0.0f32, |largest, value| if value.abs() > largest.abs() { *value } else { largest });
    let scale = largest / -middle;
    let inverse = f64::from(inverse(scale));
    out.extend(half(scale));
    let codes = codes_of(block, |value| {
        let code = (f64::from(value) * inverse + (f64::from(middle) + 0.5)) as f32;
        code.trunc().clamp(0.0, 2.0 * middle - 1.0)
    });
    put(codes, bits, out);
}

fn from_smallest(block: &[f32], bits: u32, out: &mut Vec<u8>) {
    let most = ((1u32 << bits) - 1) as f32;
    let (smallest, largest) = block
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let scale = (largest - smallest) / most;
    let inverse = inverse(scale);
    out.extend(half(scale));
    out.extend(half(smallest));
    put(
        codes_of(block, |value| ((value - smallest) * inverse + 0.5).trunc().clamp(0.0, most)),
        bits,
        out,
    );
}

fn eight(block: &[f32], out: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = inverse(scale);
    out.extend(half(scale));
    // `round` takes halves away from zero.
    out.extend(block.iter().map(|value| ((value * inverse).round() as i8).cast_unsigned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [GgufNumbers; 8] = [
        GgufNumbers::F32,
        GgufNumbers::F16,
        GgufNumbers::Bf16,
        GgufNumbers::Q4_0,
        GgufNumbers::Q4_1,
        GgufNumbers::Q5_0,
        GgufNumbers::Q5_1,
        GgufNumbers::Q8_0,
    ];

    /// What bytes stand for, by the table above, in float64.
    fn decoded(numbers: GgufNumbers, bytes: &[u8]) -> Vec<f64> {
        let number = |place: usize| f64::from(f16::from_le_bytes([bytes[place], bytes[place + 1]]).to_f32());
        let nibbles = |from: usize| (0..BLOCK).map(move |place| bytes[from + place % 16] >> (place / 16 * 4) & 15);
        let fives = |from: usize| {
            let word = u32::from_le_bytes([bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]]);
            nibbles(from + 4).enumerate().map(move |(place, code)| code | ((word >> place & 1) << 4) as u8)
        };
        match numbers {
            GgufNumbers::Q4_0 => nibbles(2).map(|code| (f64::from(code) - 8.0) * number(0)).collect(),
            GgufNumbers::Q4_1 => nibbles(4).map(|code| f64::from(code) * number(0) + number(2)).collect(),
            GgufNumbers::Q5_0 => fives(2).map(|code| (f64::from(code) - 16.0) * number(0)).collect(),
            GgufNumbers::Q5_1 => fives(4).map(|code| f64::from(code) * number(0) + number(2)).collect(),
            GgufNumbers::Q8_0 => bytes[2..].iter().map(|code| f64::from(code.cast_signed()) * number(0)).collect(),
            GgufNumbers::F16 => (0..BLOCK).map(|place| number(2 * place)).collect(),
            GgufNumbers::Bf16 => (0..BLOCK)
                .map(|place| f64::from(bf16::from_le_bytes([bytes[2 * place], bytes[2 * place + 1]]).to_f32()))
                .collect(),
            GgufNumbers::F32 => bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
        }
    }

    #[test]
    fn numbers_come_back_within_a_step_of_their_block() {
        for seed in 0..64u32 {
            let block: Vec<f32> = (0..BLOCK as u32)
                .map(|place| ((place * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0 + seed as f32 / 40.0)
                .collect();
            let (low, high) = block
                .iter()
                .fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
            let size = f64::from(low.abs().max(high.abs()));
            for numbers in ALL {
                let mut bytes = Vec::new();
                numbers.encode(&block, &mut bytes);
                assert_eq!(bytes.len(), numbers.bytes(BLOCK), "{numbers:?}");
                // Half a step, or a whole one at the end that the sign of the largest leaves out, and the rounding of d and m to float16.
                let step = match numbers {
                    GgufNumbers::Q4_0 => size / 8.0,
                    GgufNumbers::Q5_0 => size / 16.0,
                    GgufNumbers::Q4_1 => f64::from(high - low) / 15.0 / 2.0,
                    GgufNumbers::Q5_1 => f64::from(high - low) / 31.0 / 2.0,
                    GgufNumbers::Q8_0 => size / 127.0 / 2.0,
                    GgufNumbers::F16 => size / 2048.0,
                    GgufNumbers::Bf16 => size / 256.0,
                    GgufNumbers::F32 => 0.0,
                };
                let worst = (block.iter().zip(decoded(numbers, &bytes)))
                    .map(|(value, found)| (f64::from(*value) - found).abs())
                    .fold(0.0, f64::max);
                assert!(
                    worst <= 1.01 * step + if step > 0.0 { size / 700.0 } else { 0.0 },
                    "{numbers:?} {seed}: {worst} {step}"
                );
                assert!(numbers == GgufNumbers::F32 || worst > 0.0, "{numbers:?}: nothing was rounded");
            }
        }
    }

    #[test]
    fn blocks_of_zeros_stay_zeros() {
        for numbers in ALL {
            let mut bytes = Vec::new();
            numbers.encode(&[0.0; BLOCK], &mut bytes);
            assert!(decoded(numbers, &bytes).iter().all(|value| *value == 0.0), "{numbers:?}");
        }
    }

    /// The bytes are those of gguf-py (`tests/scripts/gguf_blocks.py`).
    #[test]
    fn bytes_are_those_of_another_program() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/goldens/gguf_blocks.json")).unwrap();
        let values: Vec<f32> = golden["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| value.as_f64().unwrap() as f32)
            .collect();
        for numbers in ALL.into_iter().filter(|numbers| *numbers != GgufNumbers::F32) {
            let mut bytes = Vec::new();
            numbers.encode(&values, &mut bytes);
            let found: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found.concat(), golden[numbers.name()].as_str().unwrap(), "{numbers:?}");
        }
    }
}
