//! The flags of calibration text.

use std::path::PathBuf;

use clap::Args;
use cruxscope_run::windows::{Calibration, WindowSource};

use crate::numbers::{MOST, MOST_TOKENS, whole};

#[derive(Clone, Debug, Args)]
#[group(id = "calibration_source", multiple = true)]
pub struct CalibrationArguments {
    /// Calibration: a safetensors file with arrays [windows, length] of token ids
    #[arg(long, visible_alias = "tokens", value_name = "FILE.safetensors", conflicts_with_all = ["calibration_text", "calibration_traces"])]
    pub calibration_tokens: Option<PathBuf>,
    /// Only this array of the file
    #[arg(long, visible_alias = "array", value_name = "NAME", requires = "calibration_tokens")]
    pub calibration_array: Option<String>,
    /// Calibration: plain text
    #[arg(long, visible_alias = "text", value_name = "FILE", conflicts_with = "calibration_traces")]
    pub calibration_text: Option<PathBuf>,
    /// Calibration: traces, JSON lines with prompt and output (or token ids), plain or gzipped
    #[arg(long, visible_alias = "traces", value_name = "FILE.jsonl")]
    pub calibration_traces: Option<PathBuf>,
    /// Tokens of a calibration sequence cut from text or traces
    #[arg(long = "sequence-length", alias = "length", value_name = "N", default_value_t = 512, value_parser = whole::<usize>(2, MOST_TOKENS))]
    pub length: usize,
    /// Maximum number of calibration sequences
    #[arg(long = "calibration-samples", alias = "windows", value_name = "N", value_parser = whole::<usize>(1, MOST))]
    pub windows: Option<usize>,
    /// Draw the calibration sequences from the whole text by this seed [default: the first ones]
    #[arg(long)]
    pub seed: Option<u64>,
}

impl CalibrationArguments {
    /// The text, if one is given.
    pub fn calibration(&self) -> Option<Calibration> {
        let (path, length) = (PathBuf::clone, self.length);
        let source = match (&self.calibration_tokens, &self.calibration_text, &self.calibration_traces) {
            (Some(file), _, _) => WindowSource::Tokens {
                path: path(file),
                array: self.calibration_array.clone(),
            },
            (_, Some(file), _) => WindowSource::Text { path: path(file), length },
            (_, _, Some(file)) => WindowSource::Traces { path: path(file), length },
            _ => return None,
        };
        Some(Calibration {
            source,
            windows: self.windows,
            seed: self.seed,
        })
    }
}
