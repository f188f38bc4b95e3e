//! Importance held against measured damage: the points, the axes, and how well one foretells the other.

use cruxscope_study::{Component, RankCorrelation, Validation};

use super::{Basis, Figures};

/// Components that count as the first ones.
pub const FIRST: usize = 10;

/// A component as a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The component.
    pub component: Component,
    /// Its relative importance for the basis.
    pub importance: f64,
    /// What compressing it alone did: divergence in nats.
    pub damage: f64,
    /// Its rank by damage.
    pub rank: usize,
}

/// An axis: linear from zero, or logarithmic where values span more than two decades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// The value at the beginning.
    pub low: f64,
    /// The value at the end.
    pub high: f64,
    /// Whether it is logarithmic.
    pub log: bool,
}

impl Axis {
    /// The axis of some values. Values that are zero lie at the beginning.
    pub fn over(values: impl Iterator<Item = f64> + Clone) -> Self {
        let high = values.clone().fold(0.0, f64::max);
        let least = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        if high <= 0.0 {
            return Self {
                low: 0.0,
                high: 1.0,
                log: false,
            };
        }
        if high / least > 100.0 {
            return Self {
                low: least * 0.8,
                high: (high * 1.25).min(f64::MAX),
                log: true,
            };
        }
        Self {
            low: 0.0,
            high: (high * 1.05).min(f64::MAX),
            log: false,
        }
    }

    /// Where a value lies, 0 to 1.
    pub fn place(&self, value: f64) -> f32 {
        let share = if self.log {
            // Differences of logarithms, since a quotient of the ends may be more than a number can hold.
            (value.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        (share as f32).clamp(0.0, 1.0)
    }

    /// The values that carry a number: powers of ten, or a few round ones.
    pub fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (from, to) = (self.low.log10().ceil() as i32, self.high.log10().floor() as i32);
            let step = ((to - from) / 4).max(1);
            return (from..=to).step_by(step as usize).map(|power| 10f64.powi(power)).collect();
        }
        let rough = (self.high - self.low) / 4.0;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * magnitude)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        (0..=5).map(|number| f64::from(number) * step).filter(|tick| *tick <= self.high).collect()
    }
}

/// The points of a validation, in the order of components.
pub fn points(validation: &Validation, figures: &Figures, basis: Basis) -> Vec<Point> {
    let mut order: Vec<usize> = (0..validation.components.len()).collect();
    order.sort_by(|a, b| {
        validation.components[*b]
            .divergence
            .total_cmp(&validation.components[*a].divergence)
            .then(a.cmp(b))
    });
    let mut ranks = vec![0; order.len()];
    for (rank, place) in order.into_iter().enumerate() {
        ranks[place] = rank + 1;
    }
    Component::all(figures.layers())
        .zip(&validation.components)
        .zip(ranks)
        .map(|((component, damage), rank)| Point {
            component,
            importance: figures.relative_of(basis, component),
            damage: damage.divergence.max(0.0),
            rank,
        })
        .collect()
}

/// How well importance ranks components by damage.
pub fn correlation(points: &[Point]) -> Option<RankCorrelation> {
    let (importance, damage): (Vec<f64>, Vec<f64>) = points.iter().map(|point| (point.importance, point.damage)).unzip();
    RankCorrelation::of(&importance, &damage)
}

/// How many of the first by importance are among the first by damage, and of how many.
pub fn overlap(points: &[Point], figures: &Figures, basis: Basis) -> (usize, usize) {
    let number = FIRST.min(points.len());
    let first = |point: &&Point| figures.ranks(basis).overall(point.component) <= number && point.rank <= number;
    (points.iter().filter(first).count(), number)
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;
    use cruxscope_study::{Degradation, FileDigest};

    use super::*;

    #[test]
    fn damage_that_follows_importance_correlates_with_it() {
        let figures = Figures::of(&samples::study(6));
        let damage = |component: Component| Degradation {
            component: component.to_string(),
            divergence: figures.relative_of(Basis::Mean, component).powi(2),
            perplexity: 5.0,
        };
        let validation = Validation {
            program: "cruxscope".into(),
            treatment: serde_json::Value::Null,
            data: FileDigest::default(),
            model_files: vec![],
            predictions: 10,
            run: None,
            perplexity: 4.0,
            components: Component::all(6).map(damage).collect(),
        };
        let points = points(&validation, &figures, Basis::Mean);
        assert!(correlation(&points).unwrap().rho > 0.999);
        assert_eq!(overlap(&points, &figures, Basis::Mean), (10, 10));
        let first = figures.first(Basis::Mean).unwrap();
        assert_eq!(points[first.index()].rank, 1);
    }

    #[test]
    fn axes_turn_logarithmic_over_two_decades() {
        let linear = Axis::over([0.0, 2.0, 8.0].into_iter());
        assert!(!linear.log && linear.place(0.0) == 0.0);
        assert_eq!(linear.ticks(), [0.0, 2.5, 5.0, 7.5]);
        let log = Axis::over([1e-5, 1e-2, 1.0].into_iter());
        assert!(log.log && log.place(0.0) == 0.0 && (log.place(1.0) - log.place(1e-2)) < log.place(1e-2));
        assert_eq!(log.ticks(), [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]);
        assert!(!Axis::over(std::iter::empty()).log);
    }

    #[test]
    fn no_number_is_too_large_for_an_axis() {
        for values in [[f64::MAX, f64::MAX], [f64::MAX, 5e-324], [0.0, 5e-324]] {
            let axis = Axis::over(values.into_iter());
            assert!(axis.place(values[0]).is_finite() && axis.place(values[1]).is_finite(), "{axis:?}");
            assert!(axis.ticks().len() < 16 && axis.ticks().iter().all(|tick| tick.is_finite()), "{axis:?}");
        }
    }
}
