//! Data model and file format: what a study holds, and how it is saved, checked, merged and compared.
//!
//! A *study* is the answer to "which weight matrices does this model's reasoning depend on?": one number, the
//! [importance](ImportanceMap), for every behaviour, layer and module, with the per-instance contributions it was made
//! of and a [manifest](Manifest) that says from what, how and with what it was computed.
//!
//! Everything above stands on this crate: the engine writes studies, the window and the web page read them. It therefore
//! holds no tensor library and no interface, and compiles to `wasm32-unknown-unknown`; only [`folder`] and [`files`] touch a disk
//! and are left out there.
//!
//! What it is not: it computes no gradients, and it draws nothing.
//!
//! ```
//! use cruxscope_study::{Behaviour, Ranks, folder};
//!
//! # fn main() -> Result<(), cruxscope_study::StudyError> {
//! # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../app/studies/smollm2");
//! let study = folder::load(&path)?;
//! let relative = study.importance.relative_of(Behaviour::Backtracking);
//! let most = Ranks::of(&relative).order()[0];
//! assert!(relative.iter().all(|value| *value <= relative[most.index()]));
//! # Ok(())
//! # }
//! ```

pub mod allocation;
mod arrays;
mod behaviour;
mod channels;
mod collection;
mod comparable;
mod component;
mod component_parts;
mod compression;
mod contributions;
mod described;
mod digest;
mod divergence;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod files;
#[cfg(not(target_arch = "wasm32"))]
pub mod folder;
mod importance;
mod ledger;
#[cfg(not(target_arch = "wasm32"))]
mod leftovers;
#[cfg(not(target_arch = "wasm32"))]
mod lock;
mod manifest;
mod maps;
#[cfg(not(target_arch = "wasm32"))]
pub mod parts;
mod rank;
mod recipe_cost;
mod resampling;
mod results;
pub mod robustness;
mod sensitivity;
mod shift;
mod stability;
mod study;
#[cfg(any(test, feature = "test-data"))]
pub mod test_data;
mod test_time;
mod text;
mod trace;
mod trial;
mod validation;

// What methods of studies take and return.
pub use cruxscope_statistics::{Bootstrap, RankCorrelation, wilson};

pub use behaviour::{Behaviour, Label};
pub use channels::ChannelMaps;
pub use collection::{COLLECTION_FILE, COLLECTION_SCHEMA, Collection, TourStop};
pub use comparable::{Comparability, Difference, DifferenceKind};
pub use component::{Component, LayerIndex, Module};
pub use component_parts::{ComponentPart, PARTS_FILE, PartEntry, PartLayout, PartMaps};
pub use compression::{COMPRESSION_FILE, ComponentCompression, CompressionMap};
pub use contributions::{Contributions, InstanceContribution};
pub use digest::{Digest, DigestBuilder};
pub use divergence::{
    BEFORE_THE_END, Cause, ComparedModel, ComparedText, Continuation, CurvePoint, DIVERGENCE_FILE, DIVERGENCE_SCHEMA, Divergence, DivergenceFacts, Parting,
    Partition, Place, Positions, PositionsSummary,
};
pub use error::StudyError;
pub use importance::ImportanceMap;
pub use ledger::{LEDGER_FILE, LEDGER_SCHEMA, Ledger, LedgerClaim, LedgerEntry, LedgerVerdict};
#[cfg(not(target_arch = "wasm32"))]
pub use lock::OutputLock;
pub use manifest::{
    ArrayEntry, Definition, Drop, DropReason, FileDigest, InstanceEntry, Manifest, ModelEntry, ModuleDimensions, Program, SCHEMA_VERSION, SegmentCounts,
};
pub(crate) use manifest::{read_versioned, write_json};
pub use maps::{MapStatistic, Maps, map_statistic};
pub use rank::Ranks;
pub use recipe_cost::{RecipeCost, TRUSTED_KL, UNCHANGED_BITS};
pub use results::{RESULTS_FILE, RESULTS_SCHEMA, Results, Score, ScoredOutput};
pub use sensitivity::{
    CandidateEntry, Errors, MeasuredDivergence, SENSITIVITY_FILE, SENSITIVITY_SCHEMA, Scope, ScopeSketch, Sensitivity, SensitivityFacts, SketchedFormat,
};
pub use shift::{Comparison, ShiftInterval, ShiftView};
pub use stability::ComponentStability;
pub use study::{ARRAYS_FILE, CHANNELS_FILE, MANIFEST_FILE, Study};
pub use test_time::{Response, Split, TestTime, test_time};
pub use text::{grouped, is_obeyed, printable, printable_json};
pub use trace::{TraceEntry, TraceSection, TraceText};
pub use trial::{Measured, PairedAccuracy, TRIAL_FILE, TRIAL_SCHEMA, Trial, TrialRow, WindowLoss, perplexity};
pub use validation::{Degradation, VALIDATION_FILE, Validation};
