//! Where two models part: means against plain loops, parts that add up to the whole, and a file that reads back or is refused.

#![allow(clippy::unwrap_used)] // helpers of tests, outside their functions

use cruxscope_statistics::SplitMix;
use cruxscope_study::{Behaviour, ComparedText, DIVERGENCE_SCHEMA, Divergence, DivergenceFacts, Place, Positions};
use proptest::prelude::*;

/// Texts of these lengths with random numbers; the thought of a text is its middle.
fn divergence(lengths: &[usize], seed: u64) -> Divergence {
    let mut random = SplitMix::new(seed);
    let count: usize = lengths.iter().map(|tokens| tokens.saturating_sub(1)).sum();
    let mut found = Divergence {
        facts: DivergenceFacts {
            schema: DIVERGENCE_SCHEMA,
            texts: lengths
                .iter()
                .enumerate()
                .map(|(id, tokens)| ComparedText {
                    id: format!("{id}"),
                    tokens: *tokens,
                    thought: tokens / 5,
                    answer: tokens - tokens / 7,
                    continuation: None,
                })
                .collect(),
            layers: 2,
            caused: vec![Positions::All, Positions::Parted],
            behaviours: Behaviour::ALL.to_vec(),
            ..DivergenceFacts::default()
        },
        ..Divergence::default()
    };
    for _ in 0..count {
        found.kl.push(random.share() as f32);
        found.rank.push(1 + random.below(3) as u32 * random.below(2) as u32);
        found.behaviours.push(random.below(16) as u8 & random.below(16) as u8);
        found.ends.push(random.below(100) as u32);
        for side in 0..2 {
            found.choices[side].push(random.below(50) as u32);
            found.losses[side].push(random.share() as f32);
        }
    }
    found.shares = vec![(0..lengths.len() * 14).map(|_| random.share()).collect(); 2];
    found
}

/// Whether a prediction counts, said once more.
fn counts(found: &Divergence, positions: Positions, text: &ComparedText, row: usize, at: usize) -> bool {
    let token = row + 1;
    let share = || (token - text.thought) as f64 / (text.answer - text.thought) as f64;
    let inside = token >= text.thought && token < text.answer;
    match positions {
        Positions::All => true,
        Positions::Behaviour(behaviour) => found.behaviours[at] >> behaviour.index() & 1 == 1,
        Positions::Rest => found.behaviours[at] == 0,
        Positions::At(Place::Prompt) => token < text.thought,
        Positions::At(Place::Answer) => token >= text.answer,
        Positions::At(Place::Start) => inside && share() < 0.1,
        Positions::At(Place::End) => inside && share() >= 0.9,
        Positions::At(Place::Middle) => inside && (0.1..0.9).contains(&share()),
        Positions::Parted => found.rank[at] > 1,
    }
}

#[test]
fn means_are_those_of_plain_loops_and_parts_add_up() {
    let lengths = [40, 3, 1, 77, 12, 0, 150];
    let found = divergence(&lengths, 3);
    let mut seen = 0;
    for positions in Positions::every() {
        let (mut sum, mut count, mut agreed, mut excess, mut at) = (0.0, 0, 0, 0.0, 0);
        for text in &found.facts.texts {
            for row in 0..text.tokens.saturating_sub(1) {
                if counts(&found, positions, text, row, at) {
                    sum += f64::from(found.kl[at]);
                    count += 1;
                    agreed += usize::from(found.rank[at] == 1);
                    excess += f64::from(found.losses[1][at]) - f64::from(found.losses[0][at]);
                }
                at += 1;
            }
        }
        let own = found.summary(positions).unwrap();
        let n = count as f64;
        assert_eq!(own.count, count, "{positions}");
        assert!((own.kl.value - sum / n).abs() < 1e-12 && (own.excess_loss.value - excess / n).abs() < 1e-12);
        assert!((own.agreement.value - agreed as f64 / n).abs() < 1e-12);
        let (low, high) = own.kl.interval.unwrap();
        assert!(low <= own.kl.value && own.kl.value <= high);
        if matches!(positions, Positions::At(_)) {
            seen += count;
        }
    }
    assert_eq!(seen, found.kl.len(), "every position stands at one place");
    let whole = found.mean_kl(Positions::All).unwrap().value;
    let parts = found.partition();
    assert_eq!(parts.len(), 5);
    assert!((parts.iter().map(|part| part.adds.value).sum::<f64>() - whole).abs() < 1e-12);
    assert!((parts.iter().map(|part| part.share.value).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!((parts.iter().map(|part| part.count).sum::<f64>() - found.kl.len() as f64).abs() < 1e-9);

    let curve = found.curve(20);
    let inside = [Place::Start, Place::Middle, Place::End].map(|place| found.summary(Positions::At(place)).unwrap());
    assert_eq!(
        curve.iter().map(|point| point.count).sum::<usize>(),
        inside.iter().map(|place| place.count).sum::<usize>()
    );
    let weighted: f64 = curve.iter().map(|point| point.kl.value * point.count as f64).sum();
    assert!((weighted - inside.iter().map(|place| place.kl.value * place.count as f64).sum::<f64>()).abs() < 1e-9);
}

#[test]
fn choices_part_where_the_model_first_writes_another_token() {
    let mut found = divergence(&[30, 30, 30], 1);
    found.rank = vec![1; 87];
    // In the prompt of the first text, in the thought of the second, nowhere in the third.
    (found.rank[2], found.rank[29 + 11], found.rank[29 + 20]) = (2, 2, 5);
    let partings = found.partings();
    assert_eq!(partings.iter().map(|parting| parting.token).collect::<Vec<_>>(), [None, Some(12), None]);
    assert_eq!(partings[1].written_before(&found.facts.texts[1]), 12 - 6);
    assert_eq!(found.median_parting(), None, "most texts never part");
    found.rank[29 * 2 + 7] = 2;
    assert_eq!(found.median_parting().unwrap().value, 6.0);
}

#[test]
fn causes_are_means_over_positions_and_sorted() {
    let found = divergence(&[30, 50], 2);
    let causes = found.causes(Positions::Parted).unwrap();
    let count = found.rank.iter().filter(|rank| **rank > 1).count() as f64;
    assert!(causes.windows(2).all(|pair| pair[0].adds.value >= pair[1].adds.value));
    for cause in &causes {
        let at = cause.component.index();
        let expected = (found.shares[1][at] + found.shares[1][14 + at]) / count;
        assert!((cause.adds.value - expected).abs() < 1e-12);
    }
    assert!(found.causes(Positions::Rest).is_none(), "they were not computed");
}

#[test]
fn a_file_reads_back_and_what_contradicts_itself_is_refused() {
    let found = divergence(&[9, 4], 5);
    let bytes = found.to_bytes().unwrap();
    assert_eq!(Divergence::from_bytes(&bytes).unwrap(), found);
    let refused = |change: &dyn Fn(&mut Divergence)| {
        let mut other = found.clone();
        change(&mut other);
        assert!(other.to_bytes().is_err());
    };
    refused(&|other| other.kl[3] = f32::NAN);
    refused(&|other| other.rank[0] = 0);
    refused(&|other| other.facts.texts[0].tokens = 10);
    refused(&|other| other.facts.texts[0].thought = 10);
    refused(&|other| other.shares[1].truncate(3));
    refused(&|other| other.losses[1][0] = f32::INFINITY);
    let mut newer = found.clone();
    newer.facts.schema = DIVERGENCE_SCHEMA + 1;
    assert!(Divergence::from_bytes(&newer.to_bytes().unwrap()).unwrap_err().to_string().contains("schema"));
}

proptest! {
    #[test]
    fn mangled_files_are_refused_and_nothing_worse(place in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let whole = divergence(&[9, 4], 5).to_bytes().unwrap();
        let mut changed = whole.clone();
        let at = place.index(changed.len());
        changed[at] = value;
        Divergence::from_bytes(&changed).ok();
        Divergence::from_bytes(&whole[..cut.index(whole.len())]).unwrap_err();
    }
}
