//! The line over a figure: what it says, with the model's name. On a stage it is the title.

use cruxscope_selectors::parts::{self, ModuleParts};
use cruxscope_selectors::{compression, headline, status};

use crate::budget::OpenBudget;
use crate::comparison::OpenComparison;
use crate::library::Library;
use crate::state::State;
use crate::variants::OpenVariants;
use crate::view_kind::ViewKind;
use crate::views::benchmarks;

/// What the view that is on says; nothing where there is no figure.
pub fn text(
    state: &State,
    library: &Library,
    comparison: Option<&OpenComparison>,
    variants: Option<&OpenVariants>,
    budget: Option<&OpenBudget>,
) -> Option<String> {
    let basis = state.ranking.basis;
    if state.view.is_of_results() {
        let active = benchmarks::active(&library.results, state)?;
        return Some(match state.view {
            ViewKind::TestTime => headline::results(&active.results.title, "The shortest and the longest outputs"),
            _ => headline::results(&active.results.title, benchmarks::experiment(active, state)),
        });
    }
    let open = library.studies.get(state.active)?;
    match state.view {
        ViewKind::Importance if state.opened && open.parts().parts().is_some() => {
            let (layout, maps) = (open.study.manifest.model.parts.as_ref()?, open.parts().parts()?);
            let opened = ModuleParts::wanted(layout, state.selected.map(|component| component.module))?;
            let finding = opened.finding(&open.figures, maps, parts::behaviour(&open.study, state.behaviour));
            Some(format!("{}: {finding}", status::title(&open.study)))
        }
        ViewKind::Importance | ViewKind::Ranking => Some(headline::importance(&open.study, &open.figures, basis)),
        ViewKind::Shift => {
            let compared = comparison?.outcome.as_ref().ok()?;
            Some(headline::shift(&compared.pair, basis, state.shift))
        }
        ViewKind::Validation => Some(headline::validation(&open.study, &open.figures, open.parts().validation()?, basis)),
        ViewKind::Compression => {
            let map = compression::known(&open.study, open.parts().compression().map(|map| &**map))?;
            let measures = compression::measures(&map);
            let measure = state.measure.filter(|measure| measures.contains(measure)).or(measures.first().copied())?;
            Some(headline::compression(&open.study, &open.figures, &map, measure))
        }
        ViewKind::Variants => variants?.variants.as_ref().map(cruxscope_selectors::variants::Variants::finding),
        ViewKind::Budget => {
            let (budget, plan) = budget?.plan()?;
            Some(budget.finding(status::title(&open.study), plan))
        }
        ViewKind::Ledger => open.parts().ledger().map(|found| cruxscope_selectors::ledger::headline(found)),
        ViewKind::Trace => {
            let apart = open.parts().divergence().filter(|_| !state.trace.alone)?;
            let instance = crate::views::trace::chosen::instance(open, state)?;
            let id = &open.study.manifest.instances.get(instance)?.id;
            Some(format!("{}: {}", apart.models()[1], apart.sentence(id)?))
        }
        // Their heads name what is seen, and no one of their numbers is the finding.
        ViewKind::Channels | ViewKind::Benchmarks | ViewKind::TestTime => None,
    }
}
