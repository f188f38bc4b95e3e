//! The file that says what was chosen: a recipe for `cruxscope compress --recipe`, with what it takes and what it is predicted to cost.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AllocationError;
use crate::{Component, FileDigest, RecipeCost, Scope, Sensitivity};

/// The newest layout of the file.
pub const RECIPE_SCHEMA: u32 = 1;
/// The name of "leave it as it is" among formats.
pub const UNCHANGED: &str = "unchanged";

/// A chosen recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipeFile {
    /// Layout of the file.
    pub schema: u32,
    /// The program and its version.
    pub program: String,
    /// The model's name.
    pub model: String,
    /// The model's files.
    pub model_files: Vec<FileDigest>,
    /// Whose positions were counted.
    pub scope: Scope,
    /// Stored bits of all components, scales included.
    pub bits: f64,
    /// The same for each weight.
    pub bits_per_weight: f64,
    /// What it is predicted to cost.
    pub predicted: Predicted,
    /// The format of every component, layer by layer.
    pub components: Vec<ComponentFormat>,
    /// What `cruxscope compress --recipe` does; none where a component's format is another program's checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<RuleText>>,
}

/// A predicted divergence, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// By windows that did not choose.
    pub kl: f64,
    /// Its interval by a bootstrap over windows.
    pub interval: Option<(f64, f64)>,
    /// Whether it lies beyond the range in which the second order holds.
    pub is_beyond_trust: bool,
}

/// A rule of a recipe, as `cruxscope compress --recipe` reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleText {
    /// The components, separated by commas.
    pub components: String,
    /// The method with its settings; nothing where they are left as they are.
    pub treatment: Option<Value>,
}

/// The format of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentFormat {
    /// The component.
    pub component: String,
    /// Its format, by the menu's name.
    pub format: String,
}

impl RecipeFile {
    /// Of a choice.
    pub fn new(sensitivity: &Sensitivity, choice: &[Option<usize>], scope: Scope, cost: &RecipeCost) -> Self {
        let facts = &sensitivity.facts;
        let name = |format: &Option<usize>| match format {
            Some(format) => facts.formats[*format].name.clone(),
            None => UNCHANGED.to_owned(),
        };
        let components = Component::all(facts.layers)
            .zip(choice)
            .map(|(component, format)| ComponentFormat {
                component: component.to_string(),
                format: name(format),
            })
            .collect();
        Self {
            schema: RECIPE_SCHEMA,
            program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
            model: facts.model.clone(),
            model_files: facts.model_files.clone(),
            scope,
            bits: cost.bits,
            bits_per_weight: cost.bits_per_weight,
            predicted: Predicted {
                kl: cost.kl,
                interval: cost.interval,
                is_beyond_trust: cost.is_beyond_trust,
            },
            components,
            rules: rules_of(sensitivity, choice),
        }
    }

    /// The positions of its formats in a menu.
    ///
    /// # Errors
    /// [`AllocationError::Menu`] for a format that the menu does not hold, or another number of components.
    pub fn choice(&self, sensitivity: &Sensitivity) -> Result<Vec<Option<usize>>, AllocationError> {
        let refuse = |name: &str, why: &str| AllocationError::Menu {
            name: name.into(),
            why: why.into(),
        };
        if self.components.len() != sensitivity.facts.components() {
            return Err(refuse(&self.model, "the recipe is of a model with other layers"));
        }
        self.components
            .iter()
            .zip(Component::all(sensitivity.facts.layers))
            .map(|(own, component)| {
                if own.component != component.to_string() {
                    return Err(refuse(&own.component, "the recipe's components stand in another order"));
                }
                match own.format.as_str() {
                    UNCHANGED => Ok(None),
                    name => sensitivity
                        .facts
                        .format(name)
                        .map(Some)
                        .ok_or_else(|| refuse(name, "the sketch's menu does not hold it")),
                }
            })
            .collect()
    }
}

/// The rules of a choice for `cruxscope compress`; nothing where a component's format is another program's checkpoint. Components that a
/// layer does not have are left out.
pub fn rules_of(sensitivity: &Sensitivity, choice: &[Option<usize>]) -> Option<Vec<RuleText>> {
    let mut rules = Vec::new();
    for format in (0..sensitivity.facts.formats.len()).map(Some).chain([None]) {
        let components: Vec<String> = Component::all(sensitivity.facts.layers)
            .zip(choice)
            .filter(|(component, chosen)| **chosen == format && sensitivity.facts.weights_of(component.index()) > 0.0)
            .map(|(component, _)| component.to_string())
            .collect();
        if components.is_empty() {
            continue;
        }
        let treatment = match format {
            None => None,
            Some(format) => Some(sensitivity.facts.formats[format].treatment.clone()?),
        };
        rules.push(RuleText {
            components: components.join(","),
            treatment,
        });
    }
    Some(rules)
}
