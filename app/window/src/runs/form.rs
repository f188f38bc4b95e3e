//! What a person fills in before a run: the task, its files, its settings.

use crate::link;

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Task {
    /// A model and annotated traces into a study.
    #[default]
    Interpret,
    /// A model into a compressed one.
    Compress,
}

impl Task {
    /// Both, with their names on buttons.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Interpret, "Interpret"), (Self::Compress, "Compress")];
}

/// How a model is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Rounding to nearest.
    #[default]
    Rtn,
    /// GPTQ.
    Gptq,
    /// GPTAQ.
    Gptaq,
    /// AWQ.
    Awq,
    /// ANY4 and ANY3.
    Any,
    /// The smallest weights become zero.
    Magnitude,
    /// Wanda.
    Wanda,
    /// SparseGPT.
    SparseGpt,
}

impl Method {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Rtn, "RTN"),
        (Self::Gptq, "GPTQ"),
        (Self::Gptaq, "GPTAQ"),
        (Self::Awq, "AWQ"),
        (Self::Any, "ANY"),
        (Self::Magnitude, "Magnitude"),
        (Self::Wanda, "Wanda"),
        (Self::SparseGpt, "SparseGPT"),
    ];

    /// Its name.
    pub fn title(self) -> &'static str {
        Self::ALL.iter().find(|(method, _)| *method == self).map_or("", |(_, title)| title)
    }

    /// Whether it prunes rather than quantizes.
    pub const fn prunes(self) -> bool {
        matches!(self, Self::Magnitude | Self::Wanda | Self::SparseGpt)
    }

    /// Whether it reads calibration text.
    pub const fn calibrates(self) -> bool {
        !matches!(self, Self::Rtn | Self::Magnitude)
    }
}

/// A field that holds a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The folder of the model.
    Model,
    /// The model as one file.
    ModelFile,
    /// The traces.
    Traces,
    /// The annotations.
    Annotations,
    /// The calibration text.
    Calibration,
    /// A recipe.
    Recipe,
    /// The output folder.
    Out,
}

impl Field {
    /// What the dialog is for.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Model => "The model's folder",
            Self::ModelFile => "The model, as a GGUF file",
            Self::Traces => "Traces",
            Self::Annotations => "Annotations",
            Self::Calibration => "Calibration traces",
            Self::Recipe => "A recipe",
            Self::Out => "The output folder",
        }
    }
}

/// How a compressed model is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stored {
    /// 32-bit numbers, exactly what was computed.
    #[default]
    Float32,
    /// 16-bit numbers, as most checkpoints are.
    BFloat16,
    /// Codes and scales, as llm-compressor and vLLM have them.
    Packed,
}

impl Stored {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Float32, "float32"), (Self::BFloat16, "bfloat16"), (Self::Packed, "packed")];

    /// The name in files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(stored, _)| *stored == self).map_or("", |(_, name)| name)
    }
}

/// What is filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// The task.
    pub task: Task,
    /// The model: a Hugging Face folder or a GGUF file.
    pub model: String,
    /// The file of traces.
    pub traces: String,
    /// The file of annotations.
    pub annotations: String,
    /// The output folder.
    pub out: String,
    /// The device.
    pub device: String,
    /// Whether the released code's definition is computed rather than the paper's.
    pub released: bool,
    /// Whether channels are kept.
    pub channels: bool,
    /// At most so many instances; empty for all.
    pub instances: String,
    /// At most so many tokens of an instance; empty for the model's context.
    pub max_tokens: String,
    /// The method.
    pub method: Method,
    /// Bits of a code.
    pub bits: u8,
    /// Columns that share a scale.
    pub group_size: u32,
    /// Percent of weights that become zero.
    pub sparsity: u32,
    /// Calibration traces.
    pub calibration: String,
    /// A recipe's file; empty for one method over all matrices.
    pub recipe: String,
    /// Only these components are compressed; empty for all.
    pub only: String,
    /// These components are left as they are; empty for none.
    pub protect: String,
    /// How the compressed model is stored.
    pub stored: Stored,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            task: Task::default(),
            model: String::new(),
            traces: String::new(),
            annotations: String::new(),
            out: String::new(),
            device: "cpu".to_owned(),
            released: false,
            channels: true,
            instances: String::new(),
            max_tokens: String::new(),
            method: Method::default(),
            bits: 4,
            group_size: 128,
            sparsity: 50,
            calibration: String::new(),
            recipe: String::new(),
            only: String::new(),
            protect: String::new(),
            stored: Stored::default(),
        }
    }
}

impl Form {
    /// Fills a path in.
    pub fn set(&mut self, field: Field, path: String) {
        match field {
            Field::Model | Field::ModelFile => self.model = path,
            Field::Traces => self.traces = path,
            Field::Annotations => self.annotations = path,
            Field::Calibration => self.calibration = path,
            Field::Recipe => self.recipe = path,
            Field::Out => self.out = path,
        }
    }

    /// A line that [`Self::from_text`] reads back.
    pub fn to_text(&self) -> String {
        let task = if self.task == Task::Compress { "compress" } else { "interpret" };
        let flag = |on: bool| if on { "1" } else { "0" }.to_owned();
        link::text(&[
            ("task", task.to_owned()),
            ("model", self.model.clone()),
            ("traces", self.traces.clone()),
            ("annotations", self.annotations.clone()),
            ("out", self.out.clone()),
            ("device", self.device.clone()),
            ("released", flag(self.released)),
            ("channels", flag(self.channels)),
            ("instances", self.instances.clone()),
            ("max-tokens", self.max_tokens.clone()),
            ("method", self.method.title().to_owned()),
            ("bits", self.bits.to_string()),
            ("group-size", self.group_size.to_string()),
            ("sparsity", self.sparsity.to_string()),
            ("calibration", self.calibration.clone()),
            ("recipe", self.recipe.clone()),
            ("only", self.only.clone()),
            ("protect", self.protect.clone()),
            ("stored", self.stored.name().to_owned()),
        ])
    }

    /// What a line says; nothing where it is no such line. What it does not name stays as in an empty form.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut form = Self::default();
        let pairs = link::read(text);
        pairs.iter().find(|(key, _)| key == "task")?;
        for (key, value) in pairs {
            match key.as_str() {
                "task" => form.task = if value == "compress" { Task::Compress } else { Task::Interpret },
                "model" => form.model = value,
                "traces" => form.traces = value,
                "annotations" => form.annotations = value,
                "out" => form.out = value,
                "device" => form.device = value,
                "released" => form.released = value == "1",
                "channels" => form.channels = value == "1",
                "instances" => form.instances = value,
                "max-tokens" => form.max_tokens = value,
                "method" => form.method = Method::ALL.iter().find(|(_, title)| *title == value).map_or(form.method, |(method, _)| *method),
                "bits" => form.bits = value.parse().unwrap_or(form.bits),
                "group-size" => form.group_size = value.parse().unwrap_or(form.group_size),
                "sparsity" => form.sparsity = value.parse().unwrap_or(form.sparsity),
                "calibration" => form.calibration = value,
                "recipe" => form.recipe = value,
                "only" => form.only = value,
                "protect" => form.protect = value,
                "stored" => form.stored = Stored::ALL.iter().find(|(_, name)| *name == value).map_or(form.stored, |(stored, _)| *stored),
                _ => {}
            }
        }
        Some(form)
    }

    /// What is still missing, in words; nothing where a plan can be made.
    pub fn missing(&self) -> Option<&'static str> {
        let empty = |text: &String| text.trim().is_empty();
        match self.task {
            _ if empty(&self.model) => Some("Choose a model"),
            Task::Interpret if empty(&self.traces) => Some("Choose traces"),
            Task::Interpret if empty(&self.annotations) => Some("Choose annotations"),
            Task::Compress if self.recipe.trim().is_empty() && self.method.calibrates() && empty(&self.calibration) => Some("Choose calibration traces"),
            _ if empty(&self.out) => Some("Choose an output folder"),
            _ => None,
        }
    }

    /// What it asks for, as a sentence.
    pub fn sentence(&self) -> String {
        let (model, out) = (self.model.trim(), self.out.trim());
        if self.task == Task::Interpret {
            let all = "of all instances".to_owned();
            let number = Some(self.instances.trim()).filter(|number| !number.is_empty());
            let instances = number.map_or(all, |number| format!("of the first {number} instances"));
            return format!("Computes the importance of every matrix of {model} over the annotated traces {instances}, and writes a study to {out}.");
        }
        let stored = match self.stored {
            Stored::Packed => "as codes that engines load".to_owned(),
            stored => format!("in {}", stored.name()),
        };
        if !self.recipe.trim().is_empty() {
            let recipe = self.recipe.trim();
            return format!("Gives every matrix of {model} what {recipe} says, and writes the model {stored} to {out}.");
        }
        let which = match self.only.trim() {
            "" | "all" => "every matrix".to_owned(),
            only => only.to_owned(),
        };
        let but = match self.protect.trim() {
            "" => String::new(),
            protect => format!(", but leaves {protect} as it is"),
        };
        let how = if self.method.prunes() {
            format!("{} % of its weights pruned by {}", self.sparsity, self.method.title())
        } else {
            format!("{} bits by {} in groups of {}", self.bits, self.method.title(), self.group_size)
        };
        format!("Gives {which} of {model} {how}{but}, and writes the model {stored} to {out}.")
    }

    /// What it says, in a line.
    pub fn words(&self) -> String {
        let model = std::path::Path::new(&self.model)
            .file_name()
            .map_or_else(|| self.model.clone(), |name| name.to_string_lossy().into_owned());
        let beside = || {
            let part = |word: &str, text: &str| (!text.trim().is_empty()).then(|| format!(", {word} {}", text.trim()));
            [part("only", &self.only), part("without", &self.protect)]
                .into_iter()
                .flatten()
                .collect::<String>()
        };
        match self.task {
            Task::Interpret => format!("Interpret {model}"),
            Task::Compress if !self.recipe.trim().is_empty() => {
                let recipe = std::path::Path::new(self.recipe.trim())
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                format!("Compress {model} by {}", recipe.unwrap_or_default())
            }
            Task::Compress if self.method.prunes() => format!("Compress {model}, {} % {}{}", self.sparsity, self.method.title(), beside()),
            Task::Compress => format!("Compress {model}, {}-bit {}{}", self.bits, self.method.title(), beside()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_the_form() {
        let mut form = Form {
            task: Task::Compress,
            model: "a folder/with = & signs\nand lines".into(),
            out: "https://not.an/address".into(),
            method: Method::SparseGpt,
            bits: 3,
            released: true,
            stored: Stored::Packed,
            protect: "final-mlp,32_up".into(),
            ..Form::default()
        };
        let text = form.to_text();
        assert!(!text.contains('\n'));
        assert_eq!(Form::from_text(&text), Some(form.clone()));
        form.task = Task::Interpret;
        assert_eq!(Form::from_text(&form.to_text()), Some(form));
        assert_eq!(Form::from_text("nothing of the kind"), None);
    }

    #[test]
    fn what_is_missing_is_named_in_turn() {
        let mut form = Form::default();
        assert_eq!(form.missing(), Some("Choose a model"));
        form.set(Field::ModelFile, "a/b.gguf".into());
        assert_eq!(form.missing(), Some("Choose traces"));
        form.set(Field::Traces, "t".into());
        form.set(Field::Annotations, "a".into());
        form.set(Field::Out, "o".into());
        assert_eq!((form.missing(), form.words().as_str()), (None, "Interpret b.gguf"));
        form.task = Task::Compress;
        assert_eq!((form.missing(), form.words().as_str()), (None, "Compress b.gguf, 4-bit RTN"));
        form.method = Method::SparseGpt;
        assert_eq!(form.missing(), Some("Choose calibration traces"));
        assert_eq!(form.words(), "Compress b.gguf, 50 % SparseGPT");
        (form.only, form.protect) = ("all".into(), "final-mlp".into());
        assert_eq!(form.words(), "Compress b.gguf, 50 % SparseGPT, only all, without final-mlp");
        let said = form.sentence();
        assert!(
            said.contains("every matrix of a/b.gguf 50 % of its weights pruned by SparseGPT, but leaves final-mlp as it is"),
            "{said}"
        );
        form.set(Field::Recipe, "r/recipe.json".into());
        assert_eq!((form.missing(), form.words().as_str()), (None, "Compress b.gguf by recipe.json"));
    }
}
