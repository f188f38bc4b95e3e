//! Fetching a dataset from its publisher at a pinned revision, into a folder of the person's own.
//!
//! FOLIO is gated: its publisher wants to know who takes it, so it is never fetched; [`guide`] says how to get it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use cruxscope_study::Digest;
use cruxscope_study::folder::write_atomically;

use super::{Benchmark, Dataset};
use crate::error::BenchmarkError;

/// Bytes of the largest file that is fetched.
const LARGEST: u64 = 256 << 20;

/// Where a publisher keeps a dataset.
struct Publisher {
    /// The address; `{revision}` stands for the commit.
    address: &'static str,
    /// The revision that is fetched where none is named: a commit, or a branch where the publisher's commits are not known here.
    revision: &'static str,
    /// SHA-256 of the file at that revision, where it is known: whatever a branch is moved to, no other file passes for it.
    sha256: Option<&'static str>,
    /// How many questions it has.
    questions: usize,
}

const fn publisher(benchmark: Benchmark) -> Option<Publisher> {
    match benchmark {
        Benchmark::Aime => Some(Publisher {
            address: "https://huggingface.co/datasets/Maxwell-Jia/AIME_2024/resolve/{revision}/aime_2024_problems.parquet",
            revision: "main",
            sha256: Some("3cb34696a75837f848ea16f15a42f4130be655d5995e8cd24efcc54f4e6e1524"),
            questions: 30,
        }),
        Benchmark::Temporal => Some(Publisher {
            address: "https://raw.githubusercontent.com/suzgunmirac/BIG-Bench-Hard/{revision}/bbh/temporal_sequences.json",
            revision: "9ee07bd481feebf959a6b59d61ea57bdcf30964d",
            sha256: Some("92a1189faaa84aacc4c405aaa13f13f48c2992eb884772eedb622505252baef5"),
            questions: 250,
        }),
        // The hundred questions of the paper, drawn by its authors.
        Benchmark::Musique => Some(Publisher {
            address: "https://raw.githubusercontent.com/psunlpgroup/Compression-Effects/{revision}/random_100_musique.json",
            revision: "039d2a68ceb6b7956555e4e26658b48f2ee3be10",
            sha256: Some("7a56c58921f6fede491193491e4158ea2fc4156db1b9316225fb8c6afa80b85f"),
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

/// Fetches a dataset into `folder`, or finds it there: a file of a benchmark and revision is fetched once. Where no revision is named
/// the file must be the one that is known here, byte for byte. `stop` is asked now and then whether to stop.
///
/// # Errors
///
/// If the dataset is gated, the network or the disk fails, the work is stopped, or what came is not the dataset.
pub fn fetch(benchmark: Benchmark, revision: Option<&str>, folder: &Path, stop: &dyn Fn() -> bool) -> Result<Dataset, BenchmarkError> {
    let failed = |why: String| BenchmarkError::Hub {
        benchmark: benchmark.title().into(),
        why,
    };
    let publisher = publisher(benchmark).ok_or_else(|| failed(guide(benchmark)))?;
    let sha256 = publisher.sha256.filter(|_| revision.is_none_or(|revision| revision == publisher.revision));
    let revision = revision.unwrap_or(publisher.revision);
    if !revision.chars().all(|character| character.is_ascii_alphanumeric() || "._-".contains(character)) {
        return Err(failed(format!("\"{revision}\" is no revision")));
    }
    let address = publisher.address.replace("{revision}", revision);
    let path: PathBuf = folder.join(format!("{benchmark}-{revision}"));
    if !path.is_file() {
        std::fs::create_dir_all(folder).map_err(BenchmarkError::io("create", folder))?;
        let bytes = download(address.clone(), stop).map_err(|why| failed(format!("{why}; {}", guide(benchmark))))?;
        let found = Digest::of(&bytes).0;
        if let Some(expected) = sha256.filter(|expected| *expected != found) {
            return Err(failed(format!(
                "{address} has digest {found}, not {expected}: its publisher has changed it; name a revision to take it as it is there"
            )));
        }
        write_atomically(&path, &bytes)?;
    }
    let dataset = Dataset::read(&path)?;
    if let Some(expected) = sha256.filter(|expected| *expected != dataset.source.sha256.0) {
        return Err(failed(format!(
            "{} holds another file than the one that is known, with digest {} rather than {expected}; delete it and fetch again",
            path.display(),
            dataset.source.sha256.0
        )));
    }
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

/// The bytes behind an address, read on a thread of their own, so that a stop is heard while the server is silent.
fn download(address: String, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, String> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let named = address.clone();
    let read = move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(300))).build().into();
        let mut response = agent.get(&address).call()?;
        response.body_mut().with_config().limit(LARGEST).read_to_vec()
    };
    // Where nobody listens any more, nothing is left to say.
    let started = std::thread::Builder::new().name("download".into()).spawn(move || sender.send(read()).ok());
    started.map_err(|error| format!("no thread could be started: {error}"))?;
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(result) => return result.map_err(|error: ureq::Error| format!("{named}: {error}")),
            Err(RecvTimeoutError::Timeout) if stop() => return Err("the work was stopped".into()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(format!("{named}: the thread that reads it failed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gated_dataset_is_never_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(Benchmark::Folio, None, folder.path(), &|| false).unwrap_err();
        assert!(error.to_string().contains("accept its terms"), "{error}");
    }

    #[test]
    fn revisions_cannot_leave_the_folder_and_a_wrong_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            fetch(Benchmark::Aime, Some("../x"), folder.path(), &|| false)
                .unwrap_err()
                .to_string()
                .contains("no revision")
        );
        // What was fetched before is not fetched again, but it is checked: by its digest, and by what it holds.
        std::fs::write(folder.path().join("aime-main"), r#"{"Problem": "1+1", "Answer": 2}"#).unwrap();
        let error = fetch(Benchmark::Aime, None, folder.path(), &|| false).unwrap_err().to_string();
        assert!(error.contains("another file than the one that is known"), "{error}");
        std::fs::write(folder.path().join("aime-other"), r#"{"Problem": "1+1", "Answer": 2}"#).unwrap();
        let error = fetch(Benchmark::Aime, Some("other"), folder.path(), &|| false).unwrap_err().to_string();
        assert!(error.contains("1 questions of AIME 2024, not the 30"), "{error}");
    }

    #[test]
    fn what_is_fetched_unnamed_is_pinned() {
        for benchmark in Benchmark::ALL {
            let Some(publisher) = publisher(benchmark) else { continue };
            let commit = publisher.revision.len() == 40 && publisher.revision.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(
                commit || publisher.sha256.is_some(),
                "{benchmark} is pinned neither by a commit nor by a digest"
            );
        }
    }
}
