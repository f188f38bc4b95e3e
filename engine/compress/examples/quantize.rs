//! One matrix by round-to-nearest and by GPTQ: `cargo run -p cruxscope-compress --example quantize`.

use cruxscope_checkpoint::Matrix;
use cruxscope_compress::CompressError;
use cruxscope_compress::evidence::{CalibrationStats, Statistics};
use cruxscope_compress::linear_algebra::gram;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::quantize::{Bits, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_statistics::SplitMix;

fn main() -> Result<(), CompressError> {
    let (rows, columns, tokens) = (64, 128, 512);
    let mut random = SplitMix::new(1);
    let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.share() as f32 - 0.5).collect() };
    let weight = Matrix {
        rows,
        columns,
        values: values(rows * columns),
    };
    let inputs = values(tokens * columns);
    // What methods draw on: 2/sequences XᵀX of the inputs, here of one sequence.
    let statistics = Statistics {
        hessian: gram(&inputs, columns).into_iter().map(|sum| 2.0 * sum).collect(),
        cross: None,
        means: vec![0.0; columns],
        mean_magnitudes: vec![0.25; columns],
        sequences: 1,
        tokens,
    };
    let (bits, group) = (Bits::new(3)?, GroupSize::new(64)?);
    for method in [
        MethodConfig::Rtn(GridSettings::new(Grid::GptqAsym, bits, group)),
        MethodConfig::Gptq(GptqSettings::new(bits, group)),
    ] {
        let compressed = method.apply(&weight, Some(&mut CalibrationStats::new(statistics.clone())), 0)?;
        println!("{}: output error {:.4}", method.name(), compressed.output_error.unwrap_or(f64::NAN));
    }
    Ok(())
}
