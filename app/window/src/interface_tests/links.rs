//! The link that follows the view, and leads back to it.

use cruxscope_study::ShiftView;
use cruxscope_study::test_data as samples;
use egui::Key;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use super::LAYERS;
use crate::{CruxscopeApp, StartupOptions};

/// What a window tells of its link, the last of it.
type Told = std::rc::Rc<std::cell::RefCell<Vec<(&'static str, String)>>>;

/// A window on studies that are opened from paths, which tells its link.
fn linked_harness(options: StartupOptions) -> (Harness<'static, CruxscopeApp>, Told) {
    let told = Told::default();
    let into = told.clone();
    let mut harness = Harness::builder().with_size([1280.0, 820.0]).with_max_steps(16).build_eframe(move |cc| {
        let tell = move |pairs: &[(&'static str, String)]| *into.borrow_mut() = pairs.to_vec();
        CruxscopeApp::new(cc, options).telling_its_link(tell)
    });
    for _ in 0..500 {
        harness.step();
        if harness.query_by_label_contains("of backtracking").is_some() && harness.state().all_arrived() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    (harness, told)
}

#[test]
fn the_link_follows_the_view_and_leads_back_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    for (name, study) in [("a", samples::study(LAYERS)), ("b", samples::compressed(LAYERS)), ("c", samples::study(LAYERS))] {
        cruxscope_study::folder::save(&study, &folder.path().join(name)).unwrap();
    }
    let options = StartupOptions {
        studies: vec![place("a"), place("b")],
        ..StartupOptions::default()
    };
    let (mut harness, told) = linked_harness(options);
    assert!(told.borrow().is_empty(), "a view as it was opened keeps its address: {told:?}");
    for key in [Key::Num2, Key::X, Key::S, Key::B, Key::V] {
        harness.key_press(key);
        harness.step();
    }
    for _ in 0..6 {
        harness.step();
    }
    let pairs = told.borrow().clone();
    let (linked, complaints) = StartupOptions::from_pairs(pairs.iter().map(|(key, value)| (*key, value.as_str())));
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!([&linked.from, &linked.to], [&Some(place("b")), &Some(place("a"))]);
    assert_eq!((linked.view.as_deref(), linked.shift), (Some("shift"), Some(ShiftView::Increases)));

    let (mut again, told_again) = linked_harness(linked.clone());
    again.get_by_label("A is Sample, compressed");
    again.get_by_label("B is Sample study");
    let (first, second) = (harness.state().state(), again.state().state());
    assert_eq!(
        (second.scale, second.behaviour, second.shift, second.selected),
        (first.scale, first.behaviour, first.shift, first.selected)
    );
    again.step();
    assert!(told_again.borrow().is_empty(), "{told_again:?}");
    assert_eq!(again.state().options(), linked);

    // A pair may be named without being listed; what is missing from the list is opened.
    let (third, _) = linked_harness(StartupOptions {
        view: Some("shift".into()),
        from: Some(place("c")),
        to: Some(place("b")),
        ..StartupOptions::default()
    });
    third.get_by_label("A is Sample study");
    third.get_by_label("B is Sample, compressed");
}

/// What the last frame put on the clipboard.
fn copied(harness: &Harness<'_, CruxscopeApp>) -> String {
    let commands = &harness.output().platform_output.commands;
    let text = commands.iter().find_map(|command| match command {
        egui::OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    });
    text.unwrap_or_default()
}

fn press_for_link(harness: &mut Harness<'_, CruxscopeApp>) -> String {
    // Only the press: what is copied stands in the output of its own frame.
    harness.event(egui::Event::Key {
        key: Key::L,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: egui::Modifiers::NONE,
    });
    harness.step();
    copied(harness)
}

#[test]
fn a_copied_link_has_an_address_and_leads_back_when_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    for (name, study) in [("a", samples::study(LAYERS)), ("b", samples::compressed(LAYERS))] {
        cruxscope_study::folder::save(&study, &folder.path().join(name)).unwrap();
    }
    let options = || StartupOptions {
        studies: vec![place("a"), place("b")],
        ..StartupOptions::default()
    };
    let (mut window, _) = linked_harness(options());
    window.key_press(Key::Num3);
    window.step();
    let link = press_for_link(&mut window);
    assert!(link.starts_with("cruxscope:#study="), "{link}");

    // On a page the whole address of the page stands before it.
    let into = options();
    let mut page = Harness::builder()
        .with_size([1280.0, 820.0])
        .with_max_steps(16)
        .build_eframe(move |cc| CruxscopeApp::new(cc, into).at_address("https://x.org/site/?renderer=webgl"));
    for _ in 0..500 {
        page.step();
        if page.query_by_label_contains("of backtracking").is_some() && page.state().all_arrived() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let on_page = press_for_link(&mut page);
    assert!(on_page.starts_with("https://x.org/site/?renderer=webgl#study="), "{on_page}");

    // Pasted elsewhere, where the same studies lie under other paths, the link shows the same.
    let elsewhere = link.replace(&folder.path().display().to_string(), "/no/such/machine");
    page.event(egui::Event::Paste(elsewhere));
    page.step();
    page.step();
    assert_eq!(page.state().state().view.name(), "ranking");
    assert_eq!(page.state().state().selected, window.state().state().selected);
    assert!(page.query_by_label_contains("Could not open").is_none());
}
