//! Intervals over instances for every component, computed once a study and off the hot path.

use cruxscope_study::{Behaviour, Bootstrap, Component, ComponentStability, Module, Study, StudyError};

use super::Basis;
use crate::background_job::BackgroundJob;

/// Resamples, where the study is small enough to be resampled that often while a person waits.
const DRAWS: usize = 1000;
/// Resamples at the least.
const DRAWS_MINIMUM: usize = 200;
/// Multiply-adds that one behaviour's resampling may cost.
const BUDGET: usize = 400_000_000;

/// The stability of every component, for every behaviour and for their mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stability {
    /// Resamples drawn.
    pub draws: usize,
    behaviours: [Option<Vec<ComponentStability>>; 4],
    mean: Option<Vec<ComponentStability>>,
}

impl BackgroundJob for Stability {
    type Subject = Study;
    /// Each behaviour, then the mean.
    const STEPS: usize = 5;

    fn step(&mut self, study: &Study, step: usize) -> Result<(), StudyError> {
        let layers = study.manifest.model.layers;
        self.draws = draws(layers, study.contributions.instances.len());
        let bootstrap = Bootstrap {
            draws: self.draws,
            ..Bootstrap::default()
        };
        match Behaviour::ALL.get(step) {
            Some(behaviour) => self.behaviours[behaviour.index()] = study.contributions.stability(layers, *behaviour, &bootstrap)?,
            None => self.mean = study.contributions.stability_of_mean(layers, &bootstrap)?,
        }
        Ok(())
    }
}

impl Stability {
    /// The stability of one component, where at least two instances say anything about it.
    pub fn of(&self, basis: Basis, component: Component) -> Option<ComponentStability> {
        let components = match basis {
            Basis::Mean => self.mean.as_ref(),
            Basis::Behaviour(behaviour) => self.behaviours[behaviour.index()].as_ref(),
        };
        components?.get(component.index()).copied()
    }
}

/// How often a study of this size is resampled.
pub fn draws(layers: usize, instances: usize) -> usize {
    let cost = (Behaviour::ALL.len() * layers * Module::ALL.len() * instances).max(1);
    (BUDGET / cost).clamp(DRAWS_MINIMUM, DRAWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    use crate::Figures;

    #[test]
    fn intervals_hold_the_value_and_shares_of_first_ranks_sum_to_one() {
        let study = samples::study(6);
        let figures = Figures::of(&study);
        let stability = Stability::all(&study).unwrap();
        for basis in [Basis::Mean, Basis::Behaviour(Behaviour::Backtracking)] {
            let mut sum = 0.0;
            for component in Component::all(6) {
                let found = stability.of(basis, component).unwrap();
                let value = figures.relative_of(basis, component);
                assert!(found.low - 1e-12 <= value && value <= found.high + 1e-12, "{basis:?} {component}");
                sum += found.probability_of_rank_one;
            }
            assert!((sum - 1.0).abs() < 1e-9);
        }
        assert_eq!(
            stability.of(Basis::Behaviour(Behaviour::AddingKnowledge), Component::new(0, Module::Query)),
            None
        );
    }

    #[test]
    fn identical_instances_leave_no_doubt_about_the_mean() {
        let mut study = samples::study(2);
        let first = study.contributions.instances[0].clone();
        study.contributions.instances.iter_mut().for_each(|instance| *instance = first.clone());
        let stability = Stability::all(&study).unwrap();
        for component in Component::all(2) {
            let found = stability.of(Basis::Mean, component).unwrap();
            assert!((found.high - found.low).abs() < 1e-12);
        }
    }

    #[test]
    fn large_studies_are_resampled_less_often() {
        assert_eq!(draws(30, 4), DRAWS);
        assert_eq!(draws(128, 5000), DRAWS_MINIMUM);
    }
}
