//! What a benchmark run reads: datasets, templates of prompts, passages.

use std::path::PathBuf;

use cruxscope_benchmark::analyses::knowledge::{Corpus, Retriever};
use cruxscope_benchmark::datasets::{Benchmark, Dataset, hub};
use cruxscope_benchmark::endpoint::{Endpoint, EndpointSettings};
use cruxscope_benchmark::prompts::{ChatTemplate, PromptStyle, PromptTemplate};

use crate::RunError;

/// Where a dataset comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetSource {
    /// A local file.
    File(PathBuf),
    /// Its publisher; what is fetched stays in the folder.
    Hub {
        /// The benchmark.
        benchmark: Benchmark,
        /// The revision, or the usual one.
        revision: Option<String>,
        /// Where it is kept.
        folder: PathBuf,
    },
}

impl DatasetSource {
    /// Reads or fetches it; `stop` is asked now and then whether to stop fetching.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub fn read(&self, stop: &dyn Fn() -> bool) -> Result<Dataset, RunError> {
        Ok(match self {
            Self::File(path) => Dataset::read(path)?,
            Self::Hub { benchmark, revision, folder } => hub::fetch(*benchmark, revision.as_deref(), folder, stop)?,
        })
    }
}

/// How prompts are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PromptChoice {
    /// As in the published outputs.
    #[default]
    Raw,
    /// A person's message, for the server's own template.
    Messages,
    /// Through a checkpoint's chat template: its folder, `tokenizer_config.json`, or a `.jinja` file.
    Chat(PathBuf),
    /// Through a template of one's own.
    Custom(PathBuf),
}

impl PromptChoice {
    /// The style of prompts, its template read.
    ///
    /// # Errors
    ///
    /// If a template cannot be read.
    pub(super) fn style(&self) -> Result<PromptStyle, RunError> {
        Ok(match self {
            Self::Raw => PromptStyle::Raw,
            Self::Messages => PromptStyle::Messages,
            Self::Chat(path) => PromptStyle::Chat(ChatTemplate::open(path)?),
            Self::Custom(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| RunError::Io {
                    attempt: "read",
                    path: path.clone(),
                    source,
                })?;
                PromptStyle::Custom(PromptTemplate::new(&path.display().to_string(), text)?)
            }
        })
    }
}

/// Passages that are put before each question.
#[derive(Clone, Debug)]
pub struct Retrieval {
    /// A file of passages, or the dataset's own.
    pub corpus: Option<PathBuf>,
    /// Passages a question.
    pub count: usize,
    /// An embeddings endpoint, or words alone.
    pub embeddings: Option<EndpointSettings>,
}

impl Retrieval {
    /// A dataset with passages before its questions.
    ///
    /// # Errors
    ///
    /// If the passages cannot be read, or the embeddings endpoint fails; `stop` is asked now and then.
    pub(super) fn equip(&self, dataset: &Dataset, stop: &dyn Fn() -> bool) -> Result<Dataset, RunError> {
        let corpus = match &self.corpus {
            Some(path) => Corpus::read(path)?,
            None => Corpus::of(dataset)?,
        };
        let endpoint = self.embeddings.clone().map(Endpoint::new).transpose()?;
        let retriever = match &endpoint {
            Some(endpoint) => Retriever::by_vectors(&corpus, endpoint, stop)?,
            None => Retriever::by_words(&corpus),
        };
        Ok(retriever.equip(dataset, self.count)?)
    }
}
