//! The view of the shift between two studies.

use cruxscope_study::test_data as samples;
use cruxscope_study::{Component, Module, ShiftView};
use egui::{Key, Theme};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use super::{LAYERS, harness_of};
use crate::{CruxscopeApp, StartupOptions};

/// The window on the shift from the sample to its compressed self.
pub(super) fn shift_harness(
    options: StartupOptions,
    renderer: Option<egui_kittest::wgpu::WgpuTestRenderer>,
    size: [f32; 2],
    theme: Theme,
) -> Harness<'static, CruxscopeApp> {
    let options = StartupOptions {
        view: Some("shift".into()),
        ..options
    };
    let mut harness = harness_of(size, theme, options, true, renderer);
    harness.state_mut().open(samples::compressed(LAYERS));
    for _ in 0..200 {
        harness.step();
        if harness.state().stability_ready() && harness.state().intervals_ready() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    harness.run_ok();
    harness
}

#[test]
fn a_shift_is_shown_between_the_first_two_studies_and_turns_round() {
    let mut harness = shift_harness(StartupOptions::default(), None, [1280.0, 820.0], Theme::Dark);
    harness.get_by_label("A is Sample study");
    harness.get_by_label("B is Sample, compressed");
    harness.get_by_label_contains("Shift of backtracking. Shift 1, 6_gate");
    harness.key_press(Key::X);
    harness.run_ok();
    harness.get_by_label("A is Sample, compressed");
    harness.key_press(Key::V);
    harness.run_ok();
    assert_eq!(harness.state().state().shift, ShiftView::Increases);
    harness.get_by_label_contains("Shift of backtracking. Shift 1, 6_gate");
    harness.key_press(Key::J);
    harness.run_ok();
    assert_ne!(harness.state().state().selected, Some(Component::new(LAYERS - 1, Module::Gate)));
    harness.key_press(Key::Num1);
    harness.run_ok();
    harness.get_by_label_contains("Heatmap of backtracking");
}

#[test]
fn holding_a_key_shows_the_other_study_in_the_same_place() {
    let mut harness = shift_harness(StartupOptions::default(), None, [1280.0, 820.0], Theme::Light);
    assert!(harness.query_by_label_contains("Backtracking in A").is_some());
    harness.key_down(Key::Space);
    harness.step();
    assert!(harness.state().state().flicker.is_some());
    harness.key_up(Key::Space);
    for _ in 0..30 {
        harness.step();
    }
    assert_eq!(harness.state().state().flicker, None);
}

#[test]
fn one_study_alone_and_two_that_differ_too_much_are_explained() {
    let mut harness = harness_of([1000.0, 700.0], Theme::Dark, StartupOptions::default(), true, None);
    harness.get_by_label("Shift").click();
    harness.run_ok();
    harness.get_by_label_contains("Open a second study…");
    harness.state_mut().open(samples::study(LAYERS + 1));
    harness.run_ok();
    harness.get_by_label_contains("A has 6 layers, B has 7.");
}

#[test]
fn what_differs_is_said_over_the_figure() {
    let mut harness = harness_of([1000.0, 700.0], Theme::Light, StartupOptions::default(), true, None);
    let mut other = samples::compressed(LAYERS);
    other.manifest.model.basis = "folded".into();
    harness.state_mut().open(other);
    harness.key_press(Key::Num2);
    harness.run_ok();
    harness.get_by_label_contains("A stands in the basis");
    for size in [[420.0, 420.0], [690.0, 900.0]] {
        let harness = shift_harness(StartupOptions::default(), None, size, Theme::Dark);
        harness.get_by_label_contains("Shift of backtracking");
    }
}
