//! The collapse point of a sweep: how much compression a model stands before its score breaks down (paper, section 3.2 and
//! table 2).

use serde::Serialize;

use crate::datasets::Benchmark;

/// One step of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level {
    /// How strongly the model is compressed, such as its sparsity; a larger number is more.
    pub level: f64,
    /// Its score, 0 to 1.
    pub score: f64,
}

/// Between which levels a score breaks down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CollapsePoint {
    /// The last level before.
    pub before: Level,
    /// The first level that has collapsed.
    pub collapsed: Level,
    /// The score below which a level counts as collapsed.
    pub threshold: f64,
}

/// What guessing scores: one of three for FOLIO, one of four for Temporal, nothing where answers are open.
pub const fn chance(benchmark: Benchmark) -> f64 {
    match benchmark {
        Benchmark::Folio => 1.0 / 3.0,
        Benchmark::Temporal => 0.25,
        Benchmark::Aime | Benchmark::Musique => 0.0,
    }
}

/// The first level at which less than half of what the mildest level scores above chance is left, from which on no level
/// recovers. The paper calls it a collapse when a score "drops by more than half"; that chance is taken off first is ours, and
/// puts FOLIO's and Temporal's points where the paper sees them. `None` if no level collapses, or the mildest one is not above
/// chance itself.
pub fn collapse_point(levels: &[Level], benchmark: Benchmark) -> Option<CollapsePoint> {
    let mut levels = levels.to_vec();
    levels.sort_by(|a, b| a.level.total_cmp(&b.level));
    let chance = chance(benchmark);
    let baseline = levels.first()?.score - chance;
    if baseline <= 0.0 {
        return None;
    }
    let threshold = chance + baseline / 2.0;
    let stands = levels.iter().rposition(|level| level.score >= threshold)?;
    Some(CollapsePoint {
        before: levels[stands],
        collapsed: *levels.get(stands + 1)?,
        threshold,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scores: &[(f64, f64)], benchmark: Benchmark) -> Option<(f64, f64)> {
        let levels: Vec<Level> = scores.iter().map(|(level, score)| Level { level: *level, score: *score }).collect();
        collapse_point(&levels, benchmark).map(|point| (point.before.level, point.collapsed.level))
    }

    #[test]
    fn levels_in_any_order() {
        let scores = [(50.0, 0.2), (0.0, 0.6), (40.0, 0.55), (30.0, 0.29), (60.0, 0.0)];
        assert_eq!(point(&scores, Benchmark::Aime), Some((40.0, 50.0)), "a level that recovers is no collapse");
        assert_eq!(point(&scores[1..3], Benchmark::Aime), None);
        assert_eq!(point(&[(0.0, 0.2), (50.0, 0.0)], Benchmark::Temporal), None, "nothing to lose");
        assert_eq!(point(&[], Benchmark::Aime), None);
    }
}
