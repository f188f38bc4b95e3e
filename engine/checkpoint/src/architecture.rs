//! Names of families of models.

/// A family of models, in which the same configuration means the same computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    name: &'static str,
    in_gguf: bool,
}

impl Architecture {
    /// Llama 2 and 3, and everything shaped like them (SmolLM2, DeepSeek-R1-Distill-Llama).
    pub const LLAMA: Self = Self::new("llama", true);
    /// Qwen2 and Qwen2.5 (biases on query, key and value).
    pub const QWEN2: Self = Self::new("qwen2", true);
    /// Qwen3, dense (RMS norms on each head's query and key).
    pub const QWEN3: Self = Self::new("qwen3", true);

    /// A family by its `model_type`, and whether GGUF files of it are read.
    pub(crate) const fn new(name: &'static str, in_gguf: bool) -> Self {
        Self { name, in_gguf }
    }

    /// The name in `config.json`'s `model_type`, and in GGUF's `general.architecture` where such files are read.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Whether GGUF files of it are read.
    pub(crate) fn is_in_gguf(self) -> bool {
        self.in_gguf
    }
}
