//! One kernel of the processors, once, on fixed inputs and one thread: what `tests/scripts/instructions.py` counts the instructions of.
//!
//! `cargo run --release -p cruxscope-compress --example one_kernel -- attention`; without a name it lists them.

#[path = "../tests/noise/mod.rs"]
mod noise;

use std::error::Error;
use std::hint::black_box;

use cruxscope_checkpoint::Activation;
use cruxscope_compress::linear_algebra::gram;
use cruxscope_compress::quantize::{Bits, GptqSettings, GroupSize, gptq};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::generation::GenerationKernels as _;
use cruxscope_model::kernels::{Heads, Kernels as _, SequenceSpan};
use noise::noise;

const NAMES: [&str; 7] = [
    "product",
    "product-backward",
    "attention",
    "attention-backward",
    "cross-entropy",
    "step",
    "gptq",
];

/// The work that is counted: instructions outside of this function are not. Never inlined, so that it has a name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(name) = std::env::args().nth(1) else {
        println!("{}", NAMES.join("\n"));
        return Ok(());
    };
    // Inside of a pool of one thread everything is done by that thread, which is the one that is watched.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| run(&name))
}

/// Sizes of SmolLM2-135M: 576 wide, 1,536 inside, 9 heads of 64 with 3 of keys; 128 tokens.
fn run(name: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let kernels = CpuKernels;
    let (tokens, width, inside) = (128, 576, 1536);
    let matrix = |rows: usize, columns: usize, seed: u64| kernels.upload(rows, columns, noise(rows * columns, seed));
    let heads = Heads::plain(9, 3, 64);
    let runs = [SequenceSpan { position: 0, rows: tokens }];
    match name {
        "product" => {
            let (x, weight) = (matrix(tokens, width, 1), matrix(inside, width, 2));
            counted(|| kernels.linear(&x, &weight, None, None));
        }
        "product-backward" => {
            let (gradient, weight) = (matrix(tokens, inside, 1), matrix(inside, width, 2));
            counted(|| kernels.linear_backward(&gradient, &weight, None));
        }
        "attention" | "attention-backward" => {
            let (queries, keys, values) = (matrix(tokens, width, 1), matrix(tokens, 192, 2), matrix(tokens, 192, 3));
            if name == "attention" {
                counted(|| kernels.attention(heads, &queries, &keys, &values, None, &runs));
            } else {
                let (output, gradient) = (kernels.attention(heads, &queries, &keys, &values, None, &runs), matrix(tokens, width, 4));
                counted(|| kernels.attention_backward(heads, &queries, &keys, &values, None, &runs, &output, &gradient));
            }
        }
        "cross-entropy" => {
            let logits = vec![matrix(16, 49_152, 1)];
            let (gate, up) = (matrix(tokens, inside, 2), matrix(tokens, inside, 3));
            counted(|| {
                let losses = kernels.cross_entropy(logits, &[7; 16], &[1.0; 16]);
                (losses, kernels.gated(Activation::Silu, &gate, &up))
            })
            .0?;
        }
        "step" => {
            // Numbers that bfloat16 holds, as weights of most checkpoints are stored.
            let short = noise(inside * width, 2)
                .into_iter()
                .map(|value| f32::from_bits(value.to_bits() & 0xffff_0000))
                .collect();
            let (x, weight) = (matrix(1, width, 1), kernels.hold(inside, width, short));
            counted(|| kernels.project_step(&x, &[(&weight, None)]));
        }
        "gptq" => {
            let hessian = gram(&noise(512 * width, 1), width);
            let weight = noise(64 * width, 2);
            let settings = GptqSettings::new(Bits::new(4)?, GroupSize::new(64)?);
            counted(|| gptq(&weight, 64, width, &hessian, &settings))?;
        }
        other => return Err(format!("\"{other}\" is no kernel; known are {}", NAMES.join(", ")).into()),
    }
    Ok(())
}
