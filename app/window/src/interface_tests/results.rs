//! The views of results: the published ones with nothing else open, one's own, in every form.

use cruxscope_selectors::results::Form;
use egui::{Key, Theme};
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use super::collections::{collection, opened};
use super::{harness_of, renderer};
use crate::StartupOptions;

fn at(view: &str) -> StartupOptions {
    StartupOptions {
        view: Some(view.into()),
        ..StartupOptions::default()
    }
}

#[test]
fn published_results_are_there_without_a_study() {
    let mut harness = harness_of([1440.0, 900.0], Theme::Dark, at("benchmarks"), false, None);
    let row = harness.get_by_label_contains("DeepSeek-R1 671B, not compressed");
    let said = row.accesskit_node().label().unwrap_or_default();
    assert!(said.contains("AIME 2024, n = 30 73.3 % (55.6 to 85.8)"), "{said}");
    harness.get_by_label_contains("Table 3: Only one component").click();
    harness.run_ok();
    harness.get_by_label_contains("3-bit, only 32_up, importance 1st in all");
    harness.key_press(Key::J);
    harness.run_ok();
    assert_eq!(harness.state().state().results.row, Some(1));
    for _ in 0..9 {
        harness.key_press(Key::J);
    }
    harness.run_ok();
    assert_eq!(
        harness.state().state().results.row,
        Some(5),
        "the last row is the last; the model as it is came first"
    );
    harness.key_press(Key::D);
    harness.run_ok();
    assert_eq!(harness.state().state().results.form, Form::Table);
    harness.get_by_label_contains("R1-Distill-Llama 8B, 3-bit, only 32_up importance 1st in all, AIME 2024 accuracy 20.0");
    harness.key_press(Key::D);
    harness.run_ok();
    harness.get_by_label_contains("These scores come without their outputs");
}

#[test]
fn own_results_come_first_and_others_are_laid_beside() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = opened(place.path(), at("benchmarks"));
    harness.get_by_label_contains("Sample-135M, 3-bit RTN: Riddles, n = 20 30.0 % (14.5 to 51.9)");
    harness.key_press(Key::D);
    harness.key_press(Key::D);
    harness.run_ok();
    harness.get_by_label_contains("Sample-135M, 3-bit RTN: 6 of 20 right");
    harness.get_by_label_contains("Published").click();
    harness.run_ok();
    harness.get_by_label("Other results beside").click();
    harness.run_ok();
    assert!(harness.state().state().results.beside);
}

#[test]
fn the_shortest_outputs_stand_beside_the_longest() {
    let mut harness = harness_of([1440.0, 900.0], Theme::Light, at("test-time"), false, None);
    harness.get_by_label_contains("DeepSeek-R1 671B, not compressed: AIME 2024: shortest 88.9 %, longest 33.3 %");
    harness.get_by_label("20 %").click();
    harness.run_ok();
    harness.get_by_label_contains("DeepSeek-R1 671B, not compressed: AIME 2024: shortest 100.0 %, longest 16.7 %");
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let own = opened(place.path(), at("test-time"));
    own.get_by_label_contains("Sample-135M, not compressed: Riddles: shortest");
    own.get_by_label_contains("Score over length of 20 outputs");
}

/// A few small pictures; without a graphics device they are skipped.
#[test]
fn pictures_of_results() {
    let mut results = egui_kittest::SnapshotResults::new();
    for (name, view, theme) in [("benchmarks-dark", "benchmarks", Theme::Dark), ("test-time-light", "test-time", Theme::Light)] {
        let Some(renderer) = renderer() else { return };
        let mut harness = harness_of([900.0, 520.0], theme, at(view), false, Some(renderer));
        let snapshot = egui_kittest::SnapshotOptions::new().max_failed_pixels(60);
        results.add(harness.try_snapshot_options(name, &snapshot));
    }
}
