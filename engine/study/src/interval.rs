//! Intervals over instances: how far a component's relative importance, and its rank, hang on which traces were read.

use crate::resampling::Ends;
use crate::{Behaviour, Contributions, Ranks, SplitMix, StudyError};

/// A percentile bootstrap over instances.
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

/// How stable a component is under resampling of the instances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComponentStability {
    /// Lower end of the interval of relative importance.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of the draws in which the component ranks first.
    pub probability_of_rank_one: f64,
}

impl Bootstrap {
    /// The stability of every component's relative importance for one behaviour, `[layer, module]`; `None` when fewer
    /// than two instances hold the behaviour, since nothing can be said of one.
    ///
    /// # Errors
    /// As [`Contributions::importance`].
    pub fn stability(&self, contributions: &Contributions, layers: usize, behaviour: Behaviour) -> Result<Option<Vec<ComponentStability>>, StudyError> {
        let holders: Vec<_> = contributions
            .instances
            .iter()
            .filter(|instance| instance.weights[behaviour.index()] > 0.0)
            .collect();
        if holders.len() < 2 || self.draws == 0 {
            return Ok(None);
        }
        let stability = self.resample(holders.len(), |multiplicity| {
            let drawn = holders.iter().copied().zip(multiplicity.iter().copied()).filter(|(_, times)| *times > 0.0);
            Ok(contributions.importance_of(layers, drawn)?.relative_of(behaviour))
        })?;
        Ok(Some(stability))
    }

    /// The same for the mean over behaviours. The instances are drawn together, since one may hold several behaviours.
    ///
    /// # Errors
    /// As [`Contributions::importance`].
    pub fn stability_of_mean(&self, contributions: &Contributions, layers: usize) -> Result<Option<Vec<ComponentStability>>, StudyError> {
        let instances = &contributions.instances;
        if instances.len() < 2 || self.draws == 0 {
            return Ok(None);
        }
        let stability = self.resample(instances.len(), |multiplicity| {
            let drawn = instances.iter().zip(multiplicity.iter().copied()).filter(|(_, times)| *times > 0.0);
            Ok(contributions.importance_of(layers, drawn)?.relative_mean())
        })?;
        Ok(Some(stability))
    }

    /// Draws so many of so many instances with replacement, again and again; `statistic` turns how often each was drawn
    /// into one number a component. Of these, only those are held that an end of a component's interval can be.
    pub(crate) fn resample(
        &self,
        instances: usize,
        mut statistic: impl FnMut(&[f64]) -> Result<Vec<f64>, StudyError>,
    ) -> Result<Vec<ComponentStability>, StudyError> {
        let mut samples: Vec<Ends> = Vec::new();
        let mut firsts: Vec<usize> = Vec::new();
        for multiplicity in self.multiplicities(instances) {
            let values = statistic(&multiplicity)?;
            samples.resize(values.len(), Ends::of(self));
            firsts.resize(values.len(), 0);
            if let Some(first) = Ranks::of(&values).order().first() {
                firsts[first.index()] += 1;
            }
            for (sample, value) in samples.iter_mut().zip(values) {
                sample.push(value);
            }
        }
        let stability = samples.into_iter().zip(firsts).filter_map(|(sample, first)| {
            let (low, high) = sample.found()?;
            Some(ComponentStability {
                low,
                high,
                probability_of_rank_one: first as f64 / self.draws as f64,
            })
        });
        Ok(stability.collect())
    }

    /// The interval of any statistic of so many units, such as the questions of a benchmark: units are drawn with
    /// replacement, `statistic` turns how often each was drawn into a number, or into nothing where the draw defines none.
    /// `None` when there are fewer than two units, or no draw defines a number.
    pub fn interval(&self, units: usize, statistic: impl FnMut(Vec<f64>) -> Option<f64>) -> Option<(f64, f64)> {
        if units < 2 {
            return None;
        }
        self.percentiles(self.multiplicities(units).filter_map(statistic).collect())
    }

    /// How often each of so many units is drawn, draw after draw.
    pub(crate) fn multiplicities(&self, units: usize) -> impl Iterator<Item = Vec<f64>> {
        let mut generator = SplitMix::new(self.seed);
        (0..self.draws).map(move |_| {
            let mut multiplicity = vec![0.0; units];
            for _ in 0..units {
                multiplicity[generator.below(units)] += 1.0;
            }
            multiplicity
        })
    }

    /// The two ends of the interval in the sorted draws.
    fn percentiles(&self, mut sample: Vec<f64>) -> Option<(f64, f64)> {
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
    use crate::InstanceContribution;

    #[test]
    fn identical_instances_leave_no_doubt() {
        let values: Vec<f64> = (0..4 * 7).map(|i| f64::from(i % 7 + 1)).collect();
        let instance = InstanceContribution { values, weights: [1.0; 4] };
        let contributions = Contributions { instances: vec![instance; 5] };
        let stability = Bootstrap::default().stability(&contributions, 1, Behaviour::Backtracking).unwrap().unwrap();
        assert!(stability.iter().all(|component| (component.high - component.low).abs() < 1e-12));
        assert_eq!(stability[6].probability_of_rank_one, 1.0);
        let mean = Bootstrap::default().stability_of_mean(&contributions, 1).unwrap().unwrap();
        assert!(mean.iter().all(|component| (component.high - component.low).abs() < 1e-12));
    }

    #[test]
    fn the_interval_of_a_mean_holds_the_mean() {
        let values = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        let mean = |times: Vec<f64>| Some(times.iter().zip(values).map(|(times, value)| times * value).sum::<f64>() / values.len() as f64);
        let (low, high) = Bootstrap::default().interval(values.len(), mean).unwrap();
        assert!(low < 0.625 && 0.625 < high, "{low} {high}");
        assert_eq!(Bootstrap::default().interval(1, mean), None);
        assert_eq!(Bootstrap::default().interval(4, |_| None), None);
    }

    #[test]
    fn one_instance_has_no_interval_and_a_seed_repeats_itself() {
        let make = |seed: usize| InstanceContribution {
            values: (0..28).map(|i| ((i * seed) % 11) as f64).collect(),
            weights: [1.0; 4],
        };
        let one = Contributions { instances: vec![make(3)] };
        assert_eq!(Bootstrap::default().stability(&one, 1, Behaviour::AddingKnowledge).unwrap(), None);
        let some = Contributions {
            instances: vec![make(3), make(5), make(7)],
        };
        let run = || Bootstrap::default().stability(&some, 1, Behaviour::AddingKnowledge).unwrap();
        assert_eq!(run(), run());
    }
}
