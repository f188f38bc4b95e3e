//! The checkpoints under `architectures/` of the fixtures.

#![allow(dead_code)] // not every test reads all of it

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_checkpoint::{Checkpoint, CheckpointError};
use cruxscope_interpret::pass::Instance;
use cruxscope_interpret::segment::Segment;
use cruxscope_needs::fixtures_of;
use safetensors::SafeTensors;
use serde_json::Value;

/// A checkpoint with what is expected of it.
pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub expected: Value,
}

/// All of them that open; the others must be refused by name, as a person's mistake and not the program's.
pub fn cases() -> Vec<(Case, Arc<Checkpoint>)> {
    // A few are in this repository, so that something is compared where the fixtures are not.
    let roots = [Some(cruxscope_needs::root().join("tests/fixtures/architectures")), fixtures_of("architectures")];
    let mut folders: Vec<PathBuf> = Vec::new();
    for root in roots.into_iter().flatten() {
        let mut own: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        own.sort();
        folders.extend(own);
    }
    let mut open = Vec::new();
    for folder in folders.into_iter().filter(|folder| folder.join("config.json").is_file()) {
        let expected = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let config: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
        match Checkpoint::open(&folder) {
            Ok(checkpoint) => open.push((Case { name, folder, expected }, Arc::new(checkpoint))),
            Err(error) => {
                assert!(error.is_user_error(), "{name}: {error}");
                let family = config["model_type"].as_str().unwrap();
                let by_name = matches!(&error, CheckpointError::UnknownArchitecture { architecture, .. } if architecture == family);
                assert!(by_name || matches!(error, CheckpointError::Configuration { .. }), "{name}: {error}");
                println!("{name} is refused: {error}");
            }
        }
    }
    assert!(!open.is_empty(), "none of the folders opens");
    open
}

pub fn root_of(case: &Case) -> &Path {
    case.folder.parent().unwrap()
}

/// The windows of tokens.
pub fn windows(case: &Case) -> Vec<Vec<u32>> {
    let bytes = std::fs::read(root_of(case).join("tokens.safetensors")).unwrap();
    let arrays = SafeTensors::deserialize(&bytes).unwrap();
    let view = arrays.tensor("w").unwrap();
    let ids = view.data().as_chunks::<4>().0.iter().map(|id| i32::from_le_bytes(*id) as u32);
    ids.collect::<Vec<u32>>().chunks(view.shape()[1]).map(<[u32]>::to_vec).collect()
}

/// The annotated traces.
pub fn instances(case: &Case) -> Vec<Instance> {
    let lines = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(root_of(case).join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let annotations: BTreeMap<String, Value> = (lines("annotations.jsonl").into_iter())
        .map(|line| (line["id"].as_str().unwrap().to_string(), line["segments"].clone()))
        .collect();
    let traces = lines("traces.jsonl").into_iter().map(|line| {
        let id = line["id"].as_str().unwrap().to_string();
        let segments = annotations[&id].as_array().unwrap().iter().filter_map(|segment| {
            Some(Segment {
                behaviour: segment["label"].as_str()?.parse().ok()?,
                start: number(&segment["start"]),
                last: number(&segment["last"]),
            })
        });
        Instance {
            segments: segments.collect(),
            ids: line["input_ids"].as_array().unwrap().iter().map(|id| number(id) as u32).collect(),
            id,
        }
    });
    traces.collect()
}
