//! The view of a budget over a made-up sketch: what is read out, what a click and the curve change, what leaves the window; and the words
//! that explain every view.

use cruxscope_selectors::budget::CellMeasure;
use cruxscope_selectors::terms;
use cruxscope_study::allocation::export::Tool;
use cruxscope_study::test_data as samples;
use cruxscope_study::{Component, Module, SENSITIVITY_FILE, TRIAL_FILE, folder};
use egui::{Key, Theme, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use super::collections::opened;
use super::harness_of;
use crate::view_kind::ViewKind;
use crate::{CruxscopeApp, StartupOptions};

/// A study with a sketch and a trial in a folder.
pub(super) fn sketched(place: &std::path::Path, layers: usize) {
    folder::save(&samples::study(layers), place).unwrap();
    std::fs::write(place.join(SENSITIVITY_FILE), samples::sensitivity(layers).to_bytes().unwrap()).unwrap();
    std::fs::write(place.join(TRIAL_FILE), serde_json::to_vec(&samples::trial()).unwrap()).unwrap();
}

fn budget(place: &std::path::Path, options: StartupOptions) -> Harness<'static, CruxscopeApp> {
    let options = StartupOptions {
        view: Some("budget".into()),
        ..options
    };
    let mut harness = opened(place, options);
    settle(&mut harness);
    harness
}

/// Until the curve is whole.
fn settle(harness: &mut Harness<'_, CruxscopeApp>) {
    for _ in 0..300 {
        harness.step();
        if harness.state().parts_arrived() && harness.state().budget_is_whole() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    harness.run_ok();
}

/// The same over and over, until nothing moves.
fn rest(harness: &mut Harness<'_, CruxscopeApp>) {
    for _ in 0..4 {
        harness.run_ok();
    }
}

fn map_says(harness: &Harness<'_, CruxscopeApp>) -> String {
    let node = harness.get_by_label_contains("Map of the budget.");
    node.accesskit_node().label().unwrap_or_default()
}

#[test]
fn a_click_changes_a_format_and_its_price_is_said_at_once() {
    let place = tempfile::tempdir().unwrap();
    sketched(place.path(), 6);
    let mut harness = budget(place.path(), StartupOptions::default());
    harness.get_by_label_contains("Sample study at ");
    harness.get_by_label_contains("Predicted by windows that did not choose");
    let rect = harness.get_by_label_contains("Map of the budget.").rect();
    let cell = rect.min + rect.size() / vec2(6.0, 7.0) * vec2(2.5, 4.5);
    let component = Component::new(2, Module::Gate);
    harness.hover_at(cell);
    harness.run_ok();
    let before = map_says(&harness);
    assert!(before.contains("3_gate in rtn-"), "{before}");
    harness.drag_at(cell);
    harness.drop_at(cell);
    settle(&mut harness);
    assert_eq!(harness.state().state().selected, Some(component));
    assert_ne!(map_says(&harness), before);
    harness.get_by_label_contains("Changed by hand");
    let link = crate::link::text(&harness.state().options().to_pairs());
    assert!(link.contains("formats=3_gate"), "{link}");
    // The link leads back to the same recipe.
    let pairs = crate::link::read(&link);
    let (options, complaints) = StartupOptions::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!(options.formats.first().map(|(component, _)| *component), Some(component));
    harness.get_by_label("Take changes back").click();
    settle(&mut harness);
    rest(&mut harness);
    assert!(harness.state().state().budget.edits.is_empty());
    harness.get_by_label_contains("unchanged, 16.00 bits").click();
    settle(&mut harness);
    assert_eq!(harness.state().state().budget.edits.get(&component), Some(&None));
}

#[test]
fn the_curve_and_the_behaviour_choose_other_recipes() {
    let place = tempfile::tempdir().unwrap();
    sketched(place.path(), 6);
    let mut harness = budget(place.path(), StartupOptions::default());
    let rect = harness.get_by_label_contains("Size against divergence").rect();
    let at = rect.left_center() + vec2(rect.width() * 0.8, 0.0);
    harness.hover_at(at);
    harness.drag_at(at);
    harness.drop_at(at);
    settle(&mut harness);
    let target = harness.state().state().budget.target.unwrap();
    let (low, high) = samples_range();
    assert!(target > low + 0.5 * (high - low), "{target} of {low} to {high}");
    harness.get_by_label("Fused alike").click();
    settle(&mut harness);
    assert!(harness.state().state().budget.keep_fused);
    harness.get_by_label("Share of KL").click();
    settle(&mut harness);
    assert_eq!(harness.state().state().budget.measure, CellMeasure::Share);
    harness.key_press(Key::B);
    settle(&mut harness);
    assert!(
        harness.query_by_label_contains("all positions ").is_some(),
        "what the recipe costs all positions stays in sight"
    );
    harness.get_by_label_contains(" for backtracking");
    // Of a behaviour that the sketch does not hold it is said.
    for _ in 0..3 {
        harness.key_press(Key::B);
    }
    settle(&mut harness);
    harness.get_by_label_contains("No recipe can be chosen for these positions");
}

fn samples_range() -> (f64, f64) {
    let sensitivity = std::sync::Arc::new(samples::sensitivity(6));
    cruxscope_selectors::budget::Budget::new(sensitivity, Default::default()).unwrap().range()
}

#[test]
fn the_recipe_leaves_in_the_words_of_every_tool_that_knows_its_formats() {
    let place = tempfile::tempdir().unwrap();
    sketched(place.path(), 6);
    let harness = budget(place.path(), StartupOptions::default());
    for tool in Tool::ALL {
        match harness.state().recipe(tool) {
            Ok(files) => {
                let (name, file) = &files[0];
                assert!(name.starts_with("sample-study-") && name.contains("-bits."), "{name}");
                assert!(!file.text.is_empty());
            }
            // Five bits are packed by neither of these, and llama.cpp wants types of its own.
            Err(why) => assert!(matches!(tool, Tool::LlamaCpp | Tool::GptqModel), "{}: {why}", tool.name()),
        }
    }
    harness.get_by_label("Export recipe…");
    harness.get_by_label("Compress with it");
    let figures = harness.state().figures();
    let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
    assert_eq!(names, ["budget-map-sample-study", "budget-curve-sample-study"]);
    assert_eq!(figures[0].table.rows.len(), 42);
}

#[test]
fn a_study_without_a_sketch_says_how_to_make_one() {
    let place = tempfile::tempdir().unwrap();
    folder::save(&samples::study(2), place.path()).unwrap();
    let mut harness = opened(
        place.path(),
        StartupOptions {
            view: Some("budget".into()),
            ..StartupOptions::default()
        },
    );
    settle(&mut harness);
    harness.get_by_label_contains("The sensitivity of this study is not known");
    harness.get_by_label_contains("cruxscope sensitivity --model");
}

#[test]
fn every_view_says_how_it_is_read_and_has_its_terms() {
    for view in ViewKind::ALL {
        assert!(!terms::reading(view.name()).is_empty(), "{}", view.name());
        assert!(terms::of_view(view.name()).count() >= 1, "{}", view.name());
    }
    // Every card is drawn once, with letters that the typeface has.
    for view in ViewKind::ALL {
        let options = StartupOptions {
            view: Some(view.name().into()),
            ..StartupOptions::default()
        };
        let mut harness = harness_of([900.0, 2400.0], Theme::Light, options, true, None);
        harness.key_press(Key::H);
        harness.run_ok();
        let title = format!("How to read: {}", view.title().to_lowercase());
        assert!(harness.query_by_label_contains(&title).is_some(), "{title}");
    }
    for term in terms::TERMS {
        assert!(term.views.iter().all(|view| ViewKind::named(view).is_some()), "{}", term.name);
    }
    let mut harness = harness_of([1280.0, 820.0], Theme::Dark, StartupOptions::default(), true, None);
    harness.key_press(Key::H);
    harness.run_ok();
    harness.get_by_label_contains("How to read: importance");
    harness.get_by_label_contains("so that a cell is one weight matrix");
    let button = harness.get_by_label("Introduction").rect();
    let window = harness.ctx.content_rect();
    assert!(window.contains_rect(button), "{button:?} in {window:?}");
    harness.key_press(Key::H);
    harness.run_ok();
    assert!(!harness.state().state().reading);
}

#[test]
fn pictures_of_a_budget_and_of_what_explains_it() {
    let place = tempfile::tempdir().unwrap();
    sketched(place.path(), 12);
    let mut results = egui_kittest::SnapshotResults::new();
    let cases: [(&str, [f32; 2], Theme, Option<Key>); 4] = [
        ("budget-dark", [1280.0, 820.0], Theme::Dark, None),
        ("budget-light", [1280.0, 820.0], Theme::Light, None),
        ("budget-phone", [390.0, 1100.0], Theme::Light, None),
        ("reading-dark", [1280.0, 820.0], Theme::Dark, Some(Key::H)),
    ];
    for (name, size, theme, key) in cases {
        let Some(renderer) = super::renderer() else { return };
        let options = StartupOptions {
            view: Some("budget".into()),
            studies: vec![place.path().to_string_lossy().into_owned()],
            ..StartupOptions::default()
        };
        let mut harness = harness_of(size, theme, options, false, Some(renderer));
        for _ in 0..200 {
            harness.step();
            if harness.state().all_arrived() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        settle(&mut harness);
        if let Some(key) = key {
            harness.key_press(key);
            harness.run_ok();
        }
        let snapshot = egui_kittest::SnapshotOptions::new().max_failed_pixels(60);
        results.add(harness.try_snapshot_options(name, &snapshot));
    }
}
