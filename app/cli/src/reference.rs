//! `cruxscope completions` and `cruxscope man`: made from the definitions of the flags themselves.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::print_text;

#[derive(Debug, Args)]
pub struct CompletionArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// The folder, made if need be
    #[arg(value_name = "DIR")]
    out: PathBuf,
}

/// Prints a completion script.
pub fn completions(arguments: &CompletionArguments, command: &mut clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "cruxscope", &mut script);
    print_text(String::from_utf8_lossy(&script).trim_end())
}

/// Writes the manual pages.
pub fn man(arguments: &ManArguments, command: clap::Command) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(&arguments.out).and_then(|()| clap_mangen::generate_to(command, &arguments.out));
    written.map_err(|error| Failure::failed(anyhow::Error::new(error).context(format!("could not write manual pages into {}", arguments.out.display()))))
}
