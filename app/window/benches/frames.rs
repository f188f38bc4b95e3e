//! How long the interface takes for a frame: panning and zooming a map of 4,096 by 14,336 cells, scrolling a trace of 30,000 tokens,
//! pointing around in the views of a model with 32 layers of up to 14,336 channels.
//!
//! `cargo bench -p cruxscope-window --bench frames` prints, for each, the time of the interface code alone (input, layout, shapes, no graphics
//! device) and, where a graphics device is there, of drawing the frame.

#![allow(clippy::unwrap_used)] // a benchmark that cannot be set up is one that stops

use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_selectors::ColourScale;
use cruxscope_study::test_data as samples;
use cruxscope_study::{
    Behaviour, COMPRESSION_FILE, ChannelMaps, Component, ComponentCompression, CompressionMap, Contributions, Degradation, FileDigest, InstanceContribution,
    InstanceEntry, Label, Manifest, ModelEntry, Module, ModuleDimensions, SENSITIVITY_FILE, SegmentCounts, Study, TraceSection, TraceText, VALIDATION_FILE,
    Validation, folder,
};
use cruxscope_theme::colour_map::ColourMap;
use cruxscope_window::heatmap::{LargeMap, gpu, show_large};
use cruxscope_window::{CruxscopeApp, Scale, StartupOptions};
use egui::{Event, Key, PointerButton, Pos2, Vec2, pos2, vec2};
use egui_kittest::Harness;

const ROWS: usize = 4_096;
const COLUMNS: usize = 14_336;
const FRAMES: usize = 240;
const SIZE: [f32; 2] = [1_440.0, 900.0];
const TOKENS: usize = 30_000;
const LAYERS: usize = 32;

/// A window that holds nothing but a map.
struct MapApp {
    map: Arc<LargeMap>,
}

impl eframe::App for MapApp {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        let scale = ColourScale::centred_over(Scale::SquareRoot, &[f64::from(self.map.largest())]);
        let rect = ui.max_rect();
        show_large(ui, egui::Id::unique("map"), rect, &self.map, scale, ColourMap::Net, true, None);
    }
}

/// Measures frames while something is done in each; prints the times.
fn measure<App: eframe::App>(name: &str, harness: &mut Harness<'_, App>, mut act: impl FnMut(&mut Harness<'_, App>, usize)) {
    let mut times = Vec::with_capacity(FRAMES);
    let mut drawn = Vec::new();
    for frame in 0..FRAMES {
        act(harness, frame);
        let begun = Instant::now();
        harness.step();
        times.push(begun.elapsed());
        if frame % 8 == 0 {
            let begun = Instant::now();
            if harness.render().is_ok() {
                drawn.push(begun.elapsed());
            }
        }
    }
    let line = |what: &str, times: &mut Vec<Duration>| {
        times.sort_unstable();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let mean = times.iter().map(|time| milliseconds(*time)).sum::<f64>() / times.len() as f64;
        let at = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share) as usize]);
        println!(
            "{name:<34} {what:<28} mean {mean:>7.2} ms  median {:>7.2}  95 % {:>7.2}  longest {:>7.2}",
            at(0.5),
            at(0.95),
            at(1.0)
        );
    };
    line("interface code", &mut times);
    if drawn.is_empty() {
        println!("{name:<34} drawing: skipped, no graphics device");
    } else {
        line("drawing, read back", &mut drawn);
    }
}

fn map() {
    let begun = Instant::now();
    let values = (0..ROWS * COLUMNS).map(|index| {
        let mixed = (index.wrapping_mul(2_654_435_761) >> 7) % 1_000;
        (mixed as f32 - 500.0) / if mixed == 7 { 5.0 } else { 5_000.0 }
    });
    let map = Arc::new(LargeMap::new(ROWS, &values.collect::<Vec<f32>>()));
    println!(
        "map of {ROWS} by {COLUMNS} cells with its coarser copies: made in {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    let mut harness = Harness::builder().with_size(SIZE).with_max_steps(8).wgpu().build_eframe(move |cc| {
        if let Some(state) = &cc.wgpu_render_state {
            gpu::install(state);
        }
        MapApp { map }
    });
    let centre = pos2(SIZE[0] / 2.0, SIZE[1] / 2.0);
    let press = |harness: &mut Harness<'_, MapApp>, place: Pos2, pressed| {
        harness.event(Event::PointerMoved(place));
        harness.event(Event::PointerButton {
            pos: place,
            button: PointerButton::Primary,
            pressed,
            modifiers: egui::Modifiers::NONE,
        });
    };
    measure("zooming the map", &mut harness, |harness, frame| {
        harness.event(Event::PointerMoved(centre));
        harness.event(Event::Zoom(if frame < FRAMES / 2 { 1.03 } else { 1.0 / 1.03 }));
    });
    for _ in 0..40 {
        harness.event(Event::PointerMoved(centre));
        harness.event(Event::Zoom(1.1));
        harness.step();
    }
    press(&mut harness, centre, true);
    harness.step();
    measure("panning the map", &mut harness, |harness, frame| {
        let turn = frame as f32 * 0.08;
        harness.event(Event::PointerMoved(centre + vec2(turn.cos(), turn.sin()) * 400.0));
    });
}

/// A study of one instance, whose trace is long.
fn long_trace(place: &std::path::Path) {
    let mut output = String::new();
    let mut sections = Vec::new();
    let labels = [
        Label::Deduction,
        Label::Backtracking,
        Label::UncertaintyEstimation,
        Label::ExampleTesting,
        Label::AddingKnowledge,
    ];
    for paragraph in 0..TOKENS / 30 {
        let start = output.len();
        output.push_str(&format!(
            "Step {paragraph}: suppose that the sum of the first {paragraph} terms is even; then the next term must be odd, wait, let me check that again. "
        ));
        sections.push(TraceSection {
            label: labels[paragraph % labels.len()],
            bytes: Some([start, output.len() - 1]),
            tokens: Some([30 * paragraph, 30 * paragraph + 29]),
            dropped: None,
            text: None,
        });
        if paragraph % 3 == 2 {
            output.push('\n');
        }
    }
    let trace = TraceText {
        id: "long".into(),
        prompt: "Find the sum.\n<think>\n".into(),
        output,
        tokens: TOKENS,
        sections,
        score: None,
    };
    let (entry, bytes) = trace.to_file(0).unwrap();
    let mut study = study(2, [8; 7]);
    study.manifest.instances[0].id = "long".into();
    study.manifest.traces = vec![entry];
    folder::save(&study, place).unwrap();
    std::fs::write(place.join("trace-0001.json"), bytes).unwrap();
}

/// A study of one instance, of a model of such a size.
fn study(layers: usize, outputs: [usize; 7]) -> Study {
    let manifest = Manifest {
        schema: 1,
        title: "Large study".into(),
        model: ModelEntry {
            name: "none".into(),
            layers,
            modules: outputs.map(|outputs| ModuleDimensions { outputs, inputs: 8 }).to_vec(),
            ..ModelEntry::default()
        },
        instances: vec![InstanceEntry {
            id: "long".into(),
            tokens: TOKENS,
            segments: [1, 1, 1, 1],
            ..InstanceEntry::default()
        }],
        segments: [SegmentCounts {
            instances: 1,
            used: 1,
            dropped: 0,
        }; 4],
        ..Manifest::default()
    };
    let values = (0..Behaviour::ALL.len() * layers * Module::ALL.len()).map(|index| 0.1 + ((index * 7919) % 101) as f64);
    let contributions = Contributions {
        instances: vec![InstanceContribution {
            values: values.collect(),
            weights: [1.0; 4],
        }],
    };
    Study::new(manifest, contributions, None).unwrap()
}

/// The same with channels, a validation and what compression did.
fn everything(place: &std::path::Path) {
    let channels = [4_096, 1_024, 1_024, 4_096, 14_336, 14_336, 4_096];
    let mut study = study(LAYERS, channels);
    let values = |width: &usize| (0..LAYERS * width).map(|index| ((index * 7919) % 9973) as f32 / 9973.0 - 0.4).collect();
    study.channels = Some(ChannelMaps {
        channels,
        values: vec![channels.iter().map(values).collect(); 4],
        parts: Vec::new(),
    });
    folder::save(&study, place).unwrap();
    let validation = Validation {
        program: "cruxscope".into(),
        treatment: serde_json::Value::Null,
        data: FileDigest::default(),
        model_files: vec![],
        predictions: 1_000,
        run: None,
        perplexity: 4.5,
        components: Component::all(LAYERS)
            .map(|component| Degradation {
                component: component.to_string(),
                divergence: 0.001 * (1 + (component.index() * 29) % 223) as f64,
                perplexity: 5.0,
            })
            .collect(),
    };
    std::fs::write(place.join(VALIDATION_FILE), serde_json::to_vec(&validation).unwrap()).unwrap();
    let compression = CompressionMap {
        components: Component::all(LAYERS)
            .map(|component| ComponentCompression {
                component: component.to_string(),
                method: "rtn".into(),
                storage: "packed for gptq".into(),
                bits: Some(3.0),
                weight_error: Some(0.001 * (1 + (component.index() * 13) % 223) as f64),
                ..ComponentCompression::default()
            })
            .collect(),
        ..CompressionMap::default()
    };
    std::fs::write(place.join(COMPRESSION_FILE), compression.to_json().unwrap()).unwrap();
}

/// A window with a study, once it is open and the parts of its view are read.
fn window(place: &std::path::Path, view: &str) -> Harness<'static, CruxscopeApp> {
    let options = StartupOptions {
        view: Some(view.into()),
        studies: vec![place.to_string_lossy().into_owned()],
        ..StartupOptions::default()
    };
    let mut harness = Harness::builder()
        .with_size(SIZE)
        .with_max_steps(8)
        .wgpu()
        .build_eframe(move |cc| CruxscopeApp::new(cc, options));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
    harness
}

fn views() {
    let place = tempfile::tempdir().unwrap();
    everything(place.path());
    let centre = pos2(SIZE[0] * 0.45, SIZE[1] * 0.3);
    for view in ["channels", "compression", "validation"] {
        let mut harness = window(place.path(), view);
        measure(&format!("pointing around in {view}"), &mut harness, |harness, frame| {
            let turn = frame as f32 * 0.08;
            harness.event(Event::PointerMoved(centre + vec2(turn.cos() * 300.0, turn.sin() * 90.0)));
            // Every tenth frame another component.
            if frame % 10 == 0 {
                harness.key_press(if frame < FRAMES / 2 { Key::ArrowLeft } else { Key::ArrowRight });
            }
        });
    }
}

fn trace() {
    let place = tempfile::tempdir().unwrap();
    long_trace(place.path());
    let mut harness = window(place.path(), "trace");
    let centre = pos2(SIZE[0] * 0.45, SIZE[1] / 2.0);
    measure("scrolling a trace of 30,000 tokens", &mut harness, |harness, _| {
        harness.event(Event::PointerMoved(centre));
        harness.event(Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            delta: Vec2::new(0.0, -120.0),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers: egui::Modifiers::NONE,
        });
    });
}

/// Another target in every frame, over a sketch of the size of an 8B model's: 32 layers, 8 formats, 48 windows of 4 draws, 4 scopes.
fn budget() {
    let place = tempfile::tempdir().unwrap();
    folder::save(&samples::study(LAYERS), place.path()).unwrap();
    let sketch = samples::sketched(LAYERS, &[2, 3, 4, 5, 6, 7, 8, 9], 48, 4);
    std::fs::write(place.path().join(SENSITIVITY_FILE), sketch.to_bytes().unwrap()).unwrap();
    let mut harness = window(place.path(), "budget");
    let centre = pos2(SIZE[0] * 0.65, SIZE[1] * 0.3);
    harness.event(Event::PointerMoved(centre));
    harness.event(Event::PointerButton {
        pos: centre,
        button: PointerButton::Primary,
        pressed: true,
        modifiers: egui::Modifiers::NONE,
    });
    harness.step();
    let mut before = harness.state().state().budget.target;
    let mut changed = 0;
    measure("choosing another target", &mut harness, |harness, frame| {
        let now = harness.state().state().budget.target;
        changed += usize::from(now != before);
        before = now;
        harness.event(Event::PointerMoved(centre + vec2((frame as f32 * 0.07).sin() * 120.0, 0.0)));
    });
    assert!(changed > FRAMES / 2, "the target changed in {changed} of {FRAMES} frames only");
}

fn main() {
    budget();
    map();
    trace();
    views();
}
