//! GGUF files of DeepSeek's latent attention, written by gguf-py in the keys and tensors of llama.cpp's converter
//! (`tests/scripts/gguf_deepseek.py`), newer and older, against the folder that they were made from.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::path::PathBuf;
use std::sync::Arc;

use cruxscope_checkpoint::{Checkpoint, ModelConfig};
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_run::Silent;
use cruxscope_run::perplexity::perplexity;
use cruxscope_run::windows::WindowSource;

fn fixture(path: &str) -> PathBuf {
    cruxscope_needs::root().join("tests/fixtures").join(path)
}

#[test]
fn files_of_both_ages_hold_the_folders_model() {
    let folder = Checkpoint::open(&fixture("architectures/deepseek_v3_yarn")).unwrap();
    let source = WindowSource::Tokens {
        path: fixture("architectures/tokens.safetensors"),
        array: None,
    };
    let windows: Vec<Vec<u32>> = source.read(&folder, None).unwrap().into_values().flatten().collect();
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(fixture("architectures/deepseek_v3_yarn/expected.json")).unwrap()).unwrap();
    for name in ["gguf/deepseek2.gguf", "gguf/deepseek2_whole.gguf"] {
        let file = Checkpoint::open(&fixture(name)).unwrap();
        assert_eq!(file.notes(), &[] as &[String], "{name}");
        let (found, wanted) = (file.config(), folder.config());
        // Scores are scaled by a number that the file holds in float32.
        let scale = |config: &ModelConfig| config.block.attention_scale.unwrap();
        assert!((scale(found) / scale(wanted) - 1.0).abs() < 1e-7, "{name}");
        let mut alike = found.clone();
        alike.block.attention_scale = wanted.block.attention_scale;
        // The converter leaves layers out that predict tokens further ahead.
        (alike.norm_epsilon, alike.layers_beyond) = (wanted.norm_epsilon, wanted.layers_beyond);
        assert_eq!(&alike, wanted, "{name}");
        assert!((found.norm_epsilon / wanted.norm_epsilon - 1.0).abs() < 1e-6, "{name}");
        for layer in 0..wanted.layers {
            assert_eq!(file.layer(layer).unwrap(), folder.layer(layer).unwrap(), "{name}, layer {layer}");
            let bits = |checkpoint: &Checkpoint| {
                let all = checkpoint.projection_bits(layer).into_iter().zip(wanted.modules(layer));
                all.filter(|(_, module)| module.slot.is_some()).map(|(bits, _)| bits).collect::<Vec<_>>()
            };
            assert_eq!(bits(&file), bits(&folder), "{name}, layer {layer}");
        }
        let decoder = Decoder::new(Arc::new(file), CpuKernels, Residence::Resident).unwrap();
        let loss = perplexity(&decoder, &windows, &mut Silent).unwrap().mean_loss;
        assert!((loss - expected["mean_loss"].as_f64().unwrap()).abs() < 2e-5, "{name}: {loss}");
    }
}
