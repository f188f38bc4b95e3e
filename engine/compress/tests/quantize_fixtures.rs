//! Round-to-nearest, GPTQ and GPTAQ against what the original programs gave on small matrices with outliers and dead columns.
//!
//! Codes must agree on 99 % of the weights and errors within 1 %: the originals move by up to 0.41 % and 0.19 % between float32
//! and float64.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod quantize_support;

use cruxscope_compress::linear_algebra::{accumulate_cross_gram, gram};
use cruxscope_compress::quantize::*;
use quantize_support::*;
use serde_json::Value;

const CODES: f64 = 0.01;
const ERROR: f64 = 0.01;

fn grid(name: &str) -> Grid {
    match name {
        "awq_asym" => Grid::AwqAsymOriginal,
        "gptq_asym" | "gptq_mse_asym" => Grid::GptqAsym,
        "gptq_sym" | "gptq_mse_sym" => Grid::GptqSymOriginal,
        other => panic!("no grid {other}"),
    }
}

fn bits_and_group(variant: &Value) -> (Bits, GroupSize) {
    let bits = u8::try_from(variant["bits"].as_u64().unwrap()).unwrap();
    (Bits::new(bits).unwrap(), GroupSize::new(variant["group"].as_i64().unwrap()).unwrap())
}

#[test]
fn fixtures_round_to_nearest() {
    let Some(root) = fixtures() else { return };
    let (mut checked, mut worst) = (0, [0.0f64; 4]);
    for (case, description) in cases(&root.join("rtn")) {
        let inputs = inputs(&root, &case);
        for variant in description["variants"].as_array().unwrap() {
            let name = variant["variant"].as_str().unwrap();
            let (bits, group_size) = bits_and_group(variant);
            if variant["rel_err"].is_null() {
                println!("{case} {name}: refused by the original ({})", variant["error"]);
                continue;
            }
            let file = tensors(&root.join("rtn").join(variant["file"].as_str().unwrap()));
            let settings = GridSettings {
                grid: grid(name.split("_b").next().unwrap()),
                bits,
                group_size,
                clipping: if name.contains("mse") { Clipping::ORIGINAL } else { Clipping::None },
            };
            let found = round_to_nearest(&inputs.weight, inputs.rows, inputs.columns, &settings).unwrap();
            let wanted = |what: &str| &file[&format!("{name}.{what}")];
            let codes = share_differing(&found.codes, &wanted("codes").u8());
            let scale = largest_relative(&found.scales, &wanted("scale").f32());
            let zeros = share_differing(&found.zeros, &wanted("zero").u8());
            let listed = variant["rel_err"].as_f64().unwrap();
            let error = (inputs.relative_error(&found.dequantize()) / listed - 1.0).abs();
            for (worst, value) in worst.iter_mut().zip([codes, scale, zeros, error]) {
                *worst = worst.max(value);
            }
            assert!(
                codes <= CODES && zeros <= CODES && scale < 1e-5 && error < ERROR,
                "{case} {name}: {codes} {scale} {zeros} {error}"
            );
            checked += 1;
        }
    }
    println!(
        "round-to-nearest, {checked} variants; worst: codes {:.4} %, scale {:.1e}, zeros {:.4} %, error {:.1e}",
        worst[0] * 100.0,
        worst[1],
        worst[2] * 100.0,
        worst[3]
    );
}

fn gptq_settings(variant: &Value, sym: Grid, asym: Grid) -> GptqSettings {
    let (bits, group_size) = bits_and_group(variant);
    let flag = |name: &str| variant[name].as_bool().unwrap();
    let group_aware = variant["variant"].as_str().unwrap().contains("gar");
    GptqSettings {
        grid: GridSettings {
            grid: if flag("sym") { sym } else { asym },
            bits,
            group_size,
            clipping: if flag("mse") { Clipping::ORIGINAL } else { Clipping::None },
        },
        order: match (group_aware, flag("actorder")) {
            (true, _) => ColumnOrder::GroupAware,
            (_, true) => ColumnOrder::Activation,
            _ => ColumnOrder::Stored,
        },
        static_groups: flag("static_groups"),
        damping: Damping {
            share: variant["percdamp"].as_f64().unwrap(),
            additions: 1,
            ladder: false,
        },
        compatibility: Compatibility::Original,
        true_sequential: false,
    }
}

/// The share of weights on another grid point, given each weight's scale.
fn moved(found: &Quantized, expected: &[f32]) -> f64 {
    let values = found.dequantize();
    let moved = |index: usize| {
        let (row, column) = (index / found.columns, index % found.columns);
        (values[index] - expected[index]).abs() > 0.05 * found.scale_zero(row, found.group_of(column)).scale
    };
    (0..values.len()).filter(|&index| moved(index)).count() as f64 / values.len() as f64
}

/// Fixtures list the scales of group-aware runs in the order in which groups were taken.
fn stored_groups(variant: &Value, group: usize, groups: usize, values: &[f32]) -> Vec<f32> {
    let Some(order) = variant["perm"].as_array() else { return values.to_vec() };
    let mut out = values.to_vec();
    for taken in 0..groups {
        let stored = order[taken * group].as_u64().unwrap() as usize / group;
        for row in 0..values.len() / groups {
            out[row * groups + stored] = values[row * groups + taken];
        }
    }
    out
}

#[test]
fn fixtures_gptq() {
    let Some(root) = fixtures() else { return };
    let (mut checked, mut worst) = (0, [0.0f64; 4]);
    for (case, description) in cases(&root.join("gptq")) {
        let inputs = inputs(&root, &case);
        let mut hessian = gram(&inputs.inputs, inputs.columns);
        hessian.iter_mut().for_each(|value| *value *= 2.0 / inputs.sequences as f64);
        let listed = tensors(&root.join("inputs").join(format!("{case}_H.safetensors")));
        let scale = listed["H"].values.iter().fold(0.0f64, |a, b| a.max(b.abs()));
        let furthest = hessian.iter().zip(&listed["H"].values).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max);
        println!("{case}: Hessian differs by {furthest:.1e} of its largest entry");
        assert!(furthest < 1e-5);
        for variant in description["variants"].as_array().unwrap() {
            let name = variant["variant"].as_str().unwrap();
            let settings = gptq_settings(variant, Grid::GptqSymOriginal, Grid::GptqAsym);
            let found = gptq(&inputs.weight, inputs.rows, inputs.columns, &hessian, &settings).unwrap();
            let file = tensors(&root.join("gptq").join(variant["file"].as_str().unwrap()));
            let quantized = &found.quantized;
            let codes = moved(quantized, &file["Q"].f32());
            let groups = quantized.groups();
            let wanted = stored_groups(variant, settings.grid.group_size.of_row(inputs.columns), groups, &file["scale"].f32());
            let scale = largest_relative(&quantized.scales, &wanted);
            let error = (inputs.relative_error(&quantized.dequantize()) / variant["rel_err"].as_f64().unwrap() - 1.0).abs();
            let reported = (found.error / variant["reported_error"].as_f64().unwrap() - 1.0).abs();
            println!(
                "{case} {name}: codes {:.4} %, scale {scale:.1e}, error {error:.1e}, reported {reported:.1e}",
                codes * 100.0
            );
            for (worst, value) in worst.iter_mut().zip([codes, scale, error, reported]) {
                *worst = worst.max(value);
            }
            assert!(codes <= CODES && error < ERROR && reported < ERROR, "{case} {name}");
            let plain = reference::compensated_plain(&inputs.weight, inputs.columns, &hessian, None, &settings).unwrap();
            assert!(
                share_differing(&plain.codes, &quantized.codes) <= CODES && plain.group_index == quantized.group_index,
                "{case} {name}: the plain form"
            );
            checked += 1;
        }
    }
    println!(
        "GPTQ, {checked} variants; worst: codes {:.4} %, scale {:.1e}, error {:.1e}, reported error {:.1e}",
        worst[0] * 100.0,
        worst[1],
        worst[2],
        worst[3]
    );
}

#[test]
fn fixtures_gptaq() {
    let Some(root) = fixtures() else { return };
    let (mut checked, mut worst) = (0, [0.0f64; 4]);
    for (case, description) in cases(&root.join("gptaq")) {
        let inputs = inputs(&root, &case);
        let scale = 2.0 / inputs.sequences as f64;
        let mut hessian = gram(&inputs.inputs, inputs.columns);
        hessian.iter_mut().for_each(|value| *value *= scale);
        let difference: Vec<f32> = inputs.full.iter().zip(&inputs.inputs).map(|(full, own)| full - own).collect();
        let mut cross = vec![0.0; inputs.columns * inputs.columns];
        accumulate_cross_gram(&mut cross, &difference, &inputs.inputs, inputs.columns);
        cross.iter_mut().for_each(|value| *value *= scale);
        let listed = tensors(&root.join("gptaq").join(format!("{case}_dXXT.safetensors")));
        let largest = listed["dXXT"].values.iter().fold(0.0f64, |a, b| a.max(b.abs()));
        let furthest = cross
            .iter()
            .zip(&listed["dXXT"].values)
            .map(|(a, b)| (a - b).abs() / largest)
            .fold(0.0, f64::max);
        println!("{case}: the inputs' difference differs by {furthest:.1e} of its largest entry");
        assert!(furthest < 1e-5);
        for variant in description["variants"].as_array().unwrap() {
            let name = variant["variant"].as_str().unwrap();
            let settings = GptaqSettings {
                gptq: gptq_settings(variant, Grid::GptaqSym, Grid::GptaqAsym),
                alpha: variant["alpha"].as_f64().unwrap(),
            };
            let found = gptaq(&inputs.weight, inputs.rows, inputs.columns, &hessian, &cross, &settings).unwrap();
            let file = tensors(&root.join("gptaq").join(variant["file"].as_str().unwrap()));
            let quantized = &found.quantized;
            let values = quantized.dequantize();
            let codes = moved(quantized, &file["Q"].f32());
            let scale = largest_relative(&quantized.scales, &file["scale"].f32());
            let error = (inputs.relative_error(&values) / variant["rel_err"].as_f64().unwrap() - 1.0).abs();
            let asymmetric = (inputs.error_against(&values, &inputs.full) / variant["asym_rel_err"].as_f64().unwrap() - 1.0).abs();
            println!(
                "{case} {name}: codes {:.4} %, scale {scale:.1e}, error {error:.1e}, asymmetric {asymmetric:.1e}",
                codes * 100.0
            );
            for (worst, value) in worst.iter_mut().zip([codes, scale, error, asymmetric]) {
                *worst = worst.max(value);
            }
            assert!(codes <= CODES && error < ERROR && asymmetric < ERROR, "{case} {name}");
            let plain = reference::compensated_plain(&inputs.weight, inputs.columns, &hessian, Some((&cross, settings.alpha)), &settings.gptq).unwrap();
            assert!(share_differing(&plain.codes, &quantized.codes) <= CODES, "{case} {name}: the plain form");
            checked += 1;
        }
    }
    println!(
        "GPTAQ, {checked} variants; worst: codes {:.4} %, scale {:.1e}, error {:.1e}, asymmetric error {:.1e}",
        worst[0] * 100.0,
        worst[1],
        worst[2],
        worst[3]
    );
}
