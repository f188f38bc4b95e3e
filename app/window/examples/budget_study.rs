//! Writes a study with a sketch of the size of an 8B model's (32 layers, 8 formats, 48 windows of 4 draws, 4 scopes): what
//! `tests/scripts/budget_speed.py` opens in a browser. Its numbers mean nothing.
//!
//!     cargo run --release -p cruxscope-window --example budget_study DIR

use std::error::Error;
use std::path::PathBuf;

use cruxscope_study::{SENSITIVITY_FILE, folder, test_data};

const LAYERS: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let place = PathBuf::from(std::env::args_os().nth(1).ok_or("give a folder for the study")?);
    folder::save(&test_data::study(LAYERS), &place)?;
    let sketch = test_data::sketched(LAYERS, &[2, 3, 4, 5, 6, 7, 8, 9], 48, 4);
    folder::write_atomically(&place.join(SENSITIVITY_FILE), &sketch.to_bytes()?)?;
    Ok(())
}
