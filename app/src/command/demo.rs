//! `cruxscope demo`: the main job on a small embedded model, and the window on the result.
//!
//! The model is a fixture of ours: three layers of random weights, so its importance means nothing and shows only that the
//! whole way works, on any machine, without a download. Beside it the window opens a study of a real model that the program
//! carries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use cruxscope::open_window;
use cruxscope_run::RunError;
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::plan::WeightsChoice;
use cruxscope_study::{ARRAYS_FILE, Definition, Manifest, Study, folder};

use super::progress::Progress;
use super::view::Look;
use super::{Failure, interpret, print_text, show};

const MODEL: [(&str, &[u8]); 2] = [
    ("config.json", include_bytes!("../../embedded/tiny/model/config.json")),
    ("model.safetensors", include_bytes!("../../embedded/tiny/model/model.safetensors")),
];
const TRACES: (&str, &[u8]) = ("traces.jsonl", include_bytes!("../../embedded/tiny/traces.jsonl"));
const ANNOTATIONS: (&str, &[u8]) = ("annotations.jsonl", include_bytes!("../../embedded/tiny/annotations.jsonl"));
const EXAMPLE_MANIFEST: &[u8] = include_bytes!("../../studies/smollm2/study.json");
const EXAMPLE_ARRAYS: &[u8] = include_bytes!("../../studies/smollm2/importance.safetensors");

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the model, the traces and the study are put [default: a folder that is removed at the end]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result and open no window
    #[arg(long)]
    no_window: bool,
    #[command(flatten)]
    look: Look,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let options = arguments.look.options()?;
    let temporary;
    let out = match &arguments.out {
        Some(out) => out.as_path(),
        None => {
            temporary = tempfile::tempdir().map_err(Failure::failed)?;
            temporary.path()
        }
    };
    unpack(out)?;
    let settings = InterpretSettings {
        model: out.join("model"),
        traces: TraceSettings {
            traces: out.join(TRACES.0),
            annotations: out.join(ANNOTATIONS.0),
            definition: Definition::Paper,
            reading: None,
            alignment: None,
            only: Vec::new(),
            first: None,
            max_tokens: None,
        },
        out: out.join("study"),
        device: "cpu".into(),
        weights: WeightsChoice::Automatic,
        channels: true,
        texts: true,
        title: Some("Embedded model, random weights".into()),
    };
    let mut progress = Progress::new();
    let planned = PlannedRun::new(settings, &mut progress)?;
    interpret::print_plan(&planned);
    let outcome = planned.run(&mut progress);
    progress.finish();
    let study = outcome?.study;
    show::print(&study, 3)?;
    if let Some(out) = &arguments.out {
        eprintln!("everything is in {}", out.display());
    }
    if arguments.no_window {
        return Ok(());
    }
    let example = example()?;
    print_text("")?;
    eprintln!(
        "opening the window: a study of a real model, {}, and the one just computed beside it",
        example.manifest.title
    );
    open_window(options, vec![study, example]).map_err(Failure::failed)
}

/// The study of a real model that the program carries.
fn example() -> Result<Study, Failure> {
    let manifest = Manifest::from_json(EXAMPLE_MANIFEST)?;
    Ok(Study::from_files(
        manifest,
        &BTreeMap::from([(ARRAYS_FILE.to_owned(), EXAMPLE_ARRAYS.to_vec())]),
    )?)
}

fn unpack(out: &Path) -> Result<(), Failure> {
    let model = out.join("model");
    std::fs::create_dir_all(&model).map_err(|source| RunError::Io {
        attempt: "create",
        path: model.clone(),
        source,
    })?;
    for (name, bytes) in MODEL {
        folder::write_atomically(&model.join(name), bytes)?;
    }
    for (name, bytes) in [TRACES, ANNOTATIONS] {
        folder::write_atomically(&out.join(name), bytes)?;
    }
    Ok(())
}
