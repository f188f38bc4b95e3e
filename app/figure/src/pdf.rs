//! A figure as PDF: vectors, text that can be searched with the typeface inside the file, the stamp in its information.

use egui::{Color32, Pos2};
use krilla::color::rgb;
use krilla::geom::{Path, PathBuilder, Point, Rect, Transform};
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::paint::{Fill, LineCap, LineJoin, Stroke, StrokeDash};
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use krilla::{Document, SerializeSettings};

use super::drawing::{Drawing, Item, Line, Paint, Text};
use super::stamp::{PROGRAM, plain};
use super::text_layout::{self, Weight};
use super::{Figure, FigureError};

/// How far the handles of a quarter circle reach, as a part of its radius.
const QUARTER: f32 = 0.552_284_8;

/// Writes it.
///
/// # Errors
/// When the page has no area, or the document cannot be put together.
pub fn write(figure: &Figure) -> Result<Vec<u8>, FigureError> {
    write_pages(std::slice::from_ref(figure))
}

/// Writes several, a page each; what the document says of itself is the first one's.
///
/// # Errors
/// As [`write`], and when there is none.
pub fn write_pages(figures: &[Figure]) -> Result<Vec<u8>, FigureError> {
    let refuse = |why: String| FigureError::Encoding { format: "PDF", why };
    let figure = figures.first().ok_or_else(|| refuse("there is no page".to_owned()))?;
    let fonts = Weight::ALL.map(|weight| Font::new(weight.file().into(), 0));
    let [Some(regular), Some(strong)] = fonts else {
        return Err(refuse("the typeface could not be read".to_owned()));
    };
    let mut document = Document::new_with(SerializeSettings::default());
    document.set_metadata(
        Metadata::new()
            .title(plain(&figure.title))
            .description(plain(&figure.description))
            .keywords(figure.stamp.lines().collect())
            .creator(PROGRAM.to_owned())
            .language("en".to_owned()),
    );
    for figure in figures {
        let Drawing { size, items } = &figure.drawing;
        let page = PageSettings::from_wh(size.x, size.y).ok_or_else(|| refuse("the page has no area".to_owned()))?;
        let mut page = document.start_page_with(page);
        let mut surface = page.surface();
        for item in items {
            draw(&mut surface, item, [&regular, &strong]);
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| refuse(format!("{error:?}")))
}

fn draw(surface: &mut Surface<'_>, item: &Item, fonts: [&Font; 2]) {
    match item {
        Item::Rectangle(rect, radius, paint) => painted(surface, rectangle(*rect, *radius), *paint),
        Item::Circle(centre, radius, paint) => {
            let square = egui::Rect::from_center_size(*centre, egui::Vec2::splat(2.0 * radius));
            painted(surface, rectangle(square, *radius), *paint);
        }
        Item::Path(points, paint) => painted(surface, straight(points, paint.fill.is_some()), *paint),
        Item::Text(text) => write_text(surface, text, fonts[text.weight as usize]),
    }
}

fn rectangle(rect: egui::Rect, radius: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    if radius <= 0.0 {
        path.push_rect(Rect::from_ltrb(rect.left(), rect.top(), rect.right(), rect.bottom())?);
        return path.finish();
    }
    let radius = radius.min(rect.width() / 2.0).min(rect.height() / 2.0);
    let (left, top, right, bottom) = (rect.left(), rect.top(), rect.right(), rect.bottom());
    let handle = radius * (1.0 - QUARTER);
    path.move_to(left + radius, top);
    path.line_to(right - radius, top);
    path.cubic_to(right - handle, top, right, top + handle, right, top + radius);
    path.line_to(right, bottom - radius);
    path.cubic_to(right, bottom - handle, right - handle, bottom, right - radius, bottom);
    path.line_to(left + radius, bottom);
    path.cubic_to(left + handle, bottom, left, bottom - handle, left, bottom - radius);
    path.line_to(left, top + radius);
    path.cubic_to(left, top + handle, left + handle, top, left + radius, top);
    path.close();
    path.finish()
}

fn straight(points: &[Pos2], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (position, at) in points.iter().enumerate() {
        if position == 0 {
            path.move_to(at.x, at.y);
        } else {
            path.line_to(at.x, at.y);
        }
    }
    if closed {
        path.close();
    }
    path.finish()
}

/// Draws a path, where it has any extent.
fn painted(surface: &mut Surface<'_>, path: Option<Path>, paint: Paint) {
    let Some(path) = path else { return };
    surface.set_fill(paint.fill.map(fill));
    surface.set_stroke(paint.line.map(|Line { width, colour: ink, dashed }| {
        let ends = if dashed { LineCap::Butt } else { LineCap::Round };
        Stroke {
            paint: colour(ink).into(),
            width,
            line_cap: ends,
            line_join: LineJoin::Round,
            dash: dashed.then(|| StrokeDash {
                array: super::DASHES.to_vec(),
                offset: 0.0,
            }),
            ..Stroke::default()
        }
    }));
    if paint.fill.is_some() || paint.line.is_some() {
        surface.draw_path(&path);
    }
}

fn write_text(surface: &mut Surface<'_>, text: &Text, font: &Font) {
    let run = text_layout::run(&text.words, text.weight);
    let ends = run.glyphs.iter().skip(1).map(|glyph| glyph.start).chain([run.words.len()]);
    let glyphs: Vec<KrillaGlyph> = run
        .glyphs
        .iter()
        .zip(ends)
        .map(|(glyph, end)| KrillaGlyph {
            glyph_id: GlyphId::new(glyph.id),
            text_range: glyph.start..end.max(glyph.start),
            x_advance: glyph.advance,
            x_offset: glyph.offset[0],
            y_offset: glyph.offset[1],
            y_advance: 0.0,
            location: None,
        })
        .collect();
    surface.set_fill(Some(fill(text.colour)));
    surface.set_stroke(None);
    surface.push_transform(&Transform::from_translate(text.at.x, text.at.y));
    if text.turned {
        surface.push_transform(&Transform::from_rotate(-90.0));
    }
    surface.draw_glyphs(Point::from_xy(-text.lead(), 0.0), &glyphs, font.clone(), &run.words, text.size, false);
    if text.turned {
        surface.pop();
    }
    surface.pop();
}

fn fill(ink: Color32) -> Fill {
    Fill {
        paint: colour(ink).into(),
        ..Fill::default()
    }
}

fn colour(colour: Color32) -> rgb::Color {
    let [red, green, blue, _] = colour.to_array();
    rgb::Color::new(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_selectors::Figures;
    use cruxscope_study::test_data as samples;

    use crate::{FigureOptions, importance};

    #[test]
    fn a_document_has_one_page_its_fonts_and_its_stamp() {
        let study = samples::study(6);
        let figure = importance::figure(&study, &Figures::of(&study), &FigureOptions::default());
        let bytes = write(&figure).unwrap();
        assert_eq!(bytes, write(&figure).unwrap(), "the same bytes twice");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("%PDF-"));
        for part in ["/Count 1", "Inter-SemiBold", "Inter-Regular", "manifest sha256", "definition: paper", PROGRAM] {
            assert!(text.contains(part), "{part} is missing");
        }
        assert!(bytes.len() < 150_000, "{} bytes", bytes.len());
    }
}
