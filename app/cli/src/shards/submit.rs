//! `cruxscope shard submit`: the jobs of a plan for a scheduler, printed, and sent with `--submit`.
//!
//! The number of shards comes from the plan: an array that is sent again in parts has another count in its environment. The job
//! that merges runs after any end of the others and checks for itself what is missing: after success alone it would wait for ever
//! once a shard has failed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use cruxscope_run::shards::ShardPlan;

use super::numbers;
use crate::failure::Failure;
use crate::numbers::whole;
use crate::output::{print_text, status};

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
    /// The partition
    #[arg(long)]
    partition: Option<String>,
    /// The account
    #[arg(long)]
    account: Option<String>,
    /// GPUs of each shard
    #[arg(long, default_value_t = 0, value_parser = whole::<u32>(0, 1024))]
    gpus: u32,
    /// Whole nodes with so many GPUs each: one job a node runs as many shards side by side, one on each GPU (cuda:0, cuda:1, …)
    #[arg(long, value_name = "N", conflicts_with_all = ["gpus", "only"], value_parser = whole::<u32>(1, 64))]
    gpus_per_node: Option<u32>,
    /// CPUs of each shard
    #[arg(long, default_value_t = 2, value_parser = whole::<u32>(1, 4096))]
    cpus: u32,
    /// Time limit of a shard, as Slurm writes it
    #[arg(long, default_value = "04:00:00")]
    time: String,
    /// A further argument for sbatch, such as --constraint=h100; may be given several times
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    sbatch: Vec<String>,
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
            format!("--cpus-per-task={}", u64::from(self.cpus) * together),
            format!("--mem={}M", mebibytes * together),
            format!("--time={}", self.time),
            "--requeue".into(),
            "--open-mode=append".into(),
            "--signal=B:USR1@120".into(),
            format!("--output={}", log(plan, "shard-%a")),
        ];
        if self.gpus > 0 {
            lines.push(format!("--gpus-per-task={}", self.gpus));
        }
        let (file, program) = (quoted(file)?, quoted(program)?);
        let work = match self.gpus_per_node {
            None => format!("--shard \"$SLURM_ARRAY_TASK_ID/{count}\" --threads \"${{SLURM_CPUS_PER_TASK:-{}}}\"", self.cpus),
            Some(gpus) => {
                lines.extend(["--nodes=1".to_owned(), "--ntasks=1".into(), format!("--gpus-per-node={gpus}")]);
                let devices: Vec<String> = (0..gpus).map(|gpu| format!("cuda:{gpu}")).collect();
                let last = format!("$((SLURM_ARRAY_TASK_ID * {gpus} < {count} ? SLURM_ARRAY_TASK_ID * {gpus} : {count}))");
                format!(
                    "--only \"$(((SLURM_ARRAY_TASK_ID - 1) * {gpus} + 1))-{last}\" --devices {} --threads {}",
                    devices.join(","),
                    self.cpus
                )
            }
        };
        Ok(format!(
            "#!/bin/bash\n{}\n\
             # The program runs beside the shell, so that the shell hears the scheduler and passes it on.\n\
             {program} shard run {file} {work} &\n\
             child=$!\n\
             trap 'kill -USR1 \"$child\" 2>/dev/null' USR1 TERM\n\
             while :; do\n  wait \"$child\"; code=$?\n  kill -0 \"$child\" 2>/dev/null || break\ndone\n\
             # 75: stopped in time, goes on when it is run again.\n\
             if [ \"$code\" -eq 75 ]; then scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID\"; fi\n\
             exit \"$code\"",
            self.header(lines)
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
            self.header(lines),
            quoted(program)?,
            quoted(file)?
        ))
    }

    fn header(&self, mut lines: Vec<String>) -> String {
        lines.extend(self.partition.iter().map(|partition| format!("--partition={partition}")));
        lines.extend(self.account.iter().map(|account| format!("--account={account}")));
        lines.extend(self.sbatch.iter().cloned());
        lines.iter().map(|line| format!("#SBATCH {line}")).collect::<Vec<_>>().join("\n")
    }
}

/// Where a job writes what it says, beside the study.
fn log(plan: &ShardPlan, name: &str) -> String {
    format!("{}.{name}.log", plan.settings.out.display())
}

/// A path as a shell reads it back.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path
        .to_str()
        .ok_or_else(|| Failure::mistake(format!("{} has a name that a script cannot hold", path.display())))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Sends a script to Slurm, and gives what it answers.
fn send(flags: &[&str], script: &str) -> Result<String, Failure> {
    let sent = || -> anyhow::Result<String> {
        let mut child = Command::new("sbatch")
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start sbatch; is this a machine of the cluster?")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(script.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        anyhow::ensure!(output.status.success(), "sbatch refused the job ({})", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    sent().map_err(Failure::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")).unwrap(), r"'/a b/it'\''s'");
    }
}
