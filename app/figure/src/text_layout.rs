//! The letters of figures: the window's own typeface, shaped as the window and browsers shape it, so that what a text measures
//! here is what it measures in every format.

use std::sync::LazyLock;

use cruxscope_theme::typeface;
use harfrust::{BufferFlags, ShapeOptions, ShaperData, UnicodeBuffer};
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider as _};

/// How heavy letters are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Weight {
    /// As text is.
    #[default]
    Regular,
    /// Titles.
    Strong,
}

impl Weight {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Regular, Self::Strong];

    /// The weight in the numbers of style sheets.
    pub const fn number(self) -> u16 {
        match self {
            Self::Regular => 400,
            Self::Strong => 600,
        }
    }

    /// The font file.
    pub const fn file(self) -> &'static [u8] {
        match self {
            Self::Regular => typeface::REGULAR,
            Self::Strong => typeface::SEMIBOLD,
        }
    }
}

/// The name of the typeface.
pub const FAMILY: &str = "Inter";

/// What stands for a character that the typeface lacks.
const UNKNOWN: char = '?';

/// A font, ready to be shaped and drawn.
struct Face {
    font: FontRef<'static>,
    shaper: ShaperData,
    units_per_em: f32,
}

static FACES: LazyLock<[Option<Face>; 2]> = LazyLock::new(|| {
    Weight::ALL.map(|weight| {
        let font = FontRef::new(weight.file()).ok()?;
        let shaper = ShaperData::new(&font);
        let units = font.metrics(Size::unscaled(), LocationRef::default()).units_per_em;
        Some(Face {
            font,
            shaper,
            units_per_em: f32::from(units),
        })
    })
});

/// The font of a weight. The files are part of the program, so there is one; without it texts would only be missing.
fn face(weight: Weight) -> Option<&'static Face> {
    FACES[weight as usize].as_ref()
}

/// A glyph of a shaped text; lengths are parts of the size of the type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glyph {
    /// Its number in the font.
    pub id: u32,
    /// How far it moves the pen.
    pub advance: f32,
    /// How far it stands off the pen, to the right and up.
    pub offset: [f32; 2],
    /// The byte of the text at which it begins.
    pub start: usize,
}

/// A shaped text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GlyphRun {
    /// The text as it is drawn: what the typeface lacks is a question mark.
    pub words: String,
    /// Its glyphs.
    pub glyphs: Vec<Glyph>,
}

/// Shapes a text.
pub fn run(words: &str, weight: Weight) -> GlyphRun {
    let Some(face) = face(weight) else { return GlyphRun::default() };
    let charmap = face.font.charmap();
    let known = |character: char| charmap.map(character).is_some_and(|glyph| glyph != GlyphId::NOTDEF);
    let words: String = words.chars().map(|character| if known(character) { character } else { UNKNOWN }).collect();
    let mut buffer = UnicodeBuffer::new();
    buffer.set_flags(BufferFlags::BEGINNING_OF_TEXT | BufferFlags::END_OF_TEXT);
    buffer.push_str(&words);
    buffer.guess_segment_properties();
    let shaped = face.shaper.shaper(&face.font).build().shape(buffer, ShapeOptions::new());
    let share = |units: i32| units as f32 / face.units_per_em;
    let glyphs = shaped.glyph_infos().iter().zip(shaped.glyph_positions()).map(|(info, position)| Glyph {
        id: info.glyph_id,
        advance: share(position.x_advance),
        offset: [share(position.x_offset), share(position.y_offset)],
        start: info.cluster as usize,
    });
    GlyphRun {
        glyphs: glyphs.collect(),
        words,
    }
}

/// The width of a text.
pub fn width(words: &str, size: f32, weight: Weight) -> f32 {
    run(words, weight).glyphs.iter().map(|glyph| glyph.advance).sum::<f32>() * size
}

/// The text, or as much of it as fits into `room` with an ellipsis behind it.
pub fn cut(words: &str, size: f32, weight: Weight, room: f32) -> String {
    if width(words, size, weight) <= room {
        return words.to_owned();
    }
    let ends: Vec<usize> = words.char_indices().map(|(position, _)| position).collect();
    // Text grows with its characters, so the longest that fits can be found by halving.
    let shortened = |end: usize| format!("{}…", words[..end].trim_end());
    let fitting = ends.partition_point(|end| width(&shortened(*end), size, weight) <= room);
    shortened(ends.get(fitting.saturating_sub(1)).copied().unwrap_or_default())
}

/// The text in lines that fit into `room`; a word that is too long for a line is cut.
pub fn wrap(words: &str, size: f32, weight: Weight, room: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_ascii_whitespace() {
        let longer = lines.last().map(|line| format!("{line} {word}"));
        match (lines.last_mut(), longer) {
            (Some(line), Some(longer)) if width(&longer, size, weight) <= room => *line = longer,
            _ => lines.push(cut(word, size, weight, room)),
        }
    }
    lines
}

/// Draws a glyph's outline in parts of the size of the type, `y` upwards.
pub fn outline(id: u32, weight: Weight, pen: &mut impl OutlinePen) {
    let Some(face) = face(weight) else { return };
    if let Some(glyph) = face.font.outline_glyphs().get(GlyphId::new(id)) {
        // A glyph that cannot be drawn stays white; the fonts of the program have none.
        glyph.draw(DrawSettings::unhinted(Size::new(1.0), LocationRef::default()), pen).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_wide_as_each_other_and_bold_is_wider() {
        let digits: Vec<f32> = ('0'..='9').map(|digit| width(&digit.to_string(), 10.0, Weight::Regular)).collect();
        assert!(digits.iter().all(|digit| (digit - digits[0]).abs() < 1e-4), "{digits:?}");
        assert!(width("Backtracking", 10.0, Weight::Strong) > width("Backtracking", 10.0, Weight::Regular));
        assert!((width("Backtracking", 20.0, Weight::Regular) - 2.0 * width("Backtracking", 10.0, Weight::Regular)).abs() < 1e-3);
    }

    #[test]
    fn texts_are_cut_and_wrapped_to_their_room() {
        let text = "Relative importance of every weight matrix";
        assert_eq!(cut(text, 10.0, Weight::Regular, 1000.0), text);
        let short = cut(text, 10.0, Weight::Regular, 80.0);
        assert!(short.ends_with('…') && width(&short, 10.0, Weight::Regular) <= 80.0, "{short}");
        assert!(width(&cut(text, 10.0, Weight::Regular, 1.0), 10.0, Weight::Regular) < 12.0);
        let lines = wrap(text, 10.0, Weight::Regular, 90.0);
        assert!(
            lines.len() > 1 && lines.iter().all(|line| width(line, 10.0, Weight::Regular) <= 90.0),
            "{lines:?}"
        );
        assert_eq!(lines.join(" "), text);
        assert_eq!(wrap("", 10.0, Weight::Regular, 90.0), Vec::<String>::new());
    }

    #[test]
    fn what_the_typeface_lacks_is_said_to_be_unknown() {
        assert_eq!(run("研究 3 %", Weight::Regular).words, "?? 3 %");
        assert_eq!(run("≤ 0.5 %, n = 4 · −1 × 2…", Weight::Regular).words, "≤ 0.5 %, n = 4 · −1 × 2…");
    }
}
