//! Which treatment each component gets; the file that a run saves and another loads.

use cruxscope_study::Component;
use serde::{Deserialize, Serialize};

use crate::method::MethodConfig;
use crate::selection::Selection;

/// A recipe: rules from first to last, the last one that holds a component deciding.
///
/// As JSON: `{"rules": [{"components": "all", "treatment": {"method": "rtn", …}}, {"components": "final-mlp", "treatment": null}]}`;
/// `components` is a [`Selection`], and a treatment of `null` leaves its components as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One rule of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Which components; see [`Selection`].
    pub components: String,
    /// What is done to them; nothing if there is none.
    pub treatment: Option<MethodConfig>,
}

impl Recipe {
    /// One treatment for `only` (everything if not given), except for `protect`.
    pub fn of(treatment: MethodConfig, only: Option<&str>, protect: Option<&str>) -> Self {
        let mut rules = vec![Rule {
            components: only.unwrap_or("all").into(),
            treatment: Some(treatment),
        }];
        if let Some(protect) = protect {
            rules.push(Rule {
                components: protect.into(),
                treatment: None,
            });
        }
        Self { rules }
    }

    /// The method of every component of a model with `layers` layers, layer by layer.
    ///
    /// # Errors
    /// A sentence, when a selection means nothing, or the recipe leaves everything as it is.
    pub fn plan(&self, layers: usize) -> Result<Vec<(Component, Option<&MethodConfig>)>, String> {
        let rules = self
            .rules
            .iter()
            .map(|rule| Ok((Selection::read(&rule.components, layers)?, rule)))
            .collect::<Result<Vec<_>, String>>()?;
        let of = |component: Component| {
            rules
                .iter()
                .rev()
                .find(|(selection, _)| selection.contains(component))
                .and_then(|(_, rule)| rule.treatment.as_ref())
        };
        let plan: Vec<_> = Component::all(layers).map(|component| (component, of(component))).collect();
        if plan.iter().all(|(_, treatment)| treatment.is_none()) {
            return Err("this recipe leaves every component as it is".into());
        }
        Ok(plan)
    }

    /// The method of every linear map of a model with `layers` layers, given by its component and, where that is made of several, its
    /// name among them.
    ///
    /// # Errors
    /// As [`Self::plan`], and when a selection names a part that the model does not have.
    pub fn plan_parts<'a>(&self, layers: usize, maps: &[(Component, Option<&'a str>)]) -> Result<Vec<Option<&MethodConfig>>, String> {
        let mut rules = Vec::new();
        for rule in &self.rules {
            let selection = Selection::read(&rule.components, layers)?;
            if let Some(item) = selection.unmatched(maps.iter().copied()) {
                return Err(format!("\"{item}\" is no part of this model's components"));
            }
            rules.push((selection, rule));
        }
        let of = |(component, part): &(Component, Option<&'a str>)| {
            let decides = rules.iter().rev().find(|(selection, _)| selection.contains_part(*component, *part));
            decides.and_then(|(_, rule)| rule.treatment.as_ref())
        };
        let plan: Vec<_> = maps.iter().map(of).collect();
        if plan.iter().all(Option::is_none) {
            return Err("this recipe leaves every component as it is".into());
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::{Pattern, Sparsity};

    fn half() -> MethodConfig {
        MethodConfig::Magnitude {
            pattern: Pattern::Unstructured(Sparsity::new(0.5).unwrap()),
        }
    }

    #[test]
    fn the_last_rule_decides_and_a_recipe_reads_what_it_writes() {
        let recipe = Recipe::of(half(), Some("layers:2-3"), Some("final-mlp"));
        let plan = recipe.plan(3).unwrap();
        let treated: Vec<String> = plan
            .iter()
            .filter(|(_, treatment)| treatment.is_some())
            .map(|(component, _)| component.to_string())
            .collect();
        assert_eq!(treated.len(), 7 + 4);
        assert!(treated.contains(&"3_o".to_owned()) && !treated.contains(&"3_up".to_owned()) && !treated.contains(&"1_q".to_owned()));
        let text = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    }

    #[test]
    fn a_recipe_for_nothing_is_refused() {
        assert!(Recipe::of(half(), Some("1_up"), Some("up")).plan(2).unwrap_err().contains("every component"));
        assert!(Recipe::of(half(), Some("9_up"), None).plan(2).unwrap_err().contains("layers 1 to 2"));
    }
}
