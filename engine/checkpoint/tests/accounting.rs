//! Every tensor is used, refused by name, or listed; heads and packed modules in whatever form they come.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::path::Path;

use common::{HIDDEN, INTERMEDIATE, LAYERS, Tensors, config, folder, gguf, metadata, tensors};
use cruxscope_checkpoint::packed::{Codes, Layout, PackedWeight, ZeroFormat};
use cruxscope_checkpoint::{Checkpoint, PROJECTIONS};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

fn refusal(path: &Path) -> String {
    match Checkpoint::open(path) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(error) => {
            assert!(error.is_user_error(), "{error}");
            error.to_string()
        }
    }
}

fn with(changes: &[(&str, Vec<usize>, f32)]) -> Tensors {
    let mut tensors = tensors();
    for (name, shape, value) in changes {
        tensors.insert((*name).to_string(), (shape.clone(), vec![*value; shape.iter().product()]));
    }
    tensors
}

#[test]
fn tensors_of_the_decoder_that_nothing_uses_are_refused() {
    for (name, shape) in [
        ("model.layers.1.self_attn.q_norm.weight", vec![8]),
        ("model.layers.0.self_attn.v_proj.bias", vec![16]),
        ("model.layers.1.mlp.up_proj.bias", vec![INTERMEDIATE]),
        ("model.layers.2.input_layernorm.weight", vec![HIDDEN]),
        ("model.layers.0.pre_feedforward_layernorm.weight", vec![HIDDEN]),
        ("model.layers.0.mlp.gate.weight", vec![4, HIDDEN]),
        ("model.norm.bias", vec![HIDDEN]),
        ("model.embed_positions.weight", vec![64, HIDDEN]),
        ("lm_head.bias", vec![12]),
    ] {
        let folder = folder(&config(), &with(&[(name, shape, 0.5)]), Dtype::F32);
        assert!(refusal(folder.path()).contains(name), "{name}");
    }
}

#[test]
fn what_changes_nothing_is_listed() {
    let notes = |tensors: &Tensors| Checkpoint::open(folder(&config(), tensors, Dtype::F32).path()).unwrap().notes().to_vec();
    assert!(notes(&tensors()).is_empty());
    for (name, shape, value) in [
        ("model.layers.0.self_attn.rotary_emb.inv_freq", vec![4], 0.5),
        ("model.layers.0.self_attn.q_proj.bias", vec![32], 0.0),
        ("v_head.summary.weight", vec![1, HIDDEN], 0.5),
    ] {
        let found = notes(&with(&[(name, shape, value)]));
        assert!(found.len() == 1 && found[0].contains(name), "{name}: {found:?}");
    }
    let folder = folder(&config(), &tensors(), Dtype::F32);
    std::fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    std::fs::write(folder.path().join("adapter_model.safetensors"), "?").unwrap();
    assert!(Checkpoint::open(folder.path()).unwrap().notes()[0].contains("adapter_config.json"));
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    assert!(refusal(folder.path()).contains("adapter"));
}

#[test]
fn wrappers_say_what_they_are() {
    for (prefix, said) in [
        ("_orig_mod.", "torch.compile"),
        ("base_model.model.", "PEFT"),
        ("language_model.", "multimodal"),
        ("module.", "training"),
    ] {
        let wrapped: Tensors = tensors().into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        let error = refusal(folder(&config(), &wrapped, Dtype::F32).path());
        assert!(error.contains(said) && error.contains(prefix), "{error}");
    }
    let lora = with(&[("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", vec![4, HIDDEN], 1.0)]);
    assert!(refusal(folder(&config(), &lora, Dtype::F32).path()).contains("LoRA"));
}

#[test]
fn a_head_of_its_own_is_used_and_said() {
    let mut own = tensors();
    let (shape, values) = own["model.embed_tokens.weight"].clone();
    let other: Vec<f32> = values.iter().map(|value| value + 1.0).collect();
    own.insert("lm_head.weight".to_string(), (shape.clone(), other.clone()));
    let dir = folder(&config(), &own, Dtype::F32);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert!(!checkpoint.config().tied_head && checkpoint.notes()[0].contains("head of its own"));
    assert_eq!(checkpoint.head_rows(0..12).unwrap().values, other);
    // The same numbers once more are no head of its own.
    own.insert("lm_head.weight".to_string(), (shape, values));
    let dir = folder(&config(), &own, Dtype::F32);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert!(checkpoint.config().tied_head && checkpoint.notes().is_empty());
}

#[test]
fn gguf_tensors_are_accounted_for_too() {
    for (name, shape) in [
        ("model.layers.1.self_attn.v_proj.bias", vec![16]),
        ("model.layers.1.self_attn.o_proj.bias", vec![HIDDEN]),
        ("blk.1.ffn_down.bias", vec![HIDDEN]),
        ("blk.0.attn_q_norm.weight", vec![8]),
        ("blk.1.attn_post_norm.weight", vec![HIDDEN]),
        ("blk.2.attn_norm.weight", vec![HIDDEN]),
        ("output.bias", vec![12]),
        ("output_norm.bias", vec![HIDDEN]),
        ("cls.weight", vec![2, HIDDEN]),
    ] {
        let (_dir, file) = gguf(&metadata(), &with(&[(name, shape, 0.5)]));
        // A bias that one layer has and another lacks is missed where it lacks; every other name is one that nothing uses.
        let named = common::gguf_name(name);
        let error = refusal(&file);
        let stem = named.split_once(".attn_").map_or(named.as_str(), |(_, rest)| rest.split('.').next().unwrap());
        assert!(
            error.contains(&named) || error.contains("proj.bias") || error.contains("_norm") || error.contains(stem),
            "{name}: {error}"
        );
    }
    let (_dir, file) = gguf(&metadata(), &with(&[("mm.vision.weight", vec![2, HIDDEN], 0.5)]));
    assert!(Checkpoint::open(&file).unwrap().notes()[0].contains("mm.vision.weight"));
}

/// A checkpoint of 64 tokens whose matrices, embedding and head may be packed.
struct Packed {
    config: Value,
    arrays: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    /// What every weight is meant to be.
    dense: Tensors,
}

const TOKENS: usize = 64;

fn codes(rows: usize, columns: usize, bits: u8, group: usize, zero: impl Fn(usize) -> u8) -> Codes {
    let groups = columns.div_ceil(group);
    let mut state = (rows * columns) as u64 + u64::from(bits);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8 & (u8::MAX >> (8 - bits))
    };
    Codes {
        rows,
        columns,
        bits,
        group,
        codes: (0..rows * columns).map(|_| next()).collect(),
        zeros: (0..rows * groups).map(zero).collect(),
        scales: (0..rows * groups).map(|place| 0.5f32.powi(3 + (place % 5) as i32)).collect(),
        group_index: None,
    }
}

/// How scales are written.
#[derive(Clone, Copy, Default, PartialEq)]
enum Scales {
    #[default]
    Half,
    Whole,
    Brain,
}

/// How the arrays of a module are written.
#[derive(Clone, Copy, Default)]
struct Form {
    scales: Scales,
    no_index: bool,
}

impl Packed {
    fn new(quantization: Value) -> Self {
        let mut config = config();
        config["vocab_size"] = json!(TOKENS);
        config["tie_word_embeddings"] = json!(false);
        config["quantization_config"] = quantization;
        let mut dense = tensors();
        let table: Vec<f32> = (0..TOKENS * HIDDEN).map(|i| (i % 97) as f32 / 32.0 - 1.5).collect();
        dense.insert("model.embed_tokens.weight".to_string(), (vec![TOKENS, HIDDEN], table.clone()));
        dense.insert("lm_head.weight".to_string(), (vec![TOKENS, HIDDEN], table.iter().rev().copied().collect()));
        Self {
            config,
            arrays: Vec::new(),
            dense,
        }
    }

    /// Packs a module.
    fn pack(&mut self, stem: &str, codes: &Codes, layout: Layout, form: Form) {
        let mut arrays = match layout {
            // Words that borrowed are made from whole zeros.
            Layout::Gptq(ZeroFormat::V1Words) => {
                let mut arrays = codes.pack(Layout::Gptq(ZeroFormat::V2)).unwrap();
                arrays.qzeros.iter_mut().for_each(|word| *word = word.wrapping_sub(0x1111_1111));
                arrays
            }
            _ => codes.pack(layout).unwrap(),
        };
        if layout == Layout::Gptq(ZeroFormat::V1) {
            // As another program writes it, zeros of 0 and all.
            arrays.qzeros = codes.pack(Layout::Gptq(ZeroFormat::V2)).unwrap().qzeros;
            arrays.qzeros.iter_mut().for_each(|word| {
                let fields = (0..8).map(|field| ((word.cast_unsigned() >> (4 * field) & 15).wrapping_sub(1) & 15) << (4 * field));
                *word = fields.sum::<u32>().cast_signed();
            });
            arrays.qweight = codes.pack(Layout::Gptq(ZeroFormat::V2)).unwrap().qweight;
            arrays.scales = codes.pack(Layout::Gptq(ZeroFormat::V2)).unwrap().scales;
        }
        self.add(stem, &arrays, form);
        self.dense
            .insert(format!("{stem}.weight"), (vec![codes.rows, codes.columns], codes.dequantize()));
    }

    fn add(&mut self, stem: &str, arrays: &PackedWeight, form: Form) {
        let integers = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let groups = arrays.columns.div_ceil(arrays.group);
        let outputs = arrays.qweight.len()
            / match arrays.layout {
                Layout::Awq => arrays.columns,
                _ => arrays.columns * usize::from(arrays.bits) / 32,
            };
        let mut add = |part: &str, kind, shape: Vec<usize>, bytes| self.arrays.push((format!("{stem}.{part}"), kind, shape, bytes));
        add("qweight", Dtype::I32, vec![arrays.qweight.len() / outputs, outputs], integers(&arrays.qweight));
        add("qzeros", Dtype::I32, vec![groups, arrays.qzeros.len() / groups], integers(&arrays.qzeros));
        let scales = arrays.scales.iter();
        let (kind, scales): (_, Vec<u8>) = match form.scales {
            Scales::Half => (Dtype::F16, scales.flat_map(|scale| half::f16::from_f32(*scale).to_le_bytes()).collect()),
            Scales::Whole => (Dtype::F32, scales.flat_map(|scale| scale.to_le_bytes()).collect()),
            Scales::Brain => (Dtype::BF16, scales.flat_map(|scale| half::bf16::from_f32(*scale).to_le_bytes()).collect()),
        };
        add("scales", kind, vec![groups, arrays.rows], scales);
        if !arrays.group_index.is_empty() && !form.no_index {
            add("g_idx", Dtype::I32, vec![arrays.columns], integers(&arrays.group_index));
        }
    }

    fn write(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), self.config.to_string()).unwrap();
        let packed = |name: &str| self.arrays.iter().any(|(array, ..)| array.starts_with(name.trim_end_matches("weight")));
        let plain: Vec<_> = self
            .dense
            .iter()
            .filter(|(name, _)| !packed(name))
            .map(|(name, (shape, values))| {
                (
                    name.clone(),
                    Dtype::F32,
                    shape.clone(),
                    values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>(),
                )
            })
            .collect();
        let all = plain.iter().chain(&self.arrays);
        let views = all.map(|(name, kind, shape, bytes)| (name.clone(), TensorView::new(*kind, shape.clone(), bytes).unwrap()));
        safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
        folder
    }

    /// Opens it and compares every number.
    fn check(&self) {
        let folder = self.write();
        self.check_in(folder.path());
    }

    fn check_in(&self, folder: &Path) {
        let checkpoint = Checkpoint::open(folder).unwrap();
        for layer in 0..LAYERS {
            for (name, projection) in PROJECTIONS.iter().zip(checkpoint.layer(layer).unwrap().projections) {
                let name = format!("model.layers.{layer}.{name}.weight");
                assert_eq!(projection.weight.values, self.dense[&name].1, "{name}");
            }
        }
        let head = &self.dense["lm_head.weight"].1;
        for rows in [0..TOKENS, 0..1, 31..33, 40..64, 5..5] {
            assert_eq!(
                checkpoint.head_rows(rows.clone()).unwrap().values,
                head[rows.start * HIDDEN..rows.end * HIDDEN],
                "{rows:?}"
            );
        }
        let table = &self.dense["model.embed_tokens.weight"].1;
        let ids = [63u32, 0, 5, 63, 33, 32];
        let rows = checkpoint.embedding_rows(&ids).unwrap();
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(rows.row(place), &table[*id as usize * HIDDEN..(*id as usize + 1) * HIDDEN], "{id}");
        }
    }
}

fn gptq(extra: Value) -> Value {
    let mut said = json!({"quant_method": "gptq", "bits": 4, "group_size": 16, "sym": false, "desc_act": false, "checkpoint_format": "gptq_v2"});
    for (key, value) in extra.as_object().unwrap() {
        said[key] = value.clone();
    }
    said
}

const V2: Layout = Layout::Gptq(ZeroFormat::V2);
const UP: &str = "model.layers.0.mlp.up_proj";

#[test]
fn heads_and_embeddings_may_be_packed() {
    for (layout, said) in [
        (V2, gptq(json!({}))),
        (Layout::Awq, json!({"quant_method": "awq", "bits": 4, "group_size": 16})),
    ] {
        let mut packed = Packed::new(said);
        packed.pack("lm_head", &codes(TOKENS, HIDDEN, 4, 16, |place| (place % 16) as u8), layout, Form::default());
        packed.pack(
            "model.embed_tokens",
            &codes(TOKENS, HIDDEN, 4, 16, |place| (place % 7) as u8),
            layout,
            Form::default(),
        );
        packed.check();
    }
}

#[test]
fn modules_have_their_own_bits_groups_and_forms() {
    let mut packed = Packed::new(gptq(json!({"dynamic": {"+:.*down": {"bits": 8, "group_size": 32}}})));
    packed.pack(
        UP,
        &codes(INTERMEDIATE, HIDDEN, 4, 16, |_| 7),
        V2,
        Form {
            scales: Scales::Whole,
            no_index: false,
        },
    );
    packed.pack(
        "model.layers.1.mlp.up_proj",
        &codes(INTERMEDIATE, HIDDEN, 4, 16, |_| 9),
        V2,
        Form {
            scales: Scales::Half,
            no_index: true,
        },
    );
    packed.pack(
        "model.layers.0.mlp.down_proj",
        &codes(HIDDEN, INTERMEDIATE, 8, 32, |_| 130),
        V2,
        Form::default(),
    );
    packed.pack("model.layers.1.mlp.down_proj", &codes(HIDDEN, INTERMEDIATE, 3, 8, |_| 3), V2, Form::default());
    packed.check();
    // Powers of two are the same in bfloat16.
    let mut packed = Packed::new(gptq(json!({})));
    let brain = Form {
        scales: Scales::Brain,
        no_index: false,
    };
    packed.pack(UP, &codes(INTERMEDIATE, HIDDEN, 4, 16, |_| 7), V2, brain);
    packed.check();
    // Three groups do not share 64 inputs.
    let mut packed = Packed::new(gptq(json!({})));
    packed.pack("model.layers.0.mlp.down_proj", &codes(HIDDEN, INTERMEDIATE, 4, 24, |_| 3), V2, Form::default());
    let error = refusal(packed.write().path());
    assert!(error.contains("model.layers.0.mlp.down_proj") && error.contains("3 groups"), "{error}");
}

#[test]
fn symmetric_zeros_tell_the_format() {
    for said in ["gptq", "gptq_v2"] {
        for format in [ZeroFormat::V1, ZeroFormat::V2] {
            let mut packed = Packed::new(gptq(json!({"sym": true, "checkpoint_format": said})));
            packed.pack(UP, &codes(INTERMEDIATE, HIDDEN, 4, 16, |_| 8), Layout::Gptq(format), Form::default());
            packed.check();
        }
    }
}

#[test]
fn zeros_of_0_are_read_as_their_writer_meant_them() {
    let zeros = |place: usize| if place.is_multiple_of(3) { 0 } else { (place % 15) as u8 };
    let of = |said: Value, format: ZeroFormat| {
        let mut packed = Packed::new(gptq(said));
        packed.pack(UP, &codes(INTERMEDIATE, HIDDEN, 4, 16, zeros), Layout::Gptq(format), Form::default());
        packed
    };
    of(json!({}), ZeroFormat::V2).check();
    let theirs = json!({"checkpoint_format": "gptq", "meta": {"quantizer": ["gptqmodel:2.2.0"]}});
    of(theirs, ZeroFormat::V1Words).check();
    of(json!({"checkpoint_format": "gptq", "provider": "auto-round"}), ZeroFormat::V1Words).check();
    for format in [ZeroFormat::V1, ZeroFormat::V1Words] {
        let error = refusal(of(json!({"checkpoint_format": "gptq"}), format).write().path());
        assert!(error.contains("zeros are 0") && error.contains("meta"), "{error}");
    }
    // This program's own of earlier days are known by what lies beside them.
    let own = of(json!({"checkpoint_format": "gptq"}), ZeroFormat::V1);
    let folder = own.write();
    std::fs::write(folder.path().join("cruxscope_compression.json"), "{}").unwrap();
    own.check_in(folder.path());
    // Where no zero is 0, all readings are one.
    let mut packed = Packed::new(gptq(json!({"checkpoint_format": "gptq"})));
    packed.pack(
        UP,
        &codes(INTERMEDIATE, HIDDEN, 4, 16, |place| 1 + (place % 15) as u8),
        Layout::Gptq(ZeroFormat::V1),
        Form::default(),
    );
    packed.check();
}
