//! The four benchmarks (paper, section 3.1 and appendix C): their questions, whatever form their publisher ships them in.
//!
//! A dataset is read from a local file, recognised by its fields, or fetched from its hub at a pinned revision
//! ([`hub`]). Nothing of any dataset is part of this program.

mod fields;
pub mod hub;
mod table_file;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use cruxscope_study::{FileDigest, folder::digest_of_file};
use serde::{Deserialize, Serialize};

use crate::error::BenchmarkError;

/// A benchmark of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Benchmark {
    /// AIME 2024: 30 problems, answers are integers.
    Aime,
    /// FOLIO, validation: 203 conclusions that are true, false or uncertain.
    Folio,
    /// Temporal Sequences of BIG-Bench Hard: 250 questions with four options.
    Temporal,
    /// MuSiQue, closed book: answers in a few words.
    Musique,
}

impl Benchmark {
    /// All four, in the paper's order.
    pub const ALL: [Self; 4] = [Self::Aime, Self::Folio, Self::Temporal, Self::Musique];

    /// The name in options and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aime => "aime",
            Self::Folio => "folio",
            Self::Temporal => "temporal",
            Self::Musique => "musique",
        }
    }

    /// The name a person reads.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Aime => "AIME 2024",
            Self::Folio => "FOLIO",
            Self::Temporal => "Temporal",
            Self::Musique => "MuSiQue",
        }
    }

    /// What stands before the number in a question's id, as in the published outputs.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Aime => "AIME_2024",
            Self::Folio => "FOLIO",
            Self::Temporal => "temporal_sequences",
            Self::Musique => "MuSiQue100",
        }
    }

    /// The benchmark of a question's id.
    pub fn of_id(id: &str) -> Option<Self> {
        let prefix = id.split_once('/').map_or(id, |(prefix, _)| prefix);
        Self::ALL.into_iter().find(|benchmark| benchmark.prefix() == prefix)
    }
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Benchmark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|benchmark| benchmark.name() == text)
            .ok_or_else(|| format!("\"{text}\" is no benchmark; known are aime, folio, temporal, musique"))
    }
}

/// A passage that belongs to a question, for retrieval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Its title.
    pub title: String,
    /// Its text.
    pub text: String,
}

/// One question with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Benchmark and number, such as `temporal_sequences/17`.
    pub id: String,
    /// The benchmark.
    pub benchmark: Benchmark,
    /// The task as it is put to a model, without what makes a reasoning model think.
    pub text: String,
    /// What stands between the task and `<think>` in the published prompts: a line break, but nothing for FOLIO.
    pub before_thoughts: &'static str,
    /// The expected answer, as the dataset has it.
    pub answer: String,
    /// Other answers that count.
    pub aliases: Vec<String>,
    /// Passages that the dataset gives to the question. They are never part of a prompt unless retrieval puts them there.
    pub passages: Vec<Passage>,
}

impl Question {
    /// The prompt of the published outputs: the task, then `<think>` and a line break.
    pub fn raw_prompt(&self) -> String {
        format!("{}{}<think>\n", self.text, self.before_thoughts)
    }

    /// A question without content, to be filled.
    pub(crate) fn bare(benchmark: Benchmark, number: usize) -> Self {
        Self {
            id: format!("{}/{number}", benchmark.prefix()),
            benchmark,
            text: String::new(),
            before_thoughts: if benchmark == Benchmark::Folio { "" } else { "\n" },
            answer: String::new(),
            aliases: Vec::new(),
            passages: Vec::new(),
        }
    }
}

/// The questions of a benchmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The benchmark.
    pub benchmark: Benchmark,
    /// Its questions, in the file's order. Never empty.
    pub questions: Vec<Question>,
    /// The file they come from.
    pub source: FileDigest,
}

impl Dataset {
    /// Reads a dataset, plain or gzipped, from JSON, JSON lines or Parquet, in the form of its publisher:
    ///
    /// | benchmark | fields |
    /// | --- | --- |
    /// | AIME | `Problem`, `Answer` |
    /// | FOLIO | `premises` (text or list), `conclusion`, `label` |
    /// | Temporal | `examples` of `input`, `target` |
    /// | MuSiQue | `question`, `answer`, `answer_aliases`, `paragraphs` |
    ///
    /// Case does not count, `answer` does for `label` and `target`, and an `id` of the form `FOLIO/7` is kept; otherwise
    /// questions are numbered from 0.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, its fields are those of no benchmark, a record lacks one, or two have the same id.
    pub fn read(path: &Path) -> Result<Self, BenchmarkError> {
        let source = digest_of_file(path).map_err(|error| BenchmarkError::Dataset {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        let records = table_file::records(path)?;
        let (benchmark, questions) = fields::questions(path, &records)?;
        Ok(Self { benchmark, questions, source })
    }

    /// The first so many questions only.
    pub fn first(mut self, count: usize) -> Self {
        self.questions.truncate(count.max(1));
        self
    }
}
