//! The sensitivity sketch of a model: what compressing each weight matrix will cost, for every format of a menu at once.
//!
//! With h = sum over positions t of log p(y_t), y_t drawn from the model's own next-token distribution p_t, the sketch is
//!
//! `s[r, c, f] = <dh_r/dW_c, D_{c,f}>`    draw r (a window of text with its drawn labels), component c, format f,
//!
//! where `D_{c,f}` is what format f changes in the weight of c. To second order, the mean divergence of Kullback and Leibler that a
//! recipe z (component c gets format z_c) causes is `mean over r of (sum over c of s[r, c, z_c])^2 / (2 T)`, T positions a draw
//! ([`crate::RecipeCost`]). The same with h restricted to the positions of a behaviour says what it costs that behaviour.
//!
//! The file `sensitivity.safetensors` stands beside `study.json` and describes itself; studies without it are whole.
//!
//! # Shapes
//! `sketch/<scope>` float32 `[windows * draws, components, formats]`, draws of a window side by side; `score/<scope>` float32
//! `[windows, components, formats]`, the sum over draws and positions of `(g_t . D x_t)^2`; `outputs/<scope>` likewise, the sum over
//! outputs too of `(g_to (D x_t)_o)^2`; `positions/<scope>` int32 `[windows]`;
//! `bits` float64 `[components, formats]`, stored bits of a matrix with its scales and zeros; `error/weight`, `error/input` and, on request, `error/gradient` and `error/first_order` float64
//! `[components, formats]`. Scopes are `all` and the names of behaviours; components stand layer by layer, formats as the metadata
//! lists them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arrays::{array, bytes_of, floats, parse};
use crate::described::{self, Arrays};
use crate::{Behaviour, FileDigest, Manifest, Module, ModuleDimensions, StudyError};

/// The file in a study's folder.
pub const SENSITIVITY_FILE: &str = "sensitivity.safetensors";
/// The newest layout of that file that this program knows.
pub const SENSITIVITY_SCHEMA: u32 = 2;

/// Whose positions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Every position.
    All,
    /// The positions that predict a token of a behaviour's segments.
    Behaviour(Behaviour),
}

impl Scope {
    /// The name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Behaviour(behaviour) => behaviour.name(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            other => other
                .parse()
                .map(Self::Behaviour)
                .map_err(|_| format!("\"{other}\" is no scope; known are all and the behaviours")),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.name().into()
    }
}

/// A compressed checkpoint that others made, as a format of the menu.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CandidateEntry {
    /// Its files.
    pub files: Vec<FileDigest>,
    /// How each component is stored there, such as `Q4_K`, layer by layer.
    pub types: Vec<String>,
}

/// A divergence that was measured with every component in this format, beside the predicted one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredDivergence {
    /// Whose positions.
    pub scope: Scope,
    /// Mean divergence of Kullback and Leibler from the original's next-token distribution, in nats.
    pub kl: f64,
    /// Positions that it is the mean of.
    pub positions: usize,
}

/// One format of the menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SketchedFormat {
    /// Its name, such as `rtn-4-g64`, or that of a candidate's file.
    pub name: String,
    /// The method with its settings, as recipes say it; none for a candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treatment: Option<Value>,
    /// The checkpoint it was read from; none for methods of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateEntry>,
    /// What was measured with every component in it, on the windows of the sketch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<MeasuredDivergence>,
}

/// From what and how a sketch was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SensitivityFacts {
    /// Layout of the file.
    pub schema: u32,
    /// The program and its version.
    pub program: String,
    /// The model's name.
    pub model: String,
    /// Its files.
    pub model_files: Vec<FileDigest>,
    /// Its decoder layers.
    pub layers: usize,
    /// Dimensions of the seven modules, in the order of [`Module::ALL`]; of one that is several linear maps those of one of them.
    pub modules: Vec<ModuleDimensions>,
    /// Weights of every component, of a model some of whose components are several linear maps, or none; empty where all are one, of the
    /// dimensions above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<u64>,
    /// The files of text, traces and annotations.
    pub data: Vec<FileDigest>,
    /// Ids of the windows.
    pub windows: Vec<String>,
    /// Draws of labels for each window.
    pub draws: usize,
    /// The seed of the labels.
    pub seed: u64,
    /// Whose positions were counted; the first is [`Scope::All`].
    pub scopes: Vec<Scope>,
    /// The menu.
    pub formats: Vec<SketchedFormat>,
    /// Backends and precisions by which it was computed.
    pub devices: Vec<String>,
    /// Settings that change numbers.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
}

impl SensitivityFacts {
    /// Components of the model.
    pub fn components(&self) -> usize {
        self.layers * Module::ALL.len()
    }

    /// The layout of the file that holds them: earlier programs, which know components of one linear map alone, read the first.
    pub fn schema_for(weights: &[u64]) -> u32 {
        if weights.is_empty() { 1 } else { SENSITIVITY_SCHEMA }
    }

    /// Whether every component is one linear map.
    pub fn is_plain(&self) -> bool {
        self.weights.is_empty()
    }

    /// Weights of a component.
    pub fn weights_of(&self, component: usize) -> f64 {
        if let Some(weights) = self.weights.get(component) {
            return *weights as f64;
        }
        self.modules
            .get(component % Module::ALL.len())
            .map_or(0.0, |module| module.outputs as f64 * module.inputs as f64)
    }

    /// Position of a format in the menu.
    pub fn format(&self, name: &str) -> Option<usize> {
        self.formats.iter().position(|format| format.name == name)
    }
}

/// The sketch of one scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScopeSketch {
    /// `[windows * draws, components, formats]`.
    pub sketch: Vec<f32>,
    /// `[windows, components, formats]`: sums over draws and positions of (g_t . D x_t)^2.
    pub score: Vec<f32>,
    /// `[windows, components, formats]`: sums over draws, positions t and outputs o of (g_to (D x_t)_o)^2; empty in files of earlier
    /// programs.
    pub outputs: Vec<f32>,
    /// `[windows]`: positions that count.
    pub positions: Vec<u32>,
}

/// Errors of the matrices themselves, for comparison with rules that look at nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    /// `[components, formats]`: sum of D_ij^2.
    pub weight: Vec<f64>,
    /// `[components, formats]`: sum of D_ij^2 times the mean of x_j^2 over the text's tokens (weighting by an importance matrix).
    pub input: Vec<f64>,
    /// `[components, formats]`: sum over positions t and outputs o of (g_to (D x_t)_o)^2, g the gradient of the loss of the text's own
    /// next tokens (the gradient score of ModelOpt's AutoQuantize); empty where it was not asked for.
    pub gradient: Vec<f64>,
    /// `[components, formats]`: |sum over positions t of g_t . D x_t|, g the same gradient: what the loss of the text changes by to first
    /// order; empty where the gradient score is.
    pub first_order: Vec<f64>,
}

/// A sensitivity sketch.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// From what and how.
    pub facts: SensitivityFacts,
    /// One a scope, in the order of the facts.
    pub scopes: Vec<ScopeSketch>,
    /// `[components, formats]`: stored bits of a matrix.
    pub bits: Vec<f64>,
    /// Errors of the matrices.
    pub errors: Errors,
}

impl Sensitivity {
    /// The sketch of a scope, if it was made.
    pub fn of(&self, scope: Scope) -> Option<&ScopeSketch> {
        let place = self.facts.scopes.iter().position(|known| *known == scope)?;
        self.scopes.get(place)
    }

    /// Whether it is of the model of a study.
    ///
    /// # Errors
    /// When layers, dimensions or files differ.
    pub fn fits(&self, manifest: &Manifest) -> Result<(), StudyError> {
        let (facts, model) = (&self.facts, &manifest.model);
        let digests = |files: &[FileDigest]| files.iter().map(|file| file.sha256.clone()).collect::<HashSet<_>>();
        let same_files = model.files.is_empty() || digests(&facts.model_files) == digests(&model.files);
        if facts.layers == model.layers && facts.modules == model.modules && same_files {
            return Ok(());
        }
        Err(StudyError::Incomparable {
            why: format!(
                "the sensitivity is of {}, and the study of {}: other files or other dimensions",
                facts.model, model.name
            ),
        })
    }

    /// Checks facts and arrays against each other.
    ///
    /// # Errors
    /// When an array has another shape than the facts imply, or holds what it cannot.
    pub fn check(&self) -> Result<(), StudyError> {
        let facts = &self.facts;
        let refuse = |why: String| {
            Err(StudyError::Contradiction {
                file: SENSITIVITY_FILE.into(),
                why,
            })
        };
        if facts.layers == 0 || facts.layers > 10_000 || facts.modules.len() != Module::ALL.len() {
            return refuse(format!("{} layers of {} modules", facts.layers, facts.modules.len()));
        }
        if !facts.weights.is_empty() && facts.weights.len() != facts.components() {
            return refuse(format!("weights of {} components, and {} components", facts.weights.len(), facts.components()));
        }
        if facts.draws == 0 || facts.windows.is_empty() || facts.formats.is_empty() {
            return refuse("it has no window, no draw or no format".into());
        }
        if facts.scopes.first() != Some(&Scope::All) || facts.scopes.len() != self.scopes.len() {
            return refuse("its first scope is not every position".into());
        }
        let names: HashSet<&str> = facts.formats.iter().map(|format| format.name.as_str()).collect();
        let scopes: HashSet<Scope> = facts.scopes.iter().copied().collect();
        if names.len() != facts.formats.len() || scopes.len() != facts.scopes.len() {
            return refuse("a format or a scope stands in it twice".into());
        }
        let windows = facts.windows.len();
        let shape = |array: String, expected: Vec<usize>, found: usize| {
            if expected.iter().product::<usize>() == found {
                return Ok(());
            }
            Err(StudyError::Shape {
                array,
                expected,
                found: format!("{found} values"),
            })
        };
        for (scope, sketch) in facts.scopes.iter().zip(&self.scopes) {
            let dimensions = |rows: usize| vec![rows, facts.components(), facts.formats.len()];
            shape(format!("sketch/{scope}"), dimensions(windows * facts.draws), sketch.sketch.len())?;
            shape(format!("score/{scope}"), dimensions(windows), sketch.score.len())?;
            shape(format!("positions/{scope}"), vec![windows], sketch.positions.len())?;
            if !sketch.outputs.is_empty() {
                shape(format!("outputs/{scope}"), dimensions(windows), sketch.outputs.len())?;
                finite(&format!("outputs/{scope}"), sketch.outputs.iter().map(|value| f64::from(*value)), 0.0)?;
            }
            finite(
                &format!("sketch/{scope}"),
                sketch.sketch.iter().map(|value| f64::from(*value)),
                f64::NEG_INFINITY,
            )?;
            finite(&format!("score/{scope}"), sketch.score.iter().map(|value| f64::from(*value)), 0.0)?;
        }
        for (name, values) in self.tables() {
            shape(name.into(), vec![facts.components(), facts.formats.len()], values.len())?;
            finite(name, values.iter().copied(), 0.0)?;
        }
        Ok(())
    }

    /// The arrays `[components, formats]`, by their names in the file.
    fn tables(&self) -> impl Iterator<Item = (&'static str, &Vec<f64>)> {
        let always = [("bits", &self.bits), ("error/weight", &self.errors.weight), ("error/input", &self.errors.input)];
        let asked = [("error/gradient", &self.errors.gradient), ("error/first_order", &self.errors.first_order)];
        always.into_iter().chain(asked.into_iter().filter(|(_, values)| !values.is_empty()))
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// As [`Self::check`], and when something cannot be written in its format.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StudyError> {
        self.check()?;
        let facts = serde_json::to_string(&self.facts).map_err(|source| StudyError::Json {
            file: SENSITIVITY_FILE.into(),
            source,
        })?;
        let (components, formats, windows) = (self.facts.components(), self.facts.formats.len(), self.facts.windows.len());
        let singles = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let mut arrays = Arrays::new();
        for (scope, sketch) in self.facts.scopes.iter().zip(&self.scopes) {
            let shape = |rows: usize| vec![rows, components, formats];
            arrays.insert(
                format!("sketch/{scope}"),
                (Dtype::F32, shape(windows * self.facts.draws), singles(&sketch.sketch)),
            );
            arrays.insert(format!("score/{scope}"), (Dtype::F32, shape(windows), singles(&sketch.score)));
            if !sketch.outputs.is_empty() {
                arrays.insert(format!("outputs/{scope}"), (Dtype::F32, shape(windows), singles(&sketch.outputs)));
            }
            let positions = sketch.positions.iter().flat_map(|count| (*count as i32).to_le_bytes()).collect();
            arrays.insert(format!("positions/{scope}"), (Dtype::I32, vec![windows], positions));
        }
        for (name, values) in self.tables() {
            arrays.insert(name.into(), (Dtype::F64, vec![components, formats], bytes_of(values)));
        }
        described::file(&arrays, facts, SENSITIVITY_FILE)
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// When it is damaged, was written by a later program, or an array contradicts what the file says of itself.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StudyError> {
        let broken = |reason: String| StudyError::Arrays {
            file: SENSITIVITY_FILE.into(),
            reason,
        };
        let arrays = parse(SENSITIVITY_FILE, bytes)?;
        let facts: SensitivityFacts = described::facts(bytes, SENSITIVITY_FILE, SENSITIVITY_SCHEMA)?;
        // Sizes are multiplied below, so absurd ones are refused here.
        if facts.layers > 10_000 || facts.draws > 1_000_000 {
            return Err(broken(format!("{} layers and {} draws a window", facts.layers, facts.draws)));
        }
        let (components, formats, windows) = (facts.components(), facts.formats.len(), facts.windows.len());
        let singles = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        let mut scopes = Vec::new();
        for scope in &facts.scopes {
            let read = |kind: &str, dtype, shape: &[usize]| array(&arrays, SENSITIVITY_FILE, &format!("{kind}/{scope}"), dtype, shape);
            let counts = read("positions", Dtype::I32, &[windows])?.as_chunks::<4>().0;
            let positions = counts.iter().map(|chunk| u32::try_from(i32::from_le_bytes(*chunk)));
            scopes.push(ScopeSketch {
                sketch: singles(read("sketch", Dtype::F32, &[windows.saturating_mul(facts.draws), components, formats])?),
                score: singles(read("score", Dtype::F32, &[windows, components, formats])?),
                outputs: match arrays.tensor(&format!("outputs/{scope}")) {
                    Ok(_) => singles(read("outputs", Dtype::F32, &[windows, components, formats])?),
                    Err(_) => Vec::new(),
                },
                positions: positions
                    .collect::<Result<_, _>>()
                    .map_err(|_| broken(format!("positions/{scope} are negative")))?,
            });
        }
        let table = |name: &str| Ok::<_, StudyError>(floats(array(&arrays, SENSITIVITY_FILE, name, Dtype::F64, &[components, formats])?));
        let asked = |name: &str| if arrays.tensor(name).is_ok() { table(name) } else { Ok(Vec::new()) };
        let read = Self {
            bits: table("bits")?,
            errors: Errors {
                weight: table("error/weight")?,
                input: table("error/input")?,
                gradient: asked("error/gradient")?,
                first_order: asked("error/first_order")?,
            },
            facts,
            scopes,
        };
        read.check()?;
        Ok(read)
    }
}

/// Refuses values that are not finite, or below `least`.
fn finite(array: &str, values: impl Iterator<Item = f64>, least: f64) -> Result<(), StudyError> {
    for (position, value) in values.enumerate() {
        if !value.is_finite() || value < least {
            return Err(StudyError::Value {
                array: array.into(),
                position,
                value,
            });
        }
    }
    Ok(())
}
