//! `cruxscope shard merge`: the shards of a plan into its study.

use std::path::PathBuf;

use clap::Args;
use cruxscope_run::shards::ShardPlan;

use super::for_scheduler;
use crate::failure::Failure;
use crate::output::{print_json, status};
use crate::progress::Progress;
use crate::show;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The file that `cruxscope shard plan` wrote
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,
    /// Print the result as JSON, as `cruxscope show --json` does
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = ShardPlan::read(&arguments.plan).map_err(for_scheduler)?;
    let mut progress = Progress::new();
    let outcome = plan.merge(&mut progress);
    progress.finish();
    let outcome = outcome.map_err(for_scheduler)?;
    let out = plan.settings.out.display();
    status!("study saved in {out}; `cruxscope view {out}` opens it");
    if arguments.json {
        print_json(&show::summary(&outcome.study, show::TOP)?)
    } else {
        show::print(&outcome.study, 3)
    }
}
