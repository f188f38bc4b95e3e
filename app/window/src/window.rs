//! The native window around the app.

use std::sync::Arc;

use cruxscope_study::Study;
use cruxscope_theme::{icons, sizes};
use eframe::egui;

use crate::app::CruxscopeApp;
use crate::options::StartupOptions;
use crate::remembered::Remembered;
use crate::runs::{Form, JobRunner};

/// Why the window did not open.
#[derive(Debug)]
pub enum WindowError {
    /// There is no display to open it on.
    NoDisplay,
    /// The system or the graphics driver refused.
    Refused(eframe::Error),
}

impl std::fmt::Display for WindowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoDisplay => {
                f.write_str("there is no display to open a window on: `cruxscope show` prints a study in the terminal, and the web page shows it in a browser")
            }
            Self::Refused(error) => write!(
                f,
                "the window could not be opened: {error}; `cruxscope show` prints a study in the terminal, and the web page shows it in a browser"
            ),
        }
    }
}

impl std::error::Error for WindowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoDisplay => None,
            Self::Refused(error) => Some(error),
        }
    }
}

/// Opens the window and returns when it is closed. `studies` are shown besides those that the options name; `runner`
/// computes what the panel of jobs asks for; without one there is no such panel. `remembered` is what the window knows from earlier starts.
///
/// # Errors
/// When there is no display, or the system refuses a window or a graphics device.
pub fn open_window(options: StartupOptions, studies: Vec<Study>, runner: Option<Arc<dyn JobRunner>>, remembered: Remembered) -> Result<(), WindowError> {
    open_with(options, runner, remembered, |app| {
        for study in studies {
            app.open(study);
        }
    })
}

/// Opens the window with the panel of runs filled in, and returns when it is closed.
///
/// # Errors
/// As [`open_window`].
pub fn open_window_to_run(form: Form, runner: Arc<dyn JobRunner>, remembered: Remembered) -> Result<(), WindowError> {
    open_with(StartupOptions::default(), Some(runner), remembered, |app| app.prepare_run(form))
}

fn open_with(
    options: StartupOptions,
    runner: Option<Arc<dyn JobRunner>>,
    remembered: Remembered,
    prepare: impl FnOnce(&mut CruxscopeApp) + 'static,
) -> Result<(), WindowError> {
    if !has_display() {
        return Err(WindowError::NoDisplay);
    }
    let viewport = egui::ViewportBuilder::default()
        .with_title("Cruxscope")
        .with_app_id("cruxscope")
        .with_icon(icons::window_icon())
        .with_inner_size(sizes::WINDOW)
        .with_min_inner_size(sizes::WINDOW_MINIMUM)
        .with_drag_and_drop(true);
    let native = eframe::NativeOptions {
        viewport,
        ..eframe::NativeOptions::default()
    };
    let create = move |cc: &eframe::CreationContext<'_>| {
        let mut app = CruxscopeApp::new(cc, options).remembering(remembered);
        if let Some(runner) = runner {
            app = app.with_runner(&cc.egui_ctx, runner);
        }
        prepare(&mut app);
        Ok(Box::new(app) as Box<dyn eframe::App>)
    };
    eframe::run_native("Cruxscope", native, Box::new(create)).map_err(WindowError::Refused)
}

/// Whether a window has somewhere to go. Elsewhere than on X11 and Wayland there always is a display.
fn has_display() -> bool {
    if !cfg!(all(unix, not(target_os = "macos"))) {
        return true;
    }
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("DISPLAY") || set("WAYLAND_DISPLAY") || set("WAYLAND_SOCKET")
}
