//! What is to be demonstrated, and where its parts stand.

use std::path::PathBuf;

use cruxscope_model::device;
use cruxscope_run::RunError;
use cruxscope_study::OutputLock;
use cruxscope_study::files::is_temporary;

use crate::{files, tour};

/// The file of the printed numbers.
pub const SUMMARY_FILE: &str = "summary.json";
/// The file of what was asked for.
const SETTINGS_FILE: &str = "demonstration.json";
/// The folder of models.
const MODELS: &str = "models";
/// How the names of models begin that are being taken away.
const REMOVED: &str = ".removed-";

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
    /// Notes in the folder what is demonstrated there, so that another demonstration does not get mixed with it, and collects what a
    /// killed run left. Whoever calls this has the folder's lock.
    pub(crate) fn claim(&self) -> Result<(), RunError> {
        let settings = serde_json::json!({
            "seed": self.seed, "puzzles": self.puzzles, "instances": self.instances, "controls": self.controls,
            "version": env!("CARGO_PKG_VERSION"), "arithmetic": device::arithmetic(&self.device)
        });
        let path = self.out.join(SETTINGS_FILE);
        let occupied = |why: String| RunError::Occupied { path: self.out.clone(), why };
        match std::fs::read(&path).ok().map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok()) {
            Some(Some(found)) if found == settings => self.collect_removed(),
            Some(found) => Err(occupied(format!("a demonstration with {}", found.unwrap_or_default()))),
            None => match files::names(&self.out)?
                .iter()
                .find(|name| !is_temporary(name) && !OutputLock::is_of_folder(name))
            {
                Some(name) => Err(occupied(format!("{name}, which no demonstration put there"))),
                None => files::write_json(&path, &settings),
            },
        }
    }

    /// Takes a model away in one step, so that a run that is killed meanwhile leaves no half of it under its name.
    pub(crate) fn remove_model(&self, name: &str) -> Result<(), RunError> {
        let (model, aside) = (self.model(name), self.model(&format!("{REMOVED}{name}")));
        if !model.exists() {
            return Ok(());
        }
        std::fs::rename(&model, &aside).map_err(|source| RunError::Io {
            attempt: "remove",
            path: model,
            source,
        })?;
        // What is left over is collected by the next run.
        std::fs::remove_dir_all(&aside).ok();
        Ok(())
    }

    /// Takes away what a run was taking away when it was killed.
    fn collect_removed(&self) -> Result<(), RunError> {
        let models = self.out.join(MODELS);
        if models.is_dir() {
            for name in files::names(&models)?.iter().filter(|name| name.starts_with(REMOVED)) {
                std::fs::remove_dir_all(models.join(name)).ok();
            }
        }
        Ok(())
    }

    /// The file of what a model answered.
    pub(crate) fn answers(&self, name: &str) -> PathBuf {
        self.out.join("answers").join(format!("{name}.json"))
    }

    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.out.join(MODELS).join(name)
    }

    pub(crate) fn study(&self, name: &str) -> PathBuf {
        self.out.join(tour::study_place(name))
    }
}
