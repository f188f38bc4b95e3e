//! Figures out of studies on a disk, for `export` and `publish`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cruxscope::Stepwise as _;
use cruxscope::figure::{self, Figure, FigureOptions};
use cruxscope::selectors::Figures;
use cruxscope::selectors::shift::{Pair, ShiftIntervals};
use cruxscope::views::ViewKind;
use cruxscope_study::{Comparison, DifferenceKind, Study, folder};

use super::Failure;

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
        Ok(Self::of(folder::load(place)?))
    }

    /// A study that is loaded.
    pub fn of(study: Study) -> Self {
        Self {
            figures: Figures::of(&study),
            study: Arc::new(study),
        }
    }
}

/// The figure of one study in a view.
pub fn of_study(drawn: &Drawn, view: ViewKind, options: &FigureOptions) -> Result<Figure, Failure> {
    match view {
        ViewKind::Importance => Ok(figure::importance::figure(&drawn.study, &drawn.figures, options)),
        ViewKind::Shift => Err(Failure::mistake("a shift lies between two studies")),
    }
}

/// The figure of a shift; what differs between the studies is said in it.
pub fn shift(a: &Drawn, b: &Drawn, options: &FigureOptions) -> Result<Figure, Failure> {
    let comparison = Comparison::between(&a.study, &b.study, &DifferenceKind::ALL)?;
    let pair = Pair {
        a: Arc::clone(&a.study),
        b: Arc::clone(&b.study),
        comparison,
    };
    let intervals = ShiftIntervals::all(&pair)?;
    Ok(figure::shift::figure(&pair, Some(&intervals), options))
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
}
