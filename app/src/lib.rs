//! What a person looks at: the views of a study, the native window, the command line.
//!
//! The library draws studies, natively and in a browser, and knows nothing of how they are computed. The way of a frame:
//! [`selectors`] turn a study into numbers and sentences, [`views`] and [`frame`] draw them and push actions, and only
//! [`state`] changes by them. The command line and the engine behind it stand behind the feature `desktop`.

mod action;
mod app;
mod comparison;
pub mod figure;
pub mod frame;
pub mod heatmap;
mod history;
mod job;
mod library;
pub mod link;
mod open;
mod options;
#[cfg(feature = "desktop")]
pub mod runs;
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
pub use library::{Library, OpenCollection, OpenResults};
pub use open::Problem;
#[cfg(not(target_arch = "wasm32"))]
pub use open::check;
pub use options::StartupOptions;
pub use selectors::Scale;
pub use studies::OpenStudy;
pub use theme::ThemeChoice;
pub use told::Told;
#[cfg(feature = "desktop")]
pub use window::open_window_to_run;
#[cfg(not(target_arch = "wasm32"))]
pub use window::{WindowError, open_window};
