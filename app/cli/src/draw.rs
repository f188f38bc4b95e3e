//! Figures out of studies and results, for `export` and `publish`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cruxscope_figure::{Figure, FigureOptions};
use cruxscope_selectors::BackgroundJob as _;
use cruxscope_selectors::budget::{Budget, BudgetSettings, CellMeasure, measured};
use cruxscope_selectors::compression::Measure;
use cruxscope_selectors::divergence::Apart;
use cruxscope_selectors::shift::{Pair, ShiftIntervals};
use cruxscope_selectors::variants::{self, Candidate, VariantSort, Variants};
use cruxscope_selectors::{Figures, Stability};
use cruxscope_study::{
    COMPRESSION_FILE, Comparison, CompressionMap, DifferenceKind, Results, SENSITIVITY_FILE, Sensitivity, Study, StudyError, TRIAL_FILE, TraceText, Trial,
    VALIDATION_FILE, Validation, folder,
};

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
    /// What a model wrote, with its behaviours.
    Trace,
    /// Where the study's model parts from another, along the thought.
    Divergence,
    /// A module opened into its channels.
    Channels,
    /// A module opened into its parts, such as experts.
    Parts,
    /// What compression did to each matrix.
    Compression,
    /// Many compressed versions of one model.
    Variants,
    /// A format for each matrix under a budget.
    Budget,
    /// Scores on benchmarks.
    Benchmarks,
    /// The shortest and the longest outputs.
    TestTime,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Importance,
        Self::Shift,
        Self::Ranking,
        Self::Channels,
        Self::Parts,
        Self::Trace,
        Self::Validation,
        Self::Divergence,
        Self::Compression,
        Self::Variants,
        Self::Budget,
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
            Self::Divergence => "divergence",
            Self::Channels => "channels",
            Self::Parts => "parts",
            Self::Trace => "trace",
            Self::Compression => "compression",
            Self::Variants => "variants",
            Self::Budget => "budget",
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

/// What is wished of a budget.
#[derive(Clone, Copy, Debug, Default)]
pub struct BudgetWish {
    /// Stored bits a weight.
    pub target: Option<f64>,
    /// Whether q, k and v of a layer get one format, and gate and up one.
    pub keep_fused: bool,
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

    /// The figure of a module's parts; nothing where every component is one linear map.
    pub fn parts(&self, options: &FigureOptions) -> Option<Figure> {
        let maps = self.study.parts.as_ref()?;
        cruxscope_figure::parts::figure(&self.study, &self.figures, maps, options)
    }

    /// An instance's trace that lies beside the study in `source`; the first without a name. Nothing where the study keeps none.
    fn text(&self, source: &Path, instance: Option<&str>) -> Result<Option<TraceText>, Failure> {
        let mut entries = self.study.manifest.traces.iter();
        let entry = match instance {
            Some(id) => entries.find(|entry| entry.id == id),
            None => entries.next(),
        };
        let Some(entry) = entry else { return Ok(None) };
        let Some(bytes) = beside(source, &entry.file.file)? else { return Ok(None) };
        Ok(Some(TraceText::from_file(entry, &bytes)?))
    }

    /// The figure of an instance's trace that lies beside the study in `source`; the first without a name. Nothing where the study keeps none.
    pub fn trace(&self, source: &Path, instance: Option<&str>, options: &FigureOptions) -> Result<Option<Figure>, Failure> {
        let text = self.text(source, instance)?;
        Ok(text.map(|text| cruxscope_figure::trace::figure(&self.study, &text, options)))
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

    /// The map and the curve of a budget, by the sensitivity that lies beside the study in `source`; nothing where there is none.
    pub fn budget(&self, source: &Path, wish: BudgetWish, options: &FigureOptions) -> Result<Vec<Figure>, Failure> {
        let Some(bytes) = beside(source, SENSITIVITY_FILE)? else {
            return Ok(Vec::new());
        };
        let sensitivity = Arc::new(Sensitivity::from_bytes(&bytes)?);
        sensitivity.fits(&self.study.manifest)?;
        let trial = beside(source, TRIAL_FILE)?.map(|bytes| Trial::from_json(&bytes)).transpose()?;
        let settings = BudgetSettings {
            behaviour: options.behaviour,
            keep_fused: wish.keep_fused,
        };
        let found = measured(&sensitivity, trial.as_ref(), settings.scope());
        let mut budget = Budget::new(sensitivity, settings)?;
        budget.finish();
        let (low, high) = budget.range();
        let target = wish.target.unwrap_or_else(|| budget.first_target());
        // The ends are not taken to the last digit, which nobody writes.
        if !(low * (1.0 - 1e-4)..=high * (1.0 + 1e-4)).contains(&target) {
            return Err(Failure::mistake(format!(
                "--target-bits {target}: recipes over this menu take {low:.3} to {high:.3} bits a weight, scales included"
            )));
        }
        let missing = || Failure::mistake("the sketch says nothing of these positions");
        let plan = budget.plan(target, &std::collections::BTreeMap::new()).ok_or_else(missing)?;
        Ok(vec![
            cruxscope_figure::budget::map(&self.study, &self.figures, &budget, &plan, CellMeasure::Share, options),
            cruxscope_figure::budget::curve(&self.study, &budget, &plan, &found, options),
        ])
    }

    /// The figure of the validation that lies beside the study in `source`; nothing where there is none.
    pub fn validation(&self, source: &Path, options: &FigureOptions) -> Result<Option<Figure>, Failure> {
        let Some(bytes) = beside(source, VALIDATION_FILE)? else { return Ok(None) };
        let validation = Validation::from_json(&bytes, self.study.manifest.model.layers)?;
        Ok(Some(cruxscope_figure::validation::figure(&self.study, &self.figures, &validation, options)))
    }
}

impl Drawn {
    /// Where the study's model parts from another: along the thought over all texts, or in the text of an instance. Nothing where the study in
    /// `source` does not say, or of that instance.
    pub fn divergence(&self, source: &Path, instance: Option<&str>, options: &FigureOptions) -> Result<Option<Figure>, Failure> {
        let Some(divergence) = folder::load_divergence(source)? else {
            return Ok(None);
        };
        let apart = Apart::of(divergence);
        let Some(id) = instance else {
            return Ok(cruxscope_figure::divergence::figure(&self.study, &apart, options));
        };
        let output = self.text(source, Some(id))?.map(|text| text.output).unwrap_or_default();
        Ok(cruxscope_figure::text_apart::figure(&self.study, &apart, id, &output, options))
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

/// The figure of many versions of one model beside their original, with what results say of them; nothing where no two of the studies can
/// be put beside each other. `sort` and `benchmark` are as a link's.
pub fn variants(
    studies: &[(&Path, &Drawn)],
    results: &[&Results],
    sort: VariantSort,
    benchmark: Option<&str>,
    options: &FigureOptions,
) -> Result<Option<Figure>, Failure> {
    let mut maps = Vec::new();
    for (source, drawn) in studies {
        let bytes = beside(source, COMPRESSION_FILE)?;
        maps.push(
            bytes
                .map(|bytes| CompressionMap::from_json(&bytes, drawn.study.manifest.model.layers))
                .transpose()?,
        );
    }
    let candidates: Vec<Candidate<'_>> = studies
        .iter()
        .zip(&maps)
        .enumerate()
        .map(|(id, ((_, drawn), map))| Candidate {
            id,
            study: &drawn.study,
            compression: map.as_ref(),
        })
        .collect();
    let family = variants::family(&candidates, 0);
    let Some(original) = variants::original(&family) else { return Ok(None) };
    let Some((_, study)) = studies.get(original) else { return Ok(None) };
    let found = Variants::of(&family, original, results, benchmark);
    Ok(found.map(|found| cruxscope_figure::variants::figure(&found, &study.study, sort, false, options)))
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
