//! Ways in on the desktop: a path, a folder dialog, a drop of folders or files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_study::{COLLECTION_FILE, Collection, MANIFEST_FILE, RESULTS_FILE, Results, Study, StudyError, folder};

use super::inbox::{Inbox, Opened};
use super::problem::Problem;
use super::source::{Part, Source, part_state};

/// Begins to open a path on a thread of its own, under its own name.
pub fn open_path(inbox: &Inbox, path: PathBuf) {
    let inbox = inbox.clone();
    std::thread::spawn(move || {
        let name = path.display().to_string();
        let outcome = read(&path).map_err(|error| Problem::of_study(&name, &error));
        inbox.deliver(&name, Some(outcome));
    });
}

/// What lies at a path: a file by its name, or a folder, in which a collection is looked for first.
///
/// # Errors
/// When there is none of the three, or it cannot be read.
pub fn read(path: &Path) -> Result<Opened, StudyError> {
    let named = |file: &str| path.file_name().is_some_and(|name| name == file);
    let bytes_of = |path: &Path| {
        std::fs::read(path).map_err(|source| StudyError::Io {
            attempt: "read",
            path: path.to_owned(),
            source,
        })
    };
    let in_folder = |file: &str| Some(path.join(file)).filter(|path| path.is_file());
    let file = |file: &str| if named(file) { Some(path.to_owned()) } else { in_folder(file) };
    if let Some(path) = file(COLLECTION_FILE) {
        return Ok(Opened::Collection(Collection::from_json(&bytes_of(&path)?)?));
    }
    if let Some(path) = file(RESULTS_FILE).filter(|_| in_folder(MANIFEST_FILE).is_none()) {
        return Ok(Opened::Results(Results::from_json(&bytes_of(&path)?)?));
    }
    let place = if named(MANIFEST_FILE) { path.parent().unwrap_or(path) } else { path };
    let study = folder::load_without_channels(path)?;
    Ok(Opened::Study(Box::new(study), Source::Folder(place.to_owned())))
}

/// Reads a part of a study on a thread of its own.
pub fn open_part(inbox: &Inbox, number: usize, study: &Arc<Study>, path: PathBuf, part: Part) {
    let (inbox, study) = (inbox.clone(), Arc::clone(study));
    std::thread::spawn(move || {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let state = match std::fs::read(&path) {
            Ok(bytes) => part_state(&study, part, &name, Ok(Some(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => part_state(&study, part, &name, Ok(None)),
            Err(error) => part_state(&study, part, &name, Err(error.to_string())),
        };
        inbox.deliver_part(number, part, state);
    });
}

/// The folder dialog. Elsewhere it must not hold up the window; on macOS dialogs belong to the main thread.
pub fn dialog(inbox: &Inbox) {
    let inbox = inbox.clone();
    let ask = move || {
        if let Some(path) = rfd::FileDialog::new().set_title("Open a study").pick_folder() {
            open_path(&inbox, path);
        }
    };
    if cfg!(target_os = "macos") {
        ask();
    } else {
        std::thread::spawn(ask);
    }
}

/// Opens what was dropped, each study once; gives the names.
pub fn dropped(inbox: &Inbox, files: &[egui::DroppedFileHandle]) -> Vec<String> {
    let folders: BTreeSet<PathBuf> = files.iter().map(|file| study_of(file.path())).collect();
    folders
        .into_iter()
        .map(|path| {
            let name = path.display().to_string();
            open_path(inbox, path);
            name
        })
        .collect()
}

/// The study that a path belongs to: the folder itself, or the one in which a file of a study lies.
fn study_of(path: &Path) -> PathBuf {
    match path.parent() {
        // Results and collections are named by their file: there may be a study beside them.
        Some(_) if [RESULTS_FILE, COLLECTION_FILE].iter().any(|name| path.ends_with(name)) => path.to_owned(),
        Some(parent) if !path.is_dir() && parent.join(MANIFEST_FILE).is_file() => parent.to_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn a_file_of_a_study_leads_to_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        folder::save(&samples::study(2), folder.path()).unwrap();
        for name in ["study.json", "importance.safetensors"] {
            assert_eq!(study_of(&folder.path().join(name)), folder.path());
        }
        assert_eq!(study_of(folder.path()), folder.path());
        assert_eq!(study_of(Path::new("/nowhere/at/all.txt")), Path::new("/nowhere/at/all.txt"));
    }
}
