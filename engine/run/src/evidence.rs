//! Studies, collections and results from the disk, with everything that stands beside them: what the paper's claims are tested on.

use std::path::{Path, PathBuf};

use cruxscope_benchmark::claims::{self, Evidence, EvidenceStudy, Role};
use cruxscope_benchmark::published::Published;
use cruxscope_study::{
    COLLECTION_FILE, COMPRESSION_FILE, Collection, CompressionMap, LEDGER_FILE, Ledger, MANIFEST_FILE, Results, StudyError, VALIDATION_FILE, Validation, folder,
};

use crate::RunError;

/// A study's place, as it is named: its folder, whether that or its `study.json` was given.
pub fn place_of(path: &Path) -> String {
    let folder = if path.file_name().is_some_and(|name| name == MANIFEST_FILE) {
        path.parent().unwrap_or(path)
    } else {
        path
    };
    let place = folder.display().to_string();
    let trimmed = place.trim_end_matches('/');
    if trimmed.is_empty() { place } else { trimmed.to_owned() }
}

/// Adds a study, all of a collection, or a file of results.
///
/// # Errors
/// When there is no such thing, or a file is damaged.
pub fn add(evidence: &mut Evidence, path: &Path) -> Result<(), RunError> {
    let collection = if path.file_name().is_some_and(|name| name == COLLECTION_FILE) {
        path.parent().map(Path::to_owned)
    } else {
        path.join(COLLECTION_FILE).is_file().then(|| path.to_owned())
    };
    if let Some(root) = collection {
        let own = Collection::from_json(&read(&root.join(COLLECTION_FILE))?)?;
        for study in &own.studies {
            evidence.studies.push(study_at(&root.join(study), study.clone())?);
        }
        for results in &own.results {
            evidence.results.push(Results::from_json(&read(&root.join(results))?)?);
        }
        return Ok(());
    }
    if path.is_file() && path.file_name().is_some_and(|name| name != MANIFEST_FILE) {
        evidence.results.push(Results::from_json(&read(path)?)?);
        return Ok(());
    }
    evidence.studies.push(study_at(path, place_of(path))?);
    Ok(())
}

/// A study with what stands beside it.
fn study_at(path: &Path, place: String) -> Result<EvidenceStudy, RunError> {
    let study = folder::load_without_channels(path)?;
    let folder = if path.is_file() { path.parent().unwrap_or(path) } else { path };
    let layers = study.manifest.model.layers;
    let beside = |name: &str| -> Result<Option<Vec<u8>>, RunError> {
        let file = folder.join(name);
        if file.is_file() { read(&file).map(Some) } else { Ok(None) }
    };
    Ok(EvidenceStudy {
        place,
        role: Role::Other,
        validation: beside(VALIDATION_FILE)?.map(|bytes| Validation::from_json(&bytes, layers)).transpose()?,
        compression: beside(COMPRESSION_FILE)?.map(|bytes| CompressionMap::from_json(&bytes, layers)).transpose()?,
        divergence: folder::load_divergence(path)?,
        study,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    std::fs::read(path).map_err(|source| RunError::Io {
        attempt: "read",
        path: path.to_owned(),
        source,
    })
}

/// The ledger of some evidence, whose studies have their roles.
///
/// # Errors
/// When studies contradict themselves.
pub fn ledger(title: &str, evidence: &Evidence, with_published: bool) -> Result<Ledger, RunError> {
    let own = |error: serde_json::Error| RunError::Recipe { why: error.to_string() };
    let claims = claims::load().map_err(own)?;
    let published = Published::load().map_err(own)?;
    Ok(claims::ledger(title, &claims, evidence, with_published.then_some(&published))?)
}

/// Saves a ledger into a study, and says where.
///
/// # Errors
/// When there is no such study, or the disk refuses.
pub fn save_ledger(ledger: &Ledger, study: &Path) -> Result<PathBuf, RunError> {
    let folder = PathBuf::from(place_of(study));
    if !folder.join(MANIFEST_FILE).is_file() {
        return Err(StudyError::Missing { path: study.to_owned() }.into());
    }
    let file = folder.join(LEDGER_FILE);
    folder::write_atomically(&file, &ledger.to_json()?)?;
    Ok(file)
}
