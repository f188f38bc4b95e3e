//! `cruxscope export`: figures of studies into files, many at once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use cruxscope_figure::{Figure, FigureOptions, Format, Writing};
use cruxscope_selectors::compression::Measure;
use cruxscope_site::Studies;
use cruxscope_study::{Results, folder};
use cruxscope_window::StartupOptions;

use crate::draw::{self, Drawn, Kind};
use crate::failure::Failure;
use crate::output::print_text;

/// The word for every experiment of some results.
const ALL: &str = "all";

#[derive(Debug, Args)]
pub struct Arguments {
    /// What to draw: studies, results or collections, by their folder or their file
    #[arg(value_name = "STUDY")]
    studies: Vec<PathBuf>,
    /// The view: importance, shift, ranking, channels, validation, compression, benchmarks or test-time (the last two without results:
    /// the paper's)
    #[arg(long, default_value = "importance")]
    view: Kind,
    /// The study that a shift is from, A [default: the first of the studies]
    #[arg(long, value_name = "STUDY")]
    from: Option<PathBuf>,
    /// The studies that a shift is to, B; each makes a figure [default: the other studies]
    #[arg(long, value_name = "STUDY")]
    to: Vec<PathBuf>,
    /// Formats: svg, pdf, png, csv, latex
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', default_value = "svg")]
    format: Vec<String>,
    /// The scale of colours: linear, square-root, log or rank
    #[arg(long, value_name = "SCALE")]
    color_scale: Option<String>,
    /// Pixels per point of PNG, 1 to 4
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    pixel_ratio: u8,
    /// Of before 0.2: either of the two above
    #[arg(long, value_delimiter = ',', hide = true)]
    scale: Vec<String>,
    /// Of a shift: decreases, increases or net
    #[arg(long = "direction", alias = "shift")]
    shift: Option<String>,
    /// Only this behaviour, such as backtracking
    #[arg(long)]
    behaviour: Option<String>,
    /// A component to frame, such as 30_gate; of channels, the one whose module is drawn
    #[arg(long)]
    component: Option<String>,
    /// Of compression: output-error, weight-error, bits, sparsity or awq-scale [default: the first that is known]
    #[arg(long, value_name = "NAME")]
    measure: Option<String>,
    /// Of test-time compute: the share of outputs at each end, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=50))]
    share: u32,
    /// Of benchmarks: an experiment by its name or how that begins, or all [default: the first]
    #[arg(long, value_name = "NAME")]
    experiment: Option<String>,
    /// Omit title and caption, for a paper that sets its own
    #[arg(long = "no-caption", alias = "bare")]
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
    let (old_pixels, old_colours) = scales(&arguments.scale)?;
    let pixels = old_pixels.unwrap_or(arguments.pixel_ratio);
    let colours = arguments.color_scale.as_deref().or(old_colours);
    let writing = Writing { pixels, rows: arguments.rows };
    let options = options(arguments, colours)?;
    let figures = figures(arguments, &options)?;
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| Failure::failed(anyhow::Error::new(error).context(format!("could not make {}", arguments.out.display()))))?;
    let mut taken = BTreeSet::new();
    for figure in &figures {
        let stem = draw::free_name(&figure.name, &mut taken);
        for format in &formats {
            let bytes = cruxscope_figure::write(figure, *format, writing).map_err(|error| Failure::Mistake(error.into()))?;
            let path = arguments.out.join(format!("{stem}.{}", format.extension()));
            folder::write_atomically(&path, &bytes)?;
            print_text(&path.display().to_string())?;
        }
    }
    Ok(())
}

/// The options of a link, read as a link's are.
fn options(arguments: &Arguments, colours: Option<&str>) -> Result<FigureOptions, Failure> {
    let pairs = [
        ("scale", colours),
        ("shift", arguments.shift.as_deref()),
        ("behaviour", arguments.behaviour.as_deref()),
        ("component", arguments.component.as_deref()),
    ];
    let (read, complaints) = StartupOptions::from_pairs(pairs.into_iter().filter_map(|(key, value)| Some((key, value?))));
    if !complaints.is_empty() {
        return Err(Failure::mistake(complaints.join("; ")));
    }
    Ok(FigureOptions {
        scale: read.scale.unwrap_or_default(),
        shift: read.shift.unwrap_or_default(),
        behaviour: read.behaviour,
        component: read.component,
        bare: arguments.bare,
        ..FigureOptions::default()
    })
}

fn figures(arguments: &Arguments, options: &FigureOptions) -> Result<Vec<Figure>, Failure> {
    if arguments.view != Kind::Shift && (arguments.from.is_some() || !arguments.to.is_empty()) {
        return Err(Failure::mistake("--from and --to belong to --view shift"));
    }
    if arguments.view != Kind::Benchmarks && arguments.experiment.is_some() {
        return Err(Failure::mistake("--experiment belongs to --view benchmarks"));
    }
    let found = Studies::load(&arguments.studies)?;
    match arguments.view {
        Kind::Shift => return shifts(arguments, found, options),
        Kind::Benchmarks | Kind::TestTime => return of_results(arguments, &found, options),
        _ if found.studies.is_empty() => return Err(Failure::mistake("name at least one study")),
        _ => {}
    }
    let measure = measure(arguments)?;
    let mut figures = Vec::new();
    for published in found.studies {
        let (source, drawn) = (published.source, Drawn::of(published.study));
        figures.push(match arguments.view {
            Kind::Ranking => drawn.ranking(options)?,
            Kind::Channels => drawn.channels(options).ok_or_else(|| {
                let study = source.display();
                Failure::mistake(format!("{study} keeps no channels; `cruxscope interpret --channels` does"))
            })?,
            Kind::Compression => drawn.compression(&source, measure, options)?.ok_or_else(|| {
                let study = source.display();
                Failure::mistake(format!(
                    "nothing is known of how the model of {study} was compressed; `cruxscope compression-report MODEL --study {study}` puts it there"
                ))
            })?,
            Kind::Validation => drawn.validation(&source, options)?.ok_or_else(|| {
                let study = source.display();
                Failure::mistake(format!("{study} holds no validation; `cruxscope validate --study {study}` makes one"))
            })?,
            _ => drawn.importance(options),
        });
    }
    Ok(figures)
}

/// A shift from A to each B: what is named by --from and --to, and the others in their order.
fn shifts(arguments: &Arguments, found: Studies, options: &FigureOptions) -> Result<Vec<Figure>, Failure> {
    let load = |place: &PathBuf| Drawn::load(place);
    let mut others: Vec<Drawn> = found.studies.into_iter().map(|published| Drawn::of(published.study)).collect();
    others.reverse();
    let from = match &arguments.from {
        Some(place) => Some(load(place)?),
        None => others.pop(),
    };
    others.reverse();
    let to: Vec<Drawn> = match arguments.to.as_slice() {
        [] => others,
        named => named.iter().map(load).collect::<Result<_, _>>()?,
    };
    let (Some(from), false) = (from, to.is_empty()) else {
        return Err(Failure::mistake("a shift needs two studies: --from A --to B, or both in this order"));
    };
    to.iter().map(|to| draw::shift(&from, to, options)).collect()
}

/// The measure of compression that is asked for, read as a link's is.
fn measure(arguments: &Arguments) -> Result<Option<Measure>, Failure> {
    let pairs = arguments.measure.as_deref().map(|measure| ("measure", measure));
    let (read, complaints) = StartupOptions::from_pairs(pairs);
    match complaints.as_slice() {
        [] => Ok(read.measure),
        _ => Err(Failure::mistake(complaints.join("; "))),
    }
}

/// A figure of each experiment that is asked for, or of test-time compute, of every results.
fn of_results(arguments: &Arguments, found: &Studies, options: &FigureOptions) -> Result<Vec<Figure>, Failure> {
    let paper;
    let results: Vec<&Results> = if found.results.is_empty() {
        paper = draw::published()?;
        vec![&paper]
    } else {
        found.results.iter().map(|published| &published.results).collect()
    };
    let mut figures = Vec::new();
    for results in results {
        if arguments.view == Kind::TestTime {
            let figure = cruxscope_figure::test_time::figure(results, arguments.share, options);
            figures.push(figure.ok_or_else(|| Failure::mistake(format!("\"{}\" has no outputs at {} % of its ends", results.title, arguments.share)))?);
            continue;
        }
        let experiments = match arguments.experiment.as_deref() {
            Some(ALL) => results.experiments(),
            wanted => {
                let known = results.experiments();
                let begins = |wanted: &str| known.iter().any(|known| known == &wanted || known.starts_with(&format!("{wanted}:")));
                if let Some(wanted) = wanted.filter(|wanted| !begins(wanted)) {
                    return Err(Failure::mistake(format!(
                        "there is no experiment \"{wanted}\"; known are {}, {ALL}",
                        known.join(", ")
                    )));
                }
                vec![cruxscope_figure::benchmarks::experiment(results, wanted)]
            }
        };
        figures.extend(
            experiments
                .into_iter()
                .map(|experiment| cruxscope_figure::benchmarks::figure(&[results], experiment, None, options)),
        );
    }
    Ok(figures)
}

fn formats(names: &[String]) -> Result<Vec<Format>, Failure> {
    names.iter().map(|name| name.trim().parse().map_err(Failure::mistake)).collect()
}

/// Pixels per point and the name of a scale of colours, by the flag of before 0.2 that meant both.
fn scales(values: &[String]) -> Result<(Option<u8>, Option<&str>), Failure> {
    let (mut pixels, mut colours) = (None, None);
    for value in values {
        match value.trim_end_matches('x').parse::<u8>() {
            Ok(number @ 1..=4) => pixels = Some(number),
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
        assert_eq!(scales(&words(&["log", "4"])).unwrap(), (Some(4), Some("log")));
        assert_eq!(scales(&words(&["3x"])).unwrap(), (Some(3), None));
        assert_eq!(scales(&[]).unwrap(), (None, None));
        assert!(matches!(scales(&words(&["5"])), Err(Failure::Mistake(_))));
    }
}
