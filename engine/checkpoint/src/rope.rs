//! Rotary position embedding: the frequencies of every scaling that checkpoints use, and cos/sin tables.
//!
//! Everything is computed in float64 and rounded once. The rotation itself, and which features make a pair, is the model's business.

use std::f64::consts::PI;

/// Base and scaling of the rotary embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base θ of the frequencies.
    pub theta: f64,
    /// How the frequencies are stretched for longer contexts.
    pub scaling: RopeScaling,
}

/// How rotary frequencies are stretched, by the names of Hugging Face's `rope_type`.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// All frequencies divided by one factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// The base grows with the text once that is longer than the original context: θ (s n / c - (s - 1))^(d / (d - 2)) for n tokens.
    Dynamic {
        /// s.
        factor: f64,
        /// c.
        original_context: f64,
    },
    /// One divisor for each frequency, of two sets: one for texts up to the original context, another for longer ones.
    LongRope {
        /// Divisors up to the original context.
        short: Vec<f64>,
        /// Divisors beyond it.
        long: Vec<f64>,
        /// Context of the pretraining.
        original_context: f64,
        /// What cos and sin are multiplied by, already resolved.
        attention_factor: f64,
    },
    /// Llama 3.1: low frequencies divided, high ones kept, a smooth passage between.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_frequency_factor` are divided in full.
        low_frequency_factor: f64,
        /// Wavelengths below `original_context / high_frequency_factor` are kept.
        high_frequency_factor: f64,
        /// Context of the pretraining.
        original_context: f64,
    },
    /// YaRN (Peng et al. 2023, section 3.4).
    Yarn {
        /// The divisor of low frequencies.
        factor: f64,
        /// Context of the pretraining.
        original_context: f64,
        /// Rotations over the original context above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which it is divided in full.
        beta_slow: f64,
        /// What cos and sin are multiplied by, already resolved from `mscale` and the like.
        attention_factor: f64,
        /// Whether the borders of the ramp are rounded outwards to whole dimensions.
        truncate: bool,
    },
    /// One divisor for each frequency, as GGUF files of Llama 3.1 and later carry them in `rope_freqs.weight`.
    Divided {
        /// `head_dim / 2` divisors.
        divisors: Vec<f32>,
    },
}

/// cos and sin of every position's angles.
///
/// # Shapes
/// Both `[positions, head_dim / 2]`, row-major; the second half of a head repeats the first.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeTables {
    /// Cosines, times the attention scale.
    pub cos: Vec<f32>,
    /// Sines, times the attention scale.
    pub sin: Vec<f32>,
}

impl Rope {
    /// The frequencies of a text within the original context; see [`Rope::frequencies_of`].
    pub fn inverse_frequencies(&self, head_dim: usize) -> Vec<f64> {
        self.frequencies_of(head_dim, 0)
    }

    /// Whether a text of `after` tokens has other frequencies than one of `before`: then what was computed of its beginning does not
    /// hold any more.
    pub fn changes_between(&self, before: usize, after: usize) -> bool {
        match &self.scaling {
            RopeScaling::LongRope { original_context, .. } => (before as f64 > *original_context) != (after as f64 > *original_context),
            RopeScaling::Dynamic { original_context, .. } => before != after && before.max(after) as f64 > *original_context,
            _ => false,
        }
    }

    /// Angle per position of every pair in a text of `tokens`: `f_j = θ^(-2j / head_dim)`, then scaled. `head_dim / 2` values;
    /// `head_dim` is the number of features that turn.
    ///
    /// * linear: `f / s`
    /// * llama3, with wavelength `λ = 2π / f`, `m = (c/λ - l) / (h - l)`: `f/s` if `λ > c/l`; `f` if `λ < c/h`; else `(1 - m) f/s + m f`
    /// * yarn, with the ramp `r_j = clamp((j - a) / (b - a), 0, 1)` between the dimensions that turn `beta_fast` and `beta_slow` times
    ///   over the original context: `r f/s + (1 - r) f`
    /// * divided, longrope: `f / d_j`
    /// * dynamic: `f` of the base that the text's length makes
    pub fn frequencies_of(&self, head_dim: usize, tokens: usize) -> Vec<f64> {
        let half = head_dim / 2;
        let theta = match &self.scaling {
            RopeScaling::Dynamic { factor, original_context } => {
                let share = (tokens as f64).max(*original_context) / original_context;
                self.theta * (factor * share - (factor - 1.0)).powf(head_dim as f64 / (head_dim as f64 - 2.0))
            }
            _ => self.theta,
        };
        let plain = (0..half).map(|j| theta.powf(-((2 * j) as f64) / head_dim as f64));
        match &self.scaling {
            RopeScaling::Default | RopeScaling::Dynamic { .. } => plain.collect(),
            RopeScaling::LongRope {
                short, long, original_context, ..
            } => {
                let divisors = if tokens as f64 > *original_context { long } else { short };
                plain.zip(divisors).map(|(f, d)| f / d).collect()
            }
            RopeScaling::Linear { factor } => plain.map(|f| f / factor).collect(),
            RopeScaling::Llama3 {
                factor,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_context: context,
            } => plain
                .map(|f| {
                    let wavelength = 2.0 * PI / f;
                    if wavelength > context / low {
                        f / factor
                    } else if wavelength < context / high {
                        f
                    } else {
                        let smooth = (context / wavelength - low) / (high - low);
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                })
                .collect(),
            RopeScaling::Yarn {
                factor,
                original_context,
                beta_fast,
                beta_slow,
                truncate,
                ..
            } => {
                let dimension = |rotations: f64| head_dim as f64 * (original_context / (rotations * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
                let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
                if low == high {
                    high += 0.001; // a ramp of no length would divide by zero
                }
                plain
                    .enumerate()
                    .map(|(j, f)| {
                        let ramp = ((j as f64 - low) / (high - low)).clamp(0.0, 1.0);
                        ramp * f / factor + (1.0 - ramp) * f
                    })
                    .collect()
            }
            RopeScaling::Divided { divisors } => plain.zip(divisors).map(|(f, d)| f / f64::from(*d)).collect(),
        }
    }

    /// What cos and sin are multiplied by: the attention factor of YaRN and LongRoPE, 1 otherwise.
    pub fn attention_scale(&self) -> f64 {
        match self.scaling {
            RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => attention_factor,
            _ => 1.0,
        }
    }

    /// cos and sin of `position · f_j`, times [`Rope::attention_scale`] and the factor of the position, computed in float64; with
    /// `float32_angles`, `f_j` and the product are rounded to float32 first. A place is a position and the tokens of its text.
    pub fn tables(&self, head_dim: usize, float32_angles: bool, places: impl Iterator<Item = (usize, usize)>, factor: impl Fn(usize) -> f64) -> RopeTables {
        let (mut tokens, mut frequencies) = (0, self.frequencies_of(head_dim, 0));
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for (position, of) in places {
            if self.changes_between(tokens, of) {
                (tokens, frequencies) = (of, self.frequencies_of(head_dim, of));
            }
            let scale = self.attention_scale() * factor(position);
            for frequency in &frequencies {
                let angle = if float32_angles {
                    f64::from(position as f32 * *frequency as f32)
                } else {
                    position as f64 * frequency
                };
                let (s, c) = angle.sin_cos();
                cos.push((c * scale) as f32);
                sin.push((s * scale) as f32);
            }
        }
        RopeTables { cos, sin }
    }
}

/// `m(k) = 0.1 k ln(factor) + 1`, and 1 where nothing is stretched: what YaRN multiplies attention by, from its paper.
pub fn yarn_magnitude(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yarn(theta: f64, factor: f64, context: f64) -> Rope {
        let attention_factor = 0.1 * factor.ln() + 1.0;
        Rope {
            theta,
            scaling: RopeScaling::Yarn {
                factor,
                original_context: context,
                beta_fast: 32.0,
                beta_slow: 1.0,
                attention_factor,
                truncate: true,
            },
        }
    }

    #[test]
    fn default_frequencies_fall_from_one_by_equal_ratios() {
        let rope = Rope {
            theta: 10_000.0,
            scaling: RopeScaling::Default,
        };
        let expected = [1.0, 0.1, 0.01, 0.001];
        for (found, expected) in rope.inverse_frequencies(8).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
    }

    #[test]
    fn llama3_keeps_high_and_divides_low_frequencies() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 8192.0,
        };
        let scaled = Rope { theta: 500_000.0, scaling }.inverse_frequencies(128);
        let plain = Rope {
            theta: 500_000.0,
            scaling: RopeScaling::Default,
        }
        .inverse_frequencies(128);
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[63], plain[63] / 8.0);
        assert!(scaled.windows(2).all(|pair| pair[1] < pair[0]));
        // The whole sum, from transformers' own float32 routine.
        assert!((scaled.iter().sum::<f64>() - LLAMA3_SUM).abs() < 1e-5, "{}", scaled.iter().sum::<f64>());
    }

    #[test]
    fn yarn_matches_the_published_routine() {
        let rope = yarn(1_000_000.0, 4.0, 32_768.0);
        let frequencies = rope.inverse_frequencies(128);
        assert_eq!(frequencies[0], 1.0);
        assert!((frequencies.iter().sum::<f64>() - YARN_SUM).abs() < 1e-5, "{}", frequencies.iter().sum::<f64>());
        assert!((frequencies[40] / YARN_40 - 1.0).abs() < 1e-5, "{}", frequencies[40]);
        assert!((rope.attention_scale() - 1.138_629_436_111_989).abs() < 1e-12);
        assert_eq!(rope.tables(128, false, std::iter::once((0, 1)), |_| 1.0).cos[0], 1.138_629_4);
    }

    const LLAMA3_SUM: f64 = 5.386058263;
    const YARN_SUM: f64 = 5.144034828;
    const YARN_40: f64 = 4.445698505151e-05;

    #[test]
    fn divisors_divide() {
        let rope = Rope {
            theta: 10_000.0,
            scaling: RopeScaling::Divided { divisors: vec![1.0, 2.0] },
        };
        let found = rope.inverse_frequencies(4);
        assert_eq!(found[0], 1.0);
        assert!((found[1] - 0.005).abs() < 1e-15);
    }

    #[test]
    fn long_texts_have_frequencies_of_their_own() {
        let scaling = RopeScaling::LongRope {
            short: vec![1.0, 2.0],
            long: vec![1.0, 4.0],
            original_context: 8.0,
            attention_factor: 1.5,
        };
        let rope = Rope { theta: 100.0, scaling };
        assert!((rope.frequencies_of(4, 8)[1] - 0.05).abs() < 1e-15);
        assert!((rope.frequencies_of(4, 9)[1] - 0.025).abs() < 1e-15);
        assert!(rope.changes_between(8, 9) && !rope.changes_between(9, 20) && !rope.changes_between(0, 8));
        // One text of nine tokens beside one of eight.
        let tables = rope.tables(4, false, [(1, 9), (1, 8)].into_iter(), |_| 2.0);
        assert_eq!(tables.cos[1], (0.025f64.cos() * 3.0) as f32);
        assert_eq!(tables.cos[3], (0.05f64.cos() * 3.0) as f32);
        let scaling = RopeScaling::Dynamic {
            factor: 2.0,
            original_context: 8.0,
        };
        let rope = Rope { theta: 100.0, scaling };
        assert_eq!(
            rope.frequencies_of(4, 8),
            Rope {
                theta: 100.0,
                scaling: RopeScaling::Default
            }
            .inverse_frequencies(4)
        );
        // 100 (2 * 12 / 8 - 1)^(4 / 2) = 400.
        assert!((rope.frequencies_of(4, 12)[1] - 0.05).abs() < 1e-15);
    }

    #[test]
    fn tables_are_rows_of_positions() {
        let rope = Rope {
            theta: 10_000.0,
            scaling: RopeScaling::Default,
        };
        let tables = rope.tables(4, false, [(0, 4), (3, 4)].into_iter(), |_| 1.0);
        assert_eq!(tables.cos.len(), 4);
        assert_eq!(&tables.cos[..2], &[1.0, 1.0]);
        assert_eq!(&tables.sin[..2], &[0.0, 0.0]);
        assert_eq!(tables.cos[2], 3f64.cos() as f32);
        assert_eq!(tables.sin[3], 0.03f64.sin() as f32);
        let rounded = rope.tables(4, true, std::iter::once((1_000_003, 1_000_004)), |_| 1.0);
        assert_eq!(rounded.sin[1], f64::from(1_000_003f32 * 0.01f32).sin() as f32);
    }
}
