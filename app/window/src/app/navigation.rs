//! What is seen, as options that lead back to it: for links, for the way back, for the stops of a tour.

use cruxscope_selectors::Scale;
use cruxscope_selectors::results::Form;
use cruxscope_study::ShiftView;
use cruxscope_theme::ThemeChoice;

use super::CruxscopeApp;
use crate::options::StartupOptions;
use crate::view_kind::ViewKind;

impl CruxscopeApp {
    /// Opens what some options name beyond the list of studies: the sides of a shift, the study and the results that are on.
    pub(super) fn open_named(&mut self, options: &StartupOptions) {
        let mut side = |place: &Option<String>| place.as_ref().map(|place| self.library.opened_from(place));
        self.state.compared = [side(&options.from), side(&options.to)];
        if let Some(place) = &options.show
            && let Some(position) = self.library.want(place)
        {
            self.activate(position);
        }
        self.state.results.results = match options.results.as_deref() {
            Some("published") => Some(0),
            Some(place) => Some(self.library.opened_from(place)),
            None => None,
        };
    }

    /// The options by which a window opens on what is seen now. Studies that came without a path or an address, such as
    /// dropped files, cannot be named.
    pub fn options(&self) -> StartupOptions {
        let state = &self.state;
        let pair = match (&self.comparison, state.view) {
            (Some(comparison), ViewKind::Shift) => comparison.ids.map(|id| self.library.place_of(id).cloned()),
            _ => [None, None],
        };
        let [from, to] = if pair.iter().all(Option::is_some) { pair } else { [None, None] };
        let of_results = state.view.is_of_results();
        let shown = self.library.studies.get(state.active).filter(|_| self.library.studies.len() > 1);
        let results = state.results.results.filter(|_| of_results).and_then(|id| match id {
            0 => Some("published".to_owned()),
            id => self.library.place_of(id).cloned(),
        });
        StartupOptions {
            studies: self.library.places(),
            view: (state.view != ViewKind::default()).then(|| state.view.name().to_owned()),
            theme: Some(state.theme).filter(|theme| *theme != ThemeChoice::default()),
            scale: Some(state.scale).filter(|scale| *scale != Scale::default()),
            shift: Some(state.shift).filter(|shift| *shift != ShiftView::default()),
            behaviour: state.behaviour,
            component: state.selected,
            from,
            to,
            show: shown.and_then(|open| self.library.place_of(open.id).cloned()),
            results,
            experiment: state.results.experiment.clone().filter(|_| of_results),
            benchmark: state.results.benchmark.clone().filter(|_| of_results),
            form: Some(state.results.form).filter(|form| of_results && *form != Form::default()),
            instance: state.trace.instance.clone().filter(|_| state.view == ViewKind::Trace),
            section: state.trace.section.filter(|_| state.view == ViewKind::Trace).map(|section| section + 1),
            measure: state.measure.filter(|_| state.view == ViewKind::Compression),
            stop: state.stop.map(|stop| stop + 1),
            embed: state.embed,
        }
    }

    /// Shows what some options name, and opens what of it is not open.
    pub fn show(&mut self, options: &StartupOptions) {
        for place in &options.studies {
            let is_collection = self.library.collection.as_ref().is_some_and(|open| open.place == *place);
            if !is_collection {
                self.library.opened_from(place);
            }
        }
        self.state.take(options);
        self.open_named(options);
    }
}
