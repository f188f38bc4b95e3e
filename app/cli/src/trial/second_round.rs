//! A second round from a recipe, in measured steps.

use std::path::Path;

use cruxscope_run::RunError;
use cruxscope_run::trial::OpenTrial;
use cruxscope_run::windows::Calibration;
use cruxscope_sensitivity::allocate::Choice;
use cruxscope_sensitivity::recipe::RecipeFile;
use cruxscope_sensitivity::rules::{Rule, choose};
use cruxscope_statistics::Bootstrap;
use cruxscope_study::folder;

use super::Arguments;
use crate::failure::Failure;
use crate::output::status;
use crate::progress::Progress;

/// The text that a second round goes by, if there is one.
pub(super) fn text(arguments: &Arguments) -> Result<Option<Calibration>, Failure> {
    let Some(path) = &arguments.second_round else { return Ok(None) };
    let same_file = std::fs::canonicalize(path).ok() == std::fs::canonicalize(&arguments.held_out).ok();
    if same_file && arguments.second_round_array == arguments.held_out_array {
        return Err(Failure::mistake(
            "--second-round and --held-out are the same text, which would then judge what it chose; give other text for one of them",
        ));
    }
    Ok(Some(Calibration {
        source: arguments.windows_of(path, arguments.second_round_array.clone()),
        windows: Some(arguments.second_round_windows),
        seed: None,
    }))
}

/// The rules whose recipes a second round goes towards.
pub const TOWARDS: [Rule; 4] = [Rule::GradientScore, Rule::Predicted, Rule::GradientRatio, Rule::Estimate];

/// The recipe that a second round comes to, saved in a place.
pub(super) fn run(choosing: &OpenTrial, recipe: &RecipeFile, choice: &Choice, place: &Path, progress: &mut Progress) -> Result<Choice, Failure> {
    let sensitivity = choosing.sensitivity();
    let others = TOWARDS
        .iter()
        .map(|rule| choose(sensitivity, recipe.scope, *rule, None, recipe.bits))
        .collect::<Result<Vec<_>, _>>()
        .map_err(RunError::from)?;
    let others: Vec<Choice> = others.into_iter().flatten().collect();
    let found = choosing.second_round(choice, &others, progress)?;
    let cost = sensitivity.cost(recipe.scope, &found.choice, Bootstrap::default());
    let cost = cost.ok_or_else(|| Failure::mistake(format!("the sketch says nothing of {}", recipe.scope)))?;
    let refined = RecipeFile::new(sensitivity, &found.choice, recipe.scope, &cost);
    let mut text = serde_json::to_vec_pretty(&refined).map_err(Failure::failed)?;
    text.push(b'\n');
    folder::write_atomically(place, &text)?;
    status!(
        "second round: {} of {} matrices have another format, {} recipes measured; divergence on its text {:.4} before, {:.4} after; saved in {}",
        found.changed,
        found.choice.len(),
        found.measured,
        found.before,
        found.after,
        place.display()
    );
    Ok(found.choice)
}
