//! Every number and every sentence that a view shows, computed from a study by plain functions with tests.
//!
//! Nothing here knows of the interface; nothing in the views computes.

mod background_job;
pub mod budget;
pub mod channels;
pub mod component;
pub mod compression;
pub mod divergence;
pub mod figures;
pub mod format;
pub mod headline;
pub mod ledger;
pub mod markup;
pub mod panels;
pub mod parts;
pub mod provenance;
pub mod ranking;
pub mod results;
pub mod scale;
pub mod shift;
pub mod stability;
pub mod status;
pub mod terms;
pub mod trace;
pub mod trace_look;
pub mod validation;
pub mod variants;

pub use background_job::{BackgroundJob, Job};
pub use figures::{Basis, Figures};
pub use ranking::{Ranking, RankingRow, SortColumn};
pub use scale::{ColourScale, Scale};
pub use stability::Stability;
