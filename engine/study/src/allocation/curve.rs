//! Size against divergence, and the recipe for a target, reported by windows that did not choose it.
//!
//! A recipe that is best by noisy scores looks better on them than it is. So for every reported number the windows are split in two,
//! a recipe is chosen by each half and evaluated on the other; the recipe that is handed out is chosen by all of them.

use std::ops::Deref;

use cruxscope_statistics::Bootstrap;

use super::AllocationError;
use super::allocate::{Allocator, Choice, Constraints};
use super::ratio::estimates;
use crate::{RecipeCost, Scope, Sensitivity, TRUSTED_KL};

/// What is wanted of a recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At most so many stored bits a weight, scales and zeros included.
    BitsPerWeight(f64),
    /// At most so many bytes for all components.
    Bytes(f64),
    /// The smallest recipe with at most this divergence, in nats.
    Divergence(f64),
}

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Stored bits of all components.
    pub bits: f64,
    /// The same for each weight.
    pub bits_per_weight: f64,
    /// Divergence of recipes of this size, each evaluated by windows that did not choose it, in nats.
    pub kl: f64,
    /// Its interval by a bootstrap over windows.
    pub interval: Option<(f64, f64)>,
    /// Whether that lies beyond the range in which the second order holds.
    pub is_beyond_trust: bool,
}

/// A recipe for a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// The recipe, chosen by all windows.
    pub choice: Choice,
    /// Its size; its divergence as recipes of this size have it on windows that did not choose.
    pub cost: RecipeCost,
    /// The divergence on the windows that chose it too: lower than what is to be expected.
    pub optimistic_kl: f64,
}

/// Recipes of every size, out of a sketch that is borrowed or shared.
pub struct Curve<S> {
    sensitivity: S,
    scope: Scope,
    /// `[components, formats]`, by all windows.
    estimates: Vec<f64>,
    /// By all windows.
    whole: Allocator,
    /// By each half of the windows, with the other half.
    halves: [(Allocator, Vec<usize>); 2],
    bootstrap: Bootstrap,
}

impl<S: Deref<Target = Sensitivity>> Curve<S> {
    /// Sets the problem up for a scope.
    ///
    /// # Errors
    /// When the scope was not sketched, fewer than two windows hold it, or no format fulfils the constraints.
    pub fn new(sensitivity: S, scope: Scope, constraints: Constraints, bootstrap: Bootstrap) -> Result<Self, AllocationError> {
        let all: Vec<usize> = (0..sensitivity.facts.windows.len()).collect();
        let of_all = estimates(&sensitivity, scope, &all)?;
        let whole = Allocator::new(&sensitivity, &of_all, constraints)?;
        let held: Vec<usize> = match sensitivity.of(scope) {
            Some(sketch) => all.into_iter().filter(|window| sketch.positions[*window] > 0).collect(),
            None => Vec::new(),
        };
        if held.len() < 2 {
            return Err(AllocationError::TooLittle {
                why: format!(
                    "{} of the sketch's windows hold {scope}: a recipe is chosen by some windows and reported by others, so give two or more",
                    held.len()
                ),
            });
        }
        let half = |odd: usize| held.iter().copied().skip(odd).step_by(2).collect::<Vec<usize>>();
        let allocator = |windows: &[usize]| Allocator::new(&sensitivity, &estimates(&sensitivity, scope, windows)?, constraints);
        let (even, odd) = (half(0), half(1));
        let (by_even, by_odd) = (allocator(&even)?, allocator(&odd)?);
        Ok(Self {
            scope,
            estimates: of_all,
            whole,
            halves: [(by_even, odd), (by_odd, even)],
            bootstrap,
            sensitivity,
        })
    }

    /// The sketch.
    pub fn sensitivity(&self) -> &Sensitivity {
        &self.sensitivity
    }

    /// Whose positions count.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The divergence that a component is estimated to cause alone in a format, in nats; none where it is left as it is.
    pub fn estimate(&self, component: usize, format: Option<usize>) -> f64 {
        let formats = self.sensitivity.facts.formats.len();
        format
            .and_then(|format| self.estimates.get(component * formats + format))
            .copied()
            .unwrap_or(0.0)
    }

    /// The recipe for a size in bits, chosen by all windows; none below the smallest size.
    pub fn choice(&self, bits: f64) -> Option<Choice> {
        self.whole.within(bits)
    }

    /// Weights of all components.
    pub fn weights(&self) -> f64 {
        self.whole.weights()
    }

    /// Bits a weight of the smallest and of the largest recipe.
    pub fn range(&self) -> (f64, f64) {
        let (smallest, largest) = self.whole.range();
        (smallest / self.whole.weights(), largest / self.whole.weights())
    }

    /// The divergence of recipes of a size, by windows that did not choose; none below the smallest size.
    pub fn at(&self, bits: f64) -> Option<CurvePoint> {
        let choice = self.whole.within(bits)?;
        let (own_bits, weights) = self.sensitivity.size(&choice)?;
        let windows = self.crossed(bits)?;
        let kl = mean(&windows, &vec![1.0; windows.len()])?;
        Some(CurvePoint {
            bits: own_bits,
            bits_per_weight: own_bits / weights,
            kl,
            interval: self.bootstrap.interval(windows.len(), |times| mean(&windows, &times)),
            is_beyond_trust: kl > TRUSTED_KL,
        })
    }

    /// Squares and positions of every window, under the recipe of a size that the other half of the windows chose.
    fn crossed(&self, bits: f64) -> Option<Vec<(f64, f64)>> {
        let mut windows: Vec<(f64, f64)> = Vec::new();
        for (allocator, others) in &self.halves {
            let squares = self.sensitivity.window_squares(self.scope, &allocator.within(bits)?)?;
            windows.extend(others.iter().map(|window| squares[*window]));
        }
        Some(windows)
    }

    /// At most so many points, from the smallest recipe to the largest.
    pub fn points(&self, count: usize) -> Vec<CurvePoint> {
        let (smallest, largest) = self.whole.range();
        let count = count.max(2);
        let mut points: Vec<CurvePoint> = Vec::new();
        for index in 0..count {
            let bits = smallest + (largest - smallest) * index as f64 / (count - 1) as f64;
            if let Some(point) = self.at(bits)
                && points.last().is_none_or(|last| point.bits > last.bits)
            {
                points.push(point);
            }
        }
        points
    }

    /// The recipe for a target.
    ///
    /// # Errors
    /// When the target lies below the smallest recipe or above the largest.
    pub fn allocate(&self, target: Target) -> Result<Allocation, AllocationError> {
        let (smallest, largest) = self.whole.range();
        let weights = self.whole.weights();
        let bits = match target {
            Target::BitsPerWeight(bits) => bits * weights,
            Target::Bytes(bytes) => bytes * 8.0,
            Target::Divergence(kl) => self.smallest_within(kl)?,
        };
        let beyond = |than: &str| AllocationError::Budget {
            why: format!(
                "{:.3} bits a weight ({}) were asked for, {than}: recipes over this menu take {:.3} to {:.3} bits a weight ({} to {}), scales included",
                bits / weights,
                size_in_words(bits),
                smallest / weights,
                largest / weights,
                size_in_words(smallest),
                size_in_words(largest)
            ),
        };
        // A target is written with a few digits, so the ends of the range are not taken to the last one.
        if bits.is_nan() || bits < smallest * (1.0 - 1e-4) {
            return Err(beyond("less than the smallest recipe takes"));
        }
        if bits > largest * (1.0 + 1e-4) {
            return Err(beyond("more than the largest recipe takes"));
        }
        let bits = bits.clamp(smallest, largest);
        let missing = || AllocationError::TooLittle {
            why: format!("the sketch says nothing of {} at this size", self.scope),
        };
        let choice = self.whole.within(bits).ok_or_else(missing)?;
        let own = self.sensitivity.cost(self.scope, &choice, self.bootstrap).ok_or_else(missing)?;
        let point = self.at(bits).ok_or_else(missing)?;
        Ok(Allocation {
            choice,
            optimistic_kl: own.kl,
            cost: RecipeCost {
                kl: point.kl,
                interval: point.interval,
                is_beyond_trust: point.is_beyond_trust,
                ..own
            },
        })
    }

    /// The smallest size at which the reported divergence is at most `kl`. It does not fall with every step, so all are looked at.
    fn smallest_within(&self, kl: f64) -> Result<f64, AllocationError> {
        let mut best = f64::INFINITY;
        for size in self.whole.sizes() {
            let found = self.crossed(size).and_then(|windows| mean(&windows, &vec![1.0; windows.len()]));
            match found {
                Some(found) if found <= kl => return Ok(size),
                Some(found) => best = best.min(found),
                None => {}
            }
        }
        Err(AllocationError::Budget {
            why: format!("no recipe over this menu keeps the divergence at {kl} nats or below: the best has {best:.5}; add formats with more bits"),
        })
    }
}

/// The divergence over windows, each drawn so many times; none where they hold no position.
fn mean(windows: &[(f64, f64)], times: &[f64]) -> Option<f64> {
    let (mut squares, mut positions) = (0.0, 0.0);
    for ((square, count), times) in windows.iter().zip(times) {
        squares += times * square;
        positions += times * count;
    }
    (positions > 0.0).then(|| squares / (2.0 * positions))
}

/// A number of bits as a size: `5.2 GiB`.
pub fn size_in_words(bits: f64) -> String {
    let mut size = bits / 8.0;
    for unit in ["B", "KiB", "MiB"] {
        if size < 1024.0 {
            return format!("{size:.1} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.2} GiB")
}
