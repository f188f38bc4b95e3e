//! Fetching a dataset from its publisher at a pinned revision, into a folder of the person's own.
//!
//! FOLIO is gated: its publisher wants to know who takes it, so it is never fetched; [`guide`] says how to get it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cruxscope_study::folder::write_atomically;

use super::{Benchmark, Dataset};
use crate::error::BenchmarkError;

/// Bytes of the largest file that is fetched.
const LARGEST: u64 = 256 << 20;

/// Where a publisher keeps a dataset.
struct Publisher {
    /// The address; `{revision}` stands for the commit.
    address: &'static str,
    /// The revision that is fetched where none is named.
    revision: &'static str,
    /// How many questions it has.
    questions: usize,
}

const fn publisher(benchmark: Benchmark) -> Option<Publisher> {
    match benchmark {
        Benchmark::Aime => Some(Publisher {
            address: "https://huggingface.co/datasets/Maxwell-Jia/AIME_2024/resolve/{revision}/aime_2024_problems.parquet",
            revision: "main",
            questions: 30,
        }),
        Benchmark::Temporal => Some(Publisher {
            address: "https://raw.githubusercontent.com/suzgunmirac/BIG-Bench-Hard/{revision}/bbh/temporal_sequences.json",
            revision: "main",
            questions: 250,
        }),
        // The hundred questions of the paper, drawn by its authors.
        Benchmark::Musique => Some(Publisher {
            address: "https://raw.githubusercontent.com/psunlpgroup/Compression-Effects/{revision}/random_100_musique.json",
            revision: "039d2a68ceb6b7956555e4e26658b48f2ee3be10",
            questions: 100,
        }),
        Benchmark::Folio => None,
    }
}

/// How to get a dataset by hand.
pub fn guide(benchmark: Benchmark) -> String {
    match publisher(benchmark) {
        Some(publisher) => format!("download {} and give its path", publisher.address.replace("{revision}", publisher.revision)),
        None => {
            "FOLIO is gated: accept its terms at https://huggingface.co/datasets/yale-nlp/FOLIO, download folio_v2_validation.jsonl and give its path".into()
        }
    }
}

/// Fetches a dataset into `folder`, or finds it there: a file of a benchmark and revision is fetched once. Its digest, which
/// [`Dataset::source`] has, names what was fetched whatever a branch is moved to later.
///
/// # Errors
///
/// If the dataset is gated, the network or the disk fails, or what came is not the dataset.
pub fn fetch(benchmark: Benchmark, revision: Option<&str>, folder: &Path) -> Result<Dataset, BenchmarkError> {
    let failed = |why: String| BenchmarkError::Hub {
        benchmark: benchmark.title().into(),
        why,
    };
    let publisher = publisher(benchmark).ok_or_else(|| failed(guide(benchmark)))?;
    let revision = revision.unwrap_or(publisher.revision);
    if !revision.chars().all(|character| character.is_ascii_alphanumeric() || "._-".contains(character)) {
        return Err(failed(format!("\"{revision}\" is no revision")));
    }
    let address = publisher.address.replace("{revision}", revision);
    let path: PathBuf = folder.join(format!("{benchmark}-{revision}"));
    if !path.is_file() {
        std::fs::create_dir_all(folder).map_err(BenchmarkError::io("create", folder))?;
        let bytes = download(&address).map_err(|why| failed(format!("{why}; {}", guide(benchmark))))?;
        write_atomically(&path, &bytes)?;
    }
    let dataset = Dataset::read(&path)?;
    if dataset.benchmark != benchmark || dataset.questions.len() != publisher.questions {
        return Err(failed(format!(
            "{address} holds {} questions of {}, not the {} that were expected; delete {} and try another revision",
            dataset.questions.len(),
            dataset.benchmark.title(),
            publisher.questions,
            path.display()
        )));
    }
    Ok(dataset)
}

/// The bytes behind an address.
fn download(address: &str) -> Result<Vec<u8>, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(300))).build().into();
    let mut response = agent.get(address).call().map_err(|error| format!("{address}: {error}"))?;
    response
        .body_mut()
        .with_config()
        .limit(LARGEST)
        .read_to_vec()
        .map_err(|error| format!("{address}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gated_dataset_is_never_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(Benchmark::Folio, None, folder.path()).unwrap_err();
        assert!(error.to_string().contains("accept its terms"), "{error}");
    }

    #[test]
    fn revisions_cannot_leave_the_folder_and_a_wrong_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            fetch(Benchmark::Aime, Some("../x"), folder.path())
                .unwrap_err()
                .to_string()
                .contains("no revision")
        );
        // What was fetched before is not fetched again, but it is checked.
        std::fs::write(folder.path().join("aime-main"), r#"{"Problem": "1+1", "Answer": 2}"#).unwrap();
        let error = fetch(Benchmark::Aime, None, folder.path()).unwrap_err().to_string();
        assert!(error.contains("1 questions of AIME 2024, not the 30"), "{error}");
    }
}
