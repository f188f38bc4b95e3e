//! What the view of variants shows: many compressed versions of one model beside each other, each with its shift from the original, its
//! bits, its size and what it scores.
//!
//! One scale for all maps, with zero in its middle, so that a colour means the same in every row.

mod describe;
mod finding;
mod scores;

use cruxscope_study::{Behaviour, Comparability, Comparison, Component, CompressionMap, DifferenceKind, Module, Results, ShiftView, Study};

use super::results::{Method, MethodKind};
use super::{ColourScale, Scale, format, status};

pub use scores::Measured;

/// A study that may be a variant, with what lies beside it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its number.
    pub id: usize,
    /// The study.
    pub study: &'a Study,
    /// What compression did to its matrices, where that was saved.
    pub compression: Option<&'a CompressionMap>,
}

/// What is known of one version of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The number of its study.
    pub id: usize,
    /// What it is called, without the words that all share.
    pub label: String,
    /// How it is drawn.
    pub method: Method,
    /// Bits of a weight of its matrices, the mean over their weights.
    pub bits: Option<f64>,
    /// What its matrices weigh, in bytes.
    pub size: Option<f64>,
    /// Divergence of its predictions from the original's, in nats, where results say it.
    pub divergence: Option<Measured>,
    /// What it scores on the benchmark.
    pub accuracy: Option<Measured>,
}

/// A compressed version beside the original.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// What is known of it.
    pub facts: Facts,
    /// The shift of relative importance from the original, `[behaviour][layer, module]`; nothing where only one of the two holds the
    /// behaviour.
    pub shifts: [Option<Vec<f64>>; 4],
    /// How much of the importance moved: half the sum of all sizes of shifts, from 0 to 1.
    pub moved: [Option<f64>; 4],
    /// The component that moved most.
    pub first: [Option<Component>; 4],
}

/// Many versions of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Variants {
    /// The one that the others are compared with.
    pub original: Facts,
    /// Its title.
    pub title: String,
    /// Number of decoder layers.
    pub layers: usize,
    /// The others, in the order in which they were given.
    pub rows: Vec<Variant>,
    /// The benchmark whose scores stand beside them.
    pub benchmark: Option<String>,
    /// The studies that cannot be compared with the original: number, title and why.
    pub refused: Vec<(usize, String, String)>,
}

/// By what variants are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VariantSort {
    /// As they were given.
    #[default]
    Given,
    /// By the importance that moved.
    Moved,
    /// By bits of a weight.
    Bits,
    /// By what the matrices weigh.
    Size,
    /// By divergence from the original.
    Divergence,
    /// By score.
    Accuracy,
}

impl VariantSort {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Given, Self::Moved, Self::Bits, Self::Size, Self::Divergence, Self::Accuracy];

    /// The name in options and links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Moved => "moved",
            Self::Bits => "bits",
            Self::Size => "size",
            Self::Divergence => "divergence",
            Self::Accuracy => "accuracy",
        }
    }

    /// The head of its column.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Given => "Variant",
            Self::Moved => "Moved",
            Self::Bits => "Bits",
            Self::Size => "Size",
            Self::Divergence => "KL",
            Self::Accuracy => "Accuracy",
        }
    }

    /// What the column says, in a sentence's end.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Given => "method and bits, in the order in which the studies were opened",
            Self::Moved => "share of relative importance that moved from the original: half the sum of all sizes of shifts",
            Self::Bits => "bits of a weight of the matrices, as they are stored",
            Self::Size => "what the matrices weigh",
            Self::Divergence => "divergence of the predictions from the original's, in nats",
            Self::Accuracy => "score with its interval at 95 %",
        }
    }
}

/// What stands in a row of variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VariantForm {
    /// A small map for every behaviour.
    #[default]
    Maps,
    /// The matrices that moved most in any of them, a column each.
    Matrices,
}

impl VariantForm {
    /// Both, with their names on buttons.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Maps, "Maps"), (Self::Matrices, "Most moved matrices")];
}

/// Titles without the words that all of those share which have more than them.
pub fn short_titles(titles: &[&str]) -> Vec<String> {
    describe::without_shared_words(titles)
}

/// Whether two studies may be put beside each other at all.
fn compatible(a: &Study, b: &Study) -> bool {
    Comparability::between(&a.manifest, &b.manifest).refusals.is_empty()
}

/// The candidates that can be put beside the one that is on, itself included; all, where it stands alone.
pub fn family<'a>(candidates: &[Candidate<'a>], active: usize) -> Vec<Candidate<'a>> {
    let on = candidates.iter().find(|one| one.id == active);
    let family: Vec<Candidate<'a>> = on.map_or_else(Vec::new, |on| {
        candidates
            .iter()
            .filter(|one| one.id == on.id || compatible(on.study, one.study))
            .copied()
            .collect()
    });
    if family.len() > 1 { family } else { candidates.to_vec() }
}

/// The study that others are to be compared with: of those that are not compressed, the one that most others are compatible with; the
/// first of several.
pub fn original(candidates: &[Candidate<'_>]) -> Option<usize> {
    let plain = candidates
        .iter()
        .filter(|one| describe::method(one.study, one.compression).kind == MethodKind::None);
    let reach = |one: &Candidate<'_>| {
        candidates
            .iter()
            .filter(|other| other.id != one.id && compatible(one.study, other.study))
            .count()
    };
    let mut best: Option<(usize, usize)> = None;
    for one in plain {
        let reach = reach(one);
        if best.is_none_or(|(_, most)| reach > most) {
            best = Some((one.id, reach));
        }
    }
    best.filter(|(_, reach)| *reach > 0).map(|(id, _)| id)
}

/// The pair that a shift begins with: the original and the compatible study with the fewest bits or the most weights pruned away.
pub fn first_pair(candidates: &[Candidate<'_>]) -> Option<[usize; 2]> {
    let original = original(candidates)?;
    let of = candidates.iter().find(|one| one.id == original)?;
    let left = |one: &Candidate<'_>| {
        let method = describe::method(one.study, one.compression);
        let plain = method.kind == MethodKind::None;
        // What is not compressed comes last; among the others less is left under a hollow mark.
        (plain, std::cmp::Reverse(method.fill))
    };
    let others = candidates.iter().filter(|one| one.id != original && compatible(of.study, one.study));
    let least = others.min_by(|a, b| left(a).cmp(&left(b)))?;
    Some([original, least.id])
}

impl Variants {
    /// Compares every candidate with the original. `benchmark` is the one whose scores are shown; without a choice it is a mean over
    /// several where results have one, or else the first.
    pub fn of(candidates: &[Candidate<'_>], original: usize, results: &[&Results], benchmark: Option<&str>) -> Option<Self> {
        let of = candidates.iter().find(|one| one.id == original)?;
        let (family, strangers): (Vec<Candidate<'_>>, Vec<Candidate<'_>>) =
            candidates.iter().partition(|one| one.id == original || compatible(of.study, one.study));
        let titles: Vec<&str> = family.iter().map(|one| status::title(one.study)).collect();
        let shorts = describe::without_shared_words(&titles);
        let found = scores::Scores::of(results, &titles, benchmark);
        let facts = |one: &Candidate<'_>, label: String| {
            let stored = describe::stored(one.study, one.compression);
            let title = status::title(one.study);
            Facts {
                id: one.id,
                label,
                method: describe::method(one.study, one.compression),
                bits: stored.map(|(bits, _)| bits),
                size: stored.map(|(_, bytes)| bytes),
                divergence: found.divergence(title),
                accuracy: found.accuracy(title),
            }
        };
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        let all = family.iter().zip(shorts).chain(strangers.iter().map(|one| (one, String::new())));
        for (one, label) in all.filter(|(one, _)| one.id != original) {
            match Comparison::between(of.study, one.study, &DifferenceKind::ALL) {
                Ok(comparison) => rows.push(variant(&comparison, facts(one, label))),
                Err(error) => refused.push((one.id, status::title(one.study).to_owned(), error.to_string())),
            }
        }
        Some(Self {
            original: facts(of, status::title(of.study).to_owned()),
            title: status::title(of.study).to_owned(),
            layers: of.study.importance.layers(),
            rows,
            benchmark: found.benchmark,
            refused,
        })
    }

    /// The places of the rows in an order: the smallest first, the largest importance moved and the highest accuracy first; what is not
    /// known comes last either way.
    pub fn order(&self, sort: VariantSort, reversed: bool, behaviour: Option<Behaviour>) -> Vec<usize> {
        let key = |row: &Variant| match sort {
            VariantSort::Given => None,
            VariantSort::Moved => row.moved(behaviour).map(|moved| -moved),
            VariantSort::Bits => row.facts.bits,
            VariantSort::Size => row.facts.size,
            VariantSort::Divergence => row.facts.divergence.map(|found| found.value),
            VariantSort::Accuracy => row.facts.accuracy.map(|found| -found.value),
        };
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        if sort == VariantSort::Given {
            if reversed {
                order.reverse();
            }
            return order;
        }
        order.sort_by(|a, b| match (key(&self.rows[*a]), key(&self.rows[*b])) {
            (Some(a), Some(b)) if reversed => b.total_cmp(&a),
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        order
    }

    /// The one scale of all maps, with zero in its middle. Ranks have none: a shift is more or less than another by its size.
    pub fn scale(&self, scale: Scale) -> ColourScale {
        let scale = if scale == Scale::Rank { Scale::SquareRoot } else { scale };
        ColourScale::centred_over(scale, self.rows.iter().flat_map(|row| row.shifts.iter().flatten().flatten()))
    }

    /// The matrices that moved most in any version, for a behaviour or on average over those that both hold: at most so many, the one
    /// that moved most first.
    pub fn most_moved(&self, behaviour: Option<Behaviour>, number: usize) -> Vec<Component> {
        let most = |component: Component| {
            let shifts = self.rows.iter().filter_map(|row| row.mean_shift(behaviour, component));
            shifts.map(f64::abs).fold(0.0, f64::max)
        };
        let mut order: Vec<(f64, Component)> = Component::all(self.layers).map(|component| (most(component), component)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.index().cmp(&b.1.index())));
        order.into_iter().take(number).map(|(_, component)| component).collect()
    }

    /// Whether any row has something to show in a column.
    pub fn knows(&self, sort: VariantSort) -> bool {
        let all = || self.rows.iter().map(|row| &row.facts).chain([&self.original]);
        match sort {
            VariantSort::Given | VariantSort::Moved => true,
            VariantSort::Bits => all().any(|facts| facts.bits.is_some()),
            VariantSort::Size => all().any(|facts| facts.size.is_some()),
            VariantSort::Divergence => all().any(|facts| facts.divergence.is_some()),
            VariantSort::Accuracy => all().any(|facts| facts.accuracy.is_some()),
        }
    }
}

impl Variant {
    /// How much of the importance moved, for a behaviour or on average over those that both hold.
    pub fn moved(&self, behaviour: Option<Behaviour>) -> Option<f64> {
        if let Some(behaviour) = behaviour {
            return self.moved[behaviour.index()];
        }
        let known: Vec<f64> = self.moved.iter().flatten().copied().collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// The cells of a behaviour's map, row by row: a row is a module, a column a layer.
    pub fn cells(&self, behaviour: Behaviour, layers: usize) -> Option<Vec<f32>> {
        let shifts = self.shifts[behaviour.index()].as_ref()?;
        let cells = Module::ALL
            .into_iter()
            .flat_map(|module| (0..layers).map(move |layer| Component::new(layer, module)));
        Some(cells.map(|component| shifts[component.index()] as f32).collect())
    }

    /// The shift of one component.
    pub fn shift(&self, behaviour: Behaviour, component: Component) -> Option<f64> {
        self.shifts[behaviour.index()].as_ref()?.get(component.index()).copied()
    }

    /// The shift of one component, for a behaviour or on average over those that both hold.
    pub fn mean_shift(&self, behaviour: Option<Behaviour>, component: Component) -> Option<f64> {
        if let Some(behaviour) = behaviour {
            return self.shift(behaviour, component);
        }
        let known: Vec<f64> = Behaviour::ALL.into_iter().filter_map(|behaviour| self.shift(behaviour, component)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// What a row says in words.
    pub fn sentence(&self) -> String {
        let mut parts = vec![self.facts.label.clone()];
        parts.extend(self.moved(None).map(|moved| format!("{} of importance moved", format::percent(moved))));
        parts.extend(self.facts.said());
        parts.join(", ").replace('\u{a0}', " ")
    }
}

impl Facts {
    /// What stands in a column; nothing where it is not known.
    pub fn text(&self, sort: VariantSort) -> Option<String> {
        match sort {
            VariantSort::Given => Some(self.label.clone()),
            VariantSort::Moved => None,
            VariantSort::Bits => self.bits.map(|bits| super::compression::Measure::Bits.text(bits)),
            VariantSort::Size => self.size.map(|bytes| format::bytes(bytes.round() as u64)),
            VariantSort::Divergence => self.divergence.map(|found| format::significant(found.value)),
            VariantSort::Accuracy => self.accuracy.map(|found| format!("{:.1}\u{a0}%", found.value)),
        }
    }

    fn said(&self) -> Vec<String> {
        let of = |sort: VariantSort, unit: &str| self.text(sort).map(|text| format!("{text}{unit}"));
        let accuracy = self.accuracy.map(|found| {
            let ends = found.interval.map_or_else(String::new, |[low, high]| format!(" ({low:.1} to {high:.1})"));
            format!("accuracy {:.1} %{ends}", found.value)
        });
        let facts = [
            of(VariantSort::Bits, " bits"),
            of(VariantSort::Size, ""),
            of(VariantSort::Divergence, " nats"),
            accuracy,
        ];
        facts.into_iter().flatten().collect()
    }
}

fn variant(comparison: &Comparison, facts: Facts) -> Variant {
    let shifts = Behaviour::ALL.map(|behaviour| comparison.has(Some(behaviour)).then(|| comparison.shift(Some(behaviour), ShiftView::Net)));
    let half_sum = |shifts: &Vec<f64>| shifts.iter().map(|shift| shift.abs()).sum::<f64>() / 2.0;
    Variant {
        facts,
        moved: Behaviour::ALL.map(|behaviour| shifts[behaviour.index()].as_ref().map(half_sum)),
        first: Behaviour::ALL.map(|behaviour| super::shift::first(comparison, super::Basis::Behaviour(behaviour), ShiftView::Net)),
        shifts,
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;

    use super::*;

    fn studies() -> [Study; 3] {
        let mut other = samples::compressed(6);
        other.manifest.title = "Sample, compressed, RTN, 2 bits".into();
        let mut awq = samples::compressed(6);
        awq.manifest.title = "Sample, compressed, AWQ, 3 bits".into();
        [samples::study(6), awq, other]
    }

    fn candidates(studies: &[Study]) -> Vec<Candidate<'_>> {
        let candidate = |(at, study)| Candidate {
            id: at + 10,
            study,
            compression: None,
        };
        studies.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn the_original_is_what_is_not_compressed_and_a_shift_begins_with_the_most_compressed() {
        let studies = studies();
        let candidates = candidates(&studies);
        assert_eq!(original(&candidates), Some(10));
        assert_eq!(first_pair(&candidates), Some([10, 12]));
        assert_eq!(original(&candidates[1..]), None, "nothing to compare with");
        let stranger = [samples::study(6), samples::study(4)];
        let pair = self::candidates(&stranger);
        assert_eq!(original(&pair), None, "two networks have no shift");
    }

    #[test]
    fn what_moved_is_half_of_all_sizes_by_the_plain_sum() {
        let studies = studies();
        let found = Variants::of(&candidates(&studies), 10, &[], None).unwrap();
        assert_eq!(found.rows.len(), 2);
        let comparison = Comparison::between(&studies[0], &studies[1], &DifferenceKind::ALL).unwrap();
        for behaviour in Behaviour::ALL {
            let row = &found.rows[0];
            if !comparison.has(Some(behaviour)) {
                assert_eq!((row.moved[behaviour.index()], row.cells(behaviour, 6)), (None, None));
                continue;
            }
            let mut sum = 0.0;
            for component in Component::all(6) {
                let net = comparison.net(Some(behaviour), component);
                sum += net.abs();
                assert_eq!(row.shift(behaviour, component), Some(net));
            }
            let moved = row.moved[behaviour.index()].unwrap();
            assert!((moved - sum / 2.0).abs() < 1e-12 && (0.0..=1.0).contains(&moved), "{moved}");
            let cells = row.cells(behaviour, 6).unwrap();
            let first = row.first[behaviour.index()].unwrap();
            let place = first.module.index() * 6 + first.layer.0;
            assert!(cells.iter().all(|cell| cell.abs() <= cells[place].abs()));
        }
        let scale = found.scale(Scale::Linear);
        assert!(scale.centred && scale.position(0.0) == 0.5);
    }

    #[test]
    fn rows_are_ordered_by_what_is_known_and_the_rest_comes_last() {
        let studies = studies();
        let mut found = Variants::of(&candidates(&studies), 10, &[], None).unwrap();
        found.rows[0].facts.bits = Some(3.0);
        found.rows[1].facts.bits = None;
        assert_eq!(found.order(VariantSort::Given, false, None), [0, 1]);
        assert_eq!(found.order(VariantSort::Given, true, None), [1, 0]);
        assert_eq!(found.order(VariantSort::Bits, false, None), [0, 1]);
        assert_eq!(found.order(VariantSort::Bits, true, None), [0, 1], "what is not known stays last");
        found.rows[1].facts.bits = Some(2.0);
        assert_eq!(found.order(VariantSort::Bits, false, None), [1, 0]);
        let measured = |value| Some(Measured { value, interval: None });
        found.rows[0].facts.accuracy = measured(50.0);
        found.rows[1].facts.accuracy = measured(80.0);
        assert_eq!(found.order(VariantSort::Accuracy, false, None), [1, 0]);
        assert!(found.knows(VariantSort::Accuracy) && !found.knows(VariantSort::Divergence));
        assert!(found.finding().contains("2 variants"), "{}", found.finding());
        assert!(found.rows[0].sentence().contains("accuracy 50.0 %"), "{}", found.rows[0].sentence());
    }
}
