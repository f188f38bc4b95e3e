//! `cruxscope view`: the window.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use cruxscope_window::{StartupOptions, link, open_window};

use crate::failure::Failure;
use crate::runs::EngineRunner;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Studies, results and collections to open: folders, or study.json, results.json and collection.json files, their addresses, or
    /// a link that was copied in a window or on a page [default: the miniature's studies, which the program carries]
    #[arg(value_name = "STUDY")]
    studies: Vec<PathBuf>,
    /// In the browser rather than in a window: this program serves the page that was installed with it, to this machine only
    #[arg(long)]
    browser: bool,
    /// Of --browser: the port; 0 takes any that is free
    #[arg(long, default_value_t = 0, requires = "browser")]
    port: u16,
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
        let linked = self.link.as_deref().map(link::read).unwrap_or_default();
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

/// What `cruxscope demo` computed, for those who have nothing of their own yet.
static MINIATURE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/miniature.tar.gz"));

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut look = arguments.look;
    let (links, places): (Vec<_>, Vec<_>) = arguments.studies.into_iter().partition(|path| path.to_str().is_some_and(link::is_link));
    for path in links {
        if look.link.replace(path.to_string_lossy().into_owned()).is_some() {
            return Err(Failure::mistake("only one link can be followed at a time"));
        }
    }
    let mut options = look.options()?;
    for path in &places {
        if let Some(address) = path.to_str().filter(|path| link::is_web(path)) {
            options.studies.push(address.to_owned());
            continue;
        }
        // Said here, before a window opens, for a person at a terminal.
        cruxscope_window::check(path)?;
        options.studies.push(path.to_string_lossy().into_owned());
    }
    let unpacked;
    if options.studies.is_empty() {
        unpacked = unpack()?;
        options.studies.push(unpacked.path().to_string_lossy().into_owned());
    }
    if arguments.browser {
        if let Some(address) = options.studies.iter().find(|place| link::is_web(place)) {
            return Err(Failure::mistake(format!(
                "{address} is an address: --browser shows what lies on this machine; open the address itself"
            )));
        }
        let places: Vec<PathBuf> = options.studies.iter().map(PathBuf::from).collect();
        // What is opened is the page's own; the rest of the look follows its address.
        let seen = StartupOptions {
            studies: Vec::new(),
            ..options
        };
        let seen = seen.to_pairs();
        let query = if seen.is_empty() { String::new() } else { link::text(&seen) };
        return crate::publish::serve(&places, arguments.port, &query);
    }
    open_window(options, Vec::new(), Some(Arc::new(EngineRunner)), crate::settings::remembered()).map_err(Failure::failed)
}

/// The miniature's studies in a folder that is removed with what is returned.
fn unpack() -> Result<tempfile::TempDir, Failure> {
    let unpack = || -> std::io::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        tar::Archive::new(flate2::read::GzDecoder::new(MINIATURE)).unpack(folder.path())?;
        Ok(folder)
    };
    unpack().map_err(|error| Failure::failed(anyhow::Error::new(error).context("could not unpack the studies that the program carries")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and bytes of what is in a folder.
    fn files(folder: &std::path::Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
        let mut found = std::collections::BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = PathBuf::from(path.file_name().unwrap());
            if path.is_dir() {
                found.extend(files(&path).into_iter().map(|(inner, bytes)| (name.join(inner), bytes)));
            } else {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
        found
    }

    #[test]
    fn the_studies_that_the_program_carries_are_those_of_the_folder() {
        let (unpacked, source) = (unpack().unwrap(), files(std::path::Path::new("../studies/miniature")));
        assert!(files(unpacked.path()) == source && source.len() > 10);
    }

    #[test]
    fn a_page_s_link_names_its_studies_by_their_whole_addresses() {
        let look = Look {
            link: Some("https://x.org/site/#study=studies/collection.json&view=ranking&component=3_up".into()),
            ..Look::default()
        };
        let options = look.options().unwrap();
        assert_eq!(options.studies, ["https://x.org/site/studies/collection.json"]);
        assert_eq!(options.view.as_deref(), Some("ranking"));
    }

    #[test]
    fn the_program_carries_a_whole_collection() {
        let folder = unpack().unwrap();
        cruxscope_window::check(folder.path()).unwrap();
        let collection = std::fs::read(folder.path().join(cruxscope_study::COLLECTION_FILE)).unwrap();
        let collection = cruxscope_study::Collection::from_json(&collection).unwrap();
        for place in &collection.studies {
            cruxscope_study::folder::load(&folder.path().join(place)).unwrap();
        }
        for stop in &collection.tour {
            for key in ["study", "from", "to"] {
                let place = stop.seen.get(key);
                assert!(place.is_none_or(|place| collection.studies.contains(place)), "{stop:?}");
            }
        }
    }
}
