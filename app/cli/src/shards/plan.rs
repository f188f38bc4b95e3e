//! `cruxscope shard plan`: what an interpretation takes, and its shards in a file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use cruxscope_run::machine::{format_bytes, format_duration};
use cruxscope_run::shards::{ShardPlan, beside};

use crate::failure::Failure;
use crate::numbers::whole;
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::settings::Interpretation;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    interpretation: Interpretation,
    /// Number of shards: as many as there are GPUs or nodes, or a few times more
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<usize>(1, 1_000_000))]
    shards: usize,
    /// The file to write [default: STUDY.plan.json beside the study]
    #[arg(long, value_name = "FILE.json")]
    plan: Option<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.interpretation.settings();
    arguments.interpretation.machine.prepare_process()?;
    let file = arguments.plan.clone().unwrap_or_else(|| beside(&settings.out));
    let mut progress = Progress::new();
    let plan = ShardPlan::new(settings, arguments.shards, &mut progress);
    progress.finish();
    let plan = plan?;
    plan.write(&file)?;
    if arguments.json {
        return print_json(&plan);
    }
    let instances: usize = plan.shards.iter().map(Vec::len).sum();
    print_text(&format!(
        "{instances} instances, {:.2} TFLOP, about {} of memory a process{}",
        plan.operations / 1e12,
        format_bytes(plan.memory),
        plan.device_memory
            .map_or_else(String::new, |bytes| format!(", and {} of the device's own", format_bytes(bytes)))
    ))?;
    for placed in &plan.placement {
        print_text(&format!("{:<13} {}", placed.what, placed.place))?;
    }
    for (place, (ids, share)) in plan.shards.iter().zip(&plan.shares).enumerate() {
        let time = plan.seconds.map_or_else(
            || "unknown time".to_owned(),
            |seconds| format_duration(Duration::from_secs_f64(seconds * share)),
        );
        print_text(&format!(
            "shard {}/{}   {} instances, {:.0} % of the work, about {time} on {}",
            place + 1,
            plan.shards.len(),
            ids.len(),
            100.0 * share,
            plan.settings.device
        ))?;
    }
    let (file, count) = (file.display(), plan.shards.len());
    status!("plan saved in {file}");
    status!("  cruxscope shard run {file} --shard 1/{count}      one shard, here or anywhere that sees the same files");
    status!("  cruxscope shard run {file} --devices cuda:0,cuda:1   all shards, one process per device");
    status!("  cruxscope shard submit slurm {file}      the jobs for a cluster");
    Ok(())
}
