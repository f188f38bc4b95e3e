//! What is seen, as options that lead back to it: for links, for the way back, for the stops of a tour.

use cruxscope_selectors::Scale;
use cruxscope_selectors::results::Form;
use cruxscope_selectors::variants::VariantSort;
use cruxscope_study::ShiftView;
use cruxscope_theme::ThemeChoice;
use egui::Context;

use super::CruxscopeApp;
use crate::link;
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
        let several = self.library.studies.len() > 1 || !self.library.shelved.is_empty();
        let shown = self.library.studies.get(state.active).filter(|_| several);
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
            opened: state.opened && state.view == ViewKind::Importance,
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
            sort: Some(state.variants.sort).filter(|sort| state.view == ViewKind::Variants && *sort != VariantSort::default()),
            target: state.budget.target.filter(|_| state.view == ViewKind::Budget),
            formats: if state.view == ViewKind::Budget {
                state.budget.edits.iter().map(|(component, format)| (*component, *format)).collect()
            } else {
                Vec::new()
            },
            fused: state.view == ViewKind::Budget && state.budget.keep_fused,
            stop: state.stop.map(|stop| stop + 1),
            embed: state.embed,
        }
    }

    /// A link to what is seen that holds anywhere: with the address of this page, or of the page that shows what was opened from an
    /// address.
    pub(super) fn whole_link(&self) -> String {
        let options = self.options();
        let page = self.page.as_deref().or_else(|| options.studies.iter().find_map(|place| link::page_of(place)));
        link::whole(page, &options.to_pairs())
    }

    /// Shows what a link leads to. A place of it that cannot be reached from here, such as a path of another machine, is taken for
    /// what is open under the same name.
    pub(super) fn follow(&mut self, context: &Context, link: &str) {
        let of_a_window = link.trim().starts_with(link::SCHEME);
        let mut pairs = link::read(link);
        let mut any_found = false;
        let mut lost = vec![false; pairs.len()];
        for ((key, value), lost) in pairs.iter_mut().zip(&mut lost) {
            if !link::PLACES.contains(&key.as_str()) || self.library.can_reach(value, of_a_window) {
                continue;
            }
            match self.library.named_alike(value) {
                Some(known) => {
                    *value = known;
                    any_found = true;
                }
                None => *lost = true,
            }
        }
        // What is open stands for a place that is not found as soon as anything of the link is; otherwise the place is tried, and said.
        let kept = pairs.iter().zip(lost).filter(|(_, lost)| !(*lost && any_found)).map(|(pair, _)| pair);
        let (options, complaints) = StartupOptions::from_pairs(kept.map(|(key, value)| (key.as_str(), value.as_str())));
        for complaint in &complaints {
            log::warn!("{complaint}");
        }
        self.show(&options);
        let stop = options.stop.map(|stop| stop - 1);
        self.awaited_stop = stop.filter(|_| self.library.collection.is_none());
        let said = complaints.into_iter().next().unwrap_or_else(|| "Followed the link".to_owned());
        self.note(context, said);
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
