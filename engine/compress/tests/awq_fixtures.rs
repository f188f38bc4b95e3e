//! AWQ against what the original programs made of the same matrices and layers.
//!
//! Tolerances: the same best ratio or a loss within 0.05 % of the best, scales within 1e-4, at least 99 % of the rounded weights on the
//! same code, errors within 1 %.
//!
//! Limits and codes are compared from the original's own scales, once ours have been found to agree. A group that is cut on both sides
//! has the range `−c … c`, so its zero is `round((2ᵇ − 1)/2)`, a tie that the last bit of a scale decides: from our scales, which differ
//! from the original's by a few units of the last place, a few groups in a hundred take the other zero. What that does to the error of
//! the whole is compared too, and the share is printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of these tests are tests too")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cruxscope_checkpoint::{BlockDescription, LayerKind, LayerWeights, Matrix, Projection, Rope, RopeScaling};
use cruxscope_compress::awq::{
    AwqLayer, AwqSettings, BlockShape, Dialect, InputCalibration, InputGram, LayerCalibration, LayerScales, Scale, clip, clip_weight, compress_layer, fold,
    run_layer, search_clip, search_clips, search_scale,
};
use cruxscope_compress::quantize::{Bits, Grid, GroupSize, fake_quantize_group};
use cruxscope_model::kernels::cpu::CpuKernels;
use safetensors::SafeTensors;
use serde_json::Value;

const PROJECTIONS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// The folder of compression fixtures, or nothing with a word on why.
fn fixtures() -> Option<PathBuf> {
    cruxscope_needs::fixtures_of("compress/awq_layers")?;
    cruxscope_needs::fixtures_of("compress")
}

/// The cases of a method whose names begin so, in order.
fn cases(folder: &Path, of: impl Fn(&str) -> bool) -> Vec<(String, Value)> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let cases: Vec<_> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".json"))
        .filter(|name| of(name))
        .map(|name| {
            (
                name.to_string(),
                serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap(),
            )
        })
        .collect();
    assert!(!cases.is_empty());
    cases
}

type Tensors = BTreeMap<String, Matrix>;

/// Every float32 tensor, its leading dimensions joined.
fn tensors(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
            let values: Vec<f32> = view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            let columns = *view.shape().last().unwrap();
            let matrix = Matrix {
                rows: values.len() / columns,
                columns,
                values,
            };
            (name, matrix)
        })
        .collect()
}

fn settings(variant: &Value) -> AwqSettings {
    let bits = Bits::new(u8::try_from(variant["w_bit"].as_u64().unwrap()).unwrap()).unwrap();
    AwqSettings {
        dialect: if variant["duo_scaling"].as_bool().unwrap() {
            Dialect::AutoAwq
        } else {
            Dialect::LlmAwq
        },
        grid: Grid::AwqAsymOriginal,
        ..AwqSettings::new(bits, GroupSize::new(variant["group"].as_i64().unwrap()).unwrap())
    }
}

/// The worst of everything that is compared.
#[derive(Debug, Default)]
struct Worst {
    variants: usize,
    ratios_alike: usize,
    ratios: usize,
    loss: f64,
    broken_off: usize,
    scale: f64,
    other_limits: f64,
    limits_of_own_scales: f64,
    other_codes: f64,
    error: f64,
}

impl Worst {
    /// A scale against the original's, by the entry of its group. Whether the ratio is the same.
    fn scale(&mut self, what: &str, found: &Scale, entry: &Value, values: &[f32]) -> bool {
        let losses: Vec<f64> = entry["loss_history"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
        let best = usize::try_from(entry["best_ratio_index"].as_u64().unwrap()).unwrap();
        for ((part, whole), loss) in found.losses.iter().zip(&found.whole).zip(&losses) {
            if *whole {
                self.loss = self.loss.max((part / loss - 1.0).abs());
            } else {
                self.broken_off += 1;
                assert!(*part > found.loss() && *part < 1.001 * loss, "{what}: {part} of {loss}");
            }
        }
        self.ratios += 1;
        if found.index == best {
            self.ratios_alike += 1;
            let difference = largest(found.values.iter().zip(values).map(|(a, b)| f64::from((a / b - 1.0).abs())));
            self.scale = self.scale.max(difference);
            assert!(difference < 1e-4, "{what}: scale differs by {difference}");
        } else {
            let excess = losses[found.index] / losses[best] - 1.0;
            println!("{what}: ratio {} instead of {best}, {excess:.2e} worse", found.index);
            assert!(excess <= 5e-4, "{what}");
        }
        found.index == best
    }

    fn limits(&mut self, what: &str, found: &Matrix, expected: &Matrix) {
        assert_eq!((found.rows, found.columns), (expected.rows, expected.columns), "{what}");
        let share = other_limits(found, expected);
        self.other_limits = self.other_limits.max(share);
        assert!(share <= 0.01, "{what}: {:.2} % of the limits differ", 100.0 * share);
    }

    /// A rounded weight: another code is at least a fifteenth of the range away, so a hundredth of its row's largest tells them apart.
    fn weight(&mut self, what: &str, found: &Matrix, expected: &Matrix) {
        assert_eq!((found.rows, found.columns), (expected.rows, expected.columns), "{what}");
        let mut other = 0;
        for row in 0..found.rows {
            let (found, expected) = (found.row(row), expected.row(row));
            let size = largest(expected.iter().map(|weight| f64::from(weight.abs())));
            // Columns that were divided by a large scale have finer codes, so each weight is measured by itself too.
            let differs = |(a, b): &(&f32, &f32)| f64::from((*a - *b).abs()) > (2e-3 * f64::from(b.abs())).max(1e-6 * size);
            other += found.iter().zip(expected).filter(differs).count();
        }
        let share = other as f64 / found.values.len() as f64;
        self.other_codes = self.other_codes.max(share);
        assert!(share <= 0.01, "{what}: {:.2} % of the weights differ", 100.0 * share);
    }

    fn error(&mut self, what: &str, found: f64, expected: &Value) {
        let difference = (found / expected.as_f64().unwrap() - 1.0).abs();
        self.error = self.error.max(difference);
        assert!(difference <= 0.01, "{what}: error {found} instead of {expected}");
    }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// The share of limits that are another step.
fn other_limits(found: &Matrix, expected: &Matrix) -> f64 {
    let pairs = found.values.iter().zip(&expected.values);
    pairs.filter(|(a, b)| (*a - *b).abs() > 1e-4 * b.abs()).count() as f64 / found.values.len() as f64
}

/// `‖X (W' − W)ᵀ‖² / ‖X Wᵀ‖²`.
fn output_error(weight: &Matrix, rounded: &Matrix, inputs: &Matrix) -> f64 {
    let (mut error, mut size) = (0.0, 0.0);
    for token in 0..inputs.rows {
        for output in 0..weight.rows {
            let (mut wanted, mut given) = (0.0f64, 0.0f64);
            for ((x, w), r) in inputs.row(token).iter().zip(weight.row(output)).zip(rounded.row(output)) {
                wanted += f64::from(*x) * f64::from(*w);
                given += f64::from(*x) * f64::from(*r);
            }
            error += (wanted - given).powi(2);
            size += wanted.powi(2);
        }
    }
    error / size
}

fn columns(weight: &Matrix, scale: &[f32], apply: impl Fn(f32, f32) -> f32) -> Matrix {
    let mut scaled = weight.clone();
    for row in scaled.values.chunks_exact_mut(scale.len()) {
        for (weight, s) in row.iter_mut().zip(scale) {
            *weight = apply(*weight, *s);
        }
    }
    scaled
}

/// `Q(W) / s` of a scaled weight.
fn rounded_back(scaled: &Matrix, scale: &[f32], settings: &AwqSettings) -> Matrix {
    let mut rounded = scaled.clone();
    for row in rounded.values.chunks_exact_mut(scaled.columns) {
        for group in row.chunks_mut(settings.group_size.of_row(scaled.columns)) {
            fake_quantize_group(group, settings.grid, settings.bits);
        }
    }
    columns(&rounded, scale, |weight, s| weight / s)
}

/// One matrix by itself, from its inputs and from their Gram matrix.
fn matrices(method: &str) {
    let Some(folder) = fixtures() else { return };
    for by_gram in [false, true] {
        let mut worst = Worst::default();
        for (case, description) in cases(&folder.join(method), |name| name.starts_with("case_")) {
            let given = tensors(&folder.join("inputs").join(format!("{case}.safetensors")));
            let (weight, inputs) = (&given["W"], &given["X"]);
            let gram = InputGram::of(inputs);
            let evidence = if by_gram {
                InputCalibration::Gram(&gram)
            } else {
                InputCalibration::Inputs(inputs)
            };
            for variant in description["variants"].as_array().unwrap() {
                let what = format!("{method} {case} {}", variant["variant"]);
                let Some(file) = variant["file"].as_str() else {
                    println!("{what}: the original refuses ({})", variant["error"]);
                    continue;
                };
                let expected = tensors(&folder.join(method).join(file));
                let settings = settings(variant);
                let found = search_scale(&[weight], evidence, &settings).unwrap();
                worst.variants += 1;
                if !worst.scale(&what, &found, variant, &expected["scale"].values) {
                    continue;
                }
                let scale = &expected["scale"].values;
                let scaled = columns(weight, scale, |weight, s| weight * s);
                let rounded = rounded_back(&scaled, scale, &settings);
                worst.weight(&what, &rounded, &expected["W_scale_only_unscaled"]);
                let own = columns(weight, &found.values, |weight, s| weight * s);
                worst.error(
                    &what,
                    output_error(weight, &rounded_back(&own, &found.values, &settings), inputs),
                    &variant["rel_err_scale_only"],
                );

                let Some(expected_limits) = expected.get("clip_max") else {
                    println!("{what}: the original refuses to clip ({})", variant["clip"]);
                    continue;
                };
                let clipped = |mut scaled: Matrix, scale: &[f32]| {
                    let limits = search_clip(&scaled, evidence, Some(scale), &settings).unwrap();
                    clip_weight(&mut scaled, &limits, &settings).unwrap();
                    (limits, rounded_back(&scaled, scale, &settings))
                };
                let (limits, rounded) = clipped(scaled, scale);
                worst.limits(&what, &limits, expected_limits);
                worst.weight(&what, &rounded, &expected["W_scale_clip_unscaled"]);
                let (limits, rounded) = clipped(own, &found.values);
                worst.limits_of_own_scales = worst.limits_of_own_scales.max(other_limits(&limits, expected_limits));
                worst.error(&what, output_error(weight, &rounded, inputs), &variant["rel_err_scale_clip"]);
            }
        }
        println!("{method}, matrices, {}: {worst:?}", if by_gram { "Gram" } else { "inputs" });
    }
}

fn layer_of(tensors: &Tensors) -> LayerWeights {
    LayerWeights {
        attention_norm: tensors["input_layernorm.weight"].values.clone(),
        feed_forward_norm: tensors["post_attention_layernorm.weight"].values.clone(),
        after_attention_norm: None,
        after_feed_forward_norm: None,
        query_norm: None,
        key_norm: None,
        kind: LayerKind::default(),
        norm_biases: None,
        delta: None,
        query_latent_norm: None,
        key_value_latent_norm: None,
        sinks: None,
        choice_bias: None,
        projections: PROJECTIONS
            .map(|name| Projection {
                weight: tensors[&format!("{name}.weight")].clone(),
                bias: tensors.get(&format!("{name}.bias")).map(|bias| bias.values.clone()),
                inputs: None,
            })
            .to_vec(),
    }
}

fn relative_error(found: &Matrix, wanted: &Matrix) -> f64 {
    let error: f64 = found.values.iter().zip(&wanted.values).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    error / wanted.values.iter().map(|b| f64::from(*b).powi(2)).sum::<f64>()
}

/// The scales of a layer by the name of what they are folded into.
fn by_name(scales: &LayerScales) -> BTreeMap<&'static str, &Scale> {
    let mut named = BTreeMap::from([
        ("input_layernorm", &scales.attention),
        ("post_attention_layernorm", &scales.feed_forward),
        ("mlp.up_proj", &scales.down),
    ]);
    named.extend(scales.output.as_ref().map(|scale| ("self_attn.v_proj", scale)));
    named
}

/// What follows the scale search, from the original's scales.
fn from_their_scales(layer: &LayerWeights, evidence: LayerCalibration<'_>, found: &LayerScales, expected: &Tensors, settings: &AwqSettings) -> AwqLayer {
    let theirs = |name: &str, scale: &Scale| Scale {
        values: expected[&format!("scale.{name}")].values.clone(),
        ..scale.clone()
    };
    let scales = LayerScales {
        attention: theirs("input_layernorm", &found.attention),
        output: found.output.as_ref().map(|scale| theirs("self_attn.v_proj", scale)),
        feed_forward: theirs("post_attention_layernorm", &found.feed_forward),
        down: theirs("mlp.up_proj", &found.down),
    };
    let mut ready = fold(layer, &scales).unwrap();
    let clips = search_clips(&ready, evidence, &scales, settings).unwrap();
    clip(&mut ready, &clips, settings).unwrap();
    AwqLayer { scales, clips, ready }
}

/// Whole decoder layers: the search by the modules' outputs, clipping, folding, rounding.
fn layers(method: &str) {
    let Some(folder) = fixtures() else { return };
    let mut worst = Worst::default();
    let (mut gram_groups, mut gram_alike, mut gram_near, mut gram_error) = (0, 0, 0, Vec::new());
    for (case, description) in cases(&folder.join(method), |name| !name.starts_with("case_")) {
        let (facts, layer, hidden) = layer_fixture(&folder, &case);
        let sequences = vec![64; hidden.rows / 64];
        let original = run_layer(&CpuKernels, &layer, &facts, &hidden, &sequences).unwrap();
        let grams = original.inputs.grams();
        for variant in description["variants"].as_array().unwrap() {
            let what = format!("{method} {}", variant["variant"]);
            let settings = settings(variant);
            let expected = tensors(&folder.join(method).join(variant["file"].as_str().unwrap()));
            let found = compress_layer(&CpuKernels, &layer, LayerCalibration::Inputs(&original.inputs, &facts), &settings).unwrap();
            let error = |layer: &LayerWeights| relative_error(&run_layer(&CpuKernels, layer, &facts, &hidden, &sequences).unwrap().hidden, &original.hidden);

            worst.variants += 1;
            let scales = by_name(&found.scales);
            let groups = variant["groups"].as_array().unwrap();
            assert_eq!(scales.len(), groups.len(), "{what}");
            let alike = groups.iter().map(|group| {
                let name = group["prev_op"].as_str().unwrap();
                worst.scale(&format!("{what} {name}"), scales[name], group, &expected[&format!("scale.{name}")].values)
            });
            if alike.collect::<Vec<_>>().contains(&false) {
                continue;
            }
            let theirs = from_their_scales(&layer, LayerCalibration::Inputs(&original.inputs, &facts), &found.scales, &expected, &settings);
            for (projection, name) in PROJECTIONS.iter().enumerate() {
                let expected = expected.get(&format!("clip.{name}"));
                let limits = &theirs.clips.limits[projection];
                assert_eq!(limits.is_some(), expected.is_some(), "{what} {name}");
                if let (Some(limits), Some(own), Some(expected)) = (limits, &found.clips.limits[projection], expected) {
                    worst.limits(&format!("{what} {name}"), limits, expected);
                    worst.limits_of_own_scales = worst.limits_of_own_scales.max(other_limits(own, expected));
                }
            }
            let rounded = theirs.rounded(&settings);
            for (name, projection) in PROJECTIONS.iter().zip(&rounded.projections) {
                worst.weight(&format!("{what} {name}"), &projection.weight, &expected[&format!("final.{name}.weight")]);
                if let Some(bias) = expected.get(&format!("final.{name}.bias")) {
                    let found = projection.bias.as_ref().unwrap();
                    assert!(found.iter().zip(&bias.values).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs()), "{what} {name}");
                }
            }
            for (name, norm) in [
                ("input_layernorm", &rounded.attention_norm),
                ("post_attention_layernorm", &rounded.feed_forward_norm),
            ] {
                let expected = &expected[&format!("final.{name}.weight")];
                assert!(norm.iter().zip(&expected.values).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs()), "{what} {name}");
            }
            let rounded = found.rounded(&settings);
            worst.error(&what, error(&found.ready), &variant["layer_output_rel_err_after_scale_clip"]);
            worst.error(&what, error(&rounded), &variant["layer_output_rel_err_quantized"]);
            let back = found.rounded_back(&layer, &settings).unwrap();
            worst.error(&what, error(&back), &variant["layer_output_rel_err_quantized"]);

            // The fast form: another loss for two of the groups, so only its result is compared with the original's.
            let fast: AwqLayer = compress_layer(&CpuKernels, &layer, LayerCalibration::Grams(&grams), &settings).unwrap();
            for (name, scale) in by_name(&fast.scales).into_iter().filter(|(name, _)| name.ends_with("layernorm")) {
                gram_groups += 1;
                gram_alike += usize::from(scale.index == scales[name].index);
                gram_near += usize::from(scale.index.abs_diff(scales[name].index) <= 2);
            }
            gram_error.push(error(&fast.rounded(&settings)) / error(&rounded));
        }
    }
    println!("{method}, layers: {worst:?}");
    println!("by Gram matrices: {gram_alike} ratios alike, {gram_near} within 2 steps, of {gram_groups}; error of the layer times {gram_error:.3?}");
    assert!(gram_error.iter().all(|factor| *factor < 1.15), "the fast form costs accuracy: {gram_error:?}");
}

fn layer_fixture(folder: &Path, case: &str) -> (BlockShape, LayerWeights, Matrix) {
    let folder = folder.join("awq_layers");
    let facts: Value = serde_json::from_slice(&std::fs::read(folder.join(format!("{case}.json"))).unwrap()).unwrap();
    let number = |key: &str| usize::try_from(facts[key].as_u64().unwrap()).unwrap();
    let shape = BlockShape {
        heads: number("heads"),
        key_value_heads: number("kv_heads"),
        head_dim: number("head_dim"),
        norm_epsilon: facts["rms_eps"].as_f64().unwrap(),
        rope: Rope {
            theta: facts["rope_theta"].as_f64().unwrap(),
            scaling: RopeScaling::Default,
        },
        local_rope: None,
        block: BlockDescription::plain(number("head_dim")),
    };
    let layer = layer_of(&tensors(&folder.join(format!("{case}.safetensors"))));
    let hidden = tensors(&folder.join(format!("{case}_hidden.safetensors"))).remove("hidden").unwrap();
    (shape, layer, hidden)
}

#[test]
fn fixtures_awq_llm_matrices() {
    matrices("awq_llm");
}

#[test]
fn fixtures_awq_auto_matrices() {
    matrices("awq_auto");
}

#[test]
fn fixtures_awq_llm_layers() {
    layers("awq_llm");
}

#[test]
fn fixtures_awq_auto_layers() {
    layers("awq_auto");
}
