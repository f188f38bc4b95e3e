//! The colour maps of figures: 256 steps each, the same for the figure, its legend and the text in cells.
//!
//! Importance is viridis. A shift has maps of its own, so that nobody takes one for the other: orange for what was lost,
//! purple for what was gained, and both with zero between them for the net shift. The two hues can be told apart by every
//! kind of colour vision. Their zero is close to the panel it lies on, so there is a set for a dark ground and one for a light.

use std::sync::LazyLock;

use colorgrad::{BlendMode, Color, Gradient as _, GradientBuilder, LinearGradient};
use egui::Color32;

/// Number of steps.
pub const STEPS: usize = 256;
/// The steps of a map, from its first colour to its last.
pub type Steps = [Color32; STEPS];

/// Orange from zero to the largest, on a dark ground and on a light one.
const ORANGE: [&[u32]; 2] = [
    &[0x20252c, 0x6b3a12, 0xc96a10, 0xf7a541, 0xffe3b8],
    &[0xf3f1ee, 0xfdc98d, 0xf08a2c, 0xb85408, 0x6b2d04],
];
/// Purple likewise.
const PURPLE: [&[u32]; 2] = [
    &[0x20252c, 0x473a7e, 0x7a68c4, 0xada3e8, 0xe9e5ff],
    &[0xf3f1ee, 0xc5c0e4, 0x8f82c6, 0x5b3d9b, 0x35106b],
];

/// Which colours values have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColourMap {
    /// Importance.
    Importance,
    /// What was lost.
    Decreases,
    /// What was gained.
    Increases,
    /// Lost to the left, gained to the right, nothing in the middle.
    Net,
}

static ROWS: LazyLock<Vec<Steps>> = LazyLock::new(|| {
    let viridis = colorgrad::preset::viridis();
    let mut rows = vec![std::array::from_fn(|step| {
        let [red, green, blue, _] = viridis.at(step as f32 / (STEPS - 1) as f32).to_rgba8();
        Color32::from_rgb(red, green, blue)
    })];
    for ground in 0..2 {
        let (orange, purple) = (ORANGE[ground], PURPLE[ground]);
        let net: Vec<u32> = orange.iter().rev().chain(&purple[1..]).copied().collect();
        rows.extend([orange, purple, &net].map(steps));
    }
    rows
});

/// The steps through some colours, evenly spaced.
fn steps(colours: &[u32]) -> Steps {
    let colours: Vec<Color> = colours
        .iter()
        .map(|colour| Color::from_rgba8((colour >> 16) as u8, (colour >> 8) as u8, *colour as u8, 255))
        .collect();
    let built = GradientBuilder::new().colors(&colours).mode(BlendMode::Oklab).build::<LinearGradient>();
    std::array::from_fn(|step| match &built {
        Ok(gradient) => {
            let [red, green, blue, _] = gradient.at(step as f32 / (STEPS - 1) as f32).to_rgba8();
            Color32::from_rgb(red, green, blue)
        }
        // Colours without places always make a gradient; a grey one would at least be seen.
        Err(_) => Color32::from_gray(step as u8),
    })
}

/// All maps, as rows of one texture.
pub fn rows() -> &'static [Steps] {
    &ROWS
}

impl ColourMap {
    /// The row of [`rows`] in which the map stands, for a dark or a light ground.
    pub const fn row(self, dark: bool) -> usize {
        let first = if dark { 1 } else { 4 };
        match self {
            Self::Importance => 0,
            Self::Decreases => first,
            Self::Increases => first + 1,
            Self::Net => first + 2,
        }
    }

    /// The steps on a dark or a light ground.
    pub fn steps(self, dark: bool) -> &'static Steps {
        &ROWS[self.row(dark)]
    }

    /// The colour at a position from 0 to 1.
    pub fn at(self, position: f32, dark: bool) -> Color32 {
        self.steps(dark)[(position.clamp(0.0, 1.0) * (STEPS - 1) as f32).round() as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brightness(map: ColourMap, dark: bool) -> Vec<f32> {
        let of = |colour: Color32| 0.2126 * f32::from(colour.r()) + 0.7152 * f32::from(colour.g()) + 0.0722 * f32::from(colour.b());
        (0..=16).map(|step| of(map.at(step as f32 / 16.0, dark))).collect()
    }

    #[test]
    fn brightness_grows_along_the_map() {
        let steps = brightness(ColourMap::Importance, true);
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
        assert_eq!(ColourMap::Importance.at(-1.0, true), ColourMap::Importance.at(0.0, true));
        assert_eq!(ColourMap::Importance.at(2.0, true), ColourMap::Importance.at(1.0, true));
    }

    #[test]
    fn a_shift_moves_away_from_its_ground() {
        for dark in [true, false] {
            let ordered = |steps: &[f32]| steps.windows(2).all(|pair| (pair[0] < pair[1]) == dark);
            for map in [ColourMap::Decreases, ColourMap::Increases] {
                assert!(ordered(&brightness(map, dark)), "{map:?}");
            }
            let mut net = brightness(ColourMap::Net, dark);
            assert!(ordered(&net[8..]));
            net.reverse();
            assert!(ordered(&net[8..]));
            assert_eq!(ColourMap::Net.at(0.0, dark), ColourMap::Decreases.at(1.0, dark));
            assert_eq!(ColourMap::Net.at(1.0, dark), ColourMap::Increases.at(1.0, dark));
        }
    }
}
