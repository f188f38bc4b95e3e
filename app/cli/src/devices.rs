//! `cruxscope devices`: what this machine can compute on, and why the rest is missing.

use clap::Args;
use cruxscope_model::device;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{print_json, print_text};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let devices = device::list();
    if arguments.json {
        let entries: Vec<_> = devices
            .iter()
            .map(|entry| json!({"name": entry.name, "description": entry.description, "available": entry.missing.is_none(), "missing": entry.missing}))
            .collect();
        return print_json(&entries);
    }
    let lines: Vec<String> = devices
        .iter()
        .map(|entry| match &entry.missing {
            None => format!("{:<10} {}", entry.name, entry.description),
            Some(why) => format!("{:<10} not available: {why}", entry.name),
        })
        .collect();
    print_text(&lines.join("\n"))
}
