//! Continuing texts greedily, with keys and values kept, to see how many puzzles are solved.

use cruxscope_statistics::SplitMix;
use rayon::prelude::*;

use crate::{
    Alphabet, Corpus,
    layout::Shape,
    linear::linear,
    pointwise::{Rotation, gated, normalise, softmax},
    puzzles::{Kind, Puzzle, World, answer_in},
};

/// The seed of the puzzles that models are examined with.
pub const EXAMINATION: u64 = 1_000_003;

/// One text in the making.
struct Decoder<'a> {
    shape: Shape,
    weights: &'a [f32],
    rotation: Rotation,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    position: usize,
}

impl<'a> Decoder<'a> {
    fn new(shape: Shape, weights: &'a [f32], length: usize) -> Self {
        let empty = vec![Vec::new(); shape.layers];
        let rotation = Rotation::new(length, shape.head());
        Self {
            shape,
            weights,
            rotation,
            keys: empty.clone(),
            values: empty,
            position: 0,
        }
    }

    /// Takes in a token; gives the logits of the next.
    fn feed(&mut self, token: u32) -> Vec<f32> {
        let (shape, weights) = (self.shape, self.weights);
        let places = shape.places();
        let (hidden, keys, head, wide) = (shape.hidden, shape.keys(), shape.head(), shape.feed_forward);
        let embedding = &weights[places.embedding];
        let mut stream = embedding[token as usize * hidden..][..hidden].to_vec();
        let (mut normal, mut factor) = (vec![0.0; hidden], [0.0]);
        let apply = |input: &[f32], weight: &std::ops::Range<usize>, outputs: usize| {
            let mut out = vec![0.0; outputs];
            linear(&mut out, input, &weights[weight.clone()], input.len(), outputs);
            out
        };
        for (index, place) in places.layers.iter().enumerate() {
            normalise(&mut normal, &mut factor, &stream, &weights[place.norm.clone()]);
            let mut query = apply(&normal, &place.query, hidden);
            let mut key = apply(&normal, &place.key, keys);
            self.rotation.turn(&mut query, self.position, 1.0);
            self.rotation.turn(&mut key, self.position, 1.0);
            self.keys[index].extend(key);
            self.values[index].extend(apply(&normal, &place.value, keys));
            let mut mixed = vec![0.0; hidden];
            for (part, (query, out)) in query.chunks(head).zip(mixed.chunks_mut(head)).enumerate() {
                let at = part * shape.key_heads / shape.heads * head;
                let dot = |key: &[f32]| key[at..at + head].iter().zip(query).map(|(key, query)| key * query).sum();
                let mut shares: Vec<f32> = self.keys[index].chunks(keys).map(dot).collect();
                for share in &mut shares {
                    *share /= (head as f32).sqrt();
                }
                softmax(&mut shares);
                for (share, value) in shares.iter().zip(self.values[index].chunks(keys)) {
                    for (out, value) in out.iter_mut().zip(&value[at..at + head]) {
                        *out += share * value;
                    }
                }
            }
            add(&mut stream, &apply(&mixed, &place.output, hidden));
            normalise(&mut normal, &mut factor, &stream, &weights[place.second_norm.clone()]);
            let (gate, up) = (apply(&normal, &place.gate, wide), apply(&normal, &place.up, wide));
            let mut active = vec![0.0; wide];
            gated(&mut active, &gate, &up);
            add(&mut stream, &apply(&active, &place.down, hidden));
        }
        self.position += 1;
        normalise(&mut normal, &mut factor, &stream, &weights[places.norm]);
        let mut logits = vec![0.0; shape.vocabulary];
        linear(&mut logits, &normal, embedding, hidden, shape.vocabulary);
        logits
    }
}

fn add(out: &mut [f32], other: &[f32]) {
    for (out, other) in out.iter_mut().zip(other) {
        *out += other;
    }
}

/// Continues each prompt by the most probable characters to the end of the text, or to `longest` characters in all.
pub fn continue_all(shape: Shape, weights: &[f32], prompts: &[String], longest: usize) -> Vec<String> {
    let alphabet = Alphabet::default();
    let finish = |prompt: &String| {
        let mut decoder = Decoder::new(shape, weights, longest);
        let mut tokens = alphabet.encode(prompt);
        let mut logits = Vec::new();
        for token in &tokens {
            logits = decoder.feed(*token);
        }
        while tokens.len() < longest {
            let best = (0..logits.len()).max_by(|left, right| logits[*left].total_cmp(&logits[*right]));
            let Some(token) = best.map(|token| token as u32) else { break };
            tokens.push(token);
            if token == Alphabet::END {
                break;
            }
            if tokens.len() < longest {
                logits = decoder.feed(token);
            }
        }
        alphabet.decode(&tokens)
    };
    prompts.par_iter().map(finish).collect()
}

/// The share of puzzles of a kind that are solved.
pub fn accuracy(shape: Shape, weights: &[f32], world: &World, kind: Kind, (corpus, held_out, count): (Corpus, bool, usize)) -> f64 {
    let puzzles: Vec<Puzzle> = if held_out {
        kind.held_out(world, EXAMINATION, count)
    } else {
        let mut generator = SplitMix::new(EXAMINATION);
        (0..count).map(|_| kind.draw(world, &mut generator, false)).collect()
    };
    let prompts: Vec<String> = puzzles.iter().map(|puzzle| puzzle.question.clone() + corpus.opening()).collect();
    let texts = continue_all(shape, weights, &prompts, 220);
    let solved = |(puzzle, text): &(&Puzzle, &String)| answer_in(text) == Some(puzzle.answer.as_str());
    puzzles.iter().zip(&texts).filter(solved).count() as f64 / puzzles.len() as f64
}
