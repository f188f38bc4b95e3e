//! Which instance is read.

use crate::state::State;
use crate::studies::OpenStudy;

/// The instance that is read, by its place in the manifest; the first that has a text, where nothing was chosen.
pub fn instance(open: &OpenStudy, state: &State) -> Option<usize> {
    let manifest = &open.study.manifest;
    let place_of = |id: &str| manifest.instances.iter().position(|entry| entry.id == id);
    let chosen = state.trace.instance.as_deref().and_then(place_of);
    chosen.or_else(|| manifest.traces.first().and_then(|entry| place_of(&entry.id)))
}
