//! What is built: which folder, around which studies; and the building of it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cruxscope_site::{Content, FOLDER, SiteError, Studies};
use cruxscope_study::{COLLECTION_FILE, MANIFEST_FILE};

use crate::budget::{Weight, megabytes};
use crate::program::{self, workspace};

/// What is to be built.
pub struct Plan {
    /// The folder of the page.
    pub out: PathBuf,
    /// The studies that go into it, the one to be opened first.
    pub studies: Vec<PathBuf>,
    /// Quickly rather than small.
    pub dev: bool,
}

/// Builds the page; gives what its program weighs.
///
/// # Errors
/// When a study is damaged, the program does not compile, or the folder cannot be written or holds something else.
pub fn build(plan: &Plan) -> anyhow::Result<Weight> {
    let content = Content {
        studies: Studies::load(&plan.studies)?,
        ..Content::default()
    };
    let listing = cruxscope_site::build(&plan.out, &content, |folder| {
        program::build(folder, plan.dev).map_err(|error| SiteError::Program { why: format!("{error:#}") })
    })?;
    let (bytes, gzip) = listing.program().map(|file| (file.bytes, file.gzip_bytes)).unwrap_or_default();
    // The best compression takes its time, and says nothing of a program that was built quickly.
    let brotli = if plan.dev { 0 } else { weigh(&plan.out.join(cruxscope_site::wasm_name()))? };
    eprintln!(
        "page in {}: program {} ({} after gzip), {}",
        plan.out.display(),
        megabytes(bytes),
        megabytes(gzip),
        match content.studies.studies.len() {
            0 => "no study".to_owned(),
            1 => "one study".to_owned(),
            number => format!("{number} studies"),
        }
    );
    Ok(Weight { gzip, brotli })
}

/// What a file weighs after brotli at its best, as servers of files keep it.
fn weigh(path: &Path) -> anyhow::Result<u64> {
    const QUALITY: u32 = 11;
    const WINDOW: u32 = 22;
    let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let mut packed = Vec::new();
    brotli::CompressorWriter::new(&mut packed, 1 << 16, QUALITY, WINDOW)
        .write_all(&bytes)
        .with_context(|| format!("could not compress {}", path.display()))?;
    Ok(packed.len() as u64)
}

/// The studies that come with the program, in the order of their names.
pub fn bundled() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(workspace().join("app").join(FOLDER)) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| [MANIFEST_FILE, COLLECTION_FILE].iter().any(|name| path.join(name).is_file()))
        .collect();
    folders.sort();
    folders
}
