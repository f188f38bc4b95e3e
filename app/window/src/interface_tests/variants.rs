//! The view of variants over the studies that come with the program, and the stage.

use cruxscope_selectors::variants::VariantSort;
use egui::{Key, Theme, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use super::collections::opened;
use super::harness_of;
use super::painted::painted;
use crate::view_kind::ViewKind;
use crate::{CruxscopeApp, StartupOptions};

fn miniature(options: StartupOptions) -> Harness<'static, CruxscopeApp> {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies/miniature");
    let mut harness = opened(&place, options);
    // What compression did is read once the view is on.
    for _ in 0..200 {
        harness.step();
        if harness.state().parts_arrived() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    harness.run_ok();
    harness
}

#[test]
fn variants_are_read_out_sorted_exported_and_opened_as_a_pair() {
    let mut harness = miniature(StartupOptions {
        view: Some("variants".into()),
        ..StartupOptions::default()
    });
    harness.get_by_label("Distilled, the original");
    let rows = harness.get_all_by_label_contains("of importance moved");
    let said: Vec<String> = rows.filter_map(|row| row.accesskit_node().label()).collect();
    let row = said.iter().find(|said| said.starts_with("RTN, 2 bits, ")).unwrap();
    assert!(row.contains(", 2 bits, ") && row.contains("accuracy "), "{row}");
    let figure = harness.state().figure().unwrap();
    assert_eq!(figure.name, "variants-distilled");
    assert_eq!(figure.table.rows.len(), 18, "the original and 17 others");
    harness.get_by_label("Sort by accuracy").click();
    harness.run_ok();
    assert_eq!(harness.state().state().variants.sort, VariantSort::Accuracy);
    let link = crate::link::text(&harness.state().options().to_pairs());
    assert!(link.contains("sort=accuracy"), "{link}");
    // Turned round, what scores worst stands first.
    harness.get_by_label("Sort by accuracy").click();
    harness.run_ok();
    harness.key_press(Key::J);
    harness.run_ok();
    harness.key_press(Key::Enter);
    harness.run_ok();
    assert_eq!(harness.state().state().view, ViewKind::Shift);
    harness.get_by_label("A is Distilled");
    harness.get_by_label("B is Base");
}

#[test]
fn one_study_alone_says_what_variants_need() {
    let options = StartupOptions {
        view: Some("variants".into()),
        ..StartupOptions::default()
    };
    let harness = harness_of([1280.0, 820.0], Theme::Dark, options, true, None);
    harness.get_by_label_contains("Variants stand beside their original");
}

#[test]
fn a_shift_begins_with_the_original_and_the_most_compressed() {
    let harness = miniature(StartupOptions {
        view: Some("shift".into()),
        ..StartupOptions::default()
    });
    harness.get_by_label("A is Distilled");
    harness.get_by_label_contains("B is Distilled, RTN, 2 bits");
}

#[test]
fn a_stage_has_large_type_a_title_and_no_choices_until_the_pointer_moves() {
    let mut harness = miniature(StartupOptions {
        stop: Some(3),
        ..StartupOptions::default()
    });
    harness.set_size(vec2(1920.0, 1080.0));
    harness.run_ok();
    harness.key_press(Key::F);
    for _ in 0..6 {
        harness.step();
    }
    assert!(harness.state().state().presenting);
    let smallest = cruxscope_theme::typeface::tick().size;
    assert!(harness.ctx.zoom_factor() * smallest >= 22.0 - 1e-3, "{}", harness.ctx.zoom_factor());
    for control in ["Export…", "Linear", "Leave the stage", "Enlarge Backtracking"] {
        assert!(harness.query_by_label(control).is_none(), "{control}");
    }
    let words: Vec<String> = painted(&harness).into_iter().map(|text| text.words).collect();
    assert!(words.iter().any(|text| text == "Where reasoning is concentrated"), "{words:?}");
    assert!(words.iter().any(|text| text.contains("6_down matters most")), "{words:?}");
    harness.hover_at(egui::pos2(300.0, 300.0));
    harness.step();
    harness.step();
    harness.get_by_label("Leave the stage");
    harness.key_press(Key::Escape);
    for _ in 0..4 {
        harness.step();
    }
    assert!(!harness.state().state().presenting);
    assert!((harness.ctx.zoom_factor() - 1.0).abs() < 1e-3);
    assert_eq!(harness.state().state().stop, Some(2), "one step back leaves the stage, not the tour");
}

#[test]
fn keys_behind_a_dialog_do_nothing() {
    let mut harness = miniature(StartupOptions::default());
    harness.key_press(Key::E);
    harness.run_ok();
    for key in [Key::Num2, Key::S, Key::T, Key::X] {
        harness.key_press(key);
        harness.run_ok();
    }
    let state = harness.state().state();
    assert_eq!(
        (state.view, state.scale, state.export.open),
        (ViewKind::Importance, crate::Scale::SquareRoot, true)
    );
    harness.key_press(Key::Escape);
    harness.run_ok();
    assert!(!harness.state().state().export.open);
}
