//! A checkpoint into a compressed one: stopped after every layer and gone on with, it is the same to the byte.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::path::{Path, PathBuf};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::packed::{Layout, ZeroFormat};
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::any::AnySettings;
use cruxscope_compress::awq::{AwqSettings, Search};
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::prune::{AlphaPruningSettings, Pattern, SparseGptSettings, Sparsity};
use cruxscope_compress::quantize::{Bits, Clipping, ColumnOrder, Compatibility, Damping, GptaqSettings, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::Recipe;
use cruxscope_model::device;
use cruxscope_run::compress::{Basis, CompressSettings, Compression, compress};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, Silent};
use safetensors::tensor::{Dtype, TensorView};

/// Says stop once so many layers are done, those of earlier runs included.
struct Layers(usize);

impl Observer for Layers {
    fn event(&mut self, event: Event) {
        self.0 = self.0.saturating_sub(usize::from(matches!(event, Event::Advanced { .. })));
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// A file of four windows of tokens.
fn windows(folder: &Path) -> PathBuf {
    let tokens = folder.join("calibration.safetensors");
    let ids: Vec<u8> = (0..4 * 48i32).flat_map(|i| (i * 37 % 500).to_le_bytes()).collect();
    let view = TensorView::new(Dtype::I32, vec![4, 48], &ids).unwrap();
    std::fs::write(&tokens, safetensors::serialize([("ids", view)], None).unwrap()).unwrap();
    tokens
}

fn gptq() -> GptqSettings {
    GptqSettings {
        grid: GridSettings {
            grid: Grid::GptaqAsym,
            bits: Bits::new(3).unwrap(),
            group_size: GroupSize::new(16).unwrap(),
            clipping: Clipping::None,
        },
        order: ColumnOrder::GroupAware,
        static_groups: false,
        damping: Damping::default(),
        compatibility: Compatibility::Improved,
        true_sequential: false,
    }
}

fn settings(out: PathBuf, treatment: &MethodConfig, tokens: &Path, stored_as: StoredAs) -> CompressSettings {
    CompressSettings {
        model: cruxscope_needs::root().join("tests/fixtures/tiny/model"),
        out,
        recipe: Recipe::of(treatment.clone(), None, Some("1_down")),
        calibration: Some(Calibration {
            source: WindowSource::Tokens {
                path: tokens.to_owned(),
                array: None,
            },
            windows: None,
            seed: None,
        }),
        stored_as,
        packed: None,
        basis: Basis::Original,
    }
}

#[test]
fn a_stopped_compression_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = windows(folder.path());
    let (bits, group) = (Bits::new(3).unwrap(), GroupSize::new(16).unwrap());
    let half = Sparsity::new(0.5).unwrap();
    let treatments = [
        MethodConfig::Gptaq(GptaqSettings { gptq: gptq(), alpha: 0.25 }),
        MethodConfig::AlphaPruning(AlphaPruningSettings::new(half)),
        MethodConfig::SparseGpt(SparseGptSettings::new(Pattern::Unstructured(half))),
        MethodConfig::Any(AnySettings::new(bits, group)),
        MethodConfig::Awq(AwqSettings::new(bits, group)),
    ];
    for treatment in treatments {
        let name = treatment.name().replace(' ', "_");
        // Stored in 16 bits, the layers that are read again differ from those that were computed.
        let settings = |out: &str| settings(folder.path().join(format!("{name}_{out}")), &treatment, &tokens, StoredAs::BFloat16);
        let whole = compress(&settings("whole"), &mut Silent).unwrap();
        let stopped = settings("stopped");
        let mut stops = 0;
        let report = loop {
            match compress(&stopped, &mut Layers(stops + 1)) {
                Ok(report) => break report,
                Err(error) => assert!(error.to_string().contains("stopped on request"), "{name}: {error}"),
            }
            assert!(!stopped.out.exists(), "{name}: nothing half-written");
            stops += 1;
        };
        assert!(stops >= 2, "{name} was stopped {stops} times");
        assert_eq!(report, whole, "{name}: the report");
        assert!(
            report
                .components
                .iter()
                .all(|component| component.method.is_some() == component.output_error.is_some()),
            "{name}"
        );
        assert!(files(&stopped.out) == files(&settings("whole").out), "{name}: the files");
    }
}

/// Calibration text that runs on another device than the processors gives the same codes but for ties, and the same errors; a run
/// that was stopped there goes on on the processors.
fn calibrated_on(name: &str) {
    if let Err(why) = device::find(name) {
        return cruxscope_needs::skip(cruxscope_needs::Need::Device, why);
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = windows(folder.path());
    let (bits, group) = (Bits::new(3).unwrap(), GroupSize::new(16).unwrap());
    let half = Sparsity::new(0.5).unwrap();
    let awq = |search| AwqSettings {
        search,
        ..AwqSettings::new(bits, group)
    };
    let treatments = [
        ("gptq", MethodConfig::Gptq(gptq())),
        ("gptaq", MethodConfig::Gptaq(GptaqSettings { gptq: gptq(), alpha: 0.25 })),
        (
            "wanda",
            MethodConfig::Wanda {
                pattern: Pattern::Unstructured(half),
            },
        ),
        ("sparse", MethodConfig::SparseGpt(SparseGptSettings::new(Pattern::Unstructured(half)))),
        ("any", MethodConfig::Any(AnySettings::new(bits, group))),
        ("awq", MethodConfig::Awq(awq(Search::Outputs))),
        ("awq_grams", MethodConfig::Awq(awq(Search::Grams))),
    ];
    for (title, treatment) in treatments {
        let on = |device: &str| {
            let settings = settings(folder.path().join(format!("{title}_{device}")), &treatment, &tokens, StoredAs::Float32);
            let report = Compression::prepare_on(&settings, device).unwrap().run(&mut Silent).unwrap();
            (Checkpoint::open(&settings.out).unwrap(), report)
        };
        let ((cpu, expected), (other, found)) = (on("cpu"), on(name));
        let said = found.calibration.unwrap().backend.unwrap();
        assert!(said.starts_with(name), "{said}");
        for (expected, found) in expected.components.iter().zip(&found.components) {
            assert_eq!(expected.method, found.method);
            if let (Some(expected), Some(error)) = (expected.output_error, found.output_error) {
                assert!((error - expected).abs() <= 0.02 * expected, "{title} {}: {error} {expected}", found.component);
            }
        }
        let (mut same, mut all) = (0, 0);
        for layer in 0..cpu.config().layers {
            let (expected, found) = (cpu.layer(layer).unwrap(), other.layer(layer).unwrap());
            for (expected, found) in expected.projections.iter().zip(&found.projections) {
                let scale = expected.weight.values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                let pairs = expected.weight.values.iter().zip(&found.weight.values);
                same += pairs.filter(|(a, b)| (*a - *b).abs() <= 1e-3 * scale).count();
                all += expected.weight.values.len();
            }
        }
        println!("{title}: {same} of {all} weights as on the processors");
        assert!(same as f64 >= 0.98 * all as f64, "{title}: {same} of {all}");
    }

    let treatment = MethodConfig::Gptq(gptq());
    let settings = settings(folder.path().join("resumed"), &treatment, &tokens, StoredAs::Float32);
    let stopped = Compression::prepare_on(&settings, name).unwrap().run(&mut Layers(1));
    assert!(stopped.unwrap_err().to_string().contains("stopped on request"));
    compress(&settings, &mut Silent).unwrap();
}

#[test]
fn calibrated_on_tensors() {
    calibrated_on("flex");
}

#[test]
fn calibrated_on_wgpu() {
    calibrated_on("wgpu");
}

#[test]
fn calibrated_on_vulkan() {
    calibrated_on("vulkan");
}

#[test]
fn calibrated_on_cuda() {
    calibrated_on("cuda");
}

/// Rounds to nearest on a grid without a floor, in groups of 16.
fn rtn(bits: u8) -> MethodConfig {
    MethodConfig::Rtn(GridSettings {
        grid: Grid::GptqAsym,
        bits: Bits::new(bits).unwrap(),
        group_size: GroupSize::new(16).unwrap(),
        clipping: Clipping::None,
    })
}

/// The tiny model with one value projection so much smaller or larger, and an output projection that makes up for it.
fn scaled(folder: &Path, factor: f32) -> PathBuf {
    let source = cruxscope_needs::root().join("tests/fixtures/tiny/model");
    let model = folder.join(format!("model_{factor:e}"));
    std::fs::create_dir(&model).unwrap();
    std::fs::copy(source.join("config.json"), model.join("config.json")).unwrap();
    let bytes = std::fs::read(source.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let by = match name.as_str() {
                "model.layers.1.self_attn.v_proj.weight" => factor,
                "model.layers.1.self_attn.o_proj.weight" => 1.0 / factor,
                _ => 1.0,
            };
            assert_eq!(view.dtype(), Dtype::F32);
            let values = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes) * by);
            (name, view.shape().to_vec(), values.flat_map(f32::to_le_bytes).collect())
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &model.join("model.safetensors")).unwrap();
    model
}

/// What float16 cannot hold, as numbers or as scales of packed codes, is an error that names the matrix, and nothing is finished.
#[test]
fn a_model_that_would_not_survive_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = windows(folder.path());
    let packed = Some(Layout::Gptq(ZeroFormat::V1));
    for factor in [2e-8, 1e7] {
        let model = scaled(folder.path(), factor);
        for (title, stored_as, packed) in [("half", StoredAs::Float16, None), ("packed", StoredAs::Float32, packed)] {
            let settings = CompressSettings {
                model: model.clone(),
                recipe: Recipe::of(rtn(4), None, None),
                packed,
                ..settings(folder.path().join(format!("{title}_{factor:e}")), &rtn(4), &tokens, stored_as)
            };
            let error = compress(&settings, &mut Silent).unwrap_err();
            assert!(error.is_user_error() && error.to_string().contains("2_"), "{title} {factor:e}: {error}");
            assert!(!settings.out.exists());
        }
        let whole = settings(folder.path().join(format!("whole_{factor:e}")), &rtn(4), &tokens, StoredAs::Float32);
        let report = compress(&CompressSettings { model, ..whole }, &mut Silent).unwrap();
        assert!(report.components.iter().all(|component| component.weight_error < 0.05));
    }
}

/// Layers that a run with other settings left unfinished are no part of what is written.
#[test]
fn another_runs_layers_are_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = windows(folder.path());
    let of = |bits: u8, out: &str| settings(folder.path().join(out), &rtn(bits), &tokens, StoredAs::Float32);
    assert!(compress(&of(3, "out"), &mut Layers(2)).is_err());
    compress(&of(4, "out"), &mut Silent).unwrap();
    compress(&of(4, "alone"), &mut Silent).unwrap();
    assert!(files(&folder.path().join("out")) == files(&folder.path().join("alone")));
    assert!(!folder.path().join(".out.partial").exists());
}
