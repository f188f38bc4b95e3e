//! A second round: from a recipe in measured steps towards what other rules choose at its size ([`cruxscope_sensitivity::refine`]).

use cruxscope_model::with_kernels;
use cruxscope_sensitivity::allocate::Choice;
use cruxscope_sensitivity::refine::{Step, steps, taken};

use super::{Entry, OpenTrial, PARTS, Subject, TOGETHER};
use crate::{Observer, RunError};

/// What a second round came to.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondRound {
    /// The recipe, of no more bits than the one that it began at.
    pub choice: Choice,
    /// Measured divergence of the recipe that it began at, on this round's text, in nats.
    pub before: f64,
    /// That of the recipe it came to, on the same text: lower than on other text, since it was chosen by this.
    pub after: f64,
    /// Recipes measured on the way.
    pub measured: usize,
    /// Matrices whose format is another now.
    pub changed: usize,
}

impl OpenTrial {
    /// Goes from a recipe towards each of some others, in steps that this trial's text says help; which must be other text than what the
    /// result is judged by.
    ///
    /// # Errors
    /// As [`Self::run`]; what was measured is kept.
    pub fn second_round(&self, from: &Choice, others: &[Choice], observer: &mut dyn Observer) -> Result<SecondRound, RunError> {
        let (budget, _) = self.sensitivity.size(from).ok_or_else(|| RunError::Recipe {
            why: "the recipe does not fit the sketch's menu".into(),
        })?;
        let mut measured = 0;
        let mut current = from.clone();
        let mut now = self.divergences(std::slice::from_ref(from), observer)?[0];
        let before = now;
        for other in others {
            // One place is the current recipe's, which is known.
            let steps = steps(&self.sensitivity, &current, other, budget, TOGETHER);
            let alone: Vec<Choice> = steps.iter().map(|step| taken(&current, [step])).collect();
            let found = self.divergences(&alone, observer)?;
            let mut helping: Vec<(f64, &Step)> = found.into_iter().zip(&steps).filter(|(kl, _)| *kl < now).collect();
            helping.sort_by(|a, b| a.0.total_cmp(&b.0));
            let together: Vec<Choice> = (2..=helping.len())
                .map(|count| taken(&current, helping[..count].iter().map(|(_, step)| *step)))
                .collect();
            let found = self.divergences(&together, observer)?;
            measured += alone.len() + together.len();
            let first = helping.first().map(|(kl, step)| (*kl, taken(&current, [*step])));
            let best = first.into_iter().chain(found.into_iter().zip(together)).min_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((kl, choice)) = best {
                (now, current) = (kl, choice);
            }
        }
        Ok(SecondRound {
            changed: current.iter().zip(from).filter(|(new, old)| new != old).count(),
            choice: current,
            before,
            after: now,
            measured,
        })
    }

    /// Mean measured divergences of recipes, in nats.
    fn divergences(&self, choices: &[Choice], observer: &mut dyn Observer) -> Result<Vec<f64>, RunError> {
        let parts = self.results().join(PARTS);
        std::fs::create_dir_all(&parts).map_err(|source| RunError::Io {
            attempt: "create",
            path: parts.clone(),
            source,
        })?;
        let entry = |choice: &Choice| Entry {
            name: String::new(),
            group: String::new(),
            rule: String::new(),
            subject: Subject::Recipe(choice.clone()),
        };
        let entries: Vec<Entry> = choices.iter().map(entry).collect();
        let found = with_kernels!(self.device.clone(), |kernels| self.measured(kernels, &entries, &parts, observer))?;
        let mean = |windows: &[cruxscope_study::WindowLoss]| {
            let predictions: usize = windows.iter().map(|window| window.predictions).sum();
            windows.iter().map(|window| window.kl).sum::<f64>() / predictions.max(1) as f64
        };
        Ok(found.iter().map(|kept| mean(&kept.windows)).collect())
    }
}
