//! Finished texts put together, and saved into the study of B.

use std::collections::BTreeMap;

use cruxscope_sensitivity::SensitivityError;
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{
    ComparedModel, Contributions, DIVERGENCE_FILE, DIVERGENCE_SCHEMA, Definition, Divergence, DivergenceFacts, MANIFEST_FILE, Manifest, Module, Program,
    SCHEMA_VERSION, Study, folder,
};
use serde_json::json;

use super::part::TextPart;
use super::{CompareText, PlannedCompare};
use crate::RunError;
use crate::manifest::model_entry;

impl PlannedCompare {
    /// The result out of the parts, all of which are there; texts in their order.
    pub(super) fn combine(&self, backend: String) -> Result<Divergence, RunError> {
        let layers = self.checkpoints[1].config().layers;
        let mut settings = BTreeMap::from([("run".to_owned(), json!(self.run_key()))]);
        if let CompareText::Annotated(traces) = &self.settings.text {
            settings.insert("definition".into(), json!(traces.definition));
        }
        let mut found = Divergence {
            facts: DivergenceFacts {
                schema: DIVERGENCE_SCHEMA,
                program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
                models: [0, 1].map(|side| ComparedModel {
                    name: self.checkpoints[side].name(),
                    files: self.model_files[side].clone(),
                }),
                data: self.data_files.clone(),
                behaviours: self.behaviours.clone(),
                texts: self.texts.iter().map(super::text::Text::entry).collect(),
                layers,
                caused: self.causes.clone(),
                devices: vec![backend],
                settings,
            },
            shares: vec![Vec::new(); self.causes.len()],
            ..Divergence::default()
        };
        for text in &self.texts {
            let path = self.part(text);
            let damaged = |why: &str| SensitivityError::Part {
                path: path.clone(),
                why: why.into(),
            };
            let part = TextPart::load(&path, &self.part_key(text))?.ok_or_else(|| damaged("it has disappeared"))?;
            if part.kl.len() != text.predictions()
                || part.shares.len() != self.causes.len()
                || part.shares.iter().any(|shares| shares.len() != layers * Module::ALL.len())
            {
                return Err(damaged("it has other shapes than this text").into());
            }
            found.kl.extend(part.kl);
            found.rank.extend(part.rank);
            for (all, own) in found.choices.iter_mut().zip(part.choices) {
                all.extend(own);
            }
            for (all, own) in found.losses.iter_mut().zip(part.losses) {
                all.extend(own);
            }
            found.behaviours.extend(&text.behaviours);
            found.ends.extend(&text.ends);
            for (all, own) in found.shares.iter_mut().zip(part.shares) {
                all.extend(own);
            }
        }
        found.check()?;
        Ok(found)
    }

    /// Saves the result into the study of B, which is made if there is none, and lets go of the parts.
    pub(super) fn save(&self, divergence: &Divergence) -> Result<(), RunError> {
        let out = self.out();
        if out.join(MANIFEST_FILE).is_file() {
            let study = folder::load_without_channels(out)?;
            divergence.fits(&study.manifest)?;
        } else {
            folder::save(&Study::new(self.manifest(), Contributions::default(), None)?, out)?;
        }
        folder::write_atomically(&out.join(DIVERGENCE_FILE), &divergence.to_bytes()?)?;
        // The file holds all that the parts gave; a leftover is only untidy.
        remove_parts(&self.parts());
        Ok(())
    }

    /// The manifest of a study that holds a comparison and no instance.
    fn manifest(&self) -> Manifest {
        let checkpoint = &self.checkpoints[1];
        Manifest {
            schema: SCHEMA_VERSION,
            title: checkpoint.name(),
            program: Program {
                name: "cruxscope".into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            definition: Definition::default(),
            model: model_entry(checkpoint, &self.model_files[1]),
            data: self.data_files.clone(),
            ..Manifest::default()
        }
    }
}
