//! What a figure says, in one line with the model's name: the title over a view, and on a stage the one thing an audience reads.

use cruxscope_study::{CompressionMap, ShiftView, Study, Validation};

use super::compression::{self, Measure};
use super::results::is_none;
use super::shift::{self, Pair};
use super::{Basis, Figures, format, status, validation};

/// `Distilled: 6_down matters most, 11.68 % of relative importance over all behaviours`.
pub fn importance(study: &Study, figures: &Figures, basis: Basis) -> String {
    let title = status::title(study);
    let of = of(basis);
    match figures.first(basis) {
        Some(first) => format!(
            "{title}: {first} matters most, {} of relative importance {of}",
            format::percent(figures.relative_of(basis, first))
        ),
        None => format!("{title}: no importance {of}"),
    }
}

fn of(basis: Basis) -> String {
    match basis {
        Basis::Mean => "over all behaviours".to_owned(),
        Basis::Behaviour(behaviour) => format!("for {}", behaviour.title().to_lowercase()),
    }
}

/// `From Distilled to RTN, 2 bits: 6_down moves most, −7.80 pp`.
pub fn shift(pair: &Pair, basis: Basis, view: ShiftView) -> String {
    let [a, b] = [&pair.a, &pair.b].map(|study| status::title(study).to_owned());
    let moves = match view {
        ShiftView::Decreases => "falls",
        ShiftView::Increases => "rises",
        ShiftView::Net => "moves",
    };
    match shift::first(&pair.comparison, basis, view) {
        Some(first) => {
            let row = shift::row(&pair.comparison, None, basis, view, first);
            format!("From {a} to {b}: {first} {moves} most, {} {}", shift::written(view, row.shift), of(basis))
        }
        None => format!("From {a} to {b}: nothing {moves} {}", of(basis)),
    }
}

/// `Distilled: importance and measured damage go together with rank correlation 0.05 (−0.26 to 0.35)`.
pub fn validation(study: &Study, figures: &Figures, found: &Validation, basis: Basis) -> String {
    let title = status::title(study);
    match validation::correlation(&validation::points(found, figures, basis)) {
        Some(found) => format!("{title}: rank correlation of importance with measured damage {}", format::correlation(&found)),
        None => format!("{title}: importance beside measured damage"),
    }
}

/// `Distilled, RTN, 2 bits: 6_down has the largest output error, 24.10 %`; where all matrices are alike, that.
pub fn compression(study: &Study, figures: &Figures, map: &CompressionMap, measure: Measure) -> String {
    let title = status::title(study);
    let what = measure.title().to_lowercase();
    let lines = compression::lines(map, figures, Basis::Mean, measure);
    match (lines.first(), lines.last()) {
        (Some(first), Some(last)) if first.value > last.value => {
            format!("{title}: {} has the largest {what}, {}", first.component, measure.text(first.value))
        }
        (Some(first), _) => format!("{title}: {what} of every matrix {}", measure.text(first.value)),
        _ => title.to_owned(),
    }
}

/// The name of an experiment with that of its results, where both say something.
pub fn results(title: &str, experiment: &str) -> String {
    if is_none(experiment) || experiment == title {
        title.to_owned()
    } else {
        format!("{experiment} · {title}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cruxscope_study::test_data as samples;
    use cruxscope_study::{Behaviour, Comparison, Component, ComponentCompression, DifferenceKind};

    use super::*;

    #[test]
    fn headlines_name_the_model_and_what_is_largest() {
        let study = samples::study(6);
        let figures = Figures::of(&study);
        let said = importance(&study, &figures, Basis::Mean);
        assert!(
            said.starts_with("Sample study: 6_gate matters most, ") && said.ends_with("over all behaviours"),
            "{said}"
        );
        assert!(importance(&study, &figures, Basis::Behaviour(Behaviour::AddingKnowledge)).contains("no importance"));
        let (a, b) = (samples::study(6), samples::compressed(6));
        let comparison = Comparison::between(&a, &b, &DifferenceKind::ALL).unwrap();
        let pair = Pair {
            a: Arc::new(a),
            b: Arc::new(b),
            comparison,
        };
        let said = shift(&pair, Basis::Mean, ShiftView::Decreases);
        assert!(said.starts_with("From Sample study to Sample, compressed: 6_gate falls most, "), "{said}");
        assert!(said.contains("pp"), "a difference of shares has points: {said}");
    }

    #[test]
    fn a_measure_that_is_the_same_everywhere_names_no_matrix() {
        let study = samples::study(2);
        let figures = Figures::of(&study);
        let map = |bits: &dyn Fn(usize) -> f64| CompressionMap {
            components: Component::all(2)
                .map(|component| ComponentCompression {
                    component: component.to_string(),
                    bits: Some(bits(component.index())),
                    ..ComponentCompression::default()
                })
                .collect(),
            ..CompressionMap::default()
        };
        assert_eq!(
            compression(&study, &figures, &map(&|_| 4.0), Measure::Bits),
            "Sample study: bits of every matrix 4"
        );
        let said = compression(&study, &figures, &map(&|at| if at == 3 { 8.0 } else { 4.0 }), Measure::Bits);
        assert_eq!(said, "Sample study: 1_o has the largest bits, 8");
    }
}
