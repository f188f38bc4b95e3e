//! Importance shift: how relative importance moves from one model to another (paper, section 2.3).
//!
//! Whether two studies may be compared at all is decided in [`crate::Comparability`].

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::resampling::{Ends, resample};
use crate::{Behaviour, Bootstrap, Comparability, Component, Difference, DifferenceKind, Ranks, Study, StudyError};

/// Which part of a shift is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ShiftView {
    /// What was lost, shown as a positive number: max(RI_A - RI_B, 0).
    #[default]
    Decreases,
    /// What was gained: max(RI_B - RI_A, 0).
    Increases,
    /// The signed difference RI_B - RI_A.
    Net,
}

impl ShiftView {
    /// All three, in the order of the buttons.
    pub const ALL: [Self; 3] = [Self::Decreases, Self::Increases, Self::Net];

    /// The name on the command line and in links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decreases => "decreases",
            Self::Increases => "increases",
            Self::Net => "net",
        }
    }

    /// A net shift as this view shows it.
    pub fn of(self, net: f64) -> f64 {
        match self {
            Self::Decreases => (-net).max(0.0),
            Self::Increases => net.max(0.0),
            Self::Net => net,
        }
    }
}

impl FromStr for ShiftView {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|view| view.name() == text)
            .ok_or_else(|| format!("\"{text}\" is no view of a shift; known are decreases, increases, net"))
    }
}

/// The interval of a net shift over instances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiftInterval {
    /// Lower end of RI_B - RI_A.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl ShiftInterval {
    /// The ends as a view shows them, the lower first.
    pub fn through(self, view: ShiftView) -> [f64; 2] {
        let ends = [view.of(self.low), view.of(self.high)];
        if view == ShiftView::Decreases { [ends[1], ends[0]] } else { ends }
    }
}

/// The numbers of one behaviour, or of the mean over behaviours.
#[derive(Clone, Debug, PartialEq)]
struct Numbers {
    /// Relative importance in A and in B, `[layer, module]`.
    relative: [Vec<f64>; 2],
    ranks: [Ranks; 2],
    /// By size of the shift, for each view.
    shift_ranks: [Ranks; 3],
}

impl Numbers {
    fn of(a: Vec<f64>, b: Vec<f64>) -> Self {
        let sizes = |view: ShiftView| -> Vec<f64> { a.iter().zip(&b).map(|(a, b)| view.of(b - a).abs()).collect() };
        Self {
            ranks: [Ranks::of(&a), Ranks::of(&b)],
            shift_ranks: ShiftView::ALL.map(|view| Ranks::of(&sizes(view))),
            relative: [a, b],
        }
    }
}

/// Two studies side by side: A, the more capable model, and B, the compressed one or the base model.
///
/// Wherever a behaviour is asked for, none stands for the mean over the behaviours that both studies hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In what the two differ besides their models.
    pub differences: Vec<Difference>,
    layers: usize,
    present: [bool; 4],
    numbers: Vec<Numbers>,
    /// Positions of the instances that both studies read, in A and in B, by id.
    shared: Vec<[usize; 2]>,
}

impl Comparison {
    /// Compares two studies. `allowed` are the kinds of differences that may be there.
    ///
    /// # Errors
    /// [`StudyError::Incomparable`] where the comparison means nothing, or where something differs that is not allowed.
    pub fn between(a: &Study, b: &Study, allowed: &[DifferenceKind]) -> Result<Self, StudyError> {
        let Comparability { refusals, differences } = Comparability::between(&a.manifest, &b.manifest);
        let not_allowed = differences.iter().filter(|difference| !allowed.contains(&difference.kind));
        let why: Vec<String> = refusals.into_iter().chain(not_allowed.map(|difference| difference.sentence.clone())).collect();
        if !why.is_empty() {
            return Err(StudyError::Incomparable { why: why.join(" ") });
        }
        let layers = a.importance.layers();
        if layers != b.importance.layers() {
            let why = format!("A has {layers} layers, B has {}.", b.importance.layers());
            return Err(StudyError::Incomparable { why });
        }
        let present = Behaviour::ALL.map(|behaviour| a.importance.has(behaviour) && b.importance.has(behaviour));
        let mut numbers: Vec<Numbers> = Behaviour::ALL
            .into_iter()
            .map(|behaviour| Numbers::of(a.importance.relative_of(behaviour), b.importance.relative_of(behaviour)))
            .collect();
        numbers.push(Numbers::of(a.importance.relative_mean_over(present), b.importance.relative_mean_over(present)));
        let in_b: BTreeMap<&str, usize> = b
            .manifest
            .instances
            .iter()
            .enumerate()
            .map(|(position, entry)| (entry.id.as_str(), position))
            .collect();
        let shared = a.manifest.instances.iter().enumerate();
        let shared = shared.filter_map(|(position, entry)| Some([position, *in_b.get(entry.id.as_str())?]));
        Ok(Self {
            differences,
            layers,
            present,
            numbers,
            shared: shared.collect(),
        })
    }

    /// Number of decoder layers.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Whether both studies hold the behaviour; for the mean, whether they share any.
    pub fn has(&self, behaviour: Option<Behaviour>) -> bool {
        behaviour.map_or_else(|| self.present.contains(&true), |behaviour| self.present[behaviour.index()])
    }

    /// Number of instances that both studies read.
    pub fn shared_instances(&self) -> usize {
        self.shared.len()
    }

    /// Relative importance in A, `[layer, module]`.
    pub fn from(&self, behaviour: Option<Behaviour>) -> &[f64] {
        &self.numbers(behaviour).relative[0]
    }

    /// Relative importance in B, `[layer, module]`.
    pub fn to(&self, behaviour: Option<Behaviour>) -> &[f64] {
        &self.numbers(behaviour).relative[1]
    }

    /// RI_B - RI_A of one component. A behaviour that only one study holds has no shift: zero.
    pub fn net(&self, behaviour: Option<Behaviour>, component: Component) -> f64 {
        if !self.has(behaviour) {
            return 0.0;
        }
        self.to(behaviour)[component.index()] - self.from(behaviour)[component.index()]
    }

    /// The shift through a view, `[layer, module]`.
    pub fn shift(&self, behaviour: Option<Behaviour>, view: ShiftView) -> Vec<f64> {
        Component::all(self.layers).map(|component| view.of(self.net(behaviour, component))).collect()
    }

    /// The ranks of relative importance in A and in B.
    pub fn ranks(&self, behaviour: Option<Behaviour>) -> &[Ranks; 2] {
        &self.numbers(behaviour).ranks
    }

    /// The ranks by size of the shift; net shifts are ranked without their sign.
    pub fn shift_ranks(&self, behaviour: Option<Behaviour>, view: ShiftView) -> &Ranks {
        let position = ShiftView::ALL.iter().position(|known| *known == view).unwrap_or_default();
        &self.numbers(behaviour).shift_ranks[position]
    }

    /// The interval of every component's net shift by a paired bootstrap: the instances that both studies read are drawn
    /// for both at once, so that what an instance does to both models cancels. `None` for fewer than two of them.
    ///
    /// # Errors
    /// When the contributions do not fit the manifests.
    pub fn intervals(&self, a: &Study, b: &Study, behaviour: Option<Behaviour>, bootstrap: &Bootstrap) -> Result<Option<Vec<ShiftInterval>>, StudyError> {
        let mut found = self.intervals_of(a, b, &[behaviour], bootstrap, &mut |_| {})?;
        Ok(found.pop().flatten())
    }

    /// The same for several behaviours, in their order; those that the same instances hold are drawn together. `progress` is told the
    /// share that is done.
    ///
    /// # Errors
    /// As [`Self::intervals`].
    pub fn intervals_of(
        &self,
        a: &Study,
        b: &Study,
        parts: &[Option<Behaviour>],
        bootstrap: &Bootstrap,
        progress: &mut dyn FnMut(f64),
    ) -> Result<Vec<Option<Vec<ShiftInterval>>>, StudyError> {
        let mut found = vec![None; parts.len()];
        // The places of the parts by the instances that hold them.
        let mut groups: BTreeMap<Vec<[usize; 2]>, Vec<usize>> = BTreeMap::new();
        for (place, part) in parts.iter().enumerate() {
            let pairs = self.holders(a, b, *part);
            if pairs.len() >= 2 && bootstrap.draws > 0 && self.has(*part) {
                groups.entry(pairs).or_default().push(place);
            }
        }
        let of = groups.len() as f64;
        for (done, (pairs, places)) in groups.into_iter().enumerate() {
            let needed = |behaviour: &Behaviour| {
                places.iter().any(|place| match parts[*place] {
                    Some(part) => part == *behaviour,
                    None => self.present[behaviour.index()],
                })
            };
            let behaviours: Vec<Behaviour> = Behaviour::ALL.into_iter().filter(needed).collect();
            let sides = [
                pairs.iter().map(|[in_a, _]| &a.contributions.instances[*in_a]).collect(),
                pairs.iter().map(|[_, in_b]| &b.contributions.instances[*in_b]).collect(),
            ];
            let mut ends = vec![vec![Ends::of(bootstrap); Component::all(self.layers).count()]; places.len()];
            let mut told = |share: f64| progress((done as f64 + share) / of);
            resample(bootstrap, self.layers, &sides, &behaviours, &mut told, &mut |draw| {
                for (place, ends) in places.iter().zip(&mut ends) {
                    let [from, to] = [0, 1].map(|side| match parts[*place] {
                        Some(behaviour) => draw.relative_of(side, behaviour),
                        None => draw.relative_mean(side, self.present),
                    });
                    for ((from, to), ends) in from.iter().zip(&to).zip(ends) {
                        ends.push(to - from);
                    }
                }
                Ok(())
            })?;
            for (place, ends) in places.into_iter().zip(ends) {
                let intervals = ends.iter().filter_map(Ends::found).map(|(low, high)| ShiftInterval { low, high });
                found[place] = Some(intervals.collect());
            }
        }
        Ok(found)
    }

    /// The instances that both studies read and that hold a behaviour on both sides, by their places.
    fn holders(&self, a: &Study, b: &Study, behaviour: Option<Behaviour>) -> Vec<[usize; 2]> {
        let holds = |study: &Study, place: usize| {
            let instance = study.contributions.instances.get(place);
            instance.is_some_and(|instance| behaviour.is_none_or(|behaviour| instance.weights[behaviour.index()] > 0.0))
        };
        let shared = self.shared.iter().copied();
        shared.filter(|[in_a, in_b]| holds(a, *in_a) && holds(b, *in_b)).collect()
    }

    fn numbers(&self, behaviour: Option<Behaviour>) -> &Numbers {
        &self.numbers[behaviour.map_or(Behaviour::ALL.len(), Behaviour::index)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contributions, Definition, InstanceContribution, InstanceEntry, Manifest, ModelEntry, ModuleDimensions};

    fn study(seed: usize, instances: usize) -> Study {
        let manifest = Manifest {
            model: ModelEntry {
                layers: 2,
                modules: vec![ModuleDimensions { outputs: 4, inputs: 4 }; 7],
                basis: "original".into(),
                ..ModelEntry::default()
            },
            instances: (0..instances)
                .map(|id| InstanceEntry {
                    id: format!("instance {id}"),
                    ..InstanceEntry::default()
                })
                .collect(),
            ..Manifest::default()
        };
        let contributions = (0..instances).map(|instance| InstanceContribution {
            // The last behaviour is in no instance.
            values: (0..56)
                .map(|i| {
                    if i < 42 {
                        0.5 + ((i * 31 + seed * 17 + instance * 7) % 13) as f64
                    } else {
                        0.0
                    }
                })
                .collect(),
            weights: [1.0, 1.0, 1.0, 0.0],
        });
        let contributions = Contributions {
            instances: contributions.collect(),
        };
        Study::new(manifest, contributions, None).unwrap()
    }

    #[test]
    fn decreases_minus_increases_is_the_net_shift_turned_round() {
        let comparison = Comparison::between(&study(1, 3), &study(2, 3), &[]).unwrap();
        for behaviour in Behaviour::ALL.map(Some).into_iter().chain([None]) {
            let [down, up, net] = ShiftView::ALL.map(|view| comparison.shift(behaviour, view));
            for i in 0..14 {
                assert!((up[i] - down[i] - net[i]).abs() < 1e-15);
            }
            assert!(net.iter().sum::<f64>().abs() < 1e-12, "relative importance only moves");
        }
        assert!(!comparison.has(Some(Behaviour::AddingKnowledge)) && comparison.has(None));
    }

    #[test]
    fn a_study_does_not_shift_from_itself_not_even_under_resampling() {
        let one = study(1, 4);
        let comparison = Comparison::between(&one, &one, &[]).unwrap();
        for behaviour in [None, Some(Behaviour::Backtracking)] {
            assert!(comparison.shift(behaviour, ShiftView::Net).iter().all(|value| *value == 0.0));
            let intervals = comparison.intervals(&one, &one, behaviour, &Bootstrap::default()).unwrap().unwrap();
            assert!(intervals.iter().all(|interval| interval.low == 0.0 && interval.high == 0.0));
        }
    }

    #[test]
    fn the_largest_decrease_ranks_first_and_intervals_hold_the_shift() {
        let (a, b) = (study(1, 4), study(5, 4));
        let comparison = Comparison::between(&a, &b, &[]).unwrap();
        let behaviour = Some(Behaviour::Backtracking);
        let first = comparison.shift_ranks(behaviour, ShiftView::Decreases).order()[0];
        let largest = comparison.shift(behaviour, ShiftView::Decreases).into_iter().fold(0.0, f64::max);
        assert_eq!(-comparison.net(behaviour, first), largest);
        let intervals = comparison.intervals(&a, &b, behaviour, &Bootstrap::default()).unwrap().unwrap();
        for component in Component::all(2) {
            let (interval, net) = (intervals[component.index()], comparison.net(behaviour, component));
            assert!(interval.low - 1e-12 <= net && net <= interval.high + 1e-12, "{component}");
            let [low, high] = interval.through(ShiftView::Decreases);
            assert!(0.0 <= low && low <= high);
        }
        assert_eq!(
            comparison.intervals(&a, &b, Some(Behaviour::AddingKnowledge), &Bootstrap::default()).unwrap(),
            None
        );
    }

    #[test]
    fn one_shared_instance_has_no_interval() {
        let (a, b) = (study(1, 1), study(2, 3));
        let comparison = Comparison::between(&a, &b, &DifferenceKind::ALL).unwrap();
        assert_eq!(comparison.shared_instances(), 1);
        assert_eq!(comparison.differences.len(), 1);
        assert_eq!(comparison.intervals(&a, &b, None, &Bootstrap::default()).unwrap(), None);
    }

    #[test]
    fn what_is_not_allowed_is_refused_with_every_reason() {
        let (a, mut b) = (study(1, 2), study(2, 3));
        b.manifest.definition = Definition::Released;
        let refused = |allowed: &[DifferenceKind]| Comparison::between(&a, &b, allowed).unwrap_err().to_string();
        assert!(refused(&[]).contains("released") && refused(&[]).contains("in B only"));
        assert!(!refused(&[DifferenceKind::Instances]).contains("in B only"));
    }
}
