//! Figures for papers and slides: what a view shows, drawn from a study for print, whatever the window looks like.
//!
//! A figure is plain data, a [`Drawing`] and a [`Table`], that a function of the view's own module builds out of a study by
//! [selectors](cruxscope_selectors). The other modules write figures in the formats there are. Nothing here paints into a window.
//! A new view adds a module with one such function; `app/cli/src/draw.rs` calls it for `export` and `publish`.

pub mod benchmarks;
pub mod budget;
pub mod channels;
pub mod compression;
mod csv;
pub mod divergence;
mod drawing;
mod grid;
pub mod html;
pub mod importance;
pub mod latex;
mod markers;
mod page;
pub mod parts;
#[cfg(feature = "pdf")]
mod pdf;
mod png;
pub mod ranking;
mod raster;
mod recoloured;
pub mod shift;
mod shift_map;
mod shift_stage;
pub mod slide;
mod stamp;
mod svg;
mod table;
pub mod test_time;
pub mod text_apart;
mod text_layout;
pub mod trace;
pub mod validation;
pub mod variants;

use cruxscope_selectors::Scale;
use cruxscope_study::{Behaviour, Component, ShiftView};
use egui::vec2;

pub use drawing::Drawing;
pub use stamp::Stamp;
pub use table::{Cell, Column, Table};

/// Lengths of dashes and of the gaps between them.
const DASHES: [f32; 2] = [3.0, 2.0];
/// The page of a picture that stands for a link, in pixels.
const PREVIEW: [f32; 2] = [1200.0, 630.0];

/// A figure: what is drawn, the numbers behind it, and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The name of its files, without what stands behind the point.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What it shows, in words, for those who do not see it.
    pub description: String,
    /// The drawing.
    pub drawing: Drawing,
    /// The numbers.
    pub table: Table,
    /// Where they come from.
    pub stamp: Stamp,
}

impl Figure {
    /// The figure in the middle of a page of the size that links are shown with.
    #[must_use]
    pub fn preview(&self) -> Self {
        Self {
            drawing: self.drawing.fitted(vec2(PREVIEW[0], PREVIEW[1]), 24.0),
            ..self.clone()
        }
    }
}

/// What of a view is drawn. The keys of a link and the state of the window say the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FigureOptions {
    /// The scale of the colours.
    pub scale: Scale,
    /// Which part of a shift is shown.
    pub shift: ShiftView,
    /// Only this behaviour.
    pub behaviour: Option<Behaviour>,
    /// A component that is framed.
    pub component: Option<Component>,
    /// Panels that have a scale of their own.
    pub unlocked: [bool; 4],
    /// Without title and caption, for a paper that sets its own.
    pub bare: bool,
    /// For an audience: fewer and larger maps where a figure has many.
    pub stage: bool,
}

impl FigureOptions {
    /// The behaviours that are drawn.
    fn behaviours(&self) -> Vec<Behaviour> {
        self.behaviour.map_or_else(|| Behaviour::ALL.to_vec(), |behaviour| vec![behaviour])
    }
}

/// The formats of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Vectors for the web and for drawing programs.
    Svg,
    /// Vectors for print.
    Pdf,
    /// Pixels.
    Png,
    /// The numbers for other programs.
    Csv,
    /// The numbers for a paper.
    Latex,
}

impl Format {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Svg, Self::Pdf, Self::Png, Self::Csv, Self::Latex];

    /// The name in options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Pdf => "pdf",
            Self::Png => "png",
            Self::Csv => "csv",
            Self::Latex => "latex",
        }
    }

    /// What stands behind the point of a file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Latex => "tex",
            _ => self.name(),
        }
    }

    /// The name on a button.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Svg => "SVG",
            Self::Pdf => "PDF",
            Self::Png => "PNG",
            Self::Csv => "CSV",
            Self::Latex => "LaTeX table",
        }
    }

    /// Whether this program writes the format; the page leaves PDF to the desktop, for its weight.
    pub const fn is_offered(self) -> bool {
        cfg!(feature = "pdf") || !matches!(self, Self::Pdf)
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|format| format.name() == text || format.extension() == text);
        found.ok_or_else(|| format!("\"{text}\" is no format of figures; known are {known}"))
    }
}

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writing {
    /// Pixels a point, for pictures made of pixels.
    pub pixels: u8,
    /// Rows of a LaTeX table, where not as many as the table has in print.
    pub rows: Option<usize>,
}

impl Default for Writing {
    fn default() -> Self {
        Self { pixels: 2, rows: None }
    }
}

/// The bytes of a figure's file.
///
/// # Errors
/// When the figure is too large for the format, or the format cannot be written here.
pub fn write(figure: &Figure, format: Format, writing: Writing) -> Result<Vec<u8>, FigureError> {
    match format {
        Format::Svg => Ok(svg::write(figure).into_bytes()),
        Format::Png => png::write(figure, writing.pixels),
        Format::Csv => Ok(csv::write(figure).into_bytes()),
        Format::Latex => Ok(latex::write(figure, writing.rows).into_bytes()),
        #[cfg(feature = "pdf")]
        Format::Pdf => pdf::write(figure),
        #[cfg(not(feature = "pdf"))]
        Format::Pdf => Err(FigureError::Encoding {
            format: "PDF",
            why: "the page writes none; the desktop program does".to_owned(),
        }),
    }
}

/// Several figures as the pages of one PDF.
///
/// # Errors
/// As [`write`].
#[cfg(feature = "pdf")]
pub fn write_pages(figures: &[Figure]) -> Result<Vec<u8>, FigureError> {
    pdf::write_pages(figures)
}

/// Why a figure could not be drawn or written.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// The picture has more pixels than one can have.
    #[error("a picture of {points:.0} points at {pixels} pixels a point is too large; choose a smaller scale, or a format of vectors")]
    TooLarge {
        /// The longer side.
        points: f32,
        /// Pixels a point.
        pixels: u8,
    },
    /// The file could not be put together.
    #[error("the figure could not be written as {format}: {why}")]
    Encoding {
        /// The format.
        format: &'static str,
        /// What went wrong.
        why: String,
    },
}

/// A name for a file out of words of a study: letters, digits and hyphens.
pub fn file_stem(words: &str) -> String {
    const LONGEST: usize = 60;
    let mut stem = String::new();
    for character in words.chars() {
        if character.is_ascii_alphanumeric() {
            stem.push(character.to_ascii_lowercase());
        } else if !stem.is_empty() && !stem.ends_with('-') {
            stem.push('-');
        }
    }
    stem.truncate(LONGEST);
    let stem = stem.trim_end_matches('-');
    if stem.is_empty() { "study".to_owned() } else { stem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_hold_nothing_that_a_system_minds() {
        assert_eq!(file_stem("SmolLM2-135M-Instruct, four traces"), "smollm2-135m-instruct-four-traces");
        assert_eq!([file_stem("../../etc"), file_stem("研究")], ["etc", "study"]);
        assert!(file_stem(&"x".repeat(500)).len() <= 60);
    }

    #[test]
    fn formats_are_known_by_name_and_by_extension() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
            assert_eq!(format.extension().parse(), Ok(format));
        }
        assert!("gif".parse::<Format>().unwrap_err().contains("svg, pdf, png, csv, latex"));
    }
}
