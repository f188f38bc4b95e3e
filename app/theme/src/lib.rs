//! How everything looks: colours, lengths, type, the signs of behaviours. No view holds a literal of its own.

pub mod colour_map;
pub mod icons;
pub mod marks;
pub mod palette;
pub mod sizes;
pub mod typeface;
pub mod vision;

use egui::{Context, CornerRadius, FontId, Margin, Shadow, Stroke, TextStyle, Theme, ThemePreference, Visuals, vec2};

pub use palette::{Palette, contrast};

/// Which theme a person asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThemeChoice {
    /// As the system says.
    #[default]
    System,
    /// Dark.
    Dark,
    /// Light.
    Light,
}

impl ThemeChoice {
    /// All three, in the order in which a key steps through them.
    pub const ALL: [Self; 3] = [Self::System, Self::Dark, Self::Light];

    /// The name in options and links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }

    /// The name on a button.
    pub const fn title(self) -> &'static str {
        match self {
            Self::System => "System theme",
            Self::Dark => "Dark theme",
            Self::Light => "Light theme",
        }
    }

    /// The next one, given what is seen now: the first step away from the system's theme is one that changes something.
    pub fn next(self, seen: Theme) -> Self {
        match (self, seen) {
            (Self::System, Theme::Dark) | (Self::Dark, _) => Self::Light,
            (Self::System, Theme::Light) | (Self::Light, _) => Self::Dark,
        }
    }

    /// The same for egui.
    pub const fn preference(self) -> ThemePreference {
        match self {
            Self::System => ThemePreference::System,
            Self::Dark => ThemePreference::Dark,
            Self::Light => ThemePreference::Light,
        }
    }
}

/// Installs the typeface and both themes.
pub fn install(context: &Context) {
    typeface::install(context);
    for (theme, palette) in [(Theme::Dark, &Palette::DARK), (Theme::Light, &Palette::LIGHT)] {
        context.style_mut_of(theme, |style| {
            style.visuals = visuals(theme, palette);
            style.text_styles = [
                (TextStyle::Small, typeface::caption()),
                (TextStyle::Body, typeface::body()),
                (TextStyle::Button, typeface::body()),
                (TextStyle::Heading, typeface::title()),
                (TextStyle::Monospace, FontId::monospace(typeface::CAPTION)),
            ]
            .into();
            style.spacing.item_spacing = vec2(sizes::GAP, sizes::SMALL);
            style.spacing.button_padding = vec2(sizes::GAP + 2.0, sizes::SMALL);
            style.spacing.interact_size = vec2(sizes::BUTTON, sizes::BUTTON);
            style.spacing.tooltip_width = sizes::TOOLTIP;
            style.spacing.window_margin = Margin::same(sizes::LARGE as i8);
            style.spacing.menu_margin = Margin::same(sizes::GAP as i8);
            style.interaction.tooltip_delay = 0.25;
            style.interaction.selectable_labels = false;
        });
    }
}

fn visuals(theme: Theme, palette: &Palette) -> Visuals {
    let mut visuals = theme.default_visuals();
    let radius = CornerRadius::same(sizes::RADIUS_SMALL);
    let line = Stroke::new(sizes::HAIRLINE, palette.line);
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(palette.dim);
    visuals.hyperlink_color = palette.accent;
    visuals.faint_bg_color = palette.raised;
    visuals.extreme_bg_color = palette.ground;
    visuals.code_bg_color = palette.raised;
    visuals.warn_fg_color = palette.error;
    visuals.error_fg_color = palette.error;
    visuals.window_fill = palette.panel;
    visuals.window_stroke = line;
    visuals.window_corner_radius = CornerRadius::same(sizes::RADIUS);
    visuals.menu_corner_radius = CornerRadius::same(sizes::RADIUS);
    visuals.panel_fill = palette.ground;
    visuals.selection.bg_fill = palette.chosen;
    visuals.selection.stroke = Stroke::new(sizes::HAIRLINE, palette.accent);
    visuals.interact_cursor = Some(egui::CursorIcon::PointingHand);
    let shadow = Shadow {
        offset: [0, 4],
        blur: 16,
        spread: 0,
        color: palette.shadow,
    };
    visuals.window_shadow = shadow;
    visuals.popup_shadow = shadow;
    let widgets = &mut visuals.widgets;
    for widget in [
        &mut widgets.noninteractive,
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        widget.corner_radius = radius;
        widget.bg_stroke = line;
        widget.expansion = 0.0;
        widget.fg_stroke = Stroke::new(sizes::HAIRLINE, palette.text);
        widget.bg_fill = palette.raised;
        widget.weak_bg_fill = palette.panel;
    }
    widgets.hovered.weak_bg_fill = palette.raised;
    widgets.hovered.bg_stroke = Stroke::new(sizes::HAIRLINE, palette.faint);
    widgets.active.weak_bg_fill = palette.chosen;
    widgets.active.bg_stroke = Stroke::new(sizes::HAIRLINE, palette.accent);
    widgets.open.weak_bg_fill = palette.raised;
    visuals
}
