//! Bars and intervals, painted within a given rectangle; lengths come in as shares of it.

use cruxscope_theme::{Palette, sizes};
use egui::{Color32, CornerRadius, Painter, Rect, Stroke, pos2, vec2};

/// A bar in its track, `length` from 0 to 1.
pub fn bar(painter: &Painter, rect: Rect, length: f32, colour: Color32, palette: &Palette) {
    let radius = CornerRadius::same((rect.height() / 2.0) as u8);
    painter.rect_filled(rect, radius, palette.raised);
    if length > 0.0 {
        let width = (rect.width() * length.clamp(0.0, 1.0)).max(rect.height());
        painter.rect_filled(Rect::from_min_size(rect.min, vec2(width, rect.height())), radius, colour);
    }
}

/// Upright bars side by side, each `[0, 1]` high; nothing for one that is missing.
pub fn mini_bars(painter: &Painter, rect: Rect, bars: &[(Option<f32>, Color32)], palette: &Palette) {
    let pitch = rect.width() / bars.len().max(1) as f32;
    let width = (pitch * 0.46).round();
    for (position, (height, colour)) in bars.iter().enumerate() {
        let centre = rect.left() + pitch * (position as f32 + 0.5);
        let foot = rect.bottom();
        let column = |height: f32| Rect::from_min_max(pos2(centre - width / 2.0, foot - height), pos2(centre + width / 2.0, foot));
        match height {
            Some(height) => {
                let height = (rect.height() * height.clamp(0.0, 1.0)).max(sizes::HAIRLINE);
                painter.rect_filled(column(height), CornerRadius::same(1), *colour);
            }
            None => {
                painter.hline(column(0.0).x_range(), foot, Stroke::new(sizes::HAIRLINE, palette.line));
            }
        }
    }
}

/// A dot at `value` and a line from `low` to `high`, all as shares of the width.
pub fn interval(painter: &Painter, rect: Rect, value: f32, ends: Option<[f32; 2]>, palette: &Palette) {
    let at = |share: f32| rect.left() + rect.width() * share.clamp(0.0, 1.0);
    let middle = rect.center().y;
    if let Some([low, high]) = ends {
        painter.hline(at(low)..=at(high), middle, Stroke::new(1.5, palette.dim));
        for end in [low, high] {
            painter.vline(at(end), middle - 3.0..=middle + 3.0, Stroke::new(sizes::HAIRLINE, palette.dim));
        }
    }
    painter.circle_filled(pos2(at(value), middle), 3.5, palette.accent);
}
