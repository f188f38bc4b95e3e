//! What the window remembers from one start to the next: a few short texts by name, in a folder that whoever opens the window names, or in
//! the page's storage.
//!
//! Nothing in it is needed: where it cannot be read or written, the window begins as if it were new.

#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};

/// Where texts are kept.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    #[cfg(not(target_arch = "wasm32"))]
    folder: Option<PathBuf>,
    /// Whether the page's storage is used.
    #[cfg(target_arch = "wasm32")]
    on: bool,
}

#[cfg(not(target_arch = "wasm32"))]
impl Remembered {
    /// In a folder, which need not be there.
    pub const fn within(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// The folder, where there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Whether anything is remembered at all.
    pub const fn is_on(&self) -> bool {
        self.folder.is_some()
    }

    /// What was remembered under a name.
    pub fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.as_ref()?.join(name)).ok()
    }

    /// Remembers a text under a name.
    pub fn write(&self, name: &str, text: &str) {
        let Some(folder) = &self.folder else { return };
        let written = std::fs::create_dir_all(folder)
            .map_err(|error| error.to_string())
            .and_then(|()| cruxscope_study::folder::write_atomically(&folder.join(name), text.as_bytes()).map_err(|error| error.to_string()));
        if let Err(error) = written {
            log::warn!("{name} was not remembered: {error}");
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl Remembered {
    /// In the page's storage.
    pub const fn of_page() -> Self {
        Self { on: true }
    }

    /// Whether anything is remembered at all.
    pub const fn is_on(&self) -> bool {
        self.on
    }

    fn storage(&self) -> Option<web_sys::Storage> {
        web_sys::window().filter(|_| self.on)?.local_storage().ok()?
    }

    /// What was remembered under a name.
    pub fn read(&self, name: &str) -> Option<String> {
        self.storage()?.get_item(&format!("cruxscope-{name}")).ok()?
    }

    /// Remembers a text under a name.
    pub fn write(&self, name: &str, text: &str) {
        if let Some(storage) = self.storage() {
            // A full or forbidden storage forgets.
            storage.set_item(&format!("cruxscope-{name}"), text).ok();
        }
    }
}
