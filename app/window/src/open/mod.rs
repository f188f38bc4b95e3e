//! Ways in: from a path, an address, a dialog or a drop to what is [`Opened`], or to a message that says what went wrong.
//!
//! Nothing here blocks the interface. What arrives is put into an [`Inbox`], which the app empties once a frame.

mod fetch;
mod files;
mod inbox;
#[cfg(not(target_arch = "wasm32"))]
mod native;
mod place;
mod problem;
mod save;
mod source;
#[cfg(target_arch = "wasm32")]
mod web;

use std::sync::Arc;

use cruxscope_study::Study;
#[cfg(not(target_arch = "wasm32"))]
use cruxscope_study::StudyError;

pub use inbox::{Delivery, Inbox, Opened};
pub use place::within;
pub use problem::Problem;
pub use save::save;
use source::part_state;
pub use source::{Arrived, Part, PartState, Parts, Source};

/// Begins to open a path or an address.
pub fn open(inbox: &Inbox, place: &str) {
    #[cfg(not(target_arch = "wasm32"))]
    if !crate::link::is_web(place) {
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

/// Reads what lies at a path and throws it away: whether a window could open it.
///
/// # Errors
/// When it could not.
#[cfg(not(target_arch = "wasm32"))]
pub fn check(path: &std::path::Path) -> Result<(), StudyError> {
    native::read(path).map(drop)
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
