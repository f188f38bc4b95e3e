//! Checkpoints of a real model's shape with random weights: what a run takes can be measured without the model at hand. Their
//! numbers mean nothing.

use std::path::Path;

use cruxscope_checkpoint::ModelConfig;
use cruxscope_interpret::{InterpretError, Layout};
use cruxscope_statistics::SplitMix;
use cruxscope_study::folder;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::place::Place;
use crate::placement::{Needs, Placement, WeightsChoice};
use crate::plan::operations;
use crate::{Event, Observer, RunError};

/// Weights that one stream of random numbers fills.
const STREAM: usize = 1 << 20;
/// Weights are even between minus and plus this, which has the deviation 0.02 that models begin with.
const BOUND: f32 = 0.034_64;

/// A published model whose sizes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Llama 3.1 8B, as DeepSeek-R1-Distill-Llama-8B.
    Llama8b,
    /// Llama 3.3 70B, as DeepSeek-R1-Distill-Llama-70B.
    Llama70b,
    /// Qwen3-30B-A3B.
    Qwen3A3b,
    /// gpt-oss-20b.
    GptOss20b,
    /// DeepSeek-R1, of 671 billion weights.
    DeepSeekR1,
    /// None: half a million weights, to see that something works.
    Tiny,
}

impl Published {
    fn json(self) -> Value {
        let llama = |hidden: usize, intermediate: usize, layers: usize, heads: usize, key_value_heads: usize, vocabulary: usize| {
            json!({
                "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": hidden,
                "intermediate_size": intermediate, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": key_value_heads,
                "head_dim": hidden / heads, "vocab_size": vocabulary, "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
                "rope_scaling": {
                    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192
                }
            })
        };
        let mut json = match self {
            Self::Llama8b => llama(4096, 14_336, 32, 32, 8, 128_256),
            Self::Llama70b => llama(8192, 28_672, 80, 64, 8, 128_256),
            Self::Tiny => llama(128, 256, 4, 4, 2, 500),
            Self::Qwen3A3b => json!({
                "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_act": "silu", "hidden_size": 2048,
                "intermediate_size": 6144, "moe_intermediate_size": 768, "num_hidden_layers": 48, "num_attention_heads": 32,
                "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": true,
                "decoder_sparse_step": 1, "mlp_only_layers": [], "vocab_size": 151_936, "max_position_embeddings": 40_960,
                "rms_norm_eps": 1e-6, "rope_theta": 1e6, "use_sliding_window": false
            }),
            Self::GptOss20b => json!({
                "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_act": "silu", "hidden_size": 2880,
                "intermediate_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
                "num_local_experts": 32, "num_experts_per_tok": 4, "attention_bias": true, "sliding_window": 128, "vocab_size": 201_088,
                "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5, "rope_theta": 150_000.0,
                "rope_scaling": {
                    "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
                    "original_max_position_embeddings": 4096
                }
            }),
            Self::DeepSeekR1 => json!({
                "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_act": "silu", "hidden_size": 7168,
                "intermediate_size": 18_432, "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_attention_heads": 128,
                "num_key_value_heads": 128, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128,
                "v_head_dim": 128, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
                "n_group": 8, "topk_group": 4, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": true,
                "routed_scaling_factor": 2.5, "vocab_size": 129_280, "max_position_embeddings": 163_840, "rms_norm_eps": 1e-6,
                "rope_theta": 10_000.0,
                "rope_scaling": {
                    "type": "yarn", "factor": 40.0, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                    "original_max_position_embeddings": 4096
                }
            }),
        };
        json["tie_word_embeddings"] = false.into();
        json["torch_dtype"] = "bfloat16".into();
        json
    }
}

/// A model's configuration, without weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    json: Value,
    config: ModelConfig,
}

impl Shape {
    /// That of a published model, or of its first `layers` layers.
    ///
    /// # Errors
    /// When a model has no such number of layers.
    pub fn of(model: Published, layers: Option<usize>) -> Result<Self, RunError> {
        let whole = Self::from_json(model.json())?;
        layers.map_or(Ok(whole.clone()), |layers| whole.with_layers(layers))
    }

    /// The same with another number of layers.
    ///
    /// # Errors
    /// When a model has no such number.
    pub fn with_layers(&self, layers: usize) -> Result<Self, RunError> {
        let mut json = self.json.clone();
        json["num_hidden_layers"] = layers.into();
        Self::from_json(json)
    }

    /// That of a `config.json`.
    ///
    /// # Errors
    /// When it is not one of a family that is known.
    pub fn from_json(json: Value) -> Result<Self, RunError> {
        let config = ModelConfig::from_json(&json.to_string())?;
        Ok(Self { json, config })
    }

    /// As `config.json` says it.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The tensors of each file: of the embeddings first, then of every layer.
    fn files(&self) -> Vec<Vec<(String, Vec<usize>)>> {
        let mut files = vec![Vec::new(); 1 + self.config.layers];
        for (name, shape) in self.config.tensors() {
            let layer = name
                .strip_prefix("model.layers.")
                .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            files[layer.map_or(0, |layer| layer + 1)].push((name, shape));
        }
        files
    }

    /// Bytes of all weights as bf16.
    pub fn bytes(&self) -> u64 {
        let numbers: u64 = self.config.tensors().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
        2 * numbers
    }

    /// What interpreting some instances would take on a device, by the definition of the paper: each of so many tokens, segments, and rows
    /// of segments.
    ///
    /// # Errors
    /// When it would not fit.
    pub fn placed(&self, instances: usize, tokens: usize, segments: usize, rows: usize, place: &Place) -> Result<Placement, RunError> {
        let layout = Layout::of(&self.config);
        let needs = vec![Needs::of(&self.config, &layout, tokens, segments, rows, 4); instances];
        let operations = vec![operations(&self.config, tokens, rows); instances];
        Placement::choose(&self.config, &needs, &operations, WeightsChoice::Automatic, place)
    }
}

/// Writes a checkpoint in bf16: a file for the embeddings and one for each layer, with an index. Files that a stopped run finished
/// are kept; the same seed gives the same bytes.
///
/// # Errors
/// When the disk refuses, or the observer says stop.
pub fn write(shape: &Shape, out: &Path, seed: u64, observer: &mut dyn Observer) -> Result<(), RunError> {
    let io = |attempt, path: &Path| {
        let path = path.to_owned();
        move |source| RunError::Io { attempt, path, source }
    };
    std::fs::create_dir_all(out).map_err(io("create", out))?;
    let mut index = serde_json::Map::new();
    let (files, layers) = (shape.files(), shape.config.layers);
    for (file, tensors) in files.iter().enumerate() {
        if observer.stop() {
            return Err(InterpretError::Cancelled.into());
        }
        let name = format!("model-{:05}-of-{:05}.safetensors", file + 1, layers + 1);
        index.extend(tensors.iter().map(|(tensor, _)| (tensor.clone(), name.clone().into())));
        let path = out.join(&name);
        if !path.exists() {
            let bytes: Vec<Vec<u8>> = (tensors.iter().enumerate())
                .map(|(place, (name, sizes))| fill(name, sizes, SplitMix::new(seed ^ ((file as u64) << 32 | place as u64)).bits()))
                .collect();
            let views =
                (tensors.iter().zip(&bytes)).filter_map(|((name, sizes), bytes)| Some((name, TensorView::new(Dtype::BF16, sizes.clone(), bytes).ok()?)));
            let draft = path.with_extension("draft");
            safetensors::serialize_to_file(views, None, &draft).map_err(|error| io("write", &draft)(std::io::Error::other(error)))?;
            std::fs::rename(&draft, &path).map_err(io("rename", &draft))?;
        }
        observer.event(Event::Preparing {
            what: format!("{} of {} files", file + 1, layers + 1),
            share: (file + 1) as f64 / (layers + 1) as f64,
        });
    }
    let index = json!({"metadata": {"total_size": shape.bytes()}, "weight_map": index});
    for (name, value) in [("model.safetensors.index.json", &index), ("config.json", &shape.json)] {
        folder::write_atomically(&out.join(name), value.to_string().as_bytes())?;
    }
    Ok(())
}

/// Random weights as bf16; a norm's are one.
fn fill(name: &str, sizes: &[usize], seed: u64) -> Vec<u8> {
    let count: usize = sizes.iter().product();
    if sizes.len() == 1 && name.contains("norm") {
        return half::bf16::ONE.to_le_bytes().repeat(count);
    }
    let mut bytes = vec![0; 2 * count];
    bytes.par_chunks_mut(2 * STREAM).enumerate().for_each(|(stream, bytes)| {
        let mut generator = SplitMix::new(seed.wrapping_add(stream as u64));
        for eight in bytes.chunks_mut(8) {
            // Four weights of sixteen random bits each.
            let bits = generator.bits();
            for (place, two) in eight.chunks_exact_mut(2).enumerate() {
                let share = f32::from((bits >> (16 * place)) as u16) / 32_767.5 - 1.0;
                two.copy_from_slice(&half::bf16::from_f32(BOUND * share).to_le_bytes());
            }
        }
    });
    bytes
}

#[cfg(test)]
mod tests {
    use cruxscope_checkpoint::Checkpoint;
    use cruxscope_model::decoder::Residence;

    use super::*;
    use crate::Silent;

    fn small(changes: Value) -> Shape {
        let mut json = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 64
        });
        for (key, value) in changes.as_object().unwrap() {
            json[key] = value.clone();
        }
        Shape::from_json(json).unwrap()
    }

    #[test]
    fn a_synthetic_checkpoint_is_a_checkpoint() {
        let experts = json!({"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "moe_intermediate_size": 32, "num_experts": 4,
            "num_experts_per_tok": 2, "head_dim": 16});
        let oss = json!({"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 2,
            "head_dim": 16, "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 16}});
        for shape in [small(json!({})), small(experts), small(oss)] {
            let folder = tempfile::tempdir().unwrap();
            write(&shape, folder.path(), 1, &mut Silent).unwrap();
            let checkpoint = Checkpoint::open(folder.path()).unwrap();
            assert_eq!(checkpoint.config(), shape.config());
            let sizes: u64 = checkpoint.files().iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
            assert!(sizes > shape.bytes());
            checkpoint.layer(1).unwrap();
            let first = std::fs::read(folder.path().join("model-00002-of-00003.safetensors")).unwrap();
            let again = tempfile::tempdir().unwrap();
            write(&shape, again.path(), 1, &mut Silent).unwrap();
            assert!(std::fs::read(again.path().join("model-00002-of-00003.safetensors")).unwrap() == first);
        }
    }

    #[test]
    fn the_shapes_have_their_sizes() {
        let bytes = |model: Published| Shape::of(model, None).unwrap().bytes();
        assert_eq!(bytes(Published::Llama8b), 16_060_522_496);
        assert_eq!(bytes(Published::Llama70b), 141_107_412_992);
        // As published: 30.5, 20.9 and 671 billion weights.
        for (model, billions) in [(Published::Qwen3A3b, 30.5), (Published::GptOss20b, 20.9), (Published::DeepSeekR1, 671.0)] {
            let found = bytes(model) as f64 / 2e9;
            assert!((found - billions).abs() < 0.005 * billions, "{model:?}: {found} billion");
        }
        assert_eq!(Shape::of(Published::DeepSeekR1, Some(4)).unwrap().config().layers, 4);
        assert!(Shape::of(Published::DeepSeekR1, Some(0)).is_err());
    }

    #[test]
    fn a_plan_of_a_shape_streams_what_does_not_fit() {
        let place = Place {
            weight_bytes: 2,
            copies: false,
            machine_memory: Some(128 << 30),
            device_memory: None,
            products: None,
            layer_reading: None,
        };
        let of = |model: Published| Shape::of(model, None).unwrap().placed(2, 4000, 25, 1500, &place).unwrap();
        assert_eq!(of(Published::Llama8b).weights, Residence::Resident);
        let largest = of(Published::DeepSeekR1);
        assert_eq!(largest.weights, Residence::Streamed);
        // A layer of 11.5 billion weights, and the next that is read meanwhile.
        assert!(largest.memory.machine > 2 * 2 * 11_500_000_000, "{:?}", largest.memory);
    }

    #[test]
    fn weights_are_even_around_nothing() {
        let bytes = fill("q_proj.weight", &[64, 1024], 3);
        let values: Vec<f64> = bytes.as_chunks::<2>().0.iter().map(|two| f64::from(half::bf16::from_le_bytes(*two))).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let deviation = (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt();
        assert!(mean.abs() < 5e-4 && (deviation - 0.02).abs() < 5e-4, "{mean} {deviation}");
    }
}
