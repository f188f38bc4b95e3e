//! Studies that somebody broke, or made to break a reader: each is read or refused with words, never a panic, never a number
//! that is none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cruxscope_study::{
    ARRAYS_FILE, Behaviour, Bootstrap, CHANNELS_FILE, ChannelMaps, Collection, Comparison, Component, CompressionMap, Contributions, DifferenceKind, Digest,
    InstanceContribution, InstanceEntry, MANIFEST_FILE, Manifest, ModelEntry, Module, ModuleDimensions, Results, SegmentCounts, Study, Validation,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const LAYERS: usize = 2;

/// The files of a small study, the manifest apart.
static FILES: LazyLock<(Value, BTreeMap<String, Vec<u8>>)> = LazyLock::new(|| {
    let instance = |seed: usize| InstanceContribution {
        values: (0..4 * LAYERS * 7).map(|i| ((i * 31 + seed * 17) % 23) as f64 - 5.0).collect(),
        weights: [1.0; 4],
    };
    let entry = |id: &str| InstanceEntry {
        id: id.into(),
        tokens: 100,
        segments: [1; 4],
        ..InstanceEntry::default()
    };
    let counts = SegmentCounts {
        instances: 2,
        used: 2,
        dropped: 1,
    };
    let manifest = Manifest {
        schema: 1,
        title: "Small".into(),
        model: ModelEntry {
            name: "small".into(),
            layers: LAYERS,
            modules: vec![ModuleDimensions { outputs: 3, inputs: 3 }; 7],
            ..ModelEntry::default()
        },
        instances: vec![entry("1"), entry("2")],
        segments: [counts; 4],
        ..Manifest::default()
    };
    let channels = ChannelMaps {
        channels: [3; 7],
        values: vec![vec![vec![0.5; 3 * LAYERS]; 7]; 4],
        parts: Vec::new(),
    };
    let contributions = Contributions {
        instances: vec![instance(1), instance(2)],
    };
    let study = Study::new(manifest, contributions, Some(channels)).unwrap();
    let mut files: BTreeMap<String, Vec<u8>> = study.to_files().unwrap().into_iter().collect();
    let manifest = serde_json::from_slice(&files.remove(MANIFEST_FILE).unwrap()).unwrap();
    (manifest, files)
});

/// Reads a study, and if that works uses everything.
fn exercise(manifest: &[u8], files: &BTreeMap<String, Vec<u8>>) {
    let Ok(manifest) = Manifest::from_json(manifest) else { return };
    let _ = (manifest.tokens(), manifest.segments_used(), manifest.digest());
    let Ok(study) = Study::from_files(manifest, files) else { return };
    assert!(study.importance.relative().iter().all(|share| (0.0..=1.0 + 1e-9).contains(share)));
    for behaviour in Behaviour::ALL {
        let _ = study.contributions.stability(study.importance.layers(), behaviour, &Bootstrap::default());
    }
    let _ = Comparison::between(&study, &study, &DifferenceKind::ALL);
    for module in Module::ALL {
        let _ = study.channels.as_ref().and_then(|channels| channels.of(Behaviour::Backtracking, 9, module));
    }
}

/// What somebody may write where something else is expected.
fn hostile() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(u64::MAX)),
        Just(json!(1e308)),
        Just(json!(-0.5)),
        Just(json!("<script>alert(1)</script>")),
        Just(json!("../../../etc/passwd")),
        Just(json!("\u{202e}\u{0}\n")),
        Just(json!("NaN")),
        Just(json!([[[[[[[[[]]]]]]]]])),
        Just(json!({"": {"": {}}})),
        Just(json!("x".repeat(100_000))),
        any::<f64>().prop_map(|number| json!(number)),
        any::<u32>().prop_map(|number| json!(number)),
        ".*".prop_map(Value::String),
    ]
}

/// Puts a value somewhere into a document: at the place that `way` leads to.
fn put(document: &mut Value, way: &[u8], value: Value) {
    let child = way.first().and_then(|step| {
        let place = usize::from(*step);
        match document {
            Value::Array(items) => {
                let number = items.len().max(1);
                items.get_mut(place % number)
            }
            Value::Object(entries) => {
                let number = entries.len().max(1);
                entries.values_mut().nth(place % number)
            }
            _ => None,
        }
    });
    match child {
        Some(child) => put(child, &way[1..], value),
        None => *document = value,
    }
}

/// A good file of each kind that may lie beside a study.
fn beside(file: usize) -> Value {
    let components = |more: Value| -> Vec<Value> {
        let named = Component::all(LAYERS).map(|component| {
            let mut entry = more.clone();
            entry["component"] = json!(component.to_string());
            entry
        });
        named.collect()
    };
    match file {
        0 => json!({"schema": 1, "title": "r", "source": "s", "scores": [{
            "model": "m", "benchmark": "b", "metric": "accuracy", "unit": "%", "value": 40.0, "interval": [30.0, 50.0], "questions": 30,
            "outputs": [{"id": "q", "pass": 1, "score": 1.0, "length": 9}],
        }]}),
        1 => {
            json!({"schema": 1, "title": "c", "studies": ["a", "b/c"], "results": ["results.json"], "tour": [{"title": "t", "caption": "c", "seen": {"view": "shift"}}]})
        }
        2 => json!({"program": "p", "treatment": {}, "data": {"name": "t", "bytes": 1, "sha256": "0"}, "model_files": [], "predictions": 9, "perplexity": 6.0,
            "components": components(json!({"divergence": 0.1, "perplexity": 6.1}))}),
        _ => json!({"program": "p", "model": "m", "summary": "s", "components": components(json!({"bits": 4.5, "weight_error": 0.01}))}),
    }
}

#[test]
fn the_good_files_are_read() {
    let bytes = |file| serde_json::to_vec(&beside(file)).unwrap();
    assert!(Results::from_json(&bytes(0)).is_ok());
    assert!(Collection::from_json(&bytes(1)).is_ok());
    assert!(Validation::from_json(&bytes(2), LAYERS).is_ok());
    assert!(CompressionMap::from_json(&bytes(3), LAYERS).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_manifest_with_anything_anywhere(changes in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..5), hostile()), 1..4)) {
        let (manifest, files) = &*FILES;
        let mut manifest = manifest.clone();
        for (way, value) in changes {
            put(&mut manifest, &way, value);
        }
        exercise(&serde_json::to_vec(&manifest).unwrap(), files);
    }

    #[test]
    fn a_manifest_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(&bytes, &FILES.1);
    }

    #[test]
    fn arrays_that_were_changed_on_purpose(
        file in prop::sample::select(vec![ARRAYS_FILE, CHANNELS_FILE]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (mut manifest, mut files) = FILES.clone();
        let bytes = files.get_mut(file).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            let length = cut.index(bytes.len());
            bytes.truncate(length);
        }
        // Whoever means harm makes the digest fit.
        let digest = Digest::of(bytes);
        for entry in manifest["arrays"].as_array_mut().unwrap() {
            if entry["file"] == file {
                entry["sha256"] = json!(digest.0);
            }
        }
        exercise(&serde_json::to_vec(&manifest).unwrap(), &files);
    }

    #[test]
    fn files_beside_a_study_with_anything_anywhere(
        file in 0..4_usize,
        changes in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..5), hostile()), 0..4),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut document = beside(file);
        for (way, value) in changes {
            put(&mut document, &way, value);
        }
        for bytes in [serde_json::to_vec(&document).unwrap(), bytes] {
            if let Ok(results) = Results::from_json(&bytes) {
                let numbers = results.scores.iter().flat_map(|score| score.interval.into_iter().flatten().chain([score.value]));
                assert!(numbers.into_iter().all(f64::is_finite));
                let _ = results.experiments();
            }
            if let Ok(collection) = Collection::from_json(&bytes) {
                assert!(collection.studies.iter().chain(&collection.results).all(|place| !place.contains("..")));
            }
            let _ = Validation::from_json(&bytes, LAYERS);
            let _ = CompressionMap::from_json(&bytes, LAYERS);
        }
    }

    #[test]
    fn importance_of_any_size(scale in any::<f64>()) {
        let (manifest, files) = &*FILES;
        let manifest = Manifest::from_json(&serde_json::to_vec(manifest).unwrap()).unwrap();
        let mut study = Study::from_files(manifest, files).unwrap();
        for instance in &mut study.contributions.instances {
            instance.values.iter_mut().for_each(|value| *value *= scale);
        }
        if let Ok(study) = Study::new(study.manifest, study.contributions, None) {
            let mut files: BTreeMap<_, _> = study.to_files().unwrap().into_iter().collect();
            let manifest = files.remove(MANIFEST_FILE).unwrap();
            exercise(&manifest, &files);
        }
    }
}

#[test]
fn a_page_instead_of_a_manifest_is_said_to_be_no_study() {
    let error = Manifest::from_json(b"<!doctype html><html>Not found</html>").unwrap_err().to_string();
    assert!(error.contains("study.json") && error.contains("not a file of a study"), "{error}");
}

#[test]
fn texts_without_an_end_are_refused() {
    let mut manifest = FILES.0.clone();
    manifest["title"] = json!("x".repeat(100_000));
    let error = Manifest::from_json(&serde_json::to_vec(&manifest).unwrap()).unwrap_err().to_string();
    assert!(error.contains("title"), "{error}");
}
