//! How long SparseGPT and ANY4 take on matrices of real sizes: `cargo bench -p cruxscope-compress`. Nothing is judged here,
//! so nothing fails on a busy machine.

#[path = "../tests/noise/mod.rs"]
mod noise;

use std::error::Error;
use std::time::Instant;

use cruxscope_compress::any::{AnySettings, any_quantize};
use cruxscope_compress::linear_algebra::gram;
use cruxscope_compress::prune::alpha::{TailStart, fit_tail, spectrum};
use cruxscope_compress::prune::{Pattern, SparseGptSettings, Sparsity, sparse_gpt};
use cruxscope_compress::quantize::{Bits, GroupSize};
use noise::noise;

fn main() -> Result<(), Box<dyn Error>> {
    println!("on {} threads", rayon::current_num_threads());
    a_small_models_matrices()?;
    long_rows_of_any4()
}

/// SmolLM2-135M: 30 layers; q and o 576², k and v 192 × 576, gate and up 1536 × 576, down 576 × 1536.
fn a_small_models_matrices() -> Result<(), Box<dyn Error>> {
    let settings = SparseGptSettings::new(Pattern::Unstructured(Sparsity::new(0.5)?));
    let mut total = 0.0;
    for (rows, columns, count) in [(576, 576, 2), (192, 576, 2), (1536, 576, 2), (576, 1536, 1)] {
        let hessian = gram(&noise(4096 * columns, 1), columns);
        let mut weights = noise(rows * columns, 2);
        let start = Instant::now();
        sparse_gpt(&mut weights, rows, columns, &hessian, &settings)?;
        let seconds = start.elapsed().as_secs_f64();
        total += 30.0 * seconds * f64::from(count);
        println!("SparseGPT {rows} by {columns}: {:.1} ms", seconds * 1e3);
    }
    println!("all 210 matrices of SmolLM2-135M: {total:.1} s");
    let (rows, columns) = (1536, 576);
    let start = Instant::now();
    let tail = fit_tail(&spectrum(&noise(rows * columns, 3), rows, columns)?, TailStart::Peak)?;
    println!(
        "spectrum and tail of {rows} by {columns}: {:.1} ms ({tail:?})",
        start.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

fn long_rows_of_any4() -> Result<(), Box<dyn Error>> {
    for (rows, columns) in [(256, 576), (64, 4096), (64, 14336)] {
        let (weights, means) = (noise(rows * columns, 4), noise(columns, 5));
        let settings = AnySettings::new(Bits::new(4)?, GroupSize::new(128)?);
        let start = Instant::now();
        any_quantize(&weights, rows, columns, Some(&means), &settings)?;
        println!(
            "ANY4 {rows} rows of {columns}: {:.2} ms a row",
            start.elapsed().as_secs_f64() / rows as f64 * 1e3
        );
    }
    Ok(())
}
