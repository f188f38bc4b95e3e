//! Which number solves an equation: found by trying, with the range halved after each miss.

use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;

use super::{Level, Puzzle};

/// A puzzle such as `7x+15=92?`, solved by a number from 1 to 15; a hard one has factors from 13 to 29 and constants from 11 to 99.
pub fn draw(generator: &mut SplitMix, level: Level) -> Puzzle {
    let ((least_factor, factors), (least_constant, constants)) = match level {
        Level::Standard => ((3, 13), (1, 39)),
        Level::Hard => ((13, 17), (11, 89)),
    };
    let solution = 1 + generator.below(15);
    let factor = least_factor + generator.below(factors);
    let constant = least_constant + generator.below(constants);
    let value = factor * solution + constant;
    let mut sentences = vec![(Label::Initializing, "task: x.".to_owned())];
    let (mut low, mut high, mut guess) = (1, 15, 8);
    let mut misses = 0;
    loop {
        let product = factor * guess;
        let tried = product + constant;
        let verdict = match tried.cmp(&value) {
            std::cmp::Ordering::Less => "low",
            std::cmp::Ordering::Equal => "yes",
            std::cmp::Ordering::Greater => "high",
        };
        sentences.push((Label::ExampleTesting, format!("try {guess}: {product}+{constant}={tried}:{value} {verdict}.")));
        if tried == value {
            break;
        }
        if tried < value {
            low = guess + 1;
        } else {
            high = guess - 1;
        }
        misses += 1;
        sentences.push((Label::Backtracking, "wait, no.".to_owned()));
        if misses == 1 && low < high {
            sentences.push((Label::UncertaintyEstimation, format!("not sure, {low} to {high}.")));
        }
        guess = (low + high) / 2;
    }
    sentences.push((Label::Deduction, format!("so {solution}.")));
    Puzzle::new(format!("{factor}x+{constant}={value}?"), sentences, solution.to_string())
}
