//! A slide: a figure for an audience, under its finding and beside what is said of it, on a page of a screen's size.

use cruxscope_theme::Palette;
use egui::{Align2, Color32, Pos2, Rect, Vec2, pos2, vec2};

use super::drawing::{Drawing, Paint};
use super::page::line_of_text;
use super::recoloured;
use super::text_layout::{self, Weight};
use super::{Figure, Stamp, Table, file_stem};

/// White around everything.
const MARGIN: f32 = 64.0;
/// Type of titles, of captions, of what stands at the foot, in pixels of a page 1,080 high.
const TITLE: f32 = 46.0;
const CAPTION: f32 = 28.0;
const FOOT: f32 = 22.0;
/// From line to line, in sizes of the type.
const LEADING: f32 = 1.4;
/// The share of the width that a caption takes beside a figure.
const BESIDE: f32 = 0.28;

/// The share of the height that a caption takes under a figure, at the most.
const UNDER: f32 = 0.34;

/// The shape of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aspect {
    /// 1920 by 1080.
    #[default]
    Wide,
    /// 1440 by 1080.
    Narrow,
}

impl Aspect {
    /// The page, in pixels.
    pub fn page(self) -> Vec2 {
        match self {
            Self::Wide => vec2(1920.0, 1080.0),
            Self::Narrow => vec2(1440.0, 1080.0),
        }
    }
}

impl std::str::FromStr for Aspect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "16:9" => Ok(Self::Wide),
            "4:3" => Ok(Self::Narrow),
            _ => Err(format!("\"{text}\" is no shape of a slide; known are 16:9 and 4:3")),
        }
    }
}

/// What stands on a slide.
#[derive(Clone, Debug, Default)]
pub struct Slide<'a> {
    /// The heading.
    pub title: &'a str,
    /// What is said, a paragraph each, without markup.
    pub caption: &'a [String],
    /// The figure; one without title and caption of its own is read best.
    pub figure: Option<&'a Figure>,
    /// What stands at the foot: which slide of how many, of what.
    pub foot: &'a str,
}

/// The slide as a figure, so that every format of figures can be written.
pub fn slide(content: &Slide<'_>, aspect: Aspect, dark: bool) -> Figure {
    let palette = if dark { &Palette::DARK } else { &Palette::LIGHT };
    let page = aspect.page();
    let mut drawing = Drawing::new(page);
    drawing.rectangle(Rect::from_min_size(Pos2::ZERO, page), 0.0, Paint::filled(palette.ground));
    let room = Rect::from_min_size(Pos2::ZERO, page).shrink(MARGIN);
    let mut top = room.top();
    for line in text_layout::wrap(content.title, TITLE, Weight::Strong, room.width()) {
        write(&mut drawing, pos2(room.left(), top), &line, TITLE, Weight::Strong, palette.text);
        top += TITLE * 1.2;
    }
    top += CAPTION * 0.6;
    let foot = pos2(room.left(), room.bottom() - FOOT);
    write(&mut drawing, foot, content.foot, FOOT, Weight::Regular, palette.faint);
    let body = Rect::from_min_max(pos2(room.left(), top), pos2(room.right(), foot.y - CAPTION * 0.6));
    let has_caption = content.caption.iter().any(|paragraph| !paragraph.trim().is_empty());
    let [place, words] = match content.figure {
        Some(figure) if has_caption => divided(body, content.caption, figure.drawing.size),
        Some(_) => [body, Rect::NOTHING],
        None => [Rect::NOTHING, body],
    };
    if has_caption {
        caption(&mut drawing, words, content.caption, palette);
    }
    if let Some(figure) = content.figure {
        let drawn = if dark { recoloured::dark(&figure.drawing) } else { figure.drawing.clone() };
        let drawn = drawn.within(place.shrink(CAPTION * 0.5));
        drawing.rectangle(place, 12.0, Paint::filled(palette.panel));
        drawing.items.extend(drawn.items);
    }
    Figure {
        name: file_stem(content.title),
        title: content.title.to_owned(),
        description: content.figure.map_or_else(|| content.caption.join(" "), |figure| figure.description.clone()),
        drawing,
        table: content.figure.map_or_else(empty, |figure| figure.table.clone()),
        stamp: content.figure.map_or_else(Stamp::default, |figure| figure.stamp.clone()),
    }
}

/// The places of a figure of some size and of its caption: beside each other, or one under the other, whichever makes the figure larger.
fn divided(body: Rect, paragraphs: &[String], figure: Vec2) -> [Rect; 2] {
    let words = Rect::from_min_max(pos2(body.right() - body.width() * BESIDE, body.top()), body.max);
    let beside = Rect::from_min_max(body.min, pos2(words.left() - CAPTION * 1.4, body.bottom()));
    let high = height(&laid(paragraphs, CAPTION, body.width()), CAPTION);
    let line = body.bottom() - high.min(body.height() * UNDER);
    let under = Rect::from_min_max(pos2(body.left(), line), body.max);
    let over = Rect::from_min_max(body.min, pos2(body.right(), line - CAPTION * 0.7));
    let factor = |place: Rect| {
        let room = place.shrink(CAPTION * 0.5);
        (room.width() / figure.x).min(room.height() / figure.y)
    };
    // A caption that does not fit under the figure stands beside it.
    if high <= body.height() * UNDER && factor(over) > factor(beside) {
        [over, under]
    } else {
        [beside, words]
    }
}

/// The lines of paragraphs in a size of type; those without a word are left out.
fn laid(paragraphs: &[String], size: f32, width: f32) -> Vec<Vec<String>> {
    let own = paragraphs.iter().filter(|paragraph| !paragraph.trim().is_empty());
    own.map(|paragraph| text_layout::wrap(paragraph, size, Weight::Regular, width)).collect()
}

/// Their height.
fn height(lines: &[Vec<String>], size: f32) -> f32 {
    lines.iter().map(|lines| (lines.len() as f32 + 0.6) * size * LEADING).sum()
}

fn empty() -> Table {
    Table {
        caption: String::new(),
        columns: Vec::new(),
        rows: Vec::new(),
        printed: 0,
    }
}

/// The caption from the top of its place, in type as large as it fits, from that of captions down to that of the foot.
fn caption(drawing: &mut Drawing, place: Rect, paragraphs: &[String], palette: &Palette) {
    let mut size = CAPTION;
    let mut lines = laid(paragraphs, size, place.width());
    while height(&lines, size) > place.height() + 1.0 && size > FOOT {
        size -= 1.0;
        lines = laid(paragraphs, size, place.width());
    }
    let mut top = place.top();
    for paragraph in lines {
        for line in paragraph {
            // What has no room is not written over the foot.
            if top + size > place.bottom() {
                return;
            }
            write(drawing, pos2(place.left(), top), &line, size, Weight::Regular, palette.dim);
            top += size * LEADING;
        }
        top += size * LEADING * 0.6;
    }
}

fn write(drawing: &mut Drawing, at: Pos2, words: &str, size: f32, weight: Weight, colour: Color32) {
    drawing.text(line_of_text(at + vec2(0.0, size * 0.15), Align2::LEFT_TOP, words, size, weight, colour));
}

#[cfg(test)]
mod tests {
    use cruxscope_selectors::Figures;
    use cruxscope_study::test_data as samples;

    use super::*;
    use crate::{FigureOptions, importance};

    #[test]
    fn a_slide_is_a_screen_whose_texts_stand_apart() {
        let study = samples::study(6);
        let options = FigureOptions {
            bare: true,
            ..FigureOptions::default()
        };
        let figure = importance::figure(&study, &Figures::of(&study), &options);
        let words = vec!["What an audience is told of it, in a few sentences that are read from afar.".to_owned(); 4];
        for (aspect, size) in [(Aspect::Wide, vec2(1920.0, 1080.0)), (Aspect::Narrow, vec2(1440.0, 1080.0))] {
            for dark in [true, false] {
                for figure in [Some(&figure), None] {
                    let content = Slide {
                        title: "A finding that is as long as findings are: 6_gate matters most, 11.68 % of relative importance",
                        caption: &words,
                        figure,
                        foot: "1 of 8 · Sample",
                    };
                    let slide = slide(&content, aspect, dark);
                    assert_eq!(slide.drawing.size, size);
                    let boxes = slide.drawing.text_boxes();
                    let page = Rect::from_min_size(Pos2::ZERO, size);
                    for (at, (words, rect)) in boxes.iter().enumerate() {
                        assert!(page.contains_rect(*rect), "{words} leaves the page");
                        let others = boxes[at + 1..].iter().filter(|(_, other)| other.shrink(0.5).intersects(rect.shrink(0.5)));
                        assert_eq!(others.count(), 0, "{words} lies on another text");
                    }
                }
            }
        }
        assert!("3:2".parse::<Aspect>().is_err() && "16:9".parse() == Ok(Aspect::Wide));
    }
}
