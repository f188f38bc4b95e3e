//! Which hour is free: each is tried in turn against the hours that are taken.

use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;

use super::{Level, Puzzle, shuffle};

/// A puzzle such as `busy 2-4 7-8. (A)3 (B)7 (C)5 (D)2?`; a hard one has three stretches and five hours to choose from.
pub fn draw(generator: &mut SplitMix, level: Level) -> Puzzle {
    let (stretches, wrong) = match level {
        Level::Standard => (2, 3),
        Level::Hard => (3, 4),
    };
    loop {
        let ends: Vec<usize> = generator.pick(2 * stretches, 9).into_iter().map(|hour| hour + 1).collect();
        let busy: Vec<_> = ends.chunks(2).map(|pair| pair[0]..=pair[1]).collect();
        let (mut taken, free): (Vec<usize>, Vec<usize>) = (1..=9).partition(|hour| busy.iter().any(|range| range.contains(hour)));
        if free.is_empty() || taken.len() < wrong {
            continue;
        }
        shuffle(&mut taken, generator);
        let chosen = free[generator.below(free.len())];
        let mut offers: Vec<usize> = taken[..wrong].iter().copied().chain([chosen]).collect();
        shuffle(&mut offers, generator);
        let listed: Vec<String> = ('A'..='E').zip(&offers).map(|(letter, hour)| format!("({letter}){hour}")).collect();
        let ranges: Vec<String> = ends.chunks(2).map(|pair| format!("{}-{}", pair[0], pair[1])).collect();
        let question = format!("busy {}. {}?", ranges.join(" "), listed.join(" "));
        let hours: Vec<String> = busy.iter().map(|range| range.clone().map(|hour| hour.to_string()).collect()).collect();
        let mut sentences = vec![(Label::Initializing, format!("task: busy {}.", hours.join(" ")))];
        let mut answer = 'A';
        for (letter, hour) in ('A'..='E').zip(offers) {
            if hour == chosen {
                sentences.push((Label::ExampleTesting, format!("try {letter} {hour}: free.")));
                sentences.push((Label::Deduction, format!("so {letter}.")));
                answer = letter;
                break;
            }
            // The first stretch is looked at first; what lies in a later one is open until then.
            match busy.iter().position(|range| range.contains(&hour)) {
                Some(later @ 1..) => {
                    sentences.push((Label::ExampleTesting, format!("try {letter} {hour}: open.")));
                    sentences.push((Label::Backtracking, format!("wait, in {}.", hours[later])));
                }
                _ => sentences.push((Label::ExampleTesting, format!("try {letter} {hour}: in {}.", hours[0]))),
            }
        }
        return Puzzle::new(question, sentences, answer.to_string());
    }
}
