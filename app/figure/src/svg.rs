//! A figure as SVG: vectors, text that stays text with the typeface inside the file, the stamp in its metadata.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use egui::{Color32, Pos2};

use super::Figure;
use super::drawing::{Anchor, Drawing, Item, Line, Paint, Text};
use super::stamp::plain;
use super::text_layout::{FAMILY, Weight};

/// Writes it. Writing to a string cannot fail.
pub fn write(figure: &Figure) -> String {
    let Drawing { size, items } = &figure.drawing;
    let mut svg = String::new();
    let [width, height] = [number(size.x), number(size.y)];
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"title description\">\n<title id=\"title\">{}</title>\n<desc id=\"description\">{}</desc>\n<metadata>\n",
        escape(&figure.title),
        escape(&figure.description)
    );
    for line in figure.stamp.lines() {
        let _ = writeln!(svg, "{}", escape(&line));
    }
    svg.push_str("</metadata>\n<style>\n");
    let used = Weight::ALL.into_iter().filter(|weight| {
        let of_weight = |item: &Item| matches!(item, Item::Text(text) if text.weight == *weight);
        items.iter().any(of_weight)
    });
    for weight in used {
        let _ = writeln!(
            svg,
            "@font-face {{ font-family: \"{FAMILY}\"; font-weight: {}; src: url(data:font/ttf;base64,{}) format(\"truetype\"); }}",
            weight.number(),
            BASE64.encode(weight.file())
        );
    }
    let _ = write!(svg, "text {{ font-family: \"{FAMILY}\", sans-serif; white-space: pre; }}\n</style>\n");
    for item in items {
        draw(&mut svg, item);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, item: &Item) {
    match item {
        Item::Rectangle(rect, radius, paint) => {
            let [x, y, width, height] = [rect.left(), rect.top(), rect.width(), rect.height()].map(number);
            let _ = write!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
            if *radius > 0.0 {
                let _ = write!(svg, " rx=\"{}\"", number(*radius));
            } else {
                svg.push_str(" shape-rendering=\"crispEdges\"");
            }
            painted(svg, *paint);
        }
        Item::Circle(centre, radius, paint) => {
            let [x, y, radius] = [centre.x, centre.y, *radius].map(number);
            let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"");
            painted(svg, *paint);
        }
        Item::Path(points, paint) => {
            svg.push_str("<path d=\"");
            for (position, point) in points.iter().enumerate() {
                let Pos2 { x, y } = point;
                let _ = write!(svg, "{}{} {}", if position == 0 { "M" } else { "L" }, number(*x), number(*y));
            }
            svg.push_str(if paint.fill.is_some() { "Z\"" } else { "\"" });
            painted(svg, *paint);
        }
        Item::Text(text) => draw_text(svg, text),
    }
}

fn draw_text(svg: &mut String, text: &Text) {
    let [x, y, size] = [text.at.x, text.at.y, text.size].map(number);
    let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"");
    match text.anchor {
        Anchor::Start => {}
        Anchor::Middle => svg.push_str(" text-anchor=\"middle\""),
        Anchor::End => svg.push_str(" text-anchor=\"end\""),
    }
    if text.weight != Weight::Regular {
        let _ = write!(svg, " font-weight=\"{}\"", text.weight.number());
    }
    if text.turned {
        let _ = write!(svg, " transform=\"rotate(-90 {x} {y})\"");
    }
    let _ = writeln!(svg, " fill=\"{}\">{}</text>", colour(text.colour), escape(&text.words));
}

fn painted(svg: &mut String, paint: Paint) {
    match paint.fill {
        Some(fill) => {
            let _ = write!(svg, " fill=\"{}\"", colour(fill));
        }
        None => svg.push_str(" fill=\"none\""),
    }
    if let Some(Line { width, colour: ink, dashed }) = paint.line {
        let _ = write!(svg, " stroke=\"{}\" stroke-width=\"{}\"", colour(ink), number(width));
        if dashed {
            let [dash, gap] = super::DASHES.map(number);
            let _ = write!(svg, " stroke-dasharray=\"{dash} {gap}\"");
        } else {
            svg.push_str(" stroke-linejoin=\"round\" stroke-linecap=\"round\"");
        }
    }
    svg.push_str("/>\n");
}

fn colour(colour: Color32) -> String {
    let [red, green, blue, _] = colour.to_array();
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A length with two digits behind the point at the most; one that is no number is zero.
fn number(length: f32) -> String {
    if !length.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{length:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text between tags and in attributes.
fn escape(text: &str) -> String {
    cruxscope_selectors::markup::escape_xml(&plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_selectors::Figures;
    use cruxscope_study::test_data as samples;

    use crate::{FigureOptions, importance};

    #[test]
    fn a_figure_is_vectors_with_its_typeface_and_its_stamp() {
        let study = samples::study(6);
        let svg = write(&importance::figure(&study, &Figures::of(&study), &FigureOptions::default()));
        for part in [
            "<metadata>\nstudy: Sample study\n",
            "@font-face",
            "font-weight: 600",
            "data:font/ttf;base64,",
            ">Backtracking</text>",
            "role=\"img\"",
        ] {
            assert!(svg.contains(part), "{part} is missing");
        }
        // Three behaviours occur; each has a cell for every component.
        assert!(svg.matches("<rect").count() > 3 * 42);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg, write(&importance::figure(&study, &Figures::of(&study), &FigureOptions::default())));
    }

    #[test]
    fn no_title_becomes_a_tag() {
        let mut study = samples::study(2);
        study.manifest.title = "</metadata><script>alert(1)</script>\u{0}".into();
        study.manifest.model.name = "\"><image href='x'/>".into();
        let svg = write(&importance::figure(&study, &Figures::of(&study), &FigureOptions::default()));
        assert!(!svg.contains("<script") && !svg.contains("<image") && !svg.contains('\u{0}'));
        assert_eq!(svg.matches("</metadata>").count(), 1);
    }

    #[test]
    fn lengths_are_short_and_always_numbers() {
        assert_eq!([1.0, 0.333_33, -0.001, f32::NAN].map(number), ["1", "0.33", "0", "0"]);
    }
}
