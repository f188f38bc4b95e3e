//! Logits to a token.
//!
//! With T the temperature: p_i = exp(x_i / T) / sum over j of exp(x_j / T). The most probable tokens are kept, in falling
//! order (of equal ones the lower id first), until their sum reaches top-p, the one that reaches it included; the token is
//! drawn from those by one uniform number, which the seed and the place in the text give.

use cruxscope_statistics::SplitMix;

use super::Sampling;

/// Tokens that are put in order first; nearly always they hold all that is kept.
const FIRST_LOOK: usize = 64;

/// A number from 0 up to but without 1, out of a seed and the place of a token among the new ones.
///
/// The place's number in a stream that begins at the seed's first: no state, so that no draw depends on how many were made
/// before, or for whom.
pub fn uniform(seed: u64, place: u64) -> f64 {
    let start = SplitMix::new(seed).bits();
    SplitMix::new(start).skip(place).share()
}

/// The token that `uniform` (from [`uniform`]) draws; nothing where a logit is not a finite number.
pub fn pick(logits: &[f32], sampling: Sampling, uniform: f64) -> Option<u32> {
    let (best, largest) = highest(logits)?;
    if sampling.temperature() == 0.0 {
        return Some(best);
    }
    let weight = |token: u32| ((f64::from(logits[token as usize]) - f64::from(largest)) / sampling.temperature()).exp();
    let total: f64 = (0..logits.len() as u32).map(weight).sum();
    let falling = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    // Only as many tokens are put in order as are needed, most often a few of very many.
    let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
    let (mut sorted, mut sum, mut kept) = (0, 0.0, 0);
    while kept == 0 {
        let look = (FIRST_LOOK.max(4 * sorted)).min(tokens.len());
        if look < tokens.len() {
            tokens[sorted..].select_nth_unstable_by(look - sorted - 1, falling);
        }
        tokens[sorted..look].sort_unstable_by(falling);
        for (place, token) in tokens.iter().enumerate().take(look).skip(sorted) {
            sum += weight(*token);
            if sum >= sampling.top_p() * total || place + 1 == tokens.len() {
                kept = place + 1;
                break;
            }
        }
        sorted = look;
    }
    let wanted = uniform * sum;
    let mut reached = 0.0;
    for token in &tokens[..kept] {
        reached += weight(*token);
        if reached > wanted {
            return Some(*token);
        }
    }
    tokens[..kept].last().copied()
}

/// [`pick`] as its formula reads: everything sorted, nothing skipped.
pub fn pick_reference(logits: &[f32], sampling: Sampling, uniform: f64) -> Option<u32> {
    let mut tokens: Vec<(u32, f64)> = logits.iter().enumerate().map(|(token, logit)| (token as u32, f64::from(*logit))).collect();
    if !tokens.iter().all(|(_, logit)| logit.is_finite()) {
        return None;
    }
    tokens.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let (best, largest) = *tokens.first()?;
    if sampling.temperature() == 0.0 {
        return Some(best);
    }
    let weights: Vec<f64> = tokens.iter().map(|(_, logit)| ((logit - largest) / sampling.temperature()).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut kept = 0;
    let mut sum = 0.0;
    while kept < tokens.len() && (kept == 0 || sum < sampling.top_p() * total) {
        sum += weights[kept];
        kept += 1;
    }
    let mut reached = 0.0;
    for place in 0..kept {
        reached += weights[place];
        if reached > uniform * sum {
            return Some(tokens[place].0);
        }
    }
    Some(tokens[kept - 1].0)
}

/// The highest logit and the first token that has it.
fn highest(logits: &[f32]) -> Option<(u32, f32)> {
    let mut best = (0, *logits.first()?);
    for (token, logit) in logits.iter().enumerate() {
        if !logit.is_finite() {
            return None;
        }
        if *logit > best.1 {
            best = (token as u32, *logit);
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn sampling(temperature: f64, top_p: f64) -> Sampling {
        Sampling::new(temperature, top_p).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        /// Few distinct values, so that there are many equal logits, over vocabularies below and above the first look.
        #[test]
        fn the_quick_way_draws_what_the_plain_one_draws(
            logits in prop::collection::vec((-12i32..12).prop_map(|value| value as f32 / 2.0), 1..400),
            temperature in prop::sample::select(vec![0.0, 0.3, 0.6, 1.0, 5.0]),
            top_p in prop::sample::select(vec![1e-9, 0.5, 0.95, 1.0]),
            seed in 0u64..1000,
        ) {
            let (sampling, uniform) = (sampling(temperature, top_p), uniform(seed, 3));
            prop_assert_eq!(pick(&logits, sampling, uniform), pick_reference(&logits, sampling, uniform));
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        // Probabilities 0.5, 0.3, 0.15, 0.05, in another order; top-p 0.9 keeps the first three.
        let logits = [0.15f32, 0.5, 0.05, 0.3].map(f32::ln);
        let draws = 40_000;
        let mut counts = [0usize; 4];
        for place in 0..draws {
            let token = pick(&logits, sampling(1.0, 0.9), uniform(7, place)).unwrap();
            counts[token as usize] += 1;
        }
        let expected = [0.15 / 0.95, 0.5 / 0.95, 0.0, 0.3 / 0.95];
        for (count, expected) in counts.iter().zip(expected) {
            let share = *count as f64 / draws as f64;
            // Four standard errors.
            assert!(
                (share - expected).abs() <= 4.0 * (expected * (1.0 - expected) / draws as f64).sqrt(),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn uniform_numbers_are_even_and_differ_by_seed_and_place() {
        let mean = (0..10_000).map(|place| uniform(3, place)).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.012, "{mean}");
        assert!((0..1000).all(|seed| (0.0..1.0).contains(&uniform(seed, 0))));
        let mut seen: Vec<u64> = (0..100).flat_map(|seed| (0..100).map(move |place| uniform(seed, place).to_bits())).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
    }

    #[test]
    fn greedy_takes_the_first_of_the_highest_and_nothing_that_is_no_number() {
        assert_eq!(pick(&[1.0, 3.0, 3.0], Sampling::GREEDY, 0.9), Some(1));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for sampling in [Sampling::GREEDY, sampling(1.0, 0.9)] {
                assert_eq!(pick(&[1.0, bad], sampling, 0.5), None);
                assert_eq!(pick_reference(&[1.0, bad], sampling, 0.5), None);
            }
        }
        assert_eq!(pick(&[], Sampling::GREEDY, 0.5), None);
    }

    #[test]
    fn sampling_that_makes_no_sense_is_refused() {
        for (temperature, top_p, word) in [
            (-0.1, 1.0, "temperature"),
            (f64::NAN, 1.0, "temperature"),
            (1.0, 0.0, "top-p"),
            (1.0, 1.1, "top-p"),
        ] {
            let error = Sampling::new(temperature, top_p).unwrap_err();
            assert!(error.is_user_error() && error.to_string().contains(word), "{error}");
        }
        assert_eq!(Sampling::new(0.0, 1.0).unwrap(), Sampling::GREEDY);
    }
}
