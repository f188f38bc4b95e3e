//! Figures out of studies and results, for `export` and `publish`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cruxscope_figure::{Figure, FigureOptions};
use cruxscope_selectors::BackgroundJob as _;
use cruxscope_selectors::compression::Measure;
use cruxscope_selectors::shift::{Pair, ShiftIntervals};
use cruxscope_selectors::{Figures, Stability};
use cruxscope_study::{COMPRESSION_FILE, Comparison, CompressionMap, DifferenceKind, Results, Study, StudyError, VALIDATION_FILE, Validation, folder};

use crate::failure::Failure;

/// What can be drawn, by the names of the views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Importance of every component.
    Importance,
    /// The shift from one study to another.
    Shift,
    /// The first components with their intervals.
    Ranking,
    /// Importance against measured damage.
    Validation,
    /// A module opened into its channels.
    Channels,
    /// What compression did to each matrix.
    Compression,
    /// Scores on benchmarks.
    Benchmarks,
    /// The shortest and the longest outputs.
    TestTime,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Importance,
        Self::Shift,
        Self::Ranking,
        Self::Channels,
        Self::Validation,
        Self::Compression,
        Self::Benchmarks,
        Self::TestTime,
    ];

    /// The name of the view.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Importance => "importance",
            Self::Shift => "shift",
            Self::Ranking => "ranking",
            Self::Validation => "validation",
            Self::Channels => "channels",
            Self::Compression => "compression",
            Self::Benchmarks => "benchmarks",
            Self::TestTime => "test-time",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("\"{text}\" is no view that can be drawn; known are {known}"))
    }
}

/// A study with the numbers that figures show.
pub struct Drawn {
    /// The study.
    pub study: Arc<Study>,
    /// Its numbers.
    pub figures: Figures,
}

impl Drawn {
    /// Loads a study.
    pub fn load(place: &Path) -> Result<Self, Failure> {
        Ok(Self::of(folder::load_without_channels(place)?))
    }

    /// A study that is loaded.
    pub fn of(study: Study) -> Self {
        Self {
            figures: Figures::of(&study),
            study: Arc::new(study),
        }
    }

    /// The figure of its importance.
    pub fn importance(&self, options: &FigureOptions) -> Figure {
        cruxscope_figure::importance::figure(&self.study, &self.figures, options)
    }

    /// The figure of its ranking, with intervals.
    pub fn ranking(&self, options: &FigureOptions) -> Result<Figure, Failure> {
        let stability = Stability::all(&self.study)?;
        Ok(cruxscope_figure::ranking::figure(&self.study, &self.figures, Some(&stability), options))
    }

    /// The figure of a module's channels; nothing where the study keeps none.
    pub fn channels(&self, options: &FigureOptions) -> Option<Figure> {
        let maps = self.study.channels.as_ref()?;
        cruxscope_figure::channels::figure(&self.study, &self.figures, maps, options)
    }

    /// The figure of what compression did, by what lies beside the study in `source` or the study itself says; nothing where
    /// neither does.
    pub fn compression(&self, source: &Path, measure: Option<Measure>, options: &FigureOptions) -> Result<Option<Figure>, Failure> {
        let layers = self.study.manifest.model.layers;
        let saved = match beside(source, COMPRESSION_FILE)? {
            Some(bytes) => Some(CompressionMap::from_json(&bytes, layers)?),
            None => None,
        };
        Ok(cruxscope_figure::compression::figure(
            &self.study,
            &self.figures,
            saved.as_ref(),
            measure,
            options,
        ))
    }

    /// The figure of the validation that lies beside the study in `source`; nothing where there is none.
    pub fn validation(&self, source: &Path, options: &FigureOptions) -> Result<Option<Figure>, Failure> {
        let Some(bytes) = beside(source, VALIDATION_FILE)? else { return Ok(None) };
        let validation = Validation::from_json(&bytes, self.study.manifest.model.layers)?;
        Ok(Some(cruxscope_figure::validation::figure(&self.study, &self.figures, &validation, options)))
    }
}

/// The bytes of a file beside a study, where there is one.
fn beside(source: &Path, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let path = source.join(name);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|source| StudyError::Io { attempt: "read", path, source })?;
    Ok(Some(bytes))
}

/// The figure of a shift, with intervals; what differs between the studies is said in it.
pub fn shift(a: &Drawn, b: &Drawn, options: &FigureOptions) -> Result<Figure, Failure> {
    let comparison = Comparison::between(&a.study, &b.study, &DifferenceKind::ALL)?;
    let pair = Pair {
        a: Arc::clone(&a.study),
        b: Arc::clone(&b.study),
        comparison,
    };
    let intervals = ShiftIntervals::all(&pair)?;
    Ok(cruxscope_figure::shift::figure(&pair, Some(&intervals), options))
}

/// The results that come with the program.
pub fn published() -> Result<Results, Failure> {
    Ok(Results::from_json(cruxscope_selectors::results::PUBLISHED)?)
}

/// A name that no other figure of this run has.
pub fn free_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_name_are_told_apart() {
        let mut taken = BTreeSet::new();
        let names = [(); 3].map(|()| free_name("importance-study", &mut taken));
        assert_eq!(names, ["importance-study", "importance-study-2", "importance-study-3"]);
    }

    #[test]
    fn views_are_known_by_their_names() {
        assert!(Kind::ALL.into_iter().all(|kind| kind.name().parse() == Ok(kind)));
        assert!("sculpture".parse::<Kind>().unwrap_err().contains("importance, shift"));
        assert!(published().is_ok());
    }
}
