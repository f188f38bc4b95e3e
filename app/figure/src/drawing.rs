//! A drawing: rectangles, circles, paths and lines of text on a page of points, and nothing that knows of a window.
//!
//! Every format that a figure is written in draws these few things, so that all of them show the same.

use egui::{Color32, Pos2, Rect, Vec2};

use super::text_layout::{self, Weight};

/// A page and what lies on it, from the bottom up.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// The page, from the top left corner at zero.
    pub size: Vec2,
    /// What lies on it.
    pub items: Vec<Item>,
}

/// A thing on a page.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A rectangle with corners of a radius.
    Rectangle(Rect, f32, Paint),
    /// A circle around a point with a radius.
    Circle(Pos2, f32, Paint),
    /// Straight lines from point to point, closed where they are filled.
    Path(Vec<Pos2>, Paint),
    /// A line of text.
    Text(Text),
}

/// How the inside and the edge of a thing are painted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Paint {
    /// The inside.
    pub fill: Option<Color32>,
    /// The edge.
    pub line: Option<Line>,
}

/// A drawn line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Its width in points.
    pub width: f32,
    /// Its colour.
    pub colour: Color32,
    /// Whether it is dashed.
    pub dashed: bool,
}

impl Line {
    /// A line without gaps.
    pub const fn solid(width: f32, colour: Color32) -> Self {
        Self { width, colour, dashed: false }
    }
}

impl Paint {
    /// Filled, without an edge.
    pub const fn filled(colour: Color32) -> Self {
        Self {
            fill: Some(colour),
            line: None,
        }
    }

    /// An edge and no inside.
    pub const fn stroked(width: f32, colour: Color32) -> Self {
        Self {
            fill: None,
            line: Some(Line::solid(width, colour)),
        }
    }
}

/// Which end of a line of text lies at its point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// The text begins at the point.
    #[default]
    Start,
    /// The point is its middle.
    Middle,
    /// The text ends at the point.
    End,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Where its baseline begins, has its middle, or ends.
    pub at: Pos2,
    /// The words.
    pub words: String,
    /// The size of the type in points.
    pub size: f32,
    /// Regular or semibold.
    pub weight: Weight,
    /// What of it lies at the point.
    pub anchor: Anchor,
    /// The colour.
    pub colour: Color32,
    /// Whether it is turned by a quarter against the clock, to be read from below upwards.
    pub turned: bool,
}

impl Text {
    /// How wide it is.
    pub fn width(&self) -> f32 {
        text_layout::width(&self.words, self.size, self.weight)
    }

    /// How far before the point its baseline begins.
    pub fn lead(&self) -> f32 {
        match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => self.width() / 2.0,
            Anchor::End => self.width(),
        }
    }
}

impl Drawing {
    /// An empty page.
    pub fn new(size: Vec2) -> Self {
        Self { size, items: Vec::new() }
    }

    /// A rectangle.
    pub fn rectangle(&mut self, rect: Rect, radius: f32, paint: Paint) {
        self.items.push(Item::Rectangle(rect, radius, paint));
    }

    /// A circle.
    pub fn circle(&mut self, centre: Pos2, radius: f32, paint: Paint) {
        self.items.push(Item::Circle(centre, radius, paint));
    }

    /// Straight lines from point to point.
    pub fn path(&mut self, points: impl Into<Vec<Pos2>>, paint: Paint) {
        self.items.push(Item::Path(points.into(), paint));
    }

    /// One straight line.
    pub fn line(&mut self, from: Pos2, to: Pos2, line: Line) {
        let paint = Paint { fill: None, line: Some(line) };
        self.path([from, to], paint);
    }

    /// A line of text, where it is not empty.
    pub fn text(&mut self, text: Text) {
        if !text.words.is_empty() {
            self.items.push(Item::Text(text));
        }
    }

    /// The same drawing, made larger or smaller into the middle of another page, with a margin.
    #[must_use]
    pub fn fitted(&self, page: Vec2, margin: f32) -> Self {
        let room = Rect::from_min_size(Pos2::ZERO, page).shrink(margin);
        Self {
            size: page,
            ..self.within(room)
        }
    }

    /// The same drawing, made larger or smaller into the middle of a place on another page.
    #[must_use]
    pub fn within(&self, room: Rect) -> Self {
        let factor = (room.width() / self.size.x).min(room.height() / self.size.y);
        let offset = room.center().to_vec2() - self.size * factor / 2.0;
        let point = |at: Pos2| (at.to_vec2() * factor + offset).to_pos2();
        let paint = |paint: Paint| Paint {
            line: paint.line.map(|line| Line {
                width: line.width * factor,
                ..line
            }),
            ..paint
        };
        let items = self.items.iter().map(|item| match item {
            Item::Rectangle(rect, radius, painted) => Item::Rectangle(Rect::from_min_max(point(rect.min), point(rect.max)), radius * factor, paint(*painted)),
            Item::Circle(centre, radius, painted) => Item::Circle(point(*centre), radius * factor, paint(*painted)),
            Item::Path(points, painted) => Item::Path(points.iter().copied().map(point).collect(), paint(*painted)),
            Item::Text(text) => Item::Text(Text {
                at: point(text.at),
                size: text.size * factor,
                ..text.clone()
            }),
        });
        Self {
            size: room.max.to_vec2(),
            items: items.collect(),
        }
    }

    /// The rectangle that a text covers, roughly: for tests that nothing is cut off or lies on something else.
    #[cfg(test)]
    pub(crate) fn text_boxes(&self) -> Vec<(String, Rect)> {
        let texts = self.items.iter().filter_map(|item| match item {
            Item::Text(text) => Some(text),
            _ => None,
        });
        texts
            .map(|text| {
                let (width, up, down) = (text.width(), text.size * 0.73, text.size * 0.2);
                let rect = if text.turned {
                    Rect::from_min_size(text.at + egui::vec2(-up, text.lead() - width), egui::vec2(up + down, width))
                } else {
                    Rect::from_min_size(text.at - egui::vec2(text.lead(), up), egui::vec2(width, up + down))
                };
                (text.words.clone(), rect)
            })
            .collect()
    }
}
