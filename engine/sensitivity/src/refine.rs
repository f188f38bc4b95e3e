//! A second round: from a recipe, in small steps that are measured, towards what other rules choose at the same size.
//!
//! A recipe is best by an estimate, and estimates are off by some per cent. Where two good rules disagree, measuring decides. All changes at
//! once are a leap that can make things worse (each was estimated alone, with every other matrix as it was); so they are cut into steps
//! of a few matrices that together keep to the size, each step is measured alone, and those that help are then taken together, the best
//! first, as long as the measured divergence falls. This module cuts; `cruxscope_run::trial` measures.

use cruxscope_study::Sensitivity;

use crate::allocate::Choice;

/// Matrices after which a step is full.
pub const STEP: usize = 8;
/// Share of a budget by which sums of sizes may differ by the order of adding.
const ROUNDING: f64 = 1e-12;

/// A few components with their new formats.
pub type Step = Vec<(usize, Option<usize>)>;

/// What separates two recipes, cut into steps, at most `most` of them. Every step, alone or with any of the others, leads from `from` to a
/// recipe of no more than `budget` bits. A matrix that gets more bits is in a step with others that get less, as far as the budget asks
/// for it; what nothing pays for is left out, and so is what only saves.
pub fn steps(sensitivity: &Sensitivity, from: &[Option<usize>], to: &[Option<usize>], budget: f64, most: usize) -> Vec<Step> {
    let Some((size, _)) = sensitivity.size(from) else { return Vec::new() };
    let bits = |component: usize| sensitivity.bits_of(component, to[component]) - sensitivity.bits_of(component, from[component]);
    let changes = (0..from.len().min(to.len())).filter(|component| from[*component] != to[*component]);
    let (mut more, mut less): (Vec<_>, Vec<_>) = changes
        .map(|component| (component, bits(component)))
        .partition(|(_, bits): &(usize, f64)| *bits >= 0.0);
    // The largest first, so that small ones are left to make up for what is over.
    more.sort_by(|a, b| b.1.total_cmp(&a.1));
    less.sort_by(|a, b| a.1.total_cmp(&b.1));
    // Room in the budget is for all steps together; what a step saves is for itself.
    let mut room = (budget * (1.0 + ROUNDING) - size).max(0.0);
    let (mut steps, mut step, mut saved) = (Vec::new(), Step::new(), 0.0);
    for (component, needed) in more {
        if steps.len() == most {
            break;
        }
        let (mut cost, mut payers) = (needed, 0);
        while cost > saved + room && payers < less.len() {
            cost += less[payers].1;
            payers += 1;
        }
        if cost > saved + room {
            continue;
        }
        step.push((component, to[component]));
        step.extend(less.drain(..payers).map(|(payer, _)| (payer, to[payer])));
        saved -= cost;
        if saved < 0.0 {
            room += saved;
            saved = 0.0;
        }
        if step.len() >= STEP {
            steps.push(std::mem::take(&mut step));
            saved = 0.0;
        }
    }
    if !step.is_empty() && steps.len() < most {
        steps.push(step);
    }
    steps
}

/// A recipe with some steps taken.
pub fn taken<'a>(from: &[Option<usize>], steps: impl IntoIterator<Item = &'a Step>) -> Choice {
    let mut choice = from.to_vec();
    for (component, format) in steps.into_iter().flatten() {
        choice[*component] = *format;
    }
    choice
}

#[cfg(test)]
mod tests {
    use cruxscope_statistics::SplitMix;

    use super::*;
    use crate::rules::tests::sketch;

    #[test]
    fn steps_keep_to_the_size_in_every_combination() {
        let sensitivity = sketch(false);
        let components = sensitivity.facts.components();
        let mut random = SplitMix::new(3);
        for round in 0..200 {
            let mut draw = || (0..components).map(|_| Some(random.below(3))).collect::<Choice>();
            let (from, to) = (draw(), draw());
            let budget = sensitivity.size(&from).unwrap().0 * (1.0 + 0.02 * f64::from(round % 3));
            let steps = steps(&sensitivity, &from, &to, budget, 4);
            assert!(steps.len() <= 4);
            let mut seen = vec![false; components];
            for (component, format) in steps.iter().flatten() {
                assert!(!std::mem::replace(&mut seen[*component], true), "a component stands in two steps");
                assert_eq!((*format, from[*component] != to[*component]), (to[*component], true));
            }
            for chosen in 0..1usize << steps.len() {
                let some = steps.iter().enumerate().filter(|(place, _)| chosen >> place & 1 == 1).map(|(_, step)| step);
                let (bits, _) = sensitivity.size(&taken(&from, some)).unwrap();
                assert!(bits <= budget * (1.0 + 1e-9), "round {round}: {bits} of {budget}");
            }
        }
    }

    #[test]
    fn equal_recipes_of_other_places_are_reached_and_equal_ones_have_no_step() {
        let sensitivity = sketch(false);
        let from: Choice = (0..sensitivity.facts.components())
            .map(|component| Some(usize::from(component % 7 == 0) * 2))
            .collect();
        let to: Choice = (0..sensitivity.facts.components())
            .map(|component| Some(usize::from(component % 7 == 1) * 2))
            .collect();
        let (budget, _) = sensitivity.size(&from).unwrap();
        assert!(steps(&sensitivity, &from, &from, budget, 9).is_empty());
        let all = steps(&sensitivity, &from, &to, budget, 9);
        assert_eq!(taken(&from, &all), to, "q and k are of one size, so that all can be exchanged");
    }
}
