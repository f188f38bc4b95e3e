//! `cruxscope publish`: studies as a folder that any static server serves.
//!
//! The program of the page is built by `cruxscope-web`, once; this command takes it from there and draws the figures.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use cruxscope_figure::{Figure, FigureOptions, Format, Writing, html};
use cruxscope_selectors::format::things;
use cruxscope_site::{Content, Preview, PublishedFigure, SiteError, Studies};

use crate::draw::{self, Drawn, Kind};
use crate::failure::Failure;
use crate::output::{print_text, status};

/// The one command that makes a page.
const MAKES_A_PAGE: &str = "cargo run --release -p cruxscope-web -- build --out page";
/// The folder beside the program in which a page is looked for.
const BESIDE: &str = "page";
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
    /// A page that was built before, whose program is taken [default: `page` beside this program, or built from the checkout]
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
    let mut figures = drawn(&studies)?;
    let preview = figures.first().map(|(_, figure)| preview(figure, arguments.address.clone())).transpose()?;
    if arguments.address.is_none() && preview.is_some() {
        status!("note: most readers of links take the picture of a page only from a whole address; --address URL gives it one");
    }
    let mut taken = BTreeSet::new();
    for (_, figure) in &mut figures {
        figure.name = draw::free_name(&figure.name, &mut taken);
    }
    let content = Content {
        studies,
        figures: figures.into_iter().map(published).collect::<Result<_, _>>()?,
        preview,
    };
    cruxscope_site::build(&arguments.out, &content, |folder| page.put(folder))?;
    status!(
        "the site is whole: {}, {}; copy the folder to any static server, or look at it with `python3 -m http.server -d {}`",
        things(content.studies.studies.len(), "study", "studies"),
        things(content.figures.len(), "figure", "figures"),
        arguments.out.display()
    );
    print_text(&arguments.out.join("index.html").display().to_string())
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
    /// The page that is named, the one beside this program, or one that the checkout makes.
    fn find(named: Option<&Path>) -> Result<Self, Failure> {
        if let Some(named) = named {
            if cruxscope_site::holds_program(named) {
                return Ok(Self::Built(named.to_owned()));
            }
            return Err(Failure::mistake(format!("{} holds no page; `{MAKES_A_PAGE}` makes one", named.display())));
        }
        let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.join(BESIDE)));
        if let Some(beside) = beside.filter(|beside| cruxscope_site::holds_program(beside)) {
            return Ok(Self::Built(beside));
        }
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned);
        match checkout.filter(|checkout| checkout.join("web/Cargo.toml").is_file()) {
            Some(checkout) => Ok(Self::Checkout(checkout)),
            None => Err(Failure::mistake(format!(
                "there is no page beside this program; in a checkout `{MAKES_A_PAGE}` makes one, and --page names it here"
            ))),
        }
    }

    /// Puts the program into a folder.
    fn put(&self, folder: &Path) -> Result<(), SiteError> {
        match self {
            Self::Built(page) => cruxscope_site::copy_program(page, folder),
            Self::Checkout(checkout) => {
                status!("building the page from {}; the first time takes some minutes", checkout.display());
                let scratch = tempfile::tempdir().map_err(|error| SiteError::Program {
                    why: format!("there is no room for a page: {error}"),
                })?;
                let page = scratch.path().join(BESIDE);
                let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
                    .args(["run", "--release", "--quiet", "-p", "cruxscope-web", "--", "build", "--out"])
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
fn drawn(studies: &Studies) -> Result<Vec<(Link, Figure)>, Failure> {
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
    for (published, drawn) in studies.studies.iter().zip(&drawn) {
        let show = [("show", published.address())];
        figures.push((link(Kind::Importance, &show), drawn.importance(&options)));
        figures.push((link(Kind::Ranking, &show), drawn.ranking(&options)?));
        if let Some(compression) = drawn.compression(&published.source, None, &options)? {
            figures.push((link(Kind::Compression, &show), compression));
        }
        if let Some(validation) = drawn.validation(&published.source, &options)? {
            figures.push((link(Kind::Validation, &show), validation));
        }
    }
    if let (Some(first), Some(a)) = (studies.studies.first(), drawn.first()) {
        for (published, b) in studies.studies.iter().zip(&drawn).skip(1).take(MOST_SHIFTS) {
            // Two models that have nothing to do with each other have no shift.
            let Ok(figure) = draw::shift(a, b, &options) else { continue };
            let pair = [("from", first.address()), ("to", published.address())];
            figures.push((link(Kind::Shift, &pair), figure));
        }
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
