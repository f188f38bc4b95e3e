//! What a page shows besides its program.

use crate::studies::{PublishedFigure, Studies};

/// What a page shows besides its program.
#[derive(Default)]
pub struct Content {
    /// The studies and results.
    pub studies: Studies,
    /// Figures that were drawn of them.
    pub figures: Vec<PublishedFigure>,
    /// For every stop of the tour its figure, by its place among the figures; nothing for a stop that has none.
    pub stops: Vec<Option<usize>>,
    /// The picture that stands for a link to the page.
    pub preview: Option<Preview>,
}

/// The picture that stands for a link to the page in messages and feeds.
pub struct Preview {
    /// The picture.
    pub png: Vec<u8>,
    /// Its width and height in pixels.
    pub size: [u32; 2],
    /// What it shows.
    pub description: String,
    /// The address under which the page will be served, where that is known: most readers of links take no relative one.
    pub address: Option<String>,
}
