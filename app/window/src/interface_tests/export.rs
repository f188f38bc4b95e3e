//! The dialog of exports, and that what is exported is what is seen.

use cruxscope_study::{Behaviour, Component, Module};
use egui::{Key, Theme};
use egui_kittest::kittest::Queryable as _;

use super::{harness, harness_of};
use crate::StartupOptions;

#[test]
fn a_key_opens_the_dialog_and_its_choices_are_kept() {
    let mut harness = harness();
    assert!(harness.query_by_label("PNG…").is_none());
    harness.key_press(Key::E);
    harness.run_ok();
    for format in ["SVG…", "PDF…", "PNG…", "CSV…", "LaTeX table…"] {
        harness.get_by_label(format);
    }
    harness.get_by_label("4×").click();
    harness.run_ok();
    harness.get_by_label("Frame 6_gate").click();
    harness.run_ok();
    let settings = harness.state().state().export;
    assert_eq!((settings.pixels, settings.framed, settings.bare), (4, true, false));
    harness.key_press(Key::Escape);
    harness.run_ok();
    assert!(harness.query_by_label("PNG…").is_none(), "one step back closes it");
}

#[test]
fn the_figure_is_that_of_the_view() {
    let of = |options: StartupOptions| harness_of([1280.0, 820.0], Theme::Dark, options, true, None).state().figure();
    let view = |view: &str| StartupOptions {
        view: Some(view.into()),
        behaviour: Some(Behaviour::Backtracking),
        component: Some(Component::new(2, Module::Up)),
        ..StartupOptions::default()
    };
    assert_eq!(of(view("importance")).unwrap().name, "importance-sample-study");
    let ranking = of(view("ranking")).unwrap();
    assert!(ranking.title.contains("backtracking"), "{}", ranking.title);
    assert!(of(view("benchmarks")).unwrap().name.starts_with("benchmarks-table-1-"));
    assert_eq!(of(view("shift")), None, "a shift lies between two studies");
}
