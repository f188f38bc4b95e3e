//! What the view of traces shows: which instance, its sections in order, their fates in words.

use cruxscope_study::{Behaviour, Component, Label, Study, TraceSection, TraceText};

use super::{Basis, Figures, format};
use crate::trace_look::TraceLook;

/// How often each label occurs, in the order of [`LABELS`].
pub fn counts(text: &TraceText) -> [usize; 6] {
    LABELS.map(|label| text.sections.iter().filter(|section| section.label == label).count())
}

/// The labels in the order of the legend: the four that are scored, then the two that are only shown.
pub const LABELS: [Label; 6] = [
    Label::Backtracking,
    Label::UncertaintyEstimation,
    Label::ExampleTesting,
    Label::AddingKnowledge,
    Label::Deduction,
    Label::Initializing,
];

/// The name of a label, as people read it.
pub fn title(label: Label) -> &'static str {
    match label.behaviour() {
        Some(behaviour) => behaviour.title(),
        None if label == Label::Deduction => "Deduction",
        None => "Initializing",
    }
}

/// Whether a section is shown: its label is not hidden.
pub fn is_shown(section: &TraceSection, look: &TraceLook) -> bool {
    !look.hidden.contains(&section.label)
}

/// The section that comes so many further, among those that are shown.
pub fn step(text: &TraceText, look: &TraceLook, step: isize) -> Option<usize> {
    let shown: Vec<usize> = (0..text.sections.len()).filter(|place| is_shown(&text.sections[*place], look)).collect();
    let at = look.section.map(|section| shown.partition_point(|place| *place < section));
    let next = match at {
        None if step > 0 => 0,
        None => shown.len().checked_sub(1)?,
        // From a section that is hidden, the next one is the one that has taken its place.
        Some(at) if step > 0 && shown.get(at) != look.section.as_ref() => at,
        Some(at) => at.saturating_add_signed(step).min(shown.len().checked_sub(1)?),
    };
    shown.get(next).copied()
}

/// What became of a section, in words.
pub fn fate(section: &TraceSection) -> String {
    match (section.dropped, section.label.behaviour()) {
        (Some(reason), _) => format!("dropped: {}", reason.words()),
        (None, Some(_)) => "used".to_owned(),
        (None, None) => "shown, not scored".to_owned(),
    }
}

/// One stretch of the output: bytes, and the section that they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// The section, by its place; nothing between sections.
    pub section: Option<usize>,
}

/// The output cut at the ends of sections, so that every byte belongs to one run. Where sections overlap, the earlier one keeps it.
pub fn runs(text: &TraceText) -> Vec<Run> {
    let mut placed: Vec<(usize, usize, usize)> = (text.sections.iter().enumerate())
        .filter_map(|(place, section)| section.bytes.map(|[start, end]| (start, end, place)))
        .collect();
    placed.sort_unstable();
    let mut runs = Vec::with_capacity(2 * placed.len() + 1);
    let mut at = 0;
    for (start, end, place) in placed {
        let start = start.max(at);
        if end <= start {
            continue;
        }
        if start > at {
            runs.push(Run {
                start: at,
                end: start,
                section: None,
            });
        }
        runs.push(Run {
            start,
            end,
            section: Some(place),
        });
        at = end;
    }
    if at < text.output.len() {
        runs.push(Run {
            start: at,
            end: text.output.len(),
            section: None,
        });
    }
    runs
}

/// A component by what this instance alone adds to it.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceComponent {
    /// The component.
    pub component: Component,
    /// The absolute value of the instance's term, as a share of the terms of all components.
    pub share: f64,
    /// Its rank over all instances.
    pub rank: usize,
}

/// The components to which this instance adds most, for a behaviour.
pub fn components(study: &Study, figures: &Figures, instance: usize, behaviour: Behaviour, most: usize) -> Vec<InstanceComponent> {
    let Some(contribution) = study.contributions.instances.get(instance) else {
        return Vec::new();
    };
    let number = figures.components();
    let values = contribution
        .values
        .get(behaviour.index() * number..(behaviour.index() + 1) * number)
        .unwrap_or_default();
    let sum: f64 = values.iter().map(|value| value.abs()).sum();
    if sum <= 0.0 {
        return Vec::new();
    }
    let mut order: Vec<(Component, f64)> = Component::all(figures.layers()).zip(values.iter().map(|value| value.abs() / sum)).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let ranks = figures.ranks(Basis::Behaviour(behaviour));
    let line = |(component, share): (Component, f64)| InstanceComponent {
        component,
        share,
        rank: ranks.overall(component),
    };
    order.into_iter().take(most).map(line).collect()
}

/// A line about the instance: `1,024 tokens, 14 sections`.
pub fn line(text: &TraceText) -> String {
    format!(
        "{}, {}",
        format::things(text.tokens, "token", "tokens"),
        format::things(text.sections.len(), "section", "sections")
    )
}

/// What ends a thought in the outputs of models that think aloud.
const THOUGHT_ENDS: [&str; 3] = ["</think>", "<|channel|>final<|message|>", "</thought>"];

/// Where the answer begins in an output: after the last mark that ends a thought; nothing where there is none, or nothing after it.
pub fn answer(text: &TraceText) -> Option<usize> {
    let ends = THOUGHT_ENDS.iter().filter_map(|mark| text.output.rfind(mark).map(|at| at + mark.len()));
    ends.max().filter(|at| !text.output[*at..].trim().is_empty())
}

/// Whether the output was scored as right, partly right or wrong, in words; nothing where its score is not known.
pub fn verdict(text: &TraceText) -> Option<&'static str> {
    Some(match text.score? {
        score if score >= 1.0 => "right",
        score if score > 0.0 => "partly right",
        _ => "wrong",
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_begins_after_the_thought() {
        let of = |output: &str| TraceText {
            output: output.into(),
            ..TraceText::default()
        };
        let at = |output: &str| answer(&of(output)).map(|at| output[at..].to_owned());
        assert_eq!(at("try 5: yes.</think>5").as_deref(), Some("5"));
        assert_eq!(at("a</think>b</think> c").as_deref(), Some(" c"));
        assert_eq!((at("no thought"), at("cut off</think>\n")), (None, None));
        let scored = |score| verdict(&TraceText { score, ..of("") });
        assert_eq!(
            [scored(None), scored(Some(1.0)), scored(Some(0.0)), scored(Some(0.5))],
            [None, Some("right"), Some("wrong"), Some("partly right")]
        );
    }

    use cruxscope_study::DropReason;

    use super::*;

    fn section(label: Label, bytes: Option<[usize; 2]>) -> TraceSection {
        TraceSection {
            label,
            bytes,
            tokens: None,
            dropped: None,
            text: None,
        }
    }

    fn text() -> TraceText {
        TraceText {
            id: "a".into(),
            output: "0123456789".into(),
            sections: vec![
                section(Label::Initializing, Some([0, 3])),
                section(Label::Backtracking, Some([5, 8])),
                section(Label::Deduction, Some([7, 9])),
                section(Label::ExampleTesting, None),
            ],
            ..TraceText::default()
        }
    }

    #[test]
    fn runs_cover_every_byte_once() {
        let found: Vec<_> = runs(&text()).into_iter().map(|run| (run.start, run.end, run.section)).collect();
        assert_eq!(found, [(0, 3, Some(0)), (3, 5, None), (5, 8, Some(1)), (8, 9, Some(2)), (9, 10, None)]);
        assert_eq!(runs(&TraceText::default()), []);
    }

    #[test]
    fn steps_pass_over_what_is_hidden() {
        let text = text();
        let mut look = TraceLook::default();
        assert_eq!(step(&text, &look, 1), Some(0));
        assert_eq!(step(&text, &look, -1), Some(3));
        look.hidden.insert(Label::Backtracking);
        look.section = Some(0);
        assert_eq!(step(&text, &look, 1), Some(2));
        look.section = Some(1);
        assert_eq!(step(&text, &look, 1), Some(2), "from a hidden one");
        look.section = Some(3);
        assert_eq!(step(&text, &look, 1), Some(3), "the last one stays");
    }

    #[test]
    fn fates_are_said() {
        let mut dropped = section(Label::Backtracking, None);
        assert_eq!(fate(&dropped), "used");
        dropped.dropped = Some(DropReason::BeyondCap);
        assert!(fate(&dropped).contains("cap"));
        assert_eq!(fate(&section(Label::Deduction, None)), "shown, not scored");
        assert_eq!(counts(&text()), [1, 0, 1, 0, 1, 1]);
    }
}
