//! The figures of one study, computed once when it opens: relative importance, its mean over behaviours, ranks.

use cruxscope_study::{Behaviour, Component, Module, Ranks, Study};

/// What a list or a fact is about: one behaviour, or the mean over those that occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The mean of relative importance over the behaviours that any instance holds.
    #[default]
    Mean,
    /// One behaviour.
    Behaviour(Behaviour),
}

impl Basis {
    /// The behaviour, or none for the mean.
    pub const fn behaviour(self) -> Option<Behaviour> {
        match self {
            Self::Mean => None,
            Self::Behaviour(behaviour) => Some(behaviour),
        }
    }
}

impl From<Option<Behaviour>> for Basis {
    fn from(behaviour: Option<Behaviour>) -> Self {
        behaviour.map_or(Self::Mean, Self::Behaviour)
    }
}

/// Relative importance and ranks of every component.
#[derive(Clone, Debug)]
pub struct Figures {
    layers: usize,
    present: [bool; 4],
    importance: Vec<f64>,
    relative: Vec<f64>,
    mean: Vec<f64>,
    ranks: Vec<Ranks>,
    mean_ranks: Ranks,
}

impl Figures {
    /// Computes them.
    pub fn of(study: &Study) -> Self {
        let importance = &study.importance;
        let present = Behaviour::ALL.map(|behaviour| importance.has(behaviour));
        let relative = importance.relative();
        let mean = importance.relative_mean();
        let per_behaviour = importance.layers() * Module::ALL.len();
        Self {
            layers: importance.layers(),
            present,
            importance: importance.values().to_vec(),
            ranks: relative.chunks(per_behaviour.max(1)).map(Ranks::of).collect(),
            mean_ranks: Ranks::of(&mean),
            relative,
            mean,
        }
    }

    /// Number of decoder layers.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.mean.len()
    }

    /// Whether any instance holds the behaviour.
    pub fn has(&self, behaviour: Behaviour) -> bool {
        self.present[behaviour.index()]
    }

    /// Whether the component exists in this model.
    pub fn holds(&self, component: Component) -> bool {
        component.layer.0 < self.layers
    }

    /// The importance I, not made relative.
    pub fn importance(&self, behaviour: Behaviour, component: Component) -> f64 {
        self.importance[behaviour.index() * self.components() + component.index()]
    }

    /// Relative importance, `[layer, module]`.
    pub fn relative(&self, basis: Basis) -> &[f64] {
        match basis {
            Basis::Mean => &self.mean,
            Basis::Behaviour(behaviour) => &self.relative[behaviour.index() * self.components()..][..self.components()],
        }
    }

    /// Relative importance of one component.
    pub fn relative_of(&self, basis: Basis, component: Component) -> f64 {
        self.relative(basis)[component.index()]
    }

    /// The ranks.
    pub fn ranks(&self, basis: Basis) -> &Ranks {
        match basis {
            Basis::Mean => &self.mean_ranks,
            Basis::Behaviour(behaviour) => &self.ranks[behaviour.index()],
        }
    }

    /// The component that ranks first, if there is any importance at all.
    pub fn first(&self, basis: Basis) -> Option<Component> {
        let first = *self.ranks(basis).order().first()?;
        (self.relative_of(basis, first) > 0.0).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn the_mean_is_over_the_behaviours_that_occur() {
        let study = samples::study(6);
        let figures = Figures::of(&study);
        assert!(!figures.has(Behaviour::AddingKnowledge), "the sample leaves one out");
        let sum: f64 = figures.relative(Basis::Mean).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        let component = Component::new(5, Module::Gate);
        let by_hand: f64 = Behaviour::ALL[..3]
            .iter()
            .map(|behaviour| figures.relative_of(Basis::Behaviour(*behaviour), component) / 3.0)
            .sum();
        assert!((figures.relative_of(Basis::Mean, component) - by_hand).abs() < 1e-12);
    }

    #[test]
    fn the_first_is_the_largest_and_a_missing_behaviour_has_none() {
        let figures = Figures::of(&samples::study(6));
        assert_eq!(figures.first(Basis::Behaviour(Behaviour::Backtracking)), Some(Component::new(5, Module::Gate)));
        assert_eq!(figures.first(Basis::Behaviour(Behaviour::AddingKnowledge)), None);
    }
}
