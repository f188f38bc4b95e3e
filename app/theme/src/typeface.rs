//! The typeface: Inter (under the OFL, `app/fonts/OFL.txt`), regular and semibold, cut to Latin and the signs that are drawn.
//!
//! Its digits are the tabular ones by default, so that columns of numbers align. What it lacks, egui's own fonts draw.

use std::sync::Arc;

use egui::{Context, FontData, FontDefinitions, FontFamily, FontId};

/// Points of a caption.
pub const CAPTION: f32 = 11.5;
const BODY: f32 = 13.0;
const TITLE: f32 = 22.0;
const HEADING: f32 = 13.5;
const TICK: f32 = 11.0;

/// The regular font file.
pub const REGULAR: &[u8] = include_bytes!("../../fonts/Inter-Regular.ttf");
/// The semibold font file.
pub const SEMIBOLD: &[u8] = include_bytes!("../../fonts/Inter-SemiBold.ttf");
const STRONG: &str = "strong";

/// Makes the typeface known to egui.
pub fn install(context: &Context) {
    let mut fonts = FontDefinitions::default();
    for (name, bytes) in [("Inter", REGULAR), ("Inter SemiBold", SEMIBOLD)] {
        fonts.font_data.insert(name.into(), Arc::new(FontData::from_static(bytes)));
    }
    let fallback = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    let mut strong = vec!["Inter SemiBold".to_owned()];
    strong.extend(fallback.iter().cloned());
    fonts.families.insert(strong_family(), strong);
    fonts.families.entry(FontFamily::Proportional).or_default().insert(0, "Inter".into());
    context.set_fonts(fonts);
}

fn strong_family() -> FontFamily {
    FontFamily::Name(STRONG.into())
}

/// Text.
pub fn body() -> FontId {
    FontId::proportional(BODY)
}

/// Text that stands out.
pub fn body_strong() -> FontId {
    FontId::new(BODY, strong_family())
}

/// Captions.
pub fn caption() -> FontId {
    FontId::proportional(CAPTION)
}

/// Captions over groups and columns.
pub fn caption_strong() -> FontId {
    FontId::new(CAPTION, strong_family())
}

/// The head of a panel.
pub fn heading() -> FontId {
    FontId::new(HEADING, strong_family())
}

/// The one big line.
pub fn title() -> FontId {
    FontId::new(TITLE, strong_family())
}

/// Numbers on axes and in cells.
pub fn tick() -> FontId {
    FontId::proportional(TICK)
}

/// Digests and commands.
pub fn code() -> FontId {
    FontId::monospace(CAPTION)
}
