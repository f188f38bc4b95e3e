//! The view of a budget: which few matrices, what they cost, what they win back. A map of what each costs in its format, the curve of
//! size against divergence, a slider for the target, and ways out for the recipe.

mod curve;
mod inspect;
mod map;
mod tools;

use cruxscope_selectors::budget::{self, Budget, Plan};
use cruxscope_selectors::format;
use cruxscope_study::Scope;
use cruxscope_theme::{icons, sizes, typeface};
use egui::{Align2, Label, Rect, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};

use super::scene::{Scene, View};
use crate::action::Action;
use crate::budget::OpenBudget;
use crate::open::{Part, PartState};
use crate::state::State;
use crate::studies::OpenStudy;
use crate::views::{missing, problem};
use crate::widgets;

/// Height of the map and of the curve, at least and at most.
const FIGURE: [f32; 2] = [220.0, 460.0];
/// What stands over and under them.
const BELOW: f32 = 380.0;
/// Share of the width that the map takes, where the curve stands beside it.
const MAP: f32 = 0.54;
/// Least width at which they stand beside each other.
const BESIDE: f32 = 620.0;

/// The view of a budget.
pub struct BudgetView;

/// All that its parts share.
struct Shown<'a> {
    scene: &'a Scene<'a>,
    open: &'a OpenBudget,
    budget: &'a Budget,
    plan: &'a Plan,
}

impl<'a> Shown<'a> {
    fn of(scene: &'a Scene<'a>) -> Option<Self> {
        let open = scene.budget?;
        let (budget, plan) = open.plan()?;
        Some(Self { scene, open, budget, plan })
    }
}

impl View for BudgetView {
    fn show(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        let Some(shown) = Shown::of(scene) else {
            nothing(ui, scene, actions);
            return;
        };
        let presenting = scene.state.presenting;
        // Within what scrolls there is no end of height.
        let whole_height = ui.available_height();
        ScrollArea::vertical().id_salt("budget").auto_shrink(false).show(ui, |ui| {
            ui.set_max_width(ui.available_width() - if presenting { 0.0 } else { sizes::GAP });
            tools::choices(ui, &shown, actions);
            ui.add_space(sizes::SMALL);
            let room = whole_height - if presenting { sizes::LINE + sizes::LARGE } else { BELOW };
            let height = room.clamp(FIGURE[0], if presenting { f32::INFINITY } else { FIGURE[1] });
            let width = ui.available_width();
            let whole = |ui: &mut Ui, height: f32| ui.allocate_exact_size(vec2(width, height), Sense::hover()).0;
            if width >= BESIDE {
                let rect = whole(ui, height);
                let left = (rect.width() * MAP).floor();
                map::show(ui, Rect::from_min_size(rect.min, vec2(left - sizes::GAP, height)), &shown, actions);
                curve::show(ui, Rect::from_min_max(pos2(rect.left() + left, rect.top()), rect.max), &shown, actions);
            } else {
                let rect = whole(ui, FIGURE[0]);
                map::show(ui, rect, &shown, actions);
                ui.add_space(sizes::GAP);
                let rect = whole(ui, FIGURE[0] + sizes::LARGE * 4.0);
                curve::show(ui, rect, &shown, actions);
            }
            ui.add_space(sizes::SMALL);
            curve::legend(ui, &shown);
            if presenting {
                return;
            }
            ui.add_space(sizes::SMALL);
            tools::target(ui, &shown, actions);
            ui.add_space(sizes::SMALL);
            tools::ways_out(ui, &shown, actions);
            let caveat = RichText::new(shown.budget.caveat(shown.plan))
                .font(typeface::caption())
                .color(scene.palette.dim);
            ui.add(Label::new(caveat).wrap());
            widgets::section(ui, "Predicted KL by whose positions count");
            costs(ui, &shown);
            if scene.inspector_below {
                ui.add_space(sizes::GAP);
                inspect::show(ui, scene, actions);
            }
        });
    }

    fn inspect(&self, ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
        inspect::show(ui, scene, actions);
    }

    fn needs(&self, _: &OpenStudy, _: &State) -> Vec<Part> {
        vec![Part::Sensitivity, Part::Trial]
    }
}

/// What is said where there is no recipe.
fn nothing(ui: &mut Ui, scene: &Scene<'_>, actions: &mut Vec<Action>) {
    match (scene.open.parts().state(Part::Sensitivity), scene.budget.map(|open| &open.budget)) {
        (Some(PartState::Failed(found)), _) => problem::problem(ui, found),
        (Some(PartState::Absent), _) => {
            let text = "A sketch of its sensitivity says what every format would cost every matrix, from one pass over some text. With it a budget is chosen \
                        here, and every change of it is priced at once.";
            let command = "cruxscope sensitivity --model MODEL --text TEXT --formats rtn-3-g64,rtn-4-g64,rtn-8-g64 --out STUDY";
            missing::say(ui, "The sensitivity of this study is not known", text, command, actions);
            missing::offer(ui, scene, |other| other.parts().sensitivity().is_some(), actions);
        }
        (_, Some(Err(why))) => {
            tools::scopes(ui, scene, actions);
            ui.add(
                Label::new(
                    RichText::new("No recipe can be chosen for these positions")
                        .font(typeface::title())
                        .color(scene.palette.text),
                )
                .wrap(),
            );
            ui.add(Label::new(RichText::new(why).color(scene.palette.dim)).wrap());
        }
        _ => {
            ui.spinner();
        }
    }
}

/// What the recipe costs every scope, with its interval, on one axis.
fn costs(ui: &mut Ui, shown: &Shown<'_>) {
    let palette = shown.scene.palette;
    let lines: Vec<(Scope, budget::RecipeCost)> = shown
        .plan
        .by_scope
        .iter()
        .map(|(scope, cost)| (*scope, if *scope == shown.budget.settings().scope() { shown.plan.cost } else { *cost }))
        .collect();
    let most = lines
        .iter()
        .map(|(_, cost)| cost.interval.map_or(cost.kl, |(_, high)| high))
        .fold(0.0, f64::max)
        .max(f64::MIN_POSITIVE);
    for (scope, cost) in lines {
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), sizes::LINE + sizes::SMALL), Sense::hover());
        let said = format!("{} {}", budget::scope(scope), budget::nats(cost.kl, cost.interval));
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, said.replace('\u{a0}', " ")));
        let mut left = rect.left();
        if let Scope::Behaviour(behaviour) = scope {
            let sign = Rect::from_center_size(pos2(left + sizes::SIGN / 2.0, rect.center().y), vec2(sizes::SIGN - 2.0, sizes::SIGN - 2.0));
            icons::behaviour(ui.painter(), sign, behaviour, palette);
        }
        left += sizes::SIGN + sizes::GAP;
        let on = scope == shown.budget.settings().scope();
        let colour = if on { palette.text } else { palette.dim };
        let name = match scope {
            Scope::All => "All positions",
            Scope::Behaviour(behaviour) => behaviour.title(),
        };
        let painter = ui.painter();
        painter.text(pos2(left, rect.center().y), Align2::LEFT_CENTER, name, typeface::body(), colour);
        let number = pos2(left + 250.0_f32.min(rect.width() * 0.5), rect.center().y);
        painter.text(number, Align2::RIGHT_CENTER, format::significant(cost.kl), typeface::body_strong(), colour);
        let track = Rect::from_min_max(pos2(number.x + sizes::LARGE, rect.top()), rect.max - vec2(sizes::SMALL, 0.0));
        if track.width() > sizes::LARGE * 3.0 {
            let share = |value: f64| (value / most) as f32;
            let line = egui::Stroke::new(sizes::HAIRLINE, palette.line);
            painter.hline(track.x_range(), track.center().y, line);
            let ends = cost.interval.map(|(low, high)| [share(low), share(high)]);
            widgets::interval(painter, track, share(cost.kl), ends, palette);
        }
    }
}
