//! From the name of a view to the view. Adding a view is a module, a [`ViewKind`] and a line here.

use super::scene::Shown;
use super::{benchmarks, budget, channels, compression, importance, ledger, ranking, shift, test_time, trace, validation, variants};
use crate::view_kind::ViewKind;

/// The view of this kind.
pub const fn view(kind: ViewKind) -> Shown {
    match kind {
        ViewKind::Importance => Shown::Study(&importance::ImportanceView),
        ViewKind::Shift => Shown::Study(&shift::ShiftFigure),
        ViewKind::Ranking => Shown::Study(&ranking::RankingView),
        ViewKind::Channels => Shown::Study(&channels::ChannelsView),
        ViewKind::Trace => Shown::Study(&trace::TraceView),
        ViewKind::Benchmarks => Shown::Results(&benchmarks::BenchmarksView),
        ViewKind::TestTime => Shown::Results(&test_time::TestTimeView),
        ViewKind::Validation => Shown::Study(&validation::ValidationView),
        ViewKind::Compression => Shown::Study(&compression::CompressionView),
        ViewKind::Variants => Shown::Study(&variants::VariantsView),
        ViewKind::Budget => Shown::Study(&budget::BudgetView),
        ViewKind::Ledger => Shown::Study(&ledger::LedgerView),
    }
}
