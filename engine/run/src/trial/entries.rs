//! What a recipe is measured beside: every rule at its size, uniform formats that fit into it, and its own formats in other places.

use cruxscope_sensitivity::SensitivityError;
use cruxscope_sensitivity::allocate::{Choice, uniform};
use cruxscope_sensitivity::menu::method_of;
use cruxscope_sensitivity::rules::{Rule, choose, permuted};
use cruxscope_sensitivity::subset::{of_formats, over_all};
use cruxscope_study::{Behaviour, ImportanceMap, Scope, Sensitivity};

use super::{Entry, Subject};

/// A size, and how recipes of it are chosen.
#[derive(Clone, Debug)]
pub struct Contest<'a> {
    /// The name of the group that is compared.
    pub group: String,
    /// Stored bits of all components.
    pub bits: f64,
    /// Whose positions rules go by.
    pub scope: Scope,
    /// The formats that rules choose among; the whole menu if there are none.
    pub formats: Option<Vec<usize>>,
    /// The rules that choose.
    pub rules: &'a [Rule],
    /// Relative importance of every component, for the paper's rule.
    pub importance: Option<&'a [f64]>,
    /// How many random permutations are measured.
    pub controls: usize,
    /// The seed of the first.
    pub seed: u64,
}

impl Contest<'_> {
    /// Rows of a contest: `given` first, if there is a recipe; then every rule, the largest uniform format of each method that fits, and
    /// random permutations of the first row.
    ///
    /// # Errors
    /// When the sketch does not hold the scope.
    pub fn entries(&self, sensitivity: &Sensitivity, given: Option<(&str, &Choice)>) -> Result<Vec<Entry>, SensitivityError> {
        let all: Vec<usize> = (0..sensitivity.facts.formats.len()).collect();
        let formats = self.formats.as_ref().unwrap_or(&all);
        let unknown = || SensitivityError::Menu {
            name: format!("{formats:?}"),
            why: "these are no positions of the sketch's menu".into(),
        };
        let part = of_formats(sensitivity, formats).ok_or_else(unknown)?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut add = |name: String, rule: &str, choice: Choice| {
            let subject = Subject::Recipe(choice);
            // Two rules may agree, but a row that only repeats the given recipe says nothing.
            if entries.first().is_none_or(|first| given.is_none() || first.subject != subject) {
                entries.push(Entry {
                    name,
                    group: self.group.clone(),
                    rule: rule.to_owned(),
                    subject,
                });
            }
        };
        if let Some((name, choice)) = given {
            add(name.to_owned(), "recipe", choice.clone());
        }
        for rule in self.rules {
            if let Some(choice) = choose(&part, self.scope, *rule, self.importance, self.bits)? {
                add(rule.name().to_owned(), rule.name(), over_all(formats, &choice));
            }
        }
        for format in uniforms(sensitivity, formats, self.bits) {
            add(
                format!("uniform {}", sensitivity.facts.formats[format].name),
                "uniform",
                uniform(sensitivity, format),
            );
        }
        if let Some(Subject::Recipe(first)) = entries.first().map(|entry| entry.subject.clone()) {
            for control in 0..self.controls {
                entries.push(Entry {
                    name: format!("random permutation {}", control + 1),
                    group: self.group.clone(),
                    rule: "random".into(),
                    subject: Subject::Recipe(permuted(sensitivity, &first, self.seed + control as u64)),
                });
            }
        }
        Ok(entries)
    }
}

/// Of every method, or candidate, the largest of some formats that takes no more than `bits` when every matrix has it.
fn uniforms(sensitivity: &Sensitivity, formats: &[usize], bits: f64) -> Vec<usize> {
    let method = |format: usize| method_of(&sensitivity.facts.formats[format]);
    let mut largest: Vec<(&str, usize, f64)> = Vec::new();
    for format in formats {
        let Some((size, _)) = sensitivity.size(&uniform(sensitivity, *format)) else {
            continue;
        };
        if size > bits * (1.0 + 1e-9) {
            continue;
        }
        match largest.iter_mut().find(|(known, ..)| *known == method(*format)) {
            Some(known) if known.2 < size => (known.1, known.2) = (*format, size),
            Some(_) => {}
            None => largest.push((method(*format), *format, size)),
        }
    }
    largest.into_iter().map(|(_, format, _)| format).collect()
}

/// Relative importance of every component, all behaviours of a study together; nothing where it has none.
pub fn importance_of(importance: &ImportanceMap) -> Option<Vec<f64>> {
    let mut sum: Option<Vec<f64>> = None;
    for behaviour in Behaviour::ALL.into_iter().filter(|behaviour| importance.has(*behaviour)) {
        let own = importance.of(behaviour);
        let total: f64 = own.iter().sum();
        if total > 0.0 {
            let sum = sum.get_or_insert_with(|| vec![0.0; own.len()]);
            sum.iter_mut().zip(own).for_each(|(sum, value)| *sum += value / total);
        }
    }
    sum
}
