//! The interface as a person meets it: what is read off the accessibility tree after keys, clicks and a hovering pointer.
//!
//! Most of it needs no graphics device. The pictures do; where there is none they say so and are skipped.

mod apart;
mod budget;
mod collections;
mod components;
mod export;
mod fit;
mod introduction;
mod links;
mod mixtures;
mod painted;
mod results;
mod shift;
mod traces;
mod variants;

use cruxscope_study::test_data as samples;
use cruxscope_study::{Behaviour, Component, Module, ShiftView};
use egui::{Key, Modifiers, Theme, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};

use crate::runs::{Facts, Form, JobObserver, JobRunner, PlannedJob};
use crate::{CruxscopeApp, Scale, StartupOptions, ThemeChoice};

const LAYERS: usize = 6;

/// Computes nothing: it is there so that the panel of jobs is.
struct NoRunner;

impl JobRunner for NoRunner {
    fn plan(&self, form: &Form, _: &mut dyn JobObserver) -> Result<(Box<dyn PlannedJob>, Facts), String> {
        Err(format!("nothing computes here, so not \"{}\"", form.words()))
    }
}

fn harness_of(
    size: [f32; 2],
    theme: Theme,
    options: StartupOptions,
    with_study: bool,
    renderer: Option<egui_kittest::wgpu::WgpuTestRenderer>,
) -> Harness<'static, CruxscopeApp> {
    let builder = Harness::builder().with_size(size).with_theme(theme).with_max_steps(16);
    let builder = match renderer {
        Some(renderer) => builder.renderer(renderer),
        None => builder,
    };
    let mut harness = builder.build_eframe(move |cc| {
        let mut app = CruxscopeApp::new(cc, options).with_runner(&cc.egui_ctx, std::sync::Arc::new(NoRunner));
        if with_study {
            app.open(samples::study(LAYERS));
        }
        app
    });
    // The intervals are computed on a thread; the pictures and the words must not depend on when it ends.
    for _ in 0..200 {
        harness.step();
        if harness.state().stability_ready() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    harness.run_ok();
    harness
}

fn harness() -> Harness<'static, CruxscopeApp> {
    harness_of([1280.0, 820.0], Theme::Dark, StartupOptions::default(), true, None)
}

fn read_out(harness: &Harness<'_, CruxscopeApp>, behaviour: &str) -> String {
    let name = format!("Heatmap of {behaviour}");
    let node = harness.get_by_label_contains(&name);
    node.accesskit_node().label().unwrap_or_default()
}

#[test]
fn the_highest_component_is_selected_and_read_out_in_every_panel() {
    let harness = harness();
    for behaviour in ["backtracking", "uncertainty estimation", "example testing"] {
        let said = read_out(&harness, behaviour);
        assert!(said.contains("6_gate"), "{said}");
    }
    harness.get_by_label_contains("Rank 1, 6_gate");
}

#[test]
fn a_hovering_pointer_reads_out_the_cell_in_every_panel() {
    let mut harness = harness();
    let rect = harness.get_by_label_contains("Heatmap of backtracking").rect();
    let cell = vec2(rect.width() / LAYERS as f32, rect.height() / 7.0);
    harness.hover_at(rect.min + cell * vec2(1.5, 3.5));
    harness.run_ok();
    harness.run_ok();
    assert!(read_out(&harness, "backtracking").contains("2_o"), "{}", read_out(&harness, "backtracking"));
    assert_eq!(
        harness.state().state().hovered,
        Some((Behaviour::Backtracking, Component::new(1, Module::Output)))
    );
    harness.remove_cursor();
    harness.run_ok();
    assert_eq!(harness.state().state().hovered, None);
}

#[test]
fn a_click_selects_in_the_panels_and_in_the_list() {
    let mut harness = harness();
    harness.get_by_label_contains("Rank 2,").click();
    harness.run_ok();
    let second = harness.state().state().selected;
    assert_ne!(second, Some(Component::new(5, Module::Gate)));
    let said = read_out(&harness, "backtracking");
    assert!(second.is_some_and(|component| said.contains(&component.to_string())), "{said}");
    let rect = harness.get_by_label_contains("Heatmap of example testing").rect();
    harness.hover_at(rect.min + vec2(3.0, 3.0));
    harness.drag_at(rect.min + vec2(3.0, 3.0));
    harness.drop_at(rect.min + vec2(3.0, 3.0));
    harness.run_ok();
    assert_eq!(harness.state().state().selected, Some(Component::new(0, Module::Query)));
}

#[test]
fn keys_move_the_cell_and_step_through_scales_behaviours_and_panels() {
    let mut harness = harness();
    let press = |harness: &mut Harness<'_, CruxscopeApp>, key| {
        harness.key_press(key);
        harness.run_ok();
    };
    press(&mut harness, Key::ArrowLeft);
    press(&mut harness, Key::ArrowUp);
    assert_eq!(harness.state().state().selected, Some(Component::new(4, Module::Output)));
    press(&mut harness, Key::S);
    assert_eq!(harness.state().state().scale, Scale::Log);
    press(&mut harness, Key::B);
    assert_eq!(harness.state().state().behaviour, Some(Behaviour::Backtracking));
    press(&mut harness, Key::Enter);
    assert_eq!(harness.state().state().maximised, Some(Behaviour::Backtracking));
    assert!(harness.query_by_label_contains("Heatmap of example testing").is_none());
    press(&mut harness, Key::Escape);
    assert_eq!(harness.state().state().maximised, None);
    press(&mut harness, Key::J);
    press(&mut harness, Key::Space);
    assert_eq!(harness.state().state().checked.len(), 1);
    harness.get_by_label_contains("Copy 1 checked as protection list");
}

#[test]
fn text_that_is_typed_filters_and_is_no_key() {
    let mut harness = harness();
    harness.event(egui::Event::Text("/".into()));
    harness.run_ok();
    harness.run_ok();
    harness.event(egui::Event::Text("gatesb".into()));
    harness.run_ok();
    let state = harness.state().state();
    assert_eq!(
        (state.ranking.filter.as_str(), state.scale, state.behaviour),
        ("gatesb", Scale::SquareRoot, None)
    );
    assert!(harness.query_by_label_contains("Rank 1, 6_gate").is_none());
}

#[test]
fn a_behaviour_that_no_instance_holds_says_so() {
    let harness = harness();
    harness.get_by_label_contains("Adding knowledge is empty. No segment could be used");
}

#[test]
fn provenance_and_keys_open_and_close() {
    let mut harness = harness();
    harness.key_press(Key::I);
    harness.run_ok();
    harness.get_by_label_contains("Copy the command");
    harness.get_by_label_contains("Definition paper");
    harness.key_press(Key::Escape);
    harness.run_ok();
    assert!(harness.query_by_label_contains("Copy the command").is_none());
    harness.event(egui::Event::Text("?".into()));
    harness.run_ok();
    harness.get_by_label_contains("B: next behaviour");
}

#[test]
fn the_protection_list_is_copied() {
    let mut harness = harness();
    harness.get_by_label_contains("Copy first 3 as protection list").click();
    harness.step();
    let copied = harness.output().platform_output.commands.iter().find_map(|command| match command {
        egui::OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    });
    let copied = copied.unwrap_or_default();
    assert!(copied.starts_with("6_gate,") && copied.split(',').count() == 3, "{copied}");
}

#[test]
fn nothing_open_shows_the_ways_in() {
    let harness = harness_of([1000.0, 700.0], Theme::Light, StartupOptions::default(), false, None);
    harness.get_by_label_contains("Open a study…");
}

#[test]
fn a_path_without_a_study_is_said_and_can_be_dismissed() {
    let folder = tempfile::tempdir().unwrap();
    let options = StartupOptions {
        studies: vec![folder.path().display().to_string()],
        ..StartupOptions::default()
    };
    let mut harness = harness_of([1000.0, 700.0], Theme::Dark, options, false, None);
    for _ in 0..100 {
        harness.step();
        if harness.query_by_label_contains("Could not open").is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    harness.get_by_label_contains("Could not open");
    harness.get_by_label_contains("Choose the folder that holds study.json");
    harness.get_by_label("Dismiss").click();
    harness.run_ok();
    assert!(harness.query_by_label_contains("Could not open").is_none());
}

#[test]
fn the_theme_key_changes_what_is_seen() {
    let options = StartupOptions {
        theme: Some(ThemeChoice::Dark),
        ..StartupOptions::default()
    };
    let mut harness = harness_of([1280.0, 820.0], Theme::Dark, options, true, None);
    harness.key_press_modifiers(Modifiers::NONE, Key::T);
    harness.run_ok();
    assert_eq!(harness.state().state().theme, ThemeChoice::Light);
}

#[test]
fn every_width_and_depth_is_drawn() {
    for (size, layers) in [([420.0, 420.0], 1), ([690.0, 900.0], 30), ([1000.0, 600.0], 128), ([1440.0, 900.0], 80)] {
        let mut harness = harness_of(size, Theme::Light, StartupOptions::default(), false, None);
        harness.state_mut().open(samples::study(layers));
        harness.run_ok();
        harness.get_by_label_contains("Heatmap of backtracking");
    }
}

/// A renderer, or nothing (and a word why) where there is no graphics device.
fn renderer() -> Option<egui_kittest::wgpu::WgpuTestRenderer> {
    let made = std::panic::catch_unwind(egui_kittest::wgpu::WgpuTestRenderer::new);
    if made.is_err() {
        cruxscope_needs::skip(cruxscope_needs::Need::Device, "no graphics device, not even a software one such as lavapipe");
    }
    made.ok()
}

#[test]
fn cells_on_the_screen_have_the_colours_of_the_scale() {
    use cruxscope_selectors::{Basis, Figures, panels};
    use cruxscope_theme::colour_map::ColourMap;

    use crate::heatmap::Grid;

    for scale in Scale::ALL {
        let Some(renderer) = renderer() else { return };
        let options = StartupOptions {
            scale: Some(scale),
            ..StartupOptions::default()
        };
        let mut harness = harness_of([1000.0, 700.0], Theme::Dark, options, true, Some(renderer));
        let picture = harness.render().unwrap();
        let figures = Figures::of(&samples::study(LAYERS));
        let scales = panels::scales(&figures, scale, [false; 4]);
        let rect = harness.get_by_label_contains("Heatmap of uncertainty estimation").rect();
        let grid = Grid::fit(rect, LAYERS, 7, 1.0);
        let basis = Basis::Behaviour(Behaviour::UncertaintyEstimation);
        // The selected cell carries its frame and the dot.
        for component in Component::all(LAYERS).filter(|component| *component != Component::new(LAYERS - 1, Module::Gate)) {
            let expected = ColourMap::Importance.at(scales[1].position(panels::cell(&figures, basis, component, scale)), true);
            // A little aside from the middle, where a number may stand.
            let place = grid.cell(component.layer.0, component.module.index()).left_center() + vec2(4.0, 0.0);
            let found = picture.get_pixel(place.x as u32, place.y as u32).0;
            let off = (0..3).map(|channel| found[channel].abs_diff(expected[channel])).max();
            assert!(off <= Some(3), "{scale:?} {component}: {found:?} on the screen, {expected:?} in the legend");
        }
    }
}

#[test]
fn textures_are_freed_when_their_heatmap_is_gone() {
    let Some(renderer) = renderer() else { return };
    let mut harness = harness_of([1000.0, 700.0], Theme::Dark, StartupOptions::default(), true, Some(renderer));
    harness.render().unwrap();
    assert_eq!(harness.state().textures_held(), 3, "three behaviours, and one that no instance holds");
    harness.key_press(Key::B);
    harness.key_press(Key::Enter);
    for _ in 0..6 {
        harness.step();
        harness.render().unwrap();
    }
    assert_eq!(harness.state().textures_held(), 1);
}

/// A name, a size, a theme, options, keys to press, and whether a study is open.
type Picture = (&'static str, [f32; 2], Theme, StartupOptions, &'static [Key], bool);

/// Pictures of whole views, small enough for the repository. Without a graphics device they are skipped.
#[test]
fn pictures() {
    let maximised = StartupOptions {
        behaviour: Some(Behaviour::ExampleTesting),
        scale: Some(Scale::Log),
        ..StartupOptions::default()
    };
    let embedded = StartupOptions {
        embed: true,
        ..StartupOptions::default()
    };
    let cases: [Picture; 5] = [
        ("importance-dark", [800.0, 500.0], Theme::Dark, StartupOptions::default(), &[], true),
        ("importance-light", [800.0, 500.0], Theme::Light, StartupOptions::default(), &[], true),
        ("enlarged-log", [800.0, 500.0], Theme::Light, maximised, &[Key::Enter], true),
        ("embedded", [640.0, 420.0], Theme::Dark, embedded, &[], true),
        ("nothing-open", [640.0, 420.0], Theme::Light, StartupOptions::default(), &[], false),
    ];
    let mut results = egui_kittest::SnapshotResults::new();
    for (name, view, theme) in [
        ("shift-dark", ShiftView::Decreases, Theme::Dark),
        ("shift-light-net", ShiftView::Net, Theme::Light),
    ] {
        let Some(renderer) = renderer() else { return };
        let options = StartupOptions {
            shift: Some(view),
            ..StartupOptions::default()
        };
        let mut harness = shift::shift_harness(options, Some(renderer), [900.0, 640.0], theme);
        let snapshot = egui_kittest::SnapshotOptions::new().max_failed_pixels(60);
        results.add(harness.try_snapshot_options(name, &snapshot));
    }
    for (name, size, theme, options, keys, with_study) in cases {
        let Some(renderer) = renderer() else { return };
        let mut harness = harness_of(size, theme, options, with_study, Some(renderer));
        for key in keys {
            harness.key_press(*key);
            harness.run_ok();
        }
        // Drivers differ in the last bit along curved edges.
        let snapshot = egui_kittest::SnapshotOptions::new().max_failed_pixels(60);
        results.add(harness.try_snapshot_options(name, &snapshot));
    }
}
