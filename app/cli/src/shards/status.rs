//! `cruxscope shard status`: how far the shards of a plan are.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use cruxscope_run::machine::format_duration;
use cruxscope_run::shards::{ShardPlan, ShardState};
use cruxscope_study::MANIFEST_FILE;

use crate::failure::Failure;
use crate::output::{print_json, print_text};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The file that `cruxscope shard plan` wrote
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = ShardPlan::read(&arguments.plan)?;
    let status = plan.status()?;
    let left = plan.seconds_left(&status);
    if arguments.json {
        return print_json(&serde_json::json!({"shards": status, "seconds_left": left}));
    }
    let of = status.len();
    for shard in &status {
        let state = match shard.state {
            ShardState::Waiting => "waiting",
            ShardState::Running => "running",
            ShardState::Stopped => "stopped, can go on",
            ShardState::Failed => "failed",
            ShardState::Silent => "says nothing; killed?",
            ShardState::Finished => "finished",
        };
        let host = shard.host.as_ref().map_or_else(String::new, |host| format!("   on {host}"));
        print_text(&format!(
            "shard {}/{of}   {} of {} instances   {state}{host}",
            shard.shard, shard.done, shard.of
        ))?;
        if let Some(error) = &shard.error {
            print_text(&format!("    {error}"))?;
        }
    }
    let (done, instances) = status.iter().fold((0, 0), |(done, of), shard| (done + shard.done, of + shard.of));
    let left = match left {
        _ if plan.settings.out.join(MANIFEST_FILE).is_file() => format!("they have been merged into {}", plan.settings.out.display()),
        _ if done == instances => format!("`cruxscope shard merge {}` merges them", arguments.plan.display()),
        Some(seconds) => format!("about {} left for what runs now", format_duration(Duration::from_secs_f64(seconds))),
        None => "nothing runs, or it has just begun".into(),
    };
    print_text(&format!("{done} of {instances} instances are finished; {left}"))
}
