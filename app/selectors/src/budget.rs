//! What the view of a budget shows: which format each matrix gets for a size, what that is predicted to cost, and what else of that size
//! costs.
//!
//! Choosing and predicting is the study's ([`cruxscope_study::allocation`]), so that the command line says the same. Here stands what a
//! person does with it: a target, changes of one's own, and the curve, which is worked out a point at a time since a frame has little time.

mod measured;
mod plan;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use cruxscope_study::allocation::AllocationError;
use cruxscope_study::allocation::allocate::{Constraints, counts, fused_with, permuted, uniform};
use cruxscope_study::allocation::curve::{Curve, CurvePoint};
use cruxscope_study::{Bootstrap, Component, Scope, Sensitivity, TRUSTED_KL, UNCHANGED_BITS};

pub use cruxscope_study::RecipeCost;
pub use measured::{MeasuredPoint, Series, measured};
pub use plan::{CellMeasure, FormatLine, Plan};
pub use words::{nats, scope, size};

/// Points of the curve.
const POINTS: usize = 25;
/// Random permutations whose range is the band.
const PERMUTATIONS: u64 = 5;

/// What the curve hangs on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BudgetSettings {
    /// Whose positions count: those of a behaviour, or all.
    pub behaviour: Option<cruxscope_study::Behaviour>,
    /// Whether q, k and v of a layer get one format, and gate and up one.
    pub keep_fused: bool,
}

impl BudgetSettings {
    /// Whose positions count.
    pub fn scope(self) -> Scope {
        self.behaviour.map_or(Scope::All, Scope::Behaviour)
    }
}

/// Every component in one format.
#[derive(Clone, Debug, PartialEq)]
pub struct Uniform {
    /// The format's name.
    pub name: String,
    /// What it is predicted to cost.
    pub cost: RecipeCost,
}

/// What random permutations of a chosen recipe cost, at its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandPoint {
    /// Stored bits of a weight.
    pub bits_per_weight: f64,
    /// The least and the largest predicted divergence among them.
    pub ends: [f64; 2],
}

/// Sizes against divergences out of a sketch, and recipes for any target.
pub struct Budget {
    curve: Curve<Arc<Sensitivity>>,
    settings: BudgetSettings,
    /// Every component in one format, the smallest first.
    pub uniforms: Vec<Uniform>,
    /// Recipes of every size, the smallest first; they come one by one.
    pub points: Vec<CurvePoint>,
    /// Random permutations of the same.
    pub band: Vec<BandPoint>,
    /// Places on the curve that are still to be worked out, the next one last.
    left: Vec<usize>,
}

impl Budget {
    /// Sets it up; the curve comes by [`Self::advance`].
    ///
    /// # Errors
    /// When the scope was not sketched, or too few windows hold it.
    pub fn new(sensitivity: Arc<Sensitivity>, settings: BudgetSettings) -> Result<Self, AllocationError> {
        let constraints = Constraints {
            keep_fused: settings.keep_fused,
            ..Constraints::default()
        };
        let scope = settings.scope();
        let mut uniforms: Vec<Uniform> = (sensitivity.facts.formats.iter().enumerate())
            .filter_map(|(format, own)| {
                Some(Uniform {
                    name: own.name.clone(),
                    cost: sensitivity.cost(scope, &uniform(&sensitivity, format), Bootstrap::default())?,
                })
            })
            .collect();
        uniforms.sort_by(|a, b| a.cost.bits.total_cmp(&b.cost.bits));
        Ok(Self {
            curve: Curve::new(sensitivity, scope, constraints, Bootstrap::default())?,
            settings,
            uniforms,
            points: Vec::new(),
            band: Vec::new(),
            left: from_coarse_to_fine(POINTS),
        })
    }

    /// The sketch.
    pub fn sensitivity(&self) -> &Sensitivity {
        self.curve.sensitivity()
    }

    /// What the curve hangs on.
    pub fn settings(&self) -> BudgetSettings {
        self.settings
    }

    /// Bits a weight of the smallest recipe and of the largest.
    pub fn range(&self) -> (f64, f64) {
        self.curve.range()
    }

    /// The target where nobody has chosen one: the size of the uniform format in the middle.
    pub fn first_target(&self) -> f64 {
        let (low, high) = self.range();
        let middle = self.uniforms.get(self.uniforms.len().saturating_sub(1) / 2);
        middle.map_or((low + high) / 2.0, |uniform| uniform.cost.bits_per_weight).clamp(low, high)
    }

    /// Works out one more point; whether any is left.
    pub fn advance(&mut self) -> bool {
        let Some(place) = self.left.pop() else { return false };
        let (low, high) = self.range();
        let target = low + (high - low) * place as f64 / (POINTS - 1) as f64;
        let bits = target * self.curve.weights();
        if let Some(point) = self.curve.at(bits) {
            let at = self.points.partition_point(|other| other.bits < point.bits);
            // Two targets may lead to one recipe.
            if self.points.get(at).is_none_or(|other| other.bits > point.bits) {
                if let Some(ends) = self.curve.choice(bits).and_then(|choice| self.permutations(&choice)) {
                    let at = self.band.partition_point(|other| other.bits_per_weight < point.bits_per_weight);
                    self.band.insert(
                        at,
                        BandPoint {
                            bits_per_weight: point.bits_per_weight,
                            ends,
                        },
                    );
                }
                self.points.insert(at, point);
            }
        }
        !self.left.is_empty()
    }

    /// Whether any point is left to work out.
    pub fn is_growing(&self) -> bool {
        !self.left.is_empty()
    }

    /// Works out all points.
    pub fn finish(&mut self) {
        while self.advance() {}
    }

    /// The least and the largest divergence among random permutations of a recipe.
    pub fn permutations(&self, choice: &[Option<usize>]) -> Option<[f64; 2]> {
        let (sensitivity, scope) = (self.sensitivity(), self.curve.scope());
        let windows: Vec<usize> = (0..sensitivity.facts.windows.len()).collect();
        let mut ends: Option<[f64; 2]> = None;
        for seed in 1..=PERMUTATIONS {
            let kl = sensitivity.predicted_kl(scope, &permuted(sensitivity, choice, seed), &windows)?;
            ends = Some(ends.map_or([kl, kl], |[low, high]| [low.min(kl), high.max(kl)]));
        }
        ends
    }

    /// The recipe for a target in bits a weight, with changes by hand.
    pub fn plan(&self, target: f64, edits: &BTreeMap<Component, Option<usize>>) -> Option<Plan> {
        let (low, high) = self.range();
        let bits = target.clamp(low, high) * self.curve.weights();
        let sensitivity = self.sensitivity();
        let mut choice = self.curve.choice(bits)?;
        let mut is_edited = false;
        for (component, format) in edits {
            let known = format.is_none_or(|format| format < sensitivity.facts.formats.len());
            if let Some(own) = choice.get_mut(component.index()).filter(|own| known && **own != *format) {
                *own = *format;
                is_edited = true;
            }
        }
        let scope = self.curve.scope();
        let by_scope: Vec<(Scope, RecipeCost)> = (sensitivity.facts.scopes.iter())
            .filter_map(|scope| Some((*scope, sensitivity.cost(*scope, &choice, Bootstrap::default())?)))
            .collect();
        let own = by_scope.iter().find(|(known, _)| *known == scope).map(|(_, cost)| *cost)?;
        let cost = if is_edited {
            own
        } else {
            let point = self.curve.at(bits)?;
            RecipeCost {
                kl: point.kl,
                interval: point.interval,
                is_beyond_trust: point.is_beyond_trust,
                ..own
            }
        };
        let total: f64 = own.kl;
        let shares = sensitivity.shares(scope, &choice)?;
        let components = choice.iter().enumerate();
        Some(Plan {
            cost,
            is_edited,
            alone: components.clone().map(|(component, format)| self.curve.estimate(component, *format)).collect(),
            shares: shares.iter().map(|share| if total > 0.0 { share / total } else { 0.0 }).collect(),
            bits: components.map(|(component, format)| self.bits(component, *format)).collect(),
            counts: counts(sensitivity, &choice),
            by_scope,
            choice,
        })
    }

    /// Stored bits of a weight of a component in a format.
    pub fn bits(&self, component: usize, format: Option<usize>) -> f64 {
        let sensitivity = self.sensitivity();
        let stored = format.and_then(|format| sensitivity.bits.get(component * sensitivity.facts.formats.len() + format));
        stored.map_or(UNCHANGED_BITS, |bits| bits / sensitivity.facts.weights_of(component).max(1.0))
    }

    /// The formats of a component with their bits and what each is estimated to cost alone, the smallest first; last what it is left as.
    pub fn formats(&self, component: Component) -> Vec<FormatLine> {
        let own = |format: Option<usize>| FormatLine {
            format,
            name: self.name(format),
            bits: self.bits(component.index(), format),
            cost: self.curve.estimate(component.index(), format),
        };
        let mut lines: Vec<FormatLine> = (0..self.sensitivity().facts.formats.len()).map(|format| own(Some(format))).collect();
        lines.sort_by(|a, b| a.bits.total_cmp(&b.bits));
        lines.push(own(None));
        lines
    }

    /// The name of a format.
    pub fn name(&self, format: Option<usize>) -> String {
        let named = format.and_then(|format| self.sensitivity().facts.formats.get(format));
        named.map_or_else(|| "unchanged".to_owned(), |format| format.name.clone())
    }

    /// The changes that give a component the format so many steps further among those by size, with what engines fuse with it where that
    /// is wanted.
    pub fn step(&self, plan: &Plan, component: Component, step: isize) -> Vec<(Component, Option<usize>)> {
        let lines = self.formats(component);
        let now = plan.choice.get(component.index()).copied().flatten();
        let at = lines.iter().position(|line| line.format == now).unwrap_or_default() as isize;
        let next = (at + step).rem_euclid(lines.len().max(1) as isize) as usize;
        lines.get(next).map(|line| self.give(component, line.format)).unwrap_or_default()
    }

    /// The changes that give a component a format.
    pub fn give(&self, component: Component, format: Option<usize>) -> Vec<(Component, Option<usize>)> {
        let own = [component.module];
        let modules: &[_] = if self.settings.keep_fused { fused_with(component.module) } else { &own };
        modules.iter().map(|module| (Component { module: *module, ..component }, format)).collect()
    }

    /// Whether a divergence lies beyond the range in which predictions hold.
    pub const fn trusted() -> f64 {
        TRUSTED_KL
    }

    /// The uniform format that a recipe is held against: the largest that takes no more, or else the smallest.
    pub fn beside(&self, cost: &RecipeCost) -> Option<&Uniform> {
        let fits = self.uniforms.iter().rev().find(|uniform| uniform.cost.bits <= cost.bits * 1.002);
        fits.or(self.uniforms.first())
    }
}

/// The places 0 to `count - 1` so that the last ones taken are spread over all: ends first, then what lies between.
fn from_coarse_to_fine(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    let mut step = count.next_power_of_two();
    while step > 0 {
        for place in (0..count).step_by(step).chain([count - 1]) {
            if !order.contains(&place) {
                order.push(place);
            }
        }
        step /= 2;
    }
    order.reverse();
    order
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;
    use cruxscope_study::{Behaviour, Module};

    use super::*;

    fn budget(settings: BudgetSettings) -> Budget {
        Budget::new(Arc::new(samples::sensitivity(6)), settings).unwrap()
    }

    #[test]
    fn a_curve_comes_point_by_point_and_is_that_of_the_study() {
        let mut budget = budget(BudgetSettings::default());
        assert!(budget.advance() && budget.points.len() == 1);
        budget.finish();
        assert!(budget.points.len() > POINTS / 2 && budget.points.windows(2).all(|pair| pair[0].bits < pair[1].bits));
        assert_eq!(budget.band.len(), budget.points.len());
        let (low, high) = budget.range();
        assert!((budget.points[0].bits_per_weight - low).abs() < 1e-9);
        assert!(budget.points.iter().all(|point| point.bits_per_weight <= high + 1e-9));
        let sensitivity = samples::sensitivity(6);
        let curve = Curve::new(&sensitivity, Scope::All, Constraints::default(), Bootstrap::default()).unwrap();
        // What stands at a point is what the study's curve has for one of its targets; several may lead to one recipe.
        let target = |place: usize| (low + (high - low) * place as f64 / (POINTS - 1) as f64) * curve.weights();
        let all: Vec<CurvePoint> = (0..POINTS).filter_map(|place| curve.at(target(place))).collect();
        for point in &budget.points {
            assert!(all.iter().any(|own| own == point), "{point:?}");
        }
    }

    #[test]
    fn a_plan_keeps_to_its_target_and_its_shares_add_up() {
        let budget = budget(BudgetSettings::default());
        let target = budget.first_target();
        let plan = budget.plan(target, &BTreeMap::new()).unwrap();
        assert!(!plan.is_edited && plan.cost.bits_per_weight <= target + 1e-9);
        assert!((plan.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(plan.counts.iter().map(|(_, count)| count).sum::<usize>(), 42);
        assert_eq!(plan.by_scope.len(), budget.sensitivity().facts.scopes.len());
        let dearest = plan.dearest(42);
        assert!(dearest.windows(2).all(|pair| plan.alone[pair[0].index()] >= plan.alone[pair[1].index()]));
    }

    #[test]
    fn a_change_by_hand_is_one_of_the_formats_and_comes_round() {
        let budget = budget(BudgetSettings::default());
        let component = Component::new(2, Module::Up);
        let mut edits = BTreeMap::new();
        let first = budget.plan(budget.first_target(), &edits).unwrap();
        let mut seen = vec![first.choice[component.index()]];
        for _ in 0..budget.formats(component).len() {
            let plan = budget.plan(budget.first_target(), &edits).unwrap();
            edits.extend(budget.step(&plan, component, 1));
            seen.push(edits[&component]);
        }
        assert_eq!(seen.first(), seen.last(), "{seen:?}");
        seen.pop();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), budget.formats(component).len());
        edits.extend(budget.give(component, None));
        let plan = budget.plan(budget.first_target(), &edits).unwrap();
        assert!(plan.is_edited && plan.alone[component.index()] == 0.0 && plan.bits[component.index()] == UNCHANGED_BITS);
    }

    #[test]
    fn fused_matrices_change_together() {
        let settings = BudgetSettings {
            keep_fused: true,
            ..BudgetSettings::default()
        };
        let budget = budget(settings);
        let plan = budget.plan(budget.first_target(), &BTreeMap::new()).unwrap();
        let at = |module| plan.choice[Component::new(3, module).index()];
        assert!(at(Module::Query) == at(Module::Key) && at(Module::Key) == at(Module::Value) && at(Module::Gate) == at(Module::Up));
        let given: Vec<Module> = budget
            .give(Component::new(3, Module::Key), None)
            .iter()
            .map(|(component, _)| component.module)
            .collect();
        assert_eq!(given, [Module::Query, Module::Key, Module::Value]);
    }

    #[test]
    fn a_behaviour_without_positions_is_refused_and_others_have_their_own_costs() {
        let of = |behaviour| BudgetSettings {
            behaviour: Some(behaviour),
            ..BudgetSettings::default()
        };
        let own = budget(of(Behaviour::Backtracking));
        let all = budget(BudgetSettings::default());
        assert_ne!(own.uniforms[0].cost.kl, all.uniforms[0].cost.kl);
        let missing = Budget::new(Arc::new(samples::sensitivity(6)), of(Behaviour::AddingKnowledge));
        assert!(missing.err().unwrap().to_string().contains("adding"));
    }

    #[test]
    fn places_are_spread_before_they_are_filled() {
        let order: Vec<usize> = from_coarse_to_fine(9).into_iter().rev().collect();
        assert_eq!(order, [0, 8, 4, 2, 6, 1, 3, 5, 7]);
        assert_eq!(from_coarse_to_fine(1), [0]);
    }
}
