//! Studies of a real model's size with random contributions: how long comparing takes can be measured without running a model. Their
//! numbers mean nothing.

use std::path::Path;

use cruxscope_statistics::SplitMix;
use cruxscope_study::{
    Behaviour, Contributions, Definition, Digest, FileDigest, InstanceContribution, InstanceEntry, Manifest, ModelEntry, Module, ModuleDimensions, Program,
    SCHEMA_VERSION, SegmentCounts, Study, folder,
};

use crate::RunError;

/// Writes a pair of studies of the same instances, as of a model and its compressed form, into `out/a` and `out/b`.
///
/// # Errors
/// When the disk refuses.
pub fn write_pair(instances: usize, layers: usize, seed: u64, out: &Path) -> Result<(), RunError> {
    for (name, change) in [("a", 0.0), ("b", 0.3)] {
        folder::save(&study(name, change, [instances, layers], seed)?, &out.join(name))?;
    }
    Ok(())
}

/// Contributions are even between 0 and 1, from the same stream for both studies; B's are changed by up to a share of that.
fn study(name: &str, change: f64, [instances, layers]: [usize; 2], seed: u64) -> Result<Study, RunError> {
    let mut values = SplitMix::new(seed);
    let mut changes = SplitMix::new(seed.wrapping_add(1));
    let length = Behaviour::ALL.len() * layers * Module::ALL.len();
    let contribution = |_| InstanceContribution {
        values: (0..length).map(|_| values.share() * (1.0 + change * (2.0 * changes.share() - 1.0))).collect(),
        weights: [1.0; 4],
    };
    let contributions = Contributions {
        instances: (0..instances).map(contribution).collect(),
    };
    let dimensions = |outputs, inputs| ModuleDimensions { outputs, inputs };
    let counts = SegmentCounts {
        instances,
        used: instances,
        dropped: 0,
    };
    let manifest = Manifest {
        schema: SCHEMA_VERSION,
        title: format!("Synthetic study {name}"),
        program: Program {
            name: "cruxscope".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        definition: Definition::Paper,
        model: ModelEntry {
            name: format!("synthetic-{name}"),
            architecture: "llama".into(),
            layers,
            modules: vec![
                dimensions(32, 32),
                dimensions(16, 32),
                dimensions(16, 32),
                dimensions(32, 32),
                dimensions(96, 32),
                dimensions(96, 32),
                dimensions(32, 96),
            ],
            files: vec![FileDigest {
                name: name.into(),
                bytes: 0,
                sha256: Digest::of(name.as_bytes()),
            }],
            basis: "original".into(),
            ..ModelEntry::default()
        },
        segments: [counts; 4],
        instances: (0..instances)
            .map(|number| InstanceEntry {
                id: format!("instance/{number:06}"),
                tokens: 1000,
                segments: [1; 4],
                ..InstanceEntry::default()
            })
            .collect(),
        ..Manifest::default()
    };
    Ok(Study::new(manifest, contributions, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_can_be_compared_and_differs() {
        let folder = tempfile::tempdir().unwrap();
        write_pair(5, 2, 1, folder.path()).unwrap();
        let [a, b] = ["a", "b"].map(|name| folder::load(&folder.path().join(name)).unwrap());
        let comparison = cruxscope_study::Comparison::between(&a, &b, &[]).unwrap();
        assert_eq!(comparison.shared_instances(), 5);
        assert!(comparison.from(None) != comparison.to(None));
    }
}
