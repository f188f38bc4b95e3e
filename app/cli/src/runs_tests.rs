//! The panel of runs: a plan, a run to its end, one that is cancelled, one that fails.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cruxscope_window::runs::{Form, Method, Stored, Task};
use cruxscope_window::{CruxscopeApp, StartupOptions};
use egui::{Key, Modifiers, Theme};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use crate::runs::EngineRunner;

/// The small model that comes with the program, and what to write.
fn form(out: &Path, device: &str) -> Form {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Form {
        model: text(&tiny.join("model")),
        traces: text(&tiny.join("traces.jsonl")),
        annotations: text(&tiny.join("annotations.jsonl")),
        out: text(out),
        device: device.to_owned(),
        ..Form::default()
    }
}

/// A file of many instances, each as those of another file but for its id.
fn many(from: &str, to: &Path) -> String {
    let lines: Vec<serde_json::Value> = std::fs::read_to_string(from)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut text = String::new();
    for copy in 0..600 {
        for line in &lines {
            let mut line = line.clone();
            line["id"] = format!("{}-{copy}", line["id"].as_str().unwrap()).into();
            text.push_str(&line.to_string());
            text.push('\n');
        }
    }
    std::fs::write(to, text).unwrap();
    to.to_string_lossy().into_owned()
}

fn prepared(form: Form) -> Harness<'static, CruxscopeApp> {
    let builder = Harness::builder().with_size([1440.0, 900.0]).with_theme(Theme::Dark).with_max_steps(16);
    let mut harness = builder.build_eframe(|cc| CruxscopeApp::new(cc, StartupOptions::default()).with_runner(&cc.egui_ctx, Arc::new(EngineRunner)));
    harness.run_ok();
    harness.state_mut().prepare_run(form);
    harness.run_ok();
    harness
}

fn press(harness: &mut Harness<'_, CruxscopeApp>, key: Key) {
    harness.key_press_modifiers(Modifiers::COMMAND, key);
    harness.step();
}

/// Waits for a label, while threads work.
fn await_label(harness: &mut Harness<'_, CruxscopeApp>, label: &str) {
    for _ in 0..1000 {
        harness.step();
        if harness.query_all_by_label_contains(label).next().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{label} never came");
}

#[test]
fn a_run_is_planned_started_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = prepared(form(&folder.path().join("study"), "cpu"));
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "Segments");
    harness.get_by_label_contains("Memory about");
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "Open the study");
    harness.get_by_label("Open the study").click();
    await_label(&mut harness, "Heatmap of backtracking");
    assert!(folder.path().join("study/study.json").is_file());
}

#[test]
fn runs_wait_in_line_and_are_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    // Many instances on the slowest device, so that there is time to cancel it.
    let mut slow = form(&folder.path().join("slow"), "reference");
    slow.traces = many(&slow.traces, &folder.path().join("traces.jsonl"));
    slow.annotations = many(&slow.annotations, &folder.path().join("annotations.jsonl"));
    let mut harness = prepared(slow);
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "Segments");
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "% done");
    harness.state_mut().prepare_run(form(&folder.path().join("next"), "cpu"));
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "Segments");
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "waiting for the job before it");
    press(&mut harness, Key::Period);
    await_label(&mut harness, "interrupted; finished work is kept");
    await_label(&mut harness, "Open the study");
    assert!(!folder.path().join("slow/study.json").exists());
    assert!(folder.path().join("next/study.json").is_file());
}

#[test]
fn a_failure_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = Form {
        model: folder.path().join("nothing").to_string_lossy().into_owned(),
        ..form(&folder.path().join("study"), "cpu")
    };
    let mut harness = prepared(wrong);
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "Forget");
    let mut harness = prepared(form(&folder.path().join("study"), "abacus"));
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "abacus");
}

#[test]
fn a_model_is_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let small = Form {
        task: Task::Compress,
        method: Method::Rtn,
        bits: 3,
        group_size: 16,
        ..form(&folder.path().join("small"), "cpu")
    };
    let mut harness = prepared(small);
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "Components");
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "done, in");
    assert!(folder.path().join("small/config.json").is_file());
}

#[test]
fn a_form_says_what_is_compressed_what_is_left_and_how_it_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let small = Form {
        task: Task::Compress,
        method: Method::Rtn,
        bits: 3,
        group_size: 16,
        only: "mlp".into(),
        protect: "final-mlp".into(),
        stored: Stored::BFloat16,
        ..form(&folder.path().join("small"), "cpu")
    };
    let mut harness = prepared(small.clone());
    press(&mut harness, Key::Enter);
    // Three of seven modules in all layers but the last.
    let layers = 3;
    await_label(&mut harness, &format!("Components {} of {}", 3 * (layers - 1), 7 * layers));
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "done, in");
    let config = std::fs::read_to_string(folder.path().join("small/config.json")).unwrap();
    assert!(config.contains("bfloat16"), "{config}");
    let recipe = folder.path().join("recipe.json");
    std::fs::write(&recipe, r#"{"rules": [{"components": "1_up", "treatment": null}]}"#).unwrap();
    let by_recipe = Form {
        recipe: recipe.to_string_lossy().into_owned(),
        ..small.clone()
    };
    let mut harness = prepared(by_recipe);
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "leaves every");
    let wrong = Form {
        protect: "final-mpl".into(),
        ..small
    };
    let mut harness = prepared(wrong);
    press(&mut harness, Key::Enter);
    await_label(&mut harness, "final-mpl");
}
