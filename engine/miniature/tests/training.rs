//! Training again: the first steps are those of the log, and a training that was stopped goes on to the same weights.

#![allow(clippy::unwrap_used)] // helpers of tests, outside their functions

use std::path::Path;

use cruxscope_miniature::puzzles::Level;
use cruxscope_miniature::{Corpus, LOG_FILE, Report, STATE_FILE, Training};
use serde_json::Value;

fn training(out: &Path, steps: usize) -> Training {
    Training {
        corpus: Corpus::Base,
        level: Level::Hard,
        steps,
        seed: 11,
        out: out.to_owned(),
        from: None,
        puzzles: 4,
    }
}

/// Trains until so many steps are made.
fn train_until(training: &Training, step: usize) -> bool {
    training
        .run(|report| !matches!(report, Report::Step(progress) if progress.step >= step))
        .unwrap()
}

fn losses(log: &str) -> Vec<(u64, f64)> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| Some((line["step"].as_u64()?, line["loss"].as_f64()?))).collect()
}

#[test]
fn the_first_steps_are_those_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!train_until(&training(folder.path(), 1000), 25));
    let own = losses(&std::fs::read_to_string(folder.path().join(LOG_FILE)).unwrap());
    let kept = losses(include_str!("../weights/base/log.jsonl"));
    assert_eq!(own[0].0, kept[0].0);
    // Sums differ in their last bits between processors, and steps make more of it.
    assert!((own[0].1 - kept[0].1).abs() < 0.02, "{own:?} {:?}", kept[0]);
    // It falls, down to the end.
    assert!(kept[0].1 < 3.0 && kept.last().unwrap().1 < kept[0].1 / 2.0);
}

#[test]
fn a_stopped_training_goes_on_to_the_same_weights() {
    let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    assert!(train_until(&training(whole.path(), 4), 5));
    assert!(!train_until(&training(parts.path(), 4), 2));
    assert!(train_until(&training(parts.path(), 4), 5));
    for name in [STATE_FILE, "model.safetensors", "training.json"] {
        let [whole, parts] = [&whole, &parts].map(|folder| std::fs::read(folder.path().join(name)).unwrap());
        assert!(whole == parts, "{name}");
    }
}

#[test]
fn a_state_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join(STATE_FILE);
    std::fs::write(&state, b"no state").unwrap();
    let error = training(folder.path(), 4).run(|_| true).unwrap_err();
    assert!(!error.to_string().is_empty());
    cruxscope_miniature::store(&state, &[1.0, 2.0], &cruxscope_miniature::Optimiser::new(2)).unwrap();
    let error = training(folder.path(), 4).run(|_| true).unwrap_err();
    assert!(error.to_string().contains("2 parameters"), "{error}");
}
