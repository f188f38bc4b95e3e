//! Importance of a tiny model's matrices for two segments: `cargo run -p cruxscope-interpret --example importance`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::Layout;
use cruxscope_interpret::attribution::{Steering, components, contribution};
use cruxscope_interpret::pass::{Instance, interpret};
use cruxscope_interpret::segment::Segment;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_study::{Behaviour, Definition, Ranks};

fn main() -> Result<(), Box<dyn Error>> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny/model");
    let decoder = Decoder::new(Arc::new(Checkpoint::open(&model)?), CpuKernels, Residence::Resident)?;
    let segment = |behaviour, start, last| Segment { behaviour, start, last };
    let instance = Instance {
        id: "example".into(),
        ids: (0..48).map(|token| token * 37 % 512).collect(),
        segments: vec![segment(Behaviour::Backtracking, 12, 20), segment(Behaviour::AddingKnowledge, 24, 40)],
    };
    let (layout, definition) = (Layout::of(decoder.config()), Definition::Paper);
    let parts = interpret(&decoder, &[instance], definition, &mut |_| true)?;
    let mut steering = Steering::new(layout.clone(), definition);
    parts.iter().try_for_each(|part| steering.add(part))?;
    let steering = steering.finish();
    let units = parts.iter().map(|part| contribution(part, &steering, &layout, definition)).collect();
    let importance = components(units, &layout).0.importance(layout.layers())?;
    let relative = importance.relative_of(Behaviour::Backtracking);
    for component in Ranks::of(&relative).order().iter().take(3) {
        println!("{component}: {:.1} %", 100.0 * relative[component.index()]);
    }
    Ok(())
}
