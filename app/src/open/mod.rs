//! Ways in: from a path, an address, a dialog or a drop to what is [`Opened`], or to a message that says what went wrong.
//!
//! Nothing here blocks the interface. What arrives is put into an [`Inbox`], which the app empties once a frame.

mod fetch;
mod files;
#[cfg(not(target_arch = "wasm32"))]
mod native;
mod save;
mod source;
#[cfg(target_arch = "wasm32")]
mod web;

use std::sync::{Arc, Mutex};

use cruxscope_study::{COLLECTION_FILE, Collection, MANIFEST_FILE, RESULTS_FILE, Results, Study, StudyError};
use egui::Context;

pub use save::save;
pub use source::{Arrived, Part, PartState, Parts, Source};

#[cfg(target_arch = "wasm32")]
use files::opened_from_files;

/// Something that could not be opened, in words: what was tried, why it failed, what can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was tried.
    pub attempted: String,
    /// Why it failed.
    pub why: String,
    /// What can be done.
    pub advice: String,
}

impl Problem {
    /// The whole of it in words.
    pub fn words(&self) -> String {
        format!("{}. {} {}", self.attempted, self.why, self.advice)
    }

    /// The problem of a study that could not be read.
    pub fn of_study(name: &str, error: &StudyError) -> Self {
        let advice = match error {
            StudyError::Missing { .. } => "Choose the folder that holds study.json, collection.json or results.json.",
            StudyError::Io { .. } => "Check that the file is there and may be read.",
            StudyError::MissingFile { .. } => "Open the whole folder, or choose study.json and its .safetensors files together.",
            StudyError::NewerSchema { .. } => "Use a newer version of this program.",
            StudyError::Digest { .. } | StudyError::Arrays { .. } | StudyError::MissingArray { .. } => {
                "Copy the study again from where it was made; a file was cut or changed on the way."
            }
            _ => "Make the study again, or ask whoever made it.",
        };
        Self {
            attempted: format!("Could not open {name}"),
            why: error.to_string(),
            advice: advice.to_owned(),
        }
    }
}

/// What was opened.
#[derive(Debug)]
pub enum Opened {
    /// A study, and where its other files lie.
    Study(Box<Study>, Source),
    /// Results of benchmarks.
    Results(Results),
    /// A collection; its studies and results are opened next.
    Collection(Collection),
}

/// What arrived.
pub enum Delivery {
    /// Something that was being opened.
    Opened {
        /// What was being opened, as it was named when the opening began.
        name: String,
        /// What it is, or why there is nothing; nothing when a dialog was left without a choice.
        outcome: Option<Result<Opened, Problem>>,
    },
    /// A part of a study that is open.
    Part {
        /// The study's number.
        study: usize,
        /// Which part.
        part: Part,
        /// How far it is now.
        state: PartState,
    },
    /// Something that was saved.
    Saved(Saved),
}

/// What came of saving something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The file.
    pub name: String,
    /// Nothing, or why it could not be saved.
    pub outcome: Result<(), String>,
}

/// Where openings put what they found. Cheap to clone; every clone is the same box.
#[derive(Clone)]
pub struct Inbox {
    context: Context,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

impl Inbox {
    /// An empty one, which wakes the interface when something arrives.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            deliveries: Arc::default(),
        }
    }

    /// Puts something in.
    pub fn deliver(&self, name: &str, outcome: Option<Result<Opened, Problem>>) {
        self.put(Delivery::Opened {
            name: name.to_owned(),
            outcome,
        });
    }

    /// Puts a part of a study in.
    pub fn deliver_part(&self, study: usize, part: Part, state: PartState) {
        self.put(Delivery::Part { study, part, state });
    }

    /// Puts in what came of saving something.
    pub fn deliver_saved(&self, saved: Saved) {
        self.put(Delivery::Saved(saved));
    }

    fn put(&self, delivery: Delivery) {
        self.lock().push(delivery);
        self.context.request_repaint();
    }

    /// Takes everything out.
    pub fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Delivery>> {
        // A thread that panicked while it pushed leaves a list that is still a list.
        self.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Begins to open a path or an address.
pub fn open(inbox: &Inbox, place: &str) {
    #[cfg(not(target_arch = "wasm32"))]
    if !is_address(place) {
        native::open_path(inbox, place.into());
        return;
    }
    fetch::open_address(inbox, place);
}

/// Begins to read a part of an open study.
pub fn open_part(inbox: &Inbox, number: usize, study: &Arc<Study>, source: &Source, part: Part) {
    let Some(file) = part.file(study) else {
        inbox.deliver_part(number, part, PartState::Absent);
        return;
    };
    match source {
        Source::Memory => inbox.deliver_part(number, part, PartState::Absent),
        #[cfg(not(target_arch = "wasm32"))]
        Source::Folder(folder) => native::open_part(inbox, number, study, folder.join(file), part),
        Source::Address(address) => fetch::open_part(inbox, number, study, address, &file, part),
        Source::Files(files) => inbox.deliver_part(number, part, part_state(study, part, &file, Ok(files.get(&file).map(Vec::as_slice)))),
    }
}

/// How far a part is, given its file's bytes, nothing where the file is not there, or why it could not be read.
fn part_state(study: &Study, part: Part, file: &str, bytes: Result<Option<&[u8]>, String>) -> PartState {
    match bytes {
        Ok(None) if part.is_promised() => PartState::Failed(Problem::of_study(file, &StudyError::MissingFile { file: file.to_owned() })),
        Ok(None) => PartState::Absent,
        Ok(Some(bytes)) => match part.read(study, bytes) {
            Ok(arrived) => PartState::There(arrived),
            Err(error) => PartState::Failed(Problem::of_study(file, &error)),
        },
        Err(why) => PartState::Failed(Problem {
            attempted: format!("Could not read {file}"),
            why,
            advice: "Check that the file lies beside study.json and may be read.".to_owned(),
        }),
    }
}

/// Reads what lies at a path and throws it away: whether a window could open it.
///
/// # Errors
/// When it could not.
#[cfg(not(target_arch = "wasm32"))]
pub fn check(path: &std::path::Path) -> Result<(), StudyError> {
    native::read(path).map(drop)
}

/// Whether a place is an address rather than a path.
#[cfg(not(target_arch = "wasm32"))]
fn is_address(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

/// The place of a file or folder of the collection at `place`, which names its folder or its `collection.json`.
pub fn within(place: &str, entry: &str) -> String {
    let (path, query) = place.split_once('?').map_or((place, None), |(path, query)| (path, Some(query)));
    let folder = [COLLECTION_FILE, MANIFEST_FILE, RESULTS_FILE]
        .iter()
        .find_map(|name| path.strip_suffix(name).filter(|folder| folder.is_empty() || folder.ends_with(['/', '\\'])))
        .unwrap_or(path);
    let trimmed = folder.trim_end_matches(['/', '\\']);
    let path = match (trimmed, entry) {
        ("", ".") if path.starts_with('/') => "/".to_owned(),
        ("", ".") => ".".to_owned(),
        (_, ".") => trimmed.to_owned(),
        ("", _) if !path.starts_with('/') => entry.to_owned(),
        _ => format!("{trimmed}/{entry}"),
    };
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

/// Shows the system's dialog and begins to open what is chosen; gives the name under which it will be delivered.
pub fn dialog(inbox: &Inbox) {
    #[cfg(not(target_arch = "wasm32"))]
    native::dialog(inbox);
    #[cfg(target_arch = "wasm32")]
    web::dialog(inbox);
}

/// Begins to open what was dropped; gives the names under which it will be delivered.
pub fn dropped(inbox: &Inbox, files: Vec<egui::DroppedFileHandle>) -> Vec<String> {
    #[cfg(not(target_arch = "wasm32"))]
    return native::dropped(inbox, &files);
    #[cfg(target_arch = "wasm32")]
    return web::dropped(inbox, files);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_lie_beside_their_collection() {
        assert_eq!(within("demo", "distilled"), "demo/distilled");
        assert_eq!(within("demo/collection.json", "distilled"), "demo/distilled");
        assert_eq!(
            within("https://x.org/c/collection.json?v=2", "a/results.json"),
            "https://x.org/c/a/results.json?v=2"
        );
        assert_eq!(within("collection.json", "a"), "a");
        assert_eq!(within("/", "a"), "/a");
        assert_eq!(within("demo/", "."), "demo");
        assert_eq!(within("mycollection.json", "a"), "mycollection.json/a");
    }
}
