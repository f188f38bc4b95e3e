//! An interpretation in shards: `cruxscope shard plan|run|status|merge|submit`.

pub mod local;
pub mod merge;
pub mod plan;
pub mod run;
pub mod signals;
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

/// The numbers of shards in a text such as `1,3-4`, in order and each once.
fn numbers(text: &str, count: usize) -> Result<Vec<usize>, Failure> {
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| (1..=count).contains(number));
    let part = |part: &str| match part.split_once('-') {
        None => number(part).map(|number| number..=number),
        Some((first, last)) => Some(number(first)?..=number(last)?),
    };
    let parts: Option<Vec<_>> = text.split(',').map(part).collect();
    let numbers: std::collections::BTreeSet<usize> = parts.into_iter().flatten().flatten().collect();
    if numbers.is_empty() {
        return Err(Failure::mistake(format!(
            "--only is {text}, but shards are 1 to {count}, written as 2 or 1,3-4"
        )));
    }
    Ok(numbers.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_shards_are_checked() {
        for (good, read) in [("1", vec![1]), ("4", vec![4]), ("3-4,1", vec![1, 3, 4]), ("2-3,3", vec![2, 3])] {
            assert_eq!(numbers(good, 4).unwrap(), read, "{good}");
        }
        for bad in ["0", "5", "1-", "a", "1-2-3", "", "1;rm", "3-2", "1,,2"] {
            assert!(numbers(bad, 4).is_err(), "{bad}");
        }
    }
}
