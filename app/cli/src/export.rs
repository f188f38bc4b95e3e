//! `cruxscope export`: figures of studies into files, many at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use cruxscope_figure::slide::Aspect;
use cruxscope_figure::{Figure, FigureOptions, Format, Writing};
use cruxscope_selectors::compression::Measure;
use cruxscope_site::Studies;
use cruxscope_study::{Results, folder};
use cruxscope_window::StartupOptions;

use crate::draw::{self, Drawn, Kind};
use crate::failure::Failure;
use crate::numbers::{MOST, number, whole};
use crate::output::print_text;
use crate::tour::Stage;

/// The word for every experiment of some results.
const ALL: &str = "all";

#[derive(Debug, Args)]
pub struct Arguments {
    /// What to draw: studies, results or collections, by their folder or their file
    #[arg(value_name = "STUDY")]
    studies: Vec<PathBuf>,
    /// Instead of one view, every stop of a collection's tour as a slide: heading, caption, figure; as PDF, one document of all
    #[arg(long, conflicts_with_all = ["view", "from", "to", "behaviour", "component"])]
    tour: bool,
    /// Of slides: dark or light
    #[arg(long, value_name = "THEME", default_value = "light", value_parser = ["dark", "light"], requires = "tour")]
    theme: String,
    /// Of slides: 16:9 or 4:3
    #[arg(long, value_name = "SHAPE", default_value = "16:9", requires = "tour")]
    aspect: Aspect,
    /// The view: importance, shift, ranking, channels, parts (experts), trace, validation, divergence (along the thought, or with
    /// --instance in one text), compression, variants, budget (map and curve), benchmarks or test-time (the last two without results:
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
    /// A component to frame, such as 30_gate; of channels and parts, the one whose module is drawn
    #[arg(long)]
    component: Option<String>,
    /// Of compression: output-error, weight-error, bits, sparsity or awq-scale [default: the first that is known]
    #[arg(long, value_name = "NAME")]
    measure: Option<String>,
    /// Of variants: given, moved, bits, size, divergence or accuracy [default: given]
    #[arg(long, value_name = "NAME")]
    sort: Option<String>,
    /// Of variants: the benchmark whose scores stand beside them [default: a mean over several, or the first]
    #[arg(long, value_name = "NAME")]
    benchmark: Option<String>,
    /// Of a trace: the instance [default: the first]; of divergence: the text that is drawn
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// Of a budget: stored bits a weight, scales and zeros included [default: the size of the uniform format in the middle]
    #[arg(long, value_name = "BITS", value_parser = number(0.0, 64.0))]
    target_bits: Option<f64>,
    /// Of a budget: one format for q, k and v of a layer, and one for gate and up
    #[arg(long)]
    keep_fused: bool,
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
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST))]
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
    let options = options(arguments, colours)?;
    let (figures, writing) = if arguments.tour {
        // A slide has the pixels of its screen.
        (
            slides(arguments)?,
            Writing {
                pixels: old_pixels.unwrap_or(1),
                rows: arguments.rows,
            },
        )
    } else {
        (figures(arguments, &options)?, Writing { pixels, rows: arguments.rows })
    };
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| Failure::failed(anyhow::Error::new(error).context(format!("could not make {}", arguments.out.display()))))?;
    if arguments.tour && formats.contains(&Format::Pdf) {
        let path = arguments.out.join("tour.pdf");
        let bytes = cruxscope_figure::write_pages(&figures).map_err(|error| Failure::Mistake(error.into()))?;
        folder::write_atomically(&path, &bytes)?;
        print_text(&path.display().to_string())?;
    }
    let mut taken = BTreeSet::new();
    for figure in &figures {
        let stem = draw::free_name(&figure.name, &mut taken);
        for format in formats.iter().filter(|format| !(arguments.tour && **format == Format::Pdf)) {
            let bytes = cruxscope_figure::write(figure, *format, writing).map_err(|error| Failure::Mistake(error.into()))?;
            let path = arguments.out.join(format!("{stem}.{}", format.extension()));
            folder::write_atomically(&path, &bytes)?;
            print_text(&path.display().to_string())?;
        }
    }
    Ok(())
}

/// A slide for every stop of a tour.
fn slides(arguments: &Arguments) -> Result<Vec<Figure>, Failure> {
    let found = Studies::load(&arguments.studies)?;
    if found.tour.is_empty() {
        return Err(Failure::mistake("--tour wants a collection with a tour, by its folder or its collection.json"));
    }
    let drawn: Vec<Drawn> = found.studies.iter().map(|published| Drawn::of(published.study.clone())).collect();
    let stage = Stage { found: &found, drawn: &drawn };
    stage.slides(arguments.aspect, arguments.theme == "dark")
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
    if arguments.view != Kind::Variants && (arguments.sort.is_some() || arguments.benchmark.is_some()) {
        return Err(Failure::mistake("--sort and --benchmark belong to --view variants"));
    }
    if arguments.view != Kind::Budget && (arguments.target_bits.is_some() || arguments.keep_fused) {
        return Err(Failure::mistake("--target-bits and --keep-fused belong to --view budget"));
    }
    if !matches!(arguments.view, Kind::Trace | Kind::Divergence) && arguments.instance.is_some() {
        return Err(Failure::mistake("--instance belongs to --view trace and --view divergence"));
    }
    if arguments.view != Kind::Benchmarks && arguments.experiment.is_some() {
        return Err(Failure::mistake("--experiment belongs to --view benchmarks"));
    }
    let found = Studies::load(&arguments.studies)?;
    match arguments.view {
        Kind::Shift => return shifts(arguments, found, options),
        Kind::Variants => return variants(arguments, found, options),
        Kind::Benchmarks | Kind::TestTime => return of_results(arguments, &found, options),
        _ if found.studies.is_empty() => return Err(Failure::mistake("name at least one study")),
        _ => {}
    }
    let measure = measure(arguments)?;
    let mut figures = Vec::new();
    for published in found.studies {
        let (source, drawn) = (published.source, Drawn::of(published.study));
        if arguments.view == Kind::Budget {
            let wish = draw::BudgetWish {
                target: arguments.target_bits,
                keep_fused: arguments.keep_fused,
            };
            let found = drawn.budget(&source, wish, options)?;
            if found.is_empty() {
                let study = source.display();
                return Err(Failure::mistake(format!(
                    "{study} holds no sensitivity; `cruxscope sensitivity --out {study}` makes one"
                )));
            }
            figures.extend(found);
            continue;
        }
        figures.push(match arguments.view {
            Kind::Ranking => drawn.ranking(options)?,
            Kind::Channels => drawn.channels(options).ok_or_else(|| {
                let study = source.display();
                Failure::mistake(format!("{study} keeps no channels; `cruxscope interpret --channels` does"))
            })?,
            Kind::Parts => drawn.parts(options).ok_or_else(|| {
                let study = source.display();
                Failure::mistake(format!("every component of {study} is one linear map, so that there are no parts to draw"))
            })?,
            Kind::Trace => drawn.trace(&source, arguments.instance.as_deref(), options)?.ok_or_else(|| {
                let study = source.display();
                match &arguments.instance {
                    Some(id) => Failure::mistake(format!("{study} keeps no trace of {id}")),
                    None => Failure::mistake(format!("{study} keeps no traces: it was made with --omit-trace-text")),
                }
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
            Kind::Divergence => drawn.divergence(&source, arguments.instance.as_deref(), options)?.ok_or_else(|| {
                let study = source.display();
                let what = match &arguments.instance {
                    Some(id) => format!("in {id}"),
                    None => "at any position of a thought".to_owned(),
                };
                Failure::mistake(format!(
                    "{study} does not say where its model parts from another {what}; `cruxscope compare --out {study}` does"
                ))
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

/// All studies beside the one of them that is not compressed.
fn variants(arguments: &Arguments, found: Studies, options: &FigureOptions) -> Result<Vec<Figure>, Failure> {
    let pairs = arguments.sort.as_deref().map(|sort| ("sort", sort));
    let (read, complaints) = StartupOptions::from_pairs(pairs);
    if !complaints.is_empty() {
        return Err(Failure::mistake(complaints.join("; ")));
    }
    let results: Vec<&Results> = found.results.iter().map(|published| &published.results).collect();
    let drawn: Vec<(PathBuf, Drawn)> = found
        .studies
        .into_iter()
        .map(|published| (published.source, Drawn::of(published.study)))
        .collect();
    let studies: Vec<(&Path, &Drawn)> = drawn.iter().map(|(source, drawn)| (source.as_path(), drawn)).collect();
    let figure = draw::variants(&studies, &results, read.sort.unwrap_or_default(), arguments.benchmark.as_deref(), options)?;
    let figure = figure.ok_or_else(|| Failure::mistake("variants need the study of a model that is not compressed and one of a compressed version of it"))?;
    Ok(vec![figure])
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
