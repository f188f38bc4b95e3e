//! Shards on one machine: one process per device, each taking the next shard when it is done with one.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cruxscope_run::machine::format_duration;
use cruxscope_run::shards::{ShardPlan, ShardState};

use crate::failure::Failure;
use crate::output::status;

/// Time between looks at the processes.
const PATIENCE: Duration = Duration::from_millis(200);
/// Looks between lines on how far the shards are.
const BETWEEN: u32 = 50;

/// A process and the shard that it computes.
struct Worker {
    shard: usize,
    child: Child,
}

/// Runs some shards. A shard that failed is left, the others go on; the last error says which.
pub fn run(plan: &ShardPlan, file: &Path, shards: Vec<usize>, devices: &[String], threads: Option<usize>, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let of = plan.shards.len();
    let is_all = shards.len() == of;
    let mut waiting: VecDeque<usize> = shards.into();
    let mut workers: Vec<Option<Worker>> = devices.iter().map(|_| None).collect();
    let (mut failed, mut hopeless, mut told, mut looks) = (Vec::new(), false, false, 0_u32);
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        for (device, worker) in devices.iter().zip(&mut workers) {
            if let Some(one) = worker
                && let Some(ended) = one.child.try_wait().map_err(Failure::failed)?
            {
                if ended.success() {
                    status!("shard {}/{of} is finished ({device})", one.shard);
                } else if !stopping {
                    let status = plan.status().unwrap_or_default();
                    let error = status
                        .get(one.shard - 1)
                        .and_then(|shard| shard.error.clone())
                        .unwrap_or_else(|| ended.to_string());
                    status!("shard {}/{of} failed on {device}: {error}", one.shard);
                    hopeless |= ended.code() == Some(3);
                    failed.push(one.shard);
                }
                *worker = None;
            }
            if worker.is_none()
                && !stopping
                && let Some(shard) = waiting.pop_front()
            {
                let mut command = Command::new(&program);
                command
                    .args(["shard", "run"])
                    .arg(file)
                    .args(["--shard", &format!("{shard}/{of}"), "--device", device]);
                if let Some(threads) = threads {
                    command.args(["--threads", &threads.to_string()]);
                }
                // What several processes say on one terminal would be a muddle; their errors stand in the notes.
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let child = command.spawn().map_err(Failure::failed)?;
                *worker = Some(Worker { shard, child });
            }
        }
        if stopping && !told {
            told = true;
            workers.iter().flatten().for_each(|worker| ask_to_stop(&worker.child));
        }
        if workers.iter().all(Option::is_none) && (stopping || waiting.is_empty()) {
            break;
        }
        looks += 1;
        if looks.is_multiple_of(BETWEEN) {
            say(plan);
        }
        std::thread::sleep(PATIENCE);
    }
    if stop.load(Ordering::SeqCst) {
        return Err(Failure::Stopped(anyhow::anyhow!("told to stop; the same command goes on")));
    }
    if failed.is_empty() {
        if is_all {
            status!("all shards are finished; `cruxscope shard merge {}` merges them", file.display());
        } else {
            status!("these shards are finished");
        }
        return Ok(());
    }
    let error = anyhow::anyhow!("shards {failed:?} failed; `cruxscope shard status {}` says why", file.display());
    Err(if hopeless { Failure::Hopeless(error) } else { Failure::Failed(error) })
}

fn say(plan: &ShardPlan) {
    let Ok(status) = plan.status() else { return };
    let done: usize = status.iter().map(|shard| shard.done).sum();
    let of: usize = status.iter().map(|shard| shard.of).sum();
    let running = status.iter().filter(|shard| shard.state == ShardState::Running).count();
    let left = plan
        .seconds_left(&status)
        .map(|seconds| format!(", about {} left", format_duration(Duration::from_secs_f64(seconds))));
    status!("{done} of {of} instances, {running} shards running{}", left.unwrap_or_default());
}

#[cfg(unix)]
pub fn ask_to_stop(child: &Child) {
    // A process that has just ended needs no asking.
    if let Some(process) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(process, rustix::process::Signal::TERM).ok();
    }
}

#[cfg(not(unix))]
pub fn ask_to_stop(_: &Child) {}
