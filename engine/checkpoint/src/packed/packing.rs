//! Which format a checkpoint's packed weights have: `quantization_config`, told apart by its `quant_method`.

use serde_json::Value;

use super::arrays::Module;
use super::bitsandbytes::{self, BitsAndBytes};
use super::compressed::{self, CompressedTensors};
use super::float8::{self, Float8};
use super::gemv::{self, Gemv};
use super::hqq::{self, Hqq};
use super::keys::Asked;
use super::scaled::Rows;
use super::scheme::Scheme;
use super::torchao::{self, TorchAo};
use super::words;
use crate::error::CheckpointError;
use crate::input_rounding::InputRounding;

/// A format with what its configuration says.
#[derive(Debug, Clone)]
pub(crate) enum Packing {
    /// AutoAWQ's GEMM and GPTQ's words.
    Words(Scheme),
    /// AutoAWQ's GEMV words.
    Gemv(Gemv),
    /// compressed-tensors.
    CompressedTensors(CompressedTensors),
    /// Float8 with blocks of scales.
    Float8(Float8),
    /// bitsandbytes.
    BitsAndBytes(BitsAndBytes),
    /// HQQ, whose modules say for themselves how they are packed.
    Hqq,
    /// torchao.
    TorchAo(TorchAo),
}

/// Arrays that are about activations and caches, not about weights.
const OF_ACTIVATIONS: [&str; 11] = [
    "activation_scale",
    "input_global_scale",
    "input_scale",
    "input_zero_point",
    "k_scale",
    "k_zero_point",
    "output_scale",
    "output_zero_point",
    "q_scale",
    "v_scale",
    "v_zero_point",
];

impl Packing {
    /// Reads `quantization_config`.
    ///
    /// # Errors
    /// A sentence that names what is not known.
    pub fn parse(config: &Value) -> Result<Self, String> {
        let method = config.get("quant_method").and_then(Value::as_str).map(str::to_lowercase);
        match method.as_deref().unwrap_or("unknown") {
            "awq" if Gemv::is_said_by(config) => Gemv::parse(config).map(Self::Gemv),
            "awq" | "gptq" | "auto-round" | "intel/auto-round" => Scheme::parse(config).map(Self::Words),
            "compressed-tensors" => CompressedTensors::parse(config).map(Self::CompressedTensors),
            "fp8" | "fbgemm_fp8" => Float8::parse(config).map(Self::Float8),
            "bitsandbytes" => BitsAndBytes::parse(config).map(Self::BitsAndBytes),
            "hqq" => hqq::check(config).map(|()| Self::Hqq),
            "torchao" => TorchAo::parse(config).map(Self::TorchAo),
            other => Err(format!(
                "quantization_config says the weights are packed by `{other}`; known are `awq`, `gptq`, `auto-round`, `compressed-tensors`, `fp8`, \
                 `fbgemm_fp8`, `bitsandbytes`, `hqq` and `torchao`. Give a checkpoint in float32, float16 or bfloat16 (dequantized, same values), or a GGUF file"
            )),
        }
    }

    /// What it asks for beside quantized weights.
    pub fn asked(&self) -> Asked {
        match self {
            Self::Words(_) | Self::Gemv(_) | Self::Hqq => Asked::default(),
            Self::CompressedTensors(config) => config.asked(),
            Self::Float8(config) => config.asked(),
            Self::BitsAndBytes(config) => config.asked(),
            Self::TorchAo(config) => config.asked(),
        }
    }

    /// How what a module reads is rounded, if it is; `number` gives its arrays of activations by the last part of their names.
    ///
    /// # Errors
    /// A sentence where that is not simulated.
    pub fn input_rounding(&self, module: &str, is_packed: bool, number: impl Fn(&str) -> Option<f32>) -> Result<Option<InputRounding>, String> {
        match self {
            Self::CompressedTensors(config) => config.input_rounding(module, number),
            Self::Float8(config) if is_packed => config.input_rounding(number),
            Self::BitsAndBytes(_) | Self::TorchAo(_) if is_packed && !self.asked().activations.is_empty() => Err(format!(
                "the activations of `{}` are not simulated; those of compressed-tensors and fp8 are",
                self.asked().activations
            )),
            _ => Ok(None),
        }
    }

    /// Names of a module's arrays.
    pub fn parts(&self) -> &'static [&'static str] {
        match self {
            Self::Words(_) => words::PARTS,
            Self::Gemv(_) => gemv::PARTS,
            Self::CompressedTensors(_) => compressed::PARTS,
            Self::Float8(_) => float8::PARTS,
            Self::BitsAndBytes(_) => bitsandbytes::PARTS,
            Self::Hqq => hqq::PARTS,
            Self::TorchAo(_) => torchao::PARTS,
        }
    }

    /// Whether a module with these arrays is packed.
    pub fn is_packed(&self, has: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Words(_) | Self::Gemv(_) => has("qweight") && !has("weight"),
            Self::CompressedTensors(_) => CompressedTensors::is_packed(has),
            Self::Float8(_) => has("weight") && (has("weight_scale") || has("weight_scale_inv")),
            Self::BitsAndBytes(_) => BitsAndBytes::is_packed(has),
            Self::Hqq => hqq::is_packed(has),
            Self::TorchAo(_) => TorchAo::is_packed(has),
        }
    }

    /// Whether an array is about activations or caches of a format that knows such; weights do not depend on it.
    pub fn is_of_activations(&self, name: &str) -> bool {
        let part = name.rsplit('.').next().unwrap_or(name);
        matches!(self, Self::CompressedTensors(_) | Self::Float8(_)) && OF_ACTIVATIONS.contains(&part)
    }

    /// The arrays of a module of `rows` by `columns`, found and checked.
    ///
    /// # Errors
    /// `MissingTensor`, `Shape` or `Unsupported`.
    pub fn open<'a>(&self, module: &Module<'a>, rows: usize, columns: usize) -> Result<Box<dyn Rows + 'a>, CheckpointError> {
        Ok(match self {
            Self::Words(scheme) => Box::new(words::Words::open(scheme, module, rows, columns)?),
            Self::Gemv(config) => Box::new(config.open(module, rows, columns)?),
            Self::CompressedTensors(config) => Box::new(config.open(module, rows, columns)?),
            Self::Float8(config) => Box::new(config.open(module, rows, columns)?),
            Self::BitsAndBytes(config) => config.open(module, rows, columns)?,
            Self::Hqq => Box::new(Hqq::open(module, rows, columns)?),
            Self::TorchAo(_) => TorchAo::open(module, rows, columns)?,
        })
    }

    /// The name of a module's form.
    pub fn kind(&self, module: &Module<'_>) -> String {
        match self {
            Self::Words(scheme) => format!("{} {} bits", scheme.layout.name().to_uppercase(), scheme.bits),
            Self::Gemv(_) => "AWQ 4 bits".to_string(),
            Self::CompressedTensors(config) => config.kind(module.stem),
            Self::Float8(_) => "FP8".to_string(),
            Self::BitsAndBytes(_) => BitsAndBytes::kind(module).to_string(),
            Self::Hqq => hqq::kind(module),
            Self::TorchAo(_) => TorchAo::kind(module),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (config, part) in [
            (json!({"quant_method": "hqq", "quant_config": {}, "rotation": "hadamard"}), "rotation"),
            (json!({"quant_method": "torchao", "quant_type": {}, "sparsity": "2:4"}), "sparsity"),
            (json!({"quant_method": "quanto"}), "`quanto`"),
            (json!({"quant_method": "mxfp4"}), "`mxfp4`"),
            (json!({}), "`unknown`"),
            (
                json!({"quant_method": "awq", "version": "gemv_fast", "bits": 4, "group_size": 64}),
                "`gemv_fast`",
            ),
            (json!({"quant_method": "awq", "version": "gemv", "bits": 3, "group_size": 64}), "3 bits"),
            (json!({"quant_method": "fp8", "fmt": "e5m2"}), "`e5m2`"),
            (json!({"quant_method": "fp8", "weight_block_size": [128]}), "weight_block_size"),
            (json!({"quant_method": "fp8", "rotation": "hadamard"}), "rotation"),
            (json!({"quant_method": "bitsandbytes"}), "load_in_4bit"),
            (
                json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": true}),
                "load_in_8bit",
            ),
            (
                json!({"quant_method": "auto-round", "packing_format": "auto_round:llm_compressor", "bits": 4, "group_size": 32}),
                "auto_round:llm_compressor",
            ),
        ] {
            let error = Packing::parse(&config).unwrap_err();
            assert!(error.contains(part), "{config}: {error}");
        }
        assert!(matches!(
            Packing::parse(&json!({"quant_method": "awq", "version": "GEMV", "bits": 4, "group_size": 64})),
            Ok(Packing::Gemv(_))
        ));
    }

    #[test]
    fn what_is_not_simulated_is_said() {
        let note = |config: Value| Packing::parse(&config).unwrap().asked().note(false).unwrap_or_default();
        assert!(note(json!({"quant_method": "fp8", "activation_scheme": "dynamic"})).contains("`dynamic`"));
        assert!(note(json!({"quant_method": "bitsandbytes", "load_in_8bit": true})).contains("not simulated"));
        assert_eq!(note(json!({"quant_method": "bitsandbytes", "load_in_4bit": true})), "");
        assert_eq!(note(json!({"quant_method": "awq", "bits": 4, "group_size": 64})), "");
    }
}
