//! How sure a score is: intervals, several passes, pairs of models, agreement.
//!
//! Every function is compared with scipy and statsmodels on fixed cases; the goldens and the script that makes them stand in
//! the crate's tests.

mod agreement;
mod paired;
mod passes;

pub use cruxscope_study::{wilson, wilson_share};

pub use agreement::{cohens_kappa, spearman, spearman_interval};
pub use paired::{PairedTest, mcnemar_exact, paired_test, sign_flip};
pub use passes::{Cluster, clustered_interval, clustered_mean, majority, pass_at_k};
