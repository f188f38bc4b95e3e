//! What stands around the figure: the bar on top, what is open on the left, the provenance on the right, the tour and
//! the line at the bottom, the keys and the commands over all, and what is seen when nothing is open.

#[cfg(not(target_arch = "wasm32"))]
pub mod addresses;
pub mod commands;
pub mod empty;
pub mod export;
pub mod headline;
pub mod keys;
pub mod markdown;
pub mod palette;
pub mod provenance;
pub mod reading;
#[cfg(not(target_arch = "wasm32"))]
pub mod runs;
pub mod sidebar;
pub mod status_bar;
pub mod top_bar;
pub mod tour;
pub mod welcome;

use egui::{ScrollArea, Ui};

/// Draws something in a column of its own, which scrolls.
pub fn scrolling(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    ScrollArea::vertical().auto_shrink(false).show(ui, content);
}
