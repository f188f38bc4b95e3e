//! The variants that are on: the open studies of one model beside their original, with the matrices of their maps.

use std::sync::Arc;

use cruxscope_selectors::variants::{self, Candidate, Variants};
use cruxscope_study::{Behaviour, Module};

use crate::heatmap::Matrix;
use crate::library::{Library, OpenResults};
use crate::state::State;
use crate::studies::OpenStudy;

/// What the variants were made of: studies and whether it is known what compression did to them, results, the benchmark.
#[derive(Clone, Debug, Default, PartialEq)]
struct Key {
    studies: Vec<(usize, bool)>,
    active: usize,
    results: Vec<usize>,
    benchmark: Option<String>,
}

/// Open studies of one model beside each other.
pub struct OpenVariants {
    key: Key,
    /// The versions; nothing where no two studies can be put beside each other.
    pub variants: Option<Variants>,
    matrices: Vec<[Option<Arc<Matrix>>; 4]>,
}

impl OpenVariants {
    /// Puts what is open beside each other, unless that is what these are already.
    pub fn follow(kept: &mut Option<Self>, library: &Library, state: &State) {
        let key = Key {
            studies: library.studies.iter().map(|open| (open.id, open.parts().compression().is_some())).collect(),
            active: library.studies.get(state.active).map_or(0, |open| open.id),
            results: library.results.iter().map(|open| open.id).collect(),
            benchmark: state.results.benchmark.clone(),
        };
        if kept.as_ref().is_none_or(|known| known.key != key) {
            *kept = Some(Self::new(key, &library.studies, &library.results));
        }
    }

    fn new(key: Key, studies: &[OpenStudy], results: &[OpenResults]) -> Self {
        let candidates = candidates(studies);
        let family = variants::family(&candidates, key.active);
        let results: Vec<_> = results.iter().map(|open| &*open.results).collect();
        let found = variants::original(&family).and_then(|original| Variants::of(&family, original, &results, key.benchmark.as_deref()));
        let layers = found.as_ref().map_or(0, |found| found.layers);
        let rows = found.iter().flat_map(|found| &found.rows);
        let matrices = rows.map(|row| Behaviour::ALL.map(|behaviour| Some(Arc::new(Matrix::new(Module::ALL.len(), row.cells(behaviour, layers)?)))));
        Self {
            matrices: matrices.collect(),
            variants: found,
            key,
        }
    }

    /// The cells of a map.
    pub fn matrix(&self, row: usize, behaviour: Behaviour) -> Option<&Arc<Matrix>> {
        self.matrices.get(row)?[behaviour.index()].as_ref()
    }
}

/// Open studies as what may be put beside each other.
pub fn candidates(studies: &[OpenStudy]) -> Vec<Candidate<'_>> {
    studies
        .iter()
        .map(|open| Candidate {
            id: open.id,
            study: &open.study,
            compression: open.parts().compression().map(|map| &**map),
        })
        .collect()
}
