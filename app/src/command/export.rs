//! `cruxscope export`: figures of studies into files, many at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use cruxscope::StartupOptions;
use cruxscope::figure::{self, Figure, FigureOptions, Format, Writing};
use cruxscope::views::ViewKind;
use cruxscope_study::folder;

use super::draw::{self, Drawn};
use super::{Failure, print_text};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Studies to draw: folders, or study.json files
    #[arg(value_name = "STUDY")]
    studies: Vec<PathBuf>,
    /// What to draw: importance, shift, and so on, as in a link
    #[arg(long, default_value = "importance")]
    view: String,
    /// The study that a shift is from, A [default: the first of the studies]
    #[arg(long, value_name = "STUDY")]
    from: Option<PathBuf>,
    /// The studies that a shift is to, B; each makes a figure [default: the other studies]
    #[arg(long, value_name = "STUDY")]
    to: Vec<PathBuf>,
    /// Formats: svg, pdf, png, csv, latex
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', default_value = "svg")]
    format: Vec<String>,
    /// The scale of colours (linear, square-root, log, rank), or of PNG (1 to 4); can be given twice
    #[arg(long, value_delimiter = ',')]
    scale: Vec<String>,
    /// Of a shift: decreases, increases or net
    #[arg(long)]
    shift: Option<String>,
    /// Only this behaviour, such as backtracking
    #[arg(long)]
    behaviour: Option<String>,
    /// A component to frame, such as 30_gate
    #[arg(long)]
    component: Option<String>,
    /// Without title and caption, for a paper that sets its own
    #[arg(long)]
    bare: bool,
    /// Rows of a LaTeX table [default: what fits a page]
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// The folder for the files, made if need be
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let formats = formats(&arguments.format)?;
    let (pixels, colours) = scales(&arguments.scale)?;
    let writing = Writing { pixels, rows: arguments.rows };
    let (view, options) = options(arguments, colours)?;
    let figures = draw(arguments, view, &options)?;
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| Failure::failed(anyhow::Error::new(error).context(format!("could not make {}", arguments.out.display()))))?;
    let mut taken = BTreeSet::new();
    for figure in &figures {
        let stem = draw::free_name(&figure.name, &mut taken);
        for format in &formats {
            let bytes = figure::write(figure, *format, writing).map_err(|error| Failure::Mistake(error.into()))?;
            let path = arguments.out.join(format!("{stem}.{}", format.extension()));
            folder::write_atomically(&path, &bytes)?;
            print_text(&path.display().to_string())?;
        }
    }
    Ok(())
}

/// The options of a link, read as a link's are.
fn options(arguments: &Arguments, colours: Option<&str>) -> Result<(ViewKind, FigureOptions), Failure> {
    let pairs = [
        ("view", Some(arguments.view.as_str())),
        ("scale", colours),
        ("shift", arguments.shift.as_deref()),
        ("behaviour", arguments.behaviour.as_deref()),
        ("component", arguments.component.as_deref()),
    ];
    let (read, complaints) = StartupOptions::from_pairs(pairs.into_iter().filter_map(|(key, value)| Some((key, value?))));
    if !complaints.is_empty() {
        return Err(Failure::mistake(complaints.join("; ")));
    }
    let options = FigureOptions {
        scale: read.scale.unwrap_or_default(),
        shift: read.shift.unwrap_or_default(),
        behaviour: read.behaviour,
        component: read.component,
        bare: arguments.bare,
        ..FigureOptions::default()
    };
    Ok((ViewKind::named(&arguments.view).unwrap_or_default(), options))
}

fn draw(arguments: &Arguments, view: ViewKind, options: &FigureOptions) -> Result<Vec<Figure>, Failure> {
    if view == ViewKind::Shift {
        let mut others = arguments.studies.iter();
        let from = arguments.from.as_ref().or_else(|| others.next());
        let to: Vec<&Path> = match arguments.to.as_slice() {
            [] => others.map(PathBuf::as_path).collect(),
            named => named.iter().map(PathBuf::as_path).collect(),
        };
        let (Some(from), false) = (from, to.is_empty()) else {
            return Err(Failure::mistake("a shift needs two studies: --from A --to B, or both in this order"));
        };
        let a = Drawn::load(from)?;
        return to.into_iter().map(|to| draw::shift(&a, &Drawn::load(to)?, options)).collect();
    }
    if arguments.from.is_some() || !arguments.to.is_empty() {
        return Err(Failure::mistake("--from and --to belong to --view shift"));
    }
    if arguments.studies.is_empty() {
        return Err(Failure::mistake("name at least one study"));
    }
    let mut figures = Vec::new();
    for place in &arguments.studies {
        figures.push(draw::of_study(&Drawn::load(place)?, view, options)?);
    }
    Ok(figures)
}

fn formats(names: &[String]) -> Result<Vec<Format>, Failure> {
    names.iter().map(|name| name.trim().parse().map_err(Failure::mistake)).collect()
}

/// Pixels a point and the name of a scale of colours: one flag says both, since a link calls the one so and pictures the other.
fn scales(values: &[String]) -> Result<(u8, Option<&str>), Failure> {
    let (mut pixels, mut colours) = (Writing::default().pixels, None);
    for value in values {
        match value.trim_end_matches('x').parse::<u8>() {
            Ok(number @ 1..=4) => pixels = number,
            Ok(_) => return Err(Failure::mistake(format!("--scale {value}: a PNG has 1 to 4 pixels a point"))),
            Err(_) => colours = Some(value.as_str()),
        }
    }
    Ok((pixels, colours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flag_says_both_scales() {
        let words = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        assert_eq!(scales(&words(&["log", "4"])).unwrap(), (4, Some("log")));
        assert_eq!(scales(&words(&["3x"])).unwrap(), (3, None));
        assert_eq!(scales(&[]).unwrap(), (2, None));
        assert!(matches!(scales(&words(&["5"])), Err(Failure::Mistake(_))));
    }
}
