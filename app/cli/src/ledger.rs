//! `cruxscope ledger`: what studies and results say of each of the paper's claims.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cruxscope_benchmark::claims::{Evidence, Role};
use cruxscope_figure::latex::escape;
use cruxscope_run::evidence::{self, place_of};
use cruxscope_selectors::ledger;
use cruxscope_study::{Ledger, LedgerVerdict};

use crate::failure::Failure;
use crate::output::{print_json, print_text, status};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Studies, collections and files of results; the first study of a model that was not compressed is the original's, the next one of the same shape its base model's
    #[arg(value_name = "STUDY|COLLECTION|results.json")]
    studies: Vec<PathBuf>,
    /// Which of them is the study of the original model
    #[arg(long, value_name = "STUDY")]
    original: Option<PathBuf>,
    /// Which of them is the study of its base model
    #[arg(long, value_name = "STUDY")]
    base: Option<PathBuf>,
    /// Leave out what the published numbers say themselves
    #[arg(long)]
    without_published: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Print as JSON
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Save it into this study too, where the window and the page show it
    #[arg(long, value_name = "STUDY")]
    save: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A list for people
    #[default]
    Text,
    /// A longtable (booktabs, longtable)
    Latex,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut given = Evidence::default();
    for path in &arguments.studies {
        evidence::add(&mut given, path)?;
    }
    let known = |path: &Option<PathBuf>| -> Result<Option<String>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let place = place_of(path);
        if given.studies.iter().any(|study| study.place == place) {
            return Ok(Some(place));
        }
        Err(Failure::mistake(format!("{} is none of the studies that are given", path.display())))
    };
    let (original, base) = (known(&arguments.original)?, known(&arguments.base)?);
    given.assign(original.as_deref(), base.as_deref());
    for study in &given.studies {
        let role = match &study.role {
            Role::Original => "the original model".to_owned(),
            Role::Base => "its base model".to_owned(),
            Role::Compressed(kind) => kind.words(),
            Role::Other => "another model".to_owned(),
        };
        let manifest = &study.study.manifest;
        status!(
            "{}: {role}, {} traces, definition {}",
            study.place,
            manifest.instances.len(),
            manifest.definition
        );
    }
    let title = given.studies.first().map_or_else(
        || "The published numbers".into(),
        |study| format!("What the paper claims, on {}", study.study.manifest.model.name),
    );
    let found = evidence::ledger(&title, &given, !arguments.without_published)?;
    if let Some(study) = &arguments.save {
        status!("ledger saved in {}", evidence::save_ledger(&found, study)?.display());
    }
    if arguments.json {
        return print_json(&found);
    }
    match arguments.format {
        Format::Text => print_text(&text(&found)),
        Format::Latex => print_text(&latex(&found)),
    }
}

pub fn text(found: &Ledger) -> String {
    let mut text = format!("{}\n{}\n", found.title, ledger::counted(found));
    for claim in &found.claims {
        // Writing to a String cannot fail.
        writeln!(text, "\n{}  {}\n    {}\n    holds where {}", claim.id, claim.place, claim.words, claim.confirms).ok();
        for entry in found.of(&claim.id) {
            writeln!(text, "  {:<14}  {}: {}", entry.verdict.words(), ledger::subject(entry), ledger::finding(entry)).ok();
            if !entry.why.is_empty() {
                writeln!(text, "                  {}", entry.why).ok();
            }
            if !entry.command.is_empty() {
                writeln!(text, "                  to tell: {}", entry.command).ok();
            }
        }
    }
    text.trim_end().to_owned()
}

fn latex(found: &Ledger) -> String {
    let mut text = format!(
        "% {}\n% {}\n\\begin{{longtable}}{{p{{0.22\\linewidth}}p{{0.34\\linewidth}}rrl}}\n\\toprule\nClaim & Data & Number & $n$ & Verdict \\\\\n\\midrule\n\\endhead\n",
        found.title.replace('\n', " "),
        found.program
    );
    for claim in &found.claims {
        for (place, entry) in found.of(&claim.id).enumerate() {
            let name = if place == 0 {
                format!("{} ({})", claim.id, claim.place)
            } else {
                String::new()
            };
            let verdict = match entry.verdict {
                LedgerVerdict::CannotBeTold => entry.verdict.words().to_owned(),
                verdict => format!("\\textbf{{{}}}", verdict.words()),
            };
            writeln!(
                text,
                "{} & {} & {} & {} & {verdict} \\\\",
                escape(&name),
                escape(&format!("{}: {}", ledger::subject(entry), entry.statistic)),
                escape(&ledger::number(entry)),
                entry.n.map_or_else(|| "--".into(), |n| n.to_string()),
            )
            .ok();
        }
    }
    text + "\\bottomrule\n\\end{longtable}"
}
