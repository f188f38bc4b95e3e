//! Two models on one text: where they part is drawn, said, clicked on, hidden, and exported.

use std::path::Path;

use cruxscope_study::test_data as samples;
use cruxscope_study::{DIVERGENCE_FILE, folder};
use egui::{Theme, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use super::collections::opened;
use super::{harness_of, renderer};
use crate::{CruxscopeApp, StartupOptions};

/// A study of a compressed model with two traces, and where it parts from the original in them.
pub(super) fn apart(place: &Path) {
    let mut study = samples::compressed(6);
    let mut texts = vec![samples::trace(60), samples::trace(30)];
    texts[1].id = "instance-2".into();
    let files: Vec<_> = texts.iter().enumerate().map(|(instance, text)| text.to_file(instance).unwrap()).collect();
    study.manifest.traces = files.iter().map(|(entry, _)| entry.clone()).collect();
    folder::save(&study, place).unwrap();
    for (entry, bytes) in files {
        std::fs::write(place.join(entry.file.file), bytes).unwrap();
    }
    let divergence = samples::divergence(&study.manifest, &texts);
    std::fs::write(place.join(DIVERGENCE_FILE), divergence.to_bytes().unwrap()).unwrap();
}

fn reading() -> StartupOptions {
    StartupOptions {
        view: Some("trace".into()),
        instance: Some("instance-1".into()),
        ..StartupOptions::default()
    }
}

fn settle(harness: &mut Harness<'_, CruxscopeApp>) {
    for _ in 0..200 {
        harness.step();
        if harness.state().all_arrived() && harness.state().parts_arrived() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    harness.run_ok();
}

#[test]
fn two_models_on_one_text_stand_side_by_side() {
    let place = tempfile::tempdir().unwrap();
    apart(place.path());
    let mut harness = opened(place.path(), reading());
    settle(&mut harness);
    let strip = harness.get_by_label_contains("Divergence token by token. Greedy choices first part after 360 tokens of its own, in ");
    let rect = strip.rect();
    harness.get_by_label_contains("Sample-135M-3bit: Greedy choices first part after 360 tokens");
    harness.get_by_label_contains("Divergence along the thought");
    harness.get_by_label_contains("Wait, the train leaves before noon");
    harness.get_by_label_contains("So the train was taken by whoever");
    harness.get_by_label_contains("All positions");
    assert!(harness.query_by_label("Here greedy choices first part").is_none(), "out of sight");
    let point = rect.left_center() + vec2(0.2 * rect.width() + 0.5, 0.0);
    harness.hover_at(point);
    harness.run_ok();
    harness.get_by_label_contains("Token 36");
    harness.drag_at(point);
    harness.drop_at(point);
    harness.run_ok();
    harness.run_ok();
    harness.get_by_label("Here greedy choices first part");
    harness.get_by_label("Text alone").click();
    harness.run_ok();
    assert!(harness.query_by_label_contains("Divergence token by token").is_none());
    harness.get_by_label("Compare").click();
    harness.run_ok();
    harness.get_by_label_contains("Divergence token by token");
}

#[test]
fn a_damaged_divergence_is_a_message_over_the_text() {
    let place = tempfile::tempdir().unwrap();
    apart(place.path());
    std::fs::write(place.path().join(DIVERGENCE_FILE), b"nothing").unwrap();
    let mut harness = opened(place.path(), reading());
    settle(&mut harness);
    assert!(harness.query_by_label_contains("Divergence token by token").is_none());
    harness.get_by_label_contains("Could not open divergence.safetensors");
}

#[test]
fn pictures_of_two_models_on_one_text() {
    let mut results = egui_kittest::SnapshotResults::new();
    for (name, size, theme) in [("apart-dark", [1280.0, 820.0], Theme::Dark), ("apart-phone", [390.0, 1100.0], Theme::Light)] {
        let Some(renderer) = renderer() else { return };
        let place = tempfile::tempdir().unwrap();
        apart(place.path());
        let options = StartupOptions {
            studies: vec![place.path().to_string_lossy().into_owned()],
            ..reading()
        };
        let mut harness = harness_of(size, theme, options, false, Some(renderer));
        settle(&mut harness);
        let snapshot = egui_kittest::SnapshotOptions::new().max_failed_pixels(60);
        results.add(harness.try_snapshot_options(name, &snapshot));
    }
}
