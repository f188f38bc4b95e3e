//! Steps carried out, each by the pipeline that it belongs to.

use std::path::PathBuf;

use cruxscope_model::decoder::Residence;
use cruxscope_study::{Definition, Positions};

use super::{DRAWS, Reproduction, Step, Subject, VALIDATION_WINDOWS, steps};
use crate::compare::{CompareSettings, CompareText, PlannedCompare};
use crate::compress::{Basis, CompressSettings, Compression};
use crate::interpret::{InterpretSettings, PlannedRun};
use crate::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use crate::validate::{ValidateSettings, validate};
use crate::windows::Calibration;
use crate::{Observer, RunError};

impl Reproduction {
    pub(super) fn model(&self, subject: &Subject) -> PathBuf {
        match subject {
            Subject::Original => self.settings.model.clone(),
            // Steps of the base model are there only where it is.
            Subject::Base => self.settings.base.clone().unwrap_or_default(),
            Subject::Compressed(name) => self.settings.out.join("models").join(name),
        }
    }

    pub(super) fn study(&self, name: &str) -> PathBuf {
        self.settings.out.join("studies").join(name)
    }

    pub(super) fn take(&self, step: &Step, observer: &mut dyn Observer) -> Result<(), RunError> {
        let settings = &self.settings;
        match step {
            Step::Interpret { subject, definition, study } => {
                let is_original = *subject == Subject::Original && *definition == Definition::Paper;
                let interpretation = InterpretSettings {
                    model: self.model(subject),
                    traces: settings.traces(*definition),
                    out: self.study(study),
                    device: settings.device.clone(),
                    weights: settings.weights,
                    device_memory: None,
                    simulate_activations: false,
                    channels: false,
                    texts: is_original,
                    title: Some(step.title()),
                };
                PlannedRun::new(interpretation, observer)?.run(observer)?;
            }
            Step::Compress { name, recipe, .. } => {
                let out = self.model(&Subject::Compressed(name.clone()));
                let compression = CompressSettings {
                    model: settings.model.clone(),
                    out,
                    recipe: recipe.clone(),
                    calibration: Some(settings.calibration.clone()),
                    stored_as: settings.stored_as,
                    packed: None,
                    basis: Basis::Original,
                };
                Compression::prepare_on(&compression, &settings.device)?.run(observer)?;
            }
            Step::Compare { name, causes } => {
                let compare = CompareSettings {
                    a: settings.model.clone(),
                    b: self.model(&Subject::Compressed(name.clone())),
                    text: CompareText::Annotated(settings.traces(Definition::Paper)),
                    out: self.study(name),
                    causes: if *causes { vec![Positions::All, Positions::Parted] } else { Vec::new() },
                    generate: None,
                    simulate_activations: false,
                    device: settings.device.clone(),
                    weights: settings.weights,
                };
                PlannedCompare::new(compare, observer)?.run(observer)?;
            }
            Step::Validate => {
                let text = Calibration {
                    windows: Some(settings.calibration.windows.unwrap_or(VALIDATION_WINDOWS).min(VALIDATION_WINDOWS)),
                    ..settings.calibration.clone()
                };
                let validation = ValidateSettings {
                    study: self.study("original"),
                    model: settings.model.clone(),
                    treatment: steps::rounding(3, settings.group_size)?,
                    text,
                    calibration: None,
                    residence: Residence::Resident,
                    device: settings.device.clone(),
                };
                validate(&validation, observer)?;
            }
            Step::Benchmark { subject } => self.sample(subject, observer)?,
            Step::Sensitivity => {
                let sensitivity = SensitivitySettings {
                    model: settings.model.clone(),
                    text: SketchText::Traces(settings.traces(Definition::Paper)),
                    calibration: Some(settings.calibration.clone()),
                    menu: steps::menu(settings.group_size)?,
                    candidates: Vec::new(),
                    out: self.study("original"),
                    draws: DRAWS,
                    seed: 0,
                    device: settings.device.clone(),
                    weights: settings.weights,
                    device_memory: None,
                    measure: false,
                    gradient_score: false,
                    changes: None,
                };
                PlannedSensitivity::new(sensitivity, observer)?.run(observer)?;
            }
        }
        Ok(())
    }
}
