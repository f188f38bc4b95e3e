//! The size of the program in the page, compressed as servers send it: it grows quietly unless somebody looks.
//!
//! `budget.json` holds a ceiling and the size last recorded; every build prints the change, and a build above the ceiling fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// What a program weighs, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// After gzip, as most servers send it.
    pub gzip: u64,
    /// After brotli at its best, as servers of files send it.
    pub brotli: u64,
}

/// What the program in the page may weigh, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// The most it may weigh after brotli.
    ceiling_brotli_bytes: u64,
    /// What it weighed after brotli when somebody last looked and agreed.
    recorded_brotli_bytes: u64,
    /// What it weighed after gzip then.
    recorded_gzip_bytes: u64,
}

/// Prints how a build stands to the budget.
///
/// # Errors
/// When it weighs more than the ceiling, or the budget cannot be read.
pub fn check(weight: Weight) -> anyhow::Result<()> {
    let budget = read(&path())?;
    eprintln!("{}", budget.verdict(weight));
    if weight.brotli > budget.ceiling_brotli_bytes {
        bail!(
            "the program of the page weighs more than its ceiling; make it smaller, or raise the ceiling in {} with a reason",
            path().display()
        );
    }
    Ok(())
}

/// Keeps the size of this build as the one to compare with.
///
/// # Errors
/// When the budget cannot be read or written.
pub fn record(weight: Weight) -> anyhow::Result<()> {
    let path = path();
    let mut budget = read(&path)?;
    budget.recorded_brotli_bytes = weight.brotli;
    budget.recorded_gzip_bytes = weight.gzip;
    let text = serde_json::to_string_pretty(&budget)? + "\n";
    cruxscope_study::folder::write_atomically(&path, text.as_bytes())?;
    eprintln!("{}", budget.verdict(weight));
    Ok(())
}

impl Budget {
    fn verdict(&self, weight: Weight) -> String {
        let change = |now: u64, recorded: u64| match now as i64 - recorded as i64 {
            0 => "as recorded".to_owned(),
            change => format!("{:+.1} kB since recorded", change as f64 / 1e3),
        };
        format!(
            "program of the page {} after brotli, {}; ceiling {}; {} after gzip, {}",
            megabytes(weight.brotli),
            change(weight.brotli, self.recorded_brotli_bytes),
            megabytes(self.ceiling_brotli_bytes),
            megabytes(weight.gzip),
            change(weight.gzip, self.recorded_gzip_bytes)
        )
    }
}

/// A size as a person reads it.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.json")
}

fn read(path: &Path) -> anyhow::Result<Budget> {
    let text = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no budget", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_change_is_said_in_words() {
        let budget = Budget {
            ceiling_brotli_bytes: 2_500_000,
            recorded_brotli_bytes: 1_800_000,
            recorded_gzip_bytes: 2_500_000,
        };
        let weight = Weight {
            gzip: 2_500_000,
            brotli: 1_812_300,
        };
        assert_eq!(
            budget.verdict(weight),
            "program of the page 1.81 MB after brotli, +12.3 kB since recorded; ceiling 2.50 MB; 2.50 MB after gzip, as recorded"
        );
    }

    #[test]
    fn the_budget_in_the_repository_reads() {
        let budget = read(&path()).unwrap();
        assert!(budget.recorded_brotli_bytes <= budget.ceiling_brotli_bytes);
    }
}
