//! `cruxscope shard submit`: the jobs of a plan for a scheduler, printed, and sent with `--submit`.
//!
//! The number of shards comes from the plan: an array that is sent again in parts has another count in its environment. The job
//! that merges runs after any end of the others and checks for itself what is missing: after success alone it would wait for ever
//! once a shard has failed.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cruxscope_run::shards::ShardPlan;

use super::numbers;
use crate::failure::Failure;
use crate::numbers::whole;
use crate::output::{print_text, status};
use crate::slurm::{Job, quoted, resumable, send};

/// A scheduler.
#[derive(Debug, Subcommand)]
pub enum Scheduler {
    /// Print the array job and the merging job for Slurm; `--submit` sends them
    Slurm(Slurm),
}

#[derive(Debug, Args)]
pub struct Slurm {
    /// The file that `cruxscope shard plan` wrote, in a folder that all nodes see
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,
    /// Send the jobs; without it they are only written
    #[arg(long = "submit", alias = "go")]
    go: bool,
    /// Only these shards, such as 2 or 1,3-4, to run them again
    #[arg(long, value_name = "NUMBERS")]
    only: Option<String>,
    #[command(flatten)]
    job: Job,
    /// Whole nodes with so many GPUs each: one job a node runs as many shards side by side, one on each GPU (cuda:0, cuda:1, …)
    #[arg(long, value_name = "N", conflicts_with_all = ["gpus", "only"], value_parser = whole::<u32>(1, 64))]
    gpus_per_node: Option<u32>,
}

pub fn run(scheduler: &Scheduler) -> Result<(), Failure> {
    let Scheduler::Slurm(slurm) = scheduler;
    let plan = ShardPlan::read(&slurm.plan)?;
    let file = std::path::absolute(&slurm.plan).map_err(Failure::failed)?;
    let program = std::env::current_exe().map_err(Failure::failed)?;
    if let Some(only) = &slurm.only {
        numbers(only, plan.shards.len())?;
    }
    let array = slurm.array_script(&plan, &file, &program)?;
    let merge = slurm.merge_script(&file, &program)?;
    if !slurm.go {
        print_text("# the array, for: sbatch --parsable")?;
        print_text(&array)?;
        print_text("# the merging, for: sbatch --dependency=afterany:ARRAY")?;
        return print_text(&merge);
    }
    let number = send(&["--parsable"], &array)?;
    // Several clusters answer "number;cluster".
    let number = number.trim().split(';').next().unwrap_or_default().to_owned();
    let merging = send(&["--parsable", &format!("--dependency=afterany:{number}")], &merge)?;
    print_text(&format!("array {number}, merging {}", merging.trim()))?;
    status!("`cruxscope shard status {}` says how far it is", slurm.plan.display());
    Ok(())
}

impl Slurm {
    fn array_script(&self, plan: &ShardPlan, file: &Path, program: &Path) -> Result<String, Failure> {
        let count = plan.shards.len();
        // Shards that one job runs.
        let together = u64::from(self.gpus_per_node.unwrap_or(1));
        let array = self.only.clone().unwrap_or_else(|| format!("1-{}", (count as u64).div_ceil(together)));
        // A little room for the program itself and what the plan cannot know.
        let mebibytes = (plan.memory as f64 * 1.15 / f64::from(1 << 20)).ceil() as u64 + 256;
        let mut lines = vec![
            "--job-name=cruxscope".to_owned(),
            format!("--array={array}"),
            format!("--cpus-per-task={}", u64::from(self.job.cpus) * together),
            format!("--mem={}M", mebibytes * together),
            format!("--time={}", self.job.time),
            "--requeue".into(),
            "--open-mode=append".into(),
            "--signal=B:USR1@120".into(),
            format!("--output={}", log(plan, "shard-%a")),
        ];
        if self.job.gpus > 0 {
            lines.push(format!("--gpus-per-task={}", self.job.gpus));
        }
        let (file, program) = (quoted(file)?, quoted(program)?);
        let work = match self.gpus_per_node {
            None => format!(
                "--shard \"$SLURM_ARRAY_TASK_ID/{count}\" --threads \"${{SLURM_CPUS_PER_TASK:-{}}}\"",
                self.job.cpus
            ),
            Some(gpus) => {
                lines.extend(["--nodes=1".to_owned(), "--ntasks=1".into(), format!("--gpus-per-node={gpus}")]);
                let devices: Vec<String> = (0..gpus).map(|gpu| format!("cuda:{gpu}")).collect();
                let last = format!("$((SLURM_ARRAY_TASK_ID * {gpus} < {count} ? SLURM_ARRAY_TASK_ID * {gpus} : {count}))");
                format!(
                    "--only \"$(((SLURM_ARRAY_TASK_ID - 1) * {gpus} + 1))-{last}\" --devices {} --threads {}",
                    devices.join(","),
                    self.job.cpus
                )
            }
        };
        Ok(format!(
            "#!/bin/bash\n{}\n{}",
            self.job.header(lines),
            resumable(&format!("{program} shard run {file} {work}"), "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID")
        ))
    }

    fn merge_script(&self, file: &Path, program: &Path) -> Result<String, Failure> {
        let plan = ShardPlan::read(file)?;
        let lines = vec![
            "--job-name=cruxscope-merge".to_owned(),
            "--cpus-per-task=1".into(),
            "--mem=4G".into(),
            "--time=01:00:00".into(),
            "--open-mode=append".into(),
            format!("--output={}", log(&plan, "merge")),
        ];
        Ok(format!(
            "#!/bin/bash\n{}\nexec {} shard merge {}",
            self.job.header(lines),
            quoted(program)?,
            quoted(file)?
        ))
    }
}

/// Where a job writes what it says, beside the study.
fn log(plan: &ShardPlan, name: &str) -> String {
    format!("{}.{name}.log", plan.settings.out.display())
}
