//! Checkpoints of a real model's shape with random weights: what a run takes can be measured without the model at hand. Their
//! numbers mean nothing.

use std::path::Path;

use cruxscope_interpret::InterpretError;
use cruxscope_statistics::SplitMix;
use cruxscope_study::folder;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::{Event, Observer, RunError};

/// Weights that one stream of random numbers fills.
const STREAM: usize = 1 << 20;
/// Weights are even between minus and plus this, which has the deviation 0.02 that models begin with.
const BOUND: f32 = 0.034_64;

/// The sizes of a Llama model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub key_value_heads: usize,
    /// Tokens known.
    pub vocabulary: usize,
}

impl Shape {
    /// Llama 3.1 8B, as DeepSeek-R1-Distill-Llama-8B.
    pub const LLAMA_8B: Self = Self {
        layers: 32,
        hidden: 4096,
        intermediate: 14_336,
        heads: 32,
        key_value_heads: 8,
        vocabulary: 128_256,
    };
    /// Llama 3.3 70B, as DeepSeek-R1-Distill-Llama-70B.
    pub const LLAMA_70B: Self = Self {
        layers: 80,
        hidden: 8192,
        intermediate: 28_672,
        heads: 64,
        key_value_heads: 8,
        vocabulary: 128_256,
    };

    /// Half a million weights, to see that something works.
    pub const TINY: Self = Self {
        layers: 4,
        hidden: 128,
        intermediate: 256,
        heads: 4,
        key_value_heads: 2,
        vocabulary: 500,
    };

    fn config(&self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "head_dim": self.hidden / self.heads,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 131_072,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500_000.0,
            "rope_scaling": {
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192
            },
            "tie_word_embeddings": false,
            "torch_dtype": "bfloat16"
        })
    }

    /// The tensors of a file: of the embeddings (file 0), or of a layer, counted from 1.
    fn tensors(&self, file: usize) -> Vec<(String, Vec<usize>)> {
        let (hidden, wide, keys) = (self.hidden, self.intermediate, self.hidden / self.heads * self.key_value_heads);
        let Some(layer) = file.checked_sub(1) else {
            return vec![
                ("model.embed_tokens.weight".into(), vec![self.vocabulary, hidden]),
                ("model.norm.weight".into(), vec![hidden]),
                ("lm_head.weight".into(), vec![self.vocabulary, hidden]),
            ];
        };
        let named = |name: &str, shape: Vec<usize>| (format!("model.layers.{layer}.{name}.weight"), shape);
        vec![
            named("input_layernorm", vec![hidden]),
            named("self_attn.q_proj", vec![hidden, hidden]),
            named("self_attn.k_proj", vec![keys, hidden]),
            named("self_attn.v_proj", vec![keys, hidden]),
            named("self_attn.o_proj", vec![hidden, hidden]),
            named("post_attention_layernorm", vec![hidden]),
            named("mlp.gate_proj", vec![wide, hidden]),
            named("mlp.up_proj", vec![wide, hidden]),
            named("mlp.down_proj", vec![hidden, wide]),
        ]
    }

    /// Bytes of all weights as bf16.
    pub fn bytes(&self) -> u64 {
        let of = |file: usize| self.tensors(file).iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum::<u64>();
        2 * (of(0) + self.layers as u64 * of(1))
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
    for file in 0..=shape.layers {
        if observer.stop() {
            return Err(InterpretError::Cancelled.into());
        }
        let name = format!("model-{:05}-of-{:05}.safetensors", file + 1, shape.layers + 1);
        let tensors = shape.tensors(file);
        index.extend(tensors.iter().map(|(tensor, _)| (tensor.clone(), name.clone().into())));
        let path = out.join(&name);
        if !path.exists() {
            let bytes: Vec<Vec<u8>> = (tensors.iter().enumerate())
                .map(|(place, (_, sizes))| fill(sizes, SplitMix::new(seed ^ ((file as u64) << 32 | place as u64)).bits()))
                .collect();
            let views =
                (tensors.iter().zip(&bytes)).filter_map(|((name, sizes), bytes)| Some((name, TensorView::new(Dtype::BF16, sizes.clone(), bytes).ok()?)));
            let draft = path.with_extension("draft");
            safetensors::serialize_to_file(views, None, &draft).map_err(|error| io("write", &draft)(std::io::Error::other(error)))?;
            std::fs::rename(&draft, &path).map_err(io("rename", &draft))?;
        }
        observer.event(Event::Preparing {
            what: format!("{} of {} files", file + 1, shape.layers + 1),
            share: (file + 1) as f64 / (shape.layers + 1) as f64,
        });
    }
    let index = json!({"metadata": {"total_size": shape.bytes()}, "weight_map": index});
    for (name, value) in [("model.safetensors.index.json", &index), ("config.json", &shape.config())] {
        folder::write_atomically(&out.join(name), value.to_string().as_bytes())?;
    }
    Ok(())
}

/// Random weights as bf16; a norm's are one.
fn fill(sizes: &[usize], seed: u64) -> Vec<u8> {
    let count: usize = sizes.iter().product();
    if sizes.len() == 1 {
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

    use super::*;
    use crate::Silent;

    const SMALL: Shape = Shape {
        layers: 2,
        hidden: 64,
        intermediate: 96,
        heads: 4,
        key_value_heads: 2,
        vocabulary: 100,
    };

    #[test]
    fn a_synthetic_checkpoint_is_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        write(&SMALL, folder.path(), 1, &mut Silent).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(checkpoint.config().layers, 2);
        let sizes: u64 = checkpoint.files().iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
        assert!(sizes > SMALL.bytes());
        checkpoint.layer(1).unwrap();
        let first = std::fs::read(folder.path().join("model-00002-of-00003.safetensors")).unwrap();
        let again = tempfile::tempdir().unwrap();
        write(&SMALL, again.path(), 1, &mut Silent).unwrap();
        assert!(std::fs::read(again.path().join("model-00002-of-00003.safetensors")).unwrap() == first);
    }

    #[test]
    fn the_shapes_have_their_sizes() {
        assert_eq!(Shape::LLAMA_8B.bytes(), 16_060_522_496);
        assert_eq!(Shape::LLAMA_70B.bytes(), 141_107_412_992);
    }

    #[test]
    fn weights_are_even_around_nothing() {
        let bytes = fill(&[64, 1024], 3);
        let values: Vec<f64> = bytes.as_chunks::<2>().0.iter().map(|two| f64::from(half::bf16::from_le_bytes(*two))).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let deviation = (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt();
        assert!(mean.abs() < 5e-4 && (deviation - 0.02).abs() < 5e-4, "{mean} {deviation}");
    }
}
