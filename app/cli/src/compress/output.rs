//! The flags of what is written, and the tables that say what it will be and what it was.

use clap::{Args, ValueEnum};
use cruxscope_checkpoint::gguf_writer::{GgufNumbers, GgufSummary};
use cruxscope_checkpoint::packed::{Layout, ZeroFormat};
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_run::compress::{Basis, CompressPlan, CompressionReport};
use cruxscope_run::machine::{format_bytes, format_duration};

use crate::failure::Failure;

#[derive(Clone, Debug, Args)]
pub struct OutputArguments {
    /// AWQ: whether its scales are folded back, so that activations keep the original basis, or stay folded as engines load them
    #[arg(long, value_enum, default_value_t)]
    basis: BasisFlag,
    /// How numbers are stored
    #[arg(long, value_enum, default_value_t)]
    dtype: StoredFlag,
    /// Write codes in a layout that inference engines load, instead of the numbers they stand for
    #[arg(long, value_enum)]
    packed: Option<PackedFlag>,
    /// A Hugging Face folder, or one GGUF file of a Llama, Qwen2 or Qwen3
    #[arg(long, value_enum, default_value_t)]
    format: FormatFlag,
    /// How a GGUF file stores matrices; without --method or --recipe the model's own, rounded once
    #[arg(long, value_enum, required_if_eq("format", "gguf"), conflicts_with_all = ["packed", "dtype"])]
    gguf_type: Option<GgufFlag>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FormatFlag {
    /// For transformers, vLLM and this program
    #[default]
    Folder,
    /// For llama.cpp and this program
    Gguf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GgufFlag {
    #[value(name = "q4_0", alias = "Q4_0")]
    Q4_0,
    #[value(name = "q4_1", alias = "Q4_1")]
    Q4_1,
    #[value(name = "q5_0", alias = "Q5_0")]
    Q5_0,
    #[value(name = "q5_1", alias = "Q5_1")]
    Q5_1,
    #[value(name = "q8_0", alias = "Q8_0")]
    Q8_0,
    #[value(alias = "F16")]
    F16,
    #[value(alias = "BF16")]
    Bf16,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum BasisFlag {
    /// Activations comparable with the source's
    #[default]
    Original,
    /// As inference engines load it
    Folded,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum StoredFlag {
    /// 16 bits with float32's range, as most checkpoints are stored
    Bf16,
    /// 16 bits, half precision
    F16,
    /// 32 bits: no further rounding
    #[default]
    F32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PackedFlag {
    /// AutoAWQ's GEMM layout, 4 bits
    Awq,
    /// GPTQ's layout, zeros less one, as vLLM expects it
    Gptq,
    /// GPTQ's layout, zeros as they are
    GptqV2,
    /// compressed-tensors' packed words, 2 to 8 bits (vLLM runs 4 and 8), several schemes in one checkpoint; scales as --dtype says
    CompressedTensors,
}

impl OutputArguments {
    pub fn basis(&self) -> Basis {
        match self.basis {
            BasisFlag::Original => Basis::Original,
            BasisFlag::Folded => Basis::Folded,
        }
    }

    pub fn stored_as(&self) -> StoredAs {
        match self.dtype {
            StoredFlag::Bf16 => StoredAs::BFloat16,
            StoredFlag::F16 => StoredAs::Float16,
            StoredFlag::F32 => StoredAs::Float32,
        }
    }

    /// How a GGUF file stores matrices, where one is to be written.
    pub fn gguf(&self) -> Result<Option<GgufNumbers>, Failure> {
        let numbers = self.gguf_type.map(|numbers| match numbers {
            GgufFlag::Q4_0 => GgufNumbers::Q4_0,
            GgufFlag::Q4_1 => GgufNumbers::Q4_1,
            GgufFlag::Q5_0 => GgufNumbers::Q5_0,
            GgufFlag::Q5_1 => GgufNumbers::Q5_1,
            GgufFlag::Q8_0 => GgufNumbers::Q8_0,
            GgufFlag::F16 => GgufNumbers::F16,
            GgufFlag::Bf16 => GgufNumbers::Bf16,
        });
        if numbers.is_some() && self.format != FormatFlag::Gguf {
            return Err(Failure::mistake("--gguf-type is of a GGUF file: give --format gguf as well"));
        }
        Ok(numbers)
    }

    pub fn packed(&self) -> Option<Layout> {
        self.packed.map(|packed| match packed {
            PackedFlag::Awq => Layout::Awq,
            PackedFlag::Gptq => Layout::Gptq(ZeroFormat::V1),
            PackedFlag::GptqV2 => Layout::Gptq(ZeroFormat::V2),
            PackedFlag::CompressedTensors => Layout::CompressedTensors(self.stored_as().into()),
        })
    }
}

/// A plan in one line.
pub fn plan_line(plan: &CompressPlan) -> String {
    let device = if plan.device_memory > 0 {
        format!(", {} of the device's", format_bytes(plan.device_memory))
    } else {
        String::new()
    };
    let text = match plan.windows {
        0 => String::new(),
        windows => format!(", {windows} calibration windows of {} tokens in all", plan.tokens),
    };
    let time = plan.time.map_or_else(String::new, |time| format!(", about {}", format_duration(time)));
    format!(
        "{} of {} components{text}; about {} of memory{device}, {} of disk{time}",
        plan.treated,
        plan.components,
        format_bytes(plan.memory),
        format_bytes(plan.disk)
    )
}

/// What a GGUF file holds, in one line.
pub fn gguf_line(summary: &GgufSummary) -> String {
    let matrices = summary
        .matrices
        .iter()
        .map(|(numbers, count)| format!("{count} matrices as {}", numbers.name()));
    format!("{}; {}", matrices.collect::<Vec<_>>().join(", "), format_bytes(summary.bytes))
}

/// The treated components, a line each.
pub fn components_table(report: &CompressionReport) -> String {
    let mut lines = vec![format!(
        "{:<10} {:<18} {:>4} {:>9} {:>13} {:>13}",
        "component", "method", "bits", "zeros", "weight error", "output error"
    )];
    for component in report.components.iter().filter(|component| component.method.is_some()) {
        let bits = component.bits.map_or_else(String::new, |bits| bits.to_string());
        let output = component.output_error.map_or_else(String::new, |error| format!("{:.3} %", 100.0 * error));
        lines.push(format!(
            "{:<10} {:<18} {bits:>4} {:>7.2} % {:>11.3} % {output:>13}",
            component.component,
            component.method.as_deref().unwrap_or(""),
            100.0 * component.sparsity,
            100.0 * component.weight_error
        ));
    }
    let damped = report
        .components
        .iter()
        .filter(|component| component.damping.is_some_and(|damping| damping > 0.05))
        .count();
    if damped > 0 {
        lines.push(format!("{damped} components needed more damping than 0.05: calibrate with more text"));
    }
    let dead: usize = report.components.iter().map(|component| component.dead_inputs).sum();
    if dead > 0 {
        lines.push(format!(
            "{dead} inputs were zero at every token of the calibration text; what read them alone became zero"
        ));
    }
    lines.join("\n")
}

/// AWQ's scales, the largest first among each module: what the paper's Appendix M ranks.
pub fn scales_table(report: &CompressionReport) -> Option<String> {
    let mut scales: Vec<_> = report
        .components
        .iter()
        .filter_map(|component| Some((&component.component, component.scale?)))
        .collect();
    if scales.is_empty() {
        return None;
    }
    let module = |component: &str| component.split_once('_').map(|(_, module)| module.to_owned()).unwrap_or_default();
    scales.sort_by(|(a, left), (b, right)| module(a).cmp(&module(b)).then(right.largest.total_cmp(&left.largest)));
    let mut lines = vec![format!(
        "{:<10} {:>6} {:>10} {:>10} {:>10} {:>10}   AWQ scales before they are normalised",
        "component", "ratio", "smallest", "geometric", "mean", "largest"
    )];
    for (component, scale) in scales {
        lines.push(format!(
            "{component:<10} {:>6.2} {:>10.4} {:>10.4} {:>10.4} {:>10.4}",
            scale.ratio, scale.smallest, scale.geometric_mean, scale.mean, scale.largest
        ));
    }
    Some(lines.join("\n"))
}
