//! The ranking list: which components, in which order, and what is copied out of it.

use std::collections::BTreeSet;

use cruxscope_study::{Behaviour, Component};

use super::{Basis, Figures, Stability};

/// A column of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortColumn {
    /// Rank, which is the order of relative importance.
    #[default]
    Rank,
    /// The component: by layer, then by module.
    Component,
    /// Relative importance of the basis.
    Relative,
    /// Width of the interval.
    Interval,
    /// Relative importance of one behaviour.
    Behaviour(Behaviour),
    /// The share of resamples in which the component ranks first.
    First,
}

/// What the list is asked to show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// What is ranked by.
    pub basis: Basis,
    /// The column that orders the rows.
    pub column: SortColumn,
    /// Whether the order is turned round.
    pub reversed: bool,
    /// Only rows that hold all of these words: see [`Ranking::keeps`].
    pub filter: String,
    /// Only rows whose interval excludes zero.
    pub certain: bool,
    /// Only these components, where there are any: what was brushed in a scatter.
    pub brushed: BTreeSet<Component>,
}

impl Ranking {
    /// Whether a component stands in a list, given its interval where there is one. Each word of the filter must say it: a part of
    /// `30_gate`, a projection's name, `layer:30`, `layers:20-30`, `attention` or `mlp`. While intervals are not ready none excludes
    /// zero.
    pub fn keeps(&self, component: Component, interval: Option<[f64; 2]>) -> bool {
        let filter = self.filter.to_lowercase();
        let words: Vec<&str> = filter.split_whitespace().collect();
        let certain = interval.is_some_and(|[low, high]| low > 0.0 || high < 0.0);
        matches(component, &words) && (!self.certain || certain) && (self.brushed.is_empty() || self.brushed.contains(&component))
    }

    /// Whether anything is left out.
    pub fn is_filtered(&self) -> bool {
        !self.filter.trim().is_empty() || self.certain || !self.brushed.is_empty()
    }

    /// What is left out, in words, for a list that is empty.
    pub fn said(&self) -> String {
        let mut parts = Vec::new();
        if !self.filter.trim().is_empty() {
            parts.push(format!("\"{}\"", self.filter.trim()));
        }
        if self.certain {
            parts.push("an interval that excludes zero".to_owned());
        }
        if !self.brushed.is_empty() {
            parts.push(format!("{} that were brushed", self.brushed.len()));
        }
        parts.join(", ")
    }
}

/// A row of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct RankingRow {
    /// The component.
    pub component: Component,
    /// Its rank for the basis.
    pub rank: usize,
    /// Its relative importance for the basis.
    pub relative: f64,
    /// The interval over instances, if there is one.
    pub interval: Option<[f64; 2]>,
    /// Relative importance for each behaviour; nothing where no instance holds it.
    pub behaviours: [Option<f64>; 4],
    /// The share of resamples in which it ranks first.
    pub first: Option<f64>,
}

/// The rows, filtered and in order.
pub fn rows(figures: &Figures, stability: Option<&Stability>, ranking: &Ranking) -> Vec<RankingRow> {
    let order = figures.ranks(ranking.basis).order().iter();
    let mut rows: Vec<RankingRow> = order
        .map(|component| row(figures, stability, ranking.basis, *component))
        .filter(|row| ranking.keeps(row.component, row.interval))
        .collect();
    match ranking.column {
        // The order of ranks already; relative importance has the same.
        SortColumn::Rank | SortColumn::Relative => {}
        SortColumn::Component => rows.sort_by_key(|row| row.component.index()),
        SortColumn::Interval => rows.sort_by(|a, b| width(b).total_cmp(&width(a))),
        SortColumn::Behaviour(behaviour) => {
            let value = |row: &RankingRow| row.behaviours[behaviour.index()].unwrap_or(0.0);
            rows.sort_by(|a, b| value(b).total_cmp(&value(a)));
        }
        SortColumn::First => rows.sort_by(|a, b| b.first.unwrap_or(0.0).total_cmp(&a.first.unwrap_or(0.0))),
    }
    if ranking.reversed {
        rows.reverse();
    }
    rows
}

fn row(figures: &Figures, stability: Option<&Stability>, basis: Basis, component: Component) -> RankingRow {
    let found = stability.and_then(|stability| stability.of(basis, component));
    RankingRow {
        component,
        rank: figures.ranks(basis).overall(component),
        relative: figures.relative_of(basis, component),
        interval: found.map(|found| [found.low, found.high]),
        behaviours: Behaviour::ALL.map(|behaviour| figures.has(behaviour).then(|| figures.relative_of(Basis::Behaviour(behaviour), component))),
        first: found.map(|found| found.probability_of_rank_one),
    }
}

fn width(row: &RankingRow) -> f64 {
    row.interval.map_or(0.0, |[low, high]| high - low)
}

/// Whether a component answers to every word.
fn matches(component: Component, words: &[&str]) -> bool {
    let layer = component.layer.number();
    let is_attention = component.module.index() < 4;
    let texts = [
        component.to_string(),
        component.module.projection().to_owned(),
        format!("layer:{}", component.layer.number()),
    ];
    words.iter().all(|word| match (*word, word.split_once(':')) {
        ("attention", _) => is_attention,
        ("mlp", _) => !is_attention,
        (_, Some(("layers", range))) => {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            // A range that is still being typed is open on its other side.
            let number = |text: &str, otherwise: usize| text.trim().parse().unwrap_or(otherwise);
            (number(first, 1)..=number(last, usize::MAX)).contains(&layer)
        }
        (_, Some(("layer", _))) => texts.iter().any(|text| text == word),
        _ => texts.iter().any(|text| text.contains(word)),
    })
}

/// The largest value that the interval column must reach.
pub fn interval_reach(rows: &[RankingRow]) -> f64 {
    rows.iter()
        .map(|row| row.interval.map_or(row.relative, |[_, high]| high.max(row.relative)))
        .fold(0.0, f64::max)
}

/// The largest value that the bars by behaviour must reach.
pub fn behaviour_reach(figures: &Figures) -> f64 {
    Behaviour::ALL
        .into_iter()
        .flat_map(|behaviour| figures.relative(Basis::Behaviour(behaviour)))
        .copied()
        .fold(0.0, f64::max)
}

/// The components to protect: the checked ones, or else the first `number`, always in the order of ranks.
pub fn protected(figures: &Figures, basis: Basis, checked: &BTreeSet<Component>, number: usize) -> Vec<Component> {
    let order = figures.ranks(basis).order().iter().copied();
    if checked.is_empty() {
        order.take(number).collect()
    } else {
        order.filter(|component| checked.contains(component)).collect()
    }
}

/// The list as recipes read it: `30_gate,25_o`.
pub fn protection_list(components: &[Component]) -> String {
    let names: Vec<String> = components.iter().map(Component::to_string).collect();
    names.join(",")
}

/// What a row says in words.
pub fn row_sentence(row: &RankingRow) -> String {
    let relative = super::format::percent(row.relative).replace('\u{a0}', " ");
    format!("Rank {}, {}, {relative}", row.rank, row.component)
}

#[cfg(test)]
mod tests {
    use cruxscope_study::Module;
    use cruxscope_study::test_data as samples;

    use super::*;

    fn figures() -> Figures {
        Figures::of(&samples::study(12))
    }

    #[test]
    fn rows_come_in_the_order_of_ranks_and_turn_round() {
        let figures = figures();
        let mut ranking = Ranking::default();
        let forward = rows(&figures, None, &ranking);
        assert_eq!(forward.len(), 84);
        assert!(forward.windows(2).all(|pair| pair[0].relative >= pair[1].relative));
        ranking.reversed = true;
        let backward = rows(&figures, None, &ranking);
        assert_eq!(backward.first(), forward.last());
    }

    #[test]
    fn any_column_orders_the_rows() {
        let figures = figures();
        let by = |column| rows(&figures, None, &Ranking { column, ..Ranking::default() });
        assert_eq!(by(SortColumn::Component)[0].component, Component::new(0, Module::Query));
        let uncertain = by(SortColumn::Behaviour(Behaviour::UncertaintyEstimation));
        assert!(uncertain.windows(2).all(|pair| pair[0].behaviours[1] >= pair[1].behaviours[1]));
    }

    #[test]
    fn words_filter_by_component_projection_and_layer() {
        let figures = figures();
        let filtered = |filter: &str| {
            let ranking = Ranking {
                filter: filter.into(),
                ..Ranking::default()
            };
            rows(&figures, None, &ranking)
        };
        assert_eq!(filtered("gate").len(), 12);
        assert_eq!(filtered("12_GATE").len(), 1);
        assert_eq!(filtered("layer:1").len(), 7);
        assert_eq!(filtered("layer:1 up_proj").len(), 1);
        assert_eq!(filtered("nothing").len(), 0);
    }

    #[test]
    fn filters_know_ranges_blocks_brushes_and_intervals() {
        let keeps = |ranking: &Ranking| -> Vec<String> {
            let kept = Component::all(6).filter(|component| ranking.keeps(*component, Some([-0.1, 0.2])));
            kept.map(|component| component.to_string()).collect()
        };
        let of = |filter: &str| Ranking {
            filter: filter.into(),
            ..Ranking::default()
        };
        assert_eq!(keeps(&of("layers:2-3 attention")).len(), 8);
        assert_eq!(keeps(&of("layers:5- mlp")), ["5_gate", "5_up", "5_down", "6_gate", "6_up", "6_down"]);
        assert_eq!(keeps(&of("layers:2 up")), ["2_up"]);
        assert!(!of(" ").is_filtered() && of("up").is_filtered());
        let component: Component = "3_up".parse().unwrap();
        let brushed = Ranking {
            brushed: [component].into(),
            ..Ranking::default()
        };
        assert_eq!(keeps(&brushed), ["3_up"]);
        let certain = Ranking {
            certain: true,
            ..Ranking::default()
        };
        assert_eq!(keeps(&certain).len(), 0, "no interval excludes zero");
        assert!(certain.keeps(component, Some([0.1, 0.2])) && certain.keeps(component, Some([-0.2, -0.1])) && !certain.keeps(component, None));
        assert!(certain.said().contains("excludes zero"));
    }

    #[test]
    fn a_protection_list_is_written_as_recipes_read_it() {
        let figures = figures();
        let first = protected(&figures, Basis::Mean, &BTreeSet::new(), 2);
        assert_eq!(first, figures.ranks(Basis::Mean).order()[..2]);
        let checked: BTreeSet<_> = [Component::new(0, Module::Query), first[0]].into();
        let chosen = protected(&figures, Basis::Mean, &checked, 2);
        assert_eq!(protection_list(&chosen), format!("{},1_q", first[0]));
    }
}
