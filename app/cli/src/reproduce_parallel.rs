//! The steps of `cruxscope reproduce paper` side by side: a process for every device, or a job for every step of a cluster.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cruxscope_run::machine::format_duration;
use cruxscope_run::reproduction::{FINISH, Reproduction};
use cruxscope_selectors::format::things;

use crate::failure::Failure;
use crate::output::{print_text, status};
use crate::progress::Progress;
use crate::shards::{local, signals};
use crate::slurm::{Job, quoted, resumable, word};

/// Time between looks at the processes.
const PATIENCE: Duration = Duration::from_millis(100);
/// What several processes say, a file a step.
const LOGS: &str = "logs";
/// Flags that belong to the process that starts the others, and whether a value follows them.
const OWN_FLAGS: [(&str, bool); 5] = [
    ("--devices", true),
    ("--device", true),
    ("--slurm", false),
    ("--submit", false),
    ("--json", false),
];
/// One that a job of a cluster has from the scheduler.
const THREADS: (&str, bool) = ("--threads", true);

/// A process and the step that it takes.
struct Worker {
    place: usize,
    child: Child,
}

/// Takes all steps with a process for every device, and then makes the collection.
pub fn on_devices(reproduction: &Reproduction, out: &Path, devices: &[String]) -> Result<(), Failure> {
    let stop = signals::stop_flag();
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let arguments = own_arguments(std::env::args_os().skip(1), &OWN_FLAGS);
    let steps = reproduction.steps();
    let begun = Instant::now();
    // The folder is its own before anything is put into it.
    reproduction.ready(&[])?;
    let left_at_first = reproduction.open()?.len();
    let logs = out.join(LOGS);
    std::fs::create_dir_all(&logs)
        .with_context(|| format!("could not create {}", logs.display()))
        .map_err(Failure::Failed)?;
    let log = |place: usize| logs.join(format!("{}.log", steps[place].slug()));
    let mut workers: Vec<Option<Worker>> = devices.iter().map(|_| None).collect();
    let (mut failed, mut asked) = (Vec::new(), false);
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        for (device, worker) in devices.iter().zip(&mut workers) {
            if let Some(one) = worker
                && let Some(ended) = one.child.try_wait().map_err(Failure::failed)?
            {
                let step = &steps[one.place];
                if ended.success() {
                    let left = reproduction.open()?.len();
                    let done = left_at_first - left;
                    let time = begun.elapsed().mul_f64(left as f64 / done.max(1) as f64);
                    status!(
                        "{} is done on {device}; {} left, about {}",
                        step.slug(),
                        things(left, "step", "steps"),
                        format_duration(time)
                    );
                    std::fs::remove_file(log(one.place)).ok();
                } else if !stopping {
                    status!("{} failed on {device} ({ended}): {}", step.slug(), last_line(&log(one.place)));
                    failed.push(one.place);
                }
                *worker = None;
            }
        }
        if !stopping {
            let running: Vec<usize> = workers.iter().flatten().map(|worker| worker.place).chain(failed.iter().copied()).collect();
            let mut ready = if workers.iter().any(Option::is_none) {
                reproduction.ready(&running)?
            } else {
                Vec::new()
            }
            .into_iter();
            for (device, worker) in devices.iter().zip(&mut workers).filter(|(_, worker)| worker.is_none()) {
                let Some(place) = ready.next() else { break };
                let said = File::create(log(place)).map_err(Failure::failed)?;
                let child = Command::new(&program)
                    .args(&arguments)
                    .args(["--step", &steps[place].slug(), "--device", device])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(said)
                    .spawn()
                    .map_err(Failure::failed)?;
                *worker = Some(Worker { place, child });
            }
        } else if !asked {
            asked = true;
            workers.iter().flatten().for_each(|worker| local::ask_to_stop(&worker.child));
        }
        if workers.iter().all(Option::is_none) {
            break;
        }
        std::thread::sleep(PATIENCE);
    }
    if stop.load(Ordering::SeqCst) {
        return Err(Failure::Stopped(anyhow::anyhow!("told to stop; the same command goes on")));
    }
    if !failed.is_empty() {
        let names: Vec<String> = failed.iter().map(|place| steps[*place].slug()).collect();
        return Err(Failure::failed(anyhow::anyhow!(
            "{} failed: {} says why; the same command goes on",
            names.join(", "),
            logs.display()
        )));
    }
    // Gone where nothing is left in it.
    std::fs::remove_dir(&logs).ok();
    let mut progress = Progress::stopped_by(stop);
    let result = reproduction.run_step(FINISH, &mut progress);
    progress.finish();
    Ok(result?)
}

/// The last thing that a process said.
fn last_line(path: &Path) -> String {
    let text = std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

/// The command line without what only the starting process heeds.
fn own_arguments(all: impl Iterator<Item = OsString>, flags: &[(&str, bool)]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut skip = false;
    for argument in all {
        if std::mem::take(&mut skip) {
            continue;
        }
        let words = argument.to_string_lossy();
        let (name, has_value) = words.split_once('=').map_or((&*words, false), |(name, _)| (name, true));
        match flags.iter().find(|(flag, _)| *flag == name) {
            Some((_, takes_value)) => skip = *takes_value && !has_value,
            None => kept.push(argument),
        }
    }
    kept
}

/// A script that sends a job for every step that is not done, printed or run.
pub fn on_slurm(reproduction: &Reproduction, out: &Path, job: &Job, submit: bool) -> Result<(), Failure> {
    let script = script(reproduction, out, job)?;
    if !submit {
        return print_text(&script);
    }
    let sent = || -> anyhow::Result<()> {
        let mut child = Command::new("bash").arg("-s").stdin(Stdio::piped()).spawn().context("could not start bash")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(script.as_bytes())?;
        }
        let status = child.wait()?;
        anyhow::ensure!(status.success(), "not all jobs could be sent ({status}); is this a machine of the cluster?");
        Ok(())
    };
    sent().map_err(Failure::Failed)?;
    status!("`squeue --me` lists the jobs; after a failure the same command sends what is left");
    Ok(())
}

fn script(reproduction: &Reproduction, out: &Path, job: &Job) -> Result<String, Failure> {
    let program = quoted(&std::env::current_exe().map_err(Failure::failed)?)?;
    let device = device(std::env::args_os().skip(1));
    let arguments: Vec<String> = own_arguments(std::env::args_os().skip(1), &[&OWN_FLAGS[..], &[THREADS]].concat())
        .iter()
        .map(|argument| quoted(Path::new(argument)))
        .collect::<Result<_, _>>()?;
    let logs = quoted(&PathBuf::from(format!("{}.logs", std::path::absolute(out).map_err(Failure::failed)?.display())))?;
    let mut lines = vec![
        format!("--cpus-per-task={}", job.cpus),
        format!("--time={}", job.time),
        "--requeue".to_owned(),
        "--open-mode=append".into(),
        "--signal=B:USR1@120".into(),
        "--kill-on-invalid-dep=yes".into(),
    ];
    if job.gpus > 0 {
        lines.push(format!("--gpus-per-task={}", job.gpus));
    }
    let command = format!(
        "{program} {} --step \"$CRUXSCOPE_STEP\" --device {} --threads \"${{SLURM_CPUS_PER_TASK:-{}}}\"",
        arguments.join(" "),
        word(&device),
        job.cpus
    );
    let mut text = format!(
        "#!/bin/bash\n\
         # A job for every step that is not done; each begins once those that it waits for have succeeded.\n\
         set -euo pipefail\nmkdir -p {logs}\n\
         send() {{ # the step, its memory, the jobs that it waits for\n  \
           local number\n  \
           number=$(sbatch --parsable --job-name=\"cruxscope-$1\" --output={logs}/\"$1.log\" --export=\"ALL,CRUXSCOPE_STEP=$1\" \\\n    \
             --mem=\"$2\" ${{3:+\"--dependency=afterok:$3\"}} <<'JOB'\n\
         #!/bin/bash\n{}\n{}\nJOB\n)\n  \
           echo \"$1: job ${{number%%;*}}\" >&2\n  \
           echo \"${{number%%;*}}\"\n}}\n",
        job.header(lines),
        resumable(&command, "$SLURM_JOB_ID")
    );
    let open = reproduction.open()?;
    for place in &open {
        let waits: Vec<String> = (reproduction.before(*place).iter())
            .filter(|before| open.contains(before))
            .map(|before| format!("$job{before}"))
            .collect();
        let memory = reproduction.plan.steps[*place].memory[0];
        // Writing to a String cannot fail.
        writeln!(
            text,
            "job{place}=$(send {} {}M \"{}\")",
            word(&reproduction.steps()[*place].slug()),
            mebibytes(memory),
            waits.join(":")
        )
        .ok();
    }
    let all: Vec<String> = open.iter().map(|place| format!("$job{place}")).collect();
    write!(text, "send {FINISH} 4096M \"{}\" >/dev/null", all.join(":")).ok();
    Ok(text)
}

/// What a job asks for: a little more than is planned, for the program itself and what the plan cannot know.
fn mebibytes(planned: Option<u64>) -> u64 {
    (planned.unwrap_or(8 << 30) as f64 * 1.15 / f64::from(1 << 20)).ceil() as u64 + 512
}

/// The device that a command line names.
fn device(all: impl Iterator<Item = OsString>) -> String {
    let all: Vec<String> = all.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let place = all.iter().position(|argument| argument == "--device" || argument.starts_with("--device="));
    let named = place.and_then(|place| match all[place].split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None => all.get(place + 1).cloned(),
    });
    named.unwrap_or_else(|| "cpu".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_hears_the_command_without_what_starts_the_others() {
        let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let all = words("reproduce paper --model m --devices cpu,cpu --out=o --json --device=cuda --threads 2");
        assert_eq!(
            own_arguments(all.clone().into_iter(), &OWN_FLAGS),
            words("reproduce paper --model m --out=o --threads 2")
        );
        assert_eq!(device(all.into_iter()), "cuda");
        assert_eq!(device(words("paper --device cuda:1 --out o").into_iter()), "cuda:1");
        assert_eq!(device(words("paper --out o").into_iter()), "cpu");
    }
}
