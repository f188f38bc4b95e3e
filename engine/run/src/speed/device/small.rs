//! A small model's map on a device and on the processors.

use std::path::Path;

use cruxscope_study::{Behaviour, Ranks, Study};

use super::report::SameMap;
use crate::interpret::{InterpretSettings, PlannedRun};
use crate::{Observer, RunError};

/// Interprets the same traces on both. What the settings say of device and folder is not read.
///
/// # Errors
/// When the traces cannot be interpreted.
pub fn same_map(settings: &InterpretSettings, device: &str, folder: &Path, observer: &mut dyn Observer) -> Result<SameMap, RunError> {
    let mut on = |device: &str, name: &str| -> Result<Study, RunError> {
        let settings = InterpretSettings {
            device: device.into(),
            out: folder.join(name),
            ..settings.clone()
        };
        Ok(PlannedRun::new(settings, observer)?.run(observer)?.study)
    };
    let (here, processors) = (on(device, "here")?, on("cpu", "processors")?);
    let behaviours = Behaviour::ALL.into_iter();
    let difference = behaviours
        .flat_map(|behaviour| {
            let [a, b] = [&here, &processors].map(|study| study.importance.relative_of(behaviour));
            a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).collect::<Vec<f64>>()
        })
        .fold(0.0, f64::max);
    let ten = |study: &Study| -> Vec<String> {
        let ranks = Ranks::of(&study.importance.relative_mean());
        ranks.order().iter().take(10).map(ToString::to_string).collect()
    };
    Ok(SameMap {
        model: processors.manifest.model.name.clone(),
        instances: processors.manifest.instances.len(),
        difference,
        top_ten: [ten(&here), ten(&processors)],
    })
}
