//! The contract: what a study holds, and how it is saved, checked, merged and compared.
//!
//! A *study* is the answer to "which weight matrices does this model's reasoning hang on?": one number, the
//! [importance](ImportanceMap), for every behaviour, layer and module, with the per-instance contributions it was made
//! of and a [manifest](Manifest) that says from what, how and with what it was computed.
//!
//! Everything above stands on this crate: the engine writes studies, the window and the web page read them. It therefore
//! holds no tensor library and no interface, and compiles to `wasm32-unknown-unknown`; only [`folder`] and [`files`] touch a disk
//! and are left out there.
//!
//! What it is not: it computes no gradients, and it draws nothing.

mod behaviour;
mod channels;
mod collection;
mod comparable;
mod component;
mod compression;
mod contributions;
mod correlation;
mod digest;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod files;
#[cfg(not(target_arch = "wasm32"))]
pub mod folder;
mod importance;
mod interval;
mod manifest;
mod proportion;
mod random;
mod rank;
mod results;
mod shift;
mod study;
mod test_time;
mod text;
mod trace;
mod validation;

pub use behaviour::{Behaviour, Label};
pub use channels::ChannelMaps;
pub use collection::{COLLECTION_FILE, COLLECTION_SCHEMA, Collection, TourStop};
pub use comparable::{Comparability, Difference, DifferenceKind};
pub use component::{Component, LayerIndex, Module};
pub use compression::{COMPRESSION_FILE, ComponentCompression, CompressionMap};
pub use contributions::{Contributions, InstanceContribution};
pub use correlation::RankCorrelation;
pub use digest::{Digest, DigestBuilder};
pub use error::StudyError;
pub use importance::ImportanceMap;
pub use interval::{Bootstrap, ComponentStability};
pub use manifest::{
    ArrayEntry, Definition, Drop, DropReason, FileDigest, InstanceEntry, Manifest, ModelEntry, ModuleDimensions, Program, SCHEMA_VERSION, SegmentCounts,
};
pub(crate) use manifest::{read_versioned, write_json};
pub use proportion::{wilson, wilson_share};
pub use random::SplitMix;
pub use rank::Ranks;
pub use results::{RESULTS_FILE, RESULTS_SCHEMA, Results, Score, ScoredOutput};
pub use shift::{Comparison, ShiftInterval, ShiftView};
pub use study::{ARRAYS_FILE, CHANNELS_FILE, MANIFEST_FILE, Study};
pub use test_time::{Response, Split, TestTime, test_time};
pub use text::grouped;
pub use trace::{TraceEntry, TraceSection, TraceText};
pub use validation::{Damage, VALIDATION_FILE, Validation};
