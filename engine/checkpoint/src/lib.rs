//! A model at rest: configuration, weights and tokenizer out of a Hugging Face folder or a GGUF file.
//!
//! [`Checkpoint::open`] reads headers and checks them against the configuration; weights stay in memory-mapped files and become
//! float32 a layer, or a few rows, at a time. Families are Llama, Qwen2 and Qwen3 (dense); weights are float32, float16, bfloat16
//! any block type of GGUF, or packed as AutoAWQ and GPTQ do. This crate computes nothing with them: there is no tensor library in it.
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
mod checkpoint;
mod config;
mod config_keys;
mod error;
mod folder;
mod gguf;
mod gguf_config;
mod gguf_tokenizer;
mod hugging_face_config;
pub mod packed;
mod packed_store;
mod packed_zeros;
mod pre_tokenizer;
mod rope;
mod stop_tokens;
mod store;
mod tokenizer;
mod weights;
pub mod writer;

pub use checkpoint::Checkpoint;
pub use config::{Architecture, ModelConfig, PROJECTIONS};
pub use error::CheckpointError;
pub use rope::{Rope, RopeScaling, RopeTables};
pub use tokenizer::{Encoding, TraceTokenizer};
pub use weights::{LayerWeights, Matrix, Projection};
