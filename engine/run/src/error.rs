//! What ends a run before its time.

use std::path::PathBuf;

use cruxscope_benchmark::BenchmarkError;
use cruxscope_checkpoint::CheckpointError;
use cruxscope_compress::CompressError;
use cruxscope_interpret::InterpretError;
use cruxscope_model::ModelError;
use cruxscope_sensitivity::SensitivityError;
use cruxscope_study::StudyError;
use cruxscope_trace::TraceError;

/// Why a run could not be planned or finished.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The traces or annotations cannot be used.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A benchmark could not be read, planned or written down.
    #[error(transparent)]
    Benchmark(Box<BenchmarkError>),
    /// The model could not be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The interpretation failed.
    #[error(transparent)]
    Interpret(#[from] InterpretError),
    /// A menu, a candidate or a budget cannot be used.
    #[error(transparent)]
    Sensitivity(SensitivityError),
    /// A study could not be read or written.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// A named instance is not there.
    #[error("there is no instance \"{id}\" among the annotated traces; there are {known}, such as {examples}")]
    NoSuchInstance {
        /// What was asked for.
        id: String,
        /// How many there are.
        known: usize,
        /// A few of them.
        examples: String,
    },
    /// A text that was to end generation is no token.
    #[error(
        "\"{wanted}\" cannot end a text: it is {tokens} tokens long, and a stop must be exactly one; give a special token such as <|im_end|>, or a token's number"
    )]
    StopToken {
        /// What was asked for.
        wanted: String,
        /// How many tokens it is.
        tokens: usize,
    },
    /// An instance has no token.
    #[error("instance \"{id}\" has no token to read: its prompt and output are empty")]
    EmptyInstance {
        /// The instance.
        id: String,
    },
    /// The annotations match the traces, but no segment is left.
    #[error("no segment is left of {sections} annotated sections: {reasons}. Were these annotations made for these traces?", reasons = if .reasons.is_empty() { "no text in them reads as a labelled section" } else { .reasons.as_str() })]
    NothingLeft {
        /// Sections that were read.
        sections: usize,
        /// Counts by reason.
        reasons: String,
    },
    /// The folder holds another study.
    #[error("{path} already holds another study ({why}); choose another folder with --out, or delete it")]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// How it differs.
        why: String,
    },
    /// A file that is not this program's stands where one would be written.
    #[error("{path} is there, and {why}; it is not written over: move it away")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is not.
        why: &'static str,
    },
    /// The plan does not fit the machine.
    #[error("this needs about {needed} of memory, and {available} are free: {hint}")]
    Memory {
        /// What the plan needs.
        needed: String,
        /// What is free.
        available: String,
        /// What can be done.
        hint: String,
    },
    /// A recipe cannot be followed.
    #[error("{why}")]
    Recipe {
        /// Why.
        why: String,
    },
    /// A model did not answer all questions.
    #[error("{missing} of the answers of {model} are missing; the same command asks for them again")]
    AnswersMissing {
        /// The model.
        model: String,
        /// Answers.
        missing: usize,
    },
    /// A plan of shards cannot be followed.
    #[error("{why}")]
    Shards {
        /// Why.
        why: String,
    },
    /// Shards are to be put together, but instances are missing.
    #[error("{missing} of {of} instances are missing, of the shards {shards}; run these again, then merge")]
    Unfinished {
        /// Instances that are missing.
        missing: usize,
        /// Instances of the plan.
        of: usize,
        /// The numbers of their shards, separated by commas.
        shards: String,
    },
    /// A matrix could not be compressed.
    #[error("could not compress {component}: {source}")]
    Compress {
        /// The component.
        component: String,
        /// What the method said.
        source: CompressError,
    },
    /// A matrix's codes could not be packed.
    #[error("could not pack {component}: {source}")]
    Pack {
        /// The component.
        component: String,
        /// Why.
        source: cruxscope_checkpoint::packed::PackedError,
    },
    /// A matrix lost its weights to a grid whose steps are larger than they are.
    #[error(
        "{component} would lose {percent:.1} % of its weights: whole groups of them are smaller than this grid's smallest step (1e-5 over its codes) and become zero; take another grid, such as --grid gptq-asym"
    )]
    Vanished {
        /// The component.
        component: String,
        /// How many of its weights.
        percent: f64,
    },
    /// A file of tokens or text cannot be used.
    #[error("{path} cannot be read as tokens: {why}")]
    Windows {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A model is made of more than the work knows.
    #[error("{what} is not known for {architecture}: its layers hold {why}, and not the seven linear maps of a dense layer alone")]
    Beyond {
        /// The work.
        what: &'static str,
        /// The family.
        architecture: &'static str,
        /// What its layers hold.
        why: &'static str,
    },
    /// A setting makes no sense.
    #[error("{setting} is {value}, but {rule}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The disk refused.
    #[error("could not {attempt} {path}: {source}")]
    Io {
        /// Such as "create".
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl RunError {
    /// Whether it is a usage or input error (exit code 2) rather than a runtime failure that may pass (1).
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Checkpoint(error) => error.is_user_error(),
            Self::Trace(error) => error.is_user_error(),
            Self::Benchmark(error) => error.is_user_error(),
            Self::Model(error) => error.is_user_error(),
            Self::Interpret(error) => error.is_user_error(),
            Self::Sensitivity(error) => error.is_user_error(),
            Self::Study(error) => !matches!(error, StudyError::Io { .. } | StudyError::Busy { .. }),
            Self::Io { .. } | Self::Unfinished { .. } | Self::AnswersMissing { .. } => false,
            _ => true,
        }
    }
}

impl From<SensitivityError> for RunError {
    fn from(error: SensitivityError) -> Self {
        // What the pass only hands on is told by its own kind, so that a stop is known as one.
        match error {
            SensitivityError::Model(error) => Self::Model(error),
            SensitivityError::Interpret(error) => Self::Interpret(error),
            SensitivityError::Study(error) => Self::Study(error),
            other => Self::Sensitivity(other),
        }
    }
}
