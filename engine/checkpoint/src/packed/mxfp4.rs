//! MXFP4 as gpt-oss ships it: `blocks` of 16 bytes, each of which holds 32 codes of E2M1, the lower four bits first, and one E8M0 scale
//! a block: `w[32 b + i] = e2m1(code[i]) · 2^(scale[b] − 127)`.
//!
//! For experts `blocks` is `[experts, out, in / 32, 16]` and `scales` `[experts, out, in / 32]`: whoever reads an expert's matrix takes
//! its stretch of both and gets `[out, in]`. Every number is exact in float32. Source: openai/gpt-oss, `gpt_oss/torch/weights.py`;
//! OCP Microscaling Formats (MX) specification 1.0.

use super::small_floats::{e2m1, e8m0};

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 16;
/// Numbers of a block.
pub const BLOCK: usize = 32;

/// Decodes blocks into `out`, 32 numbers each; false, and nothing done, where the lengths do not belong together or a scale is 255,
/// which stands for no number.
#[must_use]
pub fn decode(blocks: &[u8], scales: &[u8], out: &mut [f32]) -> bool {
    if blocks.len() != BLOCK_BYTES * scales.len() || out.len() != BLOCK * scales.len() || scales.contains(&u8::MAX) {
        return false;
    }
    for ((bytes, scale), out) in blocks.chunks_exact(BLOCK_BYTES).zip(scales).zip(out.chunks_exact_mut(BLOCK)) {
        let scale = e8m0(*scale);
        for (byte, out) in bytes.iter().zip(out.chunks_exact_mut(2)) {
            out[0] = e2m1(*byte) * scale;
            out[1] = e2m1(byte >> 4) * scale;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula in float64, a number at a time.
    fn reference(blocks: &[u8], scales: &[u8], place: usize) -> f64 {
        let (block, within) = (place / BLOCK, place % BLOCK);
        let byte = blocks[block * BLOCK_BYTES + within / 2];
        let code = if within.is_multiple_of(2) { byte % 16 } else { byte / 16 };
        let magnitude = match code % 8 {
            0 => 0.0,
            1 => 0.5,
            larger => (1.0 + 0.5 * f64::from(larger % 2)) * 2f64.powi(i32::from(larger / 2) - 1),
        };
        let sign = if code < 8 { 1.0 } else { -1.0 };
        sign * magnitude * 2f64.powi(i32::from(scales[block]) - 127)
    }

    #[test]
    fn blocks_are_those_of_the_formula() {
        let blocks: Vec<u8> = (0..=u8::MAX)
            .flat_map(|byte| (0..BLOCK_BYTES as u8).map(move |place| byte.wrapping_mul(7).wrapping_add(place * 17)))
            .collect();
        // The largest scales would overflow float32, as they would any program's.
        let scales: Vec<u8> = (0..=u8::MAX).map(|scale| scale.min(250)).collect();
        let mut out = vec![0f32; BLOCK * scales.len()];
        assert!(decode(&blocks, &scales, &mut out));
        for (place, value) in out.iter().enumerate() {
            assert_eq!(f64::from(*value), reference(&blocks, &scales, place), "{place}");
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let mut out = [1f32; BLOCK];
        assert!(!decode(&[0; 15], &[127], &mut out) && !decode(&[0; 16], &[127, 127], &mut out) && !decode(&[0; 16], &[255], &mut out));
        assert_eq!(out, [1.0; BLOCK], "nothing was done");
        assert!(decode(&[0; 16], &[127], &mut out));
    }
}
