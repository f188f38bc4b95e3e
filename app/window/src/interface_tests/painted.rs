//! The texts of a frame, as they were painted.

use egui::{Rect, Shape};
use egui_kittest::Harness;

use crate::CruxscopeApp;

/// A text that was painted: its words, where its ink lies, what of it is seen, and whether its end was left out.
pub(super) struct Painted {
    pub words: String,
    pub ink: Rect,
    pub seen: Rect,
    pub elided: bool,
}

fn collect(shape: &Shape, clip: Rect, into: &mut Vec<Painted>) {
    match shape {
        Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, clip, into)),
        Shape::Text(text) => {
            let ink = text.galley.mesh_bounds.translate(text.pos.to_vec2());
            let seen = ink.intersect(clip);
            // What is scrolled out of sight, or only its edge is seen, is not read at all.
            if !text.galley.text().trim().is_empty() && seen.is_positive() && seen.height() > 0.3 * ink.height() {
                into.push(Painted {
                    words: text.galley.text().to_owned(),
                    ink,
                    seen,
                    elided: text.galley.elided,
                });
            }
        }
        _ => {}
    }
}

pub(super) fn painted(harness: &Harness<'_, CruxscopeApp>) -> Vec<Painted> {
    let mut found = Vec::new();
    for clipped in &harness.output().shapes {
        collect(&clipped.shape, clipped.clip_rect, &mut found);
    }
    found
}
