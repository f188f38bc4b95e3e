//! Ways out: bytes into a file that a person chooses, or a download of the page.

use super::{Inbox, Saved};

/// Saves bytes at a place, or where a person says; on the page, as a download. What came of it is delivered.
#[cfg(not(target_arch = "wasm32"))]
pub fn save(inbox: &Inbox, place: Option<&str>, name: &str, bytes: Vec<u8>) {
    let inbox = inbox.clone();
    let (place, name) = (place.map(std::path::PathBuf::from), name.to_owned());
    let write = move || {
        let chosen = place.or_else(|| rfd::FileDialog::new().set_title("Save").set_file_name(&name).save_file());
        if let Some(path) = chosen {
            let outcome = cruxscope_study::folder::write_atomically(&path, &bytes).map_err(|error| error.to_string());
            inbox.deliver_saved(Saved {
                name: path.display().to_string(),
                outcome,
            });
        }
    };
    // A dialog must not hold up the window; on macOS dialogs belong to the main thread.
    if cfg!(target_os = "macos") {
        write();
    } else {
        std::thread::spawn(write);
    }
}

/// The same on the page, where a place is only a name.
#[cfg(target_arch = "wasm32")]
pub fn save(inbox: &Inbox, _place: Option<&str>, name: &str, bytes: Vec<u8>) {
    let inbox = inbox.clone();
    let name = name.to_owned();
    let dialog = rfd::AsyncFileDialog::new().set_file_name(&name).save_file();
    wasm_bindgen_futures::spawn_local(async move {
        let Some(handle) = dialog.await else { return };
        let outcome = handle.write(&bytes).await.map_err(|error| format!("{error:?}"));
        inbox.deliver_saved(Saved { name, outcome });
    });
}
