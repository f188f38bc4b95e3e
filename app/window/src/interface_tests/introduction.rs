//! The introduction of the first start: gone through by keys and by clicks, left, and shown once.

use egui::{Key, Theme};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use super::harness_of;
use crate::{CruxscopeApp, StartupOptions};

const TITLES: [&str; 4] = [
    "A cell is a weight matrix",
    "Four behaviours of reasoning",
    "What is blue is yours",
    "Where to go from here",
];

#[test]
fn keys_go_through_the_steps_and_back() {
    let mut harness = harness_of([1280.0, 820.0], Theme::Dark, StartupOptions::default(), true, None);
    harness.state_mut().introduce();
    harness.run_ok();
    harness.get_by_label("A cell is a weight matrix");
    for title in ["Four behaviours of reasoning", "What is blue is yours", "Where to go from here"] {
        harness.key_press(Key::Enter);
        harness.run_ok();
        harness.get_by_label(title);
    }
    harness.key_press(Key::ArrowLeft);
    harness.run_ok();
    harness.get_by_label("What is blue is yours");
    for _ in 0..2 {
        harness.key_press(Key::Enter);
        harness.run_ok();
    }
    assert_eq!(harness.state().state().welcome, None);
}

#[test]
fn clicks_go_through_the_steps_and_leave_them() {
    for size in [[1280.0, 820.0], [390.0, 844.0]] {
        let mut harness = harness_of(size, Theme::Dark, StartupOptions::default(), true, None);
        harness.state_mut().introduce();
        harness.run_ok();
        for title in TITLES {
            harness.get_by_label(title);
            let button = if title == TITLES[3] { "Begin" } else { "Next" };
            harness.get_by_label(button).click();
            harness.run_ok();
        }
        assert_eq!(harness.state().state().welcome, None);
        harness.state_mut().introduce();
        harness.run_ok();
        harness.get_by_label("Next").click();
        harness.run_ok();
        harness.get_by_label("Back").click();
        harness.run_ok();
        harness.get_by_label(TITLES[0]);
        harness.get_by_label("Skip").click();
        harness.run_ok();
        assert_eq!(harness.state().state().welcome, None);
    }
}

#[test]
fn the_introduction_comes_once() {
    let kept = tempfile::tempdir().unwrap();
    let start = || {
        let remembered = crate::remembered::Remembered::within(kept.path().join("state"));
        let builder = Harness::builder().with_size([1280.0, 820.0]).with_max_steps(16);
        let mut harness = builder.build_eframe(move |cc| CruxscopeApp::new(cc, StartupOptions::default()).remembering(remembered));
        harness.run_ok();
        harness
    };
    let mut first = start();
    first.get_by_label("A cell is a weight matrix");
    first.key_press(Key::Escape);
    first.run_ok();
    assert_eq!(first.state().state().welcome, None);
    let second = start();
    assert!(second.query_by_label("A cell is a weight matrix").is_none());
}

#[test]
fn a_picture_of_the_introduction() {
    let Some(renderer) = super::renderer() else { return };
    let mut harness = harness_of([800.0, 560.0], Theme::Dark, StartupOptions::default(), true, Some(renderer));
    harness.state_mut().introduce();
    harness.run_ok();
    let snapshot = egui_kittest::SnapshotOptions::new().max_failed_pixels(60);
    let mut results = egui_kittest::SnapshotResults::new();
    results.add(harness.try_snapshot_options("introduction-dark", &snapshot));
}
