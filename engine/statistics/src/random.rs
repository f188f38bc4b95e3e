//! A small seeded generator of random numbers, the same on every machine.

/// From one state to the next: the golden ratio in 64 bits.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The SplitMix64 generator (Steele, Lea and Flood, 2014). Made for resampling and for picking, not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// The generator that begins at `seed`: same seed, same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The generator `count` numbers further on, without drawing those.
    pub const fn skip(self, count: u64) -> Self {
        Self(self.0.wrapping_add(STEP.wrapping_mul(count)))
    }

    /// A number from 0 up to, and without, `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number from 0 up to, and without, 1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `count` of the numbers below `bound`, none twice, in ascending order; all of them if there are fewer.
    pub fn pick(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..bound).collect();
        let count = count.min(bound);
        for place in 0..count {
            let other = place + self.below(bound - place);
            numbers.swap(place, other);
        }
        numbers.truncate(count);
        numbers.sort_unstable();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_of_the_reference() {
        // The first outputs for seed 1234567, as the algorithm's reference program prints them.
        let mut generator = SplitMix::new(1_234_567);
        assert_eq!(generator.bits(), 6_457_827_717_110_365_317);
        assert_eq!(generator.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn skipping_is_drawing() {
        let mut drawn = SplitMix::new(u64::MAX - 5);
        for count in 0..9 {
            assert_eq!(SplitMix::new(u64::MAX - 5).skip(count).bits(), drawn.bits());
        }
    }

    #[test]
    fn picks_are_distinct_and_shares_below_one() {
        let mut generator = SplitMix::new(3);
        for bound in [0, 1, 5, 40] {
            let picked = generator.pick(5, bound);
            assert_eq!(picked.len(), 5.min(bound));
            assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(picked.iter().all(|number| *number < bound));
        }
        assert!((0..1000).all(|_| (0.0..1.0).contains(&generator.share())));
    }
}
