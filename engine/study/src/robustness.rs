//! How far a map would be another with other traces: disjoint samples of instances, behaviours beside each other, and what a map owes
//! to where the absolute value is taken.

use cruxscope_statistics::{SplitMix, spearman};

use crate::{Behaviour, Bootstrap, Component, Contributions, InstanceContribution, MapStatistic, Maps, Measured, Ranks, Study, StudyError, map_statistic};

/// Agreement of the maps of two disjoint samples of a size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleAgreement {
    /// Instances of each sample.
    pub instances: usize,
    /// Components that the most important of both have in common, as a share; the interval holds 95 % of the pairs of samples.
    pub overlap: Measured,
    /// Spearman's rank correlation of both maps, likewise.
    pub correlation: Measured,
}

/// Maps by relative importance, mean over behaviours where none is given.
fn map_of(contributions: &[&InstanceContribution], layers: usize, behaviour: Option<Behaviour>) -> Result<Option<Vec<f64>>, StudyError> {
    let map = Contributions::default().importance_of(layers, contributions.iter().map(|instance| (*instance, 1.0)))?;
    Ok(match behaviour {
        Some(behaviour) => map.has(behaviour).then(|| map.relative_of(behaviour)),
        None => Behaviour::ALL.into_iter().any(|behaviour| map.has(behaviour)).then(|| map.relative_mean()),
    })
}

/// The share of the first `top` components that two maps have in common.
pub fn overlap(a: &[f64], b: &[f64], top: usize) -> f64 {
    let top = top.min(a.len());
    let first = |values: &[f64]| -> Vec<Component> { Ranks::of(values).order().iter().take(top).copied().collect() };
    let (a, b) = (first(a), first(b));
    a.iter().filter(|component| b.contains(component)).count() as f64 / top.max(1) as f64
}

/// Draws two disjoint samples of each size from the instances that hold a behaviour (any, where none is given), so many times, and
/// compares their maps. Sizes beyond half of the instances are left out: their samples could not be disjoint.
///
/// # Errors
/// When contributions do not fit the manifest.
pub fn disjoint_samples(
    study: &Study,
    behaviour: Option<Behaviour>,
    sizes: &[usize],
    (top, draws, seed): (usize, usize, u64),
) -> Result<Vec<SampleAgreement>, StudyError> {
    let layers = study.importance.layers();
    let holds = |instance: &&InstanceContribution| match behaviour {
        Some(behaviour) => instance.weights[behaviour.index()] > 0.0,
        None => instance.weights.iter().any(|weight| *weight > 0.0),
    };
    let all: Vec<&InstanceContribution> = study.contributions.instances.iter().filter(holds).collect();
    let mut found = Vec::new();
    for size in sizes.iter().copied().filter(|size| *size > 0 && 2 * size <= all.len()) {
        // A stream of its own for each size: what other sizes there are changes nothing.
        let mut random = SplitMix::new(seed.wrapping_mul(1_000_003).wrapping_add(size as u64));
        let (mut overlaps, mut correlations) = (Vec::new(), Vec::new());
        for _ in 0..draws {
            let drawn = random.pick(2 * size, all.len());
            let part = |places: &[usize]| -> Vec<&InstanceContribution> { places.iter().map(|place| all[*place]).collect() };
            // `pick` gives its numbers in order or not: every other one goes to each side, after a shuffle of its own.
            let mut places = drawn;
            for last in (1..places.len()).rev() {
                places.swap(last, random.below(last + 1));
            }
            let maps = [
                map_of(&part(&places[..size]), layers, behaviour)?,
                map_of(&part(&places[size..]), layers, behaviour)?,
            ];
            if let [Some(a), Some(b)] = maps {
                overlaps.push(overlap(&a, &b, top));
                correlations.extend(spearman(&a, &b));
            }
        }
        let mean = |values: Vec<f64>| {
            (!values.is_empty()).then(|| Measured {
                value: values.iter().sum::<f64>() / values.len() as f64,
                interval: Bootstrap::default().percentiles(values),
            })
        };
        if let (Some(overlap), Some(correlation)) = (mean(overlaps), mean(correlations)) {
            found.push(SampleAgreement {
                instances: size,
                overlap,
                correlation,
            });
        }
    }
    Ok(found)
}

/// Spearman's rank correlation of two behaviours' maps in one study.
///
/// # Errors
/// As [`map_statistic`].
pub fn behaviours_agree(study: &Study, first: Behaviour, second: Behaviour, bootstrap: &Bootstrap) -> Result<Option<MapStatistic>, StudyError> {
    map_statistic(&[study], bootstrap, |maps| spearman(maps.relative(0, first)?, maps.relative(0, second)?))
}

/// Agreement of two studies' maps, whatever sets them apart: Spearman's rank correlation, and the share of the first `top` components
/// that both have. Instances are drawn for both together; a behaviour, or the mean over those that both hold.
///
/// # Errors
/// As [`map_statistic`].
pub fn studies_agree(
    a: &Study,
    b: &Study,
    behaviour: Option<Behaviour>,
    top: usize,
    bootstrap: &Bootstrap,
) -> Result<Option<(MapStatistic, MapStatistic)>, StudyError> {
    let both = |maps: &Maps| -> Option<(Vec<f64>, Vec<f64>)> {
        match behaviour {
            Some(behaviour) => Some((maps.relative(0, behaviour)?.to_vec(), maps.relative(1, behaviour)?.to_vec())),
            None => Some((maps.mean(0)?, maps.mean(1)?)),
        }
    };
    let correlation = map_statistic(&[a, b], bootstrap, |maps| both(maps).and_then(|(a, b)| spearman(&a, &b)))?;
    let overlap = map_statistic(&[a, b], bootstrap, |maps| both(maps).map(|(a, b)| overlap(&a, &b, top)))?;
    Ok(correlation.zip(overlap))
}

/// What a map owes to where the absolute value is taken: the study's own map against one in which the absolute value is taken of each
/// instance before they are added, so that instances of opposite sign do not cancel (the published code takes it even segment by
/// segment). None where a study's contributions have no sign.
pub fn absolute_inside(study: &Study, behaviour: Option<Behaviour>, top: usize) -> Option<(f64, f64)> {
    let signed = study
        .contributions
        .instances
        .iter()
        .flat_map(|instance| &instance.values)
        .any(|value| *value < 0.0);
    if !signed {
        return None;
    }
    let absolute: Vec<InstanceContribution> = study
        .contributions
        .instances
        .iter()
        .map(|instance| InstanceContribution {
            values: instance.values.iter().map(|value| value.abs()).collect(),
            weights: instance.weights,
        })
        .collect();
    let layers = study.importance.layers();
    let of = |instances: &[InstanceContribution]| {
        let all: Vec<&InstanceContribution> = instances.iter().collect();
        map_of(&all, layers, behaviour).ok().flatten()
    };
    let (own, inside) = (of(&study.contributions.instances)?, of(&absolute)?);
    Some((spearman(&own, &inside)?, overlap(&own, &inside, top)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data;

    /// A study of instances that are a common map and noise of a size.
    fn noisy(instances: usize, noise: f64) -> Study {
        let mut study = test_data::study(4);
        let mut random = SplitMix::new(3);
        let components = 4 * 7;
        study.contributions.instances = (0..instances)
            .map(|_| InstanceContribution {
                values: (0..4 * components)
                    .map(|place| (place % components + 1) as f64 + noise * (random.share() - 0.5))
                    .collect(),
                weights: [1.0; 4],
            })
            .collect();
        study.manifest.instances = (0..instances)
            .map(|id| crate::InstanceEntry {
                id: format!("{id}"),
                ..Default::default()
            })
            .collect();
        study
    }

    #[test]
    fn samples_agree_wholly_without_noise_and_better_with_more_instances() {
        let sizes = [1, 4, 16, 40];
        let clear = disjoint_samples(&noisy(32, 0.0), None, &sizes, (10, 50, 1)).unwrap();
        assert_eq!(
            clear.iter().map(|found| found.instances).collect::<Vec<_>>(),
            [1, 4, 16],
            "40 of 32 cannot be disjoint"
        );
        assert!(
            clear
                .iter()
                .all(|found| found.overlap.value == 1.0 && (found.correlation.value - 1.0).abs() < 1e-12)
        );
        let found = disjoint_samples(&noisy(32, 200.0), Some(Behaviour::Backtracking), &sizes, (10, 200, 1)).unwrap();
        assert!(found[0].overlap.value < found[2].overlap.value && found[2].overlap.value < 1.0, "{found:?}");
        assert_eq!(
            found,
            disjoint_samples(&noisy(32, 200.0), Some(Behaviour::Backtracking), &sizes, (10, 200, 1)).unwrap()
        );
        // A size does not depend on which others are asked for.
        assert_eq!(
            found[2],
            disjoint_samples(&noisy(32, 200.0), Some(Behaviour::Backtracking), &[16], (10, 200, 1)).unwrap()[0]
        );
    }

    #[test]
    fn a_study_agrees_with_itself_and_signs_matter_only_where_they_differ() {
        let own = noisy(12, 5.0);
        let (correlation, overlap) = studies_agree(&own, &own, None, 10, &Bootstrap::default()).unwrap().unwrap();
        assert!((correlation.value - 1.0).abs() < 1e-12 && overlap.value == 1.0);
        // Every contribution of this one is above zero.
        assert_eq!(absolute_inside(&noisy(12, 1.0), None, 10), None);
        // One component of two signs cancels outside and not inside.
        let mut signed = noisy(12, 0.0);
        for (place, instance) in signed.contributions.instances.iter_mut().enumerate() {
            for behaviour in 0..4 {
                instance.values[behaviour * 28 + 27] = if place % 2 == 0 { 100.0 } else { -100.0 };
            }
        }
        let (correlation, overlap) = absolute_inside(&signed, None, 1).unwrap();
        assert!(correlation < 1.0 && overlap == 0.0);
    }
}
