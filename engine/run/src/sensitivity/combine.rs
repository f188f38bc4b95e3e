//! Finished windows put together into the sketch, and the sketch into a study.

use std::collections::{BTreeMap, BTreeSet};

use cruxscope_sensitivity::SensitivityError;
use cruxscope_sensitivity::outputs;
use cruxscope_sensitivity::part::WindowPart;
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{
    Contributions, Definition, Errors, MANIFEST_FILE, Manifest, MeasuredDivergence, Module, Program, SENSITIVITY_FILE, ScopeSketch, Sensitivity,
    SensitivityFacts, Study, folder,
};
use serde_json::json;

use super::{PlannedSensitivity, SketchText};
use crate::RunError;
use crate::manifest::{model_entry, modules_of, weights_of};

impl PlannedSensitivity {
    /// The sketch out of the parts, all of which are there; windows in their order, whoever computed them.
    pub(super) fn combine(&self, measured: Vec<Vec<MeasuredDivergence>>) -> Result<Sensitivity, RunError> {
        let config = self.checkpoint.config();
        let cells = config.layers * Module::ALL.len() * self.menu.formats();
        let mut scopes: Vec<ScopeSketch> = vec![ScopeSketch::default(); self.scopes.len()];
        let mut input_error = vec![0.0; cells];
        let mut gradient_error = vec![0.0; if self.settings.gradient_score { cells } else { 0 }];
        let mut first_order = gradient_error.clone();
        let mut backends = BTreeSet::new();
        let mut tokens = 0.0;
        for window in &self.windows {
            let path = self.part(window);
            let damaged = |why: &str| SensitivityError::Part {
                path: path.clone(),
                why: why.into(),
            };
            let (part, backend) = WindowPart::load(&path, &self.part_key(window))?.ok_or_else(|| damaged("it has disappeared"))?;
            if part.input_error.len() != cells
                || part.gradient_error.len() != gradient_error.len()
                || part.first_order.len() != first_order.len()
                || part.scopes.len() != scopes.len()
            {
                return Err(damaged("it has other shapes than this menu").into());
            }
            for (sketch, own) in scopes.iter_mut().zip(part.scopes) {
                sketch.sketch.extend(own.sketch);
                sketch.score.extend(own.score);
                sketch.outputs.extend(own.outputs);
                sketch.positions.push(own.positions);
            }
            for (sum, own) in input_error.iter_mut().zip(&part.input_error) {
                *sum += own;
            }
            for (sum, own) in gradient_error.iter_mut().zip(&part.gradient_error) {
                *sum += own;
            }
            for (sum, own) in first_order.iter_mut().zip(&part.first_order) {
                *sum += own;
            }
            tokens += f64::from(part.tokens);
            backends.insert(backend);
        }
        input_error.iter_mut().for_each(|sum| *sum /= tokens.max(1.0));
        let (mut formats, bits) = self.menu.describe(config)?;
        for (format, measured) in formats.iter_mut().zip(measured) {
            format.measured = measured;
        }
        let mut settings = BTreeMap::from([("run".to_owned(), json!(self.run_key())), ("menu".to_owned(), json!(self.menu.key()))]);
        if let SketchText::Traces(traces) = &self.settings.text {
            settings.insert("definition".into(), json!(traces.definition));
        }
        let weights = weights_of(config);
        let sensitivity = Sensitivity {
            facts: SensitivityFacts {
                schema: SensitivityFacts::schema_for(&weights),
                program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
                model: self.checkpoint.name(),
                model_files: self.model_files.clone(),
                layers: config.layers,
                modules: modules_of(config),
                weights,
                data: self.data_files.clone(),
                windows: self.windows.iter().map(|window| window.id.clone()).collect(),
                draws: self.settings.draws,
                seed: self.settings.seed,
                scopes: self.scopes.clone(),
                formats,
                devices: backends.into_iter().collect(),
                settings,
            },
            scopes,
            bits,
            errors: Errors {
                weight: self.weight_errors()?,
                input: input_error,
                gradient: gradient_error,
                first_order: first_order.into_iter().map(f64::abs).collect(),
            },
        };
        sensitivity.check()?;
        Ok(sensitivity)
    }

    /// Sum of D_ij^2 for every component and format, `[components, formats]`.
    fn weight_errors(&self) -> Result<Vec<f64>, RunError> {
        let mut errors = Vec::new();
        for layer in 0..self.checkpoint.config().layers {
            let (changes, modules) = (
                self.menu.changes(&self.checkpoint, layer, &self.changes_folder()?)?,
                outputs::modules_of(self.checkpoint.config(), layer),
            );
            for module in Module::ALL {
                for format in &changes {
                    let of_module = format.iter().zip(&modules).filter(|(_, own)| **own == Some(module));
                    let values = of_module.flat_map(|(change, _)| change.as_ref().map_or(&[][..], |change| &change.values));
                    errors.push(values.map(|value| f64::from(*value).powi(2)).sum());
                }
            }
        }
        Ok(errors)
    }

    /// Saves the sketch into the study of its model, which is made if there is none, and lets go of the parts.
    pub(super) fn save(&self, sensitivity: &Sensitivity) -> Result<(), RunError> {
        let out = &self.settings.out;
        if out.join(MANIFEST_FILE).is_file() {
            let study = folder::load_without_channels(out)?;
            sensitivity.fits(&study.manifest)?;
        } else {
            folder::save(&Study::new(self.manifest(), Contributions::default(), None)?, out)?;
        }
        folder::write_atomically(&out.join(SENSITIVITY_FILE), &sensitivity.to_bytes()?)?;
        // The sketch holds all that the parts gave; a leftover is only untidy.
        remove_parts(&self.parts());
        Ok(())
    }

    /// The manifest of a study that holds a sketch and no instance.
    fn manifest(&self) -> Manifest {
        let model = model_entry(&self.checkpoint, &self.model_files);
        Manifest {
            schema: Manifest::schema_for(&model),
            title: self.checkpoint.name(),
            program: Program {
                name: "cruxscope".into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            definition: Definition::default(),
            model,
            data: self.data_files.clone(),
            ..Manifest::default()
        }
    }
}
