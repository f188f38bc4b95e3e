//! `cruxscope shard run`: a shard of a plan, or all of them.

use std::path::PathBuf;

use clap::Args;
use cruxscope_run::machine::{format_bytes, peak_memory};
use cruxscope_run::shards::{Shard, ShardPlan};

use super::{for_scheduler, local, numbers, signals};
use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, whole};
use crate::output::status;
use crate::progress::Progress;
use crate::settings::prepare_process;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The file that `cruxscope shard plan` wrote
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,
    /// Which shard, such as 2/4; without it all are run here, one after the other
    #[arg(long, value_name = "NUMBER/COUNT")]
    shard: Option<Shard>,
    /// Where to compute [default: the plan's device]
    #[arg(long, conflicts_with = "devices")]
    device: Option<String>,
    /// Run all shards with a process for every device, such as cuda:0,cuda:1
    #[arg(long, value_name = "DEVICES", value_delimiter = ',', conflicts_with = "shard")]
    devices: Vec<String>,
    /// With --devices: only these shards, such as 2 or 1,3-4
    #[arg(long, value_name = "NUMBERS", requires = "devices")]
    only: Option<String>,
    /// Number of threads of each process [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let stop = signals::stop_flag();
    let plan = ShardPlan::read(&arguments.plan).map_err(for_scheduler)?;
    let merged = || {
        let out = plan.settings.out.display();
        status!("the shards have been merged, nothing is left to compute; `cruxscope view {out}` opens the study");
    };
    if !arguments.devices.is_empty() && plan.is_merged(&mut Progress::stopped_by(stop.clone())).map_err(for_scheduler)? {
        merged();
        return Ok(());
    }
    if !arguments.devices.is_empty() {
        let shards = match &arguments.only {
            Some(only) => numbers(only, plan.shards.len())?,
            None => (1..=plan.shards.len()).collect(),
        };
        return local::run(&plan, &arguments.plan, shards, &arguments.devices, arguments.threads, &stop);
    }
    prepare_process(arguments.threads)?;
    let of = plan.shards.len();
    let shards = match arguments.shard {
        Some(shard) => vec![shard],
        None => (1..=of).map(|number| Shard { number, of }).collect(),
    };
    let is_all = shards.len() == of;
    for shard in shards {
        status!(
            "shard {}/{}: {} instances",
            shard.number,
            shard.of,
            plan.shards.get(shard.number - 1).map_or(0, Vec::len)
        );
        let mut progress = Progress::stopped_by(stop.clone());
        let result = plan.run(shard, arguments.device.as_deref(), &mut progress);
        progress.finish();
        if !result.map_err(for_scheduler)? {
            merged();
            return Ok(());
        }
    }
    if let Some(peak) = peak_memory() {
        status!("done; peak memory {}, planned {}", format_bytes(peak), format_bytes(plan.memory));
    }
    if is_all {
        status!("`cruxscope shard merge {}` merges the shards", arguments.plan.display());
    }
    Ok(())
}
