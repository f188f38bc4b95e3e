//! Sixteen numbers at a time, for the loops that compilers do not vectorise by themselves: weights in short forms, turned into
//! float32 on their way into a sum.
//!
//! Written out for AVX-512 and AVX2, and in plain arrays for every other processor. All three round alike (what is one step is one
//! everywhere), so results are the same bits on each.

/// Numbers of a vector.
pub(super) const LANES: usize = 16;

/// An instruction set.
pub(super) trait Lanes: Copy {
    /// Sixteen float32.
    type Vector: Copy;
    /// Whether there are registers enough for the sums of eight rows at a time.
    const MANY: bool = false;

    /// One number in all lanes.
    fn splat(self, value: f32) -> Self::Vector;
    /// Float32 as they are.
    fn load(self, values: &[f32; LANES]) -> Self::Vector;
    /// Bytes as numbers.
    fn bytes(self, codes: &[u8; LANES]) -> Self::Vector;
    /// The lower halves of bytes as numbers.
    fn low_halves(self, codes: &[u8; LANES]) -> Self::Vector;
    /// The upper halves of bytes as numbers.
    fn high_halves(self, codes: &[u8; LANES]) -> Self::Vector;
    /// `step * code + lowest` of codes up to 15, of the lower halves of bytes and of the upper ones.
    #[inline(always)]
    fn levels4(self, step: f32, lowest: f32, codes: &[u8; LANES]) -> [Self::Vector; 2] {
        let (step, lowest) = (self.splat(step), self.splat(lowest));
        [self.low_halves(codes), self.high_halves(codes)].map(
            #[inline(always)]
            |code| self.add(self.multiply(step, code), lowest),
        )
    }
    /// bfloat16.
    fn bf16_values(self, bits: &[u16; LANES]) -> Self::Vector;
    /// Finite float16.
    fn f16_values(self, bits: &[u16; LANES]) -> Self::Vector;
    /// a + b.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a * b.
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a * b + c, rounded once.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The numbers of a vector.
    fn store(self, vector: Self::Vector) -> [f32; LANES];

    /// The sum of a vector, in pairs: sixteen sums become eight, four, two, one.
    #[inline(always)]
    fn sum(self, vector: Self::Vector) -> f32 {
        let mut parts = self.store(vector);
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                parts[lane] += parts[lane + half];
            }
        }
        parts[0]
    }
}

/// Every processor.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Lanes for Plain {
    type Vector = [f32; LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; LANES] {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> [f32; LANES] {
        *values
    }

    #[inline(always)]
    fn bytes(self, codes: &[u8; LANES]) -> [f32; LANES] {
        codes.map(f32::from)
    }

    #[inline(always)]
    fn low_halves(self, codes: &[u8; LANES]) -> [f32; LANES] {
        codes.map(|code| f32::from(code & 15))
    }

    #[inline(always)]
    fn high_halves(self, codes: &[u8; LANES]) -> [f32; LANES] {
        codes.map(|code| f32::from(code >> 4))
    }

    #[inline(always)]
    fn bf16_values(self, bits: &[u16; LANES]) -> [f32; LANES] {
        bits.map(super::held::bf16_value)
    }

    #[inline(always)]
    fn f16_values(self, bits: &[u16; LANES]) -> [f32; LANES] {
        bits.map(super::held::f16_value)
    }

    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn multiply(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn multiply_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn store(self, vector: [f32; LANES]) -> [f32; LANES] {
        vector
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m128i, __m256, __m256i, __m512};

    use pulp::cast;
    use pulp::x86::{V3, V4};

    use super::{LANES, Lanes};

    /// AVX-512.
    impl Lanes for V4 {
        type Vector = __m512;
        const MANY: bool = true;

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            self.avx512f._mm512_set1_ps(value)
        }

        #[inline(always)]
        fn load(self, values: &[f32; LANES]) -> __m512 {
            cast(*values)
        }

        #[inline(always)]
        fn bytes(self, codes: &[u8; LANES]) -> __m512 {
            self.avx512f._mm512_cvtepi32_ps(self.avx512f._mm512_cvtepu8_epi32(cast(*codes)))
        }

        #[inline(always)]
        fn low_halves(self, codes: &[u8; LANES]) -> __m512 {
            let low = self.sse2._mm_and_si128(cast(*codes), self.sse2._mm_set1_epi8(15));
            self.avx512f._mm512_cvtepi32_ps(self.avx512f._mm512_cvtepu8_epi32(low))
        }

        #[inline(always)]
        fn high_halves(self, codes: &[u8; LANES]) -> __m512 {
            let high = self.sse2._mm_srli_epi16::<4>(cast(*codes));
            let high = self.sse2._mm_and_si128(high, self.sse2._mm_set1_epi8(15));
            self.avx512f._mm512_cvtepi32_ps(self.avx512f._mm512_cvtepu8_epi32(high))
        }

        /// All sixteen levels once, and each code picks its own: the instruction reads no more than four bits.
        #[inline(always)]
        fn levels4(self, step: f32, lowest: f32, codes: &[u8; LANES]) -> [__m512; 2] {
            const CODES: [f32; LANES] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
            let levels = self.add(self.multiply(self.splat(step), cast(CODES)), self.splat(lowest));
            let low = self.avx512f._mm512_cvtepu8_epi32(cast(*codes));
            let high = self.avx512f._mm512_srli_epi32::<4>(low);
            [low, high].map(
                #[inline(always)]
                |codes| self.avx512f._mm512_permutexvar_ps(codes, levels),
            )
        }

        #[inline(always)]
        fn bf16_values(self, bits: &[u16; LANES]) -> __m512 {
            let wide = self.avx512f._mm512_cvtepu16_epi32(cast(*bits));
            cast(self.avx512f._mm512_slli_epi32::<16>(wide))
        }

        #[inline(always)]
        fn f16_values(self, bits: &[u16; LANES]) -> __m512 {
            self.avx512f._mm512_cvtph_ps(cast(*bits))
        }

        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            self.avx512f._mm512_add_ps(a, b)
        }

        #[inline(always)]
        fn multiply(self, a: __m512, b: __m512) -> __m512 {
            self.avx512f._mm512_mul_ps(a, b)
        }

        #[inline(always)]
        fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            self.avx512f._mm512_fmadd_ps(a, b, c)
        }

        #[inline(always)]
        fn store(self, vector: __m512) -> [f32; LANES] {
            cast(vector)
        }
    }

    /// Sixteen bytes as numbers.
    #[inline(always)]
    fn widened(simd: V3, codes: __m128i) -> [__m256; 2] {
        [codes, simd.sse2._mm_srli_si128::<8>(codes)].map(
            #[inline(always)]
            |eight| simd.avx._mm256_cvtepi32_ps(simd.avx2._mm256_cvtepu8_epi32(eight)),
        )
    }

    /// Sixteen halves of numbers, zeros before them.
    #[inline(always)]
    fn words(simd: V3, bits: &[u16; LANES]) -> [__m256i; 2] {
        let [low, high]: [__m128i; 2] = cast(*bits);
        [simd.avx2._mm256_cvtepu16_epi32(low), simd.avx2._mm256_cvtepu16_epi32(high)]
    }

    /// AVX2.
    impl Lanes for V3 {
        type Vector = [__m256; 2];

        #[inline(always)]
        fn splat(self, value: f32) -> [__m256; 2] {
            [self.avx._mm256_set1_ps(value); 2]
        }

        #[inline(always)]
        fn load(self, values: &[f32; LANES]) -> [__m256; 2] {
            cast(*values)
        }

        #[inline(always)]
        fn bytes(self, codes: &[u8; LANES]) -> [__m256; 2] {
            widened(self, cast(*codes))
        }

        #[inline(always)]
        fn low_halves(self, codes: &[u8; LANES]) -> [__m256; 2] {
            widened(self, self.sse2._mm_and_si128(cast(*codes), self.sse2._mm_set1_epi8(15)))
        }

        #[inline(always)]
        fn high_halves(self, codes: &[u8; LANES]) -> [__m256; 2] {
            let high = self.sse2._mm_srli_epi16::<4>(cast(*codes));
            widened(self, self.sse2._mm_and_si128(high, self.sse2._mm_set1_epi8(15)))
        }

        #[inline(always)]
        fn bf16_values(self, bits: &[u16; LANES]) -> [__m256; 2] {
            let [low, high] = words(self, bits);
            [cast(self.avx2._mm256_slli_epi32::<16>(low)), cast(self.avx2._mm256_slli_epi32::<16>(high))]
        }

        /// Without a conversion of its own, which not every processor with AVX2 has; see
        /// [`f16_value`](super::super::held::f16_value).
        #[inline(always)]
        fn f16_values(self, bits: &[u16; LANES]) -> [__m256; 2] {
            let two_to_112 = self.avx._mm256_set1_ps(f32::from_bits((112 + 127) << 23));
            let (size, sign) = (self.avx._mm256_set1_epi32(0x7fff), self.avx._mm256_set1_epi32(0x8000));
            words(self, bits).map(
                #[inline(always)]
                |bits| {
                    let shifted = self.avx2._mm256_slli_epi32::<13>(self.avx2._mm256_and_si256(bits, size));
                    let scaled = self.avx._mm256_mul_ps(cast(shifted), two_to_112);
                    let sign = self.avx2._mm256_slli_epi32::<16>(self.avx2._mm256_and_si256(bits, sign));
                    self.avx._mm256_or_ps(scaled, cast(sign))
                },
            )
        }

        #[inline(always)]
        fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [self.avx._mm256_add_ps(a[0], b[0]), self.avx._mm256_add_ps(a[1], b[1])]
        }

        #[inline(always)]
        fn multiply(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            [self.avx._mm256_mul_ps(a[0], b[0]), self.avx._mm256_mul_ps(a[1], b[1])]
        }

        #[inline(always)]
        fn multiply_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            [self.fma._mm256_fmadd_ps(a[0], b[0], c[0]), self.fma._mm256_fmadd_ps(a[1], b[1], c[1])]
        }

        #[inline(always)]
        fn store(self, vector: [__m256; 2]) -> [f32; LANES] {
            cast(vector)
        }
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_needs::{Need, skip};

    use super::*;

    /// Everything an instruction set does, over every byte, every finite half and many numbers; as bits.
    fn all<L: Lanes>(lanes: L) -> Vec<u32> {
        let mut found = Vec::new();
        let mut keep = |vector: L::Vector| found.extend(lanes.store(vector).map(f32::to_bits));
        for first in (0..=255u8).step_by(LANES) {
            let codes = std::array::from_fn(|lane| first + lane as u8);
            keep(lanes.bytes(&codes));
            keep(lanes.low_halves(&codes));
            keep(lanes.high_halves(&codes));
            for (step, lowest) in [(0.37, -1.9), (-3e-7, 2.5e-6), (0.0, 4.0)] {
                lanes.levels4(step, lowest, &codes).into_iter().for_each(&mut keep);
            }
        }
        for first in (0..=u16::MAX).step_by(LANES) {
            let bits = std::array::from_fn(|lane| first + lane as u16);
            keep(lanes.bf16_values(&bits));
            // Infinity and what is no number are never held.
            if first & 0x7c00 != 0x7c00 {
                keep(lanes.f16_values(&bits));
            }
            let numbers: [f32; LANES] = std::array::from_fn(|lane| (first as f32 + lane as f32).sin());
            let (a, b) = (lanes.load(&numbers), lanes.splat(first as f32 * 0.37));
            keep(lanes.add(lanes.multiply(a, b), a));
            keep(lanes.multiply_add(a, b, lanes.splat(-0.3)));
            keep(lanes.splat(lanes.sum(a)));
        }
        found
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let plain = all(Plain);
        assert!(plain.len() > 2 * (1 << 16));
        #[cfg(target_arch = "x86_64")]
        {
            match pulp::x86::V3::try_new() {
                Some(simd) => assert!(all(simd) == plain, "AVX2"),
                None => skip(Need::Device, "this processor has no AVX2"),
            }
            match pulp::x86::V4::try_new() {
                Some(simd) => assert!(all(simd) == plain, "AVX-512"),
                None => skip(Need::Device, "this processor has no AVX-512"),
            }
        }
    }
}
