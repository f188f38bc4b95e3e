//! The fast searches against the plain ones, and what must hold for any layer.

use cruxscope_checkpoint::{BlockDescription, LayerKind, LayerWeights, Matrix, Projection, QueryKeyNorm, Rope, RopeScaling};
use cruxscope_model::kernels::cpu::CpuKernels;

use super::*;
use crate::linear_algebra::{dot, squared_distance};
use crate::quantize::fake_quantize_group;

/// Numbers between −1 and 1 that are the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn vector(&mut self, length: usize, size: f32, middle: f32) -> Vec<f32> {
        (0..length).map(|_| middle + size * self.next()).collect()
    }

    fn matrix(&mut self, rows: usize, columns: usize, size: f32) -> Matrix {
        Matrix {
            rows,
            columns,
            values: self.vector(rows * columns, size, 0.0),
        }
    }

    /// Inputs with a few channels far larger than the rest.
    fn inputs(&mut self, tokens: usize, width: usize) -> Matrix {
        let mut inputs = self.matrix(tokens, width, 1.0);
        for token in inputs.values.chunks_mut(width) {
            token.iter_mut().step_by(7).for_each(|x| *x = *x * 12.0 + 3.0);
        }
        inputs
    }

    /// A layer of hidden size 24 with heads of 8.
    fn layer(&mut self, heads: usize, key_value_heads: usize, bias: bool, head_norms: bool) -> (LayerWeights, BlockShape) {
        let (hidden, inner, head_dim) = (24, 40, 8);
        let shapes = [
            (heads * head_dim, hidden),
            (key_value_heads * head_dim, hidden),
            (key_value_heads * head_dim, hidden),
            (hidden, heads * head_dim),
            (inner, hidden),
            (inner, hidden),
            (hidden, inner),
        ];
        let mut index = 0;
        let projections = shapes.map(|(rows, columns)| {
            index += 1;
            Projection {
                weight: self.matrix(rows, columns, 0.3),
                bias: (bias && index <= 3).then(|| self.vector(rows, 0.5, 0.0)),
                inputs: None,
            }
        });
        let layer = LayerWeights {
            attention_norm: self.vector(hidden, 0.4, 1.0),
            feed_forward_norm: self.vector(hidden, 0.4, 1.0),
            query_norm: head_norms.then(|| self.vector(head_dim, 0.4, 1.0)),
            key_norm: head_norms.then(|| self.vector(head_dim, 0.4, 1.0)),
            after_attention_norm: None,
            after_feed_forward_norm: None,
            norm_biases: None,
            delta: None,
            query_latent_norm: None,
            key_value_latent_norm: None,
            sinks: None,
            choice_bias: None,
            projections: projections.to_vec(),
            kind: LayerKind::default(),
        };
        let mut block = BlockDescription::plain(head_dim);
        if head_norms {
            block.query_key_norm = QueryKeyNorm::Heads;
        }
        let rope = Rope {
            theta: 10_000.0,
            scaling: RopeScaling::Default,
        };
        (
            layer,
            BlockShape {
                heads,
                key_value_heads,
                head_dim,
                norm_epsilon: 1e-6,
                rope,
                local_rope: None,
                block,
            },
        )
    }

    /// Llama with grouped queries, Llama without, Qwen2 with biases, Qwen3 with norms of heads and wide attention.
    fn layers(&mut self) -> Vec<(LayerWeights, BlockShape)> {
        vec![
            self.layer(3, 1, false, false),
            self.layer(3, 3, false, false),
            self.layer(3, 3, true, false),
            self.layer(4, 2, false, true),
        ]
    }
}

const LENGTHS: [usize; 3] = [17, 1, 30];

fn hidden(numbers: &mut Numbers) -> Matrix {
    numbers.inputs(LENGTHS.iter().sum(), 24)
}

fn settings(bits: u8, group: i64) -> AwqSettings {
    AwqSettings::new(Bits::new(bits).unwrap(), GroupSize::new(group).unwrap())
}

fn error(found: &[f32], wanted: &[f32]) -> f64 {
    squared_distance(found, wanted) / dot(wanted, wanted)
}

#[test]
fn a_layer_runs_as_the_reference_does() {
    let mut numbers = Numbers(1);
    for (layer, shape) in numbers.layers() {
        let hidden = hidden(&mut numbers);
        let run = run_layer(&CpuKernels, &layer, &shape, &hidden, &LENGTHS).unwrap();
        let plain: Vec<f32> = reference::run_layer(&layer, &shape, &hidden, &LENGTHS).iter().map(|x| *x as f32).collect();
        let error = error(&run.hidden.values, &plain);
        assert!(error < 1e-11, "{error:e}");
    }
}

#[test]
fn losses_are_those_of_the_reference() {
    let mut numbers = Numbers(2);
    for (tokens, width) in [(300, 48), (20, 48), (64, 40)] {
        let (weights, inputs) = ([numbers.matrix(30, width, 1.0), numbers.matrix(11, width, 0.4)], numbers.inputs(tokens, width));
        let gram = InputGram::of(&inputs);
        for settings in [
            settings(4, 16),
            AwqSettings {
                dialect: Dialect::AutoAwq,
                ..settings(3, -1)
            },
            settings(3, 32),
        ] {
            for evidence in [InputCalibration::Inputs(&inputs), InputCalibration::Gram(&gram)] {
                let found = search_scale(&weights.each_ref(), evidence, &settings).unwrap();
                let plain: f64 = weights
                    .iter()
                    .map(|weight| reference::output_error(weight, &reference::through_scale(weight, &found.values, &settings), &inputs) * weight.rows as f64)
                    .sum();
                let difference = (found.loss() / (plain / 41.0) - 1.0).abs();
                assert!(difference < 1e-4, "{tokens} tokens: {difference:e}");
                assert!(found.losses.iter().all(|loss| *loss >= found.loss()));
            }
        }
    }
}

#[test]
fn limits_are_those_of_the_reference() {
    let mut numbers = Numbers(3);
    for (tokens, width, group, bits) in [(200, 64, 32, 3), (100, 40, 16, 4), (60, 24, -1, 2)] {
        let (weight, inputs) = (numbers.matrix(150, width, 1.0), numbers.inputs(tokens, width));
        let (scale, settings) = (numbers.vector(width, 0.5, 1.0), settings(bits, group));
        let plain = reference::limits(&weight, &inputs, &scale, &settings);
        let gram = InputGram::of(&inputs);
        for evidence in [InputCalibration::Inputs(&inputs), InputCalibration::Gram(&gram)] {
            let found = search_clip(&weight, evidence, Some(&scale), &settings).unwrap();
            assert_eq!((found.rows, found.columns), (plain.rows, plain.columns));
            let other = found.values.iter().zip(&plain.values).filter(|(a, b)| a != b).count();
            assert!(other * 200 <= found.values.len(), "{other} of {}", found.values.len());
            assert!(found.values.iter().zip(&plain.values).any(|(limit, _)| *limit > 0.0));
        }
    }
}

#[test]
fn the_first_ratio_of_llm_awq_is_round_to_nearest() {
    let mut numbers = Numbers(4);
    let (weight, inputs, settings) = (numbers.matrix(20, 32, 1.0), numbers.inputs(90, 32), settings(3, 16));
    let found = search_scale(&[&weight], InputCalibration::Inputs(&inputs), &settings).unwrap();
    let mut rounded = weight.clone();
    rounded.values.chunks_mut(16).for_each(|group| {
        fake_quantize_group(group, settings.grid, settings.bits);
    });
    let plain = reference::output_error(&weight, &rounded, &inputs);
    assert!((found.losses[0] / plain - 1.0).abs() < 1e-5, "{} {plain}", found.losses[0]);
    assert!(found.index > 0, "outliers ask for a scale");
    let mean = InputCalibration::Inputs(&inputs).mean_absolute();
    for (raw, mean) in found.raw().iter().zip(&mean) {
        assert!((raw / mean.powf(found.ratio()) - 1.0).abs() < 1e-5);
    }
}

#[test]
fn folding_changes_no_function_and_folds_back() {
    let mut numbers = Numbers(5);
    for (layer, shape) in numbers.layers() {
        let hidden = hidden(&mut numbers);
        let run = run_layer(&CpuKernels, &layer, &shape, &hidden, &LENGTHS).unwrap();
        let scales = search_scales(&CpuKernels, &layer, LayerCalibration::Inputs(&run.inputs, &shape), &settings(3, 8)).unwrap();
        assert_eq!(scales.output.is_some(), shape.heads == shape.key_value_heads);
        let folded = fold(&layer, &scales).unwrap();
        assert!(folded.projections[5].weight != layer.projections[5].weight);
        let same = run_layer(&CpuKernels, &folded, &shape, &hidden, &LENGTHS).unwrap();
        let change = error(&same.hidden.values, &run.hidden.values);
        assert!(change < 1e-11, "{change:e}");
        let back = fold_back(&folded, &layer, &scales).unwrap();
        assert_eq!(back.attention_norm, layer.attention_norm);
        for (back, original) in back.projections.iter().zip(&layer.projections) {
            assert_eq!(back.bias, original.bias);
            assert!(error(&back.weight.values, &original.weight.values) < 1e-12);
        }
    }
}

#[test]
fn folded_back_weights_are_the_same_function_in_the_original_basis() {
    let mut numbers = Numbers(6);
    for (layer, shape) in numbers.layers() {
        let hidden = hidden(&mut numbers);
        let run = run_layer(&CpuKernels, &layer, &shape, &hidden, &LENGTHS).unwrap();
        let settings = AwqSettings {
            dialect: Dialect::AutoAwq,
            ..settings(3, 8)
        };
        let found = compress_layer(&CpuKernels, &layer, LayerCalibration::Inputs(&run.inputs, &shape), &settings).unwrap();
        let folded = run_layer(&CpuKernels, &found.rounded(&settings), &shape, &hidden, &LENGTHS).unwrap();
        let back = run_layer(&CpuKernels, &found.rounded_back(&layer, &settings).unwrap(), &shape, &hidden, &LENGTHS).unwrap();
        assert!(error(&back.hidden.values, &folded.hidden.values) < 1e-10);
        let near = |folded: &LayerRun| error(&folded.inputs.down.values, &run.inputs.down.values);
        assert!(
            near(&back) < 0.3 && near(&back) < near(&folded),
            "the inputs of down: {} {}",
            near(&back),
            near(&folded)
        );
    }
}

#[test]
fn kept_projections_are_scaled_but_not_rounded() {
    let mut numbers = Numbers(7);
    let (layer, shape) = numbers.layer(3, 3, false, false);
    let hidden = hidden(&mut numbers);
    let run = run_layer(&CpuKernels, &layer, &shape, &hidden, &LENGTHS).unwrap();
    let settings = AwqSettings {
        keep: [false, false, false, false, true, true, true],
        ..settings(3, 8)
    };
    let found = compress_layer(&CpuKernels, &layer, LayerCalibration::Inputs(&run.inputs, &shape), &settings).unwrap();
    let (folded, rounded) = (fold(&layer, &found.scales).unwrap(), found.rounded(&settings));
    let back = found.rounded_back(&layer, &settings).unwrap();
    for projection in 0..7 {
        let kept = settings.keep[projection];
        assert_eq!(rounded.projections[projection] == folded.projections[projection], kept);
        assert_eq!(back.projections[projection] == layer.projections[projection], kept);
        assert_eq!(found.clips.limits[projection].is_some(), !kept && projection >= 2);
    }
}

#[test]
fn threads_change_nothing() {
    let mut numbers = Numbers(8);
    let (layer, shape) = numbers.layer(3, 3, true, false);
    let hidden = hidden(&mut numbers);
    let on = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let run = run_layer(&CpuKernels, &layer, &shape, &hidden, &LENGTHS).unwrap();
            let grams = run.inputs.grams();
            [LayerCalibration::Inputs(&run.inputs, &shape), LayerCalibration::Grams(&grams)]
                .map(|evidence| compress_layer(&CpuKernels, &layer, evidence, &settings(4, 8)).unwrap())
        })
    };
    assert!(on(1) == on(5));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut numbers = Numbers(9);
    let (layer, shape) = numbers.layer(3, 1, false, false);
    let hidden = hidden(&mut numbers);
    let run = run_layer(&CpuKernels, &layer, &shape, &hidden, &LENGTHS).unwrap();
    let settings = settings(4, 8);
    assert!(matches!(
        run_layer(&CpuKernels, &layer, &shape, &hidden, &[5]),
        Err(CompressError::Shape { .. })
    ));
    let mut inputs = run.inputs.clone();
    inputs.down.values[3] = f32::NAN;
    let found = search_scales(&CpuKernels, &layer, LayerCalibration::Inputs(&inputs, &shape), &settings);
    assert!(matches!(found, Err(CompressError::NotFinite { .. })));
    // Numbers that are finite, and every ratio's loss is infinite: one input alone, so that no two infinities cancel into something else.
    let mut large = hidden.clone();
    for row in large.values.chunks_mut(hidden.columns) {
        row.fill(0.0);
        row[0] = 1e35;
    }
    let mut heavy = layer.projections[4].weight.clone();
    heavy.values.iter_mut().for_each(|value| *value *= 1e12);
    let found = search_scale(&[&heavy], InputCalibration::Inputs(&large), &settings);
    assert!(matches!(found, Err(CompressError::NotFinite { .. })), "{found:?}");
    let mut broken = layer.clone();
    broken.projections[4].weight.values[0] = f32::INFINITY;
    assert!(matches!(
        run_layer(&CpuKernels, &broken, &shape, &hidden, &LENGTHS),
        Err(CompressError::NotFinite { .. })
    ));
    let other = BlockShape { heads: 4, ..shape };
    assert!(run_layer(&CpuKernels, &layer, &other, &hidden, &LENGTHS).is_err());
    assert!(search_scale(&[], InputCalibration::Inputs(&hidden), &settings).is_err());
}
