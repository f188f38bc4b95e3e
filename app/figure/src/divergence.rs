//! The figure of where two models part: the divergence along the thought, with its intervals.

use cruxscope_selectors::divergence::{Apart, PIECES};
use cruxscope_selectors::{format, status};
use cruxscope_study::{CurvePoint, Study};
use egui::{Align2, Rect, pos2};

use super::drawing::{Anchor, Line, Paint, Text};
use super::page::{HAIRLINE, INK, LABEL, Page};
use super::text_layout::Weight;
use super::{Cell, Column, Figure, FigureOptions, Stamp, Table, file_stem};

/// Height of the plot.
const HEIGHT: f32 = 260.0;
/// Room for the numbers and the name of the upright axis.
const SIDE: f32 = 56.0;
/// Lines across, at the most.
const TICKS: usize = 6;

/// The figure, of the study of the model that parts from the other; nothing where no position lies in a thought.
pub fn figure(study: &Study, apart: &Apart, options: &FigureOptions) -> Option<Figure> {
    let (divergence, points) = (&apart.divergence, &apart.curve);
    let whole = apart.mean?;
    if points.is_empty() {
        return None;
    }
    let [a, b] = divergence.facts.models.each_ref().map(|model| model.name.clone());
    let title = format!("Where {b} parts from {a}");
    let subtitle = format!(
        "{} · {} · mean {:.4} nats",
        format::things(divergence.facts.texts.len(), "text", "texts"),
        format::things(divergence.kl.len(), "prediction", "predictions"),
        whole.value
    );
    let mut page = Page::new(&title, &subtitle, options.bare);
    plot(&mut page, points, whole.value);
    let caption = format!(
        "Mean divergence of Kullback and Leibler of {b} from {a} at every position of {}, both reading the same tokens, by how far into the thought the position \
         stands; the band is the interval at 95 % by a bootstrap over texts, the dashed line the mean over all positions.",
        format::things(divergence.facts.texts.len(), "text", "texts")
    );
    let drawing = page.finish(&caption);
    let last = points.last();
    Some(Figure {
        name: format!("divergence-{}", file_stem(status::title(study))),
        description: format!(
            "Curve of the divergence along the thought: {:.4} nats in its first piece, {:.4} in its last, {:.4} over all positions.",
            points[0].kl.value,
            last.map_or(0.0, |last| last.kl.value),
            whole.value
        ),
        title,
        drawing,
        table: table(points, &a, &b),
        stamp: Stamp::of(study),
    })
}

/// Steps of 1, 2 or 5 times a power of ten, from zero to above a value.
pub(super) fn ticks(high: f64) -> Vec<f64> {
    let raw = (high / TICKS as f64).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= raw)
        .unwrap_or(raw);
    (0..)
        .map(|count| f64::from(count) * step)
        .take_while(|value| *value <= high * (1.0 + 1e-9))
        .take(2 * TICKS)
        .collect()
}

fn plot(page: &mut Page, points: &[CurvePoint], mean: f64) {
    let area = Rect::from_min_max(pos2(page.left() + SIDE, page.bottom), pos2(page.right(), page.bottom + HEIGHT));
    let top = points
        .iter()
        .map(|point| point.kl.interval.map_or(point.kl.value, |(_, high)| high))
        .fold(mean, f64::max);
    let high = if top > 0.0 { 1.08 * top } else { 1.0 };
    let up = |value: f64| area.bottom() - area.height() * (value.max(0.0) / high).min(1.0) as f32;
    let across = |share: f64| area.left() + area.width() * share as f32;
    let middle = |point: &CurvePoint| across((point.from + point.to) / 2.0);
    let ends: Vec<(f32, f64, f64)> = points
        .iter()
        .filter_map(|point| point.kl.interval.map(|(low, high)| (middle(point), low, high)))
        .collect();
    if ends.len() > 1 {
        let upper = ends.iter().map(|(x, _, high)| pos2(*x, up(*high)));
        let lower = ends.iter().rev().map(|(x, low, _)| pos2(*x, up(*low)));
        page.drawing
            .path(upper.chain(lower).collect::<Vec<_>>(), Paint::filled(INK.panel.lerp_to_gamma(INK.accent, 0.18)));
    }
    for value in ticks(high) {
        let y = up(value);
        page.drawing.line(pos2(area.left(), y), pos2(area.right(), y), Line::solid(HAIRLINE, INK.line));
        page.label(pos2(area.left() - 5.0, y), Align2::RIGHT_CENTER, &format::tick(value));
    }
    for percent in [0, 25, 50, 75, 100] {
        let x = across(f64::from(percent) / 100.0);
        page.drawing.line(pos2(x, area.top()), pos2(x, area.bottom()), Line::solid(HAIRLINE, INK.line));
        let align = if percent == 100 { Align2::RIGHT_TOP } else { Align2::CENTER_TOP };
        page.label(pos2(x, area.bottom() + 5.0), align, &format!("{percent} %"));
    }
    let y = up(mean);
    page.drawing.line(
        pos2(area.left(), y),
        pos2(area.right(), y),
        Line {
            width: 0.8,
            colour: INK.dim,
            dashed: true,
        },
    );
    page.drawing.path(
        points.iter().map(|point| pos2(middle(point), up(point.kl.value))).collect::<Vec<_>>(),
        Paint::stroked(1.4, INK.accent),
    );
    for point in points {
        page.drawing.circle(pos2(middle(point), up(point.kl.value)), 2.2, Paint::filled(INK.accent));
    }
    page.drawing.rectangle(area, 0.0, Paint::stroked(HAIRLINE, INK.dim));
    page.label(pos2(area.center().x, area.bottom() + 18.0), Align2::CENTER_TOP, "Position in the thought");
    page.drawing.text(Text {
        at: pos2(page.left() + LABEL, area.center().y),
        words: "Divergence, nats".to_owned(),
        size: LABEL,
        weight: Weight::Regular,
        anchor: Anchor::Middle,
        colour: INK.dim,
        turned: true,
    });
    page.bottom = area.bottom() + 18.0 + LABEL;
}

fn table(points: &[CurvePoint], a: &str, b: &str) -> Table {
    let row = |point: &CurvePoint| {
        let (low, high) = point.kl.interval.unzip();
        vec![
            Cell::Share(point.from),
            Cell::Share(point.to),
            Cell::Whole(point.count),
            Cell::Number(point.kl.value, 4),
            Cell::number(low, 4),
            Cell::number(high, 4),
            Cell::Share(point.agreement.value),
        ]
    };
    Table {
        caption: format!("Divergence of {b} from {a} along the thought"),
        columns: vec![
            Column::numbers("from", "From, %"),
            Column::numbers("to", "To, %"),
            Column::numbers("predictions", "Predictions"),
            Column::numbers("divergence_nats", "Divergence, nats"),
            Column::numbers("low", "Low"),
            Column::numbers("high", "High"),
            Column::numbers("same_choice", "Same choice, %"),
        ],
        rows: points.iter().map(row).collect(),
        printed: PIECES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for high in [1e-7, 0.0031, 0.26, 1.0, 17.0, 4e5] {
            let found = ticks(high);
            assert!((2..=TICKS + 1).contains(&found.len()), "{high}: {found:?}");
            assert!(found[0] == 0.0 && found.last().is_some_and(|last| *last <= high * 1.001));
        }
    }
}
