//! An interpretation in shards: the same bytes however it is split, and clear words when something is amiss.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use cruxscope_study::OutputLock;
use serde_json::Value;

use crate::inputs::{Inputs, bytes, cruxscope, stderr};

/// Inputs of nine instances, no two alike.
fn nine() -> Inputs {
    let inputs = Inputs::new();
    for name in ["traces.jsonl", "annotations.jsonl"] {
        let text = String::from_utf8(inputs.read(name)).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let many: Vec<String> = (0..9)
            .map(|number| {
                let mut line = lines[number % lines.len()].clone();
                line["id"] = format!("instance/{number}").into();
                for token in line["input_ids"].as_array_mut().into_iter().flatten() {
                    *token = ((token.as_u64().unwrap() + number as u64) % 500).into();
                }
                line.to_string()
            })
            .collect();
        inputs.write(name, many.join("\n") + "\n");
    }
    inputs
}

fn flags(inputs: &Inputs, command: &mut Command, out: &str) {
    for (flag, name) in [
        ("--model", "model"),
        ("--traces", "traces.jsonl"),
        ("--annotations", "annotations.jsonl"),
        ("--out", out),
    ] {
        command.arg(flag).arg(inputs.path(name));
    }
}

fn plan(inputs: &Inputs, out: &str, shards: &str, device: &str) -> Output {
    let mut command = cruxscope();
    command.args(["shard", "plan"]);
    flags(inputs, &mut command, out);
    command.args(["--shards", shards, "--device", device]).output().unwrap()
}

fn with_plan(command: &str, plan: &Path, more: &[&str]) -> Output {
    cruxscope().args(["shard", command]).arg(plan).args(more).output().unwrap()
}

fn single(inputs: &Inputs) -> Vec<(String, Vec<u8>)> {
    let mut command = cruxscope();
    command.arg("interpret");
    flags(inputs, &mut command, "single");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    bytes(&inputs.path("single"))
}

fn states(plan: &Path) -> Vec<(String, u64)> {
    let output = with_plan("status", plan, &["--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shards = status["shards"].as_array().unwrap();
    shards
        .iter()
        .map(|shard| (shard["state"].as_str().unwrap().to_owned(), shard["done"].as_u64().unwrap()))
        .collect()
}

#[test]
fn shards_in_any_number_and_order_give_the_bytes_of_a_single_run() {
    let inputs = nine();
    let expected = single(&inputs);
    for (count, order) in [("3", &[3, 1, 2][..]), ("9", &[5, 1, 9, 2, 8, 3, 7, 4, 6])] {
        let out = format!("study-{count}");
        let output = plan(&inputs, &out, count, "cpu");
        assert!(output.status.success(), "{}", stderr(&output));
        let file = inputs.path(&format!("{out}.plan.json"));
        for (done, shard) in order.iter().enumerate() {
            if done == 1 {
                let output = with_plan("merge", &file, &[]);
                assert_eq!(output.status.code(), Some(1));
                assert!(stderr(&output).contains("instances are missing"), "{}", stderr(&output));
                assert!(!inputs.path(&out).join("study.json").exists());
            }
            // By the command's name of before 0.2. The environment of an array that was sent again in parts has another count, which must
            // not matter.
            let output = cruxscope()
                .arg("run")
                .arg(&file)
                .args(["--shard", &format!("{shard}/{count}")])
                .env("SLURM_ARRAY_TASK_COUNT", "1")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(states(&file).iter().filter(|(state, _)| state == "finished").count(), done + 1);
        }
        assert!(
            with_plan("run", &file, &["--shard", &format!("1/{count}")]).status.success(),
            "once more does nothing"
        );
        let output = with_plan("merge", &file, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(bytes(&inputs.path(&out)), expected, "{count} shards");
        assert!(with_plan("merge", &file, &[]).status.success(), "merging is done once");
        assert_eq!(bytes(&inputs.path(&out)), expected);
        // Nothing is computed again, and the folder is as it was: no parts, no notes.
        for more in [&["--shard", &format!("1/{count}")][..], &["--devices", "cpu,cpu"], &[]] {
            let output = with_plan("run", &file, more);
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(stderr(&output).contains("have been merged"), "{}", stderr(&output));
            assert_eq!(bytes(&inputs.path(&out)), expected);
        }
        let said = String::from_utf8(with_plan("status", &file, &[]).stdout).unwrap();
        assert!(said.contains("have been merged into"), "{said}");
    }
}

#[test]
fn a_process_for_every_device_takes_shards_until_none_is_left() {
    let inputs = nine();
    let expected = single(&inputs);
    assert!(plan(&inputs, "study", "4", "cpu").status.success());
    let file = inputs.path("study.plan.json");
    let output = with_plan("run", &file, &["--devices", "cpu,cpu", "--threads", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(with_plan("merge", &file, &[]).status.success());
    assert_eq!(bytes(&inputs.path("study")), expected);
}

#[test]
fn a_device_that_fails_leaves_its_shards_to_be_run_again() {
    let inputs = nine();
    assert!(plan(&inputs, "study", "2", "cpu").status.success());
    let file = inputs.path("study.plan.json");
    let output = with_plan("run", &file, &["--devices", "nothing:7"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing:7"), "{}", stderr(&output));
    let shown = String::from_utf8(with_plan("status", &file, &[]).stdout).unwrap();
    assert!(shown.contains("failed") && shown.contains("nothing:7"), "{shown}");
    assert!(with_plan("run", &file, &[]).status.success());
    assert!(with_plan("merge", &file, &[]).status.success());
}

/// Told to stop by each of a scheduler's signals; what is finished stays, and the rest goes on to the same bytes.
#[cfg(unix)]
#[test]
fn a_shard_that_is_told_to_stop_ends_soon_with_75_and_goes_on() {
    let inputs = nine();
    for signal in ["TERM", "USR1"] {
        let out = format!("study-{signal}");
        // The slow reference leaves time to be stopped in.
        assert!(plan(&inputs, &out, "2", "reference").status.success());
        let file = inputs.path(&format!("{out}.plan.json"));
        let mut child = cruxscope().args(["shard", "run"]).arg(&file).args(["--shard", "1/2"]).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while states(&file)[0].1 == 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Instant::now();
        assert!(
            Command::new("kill")
                .args([&format!("-{signal}"), &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let ended = child.wait().unwrap();
        assert!(sent.elapsed() < Duration::from_secs(30));
        let (state, done) = states(&file)[0].clone();
        assert_eq!((ended.code(), state.as_str()), (Some(75), "stopped"), "{done} done");
        assert!(with_plan("run", &file, &[]).status.success());
        assert!(with_plan("merge", &file, &[]).status.success());
    }
    let studies = ["TERM", "USR1"].map(|signal| bytes(&inputs.path(&format!("study-{signal}"))));
    assert_eq!(studies[0], studies[1]);
}

#[test]
fn a_plan_replaces_a_plan_and_nothing_else() {
    let inputs = nine();
    inputs.write("study.plan.json", r#"{"mine": 1}"#);
    let refused = plan(&inputs, "study", "2", "cpu");
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("is no plan"), "{}", stderr(&refused));
    assert_eq!(inputs.read("study.plan.json"), br#"{"mine": 1}"#);
    std::fs::remove_file(inputs.path("study.plan.json")).unwrap();
    for shards in ["2", "3"] {
        assert!(plan(&inputs, "study", shards, "cpu").status.success());
        assert_eq!(states(&inputs.path("study.plan.json")).len().to_string(), shards);
    }
}

#[test]
fn what_no_retry_can_mend_ends_with_3() {
    let inputs = nine();
    assert!(plan(&inputs, "study", "2", "cpu").status.success());
    let file = inputs.path("study.plan.json");
    let refused = |more: &[&str], words: &str| {
        let output = with_plan("run", &file, more);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    };
    refused(&["--shard", "1/5"], "has 2 shards, not 5");
    let whole = inputs.read("study.plan.json");
    inputs.write("study.plan.json", &whole[..whole.len() / 2]);
    refused(&["--shard", "1/2"], "is no plan");
    let mut later: Value = serde_json::from_slice(&whole).unwrap();
    later["schema"] = 99.into();
    inputs.write("study.plan.json", later.to_string());
    refused(&["--shard", "1/2"], "later program");
    let mut twice: Value = serde_json::from_slice(&whole).unwrap();
    twice["shards"][0] = twice["shards"][1].clone();
    inputs.write("study.plan.json", twice.to_string());
    refused(&["--shard", "1/2"], "in two shards");
    inputs.write("study.plan.json", &whole);
    inputs.write("model/config.json", "{");
    refused(&["--shard", "1/2"], "config.json");

    let output = plan(&inputs, "other", "50", "cpu");
    assert_eq!(output.status.code(), Some(2), "planning is for people");
    assert!(!inputs.path("other.plan.json").exists());
    assert_eq!(
        with_plan("run", &file, &["--shard", "0/2"]).status.code(),
        Some(2),
        "clap refuses what is no shard"
    );
}

#[test]
fn the_jobs_for_slurm_are_printed() {
    let inputs = nine();
    assert!(plan(&inputs, "study", "4", "cpu").status.success());
    let file = inputs.path("study.plan.json");
    let output = cruxscope()
        .args(["submit", "slurm"])
        .arg(&file)
        .args(["--gpus", "1", "--only", "2"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "#SBATCH --array=2\n",
        "--signal=B:USR1@120",
        "--gpus-per-task=1",
        "\"$SLURM_ARRAY_TASK_ID/4\"",
        "afterany",
        " merge '",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("SLURM_ARRAY_TASK_COUNT"));
    // Sending where there is no Slurm says so.
    let output = cruxscope()
        .args(["shard", "submit", "slurm"])
        .arg(&file)
        .arg("--submit")
        .env("PATH", "")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("sbatch"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_node_with_several_cards_runs_as_many_shards_side_by_side() {
    let inputs = nine();
    assert!(plan(&inputs, "study", "4", "cpu").status.success());
    let file = inputs.path("study.plan.json");
    let output = cruxscope()
        .args(["shard", "submit", "slurm"])
        .arg(&file)
        .args(["--gpus-per-node", "3", "--cpus", "5"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "#SBATCH --array=1-2\n",
        "#SBATCH --nodes=1\n",
        "#SBATCH --gpus-per-node=3\n",
        "#SBATCH --cpus-per-task=15\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    // The array's own lines, carried out by a shell for each of its jobs, with a program that says what it was asked.
    let script = text.split("# the merging").next().unwrap();
    let command = script.lines().find(|line| line.contains(" shard run ")).unwrap();
    let arguments = command.split_once(" shard run ").unwrap().1.trim_end_matches(" &");
    for (task, asked) in [("1", "1-3"), ("2", "4-4")] {
        let said = Command::new("bash")
            .args(["-c", &format!("printf '%s\\n' {arguments}")])
            .env("SLURM_ARRAY_TASK_ID", task)
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let expected = ["--only", asked, "--devices", "cuda:0,cuda:1,cuda:2", "--threads", "5"];
        assert_eq!(said.lines().skip(1).collect::<Vec<_>>(), expected, "{said}");
    }
    // What such a job does, with devices that are here: its shards and no others.
    let run = |only: &str| with_plan("run", &file, &["--only", only, "--devices", "cpu,cpu"]);
    assert!(run("4-4").status.success());
    assert_eq!(with_plan("merge", &file, &[]).status.code(), Some(1), "three shards are missing");
    assert_eq!(run("5").status.code(), Some(2));
    assert!(run("1-3").status.success());
    assert!(with_plan("merge", &file, &[]).status.success());
    assert_eq!(bytes(&inputs.path("study")), single(&inputs));
}

#[test]
fn a_card_that_is_not_here_is_planned_for_by_its_memory_and_not_run() {
    let inputs = nine();
    let planned = |device: &str, memory: &str, out: &str| {
        let mut command = cruxscope();
        command.args(["shard", "plan"]);
        flags(&inputs, &mut command, out);
        command.args(["--shards", "3", "--device", device, "--device-memory", memory]).output().unwrap()
    };
    let output = planned("vulkan:7", "24", "elsewhere");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in [
        "of the device's own",
        "weights       on the device",
        "keys, values  on the device",
        "inside layers computed again",
        "unknown time",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let file = inputs.path("elsewhere.plan.json");
    let plan: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(plan["device_memory"].as_u64() > Some(0) && plan["placement"].as_array().unwrap().len() == 4);
    // Running it here says what was found, and a retry would not mend it; with a device that is here it runs.
    let output = with_plan("run", &file, &["--shard", "1/3"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("vulkan:7"), "{}", stderr(&output));
    let output = with_plan("run", &file, &["--device", "cpu"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(with_plan("merge", &file, &[]).status.success());
    assert_eq!(bytes(&inputs.path("elsewhere")), single(&inputs));

    for (device, memory, words) in [
        ("cpu", "8", "--device-memory"),
        ("vulkan:7", "none", "no number of GiB"),
        ("vulkan:7", "0.001", "of the device's memory"),
        ("tpu", "8", "unknown device"),
    ] {
        let output = planned(device, memory, "refused");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
    }
}

#[test]
fn a_shard_has_one_process_and_a_folder_one_kind_of_run() {
    let inputs = nine();
    assert!(plan(&inputs, "study", "2", "cpu").status.success());
    let (file, out) = (inputs.path("study.plan.json"), inputs.path("study"));
    let shard = |number: usize| with_plan("run", &file, &["--shard", &format!("{number}/2")]);
    let busy = |output: &Output| {
        assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
        assert!(stderr(output).contains("another run"), "{}", stderr(output));
    };
    let first = OutputLock::take(&out.join(".shards/shard-00001.json"), Duration::ZERO);
    assert!(first.is_err(), "the folder is made by a shard");
    assert!(shard(2).status.success());
    let first = OutputLock::take(&out.join(".shards/shard-00001.json"), Duration::ZERO).unwrap();
    busy(&shard(1));
    drop(first);
    let whole = OutputLock::take_in(&out, Duration::ZERO).unwrap();
    busy(&shard(1));
    drop(whole);
    let share = OutputLock::take_share_in(&out, Duration::ZERO).unwrap();
    assert!(shard(1).status.success(), "shards run beside each other");
    let mut command = cruxscope();
    command.arg("interpret");
    flags(&inputs, &mut command, "study");
    busy(&command.output().unwrap());
    drop(share);
    assert!(with_plan("merge", &file, &[]).status.success());
}
