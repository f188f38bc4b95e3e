//! Numbers of 4 and 8 bits: E4M3, E5M2, E2M1 and E8M0.
//!
//! Sources: Micikevicius et al., «FP8 formats for deep learning» (2022); OCP Microscaling Formats (MX) specification 1.0.

use half::f16;

/// E4M3 (`float8_e4m3fn`): `±2^(e − 7) (1 + m/8)`, for `e = 0` `±2^−6 m/8`. No infinities; all ones but the sign is NaN.
pub(crate) fn e4m3(byte: u8) -> f32 {
    const TABLE: [f32; 256] = table();
    TABLE[usize::from(byte)]
}

const fn table() -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (exponent, mantissa) = ((byte >> 3) & 15, byte & 7);
        // Of whole numbers and powers of two, all of which are exact.
        let mut value = if exponent == 0 { mantissa as f32 } else { (mantissa + 8) as f32 };
        let mut steps = if exponent == 0 { 1 } else { exponent };
        while steps < 10 {
            value /= 2.0;
            steps += 1;
        }
        while steps > 10 {
            value *= 2.0;
            steps -= 1;
        }
        if exponent == 15 && mantissa == 7 {
            value = f32::NAN;
        }
        table[byte] = if byte < 128 { value } else { -value };
        byte += 1;
    }
    table
}

/// E5M2: the upper half of float16.
pub(crate) fn e5m2(byte: u8) -> f32 {
    f16::from_bits(u16::from(byte) << 8).to_f32()
}

/// E8M0: `2^(byte − 127)`, NaN for 255.
pub(crate) fn e8m0(byte: u8) -> f32 {
    match byte {
        // Below the normal numbers: half of the smallest.
        0 => f32::from_bits(0x0040_0000),
        255 => f32::NAN,
        byte => f32::from_bits(u32::from(byte) << 23),
    }
}

/// E2M1: `±0, 0.5, 1, 1.5, 2, 3, 4, 6`, of the lower four bits.
pub(crate) fn e2m1(nibble: u8) -> f32 {
    const TABLE: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
    TABLE[usize::from(nibble & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula in float64: sign, exponent with its bias, mantissa.
    fn reference(bits: u32, exponent_bits: u32, mantissa_bits: u32, bias: i32) -> f64 {
        let mantissa = f64::from(bits & ((1 << mantissa_bits) - 1)) / f64::from(1 << mantissa_bits);
        let exponent = (bits >> mantissa_bits & ((1 << exponent_bits) - 1)).cast_signed();
        let sign = if bits >> (mantissa_bits + exponent_bits) & 1 == 1 { -1.0 } else { 1.0 };
        let value = if exponent == 0 {
            mantissa * 2f64.powi(1 - bias)
        } else {
            (1.0 + mantissa) * 2f64.powi(exponent - bias)
        };
        sign * value
    }

    #[test]
    fn every_number_is_that_of_the_formula() {
        for byte in 0..=u8::MAX {
            let expected = reference(u32::from(byte), 4, 3, 7);
            match byte & 0x7f {
                0x7f => assert!(e4m3(byte).is_nan()),
                _ => assert_eq!(f64::from(e4m3(byte)).to_bits(), expected.to_bits(), "{byte:02x}"),
            }
            let expected = reference(u32::from(byte), 5, 2, 15);
            match byte & 0x7f {
                0x7c => assert!(e5m2(byte).is_infinite()),
                0x7d.. => assert!(e5m2(byte).is_nan()),
                _ => assert_eq!(f64::from(e5m2(byte)).to_bits(), expected.to_bits(), "{byte:02x}"),
            }
            match byte {
                255 => assert!(e8m0(byte).is_nan()),
                _ => assert_eq!(f64::from(e8m0(byte)), 2f64.powi(i32::from(byte) - 127), "{byte}"),
            }
            assert_eq!(
                f64::from(e2m1(byte)).to_bits(),
                reference(u32::from(byte & 15), 2, 1, 1).to_bits(),
                "{byte:02x}"
            );
        }
        assert_eq!(e4m3(0x7e), 448.0, "the largest");
    }
}
