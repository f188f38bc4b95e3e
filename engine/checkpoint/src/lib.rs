//! A model at rest: configuration, weights and tokenizer out of a Hugging Face folder or a GGUF file.
//!
//! [`Checkpoint::open`] reads headers and checks them against the configuration; weights stay in memory-mapped files and become
//! float32 a layer, or a few rows, at a time. Families are rows of one table (dense decoders); weights are float32, float16, bfloat16,
//! any block type of GGUF, or packed in one of the forms of [`packed`]. This crate computes nothing with them: there is no tensor library in it.
//!
//! ```
//! use cruxscope_checkpoint::Checkpoint;
//!
//! # fn main() -> Result<(), cruxscope_checkpoint::CheckpointError> {
//! # let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny/model");
//! let checkpoint = Checkpoint::open(&folder)?;
//! let query = &checkpoint.layer(0)?.projections[0].weight;
//! assert_eq!(query.columns, checkpoint.config().hidden);
//! # Ok(())
//! # }
//! ```

mod accounting;
mod architecture;
mod checkpoint;
mod config;
mod config_keys;
mod description;
mod dtype;
mod error;
mod experts;
mod families;
mod folder;
mod fused;
mod gguf;
mod gguf_config;
mod gguf_families;
mod gguf_names;
mod gguf_split;
mod gguf_tokenizer;
pub mod gguf_writer;
mod hugging_face_config;
mod input_rounding;
mod json_fields;
mod modules;
pub mod packed;
mod packed_store;
mod packed_zeros;
mod pre_tokenizer;
mod rope;
mod rope_config;
mod stacked;
mod stacked_slice;
mod stop_tokens;
mod store;
mod tokenizer;
mod weights;
mod wrapped;
pub mod writer;

pub use architecture::Architecture;
pub use checkpoint::Checkpoint;
pub use config::{ModelConfig, PROJECTIONS};
pub use description::{
    Activation, BlockDescription, DeltaRule, Ends, Fused, LATENT_EPSILON, Latent, LayerKind, LayerRotation, NormKind, Norms, QueryKeyNorm, RopePairs,
    Temperature,
};
pub use error::CheckpointError;
pub use experts::{ExpertNames, ExpertStorage, Experts, GroupScore, Router, RouterScores, SharedExpert, StackedNames};
pub use families::holds_fused_matrices;
pub use input_rounding::{GroupScales, InputRounding, InputScales, RoundedNumbers};
pub use modules::{AttentionInput, ModuleRole, ModuleShape};
pub use rope::{Rope, RopeScaling, RopeTables};
pub use tokenizer::{Encoding, TraceTokenizer};
pub use weights::{DeltaWeights, LayerWeights, Matrix, Projection};
