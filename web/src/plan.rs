//! What is built: which folder, around which studies; and the building of it.

use std::fs;
use std::path::PathBuf;

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
    let listing = cruxscope_site::build(
        &plan.out,
        &content,
        |folder| {
            program::build(folder, plan.dev).map_err(|error| SiteError::Program { why: format!("{error:#}") })?;
            eprintln!("putting the page together, and compressing its files for servers: less than a minute");
            Ok(())
        },
        &mut |_| (),
    )?;
    let (bytes, gzip) = listing.program().map(|file| (file.bytes, file.gzip_bytes)).unwrap_or_default();
    // As servers of files keep it, at its best; it says nothing of a program that was built quickly.
    let wasm = plan.out.join(cruxscope_site::wasm_name());
    let brotli = cruxscope_site::packed_bytes(&wasm, "br").filter(|_| !plan.dev).unwrap_or_default();
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
