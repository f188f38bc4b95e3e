//! How colours look to those who lack a kind of cone, and how far apart two colours are: what the tests of palettes measure by.
//!
//! Simulation: Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision deficiency" (2009), severity
//! 1.0, in linear sRGB. Distance: Euclidean in `OKLab` (Ottosson 2020), in which 0.02 is about the least difference that is noticed.

use egui::Color32;

/// A kind of colour vision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vision {
    /// All three cones.
    Full,
    /// Without the cone for long waves.
    Protanopia,
    /// Without the cone for middle waves.
    Deuteranopia,
    /// Without the cone for short waves.
    Tritanopia,
}

impl Vision {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::Protanopia, Self::Deuteranopia, Self::Tritanopia];

    const fn matrix(self) -> [[f32; 3]; 3] {
        match self {
            Self::Full => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            Self::Protanopia => [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
            Self::Deuteranopia => [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
            Self::Tritanopia => [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        }
    }

    /// A colour as it is seen, in linear sRGB from 0 to 1.
    pub fn seen(self, colour: Color32) -> [f32; 3] {
        let linear = [colour.r(), colour.g(), colour.b()].map(|channel| {
            let value = f32::from(channel) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        });
        self.matrix()
            .map(|row| row.iter().zip(linear).map(|(factor, channel)| factor * channel).sum::<f32>().clamp(0.0, 1.0))
    }

    /// How far apart two colours look: the distance of what is seen in `OKLab`.
    pub fn distance(self, a: Color32, b: Color32) -> f32 {
        let (a, b) = (oklab(self.seen(a)), oklab(self.seen(b)));
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    }
}

fn oklab([r, g, b]: [f32; 3]) -> [f32; 3] {
    let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
    let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
    let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

#[cfg(test)]
mod tests {
    use cruxscope_selectors::results::MethodKind;
    use cruxscope_study::{Behaviour, Module};

    use super::*;
    use crate::Palette;

    /// Black and white are 1 apart, and whoever lacks a cone sees greys as they are.
    #[test]
    fn distances_have_their_scale() {
        for vision in Vision::ALL {
            let found = vision.distance(Color32::BLACK, Color32::WHITE);
            assert!((found - 1.0).abs() < 0.01, "{vision:?}: {found}");
            assert!(vision.distance(Color32::from_gray(90), Color32::from_gray(90)) < 1e-6);
        }
        let (red, green) = (Color32::from_rgb(200, 60, 60), Color32::from_rgb(90, 130, 50));
        assert!(Vision::Deuteranopia.distance(red, green) < 0.5 * Vision::Full.distance(red, green));
    }

    fn least(colours: &[(String, Color32)], vision: Vision) -> (f32, String) {
        let mut least = (f32::INFINITY, String::new());
        for (at, (name, colour)) in colours.iter().enumerate() {
            for (other_name, other) in &colours[at + 1..] {
                let found = vision.distance(*colour, *other);
                if found < least.0 {
                    least = (found, format!("{name} and {other_name}"));
                }
            }
        }
        least
    }

    /// Every categorical scale, for every kind of colour vision. Shapes and signs repeat what the colours say.
    #[test]
    fn categories_stay_apart_for_every_kind_of_colour_vision() {
        const BOUND: f32 = 0.04;
        let mut missed = Vec::new();
        for palette in [Palette::DARK, Palette::LIGHT] {
            let methods = MethodKind::ALL.map(|kind| (format!("{kind:?}"), palette.method(kind)));
            let behaviours = Behaviour::ALL.map(|behaviour| (behaviour.to_string(), palette.behaviour(behaviour)));
            let modules = Module::ALL.map(|module| (module.to_string(), palette.module(module)));
            for (what, colours) in [("methods", &methods[..]), ("behaviours", &behaviours[..]), ("modules", &modules[..])] {
                for vision in Vision::ALL {
                    let (found, pair) = least(colours, vision);
                    println!("{what}, dark {}, {vision:?}: {found:.3} ({pair})", palette.dark);
                    if found < BOUND {
                        missed.push(format!("{what}, dark {}, {vision:?}: {pair} {found:.3}", palette.dark));
                    }
                }
            }
        }
        assert!(missed.is_empty(), "under {BOUND}:\n{}", missed.join("\n"));
    }
}
