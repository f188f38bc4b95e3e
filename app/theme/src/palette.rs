//! The colours, once for a dark and once for a light ground, and the test that they can be read.
//!
//! Every colour literal of the program stands here. Colour maps of figures are in [`super::colour_map`].

use cruxscope_selectors::results::MethodKind;
use cruxscope_study::{Behaviour, Module};
use egui::Color32;

/// The colours of one theme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Palette {
    /// Whether this is the dark one.
    pub dark: bool,
    /// Behind everything.
    pub ground: Color32,
    /// Panels, bars, cards.
    pub panel: Color32,
    /// Things on a panel that can be pressed or are chosen.
    pub raised: Color32,
    /// Hairlines.
    pub line: Color32,
    /// Text.
    pub text: Color32,
    /// Text of second rank.
    pub dim: Color32,
    /// Captions.
    pub faint: Color32,
    /// The one accent.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// A chosen row's ground.
    pub chosen: Color32,
    /// Frame of the selected cell.
    pub selection: Color32,
    /// The lines beside the selected or hovered row and column.
    pub crosshair: Color32,
    /// A cell that holds nothing.
    pub missing: Color32,
    /// Something went wrong.
    pub error: Color32,
    /// Shade under popups.
    pub shadow: Color32,
    behaviours: [Color32; 4],
    /// In the order of [`MethodKind::ALL`].
    methods: [Color32; 8],
    /// In the order of [`Module::ALL`]: hues that every kind of colour vision tells apart.
    modules: [Color32; 7],
}

impl Palette {
    /// On a dark ground.
    pub const DARK: Self = Self {
        dark: true,
        ground: rgb(0x101317),
        panel: rgb(0x161a20),
        raised: rgb(0x1f252d),
        line: rgb(0x2a313b),
        text: rgb(0xe6e9ee),
        dim: rgb(0xa3adba),
        faint: rgb(0x8c96a4),
        accent: rgb(0x5aa9ff),
        on_accent: rgb(0x0b1522),
        chosen: rgb(0x1e2b3b),
        selection: rgb(0xffffff),
        crosshair: Color32::from_rgba_premultiplied(110, 110, 110, 110),
        missing: rgb(0x222831),
        error: rgb(0xff8b8b),
        shadow: Color32::from_rgba_premultiplied(0, 0, 0, 110),
        behaviours: [rgb(0xc05081), rgb(0xb87917), rgb(0x3f8fc0), rgb(0x699459)],
        methods: [
            rgb(0xe6e9ee),
            rgb(0x659ff4),
            rgb(0xdfa84c),
            rgb(0x9575ff),
            rgb(0x5dc78d),
            rgb(0x44d3e5),
            rgb(0xe77266),
            rgb(0xa3adba),
        ],
        modules: [
            rgb(0x65c5e7),
            rgb(0xeaab18),
            rgb(0x1fb288),
            rgb(0xd98ab8),
            rgb(0x8fa8ff),
            rgb(0xefe443),
            rgb(0xe8743b),
        ],
    };

    /// On a light ground.
    pub const LIGHT: Self = Self {
        dark: false,
        ground: rgb(0xf6f7f9),
        panel: rgb(0xffffff),
        raised: rgb(0xf0f2f5),
        line: rgb(0xdfe3e8),
        text: rgb(0x171b21),
        dim: rgb(0x4c5563),
        faint: rgb(0x636c79),
        accent: rgb(0x1f6fd1),
        on_accent: rgb(0xffffff),
        chosen: rgb(0xe6effa),
        selection: rgb(0x0b0d10),
        crosshair: Color32::from_rgba_premultiplied(0, 0, 0, 130),
        missing: rgb(0xe7eaee),
        error: rgb(0xb3261e),
        shadow: Color32::from_rgba_premultiplied(0, 0, 0, 40),
        behaviours: [rgb(0xc05081), rgb(0xb87917), rgb(0x3f8fc0), rgb(0x699459)],
        methods: [
            rgb(0x171b21),
            rgb(0x0e5eee),
            rgb(0xb2750c),
            rgb(0x884ac6),
            rgb(0x297b4b),
            rgb(0x009195),
            rgb(0xc23d36),
            rgb(0x636c79),
        ],
        modules: [
            rgb(0x1b79b6),
            rgb(0xab7f3e),
            rgb(0x226944),
            rgb(0xb0508b),
            rgb(0x4a57c9),
            rgb(0x8e6f00),
            rgb(0xa4340d),
        ],
    };

    /// The palette of the theme that is on.
    pub fn of(context: &egui::Context) -> &'static Self {
        match context.theme() {
            egui::Theme::Dark => &Self::DARK,
            egui::Theme::Light => &Self::LIGHT,
        }
    }

    /// The colour of a behaviour, the same in every view.
    pub fn behaviour(&self, behaviour: Behaviour) -> Color32 {
        self.behaviours[behaviour.index()]
    }

    /// The colour of a kind of compression, the same in every view.
    pub fn method(&self, kind: MethodKind) -> Color32 {
        self.methods[kind as usize]
    }

    /// The colour of a module, where marks stand for components.
    pub fn module(&self, module: Module) -> Color32 {
        self.modules[module.index()]
    }

    /// The ground under text of a section, so faint that the text is read as before.
    pub fn tint(&self, colour: Color32) -> Color32 {
        let share = if self.dark { 0.30 } else { 0.18 };
        let mix = |over: u8, under: u8| (f32::from(over) * share + f32::from(under) * (1.0 - share)).round() as u8;
        let ([r, g, b, _], [pr, pg, pb, _]) = (colour.to_array(), self.panel.to_array());
        Color32::from_rgb(mix(r, pr), mix(g, pg), mix(b, pb))
    }

    /// The colour of the sign on a behaviour's colour.
    pub const fn sign(&self) -> Color32 {
        Color32::WHITE
    }

    /// Black or white, whichever is read better on `ground`.
    pub fn ink_on(ground: Color32) -> Color32 {
        if contrast(Color32::BLACK, ground) >= contrast(Color32::WHITE, ground) {
            Color32::BLACK
        } else {
            Color32::WHITE
        }
    }
}

const fn rgb(value: u32) -> Color32 {
    Color32::from_rgb((value >> 16) as u8, (value >> 8) as u8, value as u8)
}

/// The contrast ratio of two opaque colours (WCAG 2.2, "contrast ratio"): 1 to 21.
pub fn contrast(a: Color32, b: Color32) -> f32 {
    let luminance = |colour: Color32| {
        let linear = |channel: u8| {
            let value = f32::from(channel) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_read_on_every_ground() {
        for palette in [Palette::DARK, Palette::LIGHT] {
            let grounds = [palette.ground, palette.panel, palette.raised, palette.chosen];
            for (name, ink) in [("text", palette.text), ("dim", palette.dim), ("faint", palette.faint)] {
                for ground in grounds {
                    let found = contrast(ink, ground);
                    assert!(found >= 4.5, "{name} on {ground:?}, dark {}: {found:.2}", palette.dark);
                }
            }
            for (ink, ground) in [
                (palette.accent, palette.panel),
                (palette.on_accent, palette.accent),
                (palette.error, palette.panel),
            ] {
                let found = contrast(ink, ground);
                assert!(found >= 4.5, "{ink:?} on {ground:?}: {found:.2}");
            }
        }
    }

    #[test]
    fn behaviours_and_their_signs_can_be_told_from_the_ground() {
        for palette in [Palette::DARK, Palette::LIGHT] {
            for behaviour in Behaviour::ALL {
                let colour = palette.behaviour(behaviour);
                for (what, other) in [("panel", palette.panel), ("sign", palette.sign())] {
                    let found = contrast(colour, other);
                    assert!(found >= 3.0, "{behaviour} against {what}, dark {}: {found:.2}", palette.dark);
                }
            }
        }
    }

    #[test]
    fn methods_can_be_told_from_the_ground_and_text_is_read_on_tints() {
        for palette in [Palette::DARK, Palette::LIGHT] {
            for kind in MethodKind::ALL {
                let found = contrast(palette.method(kind), palette.panel);
                assert!(found >= 3.0, "{kind:?}, dark {}: {found:.2}", palette.dark);
            }
            for module in Module::ALL {
                let found = contrast(palette.module(module), palette.panel);
                assert!(found >= 3.0, "{module}, dark {}: {found:.2}", palette.dark);
            }
            for behaviour in Behaviour::ALL {
                let found = contrast(palette.text, palette.tint(palette.behaviour(behaviour)));
                assert!(found >= 4.5, "{behaviour}, dark {}: {found:.2}", palette.dark);
            }
        }
    }

    #[test]
    fn black_and_white_are_as_far_apart_as_can_be() {
        assert!((contrast(Color32::BLACK, Color32::WHITE) - 21.0).abs() < 1e-3);
        assert_eq!(Palette::ink_on(Color32::WHITE), Color32::BLACK);
    }
}
