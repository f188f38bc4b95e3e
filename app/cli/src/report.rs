//! `cruxscope compression-report`: how a folder was compressed, again.

use std::path::PathBuf;

use clap::Args;
use cruxscope_run::compress::{REPORT_FILE, report_of};
use cruxscope_study::{COMPRESSION_FILE, CompressionMap, folder};

use crate::compress::output::{components_table, scales_table};
use crate::failure::Failure;
use crate::output::{print_json, print_text, status};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder that `cruxscope compress` wrote
    model: PathBuf,
    /// Only AWQ's scales, ranked among each module (paper, Appendix M)
    #[arg(long)]
    scales: bool,
    /// Put what was done to each matrix into a study's folder, where the window shows it; `interpret` does so by itself
    #[arg(long, value_name = "STUDY")]
    study: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name = arguments.model.display();
    let report = report_of(&arguments.model).ok_or_else(|| {
        Failure::mistake(format!(
            "{name} has no {REPORT_FILE} that can be read: it was not written by `cruxscope compress`"
        ))
    })?;
    if let Some(place) = &arguments.study {
        let study = folder::load_without_channels(place)?;
        let model = arguments.model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let map = report
            .map(&model)
            .ok_or_else(|| Failure::mistake(format!("{} says nothing of single matrices", arguments.model.display())))?;
        let bytes = map.to_json()?;
        // Refused here rather than by the window later.
        CompressionMap::from_json(&bytes, study.manifest.model.layers)?;
        folder::write_atomically(&place.join(COMPRESSION_FILE), &bytes)?;
        status!("{} written", place.join(COMPRESSION_FILE).display());
    }
    if arguments.json {
        return print_json(&report);
    }
    let scales = scales_table(&report);
    if arguments.scales {
        let scales = scales.ok_or_else(|| Failure::mistake(format!("{name} was not compressed by AWQ, so it has no scales")))?;
        return print_text(&scales);
    }
    let packed = report.packed.as_deref().map_or_else(String::new, |layout| format!(", packed for {layout}"));
    print_text(&format!("{} by {}, {} basis{packed}", report.source, report.program, report.basis.name()))?;
    print_text(&components_table(&report))
}
