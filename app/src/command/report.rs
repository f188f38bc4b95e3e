//! `cruxscope report`: how a folder was compressed, again.

use std::path::PathBuf;

use clap::Args;
use cruxscope_run::compress::{REPORT_FILE, report_of};

use super::compress::output::{components_table, scales_table};
use super::{Failure, print_json, print_text};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder that `cruxscope compress` wrote
    model: PathBuf,
    /// Only AWQ's scales, ranked among each module (paper, Appendix M)
    #[arg(long)]
    scales: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = arguments.model.display();
    let report = report_of(&arguments.model).ok_or_else(|| {
        Failure::mistake(format!(
            "{folder} has no {REPORT_FILE} that can be read: it was not written by `cruxscope compress`"
        ))
    })?;
    if arguments.json {
        return print_json(&report);
    }
    let scales = scales_table(&report);
    if arguments.scales {
        let scales = scales.ok_or_else(|| Failure::mistake(format!("{folder} was not compressed by AWQ, so it has no scales")))?;
        return print_text(&scales);
    }
    let packed = report.packed.as_deref().map_or_else(String::new, |layout| format!(", packed for {layout}"));
    print_text(&format!("{} by {}, {} basis{packed}", report.source, report.program, report.basis.name()))?;
    print_text(&components_table(&report))
}
