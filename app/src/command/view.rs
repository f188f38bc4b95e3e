//! `cruxscope view`: the window.

use std::path::PathBuf;

use clap::Args;
use cruxscope::{StartupOptions, open_window};

use super::Failure;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Studies, results and collections to open: folders, or study.json, results.json and collection.json files
    #[arg(value_name = "STUDY")]
    studies: Vec<PathBuf>,
    #[command(flatten)]
    look: Look,
}

/// How the window starts; the same keys stand in a link to the web page.
#[derive(Clone, Debug, Default, Args)]
pub struct Look {
    /// dark, light or system
    #[arg(long)]
    theme: Option<String>,
    /// linear, square-root, log or rank
    #[arg(long)]
    scale: Option<String>,
    /// The behaviour in focus, such as backtracking
    #[arg(long)]
    behaviour: Option<String>,
    /// The selected component, such as 30_gate
    #[arg(long)]
    component: Option<String>,
    /// The view to start with, such as benchmarks
    #[arg(long)]
    view: Option<String>,
    /// What a link says that was copied in a window or on a page: everything that is seen there
    #[arg(long, value_name = "LINK")]
    link: Option<String>,
}

impl Look {
    /// The options of the window.
    pub fn options(&self) -> Result<StartupOptions, Failure> {
        let pairs = [
            ("theme", &self.theme),
            ("scale", &self.scale),
            ("behaviour", &self.behaviour),
            ("component", &self.component),
            ("view", &self.view),
        ];
        let linked = self.link.as_deref().map(cruxscope::link::read).unwrap_or_default();
        let linked = linked.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let flags = pairs.into_iter().filter_map(|(key, value)| value.as_deref().map(|value| (key, value)));
        let (options, complaints) = StartupOptions::from_pairs(linked.chain(flags));
        if complaints.is_empty() {
            Ok(options)
        } else {
            Err(Failure::mistake(complaints.join("; ")))
        }
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut options = arguments.look.options()?;
    for path in &arguments.studies {
        // Said here, before a window opens, for a person at a terminal.
        cruxscope::check(path)?;
        options.studies.push(path.to_string_lossy().into_owned());
    }
    open_window(options, Vec::new()).map_err(Failure::failed)
}
