//! Recipes that a sketch of the distilled model chooses, beside those of other rules at the same size: what is predicted, what is measured
//! on text that chose none of them, and what the puzzles say.

use cruxscope_run::RunError;
use cruxscope_run::trial::{Contest, Entry, Subject};
use cruxscope_sensitivity::allocate::uniform;
use cruxscope_sensitivity::menu::{MenuFormat, read_menu};
use cruxscope_sensitivity::recipe::recipe_of;
use cruxscope_sensitivity::rules::{Rule, choose};
use cruxscope_sensitivity::subset::{of_formats, over_all};
use cruxscope_statistics::RankCorrelation;
use cruxscope_study::{Component, Scope, Sensitivity, Study, Validation};

use crate::selection::ALONE_BITS;
use crate::tables::{FEW, Foretold, RECIPES};
use crate::variants::{GROUP, Variant};

/// Bits of the menu, in groups of the miniature's.
const MENU: [u8; 5] = [2, 3, 4, 6, 8];
/// The format whose size a recipe over the whole menu has: its place in the menu.
const AS_LARGE_AS: usize = 1;
/// The share of the weights that is protected at the largest format over the smallest, in percent.
pub const PROTECTED_PERCENT: f64 = 10.0;
/// Rules beside this program's own.
pub const RULES: [Rule; 4] = [Rule::WeightError, Rule::InputError, Rule::FinalMlp, Rule::Importance];
/// What this program's own recipe is called.
pub const OWN: &str = "allocate";

/// The menu of the sketch.
pub fn menu() -> Result<Vec<MenuFormat>, RunError> {
    let names: Vec<String> = MENU.iter().map(|bits| format!("rtn-{bits}-g{GROUP}")).collect();
    Ok(read_menu(&names.join(","))?)
}

/// What is measured, and asked: recipes of one size, and few matrices protected, each by every rule. Groups are the experiments' names.
///
/// # Errors
/// When the sketch does not hold its own menu.
pub fn entries(sensitivity: &Sensitivity, study: &Study, controls: usize, seed: u64) -> Result<Vec<Entry>, RunError> {
    let importance = study.importance.relative_mean();
    let size = |format: usize| sensitivity.size(&uniform(sensitivity, format)).map_or(0.0, |(bits, _)| bits);
    let last = MENU.len() - 1;
    let few = size(0) + PROTECTED_PERCENT / 100.0 * (size(last) - size(0));
    let mut all = Vec::new();
    for (group, bits, formats) in [(RECIPES, size(AS_LARGE_AS), None), (FEW, few, Some(vec![0, last]))] {
        let over: Vec<usize> = formats.clone().unwrap_or_else(|| (0..MENU.len()).collect());
        let missing = || RunError::Recipe {
            why: "the sketch does not hold its menu".into(),
        };
        let part = of_formats(sensitivity, &over).ok_or_else(missing)?;
        let own = over_all(&over, &choose(&part, Scope::All, Rule::Estimate, None, bits)?.ok_or_else(missing)?);
        let contest = Contest {
            group: group.to_owned(),
            bits,
            scope: Scope::All,
            formats,
            rules: &RULES,
            importance: Some(&importance),
            controls,
            seed,
        };
        all.extend(contest.entries(sensitivity, Some((OWN, &own)))?);
    }
    Ok(all)
}

/// A recipe as a model that is made and asked; nothing for what is no recipe of this program's methods.
///
/// # Errors
/// When the sketch's word for a format is no method.
pub fn variant(sensitivity: &Sensitivity, entry: &Entry) -> Result<Option<Variant>, RunError> {
    let Subject::Recipe(choice) = &entry.subject else { return Ok(None) };
    let Some(recipe) = recipe_of(sensitivity, choice)? else { return Ok(None) };
    let bits = sensitivity.size(choice).map_or(0.0, |(bits, weights)| bits / weights);
    Ok(Some(Variant {
        name: model_of(&entry.group, &entry.name),
        compression: format!("RTN, {bits:.2} bits, {}", entry.name),
        setting: entry.name.clone(),
        recipe,
    }))
}

/// The divergence that the sketch predicts for every matrix alone, against what rounding it alone cost, by rank and in nats.
pub fn against_measured(sensitivity: &Sensitivity, validation: &Validation) -> Option<Foretold> {
    let format = sensitivity.facts.format(&format!("rtn-{ALONE_BITS}-g{GROUP}"))?;
    let predicted = sensitivity.alone(Scope::All, format)?;
    let measured = Component::all(sensitivity.facts.layers)
        .map(|component| {
            let name = component.to_string();
            Some(validation.components.iter().find(|found| found.component == name)?.divergence)
        })
        .collect::<Option<Vec<f64>>>()?;
    Some(Foretold {
        rank: RankCorrelation::of(&predicted, &measured)?,
        predicted: predicted.iter().sum(),
        measured: measured.iter().sum(),
    })
}

/// The folder of the model that a rule's recipe in an experiment gives.
pub fn model_of(group: &str, rule: &str) -> String {
    let prefix = if group == FEW { "few" } else { "recipe" };
    let slug: String = rule.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    format!("{prefix}-{slug}")
}
