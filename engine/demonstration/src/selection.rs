//! Which components are treated or protected alone: those that importance or shift puts first or last, and random ones beside
//! them (paper, Tables 3 and 4, with the controls that the tables lack).

use cruxscope_compress::CompressError;
use cruxscope_compress::recipe::Recipe;
use cruxscope_run::RunError;
use cruxscope_statistics::SplitMix;
use cruxscope_study::{Comparison, Component, Ranks, ShiftView, Study};

use crate::variants::{Variant, impossible, rounding};

/// Components of a set: about a fifth of the 42.
pub const SIZE: usize = 8;
/// Bits to which a set alone is rounded.
pub const ALONE_BITS: u8 = 2;
/// Bits to which all but a set is rounded.
pub const REST_BITS: u8 = 2;

/// What a set of components is called, and which it holds.
type Set = (String, String, Vec<Component>);

/// Sets that are rounded alone: the most and the least important for reasoning, and random ones.
///
/// # Errors
/// Never, in fact: the settings are constants inside their ranges.
pub fn alone(study: &Study, seed: u64, controls: usize) -> Result<Vec<Variant>, CompressError> {
    let order = Ranks::of(&study.importance.relative_mean()).order().to_vec();
    let mut sets: Vec<Set> = vec![
        ("most-important".into(), "the most important".into(), order[..SIZE].to_vec()),
        ("least-important".into(), "the least important".into(), order[order.len() - SIZE..].to_vec()),
    ];
    sets.extend(random(seed, controls, order.len()));
    let variant = |(name, words, components): Set| {
        let list = list_of(&components);
        Ok(Variant {
            name: format!("alone-{name}"),
            compression: format!("RTN, {ALONE_BITS} bits, {}", short(&words)),
            setting: format!("only {words}: {}", list.replace(',', " ")),
            recipe: Recipe::of(rounding(ALONE_BITS)?, Some(&list), None),
        })
    };
    sets.into_iter().map(variant).collect()
}

/// Sets that are protected while the rest is rounded: those whose importance compression changed most, those that are most
/// important, and random ones.
///
/// # Errors
/// When the two studies cannot be compared.
pub fn protected(study: &Study, compressed: &Study, seed: u64, controls: usize) -> Result<Vec<Variant>, RunError> {
    let comparison = Comparison::between(study, compressed, &[])?;
    let shifted = comparison.shift_ranks(None, ShiftView::Net).order();
    let important = Ranks::of(&study.importance.relative_mean());
    let mut sets: Vec<Set> = vec![
        ("most-shifted".into(), "the most shifted".into(), shifted[..SIZE].to_vec()),
        ("most-important".into(), "the most important".into(), important.order()[..SIZE].to_vec()),
    ];
    sets.extend(random(seed, controls, shifted.len()));
    let variant = |(name, words, components): Set| {
        let list = list_of(&components);
        Ok(Variant {
            name: format!("all-but-{name}"),
            compression: format!("RTN, {REST_BITS} bits, {}", short(&words)),
            setting: format!("kept {words}: {}", list.replace(',', " ")),
            recipe: Recipe::of(rounding(REST_BITS).map_err(impossible)?, None, Some(&list)),
        })
    };
    sets.into_iter().map(variant).collect()
}

fn random(seed: u64, controls: usize, of: usize) -> Vec<Set> {
    let mut generator = SplitMix::new(seed);
    let all: Vec<Component> = Component::all(of / 7).collect();
    (1..=controls)
        .map(|draw| {
            let components = generator.pick(SIZE, of).into_iter().map(|place| all[place]).collect();
            (format!("random-{draw}"), format!("random, draw {draw}"), components)
        })
        .collect()
}

/// The words of a set where there is little room: the experiment says whether it is rounded or kept.
fn short(words: &str) -> String {
    words.trim_start_matches("the ").replace(", draw", "")
}

fn list_of(components: &[Component]) -> String {
    components.iter().map(Component::to_string).collect::<Vec<_>>().join(",")
}
