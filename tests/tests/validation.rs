//! Validation goes on where it was stopped, and ends with the same bytes.

#![allow(clippy::unwrap_used)] // helpers of tests, outside their functions

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::quantize::{Bits, Clipping, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::Recipe;
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::head;
use cruxscope_model::kernels::Kernels as _;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_run::compress::{Basis, CompressSettings, compress};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::validate::{ValidateSettings, validate};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, Silent};
use cruxscope_study::Definition;

/// Counts the layers that were measured, and says stop after some.
struct Watch {
    measured: usize,
    stop_after: usize,
}

impl Observer for Watch {
    fn event(&mut self, event: Event) {
        self.measured += usize::from(matches!(event, Event::Began { .. }));
    }

    fn stop(&self) -> bool {
        self.measured >= self.stop_after
    }
}

fn settings(study: PathBuf) -> ValidateSettings {
    let tiny = cruxscope_needs::root().join("tests/fixtures/tiny");
    ValidateSettings {
        study,
        model: tiny.join("model"),
        treatment: MethodConfig::Rtn(GridSettings {
            grid: Grid::AwqAsym,
            bits: Bits::new(3).unwrap(),
            group_size: GroupSize::new(16).unwrap(),
            clipping: Clipping::None,
        }),
        text: Calibration {
            source: WindowSource::Traces {
                path: tiny.join("traces.jsonl"),
                length: 48,
            },
            windows: Some(2),
            seed: None,
        },
        calibration: None,
        residence: Residence::Resident,
        device: "cpu".into(),
    }
}

/// A study of the tiny model.
fn study(folder: &Path) -> PathBuf {
    let tiny = cruxscope_needs::root().join("tests/fixtures/tiny");
    let settings = InterpretSettings {
        model: tiny.join("model"),
        traces: TraceSettings {
            traces: tiny.join("traces.jsonl"),
            annotations: tiny.join("annotations.jsonl"),
            definition: Definition::Paper,
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: None,
            max_tokens: None,
        },
        out: folder.to_owned(),
        device: "cpu".into(),
        weights: WeightsChoice::Resident,
        device_memory: None,
        simulate_activations: false,
        channels: false,
        texts: true,
        title: None,
    };
    PlannedRun::new(settings, &mut Silent).unwrap().run(&mut Silent).unwrap();
    folder.to_owned()
}

#[test]
fn a_stopped_validation_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = settings(study(&folder.path().join("whole")));
    let found = validate(&whole, &mut Silent).unwrap();
    assert_eq!(found.components.len(), 21);

    let stopped = settings(study(&folder.path().join("stopped")));
    let partial = stopped.study.join("validation.partial.jsonl");
    let mut watch = Watch { measured: 0, stop_after: 2 };
    assert!(validate(&stopped, &mut watch).unwrap_err().to_string().contains("stopped on request"));
    let lines = std::fs::read_to_string(&partial).unwrap();
    assert_eq!(lines.lines().count(), 1 + 2 * 7, "what was made of what, and two layers");
    // A kill in the middle of a line: the layer it belongs to is measured again.
    std::fs::write(&partial, &lines[..lines.len() - 20]).unwrap();
    let mut watch = Watch {
        measured: 0,
        stop_after: usize::MAX,
    };
    validate(&stopped, &mut watch).unwrap();
    assert_eq!(watch.measured, 2, "one layer was kept");
    assert!(!partial.exists());
    let bytes = |settings: &ValidateSettings| std::fs::read(settings.study.join("validation.json")).unwrap();
    assert_eq!(bytes(&whole), bytes(&stopped));
}

#[test]
fn another_device_finds_the_same_damage() {
    let folder = tempfile::tempdir().unwrap();
    let on = |device: &str| {
        let settings = ValidateSettings {
            device: device.into(),
            ..settings(study(&folder.path().join(device)))
        };
        validate(&settings, &mut Silent).unwrap()
    };
    let (expected, found) = (on("cpu"), on("flex"));
    assert!((found.perplexity / expected.perplexity - 1.0).abs() < 1e-4);
    for (expected, found) in expected.components.iter().zip(&found.components) {
        assert_eq!(expected.component, found.component);
        let difference = (found.divergence - expected.divergence).abs();
        assert!(difference < 1e-3 * expected.divergence + 1e-7, "{}: {found:?} {expected:?}", found.component);
    }
}

#[test]
fn divergence_and_perplexity_agree_with_plain_loops() {
    let folder = tempfile::tempdir().unwrap();
    agrees_with_plain_loops(folder.path(), settings(study(&folder.path().join("study"))));
}

#[test]
fn a_method_that_looks_at_inputs_is_calibrated_on_other_text_than_it_is_measured_on() {
    let folder = tempfile::tempdir().unwrap();
    let rounding = settings(study(&folder.path().join("study")));
    let calibration = Calibration {
        source: WindowSource::Traces {
            path: cruxscope_needs::root().join("tests/fixtures/tiny/traces.jsonl"),
            length: 17,
        },
        windows: Some(5),
        seed: Some(3),
    };
    agrees_with_plain_loops(
        folder.path(),
        ValidateSettings {
            treatment: MethodConfig::Gptq(GptqSettings::new(Bits::new(3).unwrap(), GroupSize::new(16).unwrap())),
            calibration: Some(calibration),
            ..rounding
        },
    );
}

/// One component, by a model on disk and sums in float64 over whole distributions.
fn agrees_with_plain_loops(folder: &Path, settings: ValidateSettings) {
    let found = validate(&settings, &mut Silent).unwrap();
    let out = folder.join("only");
    let compressed = CompressSettings {
        model: settings.model.clone(),
        out: out.clone(),
        recipe: Recipe::of(settings.treatment.clone(), Some("2_gate"), None),
        calibration: settings.calibration.clone(),
        stored_as: StoredAs::Float32,
        packed: None,
        basis: Basis::Original,
    };
    compress(&compressed, &mut Silent).unwrap();
    let log_probabilities = |model: &Path, window: &[u32]| -> Vec<Vec<f64>> {
        let decoder = Decoder::new(Arc::new(Checkpoint::open(model).unwrap()), ReferenceKernels, Residence::Resident).unwrap();
        let hidden = block::run(&decoder, window).unwrap();
        let parts = head::logits(&decoder, &hidden).unwrap();
        let logits = decoder.kernels().download(&parts[0]).unwrap();
        let row = |row: &[f32]| {
            let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
            row.iter().map(|logit| f64::from(*logit) - sum.ln()).collect()
        };
        logits.chunks(logits.len() / window.len()).map(row).collect()
    };
    let windows = settings.text.read(&Checkpoint::open(&settings.model).unwrap()).unwrap();
    let (mut divergence, mut own_loss, mut loss, mut predictions) = (0.0, 0.0, 0.0, 0.0);
    for window in &windows {
        let (own, other) = (log_probabilities(&settings.model, window), log_probabilities(&out, window));
        for ((own, other), next) in own.iter().zip(&other).zip(&window[1..]) {
            divergence += own.iter().zip(other).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            own_loss -= own[*next as usize];
            loss -= other[*next as usize];
            predictions += 1.0;
        }
    }
    let damage = found.components.iter().find(|damage| damage.component == "2_gate").unwrap();
    let near = |name: &str, found: f64, expected: f64| {
        println!("{name}: {found} and {expected}");
        assert!((found / expected - 1.0).abs() < 1e-3, "{name}: {found} and {expected}");
    };
    near("divergence", damage.divergence, divergence / predictions);
    near("perplexity", damage.perplexity, f64::exp(loss / predictions));
    near("perplexity before", found.perplexity, f64::exp(own_loss / predictions));
}
