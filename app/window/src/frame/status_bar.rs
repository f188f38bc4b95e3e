//! The one line at the bottom: what was read on the left, the keys on the right; a notice takes the keys' place for a while.

use cruxscope_selectors::status;
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Align2, Ui, pos2};

use crate::library::Library;
use crate::state::State;
use crate::studies::OpenStudy;
use crate::view_kind::ViewKind;
use crate::views::benchmarks;
use crate::widgets;

/// The keys that are worth a word in a view; the list of all is always among them.
const fn keys(view: ViewKind) -> &'static [&'static str] {
    match view {
        ViewKind::Importance => &["arrows move the cell", "S scale", "B behaviour", "/ search", "? keys"],
        ViewKind::Shift => &["hold space to flicker A and B", "V decreases, increases, net", "X swap", "S scale", "? keys"],
        ViewKind::Ranking => &["J, K move", "space protects", "C copies the list", "/ search", "? keys"],
        ViewKind::Channels => &["drag or scroll moves", "ctrl and wheel, + and − zoom", "arrows move the cell", "? keys"],
        ViewKind::Trace => &["N, P next and previous section", "B behaviour", "? keys"],
        ViewKind::Benchmarks => &["J, K move the row", "D dots, table, questions", "? keys"],
        ViewKind::TestTime => &["J, K move the row", "? keys"],
        ViewKind::Validation => &["J, K move", "B behaviour", "? keys"],
        ViewKind::Variants => &["J, K move the row", "Enter opens the pair", "S scale", "B behaviour", "? keys"],
        ViewKind::Budget => &["click a cell for its next format", "arrows move the cell", "B behaviour", "S scale", "? keys"],
        ViewKind::Ledger => &["? keys"],
        ViewKind::Compression => &["arrows move the cell", "S scale", "B behaviour", "? keys"],
    }
}

/// Draws it.
pub fn show(ui: &Ui, open: Option<&OpenStudy>, library: &Library, notice: Option<&str>, state: &State) {
    let palette = Palette::of(ui.ctx());
    let rect = ui.max_rect();
    let painter = ui.painter();
    let mut left = rect.left() + sizes::LARGE;
    // A notice takes what it needs; what else there is to say gives way.
    let mut end = rect.right() - sizes::LARGE;
    if let Some(notice) = notice {
        let placed = widgets::paint_cut(
            painter,
            pos2(end, rect.center().y),
            Align2::RIGHT_CENTER,
            notice,
            typeface::caption_strong(),
            palette.accent,
            end - left,
        );
        end = placed.left() - sizes::LARGE;
    }
    let of_results = state.view.is_of_results();
    if of_results {
        let source = benchmarks::active(&library.results, state)
            .map(|open| open.results.source.as_str())
            .unwrap_or_default();
        let place = pos2(left, rect.center().y);
        let placed = widgets::paint_cut(
            painter,
            place,
            Align2::LEFT_CENTER,
            source,
            typeface::caption(),
            palette.dim,
            (rect.width() * 0.5).min(end - left),
        );
        left = placed.right() + sizes::LARGE;
    } else {
        let facts = open.map_or_else(Vec::new, |open| status::facts(&open.study));
        for text in facts {
            let galley = painter.layout_no_wrap(text, typeface::caption(), palette.dim);
            if left + galley.size().x > end {
                break;
            }
            let width = galley.size().x;
            painter.galley(pos2(left, rect.center().y - galley.size().y / 2.0), galley, palette.dim);
            left += width + sizes::LARGE + sizes::SMALL;
        }
    }
    let mut right = rect.right() - sizes::LARGE;
    if notice.is_some() {
        return;
    }
    let keys = keys(state.view);
    // Without anything open only the list of keys is worth a word.
    let keys = if open.is_none() && !of_results { &keys[keys.len() - 1..] } else { keys };
    for key in keys.iter().rev() {
        let galley = painter.layout_no_wrap((*key).to_owned(), typeface::caption(), palette.faint);
        if right - galley.size().x < left {
            return;
        }
        right -= galley.size().x;
        painter.galley(pos2(right, rect.center().y - galley.size().y / 2.0), galley, palette.faint);
        right -= sizes::LARGE;
    }
}
