//! Flags of benchmarks that several models answer alike.

use std::path::PathBuf;

use clap::Args;
use cruxscope_benchmark::generator::SamplingSettings;
use cruxscope_run::questions::Questions;
use cruxscope_run::sampling::PromptChoice;

use crate::numbers::{MOST, MOST_TOKENS, number, whole};

/// Samples that a model writes at once.
const AT_ONCE: usize = 16;

/// What models are asked.
#[derive(Clone, Debug, Args)]
pub struct QuestionArguments {
    /// A dataset as published, which models answer with the same seeds, compared in pairs; can be given several times
    #[arg(long, value_name = "FILE")]
    pub benchmark: Vec<PathBuf>,
    /// Maximum number of questions of each dataset
    #[arg(long, value_name = "N", requires = "benchmark", value_parser = whole::<usize>(1, MOST))]
    questions: Option<usize>,
    /// Samples per question
    #[arg(long, value_name = "N", default_value_t = 1, requires = "benchmark", value_parser = whole::<u32>(1, 10_000))]
    samples_per_question: u32,
    /// Temperature of the answers; 0 takes the most probable token
    #[arg(long, default_value_t = 0.6, requires = "benchmark", value_parser = number(0.0, 100.0))]
    temperature: f64,
    /// Maximum number of new tokens of an answer
    #[arg(long, value_name = "TOKENS", default_value_t = 32_768, requires = "benchmark", value_parser = whole::<usize>(1, MOST_TOKENS))]
    max_new_tokens: usize,
    /// Put questions through the model's chat template: its folder, its tokenizer_config.json or a .jinja file [default: raw, ending in <think>]
    #[arg(long, value_name = "PATH", requires = "benchmark")]
    template: Option<PathBuf>,
}

impl QuestionArguments {
    /// The questions; none where no dataset is given.
    pub fn questions(&self) -> Option<Questions> {
        (!self.benchmark.is_empty()).then(|| Questions {
            datasets: self.benchmark.clone(),
            first: self.questions,
            passes: self.samples_per_question,
            sampling: SamplingSettings {
                temperature: self.temperature,
                max_new_tokens: self.max_new_tokens,
                ..SamplingSettings::default()
            },
            seed: 1,
            prompt: self.template.clone().map_or(PromptChoice::Raw, PromptChoice::Chat),
            parallel: AT_ONCE,
        })
    }
}
