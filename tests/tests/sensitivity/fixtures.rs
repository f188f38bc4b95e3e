//! Sketches against the fixtures, on every kind of kernels and in float64.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::activations::ActivationStorage;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_needs::{Need, fixtures_of, skip};
use cruxscope_sensitivity::SensitivityError;
use cruxscope_sensitivity::candidate::changes_of;
use cruxscope_sensitivity::labels::Labels;
use cruxscope_sensitivity::part::WindowPart;
use cruxscope_sensitivity::reference::sketch_by_differences;
use cruxscope_sensitivity::sketch::{LayerChanges, SketchOptions, SketchWindow, sketch};
use cruxscope_study::{Behaviour, Scope};
use safetensors::SafeTensors;
use serde_json::Value;

/// What the fixtures ask: s relative to its largest value, divergences relative.
pub const GATE: f64 = 1e-4;

/// A menu of one format.
const ONE: SketchOptions = SketchOptions {
    formats: 1,
    gradient_score: false,
};

pub struct Case {
    pub name: String,
    pub model: PathBuf,
    pub folder: PathBuf,
    pub expected: Value,
    pub windows: Vec<Vec<u32>>,
    /// `[window][draw][position]`.
    pub labels: Vec<Vec<Vec<u32>>>,
}

pub fn cases() -> Vec<Case> {
    let Some(sensitivity) = fixtures_of("sensitivity") else {
        return Vec::new();
    };
    let models = sensitivity.with_file_name("interpret");
    let entries = std::fs::read_dir(sensitivity).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
        .into_iter()
        .filter(|folder| folder.join("expected.json").is_file())
        .map(|folder| {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = std::fs::read(folder.join("windows.safetensors")).unwrap();
            let arrays = SafeTensors::deserialize(&bytes).unwrap();
            let ids = |name: &str| -> (Vec<usize>, Vec<u32>) {
                let view = arrays.tensor(name).unwrap();
                let ids = match view.dtype() {
                    safetensors::Dtype::I64 => view.data().as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id) as u32).collect(),
                    _ => view.data().as_chunks::<4>().0.iter().map(|id| i32::from_le_bytes(*id) as u32).collect(),
                };
                (view.shape().to_vec(), ids)
            };
            let ((shape, windows), (drawn, labels)) = (ids("windows"), ids("labels"));
            let positions = shape[1];
            Case {
                model: models.join(&name),
                expected: serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap(),
                windows: windows.chunks_exact(positions).map(<[u32]>::to_vec).collect(),
                labels: labels
                    .chunks_exact(positions * drawn[1])
                    .map(|window| window.chunks_exact(positions).map(<[u32]>::to_vec).collect())
                    .collect(),
                folder,
                name,
            }
        })
        .collect()
}

/// `[window][draw][component]` of an expected array, flat.
pub fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

fn changes(case: &Case, checkpoint: &Checkpoint, candidate: &Checkpoint, layer: usize) -> LayerChanges {
    vec![
        changes_of(
            &case.name,
            &checkpoint.config().modules(layer),
            layer,
            (&checkpoint.layer(layer).unwrap(), &candidate.layer(layer).unwrap()),
        )
        .unwrap(),
    ]
}

fn sketch_case<K: Kernels>(case: &Case, kernels: K, residence: Residence) -> Vec<WindowPart> {
    let checkpoint = Arc::new(Checkpoint::open(&case.model).unwrap());
    let candidate = Checkpoint::open(&case.folder.join("candidate")).unwrap();
    let decoder = Decoder::new(checkpoint.clone(), kernels, residence).unwrap();
    let windows: Vec<SketchWindow> = case
        .windows
        .iter()
        .enumerate()
        .map(|(index, ids)| SketchWindow::whole(index.to_string(), ids.clone()))
        .collect();
    let labels = |window: &SketchWindow| Labels::Given(case.labels[window.id.parse::<usize>().unwrap()].clone());
    sketch::<K, SensitivityError>(
        &decoder,
        &windows,
        &labels,
        ONE,
        (ActivationStorage::Device, Path::new("")),
        &mut |layer| Ok(changes(case, &checkpoint, &candidate, layer)),
        &mut |_| true,
    )
    .unwrap()
}

/// Compares a sketch of a case's windows with its expected numbers.
fn check<K: Kernels>(case: &Case, kernels: K, gate: f64) {
    let title = format!("{} on {}", case.name, kernels.describe());
    let parts = sketch_case(case, kernels, Residence::Streamed);
    let found: Vec<f64> = parts.iter().flat_map(|part| &part.scopes[0].sketch).map(|value| f64::from(*value)).collect();
    let expected = numbers(&case.expected["s"]);
    assert_eq!(found.len(), expected.len(), "{title}");
    let largest = |values: &[f64]| values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let worst = |found: &[f64], expected: &[f64]| {
        let differences = found
            .iter()
            .zip(expected)
            .map(|(a, b)| if a.is_finite() { (a - b).abs() } else { f64::INFINITY });
        differences.fold(0.0, f64::max) / largest(expected)
    };
    let difference = worst(&found, &expected);

    // The fixture keeps the score of each draw, the program their sum.
    let draws = case.labels[0].len();
    let cells = expected.len() / (draws * case.windows.len());
    let summed = numbers(&case.expected["summed_over_positions"]);
    let mut scores = vec![0.0; case.windows.len() * cells];
    for (place, value) in summed.iter().enumerate() {
        scores[place / (draws * cells) * cells + place % cells] += value;
    }
    let score: Vec<f64> = parts.iter().flat_map(|part| &part.scopes[0].score).map(|value| f64::from(*value)).collect();
    let score_difference = worst(&score, &scores);

    let positions = case.expected["positions"].as_f64().unwrap();
    let totals = found.chunks_exact(cells).map(|draw| draw.iter().sum::<f64>().powi(2));
    let kl = totals.sum::<f64>() / (case.windows.len() * draws) as f64 / (2.0 * positions);
    let expected_kl = case.expected["predicted_kl"].as_f64().unwrap();
    let kl_difference = (kl / expected_kl - 1.0).abs();
    println!("{title}: s {difference:.2e} of its largest, score {score_difference:.2e}, predicted KL {kl_difference:.2e} (gate {gate:.0e})");
    assert!(difference <= gate, "{title}: s differs by {difference:.2e} of its largest value");
    assert!(
        score_difference <= 2.0 * gate,
        "{title}: the score differs by {score_difference:.2e} of its largest value"
    );
    assert!(kl_difference <= gate, "{title}: the predicted divergence differs by {kl_difference:.2e}");
}

#[test]
fn sensitivity_fixtures_on_the_processors() {
    for case in cases() {
        check(&case, CpuKernels, GATE);
    }
}

#[test]
fn sensitivity_fixtures_on_the_reference() {
    for case in cases() {
        check(&case, ReferenceKernels, GATE / 10.0);
    }
}

#[test]
fn sensitivity_fixtures_on_tensors() {
    for case in cases() {
        match device::find("flex") {
            Ok(ChosenDevice::Tensors(kernels)) => check(&case, kernels, GATE),
            _ => skip(Need::Device, "this build has no tensor kernels"),
        }
    }
}

#[test]
fn sensitivity_fixtures_on_vulkan_wgpu_and_cuda() {
    for name in ["vulkan", "wgpu", "cuda"] {
        let kernels = match device::find(name) {
            Ok(ChosenDevice::Tensors(kernels)) => kernels,
            Ok(_) => continue,
            Err(why) => {
                skip(Need::Device, why);
                continue;
            }
        };
        for case in cases() {
            check(&case, kernels.clone(), GATE);
        }
    }
}

#[test]
fn sensitivity_does_not_depend_on_the_batch_or_where_weights_live() {
    for case in cases() {
        let whole = sketch_case(&case, CpuKernels, Residence::Streamed);
        assert_eq!(whole, sketch_case(&case, CpuKernels, Residence::Resident), "{}", case.name);
        for window in 0..case.windows.len() {
            let only = Case {
                windows: vec![case.windows[window].clone()],
                labels: vec![case.labels[window].clone()],
                name: case.name.clone(),
                model: case.model.clone(),
                folder: case.folder.clone(),
                expected: Value::Null,
            };
            let alone = sketch_case(&only, CpuKernels, Residence::Streamed);
            assert_eq!(alone[0].scopes, whole[window].scopes, "{}", case.name);
        }
    }
}

#[test]
fn sensitivity_by_gradients_is_that_by_differences() {
    for case in cases() {
        let checkpoint = Arc::new(Checkpoint::open(&case.model).unwrap());
        let candidate = Checkpoint::open(&case.folder.join("candidate")).unwrap();
        let decoder = Decoder::new(checkpoint.clone(), ReferenceKernels, Residence::Resident).unwrap();
        let (ids, labels) = (&case.windows[0], &case.labels[0][1]);
        // Every position, and those of a behaviour in the middle.
        let rows: Vec<usize> = (5..17).chain([20]).collect();
        let mut window = SketchWindow::whole("0", ids.clone());
        window.scopes.push((Scope::Behaviour(Behaviour::Backtracking), rows.clone()));
        let parts = sketch::<_, SensitivityError>(
            &decoder,
            &[window],
            &|_| Labels::Given(vec![labels.clone()]),
            ONE,
            (ActivationStorage::Device, Path::new("")),
            &mut |layer| Ok(changes(&case, &checkpoint, &candidate, layer)),
            &mut |_| true,
        )
        .unwrap();
        let layers = checkpoint.config().layers;
        let counts: [Vec<f32>; 2] = [
            vec![1.0; ids.len()],
            (0..ids.len()).map(|row| if rows.contains(&row) { 1.0 } else { 0.0 }).collect(),
        ];
        for (scope, counts) in parts[0].scopes.iter().zip(&counts) {
            let largest = scope.sketch.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let mut worst = 0.0f64;
            for component in (0..layers * 7).step_by(3) {
                let (layer, module) = (component / 7, component % 7);
                let changes = changes(&case, &checkpoint, &candidate, layer);
                let expected = sketch_by_differences(&decoder, &checkpoint, ids, labels, counts, (layer, module), &changes, 0).unwrap();
                worst = worst.max((f64::from(scope.sketch[component]) - expected).abs() / f64::from(largest));
            }
            println!("{}: {} differs by {worst:.2e} of its largest from differences", case.name, scope.scope);
            assert!(worst < 2e-5, "{}: {worst:.2e}", case.name);
        }
    }
}

#[test]
fn sensitivity_scores_of_outputs_and_of_the_text_are_sums_of_what_is_known() {
    for case in cases() {
        let checkpoint = Arc::new(Checkpoint::open(&case.model).unwrap());
        let candidate = Checkpoint::open(&case.folder.join("candidate")).unwrap();
        let decoder = Decoder::new(checkpoint.clone(), CpuKernels, Residence::Resident).unwrap();
        // The whole change of a matrix, and each of its rows alone.
        let (layer, module) = (checkpoint.config().layers - 1, 0);
        let change = changes(&case, &checkpoint, &candidate, layer)[0][module].take().unwrap();
        let rows = change.rows;
        let of_row = |row: usize| {
            let mut alone = change.clone();
            let kept = row * change.columns..(row + 1) * change.columns;
            (alone.values.iter_mut().enumerate())
                .filter(|(place, _)| !kept.contains(place))
                .for_each(|(_, value)| *value = 0.0);
            alone
        };
        let menu = |asked: usize| -> LayerChanges {
            let all = std::iter::once(change.clone()).chain((0..rows).map(of_row));
            let mut formats: LayerChanges = vec![vec![None; 7]; rows + 1];
            if asked == layer {
                formats.iter_mut().zip(all).for_each(|(format, change)| format[module] = Some(change));
            }
            formats
        };
        // Labels that are the text's own next tokens; the last position has none.
        let ids = case.windows[0].clone();
        let predicting: Vec<usize> = (0..ids.len() - 1).collect();
        let mut window = SketchWindow::whole("0", ids.clone());
        window.scopes.push((Scope::Behaviour(Behaviour::Backtracking), predicting));
        let next: Vec<u32> = ids[1..].iter().copied().chain([0]).collect();
        let parts = sketch::<_, SensitivityError>(
            &decoder,
            &[window],
            &|_| Labels::Given(vec![next.clone()]),
            SketchOptions {
                formats: rows + 1,
                gradient_score: true,
            },
            (ActivationStorage::Device, Path::new("")),
            &mut |layer| Ok(menu(layer)),
            &mut |_| true,
        )
        .unwrap();
        let first = (layer * 7 + module) * (rows + 1);
        let near = |found: f64, wanted: f64, what: &str| {
            assert!(
                (found - wanted).abs() <= 1e-4 * wanted.abs().max(1e-12),
                "{}: {what} is {found} instead of {wanted}",
                case.name
            );
        };
        for scope in &parts[0].scopes {
            // One output at a time, the square of its product is both scores.
            let alone: f64 = scope.score[first + 1..][..rows].iter().map(|value| f64::from(*value)).sum();
            near(f64::from(scope.outputs[first]), alone, "the score of outputs");
        }
        let own = &parts[0].scopes[1];
        near(parts[0].gradient_error[first], f64::from(own.outputs[first]), "the gradient score");
        near(parts[0].first_order[first], f64::from(own.sketch[first]), "the first order");
        assert!(parts[0].gradient_error[first] > 0.0 && parts[0].first_order[first] != 0.0);
    }
}
