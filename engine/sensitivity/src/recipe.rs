//! Recipes of the study in the engine's own words: treatments that can be carried out.

use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::recipe::{Recipe, Rule};
use cruxscope_study::Sensitivity;

pub use cruxscope_study::allocation::recipe::{ComponentFormat, Predicted, RECIPE_SCHEMA, RecipeFile, RuleText, UNCHANGED, rules_of};

use crate::SensitivityError;

/// The rules of a choice for `cruxscope compress`; nothing where a component's format is another program's checkpoint.
///
/// # Errors
/// When what the sketch says of a format is no treatment.
pub fn recipe_of(sensitivity: &Sensitivity, choice: &[Option<usize>]) -> Result<Option<Recipe>, SensitivityError> {
    let Some(rules) = rules_of(sensitivity, choice) else { return Ok(None) };
    let read = |rule: RuleText| -> Result<Rule, SensitivityError> {
        let treatment = rule.treatment.map(serde_json::from_value::<MethodConfig>).transpose();
        Ok(Rule {
            treatment: treatment.map_err(|error| SensitivityError::Menu {
                name: rule.components.clone(),
                why: format!("the sketch's word for it is no treatment: {error}"),
            })?,
            components: rule.components,
        })
    };
    let rules = rules.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Recipe { rules }))
}
