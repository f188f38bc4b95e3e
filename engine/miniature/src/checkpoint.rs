//! Weights on disk: as a Hugging Face folder for others, and with the optimiser's state to go on from.

use std::{borrow::Cow, fs, path::Path};

use half::bf16;
use safetensors::{Dtype, SafeTensors, View};
use serde_json::json;

use crate::{Alphabet, MiniatureError, Optimiser, layout::EPSILON, layout::Shape, layout::THETA};

/// A tensor as bytes.
struct Stored {
    kind: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        self.kind
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn full(values: &[f32]) -> Stored {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored {
        kind: Dtype::F32,
        shape: vec![values.len()],
        bytes,
    }
}

/// Writes the model as a Hugging Face folder, its weights as bf16.
pub fn export(folder: &Path, shape: &Shape, alphabet: &Alphabet, weights: &[f32]) -> Result<(), MiniatureError> {
    fs::create_dir_all(folder)?;
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": false,
        "bos_token_id": null,
        "eos_token_id": Alphabet::END,
        "head_dim": shape.head(),
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.05,
        "intermediate_size": shape.feed_forward,
        "max_position_embeddings": 512,
        "mlp_bias": false,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.key_heads,
        "rms_norm_eps": f64::from((EPSILON * 1e5).round()) / 1e5,
        "rope_theta": THETA,
        "tie_word_embeddings": true,
        "torch_dtype": "bfloat16",
        "vocab_size": shape.vocabulary
    });
    let generation = json!({"eos_token_id": Alphabet::END});
    let tokenizer = json!({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "\n", "unk_token": "<unk>"});
    let files = [
        ("config.json", &config),
        ("generation_config.json", &generation),
        ("tokenizer_config.json", &tokenizer),
        ("tokenizer.json", &alphabet.tokenizer()),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), serde_json::to_string_pretty(content)? + "\n")?;
    }
    let tensors: Vec<(String, Stored)> = shape
        .named()
        .into_iter()
        .map(|(name, place, rows, columns)| {
            let bytes = weights[place].iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
            let shape = std::iter::once(rows).chain(columns).collect();
            (
                name,
                Stored {
                    kind: Dtype::BF16,
                    shape,
                    bytes,
                },
            )
        })
        .collect();
    let header = [("format".to_owned(), "pt".to_owned())].into();
    let views = tensors.iter().map(|(name, stored)| (name, stored));
    let bytes = safetensors::serialize(views, Some(header))?;
    fs::write(folder.join("model.safetensors"), bytes)?;
    Ok(())
}

/// Keeps all that training needs to go on; the file is whole at every moment.
pub fn store(file: &Path, weights: &[f32], optimiser: &Optimiser) -> Result<(), MiniatureError> {
    let parts = [
        ("weights", full(weights)),
        ("means", full(&optimiser.means)),
        ("squares", full(&optimiser.squares)),
    ];
    let notes = [("steps".to_owned(), optimiser.steps.to_string())].into();
    let bytes = safetensors::serialize(parts.iter().map(|(name, stored)| (*name, stored)), Some(notes))?;
    let draft = file.with_extension("draft");
    fs::write(&draft, bytes)?;
    fs::rename(draft, file)?;
    Ok(())
}

/// What [`store`] kept: weights, and the optimiser's state.
pub fn restore(file: &Path) -> Result<(Vec<f32>, Optimiser), MiniatureError> {
    let bytes = fs::read(file)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let read = |name: &str| -> Result<Vec<f32>, MiniatureError> {
        let (values, _) = tensors.tensor(name)?.data().as_chunks::<4>();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    };
    let notes = header.metadata().clone().unwrap_or_default();
    let found = notes.get("steps").and_then(|text| text.parse().ok());
    let steps = found.ok_or_else(|| MiniatureError::Misfit(format!("{} says no number of steps", file.display())))?;
    let optimiser = Optimiser {
        means: read("means")?,
        squares: read("squares")?,
        steps,
    };
    let weights = read("weights")?;
    if optimiser.means.len() != weights.len() || optimiser.squares.len() != weights.len() {
        return Err(MiniatureError::Misfit(format!("{}: parts of unlike length", file.display())));
    }
    Ok((weights, optimiser))
}
