//! A shift for an audience: only what lies between A and B, two behaviours in a row, so that numbers are read from afar.

use cruxscope_selectors::shift::{self, Pair};
use cruxscope_selectors::{Scale, format};
use cruxscope_study::Module;
use egui::{Align2, pos2};

use super::FigureOptions;
use super::drawing::Drawing;
use super::grid::{self, Grid};
use super::importance::panel_head;
use super::markers::{self, Mark};
use super::page::{HEAD, INK, LABEL, Page};
use super::shift_map::{Part, colours, head, map};
use super::text_layout::{self, Weight};

/// Between two columns of maps.
const GAP: f32 = 20.0;
/// Height of a behaviour's line.
const LINE: f32 = 20.0;
/// Between two rows.
const ROW_GAP: f32 = 14.0;
/// Width of the colour bar.
const BAR: f32 = 260.0;

/// Draws it on a page, which may have a title already.
pub fn drawing(mut page: Page, pair: &Pair, [a, b]: [&str; 2], options: &FigureOptions) -> Drawing {
    let comparison = &pair.comparison;
    let scales = [
        shift::importance_scale(comparison, options.scale),
        shift::shift_scale(comparison, options.shift, options.scale),
    ];
    let words = format!("{}, A: {a}, B: {b}", shift::title(options.shift));
    let words = text_layout::cut(&super::stamp::plain(&words), HEAD, Weight::Strong, page.width());
    page.write(pos2(page.left(), page.bottom), Align2::LEFT_TOP, &words, HEAD, Weight::Strong, INK.text);
    page.bottom += HEAD + 10.0;
    let shown = options.behaviours();
    let columns = shown.len().clamp(1, 2);
    let width = (page.width() - GAP * (columns as f32 - 1.0)) / columns as f32;
    let mut ranked = false;
    for row in shown.chunks(columns) {
        let top = page.bottom;
        for (column, behaviour) in row.iter().enumerate() {
            let left = page.left() + (width + GAP) * column as f32;
            let grid = Grid::new(pos2(left + grid::NAMES, top + LINE), width - grid::NAMES, comparison.layers());
            let end = (left + grid::NAMES + grid.size().x).max(left + 0.8 * width);
            ranked = grid.ranks_are_written();
            match shift::empty_reason(pair, *behaviour) {
                Some(reason) => {
                    panel_head(&mut page, [left, end], top, *behaviour, "", &[]);
                    page.label(pos2(left + grid::NAMES, top + LINE + grid.size().y / 2.0), Align2::LEFT_CENTER, reason);
                }
                None => {
                    head(&mut page, [left, end], top, pair, *behaviour, options);
                    grid.names(&mut page);
                    grid.numbers(&mut page);
                    map(&mut page, &grid, pair, *behaviour, Part::Shift, scales, options);
                }
            }
            page.bottom = page.bottom.max(top + LINE + grid.size().y + grid::NUMBERS);
        }
        page.bottom += ROW_GAP;
    }
    let spread = match options.scale {
        Scale::Rank => "rank".to_owned(),
        scale => format!("{} scale", scale.title().to_lowercase()),
    };
    let at = pos2(page.left() + grid::NAMES, page.bottom);
    let name = format!("{}, {spread}", shift::title(options.shift));
    let components = comparison.layers() * Module::ALL.len();
    page.colour_bar(at, BAR, &name, &scales[1].ticks(components, BAR), colours(options.shift));
    let mut entries = vec![if ranked {
        (Mark::Words("1 2 3"), "the largest three of a map".to_owned())
    } else {
        (Mark::Dot, "the largest of a map".to_owned())
    }];
    if let Some(component) = options.component {
        entries.insert(0, (Mark::Frame, component.to_string()));
    }
    markers::legend(&mut page, at.y + LABEL + 9.0, &entries);
    page.finish(&format!(
        "Relative importance in B minus that in A; {} in both.",
        format::things(comparison.shared_instances(), "instance", "instances")
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cruxscope_study::test_data as samples;
    use cruxscope_study::{Comparison, DifferenceKind, ShiftView};

    use super::*;
    use crate::importance::assert_tidy;

    #[test]
    fn a_shift_on_a_stage_is_tidy_and_has_its_whole_table() {
        for layers in [1, 6, 30, 80] {
            let (a, b) = (samples::study(layers), samples::compressed(layers));
            let comparison = Comparison::between(&a, &b, &DifferenceKind::ALL).unwrap();
            let pair = Pair {
                a: Arc::new(a),
                b: Arc::new(b),
                comparison,
            };
            for shift in ShiftView::ALL {
                for bare in [false, true] {
                    let options = FigureOptions {
                        shift,
                        bare,
                        stage: true,
                        component: Some(cruxscope_study::Component::new(0, Module::Up)),
                        ..FigureOptions::default()
                    };
                    let staged = crate::shift::figure(&pair, None, &options);
                    assert_tidy(&staged);
                    let whole = crate::shift::figure(&pair, None, &FigureOptions { stage: false, ..options });
                    assert_eq!((staged.table, staged.name), (whole.table, whole.name));
                }
            }
        }
    }
}
