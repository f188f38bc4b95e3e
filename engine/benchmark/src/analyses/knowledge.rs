//! Knowledge against reasoning (paper, appendix L and table 8): the same questions closed book and with passages at hand.
//!
//! Passages are found by words (BM25) or by vectors of an embeddings endpoint. A question with its passages is a question
//! like any other: it is sampled and scored as before, and the two scores are compared question by question.

use std::path::Path;

use bm25::{Document, SearchEngine, SearchEngineBuilder, Tokenizer};
use cruxscope_trace::lines;
use serde::Deserialize;

use crate::datasets::{Dataset, Passage, Question};
use crate::endpoint::Endpoint;
use crate::error::BenchmarkError;

/// Texts sent to an embeddings endpoint at once.
const BATCH: usize = 32;

/// Passages in which to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    passages: Vec<Passage>,
}

#[derive(Deserialize)]
struct PassageLine {
    #[serde(default)]
    title: String,
    text: String,
}

impl Corpus {
    /// A file of JSON lines, `{"title", "text"}`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or holds no passage.
    pub fn read(path: &Path) -> Result<Self, BenchmarkError> {
        let mut passages = Vec::new();
        lines::for_each::<PassageLine, BenchmarkError>(path, r#"{"title": "…", "text": "…"}"#, |_, PassageLine { title, text }| {
            passages.push(Passage { title, text });
            Ok(())
        })?;
        Self::new(passages, &path.display().to_string())
    }

    /// The passages that a dataset gives to its questions, all together, each once.
    ///
    /// # Errors
    ///
    /// If it gives none.
    pub fn of(dataset: &Dataset) -> Result<Self, BenchmarkError> {
        let all = dataset.questions.iter().flat_map(|question| question.passages.iter().cloned());
        Self::new(all.collect(), dataset.benchmark.title())
    }

    fn new(passages: Vec<Passage>, name: &str) -> Result<Self, BenchmarkError> {
        let mut seen = std::collections::BTreeSet::new();
        let passages: Vec<Passage> = passages
            .into_iter()
            .filter(|passage| seen.insert((passage.title.clone(), passage.text.clone())))
            .collect();
        if passages.is_empty() {
            return Err(BenchmarkError::Nothing {
                what: format!("{name} holds no passages to look in"),
            });
        }
        Ok(Self { passages })
    }

    fn texts(&self) -> Vec<String> {
        self.passages.iter().map(|passage| format!("{}\n{}", passage.title, passage.text)).collect()
    }
}

/// Cuts text into words in lower case: no stems, no stop words, the same in every language.
#[derive(Default)]
struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        text.split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    }
}

/// A corpus, ready to be searched.
pub struct Retriever<'a> {
    corpus: &'a Corpus,
    index: Index<'a>,
}

enum Index<'a> {
    Words(Box<SearchEngine<u32, u32, Words>>),
    Vectors {
        endpoint: &'a Endpoint,
        stop: &'a dyn Fn() -> bool,
        vectors: Vec<Vec<f32>>,
    },
}

impl<'a> Retriever<'a> {
    /// Search by words: BM25 with `k1 = 1.2` and `b = 0.75`.
    pub fn by_words(corpus: &'a Corpus) -> Self {
        let documents = corpus.texts().into_iter().enumerate().map(|(number, text)| Document::new(number as u32, text));
        let engine = SearchEngineBuilder::<u32, u32, Words>::with_tokenizer_and_documents(Words, documents.collect::<Vec<_>>())
            .k1(1.2)
            .b(0.75)
            .build();
        Self {
            corpus,
            index: Index::Words(Box::new(engine)),
        }
    }

    /// Search by meaning: cosine similarity of an endpoint's vectors. `stop` is asked now and then whether to stop asking for them.
    ///
    /// # Errors
    ///
    /// If the endpoint gives no vectors.
    pub fn by_vectors(corpus: &'a Corpus, endpoint: &'a Endpoint, stop: &'a dyn Fn() -> bool) -> Result<Self, BenchmarkError> {
        let mut vectors = Vec::with_capacity(corpus.passages.len());
        for batch in corpus.texts().chunks(BATCH) {
            let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
            vectors.extend(endpoint.embeddings(&texts, stop).map_err(|error| BenchmarkError::Endpoint(error.to_string()))?);
        }
        Ok(Self {
            corpus,
            index: Index::Vectors { endpoint, stop, vectors },
        })
    }

    /// The passages nearest to a question, nearest first; of equally near ones, those that stand earlier in the corpus.
    ///
    /// # Errors
    ///
    /// If the endpoint gives no vector.
    pub fn nearest(&self, query: &str, count: usize) -> Result<Vec<&Passage>, BenchmarkError> {
        let mut scored: Vec<(usize, f32)> = match &self.index {
            Index::Words(engine) => engine
                .search(query, self.corpus.passages.len())
                .into_iter()
                .map(|found| (found.document.id as usize, found.score))
                .collect(),
            Index::Vectors { endpoint, stop, vectors } => {
                let query = endpoint
                    .embeddings(&[query], stop)
                    .map_err(|error| BenchmarkError::Endpoint(error.to_string()))?;
                let query = query.first().map(Vec::as_slice).unwrap_or_default();
                vectors.iter().map(|vector| cosine(query, vector)).enumerate().collect()
            }
        };
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok(scored
            .into_iter()
            .take(count)
            .filter_map(|(place, _)| self.corpus.passages.get(place))
            .collect())
    }

    /// A dataset whose questions come with the passages nearest to them.
    ///
    /// # Errors
    ///
    /// As [`Retriever::nearest`].
    pub fn equip(&self, dataset: &Dataset, count: usize) -> Result<Dataset, BenchmarkError> {
        let questions = dataset
            .questions
            .iter()
            .map(|question| {
                let passages = self.nearest(&question.text, count)?.into_iter().cloned().collect();
                Ok(with_passages(question, passages))
            })
            .collect::<Result<_, BenchmarkError>>()?;
        Ok(Dataset { questions, ..dataset.clone() })
    }
}

/// A question with passages before it.
pub fn with_passages(question: &Question, passages: Vec<Passage>) -> Question {
    let mut text = String::from("Passages that may help:\n\n");
    for (number, passage) in passages.iter().enumerate() {
        let title = if passage.title.is_empty() {
            String::new()
        } else {
            format!(" {}:", passage.title)
        };
        text.push_str(&format!("[{}]{title} {}\n\n", number + 1, passage.text.trim()));
    }
    text.push_str(&question.text);
    Question {
        text,
        passages,
        ..question.clone()
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let scale = (dot(a, a) * dot(b, b)).sqrt();
    if a.len() == b.len() && scale > 0.0 {
        (dot(a, b) / scale) as f32
    } else {
        -1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::Benchmark;

    #[test]
    fn words_find_their_passage() {
        let passage = |title: &str, text: &str| Passage {
            title: title.into(),
            text: text.into(),
        };
        let corpus = Corpus::new(
            vec![
                passage("Rivers", "The Danube flows through Vienna."),
                passage("Magic Christian Music", "An album by Badfinger, released on Apple Records."),
                passage("Apples", "An apple is a fruit."),
                passage("Apples", "An apple is a fruit."),
            ],
            "test",
        )
        .unwrap();
        assert_eq!(corpus.passages.len(), 3);
        let retriever = Retriever::by_words(&corpus);
        let found = retriever
            .nearest("What company is the record label of Magic Christian Music part of?", 2)
            .unwrap();
        assert_eq!(found[0].title, "Magic Christian Music");
        assert_eq!(retriever.nearest("DANUBE?", 1).unwrap()[0].title, "Rivers");
        let question = Question {
            text: "Which river flows through Vienna?".into(),
            ..Question::bare(Benchmark::Musique, 0)
        };
        let dataset = Dataset {
            benchmark: Benchmark::Musique,
            questions: vec![question],
            source: cruxscope_study::FileDigest::default(),
        };
        let equipped = retriever.equip(&dataset, 1).unwrap();
        assert_eq!(
            equipped.questions[0].raw_prompt(),
            "Passages that may help:\n\n[1] Rivers: The Danube flows through Vienna.\n\nWhich river flows through Vienna?\n<think>\n"
        );
        assert!(Corpus::of(&dataset).is_err());
    }

    #[test]
    fn cosines() {
        assert!((cosine(&[1.0, 0.0], &[2.0, 0.0]) - 1.0).abs() < 1e-6);
        assert_eq!(cosine(&[0.0], &[1.0]), -1.0);
        assert_eq!(cosine(&[1.0], &[1.0, 1.0]), -1.0);
    }
}
