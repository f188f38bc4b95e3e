//! Whether something follows from rules: the first rule that applies is followed, and dead ends are left again.

use cruxscope_study::{Label, SplitMix};

use super::{Puzzle, shuffle};

/// A puzzle such as `b>c a>d a>b a. c?`, answered by T, F or U (unknown).
pub fn draw(generator: &mut SplitMix) -> Puzzle {
    let mut letters: Vec<char> = ('a'..='h').collect();
    shuffle(&mut letters, generator);
    let steps = 1 + generator.below(3);
    let verdict = ['T', 'F', 'U'][generator.below(3)];
    let has_dead_end = generator.below(2) == 0;
    let (chain, dead, stranger, other) = (&letters[..=steps], letters[4], letters[5], letters[6]);
    let mut rules: Vec<(char, bool, char)> = chain.windows(2).map(|pair| (pair[0], false, pair[1])).collect();
    if verdict == 'F' {
        rules[steps - 1].1 = true;
    }
    if verdict == 'U' {
        rules.push((other, false, stranger));
    }
    let place = generator.below(steps);
    if has_dead_end {
        rules.push((chain[place], false, dead));
    }
    shuffle(&mut rules, generator);
    let start = chain[0];
    let target = if verdict == 'U' { stranger } else { chain[steps] };
    let sign = |negated: bool| if negated { "!" } else { "" };
    let listed: Vec<String> = rules.iter().map(|(from, negated, to)| format!("{from}>{}{to}", sign(*negated))).collect();
    let question = format!("{} {start}. {target}?", listed.join(" ")).replace('>', "-");
    let mut sentences = vec![(Label::Initializing, format!("task: {start} to {target}."))];
    let mut current = start;
    let mut dead_end_seen = false;
    loop {
        let open = |rule: &&(char, bool, char)| rule.0 == current && !(dead_end_seen && rule.2 == dead);
        let Some((from, negated, to)) = rules.iter().find(open).copied() else { break };
        sentences.push((Label::Deduction, format!("{from}-{0}{to} so {0}{to}.", sign(negated))));
        if to == dead {
            dead_end_seen = true;
            sentences.push((Label::Backtracking, format!("wait, {dead} ends, back to {from}.")));
        } else {
            current = to;
        }
    }
    if verdict == 'U' {
        sentences.push((Label::UncertaintyEstimation, format!("not sure, no {target}.")));
    }
    Puzzle::new(question, sentences, verdict.to_string())
}
