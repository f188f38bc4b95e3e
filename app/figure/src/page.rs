//! The page that every figure stands on: its width and margins, the sizes of its type, title, caption, colour bars.

use cruxscope_selectors::scale::LegendTick;
use cruxscope_theme::Palette;
use cruxscope_theme::colour_map::ColourMap;
use egui::{Align2, Color32, Pos2, Rect, pos2, vec2};

use super::drawing::{Anchor, Drawing, Line, Paint, Text};
use super::text_layout::{self, Weight};

/// The colours of print: those of the light theme, on white.
pub const INK: &Palette = &Palette::LIGHT;

/// Width of a page. Set to the width of a page of text, its smallest type is still read without a glass.
const WIDTH: f32 = 640.0;
/// Width of a page on its side, for figures that are wider than high.
const LANDSCAPE: f32 = 960.0;
/// Width of a page on a stage: on a slide of 1920 pixels its labels are 22 pixels high.
const STAGE: f32 = 730.0;
/// White around everything.
const MARGIN: f32 = 16.0;
/// Type of titles.
const TITLE: f32 = 13.0;
/// Type of heads over panels.
pub const HEAD: f32 = 10.5;
/// Type of labels and numbers.
pub const LABEL: f32 = 9.0;
/// Type of the smallest numbers.
pub const SMALL: f32 = 8.0;
/// From line to line of a text, in sizes of its type.
const LEADING: f32 = 1.4;
/// Height of a colour bar.
const BAR: f32 = 8.0;
/// Width of a step of a colour bar.
const STEP: f32 = 2.0;
/// Hairlines.
pub const HAIRLINE: f32 = 0.6;

/// A drawing that grows downwards.
pub struct Page {
    /// What is drawn so far.
    pub drawing: Drawing,
    /// How far down it reaches.
    pub bottom: f32,
    wide: f32,
    bare: bool,
}

impl Page {
    /// A page with a title and a line under it; a bare one has neither.
    pub fn new(title: &str, subtitle: &str, bare: bool) -> Self {
        Self::sized(title, subtitle, bare, WIDTH)
    }

    /// The same on its side.
    pub fn landscape(title: &str, subtitle: &str, bare: bool) -> Self {
        Self::sized(title, subtitle, bare, LANDSCAPE)
    }

    /// The same for a slide, of which nobody can come nearer.
    pub fn stage(title: &str, subtitle: &str, bare: bool) -> Self {
        Self::sized(title, subtitle, bare, STAGE)
    }

    fn sized(title: &str, subtitle: &str, bare: bool, wide: f32) -> Self {
        let mut page = Self {
            drawing: Drawing::new(vec2(wide, MARGIN)),
            bottom: MARGIN,
            wide,
            bare,
        };
        if bare {
            return page;
        }
        for (words, size, weight, colour) in [(title, TITLE, Weight::Strong, INK.text), (subtitle, LABEL, Weight::Regular, INK.dim)] {
            let words = text_layout::cut(&super::stamp::plain(words), size, weight, page.width());
            page.bottom += size;
            let at = pos2(page.left(), page.bottom);
            page.write(at, Align2::LEFT_BOTTOM, &words, size, weight, colour);
            page.bottom += size * (LEADING - 1.0);
        }
        page.bottom += 8.0;
        page
    }

    /// The left end of what is drawn.
    pub fn left(&self) -> f32 {
        MARGIN
    }

    /// The right end.
    pub fn right(&self) -> f32 {
        self.wide - MARGIN
    }

    /// The room between both.
    pub fn width(&self) -> f32 {
        self.wide - 2.0 * MARGIN
    }

    /// Writes a line of text: `place` says what of it lies at the point, where the bottom is the baseline and the middle that
    /// of capital letters.
    pub fn write(&mut self, at: Pos2, place: Align2, words: &str, size: f32, weight: Weight, colour: Color32) {
        self.drawing.text(line_of_text(at, place, words, size, weight, colour));
    }

    /// A label in dim ink.
    pub fn label(&mut self, at: Pos2, place: Align2, words: &str) {
        self.write(at, place, words, LABEL, Weight::Regular, INK.dim);
    }

    /// A colour bar with its numbers under it and what it measures over it, at most so wide.
    pub fn colour_bar(&mut self, at: Pos2, width: f32, name: &str, ticks: &[LegendTick], map: ColourMap) {
        self.write(at + vec2(0.0, LABEL), Align2::LEFT_BOTTOM, name, LABEL, Weight::Regular, INK.text);
        let steps = (width / STEP).floor().max(1.0);
        let bar = Rect::from_min_size(at + vec2(0.0, LABEL + 5.0), vec2(steps * STEP, BAR));
        // Each step reaches to the end under those that follow, so that no viewer draws a line between two of them.
        for step in 0..steps as usize {
            let left = bar.left() + step as f32 * STEP;
            let colour = map.at(step as f32 / (steps - 1.0).max(1.0), false);
            self.drawing
                .rectangle(Rect::from_min_max(pos2(left, bar.top()), bar.max), 0.0, Paint::filled(colour));
        }
        self.drawing.rectangle(bar, 0.0, Paint::stroked(HAIRLINE, INK.dim));
        for tick in ticks {
            let x = bar.left() + bar.width() * tick.position;
            self.drawing
                .line(pos2(x, bar.bottom()), pos2(x, bar.bottom() + 2.5), Line::solid(HAIRLINE, INK.dim));
            let place = match tick.position {
                position if position <= 0.0 => Align2::LEFT_TOP,
                position if position >= 1.0 => Align2::RIGHT_TOP,
                _ => Align2::CENTER_TOP,
            };
            self.write(pos2(x, bar.bottom() + 5.0), place, &tick.text, LABEL, Weight::Regular, INK.dim);
        }
        self.bottom = self.bottom.max(bar.bottom() + 5.0 + LABEL);
    }

    /// Writes a text of several lines over the whole width.
    pub fn paragraph(&mut self, words: &str, colour: Color32) {
        for line in text_layout::wrap(&super::stamp::plain(words), LABEL, Weight::Regular, self.width()) {
            self.bottom += LABEL;
            let at = pos2(self.left(), self.bottom);
            self.write(at, Align2::LEFT_BOTTOM, &line, LABEL, Weight::Regular, colour);
            self.bottom += LABEL * (LEADING - 1.0);
        }
    }

    /// The drawing, with a caption under it unless the page is bare.
    pub fn finish(mut self, caption: &str) -> Drawing {
        if !self.bare && !caption.is_empty() {
            self.bottom += 12.0;
            self.paragraph(caption, INK.dim);
            self.bottom -= LABEL * (LEADING - 1.0);
        }
        // Descenders of the last line, then the margin.
        self.drawing.size.y = (self.bottom + MARGIN + 2.0).ceil();
        self.drawing
    }
}

/// Height of capital letters in sizes of the type.
const CAPITALS: f32 = 0.727;

/// A line of text placed by its capital letters.
pub fn line_of_text(at: Pos2, place: Align2, words: &str, size: f32, weight: Weight, colour: Color32) -> Text {
    let anchor = match place.x() {
        egui::Align::Min => Anchor::Start,
        egui::Align::Center => Anchor::Middle,
        egui::Align::Max => Anchor::End,
    };
    let down = match place.y() {
        egui::Align::Min => CAPITALS * size,
        egui::Align::Center => CAPITALS * size / 2.0,
        egui::Align::Max => 0.0,
    };
    Text {
        at: at + vec2(0.0, down),
        words: words.to_owned(),
        size,
        weight,
        anchor,
        colour,
        turned: false,
    }
}
