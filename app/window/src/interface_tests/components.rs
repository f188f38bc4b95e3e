//! The views over components beyond importance: channels, validation, compression, ranking; what is missing is said.

use std::path::Path;

use cruxscope_selectors::compression::Measure;
use cruxscope_study::test_data as samples;
use cruxscope_study::{
    COMPRESSION_FILE, ChannelMaps, Component, ComponentCompression, CompressionMap, Degradation, FileDigest, Module, VALIDATION_FILE, Validation, folder,
};
use egui::{Key, Theme};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use super::collections::opened;
use super::{harness_of, renderer};
use crate::{CruxscopeApp, StartupOptions};

/// A study with everything that can lie beside it.
fn whole_study(place: &Path) {
    let mut study = samples::study(6);
    let channels = study.manifest.model.modules.iter().map(|module| module.outputs).collect::<Vec<_>>();
    let channels: [usize; 7] = channels.try_into().unwrap();
    let value = |index: usize| if index == 70 { -4.0 } else { ((index * 37) % 11) as f32 / 11.0 - 0.4 };
    let values = (0..4)
        .map(|_| channels.iter().map(|width| (0..6 * width).map(value).collect()).collect())
        .collect();
    study.channels = Some(ChannelMaps {
        channels,
        values,
        parts: Vec::new(),
    });
    folder::save(&study, place).unwrap();
    let damage = |component: Component| Degradation {
        component: component.to_string(),
        divergence: 0.001 * (1 + (component.index() * 29) % 42) as f64,
        perplexity: 5.0,
    };
    let validation = Validation {
        program: "cruxscope".into(),
        treatment: serde_json::json!({"method": "rtn", "bits": 3}),
        data: FileDigest::default(),
        model_files: vec![],
        predictions: 1000,
        run: None,
        perplexity: 4.5,
        components: Component::all(6).map(damage).collect(),
    };
    std::fs::write(place.join(VALIDATION_FILE), serde_json::to_vec(&validation).unwrap()).unwrap();
    let compression = CompressionMap {
        program: "cruxscope".into(),
        model: "Sample-135M-3bit".into(),
        summary: "3-bit RTN, groups of 64".into(),
        components: Component::all(6)
            .map(|component| ComponentCompression {
                component: component.to_string(),
                method: "rtn".into(),
                bits: Some(3.0),
                weight_error: Some(0.001 * (1 + (component.index() * 13) % 42) as f64),
                ..ComponentCompression::default()
            })
            .collect(),
    };
    std::fs::write(place.join(COMPRESSION_FILE), compression.to_json().unwrap()).unwrap();
}

fn view(place: &Path, view: &str) -> Harness<'static, CruxscopeApp> {
    let options = StartupOptions {
        view: Some(view.into()),
        ..StartupOptions::default()
    };
    let mut harness = opened(place, options);
    // Parts are read once their view is on.
    for _ in 0..30 {
        harness.step();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    harness.run_ok();
    harness
}

#[test]
fn channels_are_read_when_they_are_looked_at_and_pointed_out() {
    let place = tempfile::tempdir().unwrap();
    whole_study(place.path());
    let mut harness = view(place.path(), "channels");
    let figure = harness.get_by_label_contains("Channels of gate, backtracking");
    let rect = figure.rect();
    harness.get_by_label_contains("1, channel");
    harness.hover_at(rect.min + egui::vec2(4.0, rect.height() - 4.0));
    harness.run_ok();
    let said = harness
        .get_by_label_contains("Channels of gate, backtracking")
        .accesskit_node()
        .label()
        .unwrap_or_default();
    assert!(said.contains("6_gate, channel"), "{said}");
    harness.get_by_label("q").click();
    harness.run_ok();
    assert_eq!(harness.state().state().selected, Some(Component::new(5, Module::Query)));
    harness.get_by_label_contains("Channels of q, backtracking");
    harness.get_by_label_contains("1, channel").click();
    harness.run_ok();
    harness.run_ok();
}

#[test]
fn importance_is_held_against_damage() {
    let place = tempfile::tempdir().unwrap();
    whole_study(place.path());
    let mut harness = view(place.path(), "validation");
    harness.get_by_label_contains("Importance against degradation, 42 components. 6_gate: relative importance");
    harness.get_by_label_contains("Predictions 1,000");
    harness.key_press(Key::ArrowLeft);
    harness.run_ok();
    harness.get_by_label_contains("42 components. 5_gate");
}

#[test]
fn what_compression_did_is_shown_matrix_by_matrix() {
    let place = tempfile::tempdir().unwrap();
    whole_study(place.path());
    let mut harness = view(place.path(), "compression");
    harness.get_by_label_contains("Heatmap of compression. 6_gate: weight error");
    harness.get_by_label_contains("The whole model 3-bit RTN, groups of 64");
    harness.get_by_label("Bits").click();
    harness.run_ok();
    assert_eq!(harness.state().state().measure, Some(Measure::Bits));
    harness.get_by_label_contains("Heatmap of compression. 6_gate: bits 3");
    let link = crate::link::text(&harness.state().options().to_pairs());
    assert!(link.contains("measure=bits"), "{link}");
}

#[test]
fn what_a_study_does_not_hold_is_said_with_the_command_that_makes_it() {
    for (view, words) in [
        ("channels", "annotations.jsonl --channels"),
        ("validation", "cruxscope validate"),
        ("compression", "cruxscope compression-report MODEL"),
    ] {
        let options = StartupOptions {
            view: Some(view.into()),
            ..StartupOptions::default()
        };
        let mut harness = harness_of([1280.0, 820.0], Theme::Dark, options, true, None);
        harness.run_ok();
        harness.get_by_label_contains(words);
    }
}

#[test]
fn damaged_parts_are_messages() {
    let place = tempfile::tempdir().unwrap();
    whole_study(place.path());
    for (file, name) in [
        (VALIDATION_FILE, "validation"),
        (COMPRESSION_FILE, "compression"),
        ("channels.safetensors", "channels"),
    ] {
        std::fs::write(place.path().join(file), b"{\"components\": 1e999}").unwrap();
        let harness = view(place.path(), name);
        harness.get_by_label_contains(&format!("Could not open {file}"));
    }
}

/// A few small pictures; without a graphics device they are skipped.
#[test]
fn pictures_of_components() {
    let place = tempfile::tempdir().unwrap();
    whole_study(place.path());
    let mut results = egui_kittest::SnapshotResults::new();
    for (name, view, theme) in [
        ("channels-dark", "channels", Theme::Dark),
        ("validation-light", "validation", Theme::Light),
        ("compression-dark", "compression", Theme::Dark),
    ] {
        let Some(renderer) = renderer() else { return };
        let options = StartupOptions {
            view: Some(view.into()),
            studies: vec![place.path().to_string_lossy().into_owned()],
            ..StartupOptions::default()
        };
        let mut harness = harness_of([900.0, 560.0], theme, options, false, Some(renderer));
        for _ in 0..60 {
            harness.step();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        harness.run_ok();
        let snapshot = egui_kittest::SnapshotOptions::new().max_failed_pixels(60);
        results.add(harness.try_snapshot_options(name, &snapshot));
    }
}
