//! The percentile bootstrap.

use crate::SplitMix;

/// A percentile bootstrap over units, such as instances or questions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples.
    pub draws: usize,
    /// Seed of the generator: same seed, same interval.
    pub seed: u64,
    /// Share of the draws inside the interval, such as 0.95.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            draws: 1000,
            seed: 1,
            level: 0.95,
        }
    }
}

impl Bootstrap {
    /// The interval of any statistic of `units`, such as the questions of a benchmark: units are drawn with replacement,
    /// `statistic` turns how often each was drawn into a number, or `None` if it has none for the draw. `None` if there are fewer than two units, or no draw defines a number.
    pub fn interval(&self, units: usize, statistic: impl FnMut(Vec<f64>) -> Option<f64>) -> Option<(f64, f64)> {
        if units < 2 {
            return None;
        }
        self.percentiles(self.multiplicities(units).filter_map(statistic).collect())
    }

    /// How often each of `units` is drawn, draw after draw: as many with replacement as there are.
    pub fn multiplicities(&self, units: usize) -> impl Iterator<Item = Vec<f64>> {
        let mut generator = SplitMix::new(self.seed);
        (0..self.draws).map(move |_| {
            let mut multiplicity = vec![0.0; units];
            for _ in 0..units {
                multiplicity[generator.below(units)] += 1.0;
            }
            multiplicity
        })
    }

    /// The two ends of the interval in the sorted draws of a statistic; `None` if there are none.
    pub fn percentiles(&self, mut sample: Vec<f64>) -> Option<(f64, f64)> {
        sample.sort_by(f64::total_cmp);
        let last = sample.len().checked_sub(1)?;
        let tail = (1.0 - self.level) / 2.0;
        let at = |share: f64| sample[(last as f64 * share).round() as usize];
        Some((at(tail), at(1.0 - tail)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_holds_the_mean() {
        let values = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        let mean = |times: Vec<f64>| Some(times.iter().zip(values).map(|(times, value)| times * value).sum::<f64>() / values.len() as f64);
        let (low, high) = Bootstrap::default().interval(values.len(), mean).unwrap();
        assert!(low < 0.625 && 0.625 < high, "{low} {high}");
        assert_eq!(Bootstrap::default().interval(1, mean), None);
        assert_eq!(Bootstrap::default().interval(4, |_| None), None);
    }
}
