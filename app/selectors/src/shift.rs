//! What the shift view shows: which two studies, their cells and scales, the list, the facts of one component.

use std::sync::Arc;

use cruxscope_study::{Behaviour, Bootstrap, Comparability, Comparison, Component, Module, ShiftInterval, ShiftView, Study, StudyError};

use super::{Basis, ColourScale, Scale, format, stability};
use crate::background_job::BackgroundJob;

/// Two studies and what lies between them.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The more capable model's.
    pub a: Arc<Study>,
    /// The compressed model's, or the base model's.
    pub b: Arc<Study>,
    /// Their comparison.
    pub comparison: Comparison,
}

/// The intervals of every component's shift, for every behaviour and for their mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShiftIntervals {
    behaviours: [Option<Vec<ShiftInterval>>; 4],
    mean: Option<Vec<ShiftInterval>>,
}

impl BackgroundJob for ShiftIntervals {
    type Subject = Pair;
    const STEPS: usize = 5;

    fn step(&mut self, pair: &Pair, step: usize) -> Result<(), StudyError> {
        let behaviour = Behaviour::ALL.get(step).copied();
        // Both studies are resampled for one interval.
        let draws = stability::draws(pair.comparison.layers(), 2 * pair.comparison.shared_instances());
        let bootstrap = Bootstrap { draws, ..Bootstrap::default() };
        let found = pair.comparison.intervals(&pair.a, &pair.b, behaviour, &bootstrap)?;
        match behaviour {
            Some(behaviour) => self.behaviours[behaviour.index()] = found,
            None => self.mean = found,
        }
        Ok(())
    }
}

impl ShiftIntervals {
    /// The interval of one component, where at least two instances say anything about it.
    pub fn of(&self, basis: Basis, component: Component) -> Option<ShiftInterval> {
        let components = match basis {
            Basis::Mean => self.mean.as_ref(),
            Basis::Behaviour(behaviour) => self.behaviours[behaviour.index()].as_ref(),
        };
        components?.get(component.index()).copied()
    }
}

/// Which studies are compared, by their numbers: what was chosen where that is still open, or else the first ones.
pub fn pair(open: &[usize], chosen: [Option<usize>; 2]) -> Option<[usize; 2]> {
    let [a, b] = chosen.map(|id| id.filter(|id| open.contains(id)));
    let first_but = |other: Option<usize>| open.iter().copied().find(|id| Some(*id) != other);
    let a = a.or_else(|| first_but(b))?;
    let b = b.filter(|b| *b != a).or_else(|| first_but(Some(a)))?;
    Some([a, b])
}

/// Whether a study is offered beside another: nothing forbids their comparison.
pub fn offered(study: &Study, other: &Study) -> bool {
    Comparability::between(&study.manifest, &other.manifest).refusals.is_empty()
}

/// The choice after one side was given another study; the two change places where it was the other side's.
pub fn choose(now: [usize; 2], side: usize, id: usize) -> [Option<usize>; 2] {
    let mut next = now.map(Some);
    let other = 1 - side.min(1);
    if now[other] == id {
        next[other] = Some(now[side.min(1)]);
    }
    next[side.min(1)] = Some(id);
    next
}

/// The name of a view on a button.
pub const fn title(view: ShiftView) -> &'static str {
    match view {
        ShiftView::Decreases => "Decreases",
        ShiftView::Increases => "Increases",
        ShiftView::Net => "Net",
    }
}

/// What a view shows, as a head over its figures.
pub const fn head(view: ShiftView) -> &'static str {
    match view {
        ShiftView::Decreases => "Decreases, A − B",
        ShiftView::Increases => "Increases, B − A",
        ShiftView::Net => "Net shift, B − A",
    }
}

/// The next view.
pub const fn next(view: ShiftView) -> ShiftView {
    match view {
        ShiftView::Decreases => ShiftView::Increases,
        ShiftView::Increases => ShiftView::Net,
        ShiftView::Net => ShiftView::Decreases,
    }
}

/// A shift as a view writes it: net shifts with their sign.
pub fn written(view: ShiftView, shift: f64) -> String {
    match view {
        ShiftView::Net => format::signed_share(shift),
        _ => format::points(shift),
    }
}

/// The one scale of relative importance, over both studies and all behaviours.
pub fn importance_scale(comparison: &Comparison, scale: Scale) -> ColourScale {
    if scale == Scale::Rank {
        return ColourScale::over(scale, &[0.0, 1.0]);
    }
    ColourScale::over(
        scale,
        held(comparison).flat_map(|behaviour| comparison.from(behaviour).iter().chain(comparison.to(behaviour))),
    )
}

/// The one scale of the shift, over all behaviours.
pub fn shift_scale(comparison: &Comparison, view: ShiftView, scale: Scale) -> ColourScale {
    let values: Vec<f64> = match scale {
        Scale::Rank => vec![0.0, 1.0],
        _ => held(comparison).flat_map(|behaviour| comparison.shift(behaviour, view)).collect(),
    };
    match view {
        ShiftView::Net => ColourScale::centred_over(scale, &values),
        _ => ColourScale::over(scale, &values),
    }
}

fn held(comparison: &Comparison) -> impl Iterator<Item = Option<Behaviour>> {
    Behaviour::ALL.into_iter().map(Some).filter(|behaviour| comparison.has(*behaviour))
}

/// One cell: the shift, or on the scale of ranks how far up the order it stands, with the sign of a net shift.
pub fn cell(comparison: &Comparison, behaviour: Behaviour, component: Component, view: ShiftView, scale: Scale) -> f64 {
    let shift = view.of(comparison.net(Some(behaviour), component));
    if scale != Scale::Rank || shift == 0.0 {
        return shift;
    }
    let last = (comparison.layers() * Module::ALL.len()).saturating_sub(1).max(1) as f64;
    let up = 1.0 - (comparison.shift_ranks(Some(behaviour), view).overall(component) - 1) as f64 / last;
    up.copysign(shift)
}

/// The cells of a panel as the heatmap draws them, row by row: a row is a module, a column a layer.
pub fn cells(comparison: &Comparison, behaviour: Behaviour, view: ShiftView, scale: Scale) -> Vec<f32> {
    let components = Module::ALL
        .into_iter()
        .flat_map(|module| (0..comparison.layers()).map(move |layer| Component::new(layer, module)));
    components.map(|component| cell(comparison, behaviour, component, view, scale) as f32).collect()
}

/// The component that shifts most, if any does.
pub fn first(comparison: &Comparison, basis: Basis, view: ShiftView) -> Option<Component> {
    let first = *comparison.shift_ranks(basis.behaviour(), view).order().first()?;
    (view.of(comparison.net(basis.behaviour(), first)) != 0.0).then_some(first)
}

/// Why a behaviour has no shift, if it has none.
pub fn empty_reason(pair: &Pair, behaviour: Behaviour) -> Option<&'static str> {
    if pair.comparison.has(Some(behaviour)) {
        return None;
    }
    Some(match [&pair.a, &pair.b].map(|study| study.importance.has(behaviour)) {
        [true, _] => "No instance of B shows this behaviour.",
        [_, true] => "No instance of A shows this behaviour.",
        _ => "No instance of either study shows this behaviour.",
    })
}

/// How many instances stand behind a behaviour: `n = 4`, or `n = 4 and 3` where the studies differ.
pub fn instances(pair: &Pair, behaviour: Behaviour) -> String {
    let [a, b] = [&pair.a, &pair.b].map(|study| study.manifest.segments[behaviour.index()].instances);
    if a == b {
        format!("n = {}", format::things(a, "instance", "instances"))
    } else {
        format!("n = {} in A, {} in B", format::count(a), format::count(b))
    }
}

/// A row of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ShiftRow {
    /// The component.
    pub component: Component,
    /// Its rank by size of the shift.
    pub rank: usize,
    /// The shift through the view.
    pub shift: f64,
    /// Its interval through the view, if there is one.
    pub interval: Option<[f64; 2]>,
    /// Relative importance in A and in B.
    pub relative: [f64; 2],
    /// Rank of relative importance in A and in B.
    pub ranks: [usize; 2],
}

/// All rows, the largest shift first.
pub fn rows(comparison: &Comparison, intervals: Option<&ShiftIntervals>, basis: Basis, view: ShiftView) -> Vec<ShiftRow> {
    let order = comparison.shift_ranks(basis.behaviour(), view).order();
    order.iter().map(|component| row(comparison, intervals, basis, view, *component)).collect()
}

/// The row of one component.
pub fn row(comparison: &Comparison, intervals: Option<&ShiftIntervals>, basis: Basis, view: ShiftView, component: Component) -> ShiftRow {
    let behaviour = basis.behaviour();
    let [from, to] = comparison.ranks(behaviour);
    let interval = intervals.and_then(|intervals| intervals.of(basis, component));
    ShiftRow {
        component,
        rank: comparison.shift_ranks(behaviour, view).overall(component),
        shift: view.of(comparison.net(behaviour, component)),
        interval: interval.map(|interval| interval.through(view)),
        relative: [comparison.from(behaviour), comparison.to(behaviour)].map(|relative| relative[component.index()]),
        ranks: [from, to].map(|ranks| ranks.overall(component)),
    }
}

/// The largest size that the interval column must reach.
pub fn reach(rows: &[ShiftRow]) -> f64 {
    let ends = |row: &ShiftRow| row.interval.into_iter().flatten().chain([row.shift]).map(f64::abs).fold(0.0, f64::max);
    rows.iter().map(ends).fold(0.0, f64::max)
}

/// Where a shift lies in the interval column, from 0 to 1; a net shift of zero lies in the middle.
pub fn place(view: ShiftView, shift: f64, reach: f64) -> f32 {
    let share = if reach > 0.0 { shift / reach } else { 0.0 };
    (if view == ShiftView::Net { 0.5 + 0.5 * share } else { share }) as f32
}

/// Label and value of what is known of a component.
pub fn facts(row: &ShiftRow, view: ShiftView, components: usize) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Relative importance in A", format::percent(row.relative[0])),
        ("Relative importance in B", format::percent(row.relative[1])),
        // What an interval stands under has the sign of what the interval is of.
        match view {
            ShiftView::Decreases => ("Decrease, A − B", written(view, row.shift)),
            ShiftView::Increases => ("Increase, B − A", written(view, row.shift)),
            ShiftView::Net => ("Shift, B − A", written(view, row.shift)),
        },
    ];
    if let Some([low, high]) = row.interval {
        let label = match view {
            ShiftView::Decreases => "95 % interval of the decrease",
            ShiftView::Increases => "95 % interval of the increase",
            ShiftView::Net => "95 % interval of the shift",
        };
        facts.push((label, format!("{} to {}", written(view, low), written(view, high))));
    }
    facts.push(("Rank in A, then in B", format!("{} → {}", row.ranks[0], row.ranks[1])));
    let label = match view {
        ShiftView::Decreases => "Rank of the decrease",
        ShiftView::Increases => "Rank of the increase",
        ShiftView::Net => "Rank of the shift",
    };
    // Where nothing shifts this way there is no rank worth a word.
    let rank = if row.shift == 0.0 {
        "none".to_owned()
    } else {
        format!("{} of {components}", row.rank)
    };
    facts.push((label, rank));
    facts
}

/// What a row says in words.
pub fn sentence(row: &ShiftRow, view: ShiftView) -> String {
    let [from, to] = row.relative.map(format::percent);
    let text = format!("Shift {}, {}: {}, {from} in A, {to} in B", row.rank, row.component, written(view, row.shift));
    text.replace('\u{a0}', " ")
}

#[cfg(test)]
mod tests {
    use cruxscope_study::DifferenceKind;
    use cruxscope_study::test_data as samples;

    use super::*;

    fn pair_of_samples() -> Pair {
        let (a, b) = (samples::study(6), samples::compressed(6));
        let comparison = Comparison::between(&a, &b, &DifferenceKind::ALL).unwrap();
        Pair {
            a: Arc::new(a),
            b: Arc::new(b),
            comparison,
        }
    }

    #[test]
    fn the_first_two_are_compared_until_others_are_chosen() {
        assert_eq!(pair(&[4], [None, None]), None);
        assert_eq!(pair(&[4, 5, 6], [None, None]), Some([4, 5]));
        assert_eq!(pair(&[4, 5, 6], [Some(6), None]), Some([6, 4]));
        assert_eq!(pair(&[4, 5, 6], [None, Some(4)]), Some([5, 4]));
        assert_eq!(pair(&[4, 6], [Some(5), Some(6)]), Some([4, 6]), "what was closed is replaced");
        assert_eq!(choose([4, 5], 0, 6), [Some(6), Some(5)]);
        assert_eq!(choose([4, 5], 0, 5), [Some(5), Some(4)], "they change places");
    }

    #[test]
    fn scales_are_one_for_all_and_net_has_zero_in_its_middle() {
        let pair = pair_of_samples();
        let scale = importance_scale(&pair.comparison, Scale::Linear);
        let largest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let behaviour = Some(Behaviour::Backtracking);
        assert!(scale.high >= largest(pair.comparison.from(behaviour)) && scale.high >= largest(pair.comparison.to(behaviour)));
        assert_eq!(shift_scale(&pair.comparison, ShiftView::Net, Scale::Linear).position(0.0), 0.5);
        assert_eq!(shift_scale(&pair.comparison, ShiftView::Decreases, Scale::Linear).position(0.0), 0.0);
    }

    #[test]
    fn the_list_begins_with_the_largest_and_facts_add_up() {
        let pair = pair_of_samples();
        for view in ShiftView::ALL {
            let rows = rows(&pair.comparison, None, Basis::Mean, view);
            assert!(rows.windows(2).all(|pair| pair[0].shift.abs() >= pair[1].shift.abs()));
            assert_eq!(first(&pair.comparison, Basis::Mean, view), Some(rows[0].component));
            let row = &rows[0];
            assert!((view.of(row.relative[1] - row.relative[0]) - row.shift).abs() < 1e-15);
            assert!(place(view, row.shift, reach(&rows)).abs() <= 1.0);
        }
        let gate = row(&pair.comparison, None, Basis::Mean, ShiftView::Decreases, Component::new(5, Module::Gate));
        assert_eq!(gate.rank, 1, "what was cut most stands first: {gate:?}");
        assert!(facts(&gate, ShiftView::Decreases, 42).contains(&("Rank of the decrease", "1 of 42".to_owned())));
    }

    #[test]
    fn ranks_of_a_net_shift_keep_their_sign() {
        let pair = pair_of_samples();
        let gate = Component::new(5, Module::Gate);
        assert_eq!(cell(&pair.comparison, Behaviour::Backtracking, gate, ShiftView::Net, Scale::Rank), -1.0);
        assert_eq!(cell(&pair.comparison, Behaviour::Backtracking, gate, ShiftView::Increases, Scale::Rank), 0.0);
        assert_eq!(cells(&pair.comparison, Behaviour::Backtracking, ShiftView::Net, Scale::Linear).len(), 42);
    }

    #[test]
    fn intervals_hold_the_shift_and_a_behaviour_nobody_shows_says_so() {
        let pair = pair_of_samples();
        let intervals = ShiftIntervals::all(&pair).unwrap();
        for basis in [Basis::Mean, Basis::Behaviour(Behaviour::Backtracking)] {
            for component in Component::all(6) {
                let found = intervals.of(basis, component).unwrap();
                let net = pair.comparison.net(basis.behaviour(), component);
                assert!(found.low - 1e-12 <= net && net <= found.high + 1e-12, "{basis:?} {component}");
            }
        }
        assert_eq!(empty_reason(&pair, Behaviour::Backtracking), None);
        assert!(empty_reason(&pair, Behaviour::AddingKnowledge).unwrap().contains("either"));
        assert_eq!(instances(&pair, Behaviour::Backtracking), "n = 4 instances");
    }
}
