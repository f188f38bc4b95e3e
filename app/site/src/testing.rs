//! A small study for the tests of this program.

use cruxscope_study::{Contributions, InstanceContribution, InstanceEntry, Manifest, ModelEntry, ModuleDimensions, SegmentCounts, Study};

const LAYERS: usize = 3;

/// A study of three layers and two instances; nobody gives an example in it, so that one behaviour has no numbers.
pub fn study(title: &str) -> Study {
    let instance = |seed: usize| InstanceContribution {
        values: (0..4 * LAYERS * 7)
            .map(|i| if i / (LAYERS * 7) == 2 { 0.0 } else { ((i * 31 + seed * 17) % 23) as f64 })
            .collect(),
        weights: [1.0, 1.0, 0.0, 1.0],
    };
    let entry = |id: &str| InstanceEntry {
        id: id.into(),
        tokens: 1200,
        segments: [2, 1, 0, 3],
        ..InstanceEntry::default()
    };
    let counts = |used| SegmentCounts {
        instances: if used > 0 { 2 } else { 0 },
        used,
        dropped: 1,
    };
    let manifest = Manifest {
        schema: 1,
        title: title.into(),
        model: ModelEntry {
            name: "Tiny & <small>".into(),
            architecture: "llama".into(),
            layers: LAYERS,
            modules: vec![ModuleDimensions { outputs: 8, inputs: 8 }; 7],
            parts: None,
            parameters: 1_000_000,
            ..ModelEntry::default()
        },
        instances: vec![entry("1"), entry("2")],
        segments: [counts(4), counts(2), counts(0), counts(6)],
        ..Manifest::default()
    };
    let contributions = Contributions {
        instances: vec![instance(1), instance(2)],
    };
    Study::new(manifest, contributions, None).unwrap()
}
