//! Models that are opened with their quantized activations simulated, where that is asked for.

use std::path::Path;

use cruxscope_checkpoint::Checkpoint;

use crate::RunError;

/// What keys of runs hold beside the rest where activations are simulated; nothing otherwise, so that keys stay what they were.
pub(crate) fn key(simulated: bool) -> &'static str {
    if simulated { " activations" } else { "" }
}

/// Opens a model, its quantized activations simulated if they are to be; it need not ask for such, see [`check`].
///
/// # Errors
/// When it cannot be opened, or asks for what is not simulated.
pub(crate) fn open_any(path: &Path, simulated: bool) -> Result<Checkpoint, RunError> {
    let mut checkpoint = Checkpoint::open(path)?;
    if simulated {
        checkpoint.simulate_activations()?;
    }
    Ok(checkpoint)
}

/// Confirms that activations of one of the models are simulated, if they are to be.
///
/// # Errors
/// When none is.
pub(crate) fn check(checkpoints: &[&Checkpoint], simulated: bool) -> Result<(), RunError> {
    if !simulated || checkpoints.iter().any(|checkpoint| checkpoint.simulates_activations()) {
        return Ok(());
    }
    let names: Vec<String> = checkpoints.iter().map(|checkpoint| checkpoint.path().display().to_string()).collect();
    let why = format!(
        "{} asks for no quantized activations that could be simulated; leave --simulate-activations out",
        names.join(" or ")
    );
    Err(RunError::Recipe { why })
}

/// Opens the one model of a run, its quantized activations simulated if they are to be.
///
/// # Errors
/// When it cannot be opened, asks for what is not simulated, or, where it should, asks for no quantized activations.
pub fn open(path: &Path, simulated: bool) -> Result<Checkpoint, RunError> {
    let checkpoint = open_any(path, simulated)?;
    check(&[&checkpoint], simulated)?;
    Ok(checkpoint)
}
