//! Ways in on the web: the browser's file chooser, and files that are dropped onto the page.

use wasm_bindgen_futures::spawn_local;

use super::files::opened_from_files;
use super::inbox::Inbox;
use super::problem::Problem;

/// The name under which chosen files are delivered.
const CHOSEN: &str = "the chosen files";
/// The name under which dropped files are delivered.
const DROPPED: &str = "the dropped files";

/// The browser's file chooser.
pub fn dialog(inbox: &Inbox) {
    let inbox = inbox.clone();
    // Made before the future runs, while the press of the button still counts as the person's own.
    let picked = rfd::AsyncFileDialog::new()
        .add_filter("Files of a study", &["json", "safetensors"])
        .pick_files();
    spawn_local(async move {
        let Some(handles) = picked.await else { return };
        let mut files = Vec::new();
        for handle in handles {
            files.push((handle.file_name(), handle.read().await));
        }
        inbox.deliver(CHOSEN, Some(opened_from_files(files)));
    });
}

/// Reads what was dropped.
pub fn dropped(inbox: &Inbox, handles: Vec<egui::DroppedFileHandle>) -> Vec<String> {
    let inbox = inbox.clone();
    spawn_local(async move {
        let mut files = Vec::new();
        for handle in handles {
            let name = handle.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            match handle.bytes_async().await {
                Ok(bytes) => files.push((name, bytes)),
                Err(error) => {
                    let problem = Problem {
                        attempted: format!("Could not open {name}"),
                        why: error,
                        advice: "Folders cannot be read by a page; drop study.json and its .safetensors files together.".to_owned(),
                    };
                    return inbox.deliver(DROPPED, Some(Err(problem)));
                }
            }
        }
        inbox.deliver(DROPPED, Some(opened_from_files(files)));
    });
    vec![DROPPED.to_owned()]
}
