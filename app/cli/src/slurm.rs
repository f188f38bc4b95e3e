//! Jobs for Slurm: what all of them are asked, and how they are written and sent.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::Args;

use crate::failure::Failure;
use crate::numbers::whole;

/// What a job asks of the cluster.
#[derive(Clone, Debug, Args)]
pub struct Job {
    /// The partition
    #[arg(long)]
    partition: Option<String>,
    /// The account
    #[arg(long)]
    account: Option<String>,
    /// GPUs of each job
    #[arg(long, default_value_t = 0, value_parser = whole::<u32>(0, 1024))]
    pub gpus: u32,
    /// CPUs of each job
    #[arg(long, default_value_t = 2, value_parser = whole::<u32>(1, 4096))]
    pub cpus: u32,
    /// Time limit of a job, as Slurm writes it
    #[arg(long, default_value = "04:00:00")]
    pub time: String,
    /// A further argument for sbatch, such as --constraint=h100; may be given several times
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    sbatch: Vec<String>,
}

impl Job {
    /// The lines for sbatch at the head of a script, with a job's own first.
    pub fn header(&self, mut lines: Vec<String>) -> String {
        lines.extend(self.partition.iter().map(|partition| format!("--partition={partition}")));
        lines.extend(self.account.iter().map(|account| format!("--account={account}")));
        lines.extend(self.sbatch.iter().cloned());
        lines.iter().map(|line| format!("#SBATCH {line}")).collect::<Vec<_>>().join("\n")
    }
}

/// A path as a shell reads it back.
pub fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path
        .to_str()
        .ok_or_else(|| Failure::mistake(format!("{} has a name that a script cannot hold", path.display())))?;
    Ok(word(text))
}

/// A word as a shell reads it back.
pub fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command that hears the scheduler, and goes back into the queue where it was stopped in time.
pub fn resumable(command: &str, number: &str) -> String {
    format!(
        "# The program runs beside the shell, so that the shell hears the scheduler and passes it on.\n\
         {command} &\n\
         child=$!\n\
         trap 'kill -USR1 \"$child\" 2>/dev/null' USR1 TERM\n\
         while :; do\n  wait \"$child\"; code=$?\n  kill -0 \"$child\" 2>/dev/null || break\ndone\n\
         # 75: stopped in time, goes on when it is run again.\n\
         if [ \"$code\" -eq 75 ]; then scontrol requeue \"{number}\"; fi\n\
         exit \"$code\""
    )
}

/// Sends a script to Slurm, and gives what it answers.
pub fn send(flags: &[&str], script: &str) -> Result<String, Failure> {
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
