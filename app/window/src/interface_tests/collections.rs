//! A collection on a disk: its studies and results are opened, its tour is walked and written, one finds one's way back.

use cruxscope_study::test_data as samples;
use cruxscope_study::{COLLECTION_FILE, COLLECTION_SCHEMA, Collection, RESULTS_FILE, TourStop, folder};
use egui::{Key, Modifiers, Theme};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use super::harness_of;
use crate::view_kind::ViewKind;
use crate::{CruxscopeApp, StartupOptions};

/// A collection of two studies, one of them with a trace, and results, with a tour of two stops.
pub(super) fn collection(place: &std::path::Path) {
    let mut study = samples::study(6);
    let (entry, bytes) = samples::trace(40).to_file(0).unwrap();
    study.manifest.traces.push(entry);
    folder::save(&study, &place.join("first")).unwrap();
    std::fs::write(place.join("first/trace-0001.json"), bytes).unwrap();
    folder::save(&samples::compressed(6), &place.join("second")).unwrap();
    std::fs::write(place.join(RESULTS_FILE), samples::results().to_json().unwrap()).unwrap();
    let stop = |title: &str, caption: &str, seen: &[(&str, &str)]| TourStop {
        title: title.into(),
        caption: caption.into(),
        notes: format!("Of {title}: wait for questions."),
        seen: seen.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    let collection = Collection {
        schema: COLLECTION_SCHEMA,
        title: "Samples".into(),
        studies: vec!["first".into(), "second".into()],
        results: vec![RESULTS_FILE.into()],
        tour: vec![
            stop(
                "The last gate",
                "It **matters** most.",
                &[("view", "importance"), ("study", "second"), ("component", "6_gate")],
            ),
            stop("Scores", "And what they lose.", &[("view", "benchmarks"), ("results", RESULTS_FILE)]),
        ],
        ..Collection::default()
    };
    std::fs::write(place.join(COLLECTION_FILE), collection.to_json().unwrap()).unwrap();
}

pub(super) fn opened(place: &std::path::Path, mut options: StartupOptions) -> Harness<'static, CruxscopeApp> {
    options.studies = vec![place.to_string_lossy().into_owned()];
    let mut harness = harness_of([1280.0, 820.0], Theme::Dark, options, false, None);
    for _ in 0..300 {
        harness.step();
        if harness.state().all_arrived() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    harness.run_ok();
    harness
}

/// Lets time pass, so that what is seen counts as a place.
fn stand_still(harness: &mut Harness<'_, CruxscopeApp>) {
    for _ in 0..40 {
        harness.step();
    }
}

#[test]
fn a_collection_opens_its_first_study_and_its_tour() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = opened(place.path(), StartupOptions::default());
    assert_eq!(harness.state().state().active, 0);
    harness.get_by_label_contains("Sample study, Sample-135M");
    harness.get_by_label("1 The last gate").click();
    harness.run_ok();
    assert_eq!(harness.state().state().active, 1, "the stop shows the second study");
    harness.get_by_label_contains("It matters most.");
    harness.key_press(Key::PageDown);
    harness.run_ok();
    assert_eq!(harness.state().state().view, ViewKind::Benchmarks);
    harness.get_by_label_contains("And what they lose.");
    harness.get_by_label_contains("Sample-135M, 3-bit RTN");
    harness.key_press(Key::PageDown);
    harness.run_ok();
    assert_eq!(harness.state().state().stop, Some(1), "the last stop is the last");
    harness.key_press(Key::Escape);
    harness.run_ok();
    assert_eq!(harness.state().state().stop, None);
}

#[test]
fn notes_are_the_presenters_and_stand_on_the_stage_by_a_key() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = opened(
        place.path(),
        StartupOptions {
            stop: Some(1),
            ..StartupOptions::default()
        },
    );
    let seen = |harness: &Harness<'_, CruxscopeApp>| super::painted::painted(harness).iter().any(|text| text.words.contains("wait for questions"));
    assert!(!seen(&harness), "they are not for readers");
    harness.key_press(Key::F);
    for _ in 0..6 {
        harness.step();
    }
    assert!(!seen(&harness));
    harness.key_press(Key::N);
    for _ in 0..3 {
        harness.step();
    }
    assert!(seen(&harness));
    harness.get_by_label_contains("Notes, next: Scores");
    harness.key_press(Key::N);
    for _ in 0..3 {
        harness.step();
    }
    assert!(!seen(&harness));
}

/// What the program carries: every stop of its tour shows a view with its words, and nothing is amiss.
#[test]
fn the_miniatures_tour_can_be_walked() {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies/miniature");
    let tour = Collection::from_json(&std::fs::read(place.join(COLLECTION_FILE)).unwrap()).unwrap().tour;
    let mut harness = opened(
        &place,
        StartupOptions {
            stop: Some(1),
            ..StartupOptions::default()
        },
    );
    for (position, stop) in tour.iter().enumerate() {
        assert_eq!(harness.state().state().stop, Some(position));
        assert_eq!(harness.state().state().view.name(), stop.seen["view"], "{}", stop.title);
        harness.get_all_by_label_contains(&stop.title).next().unwrap();
        if let Some(component) = stop.seen.get("component") {
            assert_eq!(
                harness.state().state().selected.map(|component| component.to_string()).as_ref(),
                Some(component)
            );
        }
        if let Some(experiment) = stop.seen.get("experiment") {
            assert_eq!(harness.state().state().results.experiment.as_ref(), Some(experiment));
        }
        assert!(harness.query_by_label_contains("could not").is_none(), "{}", stop.title);
        harness.key_press(Key::PageDown);
        harness.run_ok();
    }
    assert!(tour.len() >= 8);
}

#[test]
fn a_link_names_the_collection_and_leads_back_to_the_same_place() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = opened(place.path(), StartupOptions::default());
    harness.get_by_label("2 Scores").click();
    harness.run_ok();
    let link = crate::link::text(&harness.state().options().to_pairs());
    assert!(link.contains("view=benchmarks") && link.contains("stop=2"), "{link}");
    let pairs = crate::link::read(&link);
    let (options, complaints) = StartupOptions::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!(options.studies, [place.path().to_string_lossy()]);
    let again = opened(place.path(), options);
    assert_eq!(again.state().state().view, ViewKind::Benchmarks);
    assert_eq!(again.state().state().stop, Some(1));
    again.get_by_label_contains("And what they lose.");
}

#[test]
fn one_goes_back_and_forward() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = opened(place.path(), StartupOptions::default());
    stand_still(&mut harness);
    harness.key_press(Key::Num3);
    harness.run_ok();
    stand_still(&mut harness);
    harness.get_by_label_contains("Sample, compressed").click();
    harness.run_ok();
    stand_still(&mut harness);
    assert_eq!((harness.state().state().view, harness.state().state().active), (ViewKind::Ranking, 1));
    harness.key_press_modifiers(Modifiers::ALT, Key::ArrowLeft);
    harness.run_ok();
    assert_eq!((harness.state().state().view, harness.state().state().active), (ViewKind::Ranking, 0));
    stand_still(&mut harness);
    harness.key_press_modifiers(Modifiers::ALT, Key::ArrowLeft);
    harness.run_ok();
    assert_eq!(harness.state().state().view, ViewKind::Importance);
    harness.key_press_modifiers(Modifiers::ALT, Key::ArrowRight);
    harness.run_ok();
    harness.key_press_modifiers(Modifiers::ALT, Key::ArrowRight);
    harness.run_ok();
    assert_eq!((harness.state().state().view, harness.state().state().active), (ViewKind::Ranking, 1));
}

#[test]
fn the_list_of_commands_finds_and_carries_out() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = opened(place.path(), StartupOptions::default());
    harness.key_press_modifiers(Modifiers::COMMAND, Key::P);
    harness.run_ok();
    harness.event(egui::Event::Text("6_ga".into()));
    harness.run_ok();
    harness.get_by_role_and_label(egui::accesskit::Role::ListItem, "6_gate");
    harness.key_press(Key::Enter);
    harness.run_ok();
    assert_eq!(harness.state().state().palette, None);
    assert_eq!(
        harness.state().state().selected.map(|component| component.to_string()).as_deref(),
        Some("6_gate")
    );
    harness.key_press_modifiers(Modifiers::COMMAND, Key::P);
    harness.run_ok();
    harness.event(egui::Event::Text("view test-time".into()));
    harness.run_ok();
    harness.key_press(Key::Enter);
    harness.run_ok();
    assert_eq!(harness.state().state().view, ViewKind::TestTime);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::P);
    harness.run_ok();
    harness.key_press(Key::Escape);
    harness.run_ok();
    assert_eq!(harness.state().state().palette, None);
}

#[test]
fn a_view_is_added_to_the_tour_and_saved_with_it() {
    let place = tempfile::tempdir().unwrap();
    collection(place.path());
    let mut harness = opened(place.path(), StartupOptions::default());
    harness.key_press(Key::Num3);
    harness.run_ok();
    harness.key_press_modifiers(Modifiers::COMMAND, Key::P);
    harness.run_ok();
    harness.event(egui::Event::Text("add this view".into()));
    harness.run_ok();
    harness.key_press(Key::Enter);
    harness.run_ok();
    assert_eq!(harness.state().state().stop, Some(2));
    harness.get_by_label("Caption").click();
    harness.run_ok();
    harness.get_by_label("Caption").type_text("Every component in order.");
    harness.run_ok();
    harness.get_by_label("Save the tour").click();
    harness.run_ok();
    let file = place.path().join(COLLECTION_FILE);
    let read = || Collection::from_json(&std::fs::read(&file).unwrap()).unwrap();
    for _ in 0..200 {
        if read().tour.len() == 3 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let tour = read().tour;
    assert_eq!(tour.len(), 3);
    assert_eq!(tour[2].caption, "Every component in order.");
    assert_eq!(tour[2].seen.get("view").map(String::as_str), Some("ranking"));
    assert_eq!(
        tour[2].seen.get("show").map(String::as_str),
        Some("first"),
        "places are named as in the collection"
    );
}
