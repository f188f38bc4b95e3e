//! Stability over instances: how far a component's relative importance, and its rank, depend on which traces were read.

use cruxscope_statistics::Bootstrap;

use crate::resampling::Ends;
use crate::{Behaviour, Contributions, Ranks, StudyError};

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

impl Contributions {
    /// The stability of every component's relative importance for one behaviour, `[layer, module]`; `None` if fewer than
    /// two instances hold the behaviour, since nothing can be said of one.
    ///
    /// # Errors
    /// As [`Contributions::importance`].
    pub fn stability(&self, layers: usize, behaviour: Behaviour, bootstrap: &Bootstrap) -> Result<Option<Vec<ComponentStability>>, StudyError> {
        let holders: Vec<_> = self.instances.iter().filter(|instance| instance.weights[behaviour.index()] > 0.0).collect();
        if holders.len() < 2 || bootstrap.draws == 0 {
            return Ok(None);
        }
        let stability = resample(bootstrap, holders.len(), |multiplicity| {
            let drawn = holders.iter().copied().zip(multiplicity.iter().copied()).filter(|(_, times)| *times > 0.0);
            Ok(self.importance_of(layers, drawn)?.relative_of(behaviour))
        })?;
        Ok(Some(stability))
    }

    /// The same for the mean over behaviours. The instances are drawn together, since one may hold several behaviours.
    ///
    /// # Errors
    /// As [`Contributions::importance`].
    pub fn stability_of_mean(&self, layers: usize, bootstrap: &Bootstrap) -> Result<Option<Vec<ComponentStability>>, StudyError> {
        if self.instances.len() < 2 || bootstrap.draws == 0 {
            return Ok(None);
        }
        let stability = resample(bootstrap, self.instances.len(), |multiplicity| {
            let drawn = self.instances.iter().zip(multiplicity.iter().copied()).filter(|(_, times)| *times > 0.0);
            Ok(self.importance_of(layers, drawn)?.relative_mean())
        })?;
        Ok(Some(stability))
    }
}

/// Draws instances with replacement, again and again; `statistic` turns how often each was drawn into one number a
/// component. Of these, only those are held that an end of a component's interval can be.
///
/// # Errors
/// Those of `statistic`.
pub(crate) fn resample(
    bootstrap: &Bootstrap,
    instances: usize,
    mut statistic: impl FnMut(&[f64]) -> Result<Vec<f64>, StudyError>,
) -> Result<Vec<ComponentStability>, StudyError> {
    let mut samples: Vec<Ends> = Vec::new();
    let mut firsts: Vec<usize> = Vec::new();
    for multiplicity in bootstrap.multiplicities(instances) {
        let values = statistic(&multiplicity)?;
        samples.resize(values.len(), Ends::of(bootstrap));
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
            probability_of_rank_one: first as f64 / bootstrap.draws as f64,
        })
    });
    Ok(stability.collect())
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
        let stability = contributions.stability(1, Behaviour::Backtracking, &Bootstrap::default()).unwrap().unwrap();
        assert!(stability.iter().all(|component| (component.high - component.low).abs() < 1e-12));
        assert_eq!(stability[6].probability_of_rank_one, 1.0);
        let mean = contributions.stability_of_mean(1, &Bootstrap::default()).unwrap().unwrap();
        assert!(mean.iter().all(|component| (component.high - component.low).abs() < 1e-12));
    }

    #[test]
    fn one_instance_has_no_interval_and_a_seed_repeats_itself() {
        let make = |seed: usize| InstanceContribution {
            values: (0..28).map(|i| ((i * seed) % 11) as f64).collect(),
            weights: [1.0; 4],
        };
        let one = Contributions { instances: vec![make(3)] };
        assert_eq!(one.stability(1, Behaviour::AddingKnowledge, &Bootstrap::default()).unwrap(), None);
        let some = Contributions {
            instances: vec![make(3), make(5), make(7)],
        };
        let run = || some.stability(1, Behaviour::AddingKnowledge, &Bootstrap::default()).unwrap();
        assert_eq!(run(), run());
    }
}
