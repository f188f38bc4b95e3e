//! An interpretation in shards: `plan`, `run`, `status`, `merge`, `submit`.

mod local;
pub mod merge;
pub mod plan;
pub mod run;
mod signals;
pub mod status;
pub mod submit;

use cruxscope_run::RunError;
use cruxscope_run::shards::is_stop;

use crate::failure::Failure;

/// What an error means to a scheduler: whether to try again, and when.
fn for_scheduler(error: RunError) -> Failure {
    if is_stop(&error) {
        Failure::Stopped(anyhow::anyhow!("told to stop; what is finished is kept, and the same command goes on"))
    } else if error.is_user_error() {
        Failure::Hopeless(error.into())
    } else {
        Failure::Failed(error.into())
    }
}
