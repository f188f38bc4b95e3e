//! Whether every text is read whole: none lies on another and none is cut off, from the width of a phone to that of a large screen, in
//! every view over the studies that come with the program.

use egui::Theme;
use egui_kittest::Harness;

use super::harness_of;
use super::painted::painted;
use crate::view_kind::ViewKind;
use crate::{CruxscopeApp, StartupOptions};

/// A phone, two laptops, a large screen.
const SIZES: [[f32; 2]; 4] = [[390.0, 844.0], [1280.0, 720.0], [1440.0, 900.0], [1920.0, 1080.0]];
/// What rounding and the edges of letters may share, in points.
const TOLERANCE: f32 = 1.5;

/// What cannot be read, in words.
fn faults(harness: &Harness<'_, CruxscopeApp>, width: f32) -> Vec<String> {
    let texts = painted(harness);
    let mut faults = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        if text.seen.width() < text.ink.width() - TOLERANCE || text.ink.right() > width + TOLERANCE {
            faults.push(format!("\"{}\" is cut off at {:?}, seen {:?}", text.words, text.ink, text.seen));
        }
        for other in &texts[at + 1..] {
            let both = text.seen.shrink(TOLERANCE / 2.0).intersect(other.seen.shrink(TOLERANCE / 2.0));
            if both.width() > TOLERANCE && both.height() > TOLERANCE {
                faults.push(format!("\"{}\" and \"{}\" lie on each other at {both:?}", text.words, other.words));
            }
        }
    }
    faults
}

fn settle(harness: &mut Harness<'_, CruxscopeApp>) {
    for _ in 0..300 {
        harness.step();
        if harness.state().all_arrived() && harness.state().parts_arrived() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for _ in 0..60 {
        harness.step();
        if harness.state().budget_is_whole() {
            break;
        }
    }
    harness.step();
    harness.step();
}

fn shipped() -> (String, String) {
    let studies = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies");
    let place = |name: &str| studies.join(name).display().to_string();
    (place("miniature"), place("smollm2"))
}

/// Every place of the tests: a name and what leads there.
fn places(miniature: &str, smollm2: &str, sketched: &str, [mixed, apart]: [&str; 2]) -> Vec<(String, StartupOptions)> {
    let within = |study: &str| format!("{miniature}/studies/{study}");
    let mut places = Vec::new();
    for study in [within("distilled"), within("rtn-2"), smollm2.to_owned(), sketched.to_owned()] {
        let of_budget = |view: &ViewKind| study != sketched || *view == ViewKind::Budget;
        for view in ViewKind::ALL.into_iter().filter(|view| !view.is_of_results()).filter(of_budget) {
            let options = StartupOptions {
                show: Some(study.clone()),
                view: Some(view.name().to_owned()),
                ..StartupOptions::default()
            };
            places.push((format!("{} of {study}", view.name()), options));
        }
    }
    let of = |study: &str, view: ViewKind| StartupOptions {
        show: Some(study.to_owned()),
        view: Some(view.name().to_owned()),
        opened: view == ViewKind::Importance,
        ..StartupOptions::default()
    };
    places.push(("experts".to_owned(), of(mixed, ViewKind::Importance)));
    places.push(("two models on one text".to_owned(), of(apart, ViewKind::Trace)));
    let own = format!("{miniature}/results.json");
    for (results, bytes) in [
        (own.clone(), std::fs::read(&own).unwrap()),
        ("published".to_owned(), cruxscope_selectors::results::PUBLISHED.to_vec()),
    ] {
        let read = cruxscope_study::Results::from_json(&bytes).unwrap();
        for view in [ViewKind::Benchmarks, ViewKind::TestTime] {
            for experiment in read.experiments() {
                let options = StartupOptions {
                    view: Some(view.name().to_owned()),
                    results: Some(results.clone()),
                    experiment: Some(experiment.to_owned()),
                    ..StartupOptions::default()
                };
                places.push((format!("{} of {experiment}", view.name()), options));
                if view == ViewKind::TestTime {
                    break;
                }
            }
        }
    }
    places
}

#[test]
fn no_text_lies_on_another_and_none_is_cut_off() {
    look(Theme::Dark, 1.0, &SIZES);
}

/// The light theme has other inks, and so other letters where they are cut.
#[test]
fn no_text_lies_on_another_in_light_either() {
    look(Theme::Light, 1.0, &[SIZES[0], SIZES[2]]);
}

/// At twice the density everything lies at halves of points.
#[test]
fn no_text_lies_on_another_at_twice_the_density() {
    look(Theme::Dark, 2.0, &[SIZES[0], SIZES[1]]);
}

fn look(theme: Theme, pixels_per_point: f32, sizes: &[[f32; 2]]) {
    let (miniature, smollm2) = shipped();
    let folder = tempfile::tempdir().unwrap();
    super::budget::sketched(folder.path(), 32);
    let within = |name: &str| folder.path().join(name);
    super::mixtures::mixture(&within("mixed"), 48);
    super::apart::apart(&within("apart"));
    let sketched = folder.path().display().to_string();
    let [mixed, apart] = ["mixed", "apart"].map(|name| within(name).display().to_string());
    let options = StartupOptions {
        studies: vec![miniature.clone(), smollm2.clone(), sketched.clone(), mixed.clone(), apart.clone()],
        theme: Some(if theme == Theme::Dark {
            crate::ThemeChoice::Dark
        } else {
            crate::ThemeChoice::Light
        }),
        ..StartupOptions::default()
    };
    let mut harness = harness_of(SIZES[3], theme, options, false, None);
    harness.set_pixels_per_point(pixels_per_point);
    settle(&mut harness);
    let mut found = std::collections::BTreeMap::<String, Vec<String>>::new();
    let mut looked = 0;
    for size in sizes {
        harness.set_size((*size).into());
        for (name, options) in places(&miniature, &smollm2, &sketched, [&mixed, &apart]) {
            harness.state_mut().show(&options);
            settle(&mut harness);
            assert!(!painted(&harness).is_empty());
            looked += 1;
            for fault in faults(&harness, size[0]) {
                found.entry(fault).or_default().push(format!("{} px, {name}", size[0]));
            }
            if std::env::var_os("CRUXSCOPE_ELIDED").is_some() {
                for text in painted(&harness).iter().filter(|text| text.elided) {
                    println!("{} px, {name}: \"{}\" ends in …", size[0], text.words);
                }
            }
        }
    }
    let words: Vec<String> = found
        .iter()
        .map(|(fault, places)| format!("{fault}\n    {} ({} times)", places[0], places.len()))
        .collect();
    assert!(found.is_empty(), "{looked} places, {} faults:\n{}", found.len(), words.join("\n"));
}

/// On a phone the list of what is open has a button, and what has no button of its own stands in a menu.
#[test]
fn a_phone_reaches_the_studies_and_every_command() {
    use egui_kittest::kittest::Queryable as _;

    let (miniature, _) = shipped();
    let options = StartupOptions {
        studies: vec![miniature],
        ..StartupOptions::default()
    };
    let mut harness = harness_of(SIZES[0], Theme::Light, options, false, None);
    settle(&mut harness);
    harness.get_by_label("What is open").click();
    settle(&mut harness);
    harness.get_by_label_contains("RTN, 2 bits").click();
    settle(&mut harness);
    assert!(!harness.state().state().list, "a choice closes the list");
    harness.get_by_label_contains("Heatmap of backtracking");
    harness.get_by_label("More commands").click();
    settle(&mut harness);
    for command in ["Export…", "Share link", "Present", "Provenance", "Commands…"] {
        harness.get_by_label(command);
    }
}
