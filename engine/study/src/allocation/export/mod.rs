//! Recipes in the words of other tools.
//!
//! Each tool names modules in its own way and knows some of the formats only; what it does not know is an error that says so, never a
//! neighbour that it does know. `llama.cpp` has types of its own, which a recipe over candidates in GGUF files names; the others take
//! integer grids with groups.

mod gptqmodel;
mod llama_cpp;
mod llm_compressor;
mod modelopt;

use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::AllocationError;
use super::recipe::rules_of;
use crate::{Component, Module, Sensitivity};

/// A tool that recipes are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// llama.cpp's `llama-quantize`.
    LlamaCpp,
    /// llm-compressor, and compressed-tensors.
    LlmCompressor,
    /// GPTQModel.
    GptqModel,
    /// auto-round.
    AutoRound,
    /// NVIDIA's ModelOpt.
    ModelOpt,
    /// This program's `compress --recipe`.
    Cruxscope,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::LlamaCpp,
        Self::LlmCompressor,
        Self::GptqModel,
        Self::AutoRound,
        Self::ModelOpt,
        Self::Cruxscope,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama.cpp",
            Self::LlmCompressor => "llm-compressor",
            Self::GptqModel => "gptqmodel",
            Self::AutoRound => "auto-round",
            Self::ModelOpt => "modelopt",
            Self::Cruxscope => "cruxscope",
        }
    }
}

impl FromStr for Tool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|tool| tool.name() == text)
            .ok_or_else(|| format!("\"{text}\" is no tool that recipes are written for; known are {}", known()))
    }
}

/// A file to be written beside the recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// What its name ends with, such as `llm-compressor.yaml`.
    pub ending: &'static str,
    /// Its text.
    pub text: String,
}

/// Writes a recipe for a tool.
///
/// # Errors
/// [`AllocationError::Export`] where the tool does not know a format of the recipe.
pub fn export(tool: Tool, sensitivity: &Sensitivity, choice: &[Option<usize>]) -> Result<Vec<Exported>, AllocationError> {
    let refuse = |why: String| AllocationError::Export { tool: tool.name(), why };
    let one = |ending, text| Ok(vec![Exported { ending, text }]);
    if !sensitivity.facts.is_plain() && tool != Tool::Cruxscope {
        return Err(refuse(
            "some components of this model are several matrices, or none, which its names of modules do not cover; `cruxscope compress --recipe` carries              the recipe out"
                .into(),
        ));
    }
    match tool {
        Tool::LlamaCpp => llama_cpp::write(sensitivity, choice).map_err(refuse),
        Tool::Cruxscope => {
            let rules = rules_of(sensitivity, choice).ok_or_else(|| refuse("it takes matrices from checkpoints that other programs made".into()))?;
            one("cruxscope.json", pretty(&json!({"rules": rules})).map_err(refuse)?)
        }
        Tool::LlmCompressor => one(
            "llm-compressor.yaml",
            llm_compressor::write(&integers(sensitivity, choice).map_err(refuse)?).map_err(refuse)?,
        ),
        Tool::GptqModel => one(
            "gptqmodel.json",
            gptqmodel::write(&integers(sensitivity, choice).map_err(refuse)?).map_err(refuse)?,
        ),
        Tool::AutoRound => one("auto-round.json", auto_round(&integers(sensitivity, choice).map_err(refuse)?).map_err(refuse)?),
        Tool::ModelOpt => one(
            "modelopt.yaml",
            modelopt::write(&integers(sensitivity, choice).map_err(refuse)?).map_err(refuse)?,
        ),
    }
}

/// How a matrix is quantized, in words that tools share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Integer {
    method: Method,
    bits: u8,
    /// Columns of a group; none for whole rows.
    group: Option<usize>,
    symmetric: bool,
}

/// Methods that other tools have too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Method {
    Rtn,
    Gptq,
    Awq,
}

/// Every component with its format; none where it is left as it is.
type Integers = Vec<(Component, Option<Integer>)>;

/// The formats of a choice as integer grids, or why they are none.
fn integers(sensitivity: &Sensitivity, choice: &[Option<usize>]) -> Result<Integers, String> {
    let mut all = Vec::new();
    for (component, format) in Component::all(sensitivity.facts.layers).zip(choice) {
        let integer = match format {
            None => None,
            Some(format) => {
                let format = &sensitivity.facts.formats[*format];
                let made = || format!("{component} is taken from {}, a checkpoint that another program made", format.name);
                let treatment = format.treatment.as_ref().ok_or_else(made)?;
                let unknown = || format!("{component} has {}, which is no grid of integers with groups", format.name);
                Some(integer(treatment).ok_or_else(unknown)?)
            }
        };
        all.push((component, integer));
    }
    Ok(all)
}

/// What a treatment says of its grid, as recipes write it.
#[derive(Deserialize)]
struct Grid {
    grid: String,
    bits: u8,
    group_size: i64,
}

/// The treatments that are integer grids with groups; of all others none is read.
#[derive(Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
enum Treatment {
    Rtn(Grid),
    Gptq { grid: Grid },
    Awq(Grid),
}

fn integer(treatment: &Value) -> Option<Integer> {
    let (method, grid) = match Treatment::deserialize(treatment).ok()? {
        Treatment::Rtn(grid) => (Method::Rtn, grid),
        Treatment::Gptq { grid } => (Method::Gptq, grid),
        Treatment::Awq(grid) => (Method::Awq, grid),
    };
    Some(Integer {
        method,
        bits: grid.bits,
        // -1 stands for the whole row.
        group: usize::try_from(grid.group_size).ok(),
        symmetric: grid.grid.split('_').any(|word| word == "sym"),
    })
}

/// The name of a module in Hugging Face's checkpoints.
fn module_name(component: Component) -> String {
    let block = match component.module {
        Module::Query | Module::Key | Module::Value | Module::Output => "self_attn",
        Module::Gate | Module::Up | Module::Down => "mlp",
    };
    format!("model.layers.{}.{block}.{}", component.layer.0, component.module.projection())
}

/// A regular expression that matches the names of some modules and no others, with `model.` in front or not: modules of one kind are
/// listed by their layers.
fn pattern(components: &[Component]) -> Vec<String> {
    let mut patterns = Vec::new();
    for module in Module::ALL {
        let layers: Vec<String> = components
            .iter()
            .filter(|component| component.module == module)
            .map(|component| component.layer.0.to_string())
            .collect();
        if let Some(first) = components.iter().find(|component| component.module == module) {
            let name = module_name(*first);
            let rest = name.splitn(4, '.').nth(3).unwrap_or_default().replace('.', r"\.");
            patterns.push(format!(r"model\.layers\.({})\.{rest}", layers.join("|")));
        }
    }
    patterns
}

/// Components by format, the commonest format first.
fn by_format(integers: &Integers) -> Vec<(Option<Integer>, Vec<Component>)> {
    let mut formats: Vec<(Option<Integer>, Vec<Component>)> = Vec::new();
    for (component, integer) in integers {
        match formats.iter_mut().find(|(known, _)| known == integer) {
            Some((_, components)) => components.push(*component),
            None => formats.push((*integer, vec![*component])),
        }
    }
    formats.sort_by_key(|(_, components)| std::cmp::Reverse(components.len()));
    formats
}

/// auto-round's `layer_config`: a dictionary of module names. A module that stays has 16 bits.
fn auto_round(integers: &Integers) -> Result<String, String> {
    let mut layers = Map::new();
    for (component, integer) in integers {
        let own = match integer {
            Some(integer) => json!({
                "bits": integer.bits,
                "group_size": integer.group.map_or(-1, |group| group as i64),
                "sym": integer.symmetric,
                "data_type": "int",
            }),
            None => json!({"bits": 16, "data_type": "fp"}),
        };
        layers.insert(module_name(*component), own);
    }
    pretty(&json!({"layer_config": layers}))
}

fn pretty(value: &Value) -> Result<String, String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}
