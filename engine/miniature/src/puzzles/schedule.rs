//! Which hour is free: each is tried in turn against the hours that are taken.

use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;

use super::{Puzzle, shuffle};

/// A puzzle such as `busy 2-4 7-8. (A)3 (B)7 (C)5 (D)2?`.
pub fn draw(generator: &mut SplitMix) -> Puzzle {
    loop {
        let ends: Vec<usize> = generator.pick(4, 9).into_iter().map(|hour| hour + 1).collect();
        let busy = [ends[0]..=ends[1], ends[2]..=ends[3]];
        let (mut taken, free): (Vec<usize>, Vec<usize>) = (1..=9).partition(|hour| busy.iter().any(|range| range.contains(hour)));
        if free.is_empty() || taken.len() < 3 {
            continue;
        }
        shuffle(&mut taken, generator);
        let chosen = free[generator.below(free.len())];
        let mut offers = vec![taken[0], taken[1], taken[2], chosen];
        shuffle(&mut offers, generator);
        let listed: Vec<String> = ["(A)", "(B)", "(C)", "(D)"]
            .iter()
            .zip(&offers)
            .map(|(letter, hour)| format!("{letter}{hour}"))
            .collect();
        let question = format!("busy {}-{} {}-{}. {}?", ends[0], ends[1], ends[2], ends[3], listed.join(" "));
        let hours: Vec<String> = busy.iter().map(|range| range.clone().map(|hour| hour.to_string()).collect()).collect();
        let mut sentences = vec![(Label::Initializing, format!("task: busy {} {}.", hours[0], hours[1]))];
        let mut answer = 'A';
        for (letter, hour) in ('A'..='D').zip(offers) {
            if hour == chosen {
                sentences.push((Label::ExampleTesting, format!("try {letter} {hour}: free.")));
                sentences.push((Label::Deduction, format!("so {letter}.")));
                answer = letter;
                break;
            }
            if busy[0].contains(&hour) {
                sentences.push((Label::ExampleTesting, format!("try {letter} {hour}: in {}.", hours[0])));
            } else {
                sentences.push((Label::ExampleTesting, format!("try {letter} {hour}: open.")));
                sentences.push((Label::Backtracking, format!("wait, in {}.", hours[1])));
            }
        }
        return Puzzle::new(question, sentences, answer.to_string());
    }
}
