//! What a budget says in words, and the commands that do the same.

use cruxscope_study::{RecipeCost, Scope};

use super::{Budget, Plan};
use crate::format;

/// A predicted divergence with its interval: `0.146 nats (0.12 to 0.171)`.
pub fn nats(kl: f64, interval: Option<(f64, f64)>) -> String {
    let ends = interval.map_or_else(String::new, |(low, high)| {
        format!(" ({} to {})", format::significant(low), format::significant(high))
    });
    format!("{}\u{a0}nats{ends}", format::significant(kl))
}

/// `all positions`, or a behaviour.
pub fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::All => "all positions",
        Scope::Behaviour(behaviour) => behaviour.title(),
    }
}

/// Bits and bytes of a recipe: `4.25 bits/weight, 5.6 GB`.
pub fn size(cost: &RecipeCost) -> String {
    let bytes = format::bytes((cost.bits / 8.0).round() as u64);
    format!("{:.2} bits/weight, {bytes}", cost.bits_per_weight)
}

impl Budget {
    /// What the view says, as a title: `SmolLM2 at 4.25 bits/weight: KL 0.19 nats predicted, 0.62 times that of rtn-4-g64 at 4.50`.
    pub fn finding(&self, title: &str, plan: &Plan) -> String {
        let cost = &plan.cost;
        let of = match self.settings.scope() {
            Scope::All => String::new(),
            Scope::Behaviour(behaviour) => format!(" for {}", behaviour.title().to_lowercase()),
        };
        let beside = self.beside(cost).filter(|uniform| uniform.cost.kl > 0.0).map_or_else(String::new, |uniform| {
            format!(
                ", {:.2} times that of {} at {:.2}",
                cost.kl / uniform.cost.kl,
                uniform.name,
                uniform.cost.bits_per_weight
            )
        });
        format!(
            "{title} at {:.2} bits/weight: KL {}\u{a0}nats predicted{of}{beside}",
            cost.bits_per_weight,
            format::significant(cost.kl)
        )
    }

    /// What is to be known of a prediction: by which windows, and whether it lies where predictions hold.
    pub fn caveat(&self, plan: &Plan) -> String {
        let by = if plan.is_edited {
            "Changed by hand: predicted on all windows, those included that chose the rest."
        } else {
            "Predicted by windows that did not choose the recipe."
        };
        if plan.cost.is_beyond_trust {
            format!(
                "{by} Beyond {} nats the second order underestimates: the real KL is larger. Measure it with cruxscope trial.",
                Self::trusted()
            )
        } else {
            format!("{by} A mix of formats often measures up to 40 % above its prediction; cruxscope trial measures it.")
        }
    }

    /// The command that chooses the same recipe; of one that was changed by hand, the command that carries out its exported file.
    pub fn command(&self, study: &str, plan: &Plan, target: f64) -> String {
        if plan.is_edited {
            return "cruxscope compress --model MODEL --recipe recipe.cruxscope.json --out OUT".to_owned();
        }
        let scope = match self.settings.scope() {
            Scope::All => String::new(),
            scope => format!(" --scope {scope}"),
        };
        let fused = if self.settings.keep_fused { " --keep-fused" } else { "" };
        let (low, high) = self.range();
        let target = target.clamp(low, high);
        format!(
            "cruxscope allocate --study {} --target-bits {target:.4}{scope}{fused} --out recipe.json",
            quoted(study)
        )
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use cruxscope_study::test_data as samples;
    use cruxscope_study::{Component, Module};

    use super::*;
    use crate::budget::BudgetSettings;

    #[test]
    fn words_say_size_cost_and_by_what() {
        let settings = BudgetSettings {
            keep_fused: true,
            ..BudgetSettings::default()
        };
        let budget = Budget::new(Arc::new(samples::sensitivity(6)), settings).unwrap();
        let target = budget.first_target();
        let mut edits = BTreeMap::new();
        let plan = budget.plan(target, &edits).unwrap();
        let said = budget.finding("Sample", &plan);
        assert!(said.starts_with("Sample at ") && said.contains("times that of rtn-"), "{said}");
        assert!(budget.caveat(&plan).starts_with("Predicted by windows that did not choose"));
        let command = budget.command("my study", &plan, target);
        assert!(command.starts_with("cruxscope allocate --study 'my study' --target-bits "), "{command}");
        assert!(command.contains(" --keep-fused ") && !command.contains("--scope"), "{command}");
        edits.insert(Component::new(0, Module::Down), None);
        let plan = budget.plan(target, &edits).unwrap();
        assert!(budget.caveat(&plan).starts_with("Changed by hand"));
        assert!(budget.command("s", &plan, target).contains("--recipe"));
        assert_eq!(nats(0.146, Some((0.12, 0.171))), "0.146\u{a0}nats (0.120 to 0.171)");
    }
}
