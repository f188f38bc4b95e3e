//! SparseGPT, Wanda and AlphaPruning against what the original programs gave on small matrices with outliers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a fixture that cannot be read is a failed test

mod any_prune_support;

use std::path::Path;

use any_prune_support::{Case, Tensors, floats, folder, names, relative_error};
use cruxscope_compress::linear_algebra::{gram, product_transposed};
use cruxscope_compress::prune::alpha::{TailStart, fit_tail, spectrum};
use cruxscope_compress::prune::{
    Mapping, Pattern, SparseGptReport, SparseGptSettings, Sparsity, Window, input_norms_of_hessian, magnitude, pruning_ratios, sparse_gpt,
    sparse_gpt_reference, wanda,
};
use cruxscope_compress::quantize::Bits;
use serde_json::Value;

fn pattern(variant: &Value) -> Pattern {
    match (variant["prunen"].as_u64().unwrap() as usize, variant["prunem"].as_u64().unwrap() as usize) {
        (0, 0) => Pattern::Unstructured(Sparsity::new(variant["sparsity"].as_f64().unwrap()).unwrap()),
        (pruned, columns) => Pattern::Windows(Window::new(pruned, columns).unwrap()),
    }
}

fn doubled(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// The share of places at which one is zero and the other is not.
fn disagreement(ours: &[f32], theirs: &[f32]) -> f64 {
    let off = ours.iter().zip(theirs).filter(|(a, b)| (**a == 0.0) != (**b == 0.0)).count();
    off as f64 / theirs.len() as f64
}

#[test]
fn sparse_gpt_fixtures() {
    let Some(root) = folder("sparsegpt") else { return };
    let (mut checked, mut worst_mask, mut worst_error, mut worst_weight, mut worst_loss, mut worst_reference) = (0, 0f64, 0f64, 0f32, 0f64, 0f32);
    for name in names(&root) {
        let case = Case::read(&root, &name);
        let (weights, rows, columns, inputs) = case.inputs(&root);
        let hessian = doubled(&case.hessian(&root));
        let dead = (0..columns).filter(|column| hessian[column * columns + column] == 0.0).count();
        for variant in case.variants() {
            let label = format!("{name} {}", variant["variant"].as_str().unwrap());
            let bits = variant["wbits"].as_u64().unwrap();
            let settings = SparseGptSettings {
                pattern: pattern(variant),
                block: variant["blocksize"].as_u64().unwrap() as usize,
                damping: variant["percdamp"].as_f64().unwrap(),
                bits: (bits < 16).then(|| Bits::new(bits as u8).unwrap()),
            };
            let mut ours = weights.clone();
            let report = sparse_gpt(&mut ours, rows, columns, &hessian, &settings).unwrap();
            let theirs = floats(&Case::tensors(&root, variant["file"].as_str().unwrap()), "W");
            let mask = disagreement(&ours, &theirs);
            let error = (relative_error(&weights, &ours, &inputs, rows, columns) / variant["rel_err"].as_f64().unwrap() - 1.0).abs();
            let weight = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            let loss = (report.loss / variant["reported_error"].as_f64().unwrap() - 1.0).abs();
            assert!(mask <= 0.01, "{label}: {mask} of the mask differs");
            assert!(error <= 0.01, "{label}: the error is off by {error}");
            assert!(loss <= 0.01, "{label}: the reported loss is off by {loss}");
            let share = report.zeros as f64 / weights.len() as f64;
            assert!(
                (share - variant["actual_zero_fraction"].as_f64().unwrap()).abs() <= 0.005,
                "{label}: {share} is zero"
            );
            assert_eq!(report.dead_columns, dead, "{label}");

            let mut plain = weights.clone();
            sparse_gpt_reference(&mut plain, rows, columns, &hessian, &settings).unwrap();
            worst_reference = worst_reference.max(ours.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max));
            assert!(disagreement(&ours, &plain) <= 0.001, "{label}: the plain loops disagree");
            (worst_mask, worst_error) = (worst_mask.max(mask), worst_error.max(error));
            (worst_weight, worst_loss) = (worst_weight.max(weight), worst_loss.max(loss));
            checked += 1;
        }
    }
    println!(
        "sparsegpt: {checked} variants; masks differ in at most {worst_mask:.5}, output errors by at most {worst_error:.2e} of themselves, losses by {worst_loss:.2e}, weights by {worst_weight:.2e}; from the plain loops by {worst_reference:.2e}"
    );
    assert!(checked > 0);
}

#[test]
fn wanda_fixtures() {
    let Some(root) = folder("wanda") else { return };
    let (mut checked, mut worst_mask, mut worst_error, mut worst_norm) = (0, 0f64, 0f64, 0f32);
    for name in names(&root) {
        let case = Case::read(&root, &name);
        let (weights, rows, columns, inputs) = case.inputs(&root);
        let norms = input_norms_of_hessian(&doubled(&case.hessian(&root)), columns).unwrap();
        let stored = Case::tensors(&root, case.json["file"].as_str().unwrap());
        for (ours, theirs) in norms.iter().zip(floats(&stored, "scaler_row")) {
            worst_norm = worst_norm.max((ours - theirs).abs() / theirs.max(1e-6));
        }
        for variant in case.variants() {
            let key = variant["variant"].as_str().unwrap();
            let mask = wanda(&weights, rows, columns, &norms, pattern(variant)).unwrap();
            let theirs = &stored[&format!("{key}.mask_zero")].1;
            let off = mask.pruned.iter().zip(theirs).filter(|(ours, theirs)| **ours != (**theirs == 1)).count() as f64 / theirs.len() as f64;
            let mut ours = weights.clone();
            mask.apply(&mut ours);
            let error = (relative_error(&weights, &ours, &inputs, rows, columns) / variant["rel_err"].as_f64().unwrap() - 1.0).abs();
            assert!(off <= 0.01 && error <= 0.01, "{name} {key}: mask {off}, error {error}");
            let share = mask.count() as f64 / weights.len() as f64;
            assert_eq!(share, variant["actual_zero_fraction"].as_f64().unwrap(), "{name} {key}");
            (worst_mask, worst_error, checked) = (worst_mask.max(off), worst_error.max(error), checked + 1);
        }
        // Magnitude has no fixture of its own: it is Wanda where all inputs are alike.
        let two_of_four = Pattern::Windows(Window::new(2, 4).unwrap());
        assert_eq!(
            magnitude(&weights, rows, columns, two_of_four).unwrap(),
            wanda(&weights, rows, columns, &vec![1.0; columns], two_of_four).unwrap()
        );
    }
    println!(
        "wanda: {checked} variants; norms differ by at most {worst_norm:.2e} of themselves, masks in at most {worst_mask:.5}, output errors by at most {worst_error:.2e}"
    );
    assert!(worst_norm < 1e-5 && checked > 0);
}

/// The toy model's matrices in order: three to a block.
fn toy_matrices(json: &Value, tensors: &Tensors) -> Vec<(String, usize, usize, Vec<f32>)> {
    let order = json["esd"]["xmin_peak"]["longname"].as_array().unwrap();
    (order.iter())
        .map(|name| {
            let name = format!("blocks.{}", name.as_str().unwrap());
            let shape = &tensors[&name].0;
            (name.clone(), shape[0], shape[1], floats(tensors, &name))
        })
        .collect()
}

#[test]
fn alpha_pruning_fixtures() {
    let Some(root) = folder("alphapruning") else { return };
    let (mut worst_alpha, mut worst_distance, mut worst_ratio, mut tables) = (0f64, 0f64, 0f64, 0);
    for name in names(&root) {
        let case = Case::read(&root, &name);
        let tensors = Case::tensors(&root, case.json["inputs"]["file"].as_str().unwrap());
        let matrices = toy_matrices(&case.json, &tensors);
        let spectra: Vec<Vec<f64>> = matrices
            .iter()
            .map(|(_, rows, columns, weights)| spectrum(weights, *rows, *columns).unwrap())
            .collect();
        let sizes: Vec<Vec<usize>> = matrices.chunks(3).map(|block| block.iter().map(|matrix| matrix.3.len()).collect()).collect();
        let alphas = |start: TailStart| -> Vec<f64> { spectra.iter().map(|spectrum| fit_tail(spectrum, start).unwrap().alpha).collect() };
        for (start, key) in [(TailStart::Peak, "xmin_peak"), (TailStart::Middle, "xmin_mid")] {
            let listed = &case.json["esd"][key];
            for (index, spectrum) in spectra.iter().enumerate() {
                let tail = fit_tail(spectrum, start).unwrap();
                let label = format!("{name} {key} {}", matrices[index].0);
                let off = (tail.alpha / listed["alpha"][index].as_f64().unwrap() - 1.0).abs();
                let distance = (tail.distance - listed["D"][index].as_f64().unwrap()).abs();
                assert!(off < 1e-4 && distance < 1e-4, "{label}: {tail:?}");
                let largest = spectrum[spectrum.len() - 1] / listed["spectral_norm"][index].as_f64().unwrap() - 1.0;
                let total = spectrum.iter().sum::<f64>() / listed["sum_eigs"][index].as_f64().unwrap() - 1.0;
                assert!(largest.abs() < 1e-4 && total.abs() < 1e-4, "{label}: {largest} {total}");
                (worst_alpha, worst_distance) = (worst_alpha.max(off), worst_distance.max(distance));
            }
        }
        for table in case.json["ratio_tables"].as_array().unwrap() {
            let start = if table["metric"] == "alpha_peak" {
                TailStart::Peak
            } else {
                TailStart::Middle
            };
            let mapping = if table["mapping"] == "block_wise" {
                Mapping::BlockWise
            } else {
                Mapping::LayerWise
            };
            let blocks: Vec<Vec<f64>> = alphas(start).chunks(3).map(<[f64]>::to_vec).collect();
            let sparsity = Sparsity::new(table["sparsity"].as_f64().unwrap()).unwrap();
            let ratios = pruning_ratios(&blocks, &sizes, sparsity, table["epsilon"].as_f64().unwrap(), mapping).unwrap();
            for (ours, theirs) in ratios.iter().flatten().zip(table["ratios"].as_array().unwrap()) {
                let off = (ours.get() - theirs.as_f64().unwrap()).abs();
                assert!(off < 1e-4, "{name} {table}: {ours:?}");
                worst_ratio = worst_ratio.max(off);
            }
            tables += 1;
        }
    }
    println!(
        "alphapruning: {tables} tables; exponents differ by at most {worst_alpha:.2e} of themselves, distances by {worst_distance:.2e}, ratios by {worst_ratio:.2e}"
    );
    assert!(tables > 0);
}

/// `2/sequences · XᵀX`.
fn hessian_of(inputs: &[f32], columns: usize, sequences: usize) -> Vec<f64> {
    gram(inputs, columns).into_iter().map(|value| 2.0 * value / sequences as f64).collect()
}

/// `gate`, `up` and `silu(gate) · up` of a toy block.
fn feed(inputs: &[f32], hidden: usize, gate: &[f32], up: &[f32], inner: usize) -> Vec<f32> {
    let tokens = inputs.len() / hidden;
    let gate = product_transposed(inputs, gate, tokens, hidden, inner);
    let up = product_transposed(inputs, up, tokens, hidden, inner);
    gate.iter().zip(&up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect()
}

/// The toy model from end to end: ratios, then SparseGPT block by block on the outputs of the pruned blocks before.
#[test]
fn alpha_pruning_runs_fixtures() {
    let Some(root) = folder("alphapruning") else { return };
    for name in names(&root) {
        let case = Case::read(&root, &name);
        for run in case.json["sparsegpt_ww"].as_array().unwrap() {
            toy_run(&root, &case, run);
        }
    }
}

fn toy_run(root: &Path, case: &Case, run: &Value) {
    let tensors = Case::tensors(root, case.json["inputs"]["file"].as_str().unwrap());
    let stored = Case::tensors(root, run["file"].as_str().unwrap());
    let matrices = toy_matrices(&case.json, &tensors);
    let sparsity = Sparsity::new(run["sparsity"].as_f64().unwrap()).unwrap();
    let tail =
        |(_, rows, columns, weights): &(String, usize, usize, Vec<f32>)| fit_tail(&spectrum(weights, *rows, *columns).unwrap(), TailStart::Peak).unwrap();
    let alphas: Vec<Vec<f64>> = matrices
        .chunks(3)
        .map(|block| block.iter().map(|matrix| tail(matrix).alpha).collect())
        .collect();
    let sizes: Vec<Vec<usize>> = matrices.chunks(3).map(|block| block.iter().map(|matrix| matrix.3.len()).collect()).collect();
    let ratios = pruning_ratios(&alphas, &sizes, sparsity, run["epsilon"].as_f64().unwrap(), Mapping::BlockWise).unwrap();
    let sequences = tensors["X"].0[0];
    let (mut state, mut worst_mask, mut worst_weight) = (floats(&tensors, "X"), 0f64, 0f32);
    for (block, ratios) in matrices.chunks(3).zip(&ratios) {
        let [(_, inner, hidden, gate), (_, _, _, up), (_, _, _, down)] = block else {
            panic!("three matrices to a block")
        };
        let (inner, hidden) = (*inner, *hidden);
        let (outer, within) = (
            hessian_of(&state, hidden, sequences),
            hessian_of(&feed(&state, hidden, gate, up, inner), inner, sequences),
        );
        let mut pruned = [gate.clone(), up.clone(), down.clone()];
        for (index, weights) in pruned.iter_mut().enumerate() {
            let (rows, columns, hessian) = if index < 2 { (inner, hidden, &outer) } else { (hidden, inner, &within) };
            let settings = SparseGptSettings::new(Pattern::Unstructured(ratios[index]));
            let SparseGptReport { zeros, .. } = sparse_gpt(weights, rows, columns, hessian, &settings).unwrap();
            let label = &block[index].0;
            let theirs = floats(&stored, label);
            let mask = disagreement(weights, &theirs);
            assert!(mask <= 0.01, "{label}: {mask} of the mask differs");
            let share = zeros as f64 / weights.len() as f64;
            assert!((share - run["actual"][label].as_f64().unwrap()).abs() < 1e-3, "{label}: {share}");
            worst_mask = worst_mask.max(mask);
            worst_weight = weights.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(worst_weight, f32::max);
        }
        let fed = feed(&state, hidden, &pruned[0], &pruned[1], inner);
        let change = product_transposed(&fed, &pruned[2], state.len() / hidden, inner, hidden);
        state.iter_mut().zip(change).for_each(|(state, change)| *state += change);
    }
    let theirs = floats(&stored, "block_output");
    let (off, size) = (state.iter().zip(&theirs)).fold((0f64, 0f64), |(off, size), (a, b)| {
        (off + f64::from(a - b).powi(2), size + f64::from(*b).powi(2))
    });
    println!(
        "alphapruning {} at {}: masks differ in at most {worst_mask:.5}, weights by {worst_weight:.2e}, the last output by {:.2e} of itself",
        case.name,
        sparsity.get(),
        (off / size).sqrt()
    );
    assert!(off / size < 1e-4, "the outputs differ by {}", off / size);
}
