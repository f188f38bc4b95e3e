//! An interpretation in shards: `cruxscope shard plan|run|status|merge|submit`.

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

#[derive(Debug, clap::Subcommand)]
pub enum ShardCommand {
    /// Plan an interpretation in shards: what it takes, and who computes what
    Plan(Box<plan::Arguments>),
    /// Compute one shard of a plan, or all of them with one process per device
    Run(run::Arguments),
    /// Progress of the shards of a plan: states, last errors, time left
    Status(status::Arguments),
    /// Merge the shards of a plan into its study
    Merge(merge::Arguments),
    /// Submit a plan to a scheduler
    #[command(subcommand)]
    Submit(submit::Scheduler),
}

/// Carries out a command on shards.
pub fn dispatch(command: ShardCommand) -> Result<(), Failure> {
    match command {
        ShardCommand::Plan(arguments) => plan::run(&arguments),
        ShardCommand::Run(arguments) => run::run(&arguments),
        ShardCommand::Status(arguments) => status::run(&arguments),
        ShardCommand::Merge(arguments) => merge::run(&arguments),
        ShardCommand::Submit(scheduler) => submit::run(&scheduler),
    }
}

/// What an error means to a scheduler: whether to try again, and when.
fn for_scheduler(error: RunError) -> Failure {
    if is_stop(&error) {
        Failure::Stopped(anyhow::anyhow!("interrupted; finished work is kept, re-run to resume"))
    } else if error.is_user_error() {
        Failure::Hopeless(error.into())
    } else {
        Failure::Failed(error.into())
    }
}
