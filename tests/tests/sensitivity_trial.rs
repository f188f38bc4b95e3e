//! Recipes put to the proof on the tiny model: what is measured is what `compress` writes, an interrupted trial gives the same bytes, and
//! what does not belong together is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside their functions

use std::path::{Path, PathBuf};

use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::recipe::Recipe;
use cruxscope_needs::root;
use cruxscope_run::compress::{Basis, CompressSettings, compress};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use cruxscope_run::trial::{Contest, Entry, OpenTrial, Subject, TrialSettings};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, Silent};
use cruxscope_sensitivity::allocate::{Choice, Constraints};
use cruxscope_sensitivity::curve::{Curve, Target};
use cruxscope_sensitivity::menu::read_menu;
use cruxscope_sensitivity::recipe::recipe_of;
use cruxscope_sensitivity::rules::Rule;
use cruxscope_statistics::Bootstrap;
use cruxscope_study::{Scope, Sensitivity, TRIAL_FILE, Trial, folder};

fn tiny() -> PathBuf {
    root().join("tests/fixtures/tiny")
}

fn windows(first: usize) -> Calibration {
    Calibration {
        source: WindowSource::Traces {
            path: tiny().join("traces.jsonl"),
            length: 24,
        },
        windows: Some(first),
        seed: None,
    }
}

fn sketched(out: &Path, menu: &str) -> Sensitivity {
    let settings = SensitivitySettings {
        model: tiny().join("model"),
        text: SketchText::Windows(windows(6)),
        calibration: None,
        menu: read_menu(menu).unwrap(),
        candidates: Vec::new(),
        out: out.to_owned(),
        draws: 8,
        seed: 5,
        device: "cpu".into(),
        weights: WeightsChoice::Resident,
        device_memory: None,
        measure: false,
        gradient_score: true,
        changes: None,
    };
    PlannedSensitivity::new(settings, &mut Silent).unwrap().run(&mut Silent).unwrap().sensitivity
}

fn settings(study: &Path) -> TrialSettings {
    TrialSettings {
        model: tiny().join("model"),
        study: study.to_owned(),
        held_out: windows(4),
        calibration: None,
        candidates: Vec::new(),
        results: None,
        changes: None,
        simulate_activations: false,
        device: "cpu".into(),
    }
}

fn contest(sensitivity: &Sensitivity, bits: f64) -> Vec<Entry> {
    let weights = sensitivity.size(&vec![Some(0); sensitivity.facts.components()]).unwrap().1;
    let contest = Contest {
        group: format!("{bits} bits"),
        bits: bits * weights,
        scope: Scope::All,
        formats: None,
        rules: &Rule::ALL,
        importance: None,
        controls: 2,
        seed: 1,
    };
    contest.entries(sensitivity, None).unwrap()
}

#[test]
fn sensitivity_trial_measures_what_compress_writes() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    let sensitivity = sketched(&study, "rtn-3-g16,rtn-4-g16,rtn-6-g16");
    let curve = Curve::new(&sensitivity, Scope::All, Constraints::default(), Bootstrap::default()).unwrap();
    let choice = curve.allocate(Target::BitsPerWeight(6.4)).unwrap().choice;
    let made = folder.path().join("made");
    let recipe: Recipe = recipe_of(&sensitivity, &choice).unwrap().unwrap();
    let compressed = CompressSettings {
        model: tiny().join("model"),
        out: made.clone(),
        recipe,
        calibration: None,
        stored_as: StoredAs::Float32,
        packed: None,
        basis: Basis::Original,
    };
    compress(&compressed, &mut Silent).unwrap();
    let entry = |name: &str, subject| Entry {
        name: name.into(),
        group: "one".into(),
        rule: name.into(),
        subject,
    };
    let entries = vec![
        entry("recipe", Subject::Recipe(choice)),
        entry("checkpoint", Subject::Checkpoint(made)),
        entry("original", Subject::Recipe(vec![None; sensitivity.facts.components()])),
        entry("model", Subject::Checkpoint(tiny().join("model"))),
    ];
    let trial = OpenTrial::open(settings(&study), &mut Silent).unwrap().run(&entries, &mut Silent).unwrap();
    let [recipe, checkpoint, original, model] = trial.rows.as_slice() else {
        panic!("four rows")
    };
    // W + (W' - W) differs from W' in the last place.
    for (own, other) in recipe.windows.iter().zip(&checkpoint.windows) {
        assert!(
            (own.kl / other.kl - 1.0).abs() < 1e-3 && (own.loss - other.loss).abs() < 1e-3,
            "{own:?} {other:?}"
        );
    }
    assert!(recipe.kl().unwrap().value > 1e-4);
    assert!(original.windows == model.windows, "nothing changed");
    for (own, other) in original.windows.iter().zip(&trial.original) {
        assert!(own.kl.abs() < 1e-6 && own.loss == other.loss);
    }
    assert_eq!(Trial::from_json(&std::fs::read(study.join(TRIAL_FILE)).unwrap()).unwrap(), trial);
    folder::load(&study).unwrap();
}

/// Says stop once some recipes are finished.
struct Stop {
    asked: usize,
    after: usize,
}

impl Observer for Stop {
    fn event(&mut self, event: Event) {
        if let Event::Preparing { .. } = event {
            self.asked += 1;
        }
    }

    fn stop(&self) -> bool {
        self.asked >= self.after
    }
}

#[test]
fn sensitivity_trial_goes_on_where_it_was_stopped_and_covers_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    let sensitivity = sketched(&study, "rtn-3-g16,rtn-4-g16,gptq-4-g16,rtn-6-g16");
    let mut entries = contest(&sensitivity, 6.2);
    entries.extend(contest(&sensitivity, 7.0));
    let rules: Vec<&str> = entries.iter().map(|entry| entry.rule.as_str()).collect();
    for rule in [
        "allocate's estimate",
        "score x ratio",
        "first order of the loss",
        "predicted KL",
        "weight error",
        "imatrix-weighted error",
        "gradient score",
        "last MLPs",
        "uniform",
        "random",
    ] {
        assert!(rules.contains(&rule), "{rule} is missing of {rules:?}");
    }
    assert!(!rules.contains(&"most important"), "a study without instances has no importance");
    let calibrated = TrialSettings {
        calibration: Some(windows(6)),
        ..settings(&study)
    };
    let file = || std::fs::read(study.join(TRIAL_FILE)).unwrap();
    let whole = OpenTrial::open(calibrated.clone(), &mut Silent).unwrap().run(&entries, &mut Silent).unwrap();
    let bytes = file();
    std::fs::remove_file(study.join(TRIAL_FILE)).unwrap();
    for after in [3, 9, 5] {
        let stopped = OpenTrial::open(calibrated.clone(), &mut Silent)
            .unwrap()
            .run(&entries, &mut Stop { asked: 0, after });
        assert!(stopped.unwrap_err().to_string().contains("stopped on request"));
        assert!(!study.join(TRIAL_FILE).exists());
    }
    OpenTrial::open(calibrated.clone(), &mut Silent).unwrap().run(&entries, &mut Silent).unwrap();
    assert!(file() == bytes, "an interrupted trial gave other bytes");
    // Rows of an earlier trial are not measured again: an observer that would stop at the first step is never asked.
    let again = OpenTrial::open(calibrated, &mut Silent).unwrap();
    assert_eq!(again.run(&entries[..3], &mut Stop { asked: 0, after: 0 }).unwrap().rows, whole.rows[..3]);
    for group in whole.groups() {
        let best = whole.best(group).unwrap();
        println!("{group}: {} {:?}", best.name, best.kl());
    }
}

#[test]
fn sensitivity_trial_refuses_what_does_not_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    let refused = |settings: TrialSettings, said: &str| {
        let error = OpenTrial::open(settings, &mut Silent).err().unwrap();
        assert!(error.is_user_error() && error.to_string().contains(said), "\"{said}\" is not in: {error}");
    };
    refused(settings(&study), "study");
    sketched(&study, "rtn-3-g16,gptq-4-g16");
    refused(settings(&study), "give the text that calibrated it");
    let other = TrialSettings {
        calibration: Some(windows(3)),
        ..settings(&study)
    };
    refused(other, "not those of the sketch");
    let surplus = TrialSettings {
        calibration: Some(windows(6)),
        candidates: vec![tiny().join("model")],
        ..settings(&study)
    };
    refused(surplus, "0 candidates, and 1");
}

#[test]
fn sensitivity_second_rounds_keep_to_the_size_and_never_make_it_worse_on_their_text() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    let sensitivity = sketched(&study, "rtn-3-g16,rtn-4-g16,rtn-6-g16");
    let components = sensitivity.facts.components();
    let bits = |choice: &Choice| sensitivity.size(choice).unwrap();
    // It begins at a bad recipe, one of random places, and goes towards what the rules choose.
    let entries = contest(&sensitivity, 6.2);
    let choice_of = |rule: &str| {
        entries.iter().find_map(|entry| match &entry.subject {
            Subject::Recipe(choice) if entry.rule == rule => Some(choice.clone()),
            _ => None,
        })
    };
    let from = choice_of("random").unwrap();
    let others: Vec<Choice> = ["gradient score", "allocate's estimate"].iter().filter_map(|rule| choice_of(rule)).collect();
    assert_eq!(others.len(), 2);
    let trial = |out: &str| {
        let settings = TrialSettings {
            results: Some(folder.path().join(out)),
            ..settings(&study)
        };
        OpenTrial::open(settings, &mut Silent).unwrap()
    };
    let found = trial("whole").second_round(&from, &others, &mut Silent).unwrap();
    assert!(found.after < found.before, "a random recipe can be mended: {found:?}");
    assert!(bits(&found.choice).0 <= bits(&from).0 * (1.0 + 1e-9));
    assert_eq!(found.changed, (0..components).filter(|place| found.choice[*place] != from[*place]).count());
    // What it says of its recipe is what a trial measures.
    let entry = Entry {
        name: "second round".into(),
        group: "one".into(),
        rule: "second round".into(),
        subject: Subject::Recipe(found.choice.clone()),
    };
    let measured = trial("measured").run(&[entry], &mut Silent).unwrap();
    assert!((measured.rows[0].kl().unwrap().value - found.after).abs() < 1e-12);
    // Stopped anywhere it goes on to the same recipe.
    for after in [1, 6, 11] {
        let stopped = trial("parts").second_round(&from, &others, &mut Stop { asked: 0, after });
        assert!(stopped.is_err_and(|error| error.to_string().contains("stopped on request")));
    }
    assert_eq!(trial("parts").second_round(&from, &others, &mut Silent).unwrap(), found);
    // Nothing to go towards: nothing changes.
    let stays = trial("whole").second_round(&from, &[], &mut Silent).unwrap();
    assert_eq!((stays.choice, stays.changed, stays.after), (from, 0, found.before));
}
