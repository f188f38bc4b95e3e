//! What is done to one matrix: a method with its settings, as recipes name it.

use cruxscope_checkpoint::Matrix;
use serde::{Deserialize, Serialize};

use crate::CompressError;
use crate::any::{AnySettings, any_quantize};
use crate::awq::AwqSettings;
use crate::evidence::CalibrationStats;
use crate::linear_algebra::{dot, quadratic_form, squared_distance};
use crate::prune::{AlphaPruningSettings, Pattern, SparseGptSettings, input_norms_of_hessian, magnitude, sparse_gpt_with_factor, wanda};
use crate::quantize::{
    AsymmetryFactor, ColumnOrder, Compatibility, Compensated, Damping, GptaqSettings, GptqSettings, GridSettings, GroupSize, Quantized, gptaq_with_factors,
    gptq_with_factor, round_to_nearest,
};

/// A method and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum MethodConfig {
    /// Each weight to the nearest point of its group's grid.
    Rtn(GridSettings),
    /// Rounding in which later columns make up for earlier ones.
    Gptq(GptqSettings),
    /// GPTQ that also makes up for what earlier layers' compression did to the inputs.
    Gptaq(GptaqSettings),
    /// Activation-aware scales and clipping; works on whole layers, see [`crate::awq`].
    Awq(AwqSettings),
    /// A codebook for every row.
    Any(AnySettings),
    /// The smallest weights become zero.
    Magnitude {
        /// What is pruned.
        pattern: Pattern,
    },
    /// The weights of smallest size times input norm become zero.
    Wanda {
        /// What is pruned.
        pattern: Pattern,
    },
    /// Pruning in which the weights that stay make up for those that go.
    SparseGpt(SparseGptSettings),
    /// SparseGPT with a sparsity of its own for each block, from the tails of its matrices' spectra; see
    /// [`crate::prune::pruning_ratios`]. Works on whole models.
    AlphaPruning(AlphaPruningSettings),
}

/// Which inputs a method has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// None: weights alone decide.
    None,
    /// Those that the layers before give after compression.
    Compressed,
    /// Those of the uncompressed model.
    Original,
    /// Both, token by token.
    Both,
}

/// A treated matrix and what can be said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CompressedMatrix {
    /// The weights as an engine would read them back, in float32.
    pub weight: Matrix,
    /// Bits of a weight's code, scales not counted; none where weights stay numbers.
    pub bits: Option<u8>,
    /// The codes, where they are on an integer grid: what packed layouts hold.
    pub codes: Option<Quantized>,
    /// The damping that was needed, as a share of the Hessian's mean diagonal.
    pub damping: Option<f64>,
    /// Inputs that were always zero.
    pub dead_columns: usize,
    /// Share of weights that are zero.
    pub sparsity: f64,
    /// Squared error of the outputs over the calibration tokens, as a share of the outputs' own square: tr(D H D^T) / tr(W H W^T)
    /// with D = W' - W. None without statistics.
    pub output_error: Option<f64>,
    /// Squared error of the weights as a share of their own square.
    pub weight_error: f64,
}

impl MethodConfig {
    /// The usual name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rtn(_) => "round to nearest",
            Self::Gptq(_) => "GPTQ",
            Self::Gptaq(_) => "GPTAQ",
            Self::Awq(_) => "AWQ",
            Self::Any(_) => "ANY",
            Self::Magnitude { .. } => "magnitude pruning",
            Self::Wanda { .. } => "Wanda",
            Self::SparseGpt(_) => "SparseGPT",
            Self::AlphaPruning(_) => "AlphaPruning",
        }
    }

    /// Which inputs it has to know.
    pub fn inputs(&self) -> Inputs {
        match self {
            Self::Rtn(_) | Self::Magnitude { .. } => Inputs::None,
            Self::Gptq(_) | Self::Any(_) | Self::Wanda { .. } | Self::SparseGpt(_) | Self::AlphaPruning(_) => Inputs::Compressed,
            Self::Awq(_) => Inputs::Original,
            Self::Gptaq(_) => Inputs::Both,
        }
    }

    /// Whether a layer's later matrices see what was done to its earlier ones.
    pub fn is_sequential(&self) -> bool {
        match self {
            Self::Gptq(settings) => settings.true_sequential,
            Self::Gptaq(_) => true,
            _ => false,
        }
    }

    /// Treats a matrix. `nth` counts the matrices of the layer that were treated with the same evidence before it.
    ///
    /// # Errors
    /// When evidence is missing, or as the method says.
    pub fn apply(&self, weight: &Matrix, evidence: Option<&mut CalibrationStats>, nth: u32) -> Result<CompressedMatrix, CompressError> {
        let (rows, columns) = (weight.rows, weight.columns);
        let refused = |setting, value: &str, rule: &str| CompressError::Setting {
            method: self.name(),
            setting,
            value: value.into(),
            rule: rule.into(),
        };
        let missing = || refused("calibration", "missing", "this method has to know the inputs");
        match self {
            Self::Rtn(settings) => {
                let quantized = round_to_nearest(&weight.values, rows, columns, settings)?;
                Ok(CompressedMatrix::measured(weight, quantized.dequantize(), evidence.as_deref()).with_codes(quantized))
            }
            Self::Gptq(settings) => {
                let evidence = evidence.ok_or_else(missing)?;
                let (factor, _) = evidence.factor(settings.order, settings.grid.group_size, settings.damping)?;
                let done = gptq_with_factor(&weight.values, rows, factor, settings)?;
                Ok(CompressedMatrix::compensated(weight, done, evidence))
            }
            Self::Gptaq(settings) => {
                let evidence = evidence.ok_or_else(missing)?;
                let gptq = &settings.gptq;
                let (factor, statistics) = evidence.factor(gptq.order, gptq.grid.group_size, damping_in_place(gptq, nth))?;
                let uncompared = || refused("calibration", "without the uncompressed model's inputs", "this method compares both");
                let cross = statistics.cross.as_deref().ok_or_else(uncompared)?;
                let asymmetry = AsymmetryFactor::new(factor, cross, settings.alpha)?;
                let done = gptaq_with_factors(&weight.values, rows, factor, &asymmetry, gptq)?;
                Ok(CompressedMatrix::compensated(weight, done, evidence))
            }
            Self::Awq(_) => Err(refused(
                "a single matrix",
                "asked for",
                "its scales are shared by the matrices of a layer, which `awq::compress_layer` treats together",
            )),
            Self::AlphaPruning(_) => Err(refused(
                "a single matrix",
                "asked for",
                "how much is pruned depends on all matrices; it becomes SparseGPT with a sparsity for each",
            )),
            Self::Any(settings) => {
                let evidence = evidence.ok_or_else(missing)?;
                let values = any_quantize(&weight.values, rows, columns, Some(&evidence.statistics().means), settings)?.dequantize();
                Ok(CompressedMatrix {
                    bits: Some(settings.bits.get()),
                    ..CompressedMatrix::measured(weight, values, Some(evidence))
                })
            }
            Self::Magnitude { pattern } => {
                let mut values = weight.values.clone();
                magnitude(&values, rows, columns, *pattern)?.apply(&mut values);
                Ok(CompressedMatrix::measured(weight, values, evidence.as_deref()))
            }
            Self::Wanda { pattern } => {
                let evidence = evidence.ok_or_else(missing)?;
                let mut values = weight.values.clone();
                let norms = input_norms_of_hessian(&evidence.statistics().hessian, columns)?;
                wanda(&values, rows, columns, &norms, *pattern)?.apply(&mut values);
                Ok(CompressedMatrix::measured(weight, values, Some(evidence)))
            }
            Self::SparseGpt(settings) => {
                let evidence = evidence.ok_or_else(missing)?;
                let mut values = weight.values.clone();
                let (factor, _) = evidence.factor(ColumnOrder::Stored, GroupSize::Row, settings.damping())?;
                let report = sparse_gpt_with_factor(&mut values, rows, factor, settings)?;
                Ok(CompressedMatrix {
                    damping: Some(report.damping),
                    dead_columns: report.dead_columns,
                    bits: settings.bits.map(|bits| bits.get()),
                    ..CompressedMatrix::measured(weight, values, Some(evidence))
                })
            }
        }
    }
}

/// The original GPTAQ adds its damping in place to a Hessian that several matrices share: without activation order, the second
/// sees it twice and the third three times.
fn damping_in_place(settings: &GptqSettings, nth: u32) -> Damping {
    let in_place = settings.compatibility == Compatibility::Original && settings.order == ColumnOrder::Stored;
    Damping {
        additions: if in_place { nth + 1 } else { settings.damping.additions },
        ..settings.damping
    }
}

impl CompressedMatrix {
    /// What can be said of new values for a matrix. Shapes: `values` as `weight`.
    pub fn measured(weight: &Matrix, values: Vec<f32>, evidence: Option<&CalibrationStats>) -> Self {
        let (rows, columns) = (weight.rows, weight.columns);
        let output_error = evidence.map(|evidence| {
            let difference: Vec<f32> = values.iter().zip(&weight.values).map(|(new, old)| new - old).collect();
            let hessian: Vec<f32> = evidence.statistics().hessian.iter().map(|value| *value as f32).collect();
            share(
                quadratic_form(&difference, &hessian, columns),
                quadratic_form(&weight.values, &hessian, columns),
            )
        });
        Self {
            sparsity: values.iter().filter(|value| **value == 0.0).count() as f64 / values.len().max(1) as f64,
            weight_error: share(squared_distance(&values, &weight.values), dot(&weight.values, &weight.values)),
            output_error,
            bits: None,
            codes: None,
            damping: None,
            dead_columns: 0,
            weight: Matrix { rows, columns, values },
        }
    }

    /// With the codes that its weights came from.
    #[must_use]
    pub fn with_codes(self, codes: Quantized) -> Self {
        Self {
            bits: Some(codes.bits.get()),
            codes: Some(codes),
            ..self
        }
    }

    fn compensated(weight: &Matrix, done: Compensated, evidence: &CalibrationStats) -> Self {
        Self {
            damping: Some(done.damping),
            dead_columns: done.dead,
            ..Self::measured(weight, done.quantized.dequantize(), Some(evidence)).with_codes(done.quantized)
        }
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
