//! A study of a mixture of experts: modules open into their experts by a press, and every expert is read out.

use std::path::Path;

use cruxscope_study::test_data as samples;
use cruxscope_study::{Component, Module, PARTS_FILE, folder};
use egui::{Theme, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use super::collections::opened;
use super::{harness_of, renderer};
use crate::{CruxscopeApp, StartupOptions};

/// A study of so many layers, each but the first with 128 experts.
pub(super) fn mixture(place: &Path, layers: usize) {
    folder::save(&samples::mixture(layers, 128), place).unwrap();
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
fn a_module_opens_into_its_experts_and_each_is_read_out() {
    let place = tempfile::tempdir().unwrap();
    mixture(place.path(), 6);
    let mut harness = opened(place.path(), StartupOptions::default());
    assert!(harness.query_by_label_contains("Map of experts").is_none());
    let doors: Vec<_> = harness.get_all_by_label("Open down into experts").map(|node| node.rect()).collect();
    assert_eq!(doors.len(), 3, "one in every panel that is not empty");
    harness.get_all_by_label("Open down into experts").next().unwrap().click();
    settle(&mut harness);
    let state = harness.state().state();
    assert!(state.opened && state.selected.is_some_and(|component| component.module == Module::Down));
    let map = harness.get_by_label_contains("Map of experts of down, backtracking. Half of the importance of down lies in ");
    let rect = map.rect();
    let cell = rect.size() / vec2(129.0, 6.0);
    let point = rect.min + cell * vec2(37.5, 3.5);
    harness.hover_at(point);
    harness.run_ok();
    harness.run_ok();
    let said = harness
        .get_by_label_contains("Map of experts of down")
        .accesskit_node()
        .label()
        .unwrap_or_default();
    assert!(
        said.contains("4_down.e37: relative importance") && said.contains("tokens routed to it"),
        "{said}"
    );
    harness.drag_at(point);
    harness.drop_at(point);
    harness.run_ok();
    assert_eq!(harness.state().state().selected, Some(Component::new(3, Module::Down)));
    let link = crate::link::text(&harness.state().options().to_pairs());
    assert!(link.contains("opened=1") && link.contains("component=4_down"), "{link}");
    // The tab of that name comes first.
    harness.get_all_by_label("Ranking").last().unwrap().click();
    harness.run_ok();
    harness.get_by_label_contains("Rank 1,");
}

#[test]
fn a_study_without_experts_has_no_doors() {
    let harness = harness_of([1280.0, 820.0], Theme::Dark, StartupOptions::default(), true, None);
    assert!(harness.query_by_label_contains("into experts").is_none() && harness.query_by_label("Experts").is_none());
}

#[test]
fn damaged_numbers_of_experts_are_a_message() {
    let place = tempfile::tempdir().unwrap();
    mixture(place.path(), 3);
    std::fs::write(place.path().join(PARTS_FILE), b"nothing").unwrap();
    let options = StartupOptions {
        opened: true,
        ..StartupOptions::default()
    };
    let mut harness = opened(place.path(), options);
    settle(&mut harness);
    harness.get_by_label_contains(&format!("Could not open {PARTS_FILE}"));
}

#[test]
fn pictures_of_experts() {
    let mut results = egui_kittest::SnapshotResults::new();
    for (name, size, theme) in [("experts-dark", [1280.0, 820.0], Theme::Dark), ("experts-phone", [390.0, 1500.0], Theme::Light)] {
        let Some(renderer) = renderer() else { return };
        let place = tempfile::tempdir().unwrap();
        mixture(place.path(), 24);
        let options = StartupOptions {
            opened: true,
            component: Some(Component::new(11, Module::Gate)),
            studies: vec![place.path().to_string_lossy().into_owned()],
            ..StartupOptions::default()
        };
        let mut harness = harness_of(size, theme, options, false, Some(renderer));
        settle(&mut harness);
        let snapshot = egui_kittest::SnapshotOptions::new().max_failed_pixels(60);
        results.add(harness.try_snapshot_options(name, &snapshot));
    }
}
