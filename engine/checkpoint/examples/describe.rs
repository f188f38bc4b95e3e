//! What a model's files hold: `cargo run -p cruxscope-checkpoint --example describe -- MODEL`.

use std::path::PathBuf;

use cruxscope_checkpoint::{Checkpoint, CheckpointError};

fn main() -> Result<(), CheckpointError> {
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny/model");
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from(tiny), PathBuf::from);
    let checkpoint = Checkpoint::open(&path)?;
    checkpoint.check()?;
    let config = checkpoint.config();
    println!("{}: {} layers of width {}", checkpoint.name(), config.layers, config.hidden);
    for (name, dtype) in checkpoint.tensor_types() {
        println!("{name}: {dtype}");
    }
    let query = &checkpoint.layer(0)?.projections[0].weight;
    println!("the first query projection is [{}, {}]", query.rows, query.columns);
    Ok(())
}
