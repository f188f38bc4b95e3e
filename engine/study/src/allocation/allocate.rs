//! Formats under a budget: which format each matrix gets so that the estimated divergences add up to least.
//!
//! A choice of one option for each group of matrices with sizes and costs is a multiple-choice knapsack. On the lower convex hull of
//! every group's options, steps from smaller to larger are taken in the order of what they win for each bit; that is the optimum of
//! the relaxed problem and differs from the best choice by less than one step. What is left of the budget is filled greedily.

use cruxscope_statistics::SplitMix;

use super::AllocationError;
use crate::{Component, Module, RecipeCost, Sensitivity, UNCHANGED_BITS};

/// What a recipe must fulfil beside its budget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Constraints {
    /// Whether q, k and v of a layer get one format, and gate and up one: engines that fuse them want that.
    pub keep_fused: bool,
    /// Bits of a weight, scales included, below which no matrix goes.
    pub min_bits: Option<f64>,
    /// Whether matrices may be left as they are.
    pub unchanged: bool,
}

/// A recipe: for every component the position of its format in the menu, or none where it is left as it is.
pub type Choice = Vec<Option<usize>>;

/// One option of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
struct FormatOption {
    format: Option<usize>,
    bits: f64,
    kl: f64,
}

/// Matrices that get one format.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    components: Vec<usize>,
    /// On the lower convex hull, from the smallest.
    hull: Vec<FormatOption>,
    /// All that are worth anything, from the smallest: each costs less than every smaller one.
    pareto: Vec<FormatOption>,
}

/// The problem, ready to be solved for any budget.
#[derive(Clone, Debug)]
pub struct Allocator {
    groups: Vec<Group>,
    /// (group, position on its hull that is reached), in the order of what a bit wins.
    steps: Vec<(usize, usize)>,
    components: usize,
    weights: f64,
}

/// The groups of a layer's modules that engines fuse.
const FUSED: [&[Module]; 4] = [
    &[Module::Query, Module::Key, Module::Value],
    &[Module::Output],
    &[Module::Gate, Module::Up],
    &[Module::Down],
];

/// The modules that engines fuse with one, itself included.
pub fn fused_with(module: Module) -> &'static [Module] {
    FUSED.into_iter().find(|modules| modules.contains(&module)).unwrap_or_default()
}

impl Allocator {
    /// Sets the problem up. `estimates` are the divergences that each component is estimated to cause in each format,
    /// `[components, formats]` ([`super::ratio::estimates`]).
    ///
    /// # Errors
    /// When no format is left for a group.
    pub fn new(sensitivity: &Sensitivity, estimates: &[f64], constraints: Constraints) -> Result<Self, AllocationError> {
        let facts = &sensitivity.facts;
        let formats = facts.formats.len();
        let mut groups = Vec::new();
        for layer in 0..facts.layers {
            let of_layer: Vec<Vec<usize>> = if constraints.keep_fused {
                FUSED
                    .iter()
                    .map(|modules| modules.iter().map(|module| Component::new(layer, *module).index()).collect())
                    .collect()
            } else {
                Module::ALL.into_iter().map(|module| vec![Component::new(layer, module).index()]).collect()
            };
            for components in of_layer {
                let allowed = |format: usize| {
                    constraints.min_bits.is_none_or(|least| {
                        (components.iter()).all(|component| sensitivity.bits[component * formats + format] >= least * facts.weights_of(*component) - 1e-6)
                    })
                };
                let mut options: Vec<FormatOption> = (0..formats)
                    .filter(|format| allowed(*format))
                    .map(|format| FormatOption {
                        format: Some(format),
                        bits: components.iter().map(|component| sensitivity.bits[component * formats + format]).sum(),
                        kl: components.iter().map(|component| estimates[component * formats + format]).sum(),
                    })
                    .collect();
                if constraints.unchanged {
                    options.push(FormatOption {
                        format: None,
                        bits: components.iter().map(|component| UNCHANGED_BITS * facts.weights_of(*component)).sum(),
                        kl: 0.0,
                    });
                }
                groups.push(Group::new(components, options).ok_or_else(|| AllocationError::Budget {
                    why: format!(
                        "no format of the menu has {} bits a weight or more, scales included",
                        constraints.min_bits.unwrap_or_default()
                    ),
                })?);
            }
        }
        let mut steps: Vec<(usize, usize)> = groups
            .iter()
            .enumerate()
            .flat_map(|(group, own)| (1..own.hull.len()).map(move |position| (group, position)))
            .collect();
        let rate = |(group, position): &(usize, usize)| {
            let (from, to): (FormatOption, FormatOption) = (groups[*group].hull[position - 1], groups[*group].hull[*position]);
            (from.kl - to.kl) / (to.bits - from.bits)
        };
        // Rates fall along a hull, so a stable order keeps each group's steps in theirs.
        steps.sort_by(|a, b| rate(b).total_cmp(&rate(a)).then(a.cmp(b)));
        Ok(Self {
            steps,
            components: facts.components(),
            weights: (0..facts.components()).map(|component| facts.weights_of(component)).sum(),
            groups,
        })
    }

    /// Bits of the smallest and of the largest recipe that is worth its size.
    pub fn range(&self) -> (f64, f64) {
        let smallest = self.groups.iter().map(|group| group.hull[0].bits).sum();
        let largest = self.groups.iter().filter_map(|group| group.hull.last()).map(|option| option.bits).sum();
        (smallest, largest)
    }

    /// Weights of all components.
    pub fn weights(&self) -> f64 {
        self.weights
    }

    /// Sizes, in bits, at which the best recipe changes: from the smallest to the largest.
    pub fn sizes(&self) -> Vec<f64> {
        let mut size = self.range().0;
        let mut sizes = vec![size];
        for (group, position) in &self.steps {
            let hull = &self.groups[*group].hull;
            size += hull[*position].bits - hull[position - 1].bits;
            sizes.push(size);
        }
        sizes
    }

    /// The recipe of least estimated divergence that takes no more bits than `budget`; none where even the smallest takes more.
    pub fn within(&self, budget: f64) -> Option<Choice> {
        // Sums of many sizes differ in their last digits by the order of adding.
        let budget = budget * (1.0 + 1e-12);
        let mut left = budget - self.range().0;
        if left < 0.0 {
            return None;
        }
        let mut chosen: Vec<FormatOption> = self.groups.iter().map(|group| group.hull[0]).collect();
        let mut reached = vec![0usize; self.groups.len()];
        for (group, position) in &self.steps {
            let next = self.groups[*group].hull[*position];
            let cost = next.bits - chosen[*group].bits;
            if reached[*group] + 1 == *position && cost <= left {
                left -= cost;
                chosen[*group] = next;
                reached[*group] = *position;
            }
        }
        self.fill(&mut chosen, left);
        let mut choice = vec![None; self.components];
        for (group, option) in self.groups.iter().zip(chosen) {
            for component in &group.components {
                choice[*component] = option.format;
            }
        }
        Some(choice)
    }

    /// Spends what is left on the option, of any group, that wins most and fits, again and again.
    fn fill(&self, chosen: &mut [FormatOption], mut left: f64) {
        loop {
            let mut best: Option<(f64, usize, FormatOption)> = None;
            for (group, (own, current)) in self.groups.iter().zip(chosen.iter()).enumerate() {
                for option in &own.pareto {
                    let (cost, win) = (option.bits - current.bits, current.kl - option.kl);
                    if cost > 0.0 && cost <= left && win > 0.0 && best.is_none_or(|(known, _, _)| win > known) {
                        best = Some((win, group, *option));
                    }
                }
            }
            let Some((_, group, option)) = best else { return };
            left -= option.bits - chosen[group].bits;
            chosen[group] = option;
        }
    }
}

impl Group {
    fn new(components: Vec<usize>, mut options: Vec<FormatOption>) -> Option<Self> {
        options.sort_by(|a, b| a.bits.total_cmp(&b.bits).then(a.kl.total_cmp(&b.kl)));
        let mut pareto: Vec<FormatOption> = Vec::new();
        for option in options {
            if pareto.last().is_none_or(|last| option.kl < last.kl && option.bits > last.bits) {
                pareto.push(option);
            }
        }
        let mut hull: Vec<FormatOption> = Vec::new();
        for option in &pareto {
            while let [.., before, last] = hull.as_slice() {
                let falls = (before.kl - last.kl) * (option.bits - before.bits) <= (before.kl - option.kl) * (last.bits - before.bits);
                if !falls {
                    break;
                }
                hull.pop();
            }
            hull.push(*option);
        }
        (!hull.is_empty()).then_some(Self { components, hull, pareto })
    }
}

/// A uniform recipe: every component in one format.
pub fn uniform(sensitivity: &Sensitivity, format: usize) -> Choice {
    vec![Some(format); sensitivity.facts.components()]
}

/// A recipe with the same formats as another one, in other places: formats are permuted among matrices that take the same bits in every
/// format, so that the size stays.
pub fn permuted(sensitivity: &Sensitivity, choice: &[Option<usize>], seed: u64) -> Choice {
    let formats = sensitivity.facts.formats.len();
    let kind = |component: usize| -> Vec<u64> {
        let weights = sensitivity.facts.weights_of(component).to_bits();
        let bits = &sensitivity.bits[component * formats..(component + 1) * formats];
        [weights].into_iter().chain(bits.iter().map(|bits| bits.to_bits())).collect()
    };
    let kinds: Vec<Vec<u64>> = (0..choice.len()).map(kind).collect();
    let mut random = SplitMix::new(seed);
    let mut permuted = choice.to_vec();
    let mut done = vec![false; choice.len()];
    for component in 0..choice.len() {
        if done[component] {
            continue;
        }
        let alike: Vec<usize> = (component..choice.len()).filter(|other| kinds[*other] == kinds[component]).collect();
        let mut given: Vec<Option<usize>> = alike.iter().map(|component| choice[*component]).collect();
        for last in (1..given.len()).rev() {
            given.swap(last, random.below(last + 1));
        }
        for (component, format) in alike.into_iter().zip(given) {
            permuted[component] = format;
            done[component] = true;
        }
    }
    permuted
}

/// How a recipe differs from a uniform one, in words: how many components have each format.
pub fn counts(sensitivity: &Sensitivity, choice: &[Option<usize>]) -> Vec<(String, usize)> {
    let name = |format: Option<usize>| format.map_or_else(|| "unchanged".to_owned(), |format| sensitivity.facts.formats[format].name.clone());
    let formats = (0..sensitivity.facts.formats.len()).map(Some).chain([None]);
    formats
        .map(|format| (name(format), choice.iter().filter(|chosen| **chosen == format).count()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Says where a prediction lies outside of the range in which it holds; nothing where it does not.
pub fn warning(cost: &RecipeCost) -> Option<String> {
    cost.is_beyond_trust.then(|| {
        format!(
            "a divergence of {:.2} nats lies beyond the {} nats up to which the second order holds: the real one is larger, measure it",
            cost.kl,
            crate::TRUSTED_KL
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A problem of random options, and the best choice by trying all.
    fn problem(groups: usize, options: usize, seed: u64) -> (Allocator, Vec<Vec<FormatOption>>) {
        let mut random = SplitMix::new(seed);
        let all: Vec<Vec<FormatOption>> = (0..groups)
            .map(|_| {
                (0..options)
                    .map(|format| FormatOption {
                        format: Some(format),
                        bits: (1.0 + random.share() * 8.0).round() * 10.0,
                        kl: random.share(),
                    })
                    .collect()
            })
            .collect();
        let groups: Vec<Group> = all
            .iter()
            .enumerate()
            .map(|(component, options)| Group::new(vec![component], options.clone()).unwrap())
            .collect();
        let mut steps: Vec<(usize, usize)> = Vec::new();
        for (group, own) in groups.iter().enumerate() {
            steps.extend((1..own.hull.len()).map(|position| (group, position)));
        }
        let rate = |(group, position): &(usize, usize)| {
            let hull = &groups[*group].hull;
            (hull[position - 1].kl - hull[*position].kl) / (hull[*position].bits - hull[position - 1].bits)
        };
        steps.sort_by(|a, b| rate(b).total_cmp(&rate(a)).then(a.cmp(b)));
        let components = groups.len();
        let allocator = Allocator {
            groups,
            steps,
            components,
            weights: 1.0,
        };
        (allocator, all)
    }

    fn total(all: &[Vec<FormatOption>], choice: &[Option<usize>]) -> (f64, f64) {
        let chosen = all.iter().zip(choice).filter_map(|(options, format)| Some(options[(*format)?]));
        chosen.fold((0.0, 0.0), |(bits, kl), option| (bits + option.bits, kl + option.kl))
    }

    #[test]
    fn choices_keep_to_the_budget_and_are_nearly_the_best() {
        for seed in 0..40 {
            let (allocator, all) = problem(5, 4, seed);
            let (smallest, largest) = allocator.range();
            assert_eq!(allocator.within(smallest - 1.0), None);
            for share in [0.0, 0.2, 0.5, 0.8, 1.0] {
                let budget = smallest + share * (largest - smallest);
                let choice = allocator.within(budget).unwrap();
                let (bits, kl) = total(&all, &choice);
                assert!(bits <= budget * (1.0 + 1e-9), "{bits} {budget}");
                // Every choice there is.
                let mut best = f64::INFINITY;
                for code in 0..4usize.pow(5) {
                    let other: Vec<Option<usize>> = (0..5).map(|group| Some(code / 4usize.pow(group) % 4)).collect();
                    let (bits, kl) = total(&all, &other);
                    if bits <= budget * (1.0 + 1e-9) {
                        best = best.min(kl);
                    }
                }
                let step = all.iter().flatten().map(|option| option.kl).fold(0.0, f64::max);
                assert!(kl <= best + step, "seed {seed}, {share}: {kl} instead of {best}");
                if share == 1.0 {
                    assert!((kl - best).abs() < 1e-12, "with the whole budget every group has its best");
                }
            }
        }
    }

    #[test]
    fn more_budget_never_costs_more_along_the_path() {
        let (allocator, all) = problem(30, 6, 9);
        let mut last = f64::INFINITY;
        for size in allocator.sizes() {
            let kl = total(&all, &allocator.within(size).unwrap()).1;
            assert!(kl <= last + 1e-9, "{kl} after {last}");
            last = kl;
        }
    }
}
