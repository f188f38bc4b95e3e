//! Ways in: from a path, an address, a dialog or a drop to a [`Study`], or to a message that says what went wrong.
//!
//! Nothing here blocks the interface. What arrives is put into an [`Inbox`], which the app empties once a frame.

mod fetch;
mod files;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

use std::sync::{Arc, Mutex};

use cruxscope_study::{Study, StudyError};
use egui::Context;

use files::study_from_files;

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
            StudyError::Missing { .. } => "Choose the folder that holds study.json.",
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

/// What arrived.
pub struct Delivery {
    /// What was being opened, as it was named when the opening began.
    pub name: String,
    /// A study, or why there is none; nothing when a dialog was left without a choice.
    pub outcome: Option<Result<Study, Problem>>,
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
    pub fn deliver(&self, name: &str, outcome: Option<Result<Study, Problem>>) {
        let name = name.to_owned();
        self.lock().push(Delivery { name, outcome });
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
    if !place.starts_with("http://") && !place.starts_with("https://") {
        native::open_path(inbox, place.into());
        return;
    }
    fetch::open_address(inbox, place);
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
