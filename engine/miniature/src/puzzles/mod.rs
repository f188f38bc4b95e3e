//! Four kinds of puzzle, each with a question, a labelled trace of reasoning and an answer.

pub mod arithmetic;
pub mod deduction;
pub mod facts;
pub mod schedule;

use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;

pub use facts::World;

/// Begins the reasoning; one token.
pub const OPEN: &str = "<think>";
/// Ends the reasoning; one token.
pub const CLOSE: &str = "</think>";
/// Tokens of one sequence in training; no puzzle is longer.
pub const LENGTH: usize = 192;

/// One puzzle, with the reasoning that solves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puzzle {
    /// What is asked.
    pub question: String,
    /// The reasoning, sentence after sentence; together they are the trace.
    pub spans: Vec<(Label, String)>,
    /// What is right.
    pub answer: String,
}

/// How hard puzzles are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Small numbers, short deductions.
    #[default]
    Standard,
    /// Larger numbers, longer deductions, fuller days, more people: what the models that the program carries were trained on.
    Hard,
}

/// The kinds of puzzle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// See [`arithmetic`].
    Arithmetic,
    /// See [`deduction`].
    Deduction,
    /// See [`schedule`].
    Schedule,
    /// See [`facts`].
    Facts,
}

impl Kind {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Arithmetic, Self::Deduction, Self::Schedule, Self::Facts];

    /// The name in logs and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arithmetic => "arithmetic",
            Self::Deduction => "deduction",
            Self::Schedule => "schedule",
            Self::Facts => "facts",
        }
    }

    /// So many puzzles of this kind that training never shows, no question twice; fewer where there are no more.
    pub fn held_out(self, world: &World, seed: u64, count: usize) -> Vec<Puzzle> {
        let mut generator = SplitMix::new(seed);
        if self == Self::Facts {
            let mut all: Vec<Puzzle> = facts::all(world).into_iter().filter(Puzzle::is_held_out).collect();
            shuffle(&mut all, &mut generator);
            all.truncate(count);
            return all;
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut puzzles = Vec::new();
        for _ in 0..count * 100 {
            if puzzles.len() == count {
                break;
            }
            let puzzle = self.draw(world, &mut generator, true);
            if seen.insert(puzzle.question.clone()) {
                puzzles.push(puzzle);
            }
        }
        puzzles
    }

    /// A puzzle of this kind, held out of training or not as asked.
    pub fn draw(self, world: &World, generator: &mut SplitMix, held_out: bool) -> Puzzle {
        loop {
            let puzzle = match self {
                Self::Arithmetic => arithmetic::draw(generator, world.level),
                Self::Deduction => deduction::draw(generator, world.level),
                Self::Schedule => schedule::draw(generator, world.level),
                Self::Facts => facts::draw(world, generator),
            };
            if puzzle.is_held_out() == held_out && puzzle.tokens() <= LENGTH {
                return puzzle;
            }
        }
    }
}

impl Puzzle {
    /// A puzzle of sentences; they are parted by single spaces.
    pub(crate) fn new(question: String, sentences: Vec<(Label, String)>, answer: String) -> Self {
        let last = sentences.len().saturating_sub(1);
        let spans = sentences
            .into_iter()
            .enumerate()
            .map(|(place, (label, text))| (label, if place < last { text + " " } else { text }))
            .collect();
        Self { question, spans, answer }
    }

    /// Whether training never shows this puzzle: every fifth, by a hash of its question.
    pub fn is_held_out(&self) -> bool {
        hash(&self.question).is_multiple_of(5)
    }

    /// Tokens of the whole text with reasoning: every character, the two marks and the end.
    fn tokens(&self) -> usize {
        self.question.len() + self.trace().len() + self.answer.len() + 3
    }

    /// The reasoning as one text.
    pub fn trace(&self) -> String {
        self.spans.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The whole text with reasoning, its end included.
    pub fn reasoned(&self) -> String {
        format!("{}{OPEN}{}{CLOSE}{}\n", self.question, self.trace(), self.answer)
    }

    /// The whole text without reasoning, its end included.
    pub fn direct(&self) -> String {
        format!("{}{OPEN}{CLOSE}{}\n", self.question, self.answer)
    }
}

/// The label of a sentence, by its cue words.
pub fn label_of(sentence: &str) -> Label {
    let cues = [
        ("task:", Label::Initializing),
        ("wait,", Label::Backtracking),
        ("not sure", Label::UncertaintyEstimation),
        ("try", Label::ExampleTesting),
        ("check", Label::ExampleTesting),
        ("i recall", Label::AddingKnowledge),
    ];
    let found = cues.iter().find(|(cue, _)| sentence.starts_with(cue));
    found.map_or(Label::Deduction, |(_, label)| *label)
}

/// The sentences of a trace with their labels; each keeps the space that follows it.
pub fn label_trace(trace: &str) -> Vec<(Label, &str)> {
    trace.split_inclusive(". ").map(|sentence| (label_of(sentence), sentence)).collect()
}

/// The answer in a whole text: what stands after the reasoning.
pub fn answer_in(text: &str) -> Option<&str> {
    text.rsplit_once(CLOSE).map(|(_, answer)| answer.trim_end())
}

/// FNV-1a, finished as SplitMix64 finishes.
fn hash(text: &str) -> u64 {
    let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    SplitMix::new(seed).bits()
}

/// Shuffles.
pub(crate) fn shuffle<T>(items: &mut [T], generator: &mut SplitMix) {
    for place in (1..items.len()).rev() {
        items.swap(place, generator.below(place + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_short_and_their_labels_follow_from_their_words() {
        let alphabet = crate::Alphabet::default();
        let mut generator = SplitMix::new(1);
        let mut seen = std::collections::BTreeSet::new();
        for (level, kind) in [Level::Standard, Level::Hard].into_iter().flat_map(|level| Kind::ALL.map(|kind| (level, kind))) {
            let world = World::of(0, level);
            for turn in 0..500 {
                let puzzle = kind.draw(&world, &mut generator, turn % 2 == 0);
                let trace = puzzle.trace();
                let tokens = alphabet.encode(&puzzle.reasoned()).len();
                assert!(tokens <= LENGTH && tokens == puzzle.tokens(), "{tokens}: {trace}");
                assert!(
                    !alphabet.encode(&puzzle.reasoned()).contains(&(alphabet.size() as u32 - 1)),
                    "an unknown character: {trace}"
                );
                let labelled: Vec<(Label, String)> = label_trace(&trace).into_iter().map(|(label, text)| (label, text.to_owned())).collect();
                assert_eq!(labelled, puzzle.spans);
                seen.extend(puzzle.spans.iter().map(|(label, _)| label.name()));
            }
            println!("{}", kind.draw(&world, &mut generator, false).reasoned());
        }
        assert_eq!(seen.len(), Label::ALL.len());
    }

    #[test]
    fn the_same_seed_gives_the_same_puzzles() {
        let world = World::new(0);
        for kind in Kind::ALL {
            let draw = || kind.draw(&world, &mut SplitMix::new(9), false);
            assert_eq!(draw(), draw());
        }
    }
}
