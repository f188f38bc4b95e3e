//! Ways out: bytes into a file that a person chooses, or a download of the page.

use super::inbox::{Inbox, Saved};

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

/// The same on the page, where a place is only a name: a link to the bytes that the page presses itself.
#[cfg(target_arch = "wasm32")]
pub fn save(inbox: &Inbox, _place: Option<&str>, name: &str, bytes: Vec<u8>) {
    let outcome = download(name, &bytes).map_err(|error| format!("the browser refused: {error:?}"));
    inbox.deliver_saved(Saved {
        name: name.to_owned(),
        outcome,
    });
}

#[cfg(target_arch = "wasm32")]
fn download(name: &str, bytes: &[u8]) -> Result<(), wasm_bindgen::JsValue> {
    use wasm_bindgen::{JsCast as _, JsValue};
    let document = web_sys::window().and_then(|window| window.document());
    let document = document.ok_or_else(|| JsValue::from_str("there is no document"))?;
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(bytes));
    let blob = web_sys::Blob::new_with_u8_array_sequence(&parts)?;
    let address = web_sys::Url::create_object_url_with_blob(&blob)?;
    let link: web_sys::HtmlAnchorElement = document.create_element("a")?.unchecked_into();
    link.set_href(&address);
    link.set_download(name);
    link.click();
    web_sys::Url::revoke_object_url(&address)
}
