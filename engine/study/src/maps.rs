//! Statistics of maps: any number that follows from the relative importance of one or several studies, with its interval over the
//! instances that all of them read.
//!
//! Instances are drawn for all studies at once, so that what an instance does to each of them cancels in what is compared.

use std::collections::BTreeMap;

use crate::resampling::resample;
use crate::{Behaviour, Bootstrap, Contributions, InstanceContribution, Study, StudyError};

/// Relative importance of several studies in one sample of their instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Maps {
    /// Decoder layers.
    pub layers: usize,
    /// By study and behaviour, `[layer, module]`; none where the sample does not hold the behaviour.
    relative: Vec<[Option<Vec<f64>>; 4]>,
}

impl Maps {
    /// Relative importance of a behaviour in a study; none where it is not held, or there is no such study.
    pub fn relative(&self, study: usize, behaviour: Behaviour) -> Option<&[f64]> {
        self.relative.get(study)?[behaviour.index()].as_deref()
    }

    /// Whether every study holds a behaviour.
    pub fn has(&self, behaviour: Behaviour) -> bool {
        !self.relative.is_empty() && self.relative.iter().all(|own| own[behaviour.index()].is_some())
    }

    /// The mean over the behaviours that every study holds; none where there is no such behaviour.
    pub fn mean(&self, study: usize) -> Option<Vec<f64>> {
        let held: Vec<&[f64]> = Behaviour::ALL
            .into_iter()
            .filter(|behaviour| self.has(*behaviour))
            .filter_map(|behaviour| self.relative(study, behaviour))
            .collect();
        let first = held.first()?;
        let mean = |place: usize| held.iter().map(|values| values[place]).sum::<f64>() / held.len() as f64;
        Some((0..first.len()).map(mean).collect())
    }
}

/// A statistic of maps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapStatistic {
    /// Its value over all instances that the studies share.
    pub value: f64,
    /// Its interval; none with fewer than two instances.
    pub interval: Option<(f64, f64)>,
    /// The instances.
    pub instances: usize,
}

/// A statistic over the instances that all studies share, by their ids. `None` where they share none, or it is not defined.
///
/// # Errors
/// When layers differ, or contributions do not fit their manifest.
pub fn map_statistic(studies: &[&Study], bootstrap: &Bootstrap, mut statistic: impl FnMut(&Maps) -> Option<f64>) -> Result<Option<MapStatistic>, StudyError> {
    let Some(first) = studies.first() else { return Ok(None) };
    let layers = first.importance.layers();
    if let Some(other) = studies.iter().find(|study| study.importance.layers() != layers) {
        let why = format!("one study has {layers} layers, another {}", other.importance.layers());
        return Err(StudyError::Incomparable { why });
    }
    let places: Vec<BTreeMap<&str, usize>> = studies
        .iter()
        .map(|study| {
            let ids = study.manifest.instances.iter().enumerate();
            ids.map(|(place, entry)| (entry.id.as_str(), place)).collect()
        })
        .collect();
    let shared: Vec<&str> = places[0]
        .keys()
        .copied()
        .filter(|id| places.iter().all(|places| places.contains_key(id)))
        .collect();
    let sides: Vec<Vec<&InstanceContribution>> = studies
        .iter()
        .zip(&places)
        .map(|(study, places)| shared.iter().filter_map(|id| study.contributions.instances.get(*places.get(id)?)).collect())
        .collect();
    if shared.is_empty() || sides.iter().any(|side| side.len() != shared.len()) {
        return Ok(None);
    }
    let mut relative = Vec::new();
    for side in &sides {
        let map = Contributions::default().importance_of(layers, side.iter().map(|instance| (*instance, 1.0)))?;
        relative.push(Behaviour::ALL.map(|behaviour| map.has(behaviour).then(|| map.relative_of(behaviour))));
    }
    let Some(value) = statistic(&Maps { layers, relative }) else {
        return Ok(None);
    };
    let mut sample = Vec::new();
    if shared.len() > 1 {
        resample(bootstrap, layers, &sides, &Behaviour::ALL, &mut |_| {}, &mut |draw| {
            let of = |side: usize| Behaviour::ALL.map(|behaviour| draw.held(side, behaviour).then(|| draw.relative_of(side, behaviour)));
            let maps = Maps {
                layers,
                relative: (0..sides.len()).map(of).collect(),
            };
            sample.extend(statistic(&maps));
            Ok(())
        })?;
    }
    Ok(Some(MapStatistic {
        value,
        interval: bootstrap.percentiles(sample),
        instances: shared.len(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Comparison, Component, DifferenceKind, Module, test_data};

    #[test]
    fn a_statistic_of_one_component_is_that_of_stability_and_shift() {
        let (a, b) = (test_data::study(3), test_data::compressed(3));
        let component = Component::new(2, Module::Gate);
        let bootstrap = Bootstrap::default();
        let alone = map_statistic(&[&a], &bootstrap, |maps| Some(maps.mean(0)?[component.index()]))
            .unwrap()
            .unwrap();
        let known = a.contributions.stability_of_mean(3, &bootstrap).unwrap().unwrap()[component.index()];
        assert!((alone.value - a.importance.relative_mean()[component.index()]).abs() < 1e-12);
        let (low, high) = alone.interval.unwrap();
        assert!((low - known.low).abs() < 1e-12 && (high - known.high).abs() < 1e-12);

        let net = |maps: &Maps| Some(maps.mean(1)?[component.index()] - maps.mean(0)?[component.index()]);
        let shift = map_statistic(&[&a, &b], &bootstrap, net).unwrap().unwrap();
        let comparison = Comparison::between(&a, &b, &DifferenceKind::ALL).unwrap();
        let interval = comparison.intervals(&a, &b, None, &bootstrap).unwrap().unwrap()[component.index()];
        assert!((shift.value - comparison.net(None, component)).abs() < 1e-12);
        assert!((shift.interval.unwrap().0 - interval.low).abs() < 1e-12 && (shift.interval.unwrap().1 - interval.high).abs() < 1e-12);
        assert_eq!(shift.instances, 4);
    }

    #[test]
    fn other_layers_are_refused_and_other_instances_give_nothing() {
        let (a, mut b) = (test_data::study(3), test_data::study(3));
        assert!(map_statistic(&[&a, &test_data::study(2)], &Bootstrap::default(), |_| Some(0.0)).is_err());
        b.manifest.instances.iter_mut().for_each(|entry| entry.id += " of another file");
        assert_eq!(map_statistic(&[&a, &b], &Bootstrap::default(), |_| Some(0.0)).unwrap(), None);
    }
}
