//! What a person fills in before a run: the task, its files, its settings.

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
            Self::Out => "The output folder",
        }
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
            Field::Out => self.out = path,
        }
    }

    /// What is still missing, in words; nothing where a plan can be made.
    pub fn missing(&self) -> Option<&'static str> {
        let empty = |text: &String| text.trim().is_empty();
        match self.task {
            _ if empty(&self.model) => Some("Choose a model"),
            Task::Interpret if empty(&self.traces) => Some("Choose traces"),
            Task::Interpret if empty(&self.annotations) => Some("Choose annotations"),
            Task::Compress if self.method.calibrates() && empty(&self.calibration) => Some("Choose calibration traces"),
            _ if empty(&self.out) => Some("Choose an output folder"),
            _ => None,
        }
    }

    /// What it says, in a line.
    pub fn words(&self) -> String {
        let model = std::path::Path::new(&self.model)
            .file_name()
            .map_or_else(|| self.model.clone(), |name| name.to_string_lossy().into_owned());
        match self.task {
            Task::Interpret => format!("Interpret {model}"),
            Task::Compress if self.method.prunes() => format!("Compress {model}, {} % {}", self.sparsity, self.method.title()),
            Task::Compress => format!("Compress {model}, {}-bit {}", self.bits, self.method.title()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
