//! How long the interface takes for a frame: panning and zooming a map of 4,096 by 14,336 cells, scrolling a trace of 30,000 tokens.
//!
//! `cargo bench -p cruxscope --bench frames` prints, for each, the time of the interface code alone (input, layout, shapes, no graphics
//! device) and, where a graphics device is there, of drawing the frame.

#![allow(clippy::unwrap_used)] // a benchmark that cannot be set up is one that stops

use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope::heatmap::{LargeMap, gpu, show_large};
use cruxscope::selectors::ColourScale;
use cruxscope::theme::colour_map::ColourMap;
use cruxscope::{CruxscopeApp, Scale, StartupOptions};
use cruxscope_study::{
    Behaviour, Contributions, InstanceContribution, InstanceEntry, Label, Manifest, ModelEntry, Module, ModuleDimensions, SegmentCounts, Study, TraceSection,
    TraceText, folder,
};
use egui::{Event, PointerButton, Pos2, Vec2, pos2, vec2};
use egui_kittest::Harness;

const ROWS: usize = 4_096;
const COLUMNS: usize = 14_336;
const FRAMES: usize = 240;
const SIZE: [f32; 2] = [1_440.0, 900.0];
const TOKENS: usize = 30_000;

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
    let map = Arc::new(LargeMap::new(ROWS, values.collect()));
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
fn study(place: &std::path::Path) {
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
    let layers = 2;
    let manifest = Manifest {
        schema: 1,
        title: "Long trace".into(),
        model: ModelEntry {
            name: "none".into(),
            layers,
            modules: vec![ModuleDimensions { outputs: 8, inputs: 8 }; Module::ALL.len()],
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
        traces: vec![entry],
        ..Manifest::default()
    };
    let contributions = Contributions {
        instances: vec![InstanceContribution {
            values: vec![0.1; Behaviour::ALL.len() * layers * Module::ALL.len()],
            weights: [1.0; 4],
        }],
    };
    folder::save(&Study::new(manifest, contributions, None).unwrap(), place).unwrap();
    std::fs::write(place.join("trace-0001.json"), bytes).unwrap();
}

fn trace() {
    let place = tempfile::tempdir().unwrap();
    study(place.path());
    let options = StartupOptions {
        view: Some("trace".into()),
        studies: vec![place.path().to_string_lossy().into_owned()],
        ..StartupOptions::default()
    };
    let mut harness = Harness::builder()
        .with_size(SIZE)
        .with_max_steps(8)
        .wgpu()
        .build_eframe(move |cc| CruxscopeApp::new(cc, options));
    let begun = Instant::now();
    for _ in 0..300 {
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
        if begun.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
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

fn main() {
    map();
    trace();
}
