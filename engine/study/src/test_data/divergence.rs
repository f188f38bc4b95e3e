//! Where the made-up study's model parts from another, made up too.

use crate::{Behaviour, ComparedModel, ComparedText, Continuation, DIVERGENCE_SCHEMA, Divergence, DivergenceFacts, Manifest, TraceText};

/// Tokens of a prompt.
const PROMPT: usize = 12;
/// One token in so many diverges.
const RARE: usize = 23;

/// Over these traces, whose tokens all have the same length; the model of `manifest` is B. Every so many tokens choices part, first in the
/// second fifth of a text, and there both models wrote on.
pub fn divergence(manifest: &Manifest, traces: &[TraceText]) -> Divergence {
    let mut found = Divergence {
        facts: DivergenceFacts {
            schema: DIVERGENCE_SCHEMA,
            program: "made up".into(),
            models: [
                ComparedModel {
                    name: "Sample-135M".into(),
                    files: Vec::new(),
                },
                ComparedModel {
                    name: manifest.model.name.clone(),
                    files: manifest.model.files.clone(),
                },
            ],
            behaviours: Behaviour::ALL.to_vec(),
            layers: manifest.model.layers,
            ..DivergenceFacts::default()
        },
        ..Divergence::default()
    };
    for trace in traces {
        let written = trace.tokens.max(10);
        let first = written / 5;
        for row in 0..PROMPT + written - 1 {
            let token = row + 1;
            let place = token.checked_sub(PROMPT);
            let end = place.map_or(0, |place| (place + 1) * trace.output.len() / written);
            let inside = |[start, stop]: [usize; 2]| end > start && end <= stop;
            let claimed = trace.sections.iter().filter(|section| section.bytes.is_some_and(inside));
            let bits = claimed
                .filter_map(|section| section.label.behaviour())
                .fold(0, |bits, own| bits | 1 << own.index());
            let parts = place.is_some_and(|place| place >= first && (place - first).is_multiple_of(RARE));
            let mixed = ((row * 7919 + 31) % 97) as f32 / 97.0;
            found.kl.push(if parts { 0.4 + 2.0 * mixed } else { 0.02 * mixed });
            found.rank.push(if parts { 2 + (row % 3) as u32 } else { 1 });
            found.choices[0].push(100 + row as u32);
            found.choices[1].push(if parts { 7 } else { 100 + row as u32 });
            found.losses[0].push(0.5 * mixed);
            found.losses[1].push(0.5 * mixed + if parts { 0.6 } else { 0.01 });
            found.behaviours.push(bits);
            found.ends.push(end as u32);
        }
        found.facts.texts.push(ComparedText {
            id: trace.id.clone(),
            tokens: PROMPT + written,
            thought: PROMPT,
            answer: PROMPT + written - written / 10,
            continuation: Some(Continuation {
                token: PROMPT + first,
                a: "Wait, the train leaves before noon, so nobody who was at the market can have taken it.".into(),
                b: "So the train was taken by whoever was at the market, and that is the answer.".into(),
            }),
        });
    }
    found
}
