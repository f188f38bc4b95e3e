//! The app: it holds what is open and the state, draws one frame after another, and carries out what actions ask.

mod layout;
mod navigation;
mod perform;
mod recipes;
#[cfg(not(target_arch = "wasm32"))]
mod running;
mod staging;
mod touring;

use cruxscope_selectors::{Basis, shift, variants};
use cruxscope_study::Study;
use egui::{Context, Ui};

use crate::budget::OpenBudget;
use crate::comparison::{Compared, OpenComparison};
#[cfg(not(target_arch = "wasm32"))]
use crate::frame::addresses;
use crate::frame::{empty, export, keys, palette, reading, welcome};
use crate::heatmap::gpu;
use crate::history::History;
use crate::library::{Library, News};
use crate::link::Link;
use crate::notification::{Listener, Notification};
use crate::open::{Inbox, Part, PartState, Source};
use crate::options::StartupOptions;
use crate::remembered::Remembered;
use crate::state::State;
use crate::variants::OpenVariants;
use crate::view_kind::ViewKind;
use crate::views::dispatch;
use crate::views::scene::Shown;

/// Seconds for which each side is seen while A and B flicker.
const FLICKER_SECONDS: f64 = 0.5;
/// Seconds for which the key may seem to be let go before they stop.
const FLICKER_PATIENCE: f64 = 0.1;
/// Seconds for which a notice stands in the status bar.
const NOTICE_SECONDS: f64 = 3.0;

/// The window's or the page's content.
pub struct CruxscopeApp {
    state: State,
    library: Library,
    link: Option<Link>,
    /// The address of the page that this is, without what follows the view.
    page: Option<String>,
    listener: Option<Listener>,
    history: History,
    remembered: Remembered,
    comparison: Option<OpenComparison>,
    variants: Option<OpenVariants>,
    budget: Option<OpenBudget>,
    /// The pair that a shift begins with, by the open studies and the one that is on.
    begins_with: Option<(Vec<usize>, usize, Option<[usize; 2]>)>,
    /// Since when A and B have been flickering, and when the key was last seen held.
    flicker: Option<(f64, f64)>,
    notice: Option<(String, f64)>,
    /// Whether whoever opened the app named nothing to show but what to open.
    asks_for_nothing: bool,
    /// The stop of the tour that is to be shown once its collection is there.
    awaited_stop: Option<usize>,
    #[cfg(not(target_arch = "wasm32"))]
    runs: Option<crate::runs::Runs>,
    render_state: Option<egui_wgpu::RenderState>,
}

impl CruxscopeApp {
    /// The app, with what the options ask for; studies they name are opened meanwhile.
    pub fn new(cc: &eframe::CreationContext<'_>, options: StartupOptions) -> Self {
        cruxscope_theme::install(&cc.egui_ctx);
        cc.egui_ctx.set_theme(options.theme.unwrap_or_default().preference());
        if let Some(render_state) = &cc.wgpu_render_state {
            gpu::install(render_state);
        }
        let mut app = Self {
            state: State::new(&options),
            library: Library::new(Inbox::new(cc.egui_ctx.clone())),
            link: None,
            page: None,
            listener: None,
            history: History::default(),
            remembered: Remembered::default(),
            comparison: None,
            variants: None,
            budget: None,
            begins_with: None,
            flicker: None,
            notice: None,
            asks_for_nothing: StartupOptions {
                studies: Vec::new(),
                theme: None,
                embed: false,
                ..options.clone()
            } == StartupOptions::default()
                && !options.embed,
            awaited_stop: options.stop.map(|stop| stop - 1),
            #[cfg(not(target_arch = "wasm32"))]
            runs: None,
            render_state: cc.wgpu_render_state.clone(),
        };
        for place in &options.studies {
            app.library.begin(place);
        }
        app.open_named(&options);
        app
    }

    /// The same, telling `tell` the link to what is seen whenever it has changed: keys and values as in [`StartupOptions`].
    #[must_use]
    pub fn telling_its_link(mut self, tell: impl FnMut(&[(&'static str, String)]) + 'static) -> Self {
        self.link = Some(Link::new(tell));
        self
    }

    /// The same, as a page that stands at an address: links that are copied begin with it.
    #[must_use]
    pub fn at_address(mut self, page: impl Into<String>) -> Self {
        self.page = Some(page.into());
        self
    }

    /// The same, remembering between starts what was said to it.
    #[must_use]
    pub fn remembering(mut self, remembered: Remembered) -> Self {
        let new = remembered.is_on() && remembered.read(welcome::REMEMBERED).is_none();
        // Who opens a figure in a frame, or something certain, is shown that.
        self.state.welcome = (new && !self.state.embed && self.asks_for_nothing).then_some(0);
        self.remembered = remembered;
        self
    }

    /// The same, telling `tell` what a canvas cannot say.
    #[must_use]
    pub fn telling(mut self, tell: impl FnMut(Notification) + 'static) -> Self {
        self.listener = Some(Listener::new(tell));
        self
    }

    /// Opens a study and shows it.
    pub fn open(&mut self, study: Study) {
        let position = self.library.add(study, Source::Memory);
        self.activate(position);
    }

    /// Shows the study at a position, and selects in it what ranks first if what was selected is not in it.
    fn activate(&mut self, position: usize) {
        let Some(open) = self.library.studies.get(position) else { return };
        self.state.active = position;
        let fits = self.state.selected.is_some_and(|component| open.figures.holds(component));
        if !fits {
            self.state.selected = open.figures.first(self.state.ranking.basis).or_else(|| open.figures.first(Basis::Mean));
        }
    }

    /// The state of the interface, as it is now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether the intervals of every open study are ready.
    #[cfg(test)]
    pub(crate) fn stability_ready(&self) -> bool {
        self.library.studies.iter().all(|open| open.stability().is_some())
    }

    /// Whether the intervals of the comparison that is on are ready.
    #[cfg(test)]
    pub(crate) fn intervals_ready(&self) -> bool {
        self.compared().is_some_and(|compared| compared.intervals().is_some())
    }

    /// Whether nothing is being opened any more.
    #[cfg(test)]
    pub(crate) fn all_arrived(&self) -> bool {
        self.library.opening.is_empty()
    }

    /// Whether the curve of the budget that is on is whole, where there is one.
    #[cfg(test)]
    pub(crate) fn budget_is_whole(&self) -> bool {
        self.budget.as_ref().is_none_or(OpenBudget::is_whole)
    }

    /// Shows the introduction.
    #[cfg(test)]
    pub(crate) const fn introduce(&mut self) {
        self.state.welcome = Some(0);
    }

    /// Whether no part of any study is on its way.
    #[cfg(test)]
    pub(crate) fn parts_arrived(&self) -> bool {
        self.library.studies.iter().all(|open| !open.parts().any_asked())
    }

    /// Number of heatmaps whose textures are on the graphics device.
    #[cfg(test)]
    pub(crate) fn textures_held(&self) -> usize {
        self.render_state.as_ref().map_or(0, gpu::held)
    }

    fn receive(&mut self, context: &Context) {
        let on = self.library.studies.get(self.state.active).map(|open| open.id);
        let arrived = self.library.receive();
        // What comes in before the study that is on moves it.
        if let Some(position) = self.library.studies.iter().position(|open| Some(open.id) == on) {
            self.state.active = position;
        }
        for news in arrived {
            match news {
                News::Study(id) => {
                    if let Some(position) = self.library.studies.iter().position(|open| open.id == id) {
                        self.activate(position);
                    }
                }
                News::Results(position) => {
                    let id = self.library.results.get(position).map(|open| open.id);
                    self.state.results.results = self.state.results.results.or(id);
                    // Results alone have nothing to show in a view of studies.
                    if self.library.studies.is_empty() && self.library.opening.is_empty() && !self.state.view.is_of_results() {
                        self.state.view = ViewKind::Benchmarks;
                    }
                }
                News::Collection => {
                    // A page that is asked for nothing of its own tells its story from the beginning.
                    let story = self.page.is_some() && self.asks_for_nothing && self.stops() > 0;
                    let stop = self.awaited_stop.take().or(story.then_some(0));
                    if let Some(stop) = stop {
                        // A story is an introduction of its own.
                        self.state.welcome = None;
                        self.go_to_stop(Some(stop));
                    }
                    if self.library.studies.is_empty() && self.library.opening.is_empty() && !self.state.view.is_of_results() {
                        self.library.fetch_first();
                    }
                }
                News::Saved(name) => self.note(context, format!("Saved {name}")),
            }
        }
        self.state.active = self.state.active.min(self.library.studies.len().saturating_sub(1));
    }

    /// The comparison that is on, where the studies can be compared.
    fn compared(&self) -> Option<&Compared> {
        self.comparison.as_ref()?.outcome.as_ref().ok()
    }

    /// Begins to fetch what was left for later and the view that is on is of.
    fn fetch_what_is_looked_at(&mut self) {
        if self.state.view.is_of_results() {
            self.library.fetch_all(true);
        }
        let pairless = self.state.view == ViewKind::Shift && self.state.compared == [None, None];
        if pairless || self.state.view == ViewKind::Variants {
            self.library.fetch_all(false);
        }
    }

    /// Begins to read what the view that is on shows of the study that is on.
    fn ask_for_parts(&mut self) {
        let (Shown::Study(view), Some(open)) = (dispatch::view(self.state.view), self.library.studies.get(self.state.active)) else {
            return;
        };
        for part in view.needs(open, &self.state) {
            self.library.ask(self.state.active, part);
        }
        // Of other studies too where the view is of all, or where this one lacks what another may have.
        let of_all = match self.state.view {
            ViewKind::Variants => Some(Part::Compression),
            ViewKind::Validation => Some(Part::Validation),
            ViewKind::Ledger => Some(Part::Ledger),
            ViewKind::Compression => Some(Part::Compression),
            ViewKind::Budget => Some(Part::Sensitivity),
            _ => None,
        };
        let Some(part) = of_all else { return };
        let lacks = matches!(
            self.library.studies.get(self.state.active).map(|open| open.parts().state(part)),
            Some(Some(PartState::Absent))
        );
        if lacks || self.state.view == ViewKind::Variants {
            for position in 0..self.library.studies.len() {
                self.library.ask(position, part);
            }
        }
    }

    /// Keeps the comparison that of the studies that are chosen; nothing is compared that nobody looks at.
    fn compare(&mut self, context: &Context) {
        if self.state.view != ViewKind::Shift {
            return;
        }
        let ids: Vec<usize> = self.library.studies.iter().map(|open| open.id).collect();
        let chosen = if self.state.compared == [None, None] {
            self.first_pair(&ids).map_or([None, None], |pair| pair.map(Some))
        } else {
            self.state.compared
        };
        let pair = shift::pair(&ids, chosen);
        if self.comparison.as_ref().map(|comparison| comparison.ids) != pair {
            let find = |id: usize| self.library.studies.iter().find(|open| open.id == id);
            self.comparison = pair.and_then(|[a, b]| Some(OpenComparison::new(find(a)?, find(b)?)));
        }
        if let Some(comparison) = &mut self.comparison {
            let waker = context.clone();
            comparison.advance(move || waker.request_repaint());
        }
    }

    /// The pair that a shift begins with among the open studies, worked out anew when others are open or on.
    fn first_pair(&mut self, ids: &[usize]) -> Option<[usize; 2]> {
        let active = self.library.studies.get(self.state.active).map_or(0, |open| open.id);
        if self.begins_with.as_ref().is_none_or(|(known, on, _)| known != ids || *on != active) {
            let candidates = crate::variants::candidates(&self.library.studies);
            let pair = variants::first_pair(&variants::family(&candidates, active));
            self.begins_with = Some((ids.to_vec(), active, pair));
        }
        self.begins_with.as_ref().and_then(|(_, _, pair)| *pair)
    }

    /// While the key is held, A's place shows B, then A, and so on.
    fn flicker(&mut self, context: &Context) {
        let now = context.input(|input| input.time);
        if self.state.view == ViewKind::Shift && keys::flickers(context, &self.state) {
            let since = self.flicker.map_or(now, |(since, _)| since);
            self.flicker = Some((since, now));
        }
        // Some systems repeat a held key by letting it go for a moment.
        self.flicker.take_if(|(_, held)| now - *held > FLICKER_PATIENCE);
        self.state.flicker = self.flicker.map(|(since, _)| (((now - since) / FLICKER_SECONDS) as usize + 1) % 2);
        if let Some((since, held)) = self.flicker {
            let turn = FLICKER_SECONDS - (now - since) % FLICKER_SECONDS;
            let wait = if held < now { turn.min(FLICKER_PATIENCE) } else { turn };
            context.request_repaint_after_secs(wait as f32 + f32::EPSILON);
        }
    }

    /// Tells the link to what is seen; not before all studies have arrived that were asked for.
    fn follow_link(&mut self, context: &Context) {
        if self.link.is_none() || !self.library.opening.is_empty() {
            return;
        }
        let (now, pairs) = (context.input(|input| input.time), self.options().to_pairs());
        if let Some(wait) = self.link.as_mut().and_then(|link| link.follow(now, pairs)) {
            context.request_repaint_after_secs(wait as f32 + f32::EPSILON);
        }
    }

    /// Remembers what is seen as a place to come back to; not before all has arrived that was asked for.
    fn remember(&mut self, context: &Context) {
        if !self.library.opening.is_empty() {
            return;
        }
        let (now, seen) = (context.input(|input| input.time), self.options());
        if let Some(wait) = self.history.follow(now, seen) {
            context.request_repaint_after_secs(wait as f32 + f32::EPSILON);
        }
    }

    fn note(&mut self, context: &Context, text: String) {
        let until = context.input(|input| input.time) + NOTICE_SECONDS;
        self.notice = Some((text, until));
        context.request_repaint_after_secs(NOTICE_SECONDS as f32);
    }
}

impl eframe::App for CruxscopeApp {
    fn logic(&mut self, context: &Context, _: &mut eframe::Frame) {
        self.receive(context);
        #[cfg(not(target_arch = "wasm32"))]
        for folder in self.runs.as_mut().map(crate::runs::Runs::receive).unwrap_or_default() {
            self.note(context, format!("Done: {}", folder.display()));
        }
        self.fetch_what_is_looked_at();
        self.ask_for_parts();
        for open in &mut self.library.studies {
            let waker = context.clone();
            open.advance(move || waker.request_repaint());
        }
        self.compare(context);
        if self.state.view == ViewKind::Variants {
            OpenVariants::follow(&mut self.variants, &self.library, &self.state);
        }
        if self.state.view == ViewKind::Budget {
            let open = self.library.studies.get(self.state.active);
            if OpenBudget::follow(&mut self.budget, open, &self.state) {
                context.request_repaint();
            }
        }
        if let Some(render_state) = &self.render_state {
            gpu::free_unused(render_state, context.cumulative_frame_nr());
        }
        let now = context.input(|input| input.time);
        self.notice.take_if(|(_, until)| *until <= now);
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let context = ui.ctx().clone();
        let dropped = context.input_mut(|input| std::mem::take(&mut input.raw.dropped_files));
        if !dropped.is_empty() {
            self.library.drop_in(dropped);
        }
        let (mut actions, presses) = keys::read(&context, &self.state);
        for press in presses {
            self.press(press, &mut actions);
        }
        self.perform(&context, std::mem::take(&mut actions));
        self.flicker(&context);
        self.set_stage(&context);
        #[cfg(not(target_arch = "wasm32"))]
        self.show_runs(ui);
        if self.state.presenting {
            self.stage(ui, &mut actions);
        } else {
            self.frame(ui, &mut actions);
        }
        if self.state.keys {
            keys::show(&context, &mut actions);
        }
        if self.state.reading {
            reading::show(&context, &self.state, &mut actions);
        }
        // What arrives may tell a story of its own.
        if let Some(step) = self.state.welcome.filter(|_| self.library.opening.is_empty()) {
            welcome::show(&context, step, &mut actions);
        }
        if self.state.export.open {
            export::show(&context, &self.state, &mut actions);
        }
        palette::show(&context, &self.library, &self.state, &mut actions);
        #[cfg(not(target_arch = "wasm32"))]
        self.press_runs(&context);
        if context.input(|input| !input.raw.hovered_files.is_empty()) {
            empty::drop_target(ui);
        }
        // These were wishes for this one frame.
        self.state.search_wanted = false;
        self.state.reveal_wanted = false;
        self.state.trace.reveal = false;
        self.state.trace.byte = None;
        let hovered = self.state.hovered.take();
        self.perform(&context, actions);
        #[cfg(not(target_arch = "wasm32"))]
        for problem in addresses::open(&context) {
            self.note(&context, problem);
        }
        self.follow_link(&context);
        self.remember(&context);
        if let Some(listener) = &mut self.listener
            && listener.follow(&self.library.problems, !self.library.studies.is_empty())
        {
            context.request_repaint();
        }
        if self.state.hovered != hovered || self.state.search_wanted || self.state.reveal_wanted || self.state.trace.reveal || self.state.trace.byte.is_some() {
            context.request_repaint();
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    #[cfg(target_arch = "wasm32")]
    fn as_any_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}
