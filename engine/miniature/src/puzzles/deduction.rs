//! Whether something follows from rules: the first rule that applies is followed, and dead ends are left again.

use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;

use super::{Level, Puzzle, shuffle};

/// From, whether what follows is negated, and to.
type Rule = (char, bool, char);

/// A puzzle such as `Bc F!e Ad Ab Gf a. c?`, answered by T, F or U (unknown): from b follows c, from f follows not e, and so on.
/// What a rule begins with is a capital, so that a rule is found by its first letter alone.
///
/// Every puzzle also holds two rules that never apply, and every rule that decides nothing may be negated, so that the answer
/// cannot be read off a single rule. A hard one takes two to four steps among twelve letters, with one or two dead ends.
pub fn draw(generator: &mut SplitMix, level: Level) -> Puzzle {
    match level {
        Level::Standard => standard(generator),
        Level::Hard => hard(generator),
    }
}

fn standard(generator: &mut SplitMix) -> Puzzle {
    let mut letters: Vec<char> = ('a'..='h').collect();
    shuffle(&mut letters, generator);
    let steps = 1 + generator.below(3);
    let verdict = ['T', 'F', 'U'][generator.below(3)];
    let has_dead_end = generator.below(2) == 0;
    let (chain, dead) = (&letters[..=steps], letters[4]);
    let (stranger, other, far) = (letters[5], letters[6], letters[7]);
    let mut coin = || generator.below(2) == 0;
    let mut rules: Vec<Rule> = chain.windows(2).map(|pair| (pair[0], false, pair[1])).collect();
    rules[steps - 1].1 = verdict == 'F' || (verdict == 'U' && coin());
    rules.push((other, coin(), stranger));
    rules.push((far, false, other));
    if has_dead_end {
        rules.push((dead, coin(), dead));
    }
    let place = generator.below(steps);
    if has_dead_end && let Some(rule) = rules.last_mut() {
        rule.0 = chain[place];
    }
    shuffle(&mut rules, generator);
    let start = chain[0];
    let target = if verdict == 'U' { stranger } else { chain[steps] };
    solved(&rules, start, target, &[dead], verdict)
}

fn hard(generator: &mut SplitMix) -> Puzzle {
    // Letters whose capitals are tokens too.
    let mut letters: Vec<char> = "abcdefghklmp".chars().collect();
    shuffle(&mut letters, generator);
    let steps = 2 + generator.below(3);
    let verdict = ['T', 'F', 'U'][generator.below(3)];
    let dead_ends = 1 + generator.below(2);
    let (chain, dead) = (&letters[..=steps], &letters[5..5 + dead_ends]);
    let (stranger, other, far) = (letters[7], letters[8], letters[9]);
    let mut coin = || generator.below(2) == 0;
    let mut rules: Vec<Rule> = chain.windows(2).map(|pair| (pair[0], false, pair[1])).collect();
    rules[steps - 1].1 = verdict == 'F' || (verdict == 'U' && coin());
    rules.push((other, coin(), stranger));
    rules.push((far, coin(), other));
    for dead in dead {
        let negated = generator.below(2) == 0;
        rules.push((chain[generator.below(steps)], negated, *dead));
    }
    shuffle(&mut rules, generator);
    let target = if verdict == 'U' { stranger } else { chain[steps] };
    solved(&rules, chain[0], target, dead, verdict)
}

/// The puzzle of some rules, solved: `dead` are the letters from which nothing follows.
fn solved(rules: &[Rule], start: char, target: char, dead: &[char], verdict: char) -> Puzzle {
    let sign = |negated: bool| if negated { "!" } else { "" };
    let rule = |(from, negated, to): &Rule| format!("{}{}{to}", from.to_ascii_uppercase(), sign(*negated));
    let listed: Vec<String> = rules.iter().map(rule).collect();
    let question = format!("{} {start}. {target}?", listed.join(" "));
    let mut sentences = vec![(Label::Initializing, format!("task: {start} to {target}."))];
    let mut current = start;
    let mut seen: Vec<char> = Vec::new();
    loop {
        let open = |rule: &&Rule| rule.0 == current && !seen.contains(&rule.2);
        let Some((from, negated, to)) = rules.iter().find(open).copied() else { break };
        sentences.push((Label::Deduction, format!("{} so {}{to}.", rule(&(from, negated, to)), sign(negated))));
        if dead.contains(&to) {
            seen.push(to);
            sentences.push((Label::ExampleTesting, format!("check {to} for {target}: no.")));
            sentences.push((Label::Backtracking, format!("wait, back to {from}.")));
        } else {
            current = to;
        }
    }
    // What was reached and what was asked stand side by side, so that a small model can tell whether they are the same.
    let found = if current == target { "yes" } else { "no" };
    sentences.push((Label::ExampleTesting, format!("check {current} for {target}: {found}.")));
    if verdict == 'U' {
        sentences.push((Label::UncertaintyEstimation, format!("not sure, no {target}.")));
    }
    Puzzle::new(question, sentences, verdict.to_string())
}
