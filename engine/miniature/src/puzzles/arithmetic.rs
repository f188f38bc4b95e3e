//! Which number solves an equation: found by trying, with the range halved after each miss.

use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;

use super::Puzzle;

/// A puzzle such as `7x+15=92?`, solved by a number from 1 to 15.
pub fn draw(generator: &mut SplitMix) -> Puzzle {
    let solution = 1 + generator.below(15);
    let factor = 3 + generator.below(13);
    let constant = 1 + generator.below(39);
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
