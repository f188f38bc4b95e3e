//! The manifest: from what, how and with what a study was computed, so that the figure can be made again.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Behaviour, Digest, MANIFEST_FILE, Module, PartLayout, StudyError};

/// The newest layout of `study.json` that this program knows.
pub const SCHEMA_VERSION: u32 = 2;
/// The layout of a study whose components are one linear map each: older programs read it too.
const PLAIN_SCHEMA: u32 = 1;

/// Bytes that a title, a name or an id may have: whoever shows it lays it out as one line.
const LONGEST_NAME: usize = 4_096;

/// Which reading of the method was computed (METHOD: "Two definitions, one switch").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Definition {
    /// The paper's formulas.
    #[default]
    Paper,
    /// What the published code computes.
    Released,
}

impl Definition {
    /// The name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Released => "released",
        }
    }
}

impl std::fmt::Display for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The program that wrote a study.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A file that went into a study.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Its name, without the folders that led to it.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// Input and output features of one module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleDimensions {
    /// Rows of the weight, which are the module's channels.
    pub outputs: usize,
    /// Columns of the weight.
    pub inputs: usize,
}

/// The model that was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// A name for display.
    pub name: String,
    /// Such as `llama`.
    pub architecture: String,
    /// Number of decoder layers.
    pub layers: usize,
    /// Dimensions of the seven modules, in the order of [`Module::ALL`].
    pub modules: Vec<ModuleDimensions>,
    /// The parts of components that are not one linear map, such as experts, where there are any: their numbers are in a file of
    /// their own, and those of their components are sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<PartLayout>,
    /// Number of parameters.
    pub parameters: u64,
    /// How many tensors of each stored type the checkpoint holds, such as `Q4_1`.
    #[serde(default)]
    pub tensor_types: BTreeMap<String, usize>,
    /// How each tensor is stored, by its name, where that differs from one weight to another or is packed: dynamic GGUF files mix
    /// types layer by layer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tensors: BTreeMap<String, String>,
    /// Its files.
    pub files: Vec<FileDigest>,
    /// The basis in which activations and gradients stand: `original`, or `folded` where a method's scales were folded in.
    #[serde(default = "original_basis")]
    pub basis: String,
    /// From what and how it was compressed, where that is known: the source's files, the recipe, the calibration text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Value>,
}

fn original_basis() -> String {
    "original".into()
}

/// How many sections or segments there were of one behaviour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentCounts {
    /// Instances that hold at least one used segment.
    pub instances: usize,
    /// Segments that were used.
    pub used: usize,
    /// Sections and segments that were dropped.
    pub dropped: usize,
}

/// Why a section or segment was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// Its text is not in the trace, or less than 90 % of it is.
    NotFound,
    /// It holds no text.
    Empty,
    /// No token holds its first or its last character.
    NoToken,
    /// It has no row whose gradient is read.
    NoRow,
    /// It has no target whose loss counts.
    NoTarget,
    /// It lies beyond the cap on tokens.
    BeyondCap,
}

impl DropReason {
    /// The reason, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotFound => "its text is not in the trace",
            Self::Empty => "it holds no text",
            Self::NoToken => "no token holds its first or last character",
            Self::NoRow => "it has no row whose gradient is read",
            Self::NoTarget => "it has no target whose loss counts",
            Self::BeyondCap => "it lies beyond the cap on tokens",
        }
    }
}

/// One dropped section or segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drop {
    /// The instance.
    pub instance: String,
    /// Position of the section or segment in the instance's annotation, from 0.
    pub section: usize,
    /// Its label.
    pub label: String,
    /// Why it was dropped.
    pub reason: DropReason,
    /// The share of its text that was found, where that is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
}

/// One instance that went into a study.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstanceEntry {
    /// Its id.
    pub id: String,
    /// Tokens that were read.
    pub tokens: usize,
    /// Tokens beyond the cap, which were not.
    #[serde(default)]
    pub tokens_cut: usize,
    /// Used segments of each behaviour, in the order of [`Behaviour::ALL`].
    pub segments: [usize; 4],
    /// Mean loss of its segments, weighted by targets; where it holds none, absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// A file of arrays that belongs to the study.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayEntry {
    /// The file, beside `study.json`.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// From what, how and with what a study was computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout of this file.
    pub schema: u32,
    /// A title for display.
    pub title: String,
    /// The program that wrote it.
    pub program: Program,
    /// The reading of the method.
    pub definition: Definition,
    /// The model.
    pub model: ModelEntry,
    /// The files of traces and annotations.
    pub data: Vec<FileDigest>,
    /// The instances, sorted by id.
    pub instances: Vec<InstanceEntry>,
    /// Counts per behaviour, in the order of [`Behaviour::ALL`].
    pub segments: [SegmentCounts; 4],
    /// Every section or segment that was dropped.
    pub dropped: Vec<Drop>,
    /// Sections with labels that are shown but not scored.
    #[serde(default)]
    pub unscored_sections: usize,
    /// Ids that stand in the traces or the annotations only.
    #[serde(default)]
    pub unpaired: Vec<String>,
    /// The settings that change numbers: cap on tokens, reading of annotations, alignment.
    pub settings: BTreeMap<String, Value>,
    /// The device's backend and precision.
    pub device: BTreeMap<String, Value>,
    /// The files of arrays.
    pub arrays: Vec<ArrayEntry>,
    /// The files of traces, where they were kept to be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<crate::TraceEntry>,
    /// Fields that a later program wrote; kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The sum of numbers that anybody may have written: too much is as much as there can be.
fn added(numbers: impl Iterator<Item = usize>) -> usize {
    numbers.fold(0, usize::saturating_add)
}

/// Reads a file whose schema is `known` or older. The schema is read before anything else of it: what a later program wrote may look
/// like anything.
pub(crate) fn read_versioned<T: DeserializeOwned>(text: &[u8], file: &str, known: u32) -> Result<T, StudyError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    let json = |source| StudyError::Json { file: file.to_owned(), source };
    let Versioned { schema: found } = serde_json::from_slice(text).map_err(json)?;
    if found > known {
        return Err(StudyError::NewerSchema { found, known });
    }
    serde_json::from_slice(text).map_err(json)
}

/// A file's bytes: JSON that people can read, with a line break at its end.
pub(crate) fn write_json<T: Serialize>(value: &T, file: &str) -> Result<Vec<u8>, StudyError> {
    let json = |source| StudyError::Json { file: file.to_owned(), source };
    let mut text = serde_json::to_vec_pretty(value).map_err(json)?;
    text.push(b'\n');
    Ok(text)
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// When the text is no JSON of this form, comes from a newer schema, or contradicts itself.
    pub fn from_json(text: &[u8]) -> Result<Self, StudyError> {
        let manifest: Self = read_versioned(text, MANIFEST_FILE, SCHEMA_VERSION)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest as it is saved.
    ///
    /// # Errors
    /// When it holds something that JSON cannot.
    pub fn to_json(&self) -> Result<Vec<u8>, StudyError> {
        write_json(self, MANIFEST_FILE)
    }

    /// Checks what can be checked without the arrays.
    ///
    /// # Errors
    /// When layers, modules, instances or file names cannot be right.
    pub fn check(&self) -> Result<(), StudyError> {
        let refuse = |why: String| Err(StudyError::Manifest { why });
        // Sizes are read by programs that allocate by them, so absurd ones are refused here.
        if self.model.layers == 0 || self.model.layers > 10_000 {
            return refuse(format!("{} layers", self.model.layers));
        }
        if self.model.modules.len() != Module::ALL.len() {
            return refuse(format!("{} modules a layer instead of {}", self.model.modules.len(), Module::ALL.len()));
        }
        if let Some(module) = self
            .model
            .modules
            .iter()
            .enumerate()
            // A block without a gate has none of its features.
            .find(|(place, module)| (module.outputs == 0 && *place != Module::Gate.index()) || module.outputs > 10_000_000 || module.inputs == 0)
            .map(|(_, module)| module)
        {
            return refuse(format!("a module of {} by {}", module.outputs, module.inputs));
        }
        if let Some(fault) = self.model.parts.as_ref().and_then(|parts| parts.fault(self.model.layers)) {
            return refuse(fault);
        }
        if self.instances.len() > 10_000_000 {
            return refuse(format!("{} instances", self.instances.len()));
        }
        let names = [
            ("title", &self.title),
            ("model's name", &self.model.name),
            ("architecture", &self.model.architecture),
        ];
        let ids = self.instances.iter().map(|instance| ("instance's id", &instance.id));
        if let Some((what, text)) = names.into_iter().chain(ids).find(|(_, text)| text.len() > LONGEST_NAME) {
            return refuse(format!("a {what} of {} bytes", text.len()));
        }
        for array in self.arrays.iter().chain(self.traces.iter().map(|trace| &trace.file)) {
            if array.file.is_empty() || array.file.contains(['/', '\\']) || array.file.starts_with('.') {
                return refuse(format!("the file \"{}\" would lie outside the study", array.file));
            }
        }
        for behaviour in Behaviour::ALL {
            let listed = added(self.instances.iter().map(|instance| instance.segments[behaviour.index()]));
            let counted = self.segments[behaviour.index()].used;
            if listed != counted {
                return refuse(format!("{counted} segments of {behaviour} are counted, but the instances list {listed}"));
            }
        }
        Ok(())
    }

    /// The oldest layout that says all of a model.
    pub fn schema_for(model: &ModelEntry) -> u32 {
        if model.parts.is_some() { SCHEMA_VERSION } else { PLAIN_SCHEMA }
    }

    /// Tokens of all instances.
    pub fn tokens(&self) -> usize {
        added(self.instances.iter().map(|instance| instance.tokens))
    }

    /// Segments used, of all behaviours.
    pub fn segments_used(&self) -> usize {
        added(self.segments.iter().map(|counts| counts.used))
    }

    /// The digest by which people name this study: that of its saved manifest.
    ///
    /// # Errors
    /// As [`Self::to_json`].
    pub fn digest(&self) -> Result<Digest, StudyError> {
        Ok(Digest::of(&self.to_json()?))
    }
}
