//! Builds the static page and serves it on this machine: one command from a checkout to an open study.
//!
//! The page is a folder that any static server can publish. This program is for whoever builds it; a reader of the page never
//! meets it.

mod budget;
mod plan;
mod program;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cruxscope_site::server::{Server, open_in_browser};

/// Builds the page of Cruxscope, and serves it.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page into a folder that any static server can publish
    Build {
        #[command(flatten)]
        site: SiteArguments,
        /// Record the size of this build as the one that later builds are compared with
        #[arg(long, conflicts_with = "dev")]
        record_size: bool,
    },
    /// Build the page and serve it to this machine, until ctrl-C
    Serve {
        #[command(flatten)]
        site: SiteArguments,
        /// Serve the folder as it is
        #[arg(long, conflicts_with_all = ["study", "dev"])]
        no_build: bool,
        /// The port; 0 takes any that is free
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// Whether to open the page in the browser
        #[arg(long, value_enum, default_value_t = Open::No)]
        open: Open,
    },
}

#[derive(Args)]
struct SiteArguments {
    /// The folder of the page [default: site, in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A study to put into the page; the first one given is opened [default: the studies that come with the program]
    #[arg(long, value_name = "DIR")]
    study: Vec<PathBuf>,
    /// Build the program of the page quickly rather than small
    #[arg(long)]
    dev: bool,
}

impl SiteArguments {
    fn plan(self) -> plan::Plan {
        let bundled = self.study.is_empty();
        plan::Plan {
            out: self.out.unwrap_or_else(|| program::target_folder().join("site")),
            studies: if bundled { plan::bundled() } else { self.study },
            dev: self.dev,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Open {
    Yes,
    No,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build { site, record_size } => {
            let plan = site.plan();
            let weight = plan::build(&plan)?;
            if record_size {
                budget::record(weight)?;
            } else if !plan.dev {
                budget::check(weight)?;
            }
            Ok(())
        }
        Command::Serve { site, no_build, port, open } => {
            let plan = site.plan();
            if !no_build {
                plan::build(&plan)?;
            }
            let server = Server::bind(&plan.out, port)?;
            eprintln!("The page is at {}, until ctrl-C", server.address());
            if open == Open::Yes && !open_in_browser(&server.address()) {
                eprintln!("no browser could be opened from here; the address above can be pasted into one");
            }
            server.run();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        super::Arguments::command().debug_assert();
    }
}
