//! The window: views of a study, the frame around them, and the panel of jobs. The same code is the page.
//!
//! It draws studies and knows nothing of how they are computed: it depends on no crate of the engine but `cruxscope-study`, and hands
//! work to whoever started it through [`runs::JobRunner`]. The way of a frame: [`cruxscope_selectors`] turn a study into numbers and
//! sentences, [`views`] and [`frame`] draw them and push actions, and only [`state`] changes by them.

mod action;
mod app;
mod budget;
mod comparison;
pub mod frame;
pub mod heatmap;
mod history;
mod library;
pub mod link;
mod look;
mod notification;
mod open;
mod options;
pub mod remembered;
#[cfg(not(target_arch = "wasm32"))]
pub mod runs;
pub mod state;
mod studies;
mod variants;
mod view_kind;
pub mod views;
pub mod widgets;
#[cfg(not(target_arch = "wasm32"))]
mod window;

#[cfg(test)]
mod interface_tests;

pub use app::CruxscopeApp;
pub use comparison::{Compared, OpenComparison};
pub use cruxscope_selectors::Scale;
pub use cruxscope_theme::ThemeChoice;
pub use library::{Library, OpenCollection, OpenResults};
pub use notification::Notification;
pub use open::Problem;
#[cfg(not(target_arch = "wasm32"))]
pub use open::check;
pub use options::StartupOptions;
pub use studies::OpenStudy;
pub use view_kind::ViewKind;
#[cfg(not(target_arch = "wasm32"))]
pub use window::{WindowError, open_window, open_window_to_run};
