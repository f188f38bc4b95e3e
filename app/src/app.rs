//! The app: it holds the open studies and the state, draws one frame after another, and carries out what actions ask.

use std::collections::BTreeMap;

use cruxscope_study::{Component, ShiftView, Study};
use egui::{CentralPanel, Context, Frame, Margin, Panel, Ui};

use crate::comparison::{Compared, OpenComparison};
use crate::figure::{self, Format, Writing};
use crate::frame::{empty, export, inspector, keys, provenance, sidebar, status_bar, top_bar};
use crate::heatmap::gpu;
use crate::link::Link;
use crate::open::{self, Inbox, Problem};
use crate::options::StartupOptions;
use crate::save;
use crate::selectors::{Basis, Scale, ranking, shift};
use crate::state::{Action, State};
use crate::studies::OpenStudy;
use crate::theme::{self, Palette, ThemeChoice, sizes};
use crate::told::{Listener, Told};
use crate::views::{Scene, ViewKind};

/// Seconds for which each side is seen while A and B flicker.
const FLICKER_SECONDS: f64 = 0.5;
/// Seconds for which the key may seem to be let go before they stop.
const FLICKER_PATIENCE: f64 = 0.1;
/// Seconds for which a notice stands in the status bar.
const NOTICE_SECONDS: f64 = 3.0;

/// The window's or the page's content.
pub struct CruxscopeApp {
    state: State,
    studies: Vec<OpenStudy>,
    /// What is being opened: the number it will have, and its name.
    opening: Vec<(usize, String)>,
    /// Paths and addresses of studies, by their numbers, of those that were asked for by one and are not closed.
    places: BTreeMap<usize, String>,
    link: Option<Link>,
    listener: Option<Listener>,
    next_id: usize,
    comparison: Option<OpenComparison>,
    /// Since when A and B have been flickering, and when the key was last seen held.
    flicker: Option<(f64, f64)>,
    problems: Vec<Problem>,
    notice: Option<(String, f64)>,
    inbox: Inbox,
    render_state: Option<egui_wgpu::RenderState>,
}

impl CruxscopeApp {
    /// The app, with what the options ask for; studies they name are opened meanwhile.
    pub fn new(cc: &eframe::CreationContext<'_>, options: StartupOptions) -> Self {
        theme::install(&cc.egui_ctx);
        cc.egui_ctx.set_theme(options.theme.unwrap_or_default().preference());
        if let Some(render_state) = &cc.wgpu_render_state {
            gpu::install(render_state);
        }
        let mut app = Self {
            state: State::new(&options),
            studies: Vec::new(),
            opening: Vec::new(),
            places: BTreeMap::new(),
            link: None,
            listener: None,
            next_id: 0,
            comparison: None,
            flicker: None,
            problems: Vec::new(),
            notice: None,
            inbox: Inbox::new(cc.egui_ctx.clone()),
            render_state: cc.wgpu_render_state.clone(),
        };
        for place in &options.studies {
            app.begin_to_open(place);
        }
        app.state.compared = [&options.from, &options.to].map(|place| place.as_ref().map(|place| app.opened_from(place)));
        app
    }

    /// The same, telling `tell` the link to what is seen whenever it has changed: keys and values as in [`StartupOptions`].
    #[must_use]
    pub fn telling_its_link(mut self, tell: impl FnMut(&[(&'static str, String)]) + 'static) -> Self {
        self.link = Some(Link::new(tell));
        self
    }

    /// The same, telling `tell` what a canvas cannot say.
    #[must_use]
    pub fn telling(mut self, tell: impl FnMut(Told) + 'static) -> Self {
        self.listener = Some(Listener::new(tell));
        self
    }

    /// The options by which a window opens on what is seen now. Studies that came without a path or an address, such as
    /// dropped files, cannot be named.
    pub fn options(&self) -> StartupOptions {
        let state = &self.state;
        let pair = match (&self.comparison, state.view) {
            (Some(comparison), ViewKind::Shift) => comparison.ids.map(|id| self.places.get(&id).cloned()),
            _ => [None, None],
        };
        let [from, to] = if pair.iter().all(Option::is_some) { pair } else { [None, None] };
        StartupOptions {
            studies: self.places.values().cloned().collect(),
            view: (state.view != ViewKind::default()).then(|| state.view.name().to_owned()),
            theme: Some(state.theme).filter(|theme| *theme != ThemeChoice::default()),
            scale: Some(state.scale).filter(|scale| *scale != Scale::default()),
            shift: Some(state.shift).filter(|shift| *shift != ShiftView::default()),
            behaviour: state.behaviour,
            component: state.selected,
            from,
            to,
            embed: state.embed,
        }
    }

    /// Opens a study and shows it.
    pub fn open(&mut self, study: Study) {
        let id = self.new_id();
        self.open_as(id, study);
    }

    fn new_id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }

    /// Opens a study under the number it got when it was asked for: studies stand in the order in which they were asked
    /// for, whichever arrives first.
    fn open_as(&mut self, id: usize, study: Study) {
        let open = OpenStudy::new(id, study);
        let fits = self.state.selected.is_some_and(|component| open.figures.holds(component));
        if !fits {
            self.state.selected = open.figures.first(self.state.ranking.basis).or_else(|| open.figures.first(Basis::Mean));
        }
        let position = self.studies.partition_point(|other| other.id < id);
        self.state.active = position;
        self.studies.insert(position, open);
    }

    /// The state of the interface, as it is now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether the intervals of every open study are ready.
    #[cfg(test)]
    pub(crate) fn stability_ready(&self) -> bool {
        self.studies.iter().all(|open| open.stability().is_some())
    }

    /// Whether the intervals of the comparison that is on are ready.
    #[cfg(test)]
    pub(crate) fn intervals_ready(&self) -> bool {
        self.compared().is_some_and(|compared| compared.intervals().is_some())
    }

    /// Whether nothing is being opened any more.
    #[cfg(test)]
    pub(crate) fn all_arrived(&self) -> bool {
        self.opening.is_empty()
    }

    /// Number of heatmaps whose textures are on the graphics device.
    #[cfg(test)]
    pub(crate) fn textures_held(&self) -> usize {
        self.render_state.as_ref().map_or(0, gpu::held)
    }

    fn begin_to_open(&mut self, place: &str) {
        let id = self.new_id();
        self.opening.push((id, place.to_owned()));
        self.places.insert(id, place.to_owned());
        open::open(&self.inbox, place);
    }

    /// The number of the study from a place, which begins to be opened if it was not asked for before.
    fn opened_from(&mut self, place: &str) -> usize {
        if !self.places.values().any(|known| known == place) {
            self.begin_to_open(place);
        }
        let known = self.places.iter().find(|(_, known)| *known == place);
        known.map_or(self.next_id, |(id, _)| *id)
    }

    fn receive(&mut self) {
        for delivery in self.inbox.take() {
            let awaited = self.opening.iter().position(|(_, name)| *name == delivery.name);
            let id = awaited.map(|position| self.opening.remove(position).0);
            match delivery.outcome {
                Some(Ok(study)) => {
                    let id = id.unwrap_or_else(|| self.new_id());
                    self.open_as(id, study);
                }
                Some(Err(problem)) => {
                    log::warn!("{}: {}", problem.attempted, problem.why);
                    self.problems.push(problem);
                }
                None => {}
            }
        }
    }

    fn perform(&mut self, context: &Context, actions: Vec<Action>) {
        for action in actions {
            let layers = match (self.state.view, self.compared()) {
                (ViewKind::Shift, Some(compared)) => compared.comparison().layers(),
                _ => self.studies.get(self.state.active).map_or(1, |open| open.figures.layers()),
            };
            self.state.apply(&action, layers);
            match action {
                Action::NextTheme => {
                    self.state.theme = self.state.theme.next(context.theme());
                    context.set_theme(self.state.theme.preference());
                }
                Action::SetTheme(theme) => context.set_theme(theme.preference()),
                Action::Copy(text) => {
                    context.copy_text(text);
                    self.note(context, "Copied".to_owned());
                }
                Action::CopyProtectionList => {
                    if let Some(open) = self.studies.get(self.state.active) {
                        let components = ranking::protected(&open.figures, self.state.ranking.basis, &self.state.checked, self.state.protected);
                        let list = ranking::protection_list(&components);
                        self.note(context, format!("Copied {list}"));
                        context.copy_text(list);
                    }
                }
                Action::Compare(side, id) => {
                    if let Some(comparison) = &self.comparison {
                        self.state.compared = shift::choose(comparison.ids, side, id);
                    }
                }
                Action::SwapCompared => {
                    if let Some(comparison) = &self.comparison {
                        let [a, b] = comparison.ids;
                        self.state.compared = [Some(b), Some(a)];
                    }
                }
                Action::Export(format) => self.export(context, format),
                Action::OpenDialog => open::dialog(&self.inbox),
                Action::Dismiss(position) if position < self.problems.len() => {
                    self.problems.remove(position);
                }
                Action::Close(position) => self.close(position),
                _ => {}
            }
        }
    }

    /// Draws what is on screen for print and begins to save it.
    fn export(&mut self, context: &Context, format: Format) {
        let Some(open) = self.studies.get(self.state.active) else { return };
        let Some(figure) = export::figure(&self.state, open, self.comparison.as_ref()) else {
            return self.note(context, "There is no figure to export".to_owned());
        };
        let writing = Writing {
            pixels: self.state.export.pixels,
            rows: None,
        };
        match figure::write(&figure, format, writing) {
            Ok(bytes) => save::save(context, format!("{}.{}", figure.name, format.extension()), format, bytes),
            Err(error) => self.note(context, error.to_string()),
        }
    }

    /// Says how saving went.
    fn note_saved(&mut self, context: &Context) {
        match save::take(context) {
            Some(Ok(text)) => self.note(context, text),
            Some(Err(problem)) => self.problems.push(problem),
            None => {}
        }
    }

    fn close(&mut self, position: usize) {
        if position >= self.studies.len() {
            return;
        }
        let closed = self.studies.remove(position);
        self.places.remove(&closed.id);
        if self.state.active > position || self.state.active >= self.studies.len() {
            self.state.active = self.state.active.saturating_sub(1);
        }
        self.state.checked.clear();
    }

    /// The comparison that is on, where the studies can be compared.
    fn compared(&self) -> Option<&Compared> {
        self.comparison.as_ref()?.outcome.as_ref().ok()
    }

    /// Keeps the comparison that of the studies that are chosen; nothing is compared that nobody looks at.
    fn compare(&mut self, context: &Context) {
        if self.state.view != ViewKind::Shift {
            return;
        }
        let ids: Vec<usize> = self.studies.iter().map(|open| open.id).collect();
        let pair = shift::pair(&ids, self.state.compared);
        if self.comparison.as_ref().map(|comparison| comparison.ids) != pair {
            let find = |id: usize| self.studies.iter().find(|open| open.id == id);
            self.comparison = pair.and_then(|[a, b]| Some(OpenComparison::new(find(a)?, find(b)?)));
        }
        if let Some(comparison) = &mut self.comparison {
            let waker = context.clone();
            comparison.advance(move || waker.request_repaint());
        }
    }

    /// While the key is held, A's place shows B, then A, and so on.
    fn flicker(&mut self, context: &Context) {
        let now = context.input(|input| input.time);
        if self.state.view == ViewKind::Shift && keys::flickers(context) {
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
        if self.link.is_none() || !self.opening.is_empty() {
            return;
        }
        let (now, pairs) = (context.input(|input| input.time), self.options().to_pairs());
        if let Some(wait) = self.link.as_mut().and_then(|link| link.follow(now, pairs)) {
            context.request_repaint_after_secs(wait as f32 + f32::EPSILON);
        }
    }

    fn note(&mut self, context: &Context, text: String) {
        let until = context.input(|input| input.time) + NOTICE_SECONDS;
        self.notice = Some((text, until));
        context.request_repaint_after_secs(NOTICE_SECONDS as f32);
    }

    /// Key presses that need more than the state.
    fn press(&self, press: keys::Press, actions: &mut Vec<Action>) {
        let Some(open) = self.studies.get(self.state.active) else { return };
        match press {
            // In the shift this key lets A and B flicker.
            keys::Press::CheckSelected if self.state.view == ViewKind::Shift => {}
            keys::Press::CheckSelected => actions.extend(self.state.selected.map(Action::Check)),
            keys::Press::Step(step) => {
                let basis = self.state.ranking.basis;
                let order: Vec<Component> = match (self.state.view, self.compared()) {
                    (ViewKind::Shift, Some(compared)) => compared.comparison().shift_ranks(basis.behaviour(), self.state.shift).order().to_vec(),
                    _ => {
                        let rows = ranking::rows(&open.figures, open.stability(), &self.state.ranking);
                        rows.into_iter().map(|row| row.component).collect()
                    }
                };
                let at = order.iter().position(|component| Some(*component) == self.state.selected);
                let next = at.map_or(0, |at| at.saturating_add_signed(step).min(order.len().saturating_sub(1)));
                actions.extend(order.get(next).copied().map(Action::Select));
            }
        }
    }

    fn frame(&self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let palette = Palette::of(ui.ctx());
        let line = egui::Stroke::new(sizes::HAIRLINE, palette.line);
        let panel = |horizontal: f32, vertical: f32| {
            Frame::new()
                .fill(palette.panel)
                .inner_margin(Margin::symmetric(horizontal as i8, vertical as i8))
        };
        let width = ui.available_width();
        let open = self.studies.get(self.state.active);
        let mut inspector_below = false;
        let sidebar = open.is_some() && (width >= sizes::SIDEBAR_FROM || self.studies.len() > 1 && width >= sizes::INSPECTOR_FROM);
        if !self.state.embed {
            let bar = Panel::top("top bar")
                .exact_size(sizes::TOP_BAR)
                .frame(panel(0.0, 0.0))
                .resizable(false)
                .show_separator_line(false);
            bar.show(ui, |ui| {
                top_bar::show(ui, &self.state, open.is_some(), open.is_some() && !sidebar, actions);
                ui.painter().hline(ui.max_rect().x_range(), ui.max_rect().bottom() - 0.5, line);
            });
            let bar = Panel::bottom("status bar")
                .exact_size(sizes::STATUS_BAR)
                .frame(panel(0.0, 0.0))
                .resizable(false);
            bar.show(ui, |ui| {
                status_bar::show(ui, open, self.notice.as_ref().map(|(text, _)| text.as_str()), self.state.view)
            });
            if sidebar {
                let side = Panel::left("studies")
                    .exact_size(sizes::SIDEBAR)
                    .frame(panel(sizes::GAP + sizes::SMALL, sizes::LARGE))
                    .resizable(false);
                side.show(ui, |ui| sidebar::show(ui, &self.studies, &self.state, actions));
            }
        }
        let Some(open) = open else {
            let names: Vec<String> = self.opening.iter().map(|(_, name)| name.clone()).collect();
            let ground = Frame::new().fill(palette.ground).inner_margin(Margin::same(sizes::LARGE as i8));
            CentralPanel::no_frame()
                .frame(ground)
                .show(ui, |ui| empty::show(ui, &names, &self.problems, actions));
            return;
        };
        let beside = width >= sizes::INSPECTOR_FROM;
        let mut scene = Scene {
            open,
            studies: &self.studies,
            comparison: self.comparison.as_ref(),
            state: &self.state,
            palette,
            inspector_below: false,
        };
        let mut drawer_fills = false;
        if self.state.provenance {
            if beside {
                let drawer = Panel::right("provenance")
                    .exact_size(sizes::DRAWER)
                    .frame(panel(sizes::LARGE, sizes::LARGE))
                    .resizable(false);
                drawer.show(ui, |ui| provenance::show(ui, &scene, actions));
            } else {
                drawer_fills = true;
            }
        } else if !self.state.embed && beside {
            let side = Panel::right("inspector")
                .exact_size(sizes::INSPECTOR)
                .frame(panel(sizes::LARGE, sizes::LARGE))
                .resizable(false);
            side.show(ui, |ui| inspector::show(ui, &scene, actions));
        } else {
            inspector_below = !self.state.embed;
        }
        scene.inspector_below = inspector_below;
        let ground = Frame::new()
            .fill(if drawer_fills { palette.panel } else { palette.ground })
            .inner_margin(Margin::symmetric(sizes::LARGE as i8, (sizes::GAP + sizes::SMALL) as i8));
        CentralPanel::no_frame().frame(ground).show(ui, |ui| {
            if drawer_fills {
                provenance::show(ui, &scene, actions);
                return;
            }
            empty::problems(ui, &self.problems, actions);
            self.state.view.view().show(ui, &scene, actions);
        });
    }
}

impl eframe::App for CruxscopeApp {
    fn logic(&mut self, context: &Context, _: &mut eframe::Frame) {
        self.receive();
        self.note_saved(context);
        for open in &mut self.studies {
            let waker = context.clone();
            open.advance(move || waker.request_repaint());
        }
        self.compare(context);
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
            let names = open::dropped(&self.inbox, dropped);
            for name in names {
                let id = self.new_id();
                self.opening.push((id, name));
            }
        }
        let (mut actions, presses) = keys::read(&context);
        for press in presses {
            self.press(press, &mut actions);
        }
        self.perform(&context, std::mem::take(&mut actions));
        self.flicker(&context);
        self.frame(ui, &mut actions);
        if self.state.keys {
            keys::show(&context, &mut actions);
        }
        if self.state.export.open {
            export::show(&context, &self.state, &mut actions);
        }
        if context.input(|input| !input.raw.hovered_files.is_empty()) {
            empty::drop_target(ui);
        }
        // These were wishes for this one frame.
        self.state.search_wanted = false;
        self.state.reveal_wanted = false;
        let hovered = self.state.hovered.take();
        self.perform(&context, actions);
        self.follow_link(&context);
        if let Some(listener) = &mut self.listener
            && listener.follow(&self.problems, !self.studies.is_empty())
        {
            context.request_repaint();
        }
        if self.state.hovered != hovered || self.state.search_wanted || self.state.reveal_wanted {
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
