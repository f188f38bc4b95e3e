//! A tiny model in both forms, with everything that a test may want to break.

#![allow(dead_code)] // every test file uses its own part

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anamnesis::{GgufMetadataArray, GgufMetadataValue, GgufType, GgufWriteTensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

/// Sizes of the tiny model.
pub const HIDDEN: usize = 32;
pub const INTERMEDIATE: usize = 64;
pub const VOCABULARY: usize = 12;
pub const LAYERS: usize = 2;
pub const HEADS: usize = 4;
pub const KEY_VALUE_HEADS: usize = 2;
pub const HEAD: usize = 8;

/// Name, shape and values of every tensor.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub fn config() -> Value {
    json!({
        "model_type": "llama", "hidden_act": "silu", "num_hidden_layers": LAYERS, "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE,
        "num_attention_heads": HEADS, "num_key_value_heads": KEY_VALUE_HEADS, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": true
    })
}

/// Values that float16 and bfloat16 hold exactly, all different in a row.
pub fn tensors() -> Tensors {
    let mut tensors = Tensors::new();
    let mut add = |name: String, shape: Vec<usize>| {
        let seed = name.bytes().map(usize::from).sum::<usize>();
        let values = (0..shape.iter().product())
            .map(|i: usize| ((i * 7 + i / shape[shape.len() - 1] * 3 + seed) % 251) as f32 / 64.0 - 1.5)
            .collect();
        tensors.insert(name, (shape, values));
    };
    add("model.embed_tokens.weight".to_string(), vec![VOCABULARY, HIDDEN]);
    add("model.norm.weight".to_string(), vec![HIDDEN]);
    for layer in 0..LAYERS {
        let name = |rest: &str| format!("model.layers.{layer}.{rest}.weight");
        add(name("input_layernorm"), vec![HIDDEN]);
        add(name("post_attention_layernorm"), vec![HIDDEN]);
        add(name("self_attn.q_proj"), vec![HEADS * HEAD, HIDDEN]);
        add(name("self_attn.k_proj"), vec![KEY_VALUE_HEADS * HEAD, HIDDEN]);
        add(name("self_attn.v_proj"), vec![KEY_VALUE_HEADS * HEAD, HIDDEN]);
        add(name("self_attn.o_proj"), vec![HIDDEN, HEADS * HEAD]);
        add(name("mlp.gate_proj"), vec![INTERMEDIATE, HIDDEN]);
        add(name("mlp.up_proj"), vec![INTERMEDIATE, HIDDEN]);
        add(name("mlp.down_proj"), vec![HIDDEN, INTERMEDIATE]);
    }
    tensors
}

fn stored(values: &[f32], kind: Dtype) -> Vec<u8> {
    match kind {
        Dtype::F16 => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

pub fn write_safetensors<'a>(file: &Path, tensors: impl Iterator<Item = (&'a String, &'a (Vec<usize>, Vec<f32>))>, kind: Dtype) {
    let bytes: Vec<_> = tensors
        .map(|(name, (shape, values))| (name.clone(), shape.clone(), stored(values, kind)))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, data)| (name.clone(), TensorView::new(kind, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, file).unwrap();
}

/// A folder with `config.json` and one file of weights.
pub fn folder(config: &Value, tensors: &Tensors, kind: Dtype) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    write_safetensors(&folder.path().join("model.safetensors"), tensors.iter(), kind);
    folder
}

pub fn metadata() -> HashMap<String, GgufMetadataValue> {
    let mut values = HashMap::new();
    let sizes = [
        ("block_count", LAYERS),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", INTERMEDIATE),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KEY_VALUE_HEADS),
        ("context_length", 64),
        ("rope.dimension_count", HEAD),
    ];
    for (field, value) in sizes {
        values.insert(format!("llama.{field}"), GgufMetadataValue::U32(value as u32));
    }
    values.insert("llama.attention.layer_norm_rms_epsilon".to_string(), GgufMetadataValue::F32(1e-5));
    let text = |text: &str| GgufMetadataValue::String(text.to_string());
    let strings = |values: &[&str]| GgufMetadataValue::Array(Box::new(GgufMetadataArray::String(values.iter().map(|v| v.to_string()).collect())));
    values.insert("general.architecture".to_string(), text("llama"));
    values.insert("tokenizer.ggml.model".to_string(), text("gpt2"));
    values.insert("tokenizer.ggml.pre".to_string(), text("smollm"));
    values.insert("tokenizer.ggml.tokens".to_string(), strings(&["a", "b", "Ġ", "ab"]));
    values.insert("tokenizer.ggml.merges".to_string(), strings(&["a b"]));
    values
}

/// GGUF's name of a tensor in Hugging Face's style.
pub fn gguf_name(name: &str) -> String {
    let pairs = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers", "blk"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    pairs.iter().fold(name.to_string(), |name, (from, to)| name.replace(from, to))
}

/// Rows of query and key in the order of GGUF files of the Llama family: row `2j + p` of a head is row `p · half + j`.
fn interleave(name: &str, shape: &[usize], values: &[f32]) -> Vec<f32> {
    if !name.contains("q_proj") && !name.contains("k_proj") {
        return values.to_vec();
    }
    let width = shape.get(1).copied().unwrap_or(1);
    let row = |r: usize| {
        let (head, within) = (r / HEAD, r % HEAD);
        let source = head * HEAD + (within % 2) * (HEAD / 2) + within / 2;
        &values[source * width..(source + 1) * width]
    };
    (0..shape[0]).flat_map(|r| row(r).to_vec()).collect()
}

/// A GGUF file of the model in float32.
pub fn gguf(metadata: &HashMap<String, GgufMetadataValue>, tensors: &Tensors) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    let data: Vec<_> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            let bytes = stored(&interleave(name, shape, values), Dtype::F32);
            (gguf_name(name), shape.iter().rev().copied().collect::<Vec<_>>(), bytes)
        })
        .collect();
    write(&file, metadata, &data);
    (folder, file)
}

/// The same in parts, as llama.cpp splits files: the first has the metadata, all say which part they are.
pub fn gguf_parts(metadata: &HashMap<String, GgufMetadataValue>, tensors: &Tensors, count: usize) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let files = (0..count).map(|part| {
        let file = folder.path().join(format!("tiny-{:05}-of-{count:05}.gguf", part + 1));
        let data: Vec<_> = tensors
            .iter()
            .enumerate()
            .filter(|(place, _)| place % count == part)
            .map(|(_, (name, (shape, values)))| {
                let bytes = stored(&interleave(name, shape, values), Dtype::F32);
                (gguf_name(name), shape.iter().rev().copied().collect::<Vec<_>>(), bytes)
            })
            .collect();
        let mut values = if part == 0 { metadata.clone() } else { HashMap::new() };
        values.insert("split.no".to_string(), GgufMetadataValue::U16(part as u16));
        values.insert("split.count".to_string(), GgufMetadataValue::U16(count as u16));
        values.insert("split.tensors.count".to_string(), GgufMetadataValue::I32(tensors.len() as i32));
        write(&file, &values, &data);
        file
    });
    let files = files.collect();
    (folder, files)
}

fn write(file: &Path, metadata: &HashMap<String, GgufMetadataValue>, data: &[(String, Vec<usize>, Vec<u8>)]) {
    let tensors: Vec<_> = data
        .iter()
        .map(|(name, shape, bytes)| GgufWriteTensor {
            name,
            shape,
            dtype: GgufType::F32,
            data: bytes,
        })
        .collect();
    anamnesis::write_gguf(file, &tensors, metadata).unwrap();
}
