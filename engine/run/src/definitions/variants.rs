//! The two definitions, and each departure of the published code alone; what a pass has to give for all of them at once.

use cruxscope_interpret::ask::{Ask, Group, means};
use cruxscope_interpret::attribution::Summing;
use cruxscope_interpret::part::{GradientPart, InstancePart};
use cruxscope_interpret::pass::Instance;
use cruxscope_interpret::segment::{Segment, Span};
use cruxscope_study::{Behaviour, Definition};

/// A reading of the method: each choice as the paper's formulas have it, or as the published code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The name of its study.
    pub name: &'static str,
    /// What it is, in a few words.
    pub words: &'static str,
    /// How annotations are parsed and found in the text.
    pub sections: Definition,
    /// Which tokens count in a behaviour's mean activation.
    pub tokens: Definition,
    /// Rows and targets of a segment.
    pub rows: Definition,
    /// How sums are taken.
    pub summing: Summing,
}

const PAPER: Variant = Variant {
    name: "paper",
    words: "the paper's formulas",
    sections: Definition::Paper,
    tokens: Definition::Paper,
    rows: Definition::Paper,
    summing: Summing {
        aliased: false,
        absolute: false,
    },
};

impl Variant {
    /// The paper's formulas, the published code, and every single departure.
    pub const ALL: [Self; 7] = [
        PAPER,
        Self {
            name: "reference",
            words: "the published code, all departures together",
            sections: Definition::Released,
            tokens: Definition::Released,
            rows: Definition::Released,
            summing: Summing { aliased: true, absolute: true },
        },
        Self {
            name: "one-accumulator",
            words: "the sum over all four behaviours stands for each",
            summing: Summing {
                aliased: true,
                absolute: false,
            },
            ..PAPER
        },
        Self {
            name: "absolute-inside",
            words: "absolute values are taken segment by segment, not of the sum",
            summing: Summing {
                aliased: false,
                absolute: true,
            },
            ..PAPER
        },
        Self {
            name: "short-segments",
            words: "a segment loses its last token and the five before it",
            rows: Definition::Released,
            ..PAPER
        },
        Self {
            name: "repeated-tokens",
            words: "means count tokens again where segments meet, and leave out the last",
            tokens: Definition::Released,
            ..PAPER
        },
        Self {
            name: "strict-sections",
            words: "annotations are parsed and located as published",
            sections: Definition::Released,
            ..PAPER
        },
    ];

    /// The definition that a manifest names: that of the sums.
    pub fn definition(&self) -> Definition {
        if self.name == "reference" { Definition::Released } else { Definition::Paper }
    }
}

/// What a variant takes of a pass: places among its means and among its gradients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    plus: Vec<usize>,
    gradients: Vec<usize>,
    /// Segments that count, by behaviour.
    segments: [usize; 4],
    /// Spans of those segments.
    spans: Vec<usize>,
}

/// What an instance is asked for, for all variants, each thing once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Everything {
    /// What the pass is asked for.
    pub ask: Ask,
    /// What each of [`Variant::ALL`] takes of it.
    pub taken: Vec<Taken>,
}

impl Everything {
    /// Of an instance with its segments under both ways of reading annotations.
    pub fn of(paper: &Instance, released: &Instance) -> Self {
        let mut everything = Self::default();
        for variant in Variant::ALL {
            let instance = if variant.sections == Definition::Paper { paper } else { released };
            let taken = everything.add(&variant, &instance.segments, paper.ids.len());
            everything.taken.push(taken);
        }
        everything
    }

    fn add(&mut self, variant: &Variant, segments: &[Segment], tokens: usize) -> Taken {
        let usable: Vec<(Segment, Span)> = segments
            .iter()
            .filter_map(|segment| Some((*segment, segment.span(variant.rows).ok()?)))
            .collect();
        let own: Vec<Segment> = usable.iter().map(|(segment, _)| *segment).collect();
        let mut taken = Taken::default();
        for wanted in means(&own, tokens, variant.tokens) {
            taken.plus.push(place(&mut self.ask.plus, wanted));
        }
        for (_, span) in &usable {
            taken.spans.push(place(&mut self.ask.spans, span.clone()));
        }
        for behaviour in Behaviour::ALL {
            let members: Vec<usize> = (usable.iter().zip(&taken.spans))
                .filter(|((segment, _), _)| segment.behaviour == behaviour)
                .map(|(_, span)| *span)
                .collect();
            taken.segments[behaviour.index()] = members.len();
            let groups: Vec<Vec<usize>> = match (members.is_empty(), variant.summing.absolute) {
                (true, _) => Vec::new(),
                (_, true) => members.into_iter().map(|member| vec![member]).collect(),
                (_, false) => vec![members],
            };
            for members in groups {
                let group = Group::new(behaviour, members, &self.ask.spans);
                taken.gradients.push(place(&mut self.ask.groups, group));
            }
        }
        taken
    }
}

/// The place of something in a list, to whose end it is put if it is not there.
fn place<T: PartialEq>(list: &mut Vec<T>, wanted: T) -> usize {
    match list.iter().position(|known| *known == wanted) {
        Some(place) => place,
        None => {
            list.push(wanted);
            list.len() - 1
        }
    }
}

impl Taken {
    /// The part that a run of this variant alone would have given.
    pub fn part(&self, whole: &InstancePart) -> InstancePart {
        let gradient = |index: &usize| -> GradientPart { whole.gradients[*index].clone() };
        InstancePart {
            segments: self.segments,
            losses: self.spans.iter().map(|span| whole.losses[*span]).collect(),
            targets: self.spans.iter().map(|span| whole.targets[*span]).collect(),
            plus: self.plus.iter().map(|index| whole.plus[*index].clone()).collect(),
            gradients: self.gradients.iter().map(gradient).collect(),
            shares: match whole.shares.first() {
                Some(all) => {
                    let own = self.plus.iter().map(|index| whole.shares[1 + index].clone());
                    [all.clone()].into_iter().chain(own).collect()
                }
                None => Vec::new(),
            },
            id: whole.id.clone(),
            tokens: whole.tokens,
            all: whole.all.clone(),
            backend: whole.backend.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(segments: &[(Behaviour, usize, usize)]) -> Instance {
        Instance {
            id: "one".into(),
            ids: vec![1; 60],
            segments: segments
                .iter()
                .map(|(behaviour, start, last)| Segment {
                    behaviour: *behaviour,
                    start: *start,
                    last: *last,
                })
                .collect(),
        }
    }

    #[test]
    fn each_definition_takes_what_it_would_ask_for_alone_and_nothing_is_asked_twice() {
        let [a, b] = [Behaviour::Backtracking, Behaviour::AddingKnowledge];
        let paper = instance(&[(a, 8, 12), (b, 13, 20), (a, 30, 41)]);
        let released = instance(&[(a, 8, 12), (b, 13, 20), (b, 50, 50)]);
        let everything = Everything::of(&paper, &released);
        for (place, (instance, definition)) in [(&paper, Definition::Paper), (&released, Definition::Released)].into_iter().enumerate() {
            let mut usable = instance.clone();
            usable.segments.retain(|segment| segment.span(definition).is_ok());
            let alone = Ask::of(&usable, definition);
            let taken = &everything.taken[place];
            let plus: Vec<_> = taken.plus.iter().map(|index| everything.ask.plus[*index].clone()).collect();
            assert_eq!(plus, alone.plus);
            let rows = |group: &Group, spans: &[Span]| -> Vec<Span> { group.members.iter().map(|member| spans[*member].clone()).collect() };
            let mut own: Vec<_> = (taken.gradients.iter().map(|index| &everything.ask.groups[*index]))
                .map(|group| (group.behaviour, rows(group, &everything.ask.spans), group.per_row.to_bits()))
                .collect();
            let mut wanted: Vec<_> = (alone.groups.iter())
                .map(|group| (group.behaviour, rows(group, &alone.spans), group.per_row.to_bits()))
                .collect();
            let order = |entry: &(Behaviour, Vec<Span>, u32)| (entry.0.index(), entry.1.iter().map(|span| span.rows.start).collect::<Vec<_>>());
            own.sort_by_key(order);
            wanted.sort_by_key(order);
            assert_eq!(own, wanted);
        }
        let ask = &everything.ask;
        for (index, span) in ask.spans.iter().enumerate() {
            assert!(!ask.spans[..index].contains(span));
        }
        // Three segments of the paper's reading, as its rows and as the published ones; the fourth of the published reading by the paper's.
        assert_eq!(ask.spans.len(), 7);
    }
}
