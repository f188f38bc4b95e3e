//! What is to be demonstrated, and where its parts stand.

use std::path::PathBuf;

use cruxscope_run::RunError;

use crate::{files, tour};

/// The file of the printed numbers.
pub const SUMMARY_FILE: &str = "summary.json";
/// The file of what was asked for.
const SETTINGS_FILE: &str = "demonstration.json";

/// What is to be demonstrated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demonstration {
    /// The folder.
    pub out: PathBuf,
    /// The device, by name.
    pub device: String,
    /// The seed of puzzles and random controls.
    pub seed: u64,
    /// Held-out puzzles of each kind.
    pub puzzles: usize,
    /// Traces of each kind that are interpreted.
    pub instances: usize,
    /// Random sets beside each chosen one.
    pub controls: usize,
}

impl Default for Demonstration {
    fn default() -> Self {
        Self {
            out: PathBuf::from("demo"),
            device: "cpu".into(),
            seed: 1,
            puzzles: 50,
            instances: 12,
            controls: 5,
        }
    }
}

impl Demonstration {
    /// Notes in the folder what is demonstrated there, so that another demonstration does not get mixed with it.
    pub(crate) fn claim(&self) -> Result<(), RunError> {
        files::create(&self.out)?;
        let settings = serde_json::json!({
            "seed": self.seed, "puzzles": self.puzzles, "instances": self.instances, "controls": self.controls,
            "version": env!("CARGO_PKG_VERSION")
        });
        let path = self.out.join(SETTINGS_FILE);
        match std::fs::read(&path).ok().map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok()) {
            Some(Some(found)) if found == settings => Ok(()),
            Some(found) => Err(RunError::Occupied {
                path: self.out.clone(),
                why: format!("a demonstration with {}", found.unwrap_or_default()),
            }),
            None => files::write_json(&path, &settings),
        }
    }

    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.out.join("models").join(name)
    }

    pub(crate) fn study(&self, name: &str) -> PathBuf {
        self.out.join(tour::study_place(name))
    }
}
