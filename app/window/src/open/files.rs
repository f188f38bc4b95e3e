//! From a handful of files to a study: what a browser's file chooser or a drop gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use cruxscope_study::{COLLECTION_FILE, MANIFEST_FILE, Manifest, RESULTS_FILE, Results, Study};

use super::inbox::Opened;
use super::problem::Problem;
use super::source::Source;

/// What some files are, each with its name and its bytes: a study with its other files, or results.
///
/// # Errors
/// When there is neither `study.json` nor `results.json` among them, or it cannot be read.
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "only a browser hands over files without their folder"))]
pub fn opened_from_files(files: Vec<(String, Vec<u8>)>) -> Result<Opened, Problem> {
    let bytes_of = |wanted: &str| files.iter().find(|(name, _)| name == wanted).map(|(_, bytes)| bytes);
    if bytes_of(MANIFEST_FILE).is_some() {
        let study = study_from_files(files.clone())?;
        return Ok(Opened::Study(Box::new(study), Source::Files(Arc::new(files.into_iter().collect()))));
    }
    if let Some(bytes) = bytes_of(RESULTS_FILE) {
        let results = Results::from_json(bytes).map_err(|error| Problem::of_study(RESULTS_FILE, &error))?;
        return Ok(Opened::Results(results));
    }
    if bytes_of(COLLECTION_FILE).is_some() {
        return Err(Problem {
            attempted: format!("Could not open {COLLECTION_FILE}"),
            why: "A collection leads to other folders, which cannot be reached from a single file.".to_owned(),
            advice: "Open its folder by a path or an address.".to_owned(),
        });
    }
    study_from_files(files).map(|study| Opened::Study(Box::new(study), Source::Memory))
}

/// The study among some files, each with its name and its bytes.
///
/// # Errors
/// When there is no `study.json` among them, or the study cannot be read.
pub fn study_from_files(files: Vec<(String, Vec<u8>)>) -> Result<Study, Problem> {
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let mut files: BTreeMap<String, Vec<u8>> = files.into_iter().collect();
    let Some(manifest) = files.remove(MANIFEST_FILE) else {
        return Err(Problem {
            attempted: format!("Could not open {}", names.join(", ")),
            why: "There is no study.json among these files.".to_owned(),
            advice: "Choose study.json and its .safetensors files together.".to_owned(),
        });
    };
    let read = || Study::from_files(Manifest::from_json(&manifest)?, &files);
    read().map_err(|error| Problem::of_study(MANIFEST_FILE, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn the_files_of_a_study_make_the_study() {
        let study = samples::study(4);
        let opened = study_from_files(study.to_files().unwrap()).unwrap();
        assert_eq!(opened.importance, study.importance);
    }

    #[test]
    fn what_is_missing_or_damaged_is_said_with_advice() {
        let files = samples::study(4).to_files().unwrap();
        let without = |name: &str| files.iter().filter(|(file, _)| file != name).cloned().collect::<Vec<_>>();
        let problem = study_from_files(without("study.json")).unwrap_err();
        assert!(
            problem.attempted.contains("importance.safetensors") && problem.why.contains("study.json"),
            "{problem:?}"
        );
        let problem = study_from_files(without("importance.safetensors")).unwrap_err();
        assert!(
            problem.why.contains("importance.safetensors") && problem.advice.contains("together"),
            "{problem:?}"
        );
        let mut damaged = files.clone();
        if let Some(last) = damaged[0].1.last_mut() {
            *last ^= 1;
        }
        assert!(study_from_files(damaged).unwrap_err().advice.contains("again"));
        let garbage = vec![("study.json".to_owned(), b"{".to_vec())];
        assert!(study_from_files(garbage).unwrap_err().why.contains("damaged"));
    }
}
