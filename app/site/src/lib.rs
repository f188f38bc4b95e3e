//! The folder of the page: documents, studies, tables and figures, put together around the program that draws.
//!
//! It serves two: the builder of the page, which compiles the program, and the command `publish`, which takes a program that
//! was built before. It compiles nothing and draws nothing; what is drawn is handed to it.

mod build_time;
mod content;
mod error;
mod folder;
pub mod html;
mod index;
mod markdown;
mod ownership;
mod packed;
mod page;
pub mod server;
mod story;
mod studies;
mod tables;
#[cfg(test)]
mod testing;

pub use build_time::time_to_build;
pub use content::{Content, Preview};
pub use error::SiteError;
pub use folder::{Listing, PROGRAM, build, copy_program, holds_program, wasm_name};
pub use markdown::paragraphs;
pub use packed::packed_bytes;
pub use page::STORY;
pub use studies::{FOLDER, PublishedFigure, PublishedResults, PublishedStudy, Studies};
