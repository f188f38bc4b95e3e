//! `cruxscope publish`: studies as a folder that any static server serves.
//!
//! The program of the page is built by `cruxscope-web`, once; this command takes it from there and draws the figures.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use clap::Args;
use cruxscope_figure::{Figure, FigureOptions, Format, Writing, html};
use cruxscope_run::{Event, Observer as _};
use cruxscope_selectors::format::things;
use cruxscope_selectors::variants::VariantSort;
use cruxscope_site::server::{Server, open_in_browser};
use cruxscope_site::{Content, Preview, PublishedFigure, SiteError, Studies};
use cruxscope_study::Results;

use crate::draw::{self, Drawn, Kind};
use crate::failure::Failure;
use crate::output::{is_quiet, print_text, status};
use crate::page;
use crate::progress::Progress;
use crate::tour::Stage;

/// What takes longest once everything is drawn.
const COMPRESSING: &str = "compressing files for servers";
/// The one command that makes a page.
const MAKES_A_PAGE: &str = "cargo run --release -p cruxscope-web -- build --out page";
/// Shifts that are drawn at the most; studies may be many.
const MOST_SHIFTS: usize = 24;

#[derive(Debug, Args)]
pub struct Arguments {
    /// What to publish: studies, results or collections, by their folder or their file
    #[arg(value_name = "STUDY", required = true)]
    studies: Vec<PathBuf>,
    /// The folder of the site; an earlier site in it is replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A page that was built before, whose program is taken [default: the one that was installed with this program, or built from the checkout]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
    /// The address under which the site will be served, for the picture that stands for links to it
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// The title of the site
    #[arg(long)]
    title: Option<String>,
}

impl From<SiteError> for Failure {
    fn from(error: SiteError) -> Self {
        if error.is_user_error() {
            Self::Mistake(error.into())
        } else {
            Self::Failed(error.into())
        }
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    if let Some(address) = arguments.address.as_deref().filter(|address| !is_web_address(address)) {
        return Err(Failure::mistake(format!("--address {address} does not begin with https:// or http://")));
    }
    let mut studies = Studies::load(&arguments.studies)?;
    if let Some(title) = &arguments.title {
        studies.title.clone_from(title);
    }
    let page = Page::find(arguments.page.as_deref())?;
    let mut progress = Progress::stopped_by(Arc::default());
    let content = content(studies, arguments.address.clone(), &mut |what, share| progress.event(preparing(what, share)))?;
    if arguments.address.is_none() && content.preview.is_some() {
        status!("note: most readers of links take the picture of a page only from a whole address; --address URL gives it one");
    }
    cruxscope_site::build(&arguments.out, &content, |folder| page.put(folder), &mut |share| {
        progress.event(preparing(COMPRESSING, share));
    })?;
    progress.finish();
    status!(
        "the site is whole: {}, {}; copy the folder to any static server, or look at it with `python3 -m http.server -d {}`",
        things(content.studies.studies.len(), "study", "studies"),
        things(content.figures.len(), "figure", "figures"),
        arguments.out.display()
    );
    print_text(&arguments.out.join("index.html").display().to_string())
}

/// Hears what is being drawn, and the share of it that is done.
type Told<'a> = dyn FnMut(&str, f64) + 'a;

fn preparing(what: &str, share: f64) -> Event {
    Event::Preparing { what: what.to_owned(), share }
}

/// Studies with everything that is drawn of them for a site.
fn content(studies: Studies, address: Option<String>, told: &mut Told) -> Result<Content, Failure> {
    let mut figures = drawn(&studies, told)?;
    let preview = figures.first().map(|(_, figure)| preview(figure, address)).transpose()?;
    let stops = stops(&studies, &mut figures, told)?;
    let mut taken = BTreeSet::new();
    for (_, figure) in &mut figures {
        figure.name = draw::free_name(&figure.name, &mut taken);
    }
    let number = figures.len() as f64;
    let written = figures.into_iter().enumerate().map(|(place, figure)| {
        told("writing figures", place as f64 / number);
        published(figure)
    });
    Ok(Content {
        figures: written.collect::<Result<_, _>>()?,
        studies,
        stops,
        preview,
    })
}

/// Puts studies into a page of their own and serves it to this machine's browser, until the program is ended. `query` is what follows the
/// page's address.
pub fn serve(places: &[PathBuf], port: u16, query: &str) -> Result<(), Failure> {
    let studies = Studies::load(places)?;
    let page = Page::find(None)?;
    let scratch = tempfile::tempdir().map_err(|error| Failure::failed(anyhow::Error::new(error).context("there is no room for a page")))?;
    let site = scratch.path().join("site");
    let content = Content { studies, ..Content::default() };
    let mut progress = Progress::stopped_by(Arc::default());
    cruxscope_site::build(&site, &content, |folder| page.put(folder), &mut |share| {
        progress.event(preparing(COMPRESSING, share));
    })?;
    progress.finish();
    let server = Server::bind(&site, port)?;
    let address = format!("{}{query}", server.address());
    status!("The page is at {address}, until ctrl-C");
    if !open_in_browser(&address) {
        status!("no browser could be opened from here; the address above can be pasted into one");
    }
    server.run();
    Ok(())
}

fn is_web_address(address: &str) -> bool {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty()) && !address.contains(char::is_whitespace)
}

/// Where the program of the page comes from.
enum Page {
    /// A page that was built before.
    Built(PathBuf),
    /// The checkout that this program was built from.
    Checkout(PathBuf),
}

impl Page {
    /// The page that is named, the one that was installed with this program, or one that the checkout makes.
    fn find(named: Option<&Path>) -> Result<Self, Failure> {
        if let Some(named) = named {
            if cruxscope_site::holds_program(named) {
                return Ok(Self::Built(named.to_owned()));
            }
            return Err(Failure::mistake(format!("{} holds no page; `{MAKES_A_PAGE}` makes one", named.display())));
        }
        if let Some(installed) = page::installed() {
            return Ok(Self::Built(installed));
        }
        match page::checkout() {
            Some(checkout) => Ok(Self::Checkout(checkout)),
            None => Err(Failure::mistake(format!(
                "no page was installed with this program; in a checkout `{MAKES_A_PAGE}` makes one, and --page names it here"
            ))),
        }
    }

    /// Puts the program into a folder.
    fn put(&self, folder: &Path) -> Result<(), SiteError> {
        match self {
            Self::Built(page) => cruxscope_site::copy_program(page, folder),
            Self::Checkout(checkout) => {
                status!("building the page from {}: {}", checkout.display(), page::time_to_build(checkout));
                let scratch = tempfile::tempdir().map_err(|error| SiteError::Program {
                    why: format!("there is no room for a page: {error}"),
                })?;
                let page = scratch.path().join("page");
                let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
                    .args(["run", "--release", "-p", "cruxscope-web"])
                    // It takes minutes: cargo says what it is at.
                    .args(is_quiet().then_some("--quiet"))
                    .args(["--", "build", "--out"])
                    .arg(&page)
                    .current_dir(checkout)
                    .stdin(Stdio::null())
                    .status();
                match built {
                    Ok(status) if status.success() => cruxscope_site::copy_program(&page, folder),
                    Ok(_) => Err(SiteError::Program {
                        why: "the page could not be built; cargo's words stand above".to_owned(),
                    }),
                    Err(error) => Err(SiteError::Program {
                        why: format!("cargo could not be started ({error}); --page names a page that was built elsewhere by `{MAKES_A_PAGE}`"),
                    }),
                }
            }
        }
    }
}

/// Keys and values of a link.
type Link = Vec<(String, String)>;

/// Every figure of the site, with the link to its view: importance, ranking and validation of each study, the shift from the
/// first study to each that can be compared with it, the experiments of all results.
fn drawn(studies: &Studies, told: &mut Told) -> Result<Vec<(Link, Figure)>, Failure> {
    let options = FigureOptions::default();
    let root = studies.address();
    let link = |kind: Kind, more: &[(&str, String)]| {
        let start = [("study", root.clone()), ("view", kind.name().to_owned())];
        start
            .into_iter()
            .chain(more.iter().cloned())
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<Link>()
    };
    let drawn: Vec<Drawn> = studies.studies.iter().map(|published| Drawn::of(published.study.clone())).collect();
    let mut figures = Vec::new();
    let number = drawn.len() as f64;
    for (place, (published, drawn)) in studies.studies.iter().zip(&drawn).enumerate() {
        told("drawing figures of each study", place as f64 / number);
        let show = [("show", published.address())];
        figures.push((link(Kind::Importance, &show), drawn.importance(&options)));
        figures.push((link(Kind::Ranking, &show), drawn.ranking(&options)?));
        figures.extend(
            drawn
                .parts(&options)
                .map(|figure| (link(Kind::Importance, &[("show", published.address()), ("opened", "1".to_owned())]), figure)),
        );
        if let Some(divergence) = drawn.divergence(&published.source, None, &options)? {
            figures.push((link(Kind::Trace, &show), divergence));
        }
        if let Some(compression) = drawn.compression(&published.source, None, &options)? {
            figures.push((link(Kind::Compression, &show), compression));
        }
        match drawn.budget(&published.source, draw::BudgetWish::default(), &options) {
            Ok(budget) => figures.extend(budget.into_iter().map(|figure| (link(Kind::Budget, &show), figure))),
            // A sketch of too little text is still one, for the window to say so.
            Err(failure) => status!("note: no budget of {} is drawn: {}", published.title(), failure.into_message()),
        }
        if let Some(validation) = drawn.validation(&published.source, &options)? {
            figures.push((link(Kind::Validation, &show), validation));
        }
    }
    if let (Some(first), Some(a)) = (studies.studies.first(), drawn.first()) {
        for (place, (published, b)) in studies.studies.iter().zip(&drawn).enumerate().skip(1).take(MOST_SHIFTS) {
            told("drawing shifts", place as f64 / number.min(1.0 + MOST_SHIFTS as f64));
            // Two models that have nothing to do with each other have no shift.
            let Ok(figure) = draw::shift(a, b, &options) else { continue };
            let pair = [("from", first.address()), ("to", published.address())];
            figures.push((link(Kind::Shift, &pair), figure));
        }
    }
    let places: Vec<(&Path, &Drawn)> = studies.studies.iter().map(|published| published.source.as_path()).zip(&drawn).collect();
    let results: Vec<&Results> = studies.results.iter().map(|published| &published.results).collect();
    // Two studies are a shift.
    if places.len() > 2
        && let Some(figure) = draw::variants(&places, &results, VariantSort::default(), None, &options)?
    {
        figures.push((link(Kind::Variants, &[]), figure));
    }
    for published in &studies.results {
        for experiment in published.results.experiments() {
            let figure = cruxscope_figure::benchmarks::figure(&[&published.results], experiment, None, &options);
            let seen = [("results", published.address()), ("experiment", experiment.to_owned())];
            figures.push((link(Kind::Benchmarks, &seen), figure));
        }
    }
    Ok(figures)
}

/// The figure of every stop of the tour, by its place among all: most are drawn for the site already, others are added.
fn stops(studies: &Studies, figures: &mut Vec<(Link, Figure)>, told: &mut Told) -> Result<Vec<Option<usize>>, Failure> {
    let drawn: Vec<Drawn> = studies.studies.iter().map(|published| Drawn::of(published.study.clone())).collect();
    let stage = Stage { found: studies, drawn: &drawn };
    let mut stops = Vec::new();
    for (position, stop) in studies.tour.iter().enumerate() {
        told("drawing the tour", position as f64 / studies.tour.len() as f64);
        let Some(figure) = stage.figure(stop, false)? else {
            stops.push(None);
            continue;
        };
        let known = figures.iter().position(|(_, known)| *known == figure);
        stops.push(Some(known.unwrap_or_else(|| {
            let link = [("study", studies.address()), ("stop", (position + 1).to_string())];
            figures.push((link.map(|(key, value)| (key.to_owned(), value)).into(), figure));
            figures.len() - 1
        })));
    }
    Ok(stops)
}

fn published((link, drawn): (Link, Figure)) -> Result<PublishedFigure, Failure> {
    let text = |format| -> Result<String, Failure> {
        let bytes = cruxscope_figure::write(&drawn, format, Writing::default()).map_err(Failure::failed)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(PublishedFigure {
        svg: text(Format::Svg)?,
        csv: text(Format::Csv)?,
        table: html::write(&drawn),
        slug: drawn.name,
        title: drawn.title,
        description: drawn.description,
        link,
    })
}

fn preview(figure: &Figure, address: Option<String>) -> Result<Preview, Failure> {
    let fitted = figure.preview();
    let writing = Writing { pixels: 1, rows: None };
    Ok(Preview {
        png: cruxscope_figure::write(&fitted, Format::Png, writing).map_err(Failure::failed)?,
        size: [fitted.drawing.size.x as u32, fitted.drawing.size.y as u32],
        description: figure.description.clone(),
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_web() {
        for (address, expected) in [
            ("https://example.org/x", true),
            ("http://localhost:8080", true),
            ("https://", false),
            ("javascript:alert(1)", false),
            ("https://a b", false),
        ] {
            assert_eq!(is_web_address(address), expected, "{address}");
        }
    }

    #[test]
    fn a_folder_without_a_program_is_no_page() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Page::find(Some(folder.path())), Err(Failure::Mistake(_))));
    }
}
