//! The method under both definitions from one pass: each study is what its own run gives, and a single departure changes what it should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside their functions

mod interpretation_support;

use std::path::{Path, PathBuf};

use cruxscope_run::definitions::{PlannedDefinitions, Variant};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::{Event, Observer, Silent};
use cruxscope_study::{Behaviour, Comparability, Definition, Study};
use interpretation_support::{Case, cases};
use serde_json::json;

/// Packing other rows beside does not change what a row gives by more than rounding.
const SAME: f64 = 1e-6;

/// The case's instances as files.
fn settings(case: &Case, folder: &Path, out: &str) -> InterpretSettings {
    let (mut traces, mut annotations) = (String::new(), String::new());
    for instance in &case.instances {
        traces += &format!("{}\n", json!({"id": instance.id, "input_ids": instance.ids}));
        let segments: Vec<_> = (instance.segments.iter())
            .map(|segment| json!({"label": segment.behaviour.name(), "start": segment.start, "last": segment.last}))
            .collect();
        annotations += &format!("{}\n", json!({"id": instance.id, "segments": segments}));
    }
    std::fs::write(folder.join("traces.jsonl"), traces).unwrap();
    std::fs::write(folder.join("annotations.jsonl"), annotations).unwrap();
    InterpretSettings {
        model: case.folder.clone(),
        traces: TraceSettings {
            traces: folder.join("traces.jsonl"),
            annotations: folder.join("annotations.jsonl"),
            definition: Definition::Paper,
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: None,
            max_tokens: None,
        },
        out: folder.join(out),
        device: "cpu".into(),
        weights: WeightsChoice::Automatic,
        device_memory: None,
        simulate_activations: false,
        channels: false,
        texts: false,
        title: None,
    }
}

fn difference(a: &Study, b: &Study) -> f64 {
    let behaviours = Behaviour::ALL.into_iter();
    behaviours
        .flat_map(|behaviour| {
            let [a, b] = [a, b].map(|study| study.importance.relative_of(behaviour));
            a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).collect::<Vec<f64>>()
        })
        .fold(0.0, f64::max)
}

fn of<'a>(studies: &'a [Study], name: &str) -> &'a Study {
    let place = Variant::ALL.iter().position(|variant| variant.name == name).unwrap();
    &studies[place]
}

/// Stops once an instance is finished.
struct StopAfterOne(bool);

impl Observer for StopAfterOne {
    fn event(&mut self, event: Event) {
        self.0 |= matches!(event, Event::Finished { .. });
    }

    fn stop(&self) -> bool {
        self.0
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn both_definitions_of_one_pass_are_those_of_runs_of_their_own() {
    for case in cases(true) {
        let folder = tempfile::tempdir().unwrap();
        let planned = PlannedDefinitions::new(settings(&case, folder.path(), "all"), &mut Silent).unwrap();
        let outcome = planned.run(&mut Silent).unwrap();
        for (name, definition) in [("paper", Definition::Paper), ("reference", Definition::Released)] {
            let mut alone = settings(&case, folder.path(), name);
            alone.traces.definition = definition;
            let alone = PlannedRun::new(alone, &mut Silent).unwrap().run(&mut Silent).unwrap().study;
            let found = of(&outcome.studies, name);
            let worst = difference(&alone, found);
            println!("{} {name}: relative importance within {worst:.1e}", case.name);
            assert!(worst < SAME, "{} {name}: {worst:.1e}", case.name);
            assert_eq!(found.manifest.segments, alone.manifest.segments);
            assert_eq!(found.manifest.definition, definition);
        }
        // Segments came in positions: there is nothing to parse or to look for.
        assert_eq!(difference(of(&outcome.studies, "paper"), of(&outcome.studies, "strict-sections")), 0.0);
        let changed = ["one-accumulator", "absolute-inside", "short-segments", "repeated-tokens"];
        for name in changed {
            let worst = difference(of(&outcome.studies, "paper"), of(&outcome.studies, name));
            assert!(worst > 1e-4, "{} {name} changes nothing", case.name);
            let known = Comparability::between(&of(&outcome.studies, "paper").manifest, &of(&outcome.studies, name).manifest);
            assert!(
                !known.differences.is_empty(),
                "a shift between {name} and the paper's formulas says what differs"
            );
        }
        let known = Comparability::between(&of(&outcome.studies, "paper").manifest, &of(&outcome.studies, "reference").manifest);
        assert!(!known.refusals.is_empty());
    }
}

#[test]
fn with_one_behaviour_and_one_segment_a_trace_some_departures_change_nothing() {
    let Some(mut case) = cases(true).into_iter().next() else { return };
    let folder = tempfile::tempdir().unwrap();
    case.instances.truncate(1);
    case.instances[0].segments.retain(|segment| segment.start >= 5);
    case.instances[0].segments.truncate(1);
    assert_eq!(case.instances[0].segments.len(), 1);
    let planned = PlannedDefinitions::new(settings(&case, folder.path(), "all"), &mut Silent).unwrap();
    let studies = planned.run(&mut Silent).unwrap().studies;
    // One behaviour: the sum over all is its own. One segment: the absolute value inside the sum is that of the sum.
    for name in ["one-accumulator", "absolute-inside"] {
        assert!(difference(of(&studies, "paper"), of(&studies, name)) < SAME, "{name}");
    }
    assert!(difference(of(&studies, "paper"), of(&studies, "short-segments")) > 1e-4);
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bytes() {
    let Some(case) = cases(true).into_iter().next() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = |out: &str, observer: &mut dyn Observer| PlannedDefinitions::new(settings(&case, folder.path(), out), observer).unwrap().run(observer);
    let whole = run("whole", &mut Silent).unwrap();
    assert!(!whole.was_complete);
    assert!(run("stopped", &mut StopAfterOne(false)).is_err() || case.instances.len() == 1);
    run("stopped", &mut Silent).unwrap();
    let [a, b] = ["whole", "stopped"].map(|out| files(&folder.path().join(out)));
    assert_eq!(a.len(), b.len());
    for ((path, first), (_, second)) in a.iter().zip(&b) {
        assert!(first == second, "{} differs", path.display());
    }
    assert!(run("whole", &mut Silent).unwrap().was_complete);
}
