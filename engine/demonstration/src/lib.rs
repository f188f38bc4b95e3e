//! The whole method on the miniature, in minutes on two cores: evaluated, annotated, interpreted, compressed, re-evaluated.
//!
//! The folder afterwards:
//!
//! | place | what |
//! | --- | --- |
//! | `models/` | base, distilled, and every main compression of it, as Hugging Face folders |
//! | `answers/` | what each model answered to each puzzle |
//! | `data/` | traces of the distilled model, their annotations, text that calibrates |
//! | `studies/` | a study of each main model |
//! | `results.json`, `collection.json`, `summary.json` | scores; everything as a collection with a tour; the printed numbers |
//!
//! The same seed gives the same bytes on the same kind of processor. An interrupted run resumes.

mod course;
mod examination;
mod files;
mod jobs;
mod material;
mod recipes;
pub mod sample;
mod selection;
mod settings;
mod side_by_side;
mod tables;
mod tour;
mod variants;

pub use material::Agreement;
pub use settings::{Demonstration, SUMMARY_FILE};
pub use tables::{ALONE, COMPRESSED, FEW, LOST, Lost, PROTECTED, RECIPES, RecipeRow, Row, Share, Summary, title};

pub use cruxscope_miniature::puzzles::Kind;
