//! The view of traces: sections are found, stepped through, hidden; what is missing is said.

use cruxscope_study::Label;
use egui::Key;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use super::collections::{collection, opened};
use super::harness_of;
use crate::{CruxscopeApp, StartupOptions};

fn reading(place: &std::path::Path) -> Harness<'static, CruxscopeApp> {
    let options = StartupOptions {
        view: Some("trace".into()),
        instance: Some("instance-1".into()),
        ..StartupOptions::default()
    };
    let mut harness = opened(place, options);
    for _ in 0..200 {
        harness.step();
        if harness.query_by_label_contains("1,200 tokens").is_some() || harness.query_by_label_contains("Backtracking, 8, shown").is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    harness.run_ok();
    harness
}

#[test]
fn sections_are_stepped_through_and_read_out() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = reading(place.path());
    harness.get_by_label_contains("Initializing, section 1 of 41");
    harness.key_press(Key::N);
    harness.run_ok();
    harness.key_press(Key::N);
    harness.run_ok();
    assert_eq!(harness.state().state().trace.section, Some(1));
    harness.get_by_label_contains("Fate shown, not scored");
    harness.key_press(Key::P);
    harness.run_ok();
    harness.key_press(Key::P);
    harness.run_ok();
    assert_eq!(harness.state().state().trace.section, Some(0));
    for _ in 0..41 {
        harness.key_press(Key::N);
        harness.run_ok();
    }
    assert_eq!(harness.state().state().trace.section, Some(40), "the last one stands nowhere in the text");
    harness.get_by_label_contains("What the annotator wrote");
    let link = crate::link::text(&harness.state().options().to_pairs());
    assert!(link.contains("instance=instance-1&section=41"), "{link}");
}

#[test]
fn what_is_far_down_is_brought_into_sight() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = reading(place.path());
    assert!(harness.query_by_label_contains("section 38 of 41").is_none(), "out of sight");
    for _ in 0..38 {
        harness.key_press(Key::N);
        harness.run_ok();
    }
    harness.run_ok();
    harness.get_by_label_contains("section 38 of 41");
}

#[test]
fn labels_are_hidden_and_shown() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = reading(place.path());
    harness.get_by_label_contains("Initializing, 7, shown").click();
    harness.run_ok();
    assert!(harness.state().state().trace.hidden.contains(&Label::Initializing));
    assert!(harness.query_by_label_contains("Initializing, section 1 of 41").is_none());
    harness.key_press(Key::N);
    harness.run_ok();
    assert_eq!(harness.state().state().trace.section, Some(1), "what is hidden is passed over");
}

#[test]
fn a_study_without_texts_says_so() {
    let options = StartupOptions {
        view: Some("trace".into()),
        ..StartupOptions::default()
    };
    let harness = harness_of([1280.0, 820.0], egui::Theme::Dark, options, true, None);
    harness.get_by_label_contains("No trace text in this study");
}

#[test]
fn a_damaged_trace_is_a_message() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    std::fs::write(place.path().join("first/trace-0001.json"), b"{}").unwrap();
    let options = StartupOptions {
        view: Some("trace".into()),
        ..StartupOptions::default()
    };
    let mut harness = opened(place.path(), options);
    for _ in 0..100 {
        harness.step();
        if harness.query_by_label_contains("Could not open trace-0001.json").is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    harness.get_by_label_contains("Could not open trace-0001.json");
}
