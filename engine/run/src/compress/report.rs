//! What is said of a compression: a line for each component, and from what and how all of it was made.

use std::collections::BTreeMap;
use std::path::Path;

use cruxscope_checkpoint::Matrix;
use cruxscope_compress::awq::Scale;
use cruxscope_compress::linear_algebra::{dot, squared_distance};
use cruxscope_compress::method::CompressedMatrix;
use cruxscope_compress::recipe::Recipe;
use cruxscope_study::{Component, ComponentCompression, CompressionMap, FileDigest};
use serde::{Deserialize, Serialize};

use super::Basis;
use super::plan::Planned;

/// The file that says how a folder was compressed.
pub const REPORT_FILE: &str = "cruxscope_compression.json";

/// What was done to a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentReport {
    /// Its short name, such as `30_gate`.
    pub component: String,
    /// The method's name; none where it was left as it is.
    pub method: Option<String>,
    /// Bits of a weight's code.
    pub bits: Option<u8>,
    /// Share of weights that are zero.
    pub sparsity: f64,
    /// Squared error of the outputs on the calibration text, as a share of the outputs' own square.
    pub output_error: Option<f64>,
    /// Squared error of the weights, as a share of their own square.
    pub weight_error: f64,
    /// What had to be added to the Hessian's diagonal, as a share of its mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damping: Option<f64>,
    /// Of an expert, the tokens of the calibration text that were routed to it; where those are fewer than its inputs it was calibrated
    /// on all tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed_tokens: Option<usize>,
    /// Inputs that were zero at every token of the calibration text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dead_inputs: usize,
    /// AWQ's scales of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleReport>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl ComponentReport {
    /// Of a treated component.
    pub(super) fn of(planned: &Planned, treated: &CompressedMatrix) -> Self {
        Self {
            component: planned.name(),
            method: planned.method.map(Into::into),
            bits: treated.bits,
            sparsity: treated.sparsity,
            output_error: treated.output_error,
            weight_error: treated.weight_error,
            damping: treated.damping,
            routed_tokens: None,
            dead_inputs: treated.dead_columns,
            scale: None,
        }
    }

    /// Of a component that was left as it is, and is read back as `stored`.
    pub(super) fn untouched(planned: &Planned, weight: &Matrix, stored: &[f32]) -> Self {
        // Most are stored as they are.
        let (error, whole) = if stored == weight.values {
            (0.0, 1.0)
        } else {
            (squared_distance(stored, &weight.values), dot(&weight.values, &weight.values))
        };
        let zeros: usize = stored
            .chunks(1024)
            .map(|block| block.iter().map(|value| u32::from(*value == 0.0)).sum::<u32>() as usize)
            .sum();
        Self {
            weight_error: if whole > 0.0 { error / whole } else { 0.0 },
            ..Self::unchanged(planned, zeros)
        }
    }

    /// Of a component that was left as it is, and is stored byte for byte as it was; so many of its weights are zero.
    pub(super) fn unchanged(planned: &Planned, zeros: usize) -> Self {
        let (rows, columns) = planned.shape;
        Self {
            component: planned.name(),
            method: None,
            bits: None,
            sparsity: zeros as f64 / (rows * columns).max(1) as f64,
            output_error: None,
            weight_error: 0.0,
            damping: None,
            routed_tokens: None,
            dead_inputs: 0,
            scale: None,
        }
    }
}

/// AWQ's scales before they are normalised, which can be compared between layers: what the paper ranks in Appendix M. Where the
/// ratio is 0, every scale is 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleReport {
    /// The power of the mean activation that was best, 0 to 0.95.
    pub ratio: f32,
    /// The smallest.
    pub smallest: f32,
    /// Their mean.
    pub mean: f32,
    /// exp of the mean of their logarithms.
    pub geometric_mean: f32,
    /// The largest.
    pub largest: f32,
}

impl ScaleReport {
    /// Of one searched scale.
    pub(super) fn of(scale: &Scale) -> Self {
        let raw = scale.raw();
        let count = raw.len().max(1) as f64;
        Self {
            ratio: scale.ratio(),
            smallest: raw.iter().copied().fold(f32::INFINITY, f32::min),
            mean: (raw.iter().map(|value| f64::from(*value)).sum::<f64>() / count) as f32,
            geometric_mean: (raw.iter().map(|value| f64::from(*value).ln()).sum::<f64>() / count).exp() as f32,
            largest: raw.iter().copied().fold(0.0, f32::max),
        }
    }
}

/// How a folder was compressed; saved in it as [`REPORT_FILE`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompressionReport {
    /// The program and its version.
    pub program: String,
    /// The source's name.
    pub source: String,
    /// The source's files.
    pub source_files: Vec<FileDigest>,
    /// The recipe.
    pub recipe: Recipe,
    /// The calibration text, if a method asked for it.
    pub calibration: Option<CalibrationReport>,
    /// The basis of activations; only AWQ makes another.
    pub basis: Basis,
    /// How weights are packed: `awq`, `gptq` or `compressed-tensors`; none where they are plain numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<String>,
    /// The key of the run that wrote the folder, by which the same command knows its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Every component, layer by layer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentReport>,
}

impl CompressionReport {
    /// From what and how, for the manifest of a study of the compressed model.
    #[must_use]
    pub fn without_components(self) -> Self {
        Self {
            components: Vec::new(),
            run: None,
            ..self
        }
    }
}

impl CompressionReport {
    /// What it says of each component, as a study shows it; nothing where components were left out.
    pub fn map(&self, model: &str) -> Option<CompressionMap> {
        let named = |report: &ComponentReport| match (&report.method, report.bits) {
            (Some(method), Some(bits)) => Some(format!("{bits}-bit {method}")),
            (Some(method), None) => Some(format!("{:.0} % {method}", 100.0 * report.sparsity)),
            (None, _) => None,
        };
        let mut ways: Vec<String> = self.components.iter().filter_map(named).collect();
        ways.sort_unstable();
        ways.dedup();
        let treated = self.components.iter().filter(|report| report.method.is_some()).count();
        let some = if treated < self.components.len() {
            format!(", {treated} of {} matrices", self.components.len())
        } else {
            String::new()
        };
        (!self.components.is_empty()).then(|| CompressionMap {
            program: self.program.clone(),
            model: model.to_owned(),
            summary: format!("{}{some}", ways.join(" and ")),
            components: whole_components(&self.components),
        })
    }
}

/// What was done to each component: of one that is made of parts, such as experts, what was done to all of them, numbers as means.
fn whole_components(reports: &[ComponentReport]) -> Vec<ComponentCompression> {
    let component_of = |report: &ComponentReport| report.component.split('.').next().and_then(|name| name.parse::<Component>().ok());
    let mut by_component: BTreeMap<Component, Vec<ComponentCompression>> = BTreeMap::new();
    for report in reports {
        let Some(of) = component_of(report) else {
            return reports.iter().map(component).collect();
        };
        by_component.entry(of).or_default().push(component(report));
    }
    let layers = by_component.keys().map(|component| component.layer.0 + 1).max().unwrap_or(0);
    let whole = |of: Component| {
        let parts = by_component.get(&of).map_or(&[][..], Vec::as_slice);
        match parts {
            [one] => ComponentCompression {
                component: of.to_string(),
                ..one.clone()
            },
            parts => {
                let mean = |number: fn(&ComponentCompression) -> Option<f64>| {
                    let known: Vec<f64> = parts.iter().filter_map(number).collect();
                    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
                };
                let mut methods: Vec<&str> = parts.iter().map(|part| part.method.as_str()).filter(|method| !method.is_empty()).collect();
                methods.sort_unstable();
                methods.dedup();
                ComponentCompression {
                    component: of.to_string(),
                    method: methods.join(" and "),
                    storage: String::new(),
                    bits: mean(|part| part.bits),
                    sparsity: mean(|part| part.sparsity),
                    weight_error: mean(|part| part.weight_error),
                    output_error: mean(|part| part.output_error),
                    awq_scale: mean(|part| part.awq_scale),
                }
            }
        }
    };
    Component::all(layers).map(whole).collect()
}

fn component(report: &ComponentReport) -> ComponentCompression {
    ComponentCompression {
        component: report.component.clone(),
        method: report.method.clone().unwrap_or_default(),
        storage: String::new(),
        bits: report.bits.map(f64::from),
        sparsity: Some(report.sparsity),
        weight_error: Some(report.weight_error),
        output_error: report.output_error,
        awq_scale: report.scale.map(|scale| f64::from(scale.mean)),
    }
}

/// What text calibrated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    /// The file.
    pub file: FileDigest,
    /// Windows taken from it.
    pub windows: usize,
    /// Tokens of all windows.
    pub tokens: usize,
    /// The seed by which windows were drawn; none where they are the first ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Where it was run through the layers; older reports do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// How a folder was compressed, if it says so.
pub fn report_of(model: &Path) -> Option<CompressionReport> {
    serde_json::from_slice(&std::fs::read(model.join(REPORT_FILE)).ok()?).ok()
}
