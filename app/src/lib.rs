//! What a person looks at: the views of a study, the native window, the command line.
//!
//! The library draws studies, natively and in a browser, and knows nothing of how they are computed. The way of a frame:
//! [`selectors`] turn a study into numbers and sentences, [`views`] and [`frame`] draw them and push actions, and only
//! [`state`] changes by them. The command line and the engine behind it stand behind the feature `desktop`.

mod app;
mod comparison;
pub mod figure;
pub mod frame;
pub mod heatmap;
mod job;
mod link;
mod open;
mod options;
mod save;
pub mod selectors;
pub mod state;
mod studies;
pub mod theme;
mod told;
pub mod views;
pub mod widgets;
#[cfg(not(target_arch = "wasm32"))]
mod window;

#[cfg(test)]
mod interface_tests;
#[cfg(test)]
mod samples;

pub use app::CruxscopeApp;
pub use comparison::{Compared, OpenComparison};
pub use job::{Job, Stepwise};
pub use open::Problem;
pub use options::StartupOptions;
pub use selectors::Scale;
pub use studies::OpenStudy;
pub use theme::ThemeChoice;
pub use told::Told;
#[cfg(not(target_arch = "wasm32"))]
pub use window::{WindowError, open_window};
