//! The whole method, end to end, on few puzzles: everything is written, the same seed gives the same bytes, and a run that was
//! stopped goes on.

#![allow(clippy::unwrap_used)] // helpers of tests, outside their functions

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use cruxscope_demonstration::{Demonstration, SUMMARY_FILE, Summary};
use cruxscope_interpret::InterpretError;
use cruxscope_run::{Event, Observer, RunError, Silent};
use cruxscope_study::{COLLECTION_FILE, Collection, RESULTS_FILE, Results, folder};

fn demonstration(out: &Path) -> Demonstration {
    Demonstration {
        out: out.to_owned(),
        puzzles: 10,
        instances: 4,
        controls: 1,
        ..Demonstration::default()
    }
}

/// The bytes of every file below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(place) = waiting.pop() {
        for entry in std::fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Says stop after so many events.
struct Impatient(Cell<usize>);

impl Observer for Impatient {
    fn event(&mut self, _: Event) {
        self.0.set(self.0.get().saturating_sub(1));
    }

    fn stop(&self) -> bool {
        self.0.get() == 0
    }
}

fn check(out: &Path, summary: &Summary) {
    let collection = Collection::from_json(&std::fs::read(out.join(COLLECTION_FILE)).unwrap()).unwrap();
    assert_eq!(collection.studies.len(), 18);
    for place in &collection.studies {
        let study = folder::load(&out.join(place)).unwrap();
        assert_eq!(study.manifest.instances.len(), 16, "{place}");
        assert!(study.importance.values().iter().any(|value| *value > 0.0), "{place}");
    }
    assert!(collection.tour.len() >= 8);
    let results = Results::from_json(&std::fs::read(out.join(RESULTS_FILE)).unwrap()).unwrap();
    // Two groups of recipes: this program's, others' (rules that choose the same one are left out), a uniform and a random one.
    let recipes = summary.recipes.len();
    assert!((8..=14).contains(&recipes), "{recipes}");
    // Five scores of each model, and three of what each of the 16 compressions took.
    assert_eq!(summary.rows.len(), 2 + 16 + 3 + 3 + recipes);
    assert_eq!(results.scores.len(), summary.rows.len() * 5 + 16 * 3);
    let foretold = summary.predicted_against_measured.unwrap();
    assert!(foretold.rank.n == 42 && foretold.rank.rho > 0.5, "{foretold:?}");
    for file in ["sensitivity.safetensors", "trial.json"] {
        assert!(out.join("studies/distilled").join(file).is_file(), "{file}");
    }
    assert!(out.join("studies/distilled/validation.json").is_file());
    assert!(out.join(SUMMARY_FILE).is_file());
    let [base, distilled] = ["base", "distilled"].map(|name| summary.row(name).unwrap());
    assert!(distilled.together.percent > base.together.percent + 20.0, "{base:?} {distilled:?}");
    assert_eq!(summary.annotator.same_labels, summary.annotator.sentences);
    assert!(summary.annotator.sentences > 20);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_a_stopped_run_goes_on() {
    let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let summary = demonstration(whole.path()).run(&mut Silent).unwrap();
    check(whole.path(), &summary);

    let other = Demonstration {
        seed: 2,
        ..demonstration(whole.path())
    }
    .run(&mut Silent)
    .unwrap_err();
    assert!(other.to_string().contains("already holds another study"), "{other}");

    let mut stops = 0;
    let again = loop {
        match demonstration(parts.path()).run(&mut Impatient(Cell::new(25 * (stops + 1)))) {
            Ok(summary) => break summary,
            Err(error) => assert!(matches!(error, RunError::Interpret(InterpretError::Cancelled)), "{error}"),
        }
        stops += 1;
        assert!(stops < 30, "it never ends");
    };
    assert!(stops > 1);
    assert_eq!(summary, again);
    let (whole, parts) = (files(whole.path()), files(parts.path()));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&whole), names(&parts));
    let differ: Vec<&String> = whole.keys().filter(|name| whole[*name] != parts[*name]).collect();
    assert!(differ.is_empty(), "{differ:?}");
}
