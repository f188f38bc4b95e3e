//! The dialog of exports: which format, how large, with what on it; and the figure of what is on screen.

use cruxscope_figure::{self, Figure, FigureOptions, Format};
use cruxscope_study::Results;
use cruxscope_theme::{Palette, sizes, typeface};
use egui::{Context, Modal, RichText, Ui};

use crate::action::Action;
use crate::budget::OpenBudget;
use crate::comparison::OpenComparison;
use crate::library::Library;
use crate::look::ExportSettings;
use crate::state::State;
use crate::variants::OpenVariants;
use crate::view_kind::ViewKind;
use crate::views::benchmarks;
use crate::widgets;

/// The figures of what is on screen, drawn for print; nothing where there is none.
pub fn figures(
    state: &State,
    library: &Library,
    comparison: Option<&OpenComparison>,
    variants: Option<&OpenVariants>,
    budget: Option<&OpenBudget>,
) -> Vec<Figure> {
    if state.view == ViewKind::Budget {
        return of_budget(state, library, budget).unwrap_or_default();
    }
    if state.view == ViewKind::Trace {
        return of_trace(state, library).unwrap_or_default();
    }
    figure(state, library, comparison, variants).into_iter().collect()
}

/// The map and the curve of a budget.
fn of_budget(state: &State, library: &Library, open_budget: Option<&OpenBudget>) -> Option<Vec<Figure>> {
    let open = library.studies.get(state.active)?;
    let (budget, plan) = open_budget?.plan()?;
    let options = FigureOptions {
        scale: state.scale,
        behaviour: state.behaviour,
        component: state.selected.filter(|_| state.export.framed),
        bare: state.export.bare,
        ..FigureOptions::default()
    };
    Some(vec![
        cruxscope_figure::budget::map(&open.study, &open.figures, budget, plan, state.budget.measure, &options),
        cruxscope_figure::budget::curve(&open.study, budget, plan, &open_budget?.measured, &options),
    ])
}

/// A trace, and where it says so where the study's model parts from another in it and along all thoughts.
fn of_trace(state: &State, library: &Library) -> Option<Vec<Figure>> {
    let open = library.studies.get(state.active)?;
    let options = FigureOptions {
        bare: state.export.bare,
        ..FigureOptions::default()
    };
    let text = crate::views::trace::chosen::instance(open, state).and_then(|instance| open.parts().trace(instance))?;
    let mut figures = vec![cruxscope_figure::trace::figure(&open.study, text, &options)];
    if let Some(apart) = open.parts().divergence().filter(|_| !state.trace.alone) {
        figures.extend(cruxscope_figure::text_apart::figure(&open.study, apart, &text.id, &text.output, &options));
        figures.extend(cruxscope_figure::divergence::figure(&open.study, apart, &options));
    }
    Some(figures)
}

fn figure(state: &State, library: &Library, comparison: Option<&OpenComparison>, variants: Option<&OpenVariants>) -> Option<Figure> {
    let options = FigureOptions {
        scale: state.scale,
        shift: state.shift,
        behaviour: state.maximised,
        component: state.selected.filter(|_| state.export.framed),
        unlocked: state.unlocked,
        bare: state.export.bare,
        stage: false,
    };
    // Lists and plots have no panels to enlarge; they follow the behaviour in focus.
    let focused = FigureOptions {
        behaviour: state.behaviour,
        ..options.clone()
    };
    let open = library.studies.get(state.active);
    match state.view {
        ViewKind::Importance if state.opened && open.is_some_and(|open| open.parts().parts().is_some()) => {
            let open = open?;
            // Which module is opened is that of what is selected.
            let seen = FigureOptions {
                component: state.selected,
                ..focused
            };
            cruxscope_figure::parts::figure(&open.study, &open.figures, open.parts().parts()?, &seen)
        }
        ViewKind::Importance => open.map(|open| cruxscope_figure::importance::figure(&open.study, &open.figures, &options)),
        ViewKind::Shift => {
            let compared = comparison?.outcome.as_ref().ok()?;
            Some(cruxscope_figure::shift::figure(&compared.pair, compared.intervals(), &options))
        }
        ViewKind::Ranking => open.map(|open| cruxscope_figure::ranking::figure(&open.study, &open.figures, open.stability(), &focused)),
        ViewKind::Channels => {
            let open = open?;
            let maps = open.parts().channels()?;
            // Which module is seen is what is selected.
            let seen = FigureOptions {
                component: state.selected,
                ..focused
            };
            cruxscope_figure::channels::figure(&open.study, &open.figures, maps, &seen)
        }
        ViewKind::Validation => {
            let open = open?;
            let found = open.parts().validation()?;
            Some(cruxscope_figure::validation::figure(&open.study, &open.figures, found, &focused))
        }
        ViewKind::Compression => {
            let open = open?;
            let saved = open.parts().compression().map(|map| &**map);
            cruxscope_figure::compression::figure(&open.study, &open.figures, saved, state.measure, &focused)
        }
        ViewKind::TestTime => {
            let active = benchmarks::active(&library.results, state)?;
            cruxscope_figure::test_time::figure(&active.results, state.results.share.0, &options)
        }
        ViewKind::Benchmarks => {
            let active = benchmarks::active(&library.results, state)?;
            let mut results: Vec<&Results> = vec![&active.results];
            if state.results.beside {
                results.extend(library.results.iter().filter(|other| other.id != active.id).map(|other| &*other.results));
            }
            let experiment = benchmarks::experiment(active, state);
            Some(cruxscope_figure::benchmarks::figure(
                &results,
                experiment,
                state.results.model.as_deref(),
                &options,
            ))
        }
        ViewKind::Variants => {
            let found = variants?.variants.as_ref()?;
            let original = library.studies.iter().find(|open| open.id == found.original.id)?;
            let look = state.variants;
            Some(cruxscope_figure::variants::figure(found, &original.study, look.sort, look.reversed, &focused))
        }
        ViewKind::Trace | ViewKind::Budget | ViewKind::Ledger => None,
    }
}

/// Draws the dialog over everything else.
pub fn show(context: &Context, state: &State, actions: &mut Vec<Action>) {
    let frame = egui::Frame::popup(&context.global_style()).inner_margin(sizes::LARGE + sizes::GAP);
    let response = Modal::new(egui::Id::unique("export")).frame(frame).show(context, |ui| {
        ui.set_width(sizes::INSPECTOR + sizes::LARGE * 5.0);
        content(ui, state, actions)
    });
    if response.inner || response.backdrop_response.clicked() {
        actions.push(Action::ToggleExport);
    }
}

fn content(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) -> bool {
    let palette = Palette::of(ui.ctx());
    let settings = state.export;
    let mut set = |settings: ExportSettings| actions.push(Action::SetExport(settings));
    ui.label(RichText::new("Export").font(typeface::title()));
    let says = "What is on screen, drawn for print: light, with title and legend, whatever the theme. Every file names the study it comes from.";
    ui.add(egui::Label::new(RichText::new(says).color(palette.dim)).wrap());
    ui.add_space(sizes::GAP);
    let mut bare = settings.bare;
    if ui.checkbox(&mut bare, "Without title and caption").changed() {
        set(ExportSettings { bare, ..settings });
    }
    if let Some(component) = state.selected {
        let mut framed = settings.framed;
        if ui.checkbox(&mut framed, format!("Frame {component}")).changed() {
            set(ExportSettings { framed, ..settings });
        }
    }
    ui.add_space(sizes::SMALL);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Size of PNG").color(palette.dim));
        let sizes = [(1, "1×"), (2, "2×"), (3, "3×"), (4, "4×")];
        if let Some(pixels) = widgets::segmented(ui, "size", &sizes, settings.pixels, |_, _, _| false, |_| None) {
            set(ExportSettings { pixels, ..settings });
        }
    });
    ui.add_space(sizes::GAP);
    ui.horizontal_wrapped(|ui| {
        for format in Format::ALL.into_iter().filter(|format| format.is_offered()) {
            if widgets::button(ui, &format!("{}…", format.title())).clicked() {
                actions.push(Action::Export(format));
            }
        }
    });
    ui.add_space(sizes::LARGE);
    widgets::button(ui, "Close").clicked()
}
