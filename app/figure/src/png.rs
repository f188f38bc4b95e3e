//! A figure as PNG: the drawing rasterised at one to four pixels a point, the stamp in its text chunks, its resolution said.

use egui::{Color32, Pos2};
use skrifa::outline::OutlinePen;
use vello_cpu::kurbo::{Affine, BezPath, Cap, Circle, Join, Point, Rect, RoundedRect, Shape as _, Stroke};
use vello_cpu::peniko::Color;
use vello_cpu::{Level, Pixmap, RenderContext, RenderSettings, Resources};

use super::drawing::{Drawing, Item, Line, Paint, Text};
use super::text_layout;
use super::{Figure, FigureError};

/// Points in a metre; a point is 1/72 of an inch.
const POINTS_PER_METRE: f64 = 72.0 / 0.0254;
/// How far a curve may be from the straight pieces it is drawn with, in points.
const TOLERANCE: f64 = 0.01;

/// Writes it with so many pixels a point.
///
/// # Errors
/// When the picture is too large for the format of the rasteriser, or cannot be encoded.
pub fn write(figure: &Figure, pixels: u8) -> Result<Vec<u8>, FigureError> {
    let (width, height, opaque) = rasterise(&figure.drawing, pixels)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, u32::from(width), u32::from(height));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let per_metre = (POINTS_PER_METRE * f64::from(pixels)).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let encoding = |error: png::EncodingError| FigureError::Encoding {
        format: "PNG",
        why: error.to_string(),
    };
    let title = [("Title", figure.title.as_str()), ("Description", figure.description.as_str())];
    let stamp = figure.stamp.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in title.into_iter().chain(stamp) {
        let value = super::stamp::plain(value);
        // Plain text chunks hold Latin-1 only.
        if value.chars().all(|character| u32::from(character) < 256) {
            encoder.add_text_chunk(key.to_owned(), value).map_err(encoding)?;
        } else {
            encoder.add_itxt_chunk(key.to_owned(), value).map_err(encoding)?;
        }
    }
    let mut writer = encoder.write_header().map_err(encoding)?;
    writer.write_image_data(&opaque).map_err(encoding)?;
    writer.finish().map_err(encoding)?;
    Ok(bytes)
}

/// Width, height and colours, three bytes a pixel.
fn rasterise(drawing: &Drawing, pixels: u8) -> Result<(u16, u16, Vec<u8>), FigureError> {
    let factor = f64::from(pixels);
    let side = |points: f32| {
        let side = (f64::from(points) * factor).ceil();
        if side >= 1.0 && side <= f64::from(u16::MAX) {
            Ok(side as u16)
        } else {
            Err(FigureError::TooLarge { points, pixels })
        }
    };
    let (width, height) = (side(drawing.size.x)?, side(drawing.size.y)?);
    let settings = RenderSettings {
        // The same bytes on every machine, whatever its processor can do besides.
        level: Level::baseline(),
        num_threads: 0,
    };
    let mut context = RenderContext::new_with(width, height, settings);
    context.set_paint(Color::WHITE);
    context.fill_rect(&Rect::new(0.0, 0.0, f64::from(width), f64::from(height)));
    for item in &drawing.items {
        draw(&mut context, item, factor);
    }
    context.flush();
    let mut pixmap = Pixmap::new(width, height);
    context.render(&mut pixmap, &mut Resources::new());
    // Everything lies on white, so nothing shines through.
    let opaque = pixmap.data().iter().flat_map(|pixel| [pixel.r, pixel.g, pixel.b]).collect();
    Ok((width, height, opaque))
}

fn draw(context: &mut RenderContext, item: &Item, factor: f64) {
    context.set_transform(Affine::scale(factor));
    match item {
        Item::Rectangle(rect, radius, paint) => {
            let shape = Rect::from_points(point(rect.min), point(rect.max));
            if *radius > 0.0 {
                painted(context, &RoundedRect::from_rect(shape, f64::from(*radius)).to_path(TOLERANCE), *paint);
            } else {
                painted(context, &shape.to_path(TOLERANCE), *paint);
            }
        }
        Item::Circle(centre, radius, paint) => {
            painted(context, &Circle::new(point(*centre), f64::from(*radius)).to_path(TOLERANCE), *paint);
        }
        Item::Path(points, paint) => {
            let mut path = BezPath::new();
            for (position, at) in points.iter().enumerate() {
                if position == 0 {
                    path.move_to(point(*at));
                } else {
                    path.line_to(point(*at));
                }
            }
            if paint.fill.is_some() {
                path.close_path();
            }
            painted(context, &path, *paint);
        }
        Item::Text(text) => write_text(context, text, factor),
    }
}

fn painted(context: &mut RenderContext, path: &BezPath, paint: Paint) {
    if let Some(fill) = paint.fill {
        context.set_paint(colour(fill));
        context.fill_path(path);
    }
    if let Some(Line { width, colour: ink, dashed }) = paint.line {
        context.set_paint(colour(ink));
        let stroke = Stroke::new(f64::from(width));
        context.set_stroke(if dashed {
            stroke.with_caps(Cap::Butt).with_dashes(0.0, super::DASHES.map(f64::from))
        } else {
            stroke.with_caps(Cap::Round).with_join(Join::Round)
        });
        context.stroke_path(path);
    }
}

fn write_text(context: &mut RenderContext, text: &Text, factor: f64) {
    let run = text_layout::run(&text.words, text.weight);
    let turn = if text.turned { -std::f64::consts::FRAC_PI_2 } else { 0.0 };
    let place = Affine::scale(factor) * Affine::translate(point(text.at).to_vec2()) * Affine::rotate(turn);
    let size = f64::from(text.size);
    context.set_paint(colour(text.colour));
    let mut pen = -f64::from(text.lead());
    for glyph in &run.glyphs {
        let mut outline = Outline(BezPath::new());
        text_layout::outline(glyph.id, text.weight, &mut outline);
        let [right, up] = glyph.offset.map(|offset| f64::from(offset) * size);
        // Fonts count upwards, pages downwards.
        context.set_transform(place * Affine::translate((pen + right, -up)) * Affine::scale_non_uniform(size, -size));
        context.fill_path(&outline.0);
        pen += f64::from(glyph.advance) * size;
    }
}

/// A path out of a font's outline.
struct Outline(BezPath);

impl OutlinePen for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to((x, y));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to((x, y));
    }

    fn quad_to(&mut self, cx0: f32, cy0: f32, x: f32, y: f32) {
        self.0.quad_to((cx0, cy0), (x, y));
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        self.0.curve_to((cx0, cy0), (cx1, cy1), (x, y));
    }

    fn close(&mut self) {
        self.0.close_path();
    }
}

fn point(at: Pos2) -> Point {
    Point::new(f64::from(at.x), f64::from(at.y))
}

fn colour(colour: Color32) -> Color {
    let [red, green, blue, _] = colour.to_array();
    Color::from_rgb8(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_selectors::Figures;
    use cruxscope_study::test_data as samples;

    use crate::{FigureOptions, importance};

    #[test]
    fn a_picture_has_its_size_its_colours_and_its_stamp() {
        let mut study = samples::study(6);
        study.manifest.title = "Größe 研究".into();
        let figure = importance::figure(&study, &Figures::of(&study), &FigureOptions::default());
        let bytes = write(&figure, 2).unwrap();
        assert_eq!(bytes, write(&figure, 2).unwrap(), "the same bytes twice");
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let size = figure.drawing.size * 2.0;
        assert_eq!([reader.info().width, reader.info().height], [size.x.ceil() as u32, size.y.ceil() as u32]);
        assert_eq!(reader.info().pixel_dims.map(|dims| dims.xppu), Some(5669), "144 pixels an inch");
        let latin: Vec<_> = reader.info().uncompressed_latin1_text.iter().map(|chunk| chunk.keyword.as_str()).collect();
        assert!(latin.contains(&"model") && latin.contains(&"manifest sha256"), "{latin:?}");
        let wide = reader.info().utf8_text.iter().find(|chunk| chunk.keyword == "study").unwrap();
        assert_eq!(wide.get_text().unwrap(), "Größe 研究");
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let colours: std::collections::BTreeSet<&[u8]> = pixels.chunks(3).collect();
        assert!(colours.len() > 100, "{} colours", colours.len());
        assert_eq!(pixels[..3], [255; 3], "the paper is white");
    }

    #[test]
    fn what_is_too_large_is_said() {
        let mut figure = importance::figure(&samples::study(2), &Figures::of(&samples::study(2)), &FigureOptions::default());
        figure.drawing.size.y = 60_000.0;
        assert!(matches!(write(&figure, 4), Err(FigureError::TooLarge { .. })));
    }
}
