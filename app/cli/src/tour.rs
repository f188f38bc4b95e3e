//! The stops of a tour as figures and as slides, for `export --tour` and for the article of a published site.

use std::path::Path;

use cruxscope_figure::slide::{Aspect, Slide, slide};
use cruxscope_figure::{Figure, FigureOptions};
use cruxscope_site::{Studies, paragraphs};
use cruxscope_study::{RESULTS_FILE, Results, TourStop};
use cruxscope_window::StartupOptions;

use crate::draw::{self, BudgetWish, Drawn, Kind};
use crate::failure::Failure;

/// What stops are drawn of.
pub struct Stage<'a> {
    /// Studies, results and the tour.
    pub found: &'a Studies,
    /// The studies, in their order, with their numbers.
    pub drawn: &'a [Drawn],
}

impl Stage<'_> {
    /// The figure of a stop; nothing where its view has none. `bare` leaves out what a slide says itself.
    pub fn figure(&self, stop: &TourStop, bare: bool) -> Result<Option<Figure>, Failure> {
        let pairs = stop.seen.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let (read, _) = StartupOptions::from_pairs(pairs);
        let kind = match read.view.as_deref() {
            None => Kind::Importance,
            Some(view) => match view.parse::<Kind>() {
                Ok(kind) => kind,
                Err(_) => return Ok(None),
            },
        };
        let options = FigureOptions {
            scale: read.scale.unwrap_or_default(),
            shift: read.shift.unwrap_or_default(),
            behaviour: read.behaviour,
            component: read.component,
            bare,
            stage: bare,
            ..FigureOptions::default()
        };
        match kind {
            Kind::Shift => {
                let sides = (self.place(read.from.as_deref()), self.place(read.to.as_deref()));
                let (Some((_, a)), Some((_, b))) = sides else { return Ok(None) };
                return draw::shift(a, b, &options).map(Some);
            }
            Kind::Variants => {
                let studies: Vec<(&Path, &Drawn)> = self.all().collect();
                let results: Vec<&Results> = self.found.results.iter().map(|published| &published.results).collect();
                return draw::variants(&studies, &results, read.sort.unwrap_or_default(), read.benchmark.as_deref(), &options);
            }
            Kind::Benchmarks | Kind::TestTime => {
                let paper;
                let slug = read
                    .results
                    .as_deref()
                    .and_then(|place| place.strip_suffix(RESULTS_FILE))
                    .map(|slug| slug.trim_end_matches('/'));
                let own = self.found.results.iter().find(|published| Some(published.slug.as_str()) == slug);
                let results = match own {
                    Some(published) => &published.results,
                    None => {
                        paper = draw::published()?;
                        &paper
                    }
                };
                if kind == Kind::TestTime {
                    return Ok(cruxscope_figure::test_time::figure(results, 30, &options));
                }
                let experiment = cruxscope_figure::benchmarks::experiment(results, read.experiment.as_deref());
                return Ok(Some(cruxscope_figure::benchmarks::figure(&[results], experiment, None, &options)));
            }
            _ => {}
        }
        let named = read.show.as_deref().or(read.studies.first().map(String::as_str));
        let Some((source, drawn)) = self.place(named).or_else(|| self.all().next()) else {
            return Ok(None);
        };
        match kind {
            Kind::Trace => drawn.trace(source, read.instance.as_deref(), &options),
            Kind::Ranking => drawn.ranking(&options).map(Some),
            Kind::Channels => Ok(drawn.channels(&options)),
            Kind::Importance if read.opened => Ok(drawn.parts(&options)),
            Kind::Compression => drawn.compression(source, read.measure, &options),
            Kind::Validation => drawn.validation(source, &options),
            Kind::Budget => {
                let wish = BudgetWish {
                    target: read.target,
                    keep_fused: read.fused,
                };
                Ok(drawn.budget(source, wish, &options)?.pop())
            }
            _ => Ok(Some(drawn.importance(&options))),
        }
    }

    fn all(&self) -> impl Iterator<Item = (&Path, &Drawn)> {
        self.found.studies.iter().map(|published| published.source.as_path()).zip(self.drawn)
    }

    /// The study of a slug.
    fn place(&self, slug: Option<&str>) -> Option<(&Path, &Drawn)> {
        let at = self.found.studies.iter().position(|published| Some(published.slug.as_str()) == slug)?;
        self.all().nth(at)
    }

    /// A slide for every stop.
    pub fn slides(&self, aspect: Aspect, dark: bool) -> Result<Vec<Figure>, Failure> {
        let of = self.found.tour.len();
        let mut slides = Vec::new();
        for (position, stop) in self.found.tour.iter().enumerate() {
            let figure = self.figure(stop, true)?;
            let foot = format!("{} of {of} · {}", position + 1, self.found.title);
            let content = Slide {
                title: &stop.title,
                caption: &paragraphs(&stop.caption),
                figure: figure.as_ref(),
                foot: &foot,
            };
            let drawn = slide(&content, aspect, dark);
            slides.push(Figure {
                name: format!("{:02}-{}", position + 1, drawn.name),
                ..drawn
            });
        }
        Ok(slides)
    }
}
