//! Ways out: bytes into a file that a person names on the desktop, or into a download on the web.
//!
//! Nothing here blocks the interface; how it went is left with the context, from which the app takes it once a frame.

use egui::{Context, Id};

use crate::figure::Format;
use crate::open::Problem;

/// How saving went, in words.
pub type Outcome = Result<String, Problem>;

/// Begins to save bytes under a name.
pub fn save(context: &Context, name: String, format: Format, bytes: Vec<u8>) {
    #[cfg(not(target_arch = "wasm32"))]
    native(context, name, format, bytes);
    #[cfg(target_arch = "wasm32")]
    {
        let outcome = download(&name, format, &bytes).map(|()| format!("{name} is among the downloads"));
        leave(context, Some(outcome.map_err(|why| problem(&name, why))));
    }
}

/// How the last saving went, once it is known.
pub fn take(context: &Context) -> Option<Outcome> {
    context.data_mut(|data| data.remove_temp::<Option<Outcome>>(place()).flatten())
}

fn leave(context: &Context, outcome: Option<Outcome>) {
    context.data_mut(|data| data.insert_temp(place(), outcome));
    context.request_repaint();
}

fn place() -> Id {
    Id::unique("saved")
}

fn problem(name: &str, why: String) -> Problem {
    Problem {
        attempted: format!("Could not save {name}"),
        why,
        advice: "Choose another folder, or check that this one may be written.".to_owned(),
    }
}

/// The system's dialog. Elsewhere it must not hold up the window; on macOS dialogs belong to the main thread.
#[cfg(not(target_arch = "wasm32"))]
fn native(context: &Context, name: String, format: Format, bytes: Vec<u8>) {
    let context = context.clone();
    let ask = move || {
        let dialog = rfd::FileDialog::new()
            .set_title("Export a figure")
            .set_file_name(&name)
            .add_filter(format.title(), &[format.extension()]);
        let Some(path) = dialog.save_file() else { return };
        let saved = cruxscope_study::folder::write_atomically(&path, &bytes);
        let outcome = saved.map(|()| format!("Saved {}", path.display()));
        leave(&context, Some(outcome.map_err(|error| problem(&name, error.to_string()))));
    };
    if cfg!(target_os = "macos") {
        ask();
    } else {
        std::thread::spawn(ask);
    }
}

/// A link to the bytes that the page presses itself.
#[cfg(target_arch = "wasm32")]
fn download(name: &str, format: Format, bytes: &[u8]) -> Result<(), String> {
    use wasm_bindgen::JsCast as _;
    let refused = |error: wasm_bindgen::JsValue| format!("the browser refused: {error:?}");
    let document = web_sys::window().and_then(|window| window.document()).ok_or("there is no document")?;
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(bytes));
    let kind = web_sys::BlobPropertyBag::new();
    kind.set_type(format.media_type());
    let blob = web_sys::Blob::new_with_u8_array_sequence_and_options(&parts, &kind).map_err(refused)?;
    let address = web_sys::Url::create_object_url_with_blob(&blob).map_err(refused)?;
    let link = document.create_element("a").map_err(refused)?;
    let link: web_sys::HtmlAnchorElement = link.dyn_into().map_err(|_| "the browser made no link".to_owned())?;
    link.set_href(&address);
    link.set_download(name);
    link.click();
    web_sys::Url::revoke_object_url(&address).map_err(refused)
}
