//! The stage: whether a figure is shown to an audience. Then everything is as large as an audience needs, and no choice stands beside the
//! figure; keys still make them.

use egui::{Context, Id, Rect, Vec2, vec2};

/// The least size of type on a stage, in pixels of a screen that is 1,080 pixels high.
const TYPE: f32 = 22.0;
/// The screen by which the stage is measured, in pixels.
const SCREEN: Vec2 = vec2(1920.0, 1080.0);
/// Seconds after which a pointer that rests is taken away, with the controls.
pub const REST_SECONDS: f32 = 2.5;

fn id() -> Id {
    Id::unique("stage")
}

/// Whether it is on.
pub fn is_on(context: &Context) -> bool {
    context.data(|data| data.get_temp::<f32>(id())).is_some()
}

/// Raises or leaves the stage: type grows with the screen, and shrinks back to what it was. `smallest` is the size of the smallest type.
pub fn set(context: &Context, on: bool, smallest: f32) {
    let before: Option<f32> = context.data(|data| data.get_temp(id()));
    match (on, before) {
        (true, before) => {
            let zoom = context.zoom_factor();
            let kept = before.unwrap_or(zoom);
            // The screen at the zoom that was on before.
            let screen = context.content_rect().size() * zoom / kept;
            let factor = kept * factor(screen, smallest);
            if (factor - zoom).abs() > 0.01 {
                context.set_zoom_factor(factor);
            }
            if before.is_none() {
                context.data_mut(|data| data.insert_temp(id(), kept));
                // A tooltip that nobody asked for would stand in the picture.
                context.all_styles_mut(|style| style.interaction.tooltip_delay = f32::INFINITY);
            }
        }
        (false, Some(kept)) => {
            context.set_zoom_factor(kept);
            context.data_mut(|data| data.remove::<f32>(id()));
            context.all_styles_mut(|style| style.interaction.tooltip_delay = 0.25);
        }
        (false, None) => {}
    }
}

/// How many times larger everything is on a screen of so many points.
fn factor(screen: Vec2, smallest: f32) -> f32 {
    let share = (screen / SCREEN).min_elem();
    (share * TYPE / smallest).max(1.0)
}

/// The largest 16:9 in the middle of a screen.
pub fn frame(screen: Rect) -> Rect {
    let ratio = SCREEN.x / SCREEN.y;
    let size = vec2(screen.width().min(screen.height() * ratio), screen.height().min(screen.width() / ratio));
    // A screen of nearly that shape is filled.
    let near = screen.width() / screen.height().max(1.0) / ratio;
    if (0.7..1.15).contains(&near) {
        screen
    } else {
        Rect::from_center_size(screen.center(), size)
    }
}

/// Whether the pointer was moved a moment ago.
pub fn is_pointed_at(context: &Context) -> bool {
    context.input(|input| input.pointer.has_pointer() && input.pointer.time_since_last_movement() < REST_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_type_is_22_pixels_on_a_full_hd_screen_and_grows_with_it() {
        let smallest = cruxscope_theme::typeface::tick().size;
        for height in [1080.0, 2160.0] {
            let factor = factor(vec2(height * 16.0 / 9.0, height), smallest);
            assert!(factor * smallest >= 22.0 * height / 1080.0 - 1e-3, "{factor}");
        }
        assert!((factor(vec2(800.0, 600.0), smallest) - 1.0).abs() < 1e-6, "small windows keep their type");
    }

    #[test]
    fn the_stage_is_as_wide_as_the_screen_unless_that_is_much_wider() {
        let screen = |width, height| Rect::from_min_size(egui::Pos2::ZERO, vec2(width, height));
        assert_eq!(frame(screen(1920.0, 1080.0)), screen(1920.0, 1080.0));
        assert_eq!(frame(screen(1600.0, 1200.0)), screen(1600.0, 1200.0), "4:3 is filled");
        assert!((frame(screen(2560.0, 1080.0)).width() - 1920.0).abs() < 1.0);
    }
}
