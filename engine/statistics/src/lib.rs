//! Statistics that several crates share: random numbers, intervals, correlation, agreement, tests of pairs.
//!
//! * [`SplitMix`] — seeded random numbers, the same on every machine.
//! * [`Bootstrap`] — percentile intervals of any statistic.
//! * [`wilson`], [`wilson_share`] — intervals of a proportion.
//! * [`RankCorrelation`], [`spearman`], [`cohens_kappa`] — how far two lists, or two annotators, agree.
//! * [`Cluster`] and what stands beside it — several passes over the same questions.
//! * [`paired_test`] — two models on the same questions.
//!
//! Every function is compared with scipy and statsmodels on fixed cases; the goldens and the script that makes them are in
//! `tests/goldens`.
//!
//! What it is not: it knows nothing of studies, models or files.
//!
//! ```
//! use cruxscope_statistics::{Bootstrap, wilson};
//!
//! let right = [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0];
//! let share = |times: Vec<f64>| Some(right.iter().zip(&times).map(|(right, times)| right * times).sum::<f64>() / 8.0);
//! let drawn = Bootstrap::default().interval(right.len(), share);
//! assert_eq!(drawn, Bootstrap::default().interval(right.len(), share));
//! assert!(drawn.is_some_and(|(low, high)| low < 0.75 && 0.75 < high));
//! assert!(wilson(6, 8).is_some_and(|(low, high)| low < 0.75 && 0.75 < high));
//! ```

mod agreement;
mod bootstrap;
mod correlation;
mod paired;
mod passes;
mod proportion;
mod random;

pub use agreement::{cohens_kappa, spearman, spearman_interval};
pub use bootstrap::Bootstrap;
pub use correlation::RankCorrelation;
pub use paired::{PairedTest, mcnemar_exact, paired_test, sign_flip};
pub use passes::{Cluster, clustered_interval, clustered_mean, majority, pass_at_k};
pub use proportion::{wilson, wilson_share};
pub use random::SplitMix;
