//! The program, its inputs in a folder of their own, and what it wrote.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub const BEHAVIOURS: [&str; 4] = ["backtracking", "uncertainty-estimation", "example-testing", "adding-knowledge"];

pub fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny")
}

pub fn cruxscope() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cruxscope"))
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The inputs of a run in a folder of their own, to be spoilt one by one.
pub struct Inputs {
    pub folder: tempfile::TempDir,
}

impl Inputs {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("model")).unwrap();
        for name in ["model/config.json", "model/model.safetensors", "traces.jsonl", "annotations.jsonl"] {
            std::fs::copy(tiny().join(name), folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn edit_config(&self, edit: impl FnOnce(&mut Value)) {
        let mut config: Value = serde_json::from_slice(&self.read("model/config.json")).unwrap();
        edit(&mut config);
        self.write("model/config.json", config.to_string());
    }

    pub fn command(&self) -> Command {
        let mut command = cruxscope();
        command
            .arg("interpret")
            .arg("--model")
            .arg(self.path("model"))
            .arg("--traces")
            .arg(self.path("traces.jsonl"));
        command
            .arg("--annotations")
            .arg(self.path("annotations.jsonl"))
            .arg("--out")
            .arg(self.path("study"));
        command
    }

    /// The run is refused: exit code 2, a message that holds all of `words`, and nothing written.
    pub fn is_refused(&self, extra: &[&str], words: &[&str]) {
        let output = self.command().args(extra).output().unwrap();
        let talk = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{talk}");
        for word in words {
            assert!(talk.contains(word), "\"{word}\" is not in: {talk}");
        }
        assert!(!talk.contains("panicked"), "{talk}");
        assert!(output.stdout.is_empty(), "stdout is for results");
        assert!(!self.path("study").exists(), "something was written");
    }

    pub fn study(&self) -> Value {
        let output = self.command().output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        show(&self.path("study"))
    }
}

pub fn show(study: &Path) -> Value {
    let output = cruxscope().arg("show").arg(study).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every byte of every file of a study.
pub fn bytes(study: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(study)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

pub fn text(name: &str) -> String {
    String::from_utf8(std::fs::read(tiny().join(name)).unwrap()).unwrap()
}
