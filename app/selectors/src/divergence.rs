//! What is shown of where two models part: token by token along one text, and along the thought over all of them.
//!
//! Means and intervals are the study's ([`cruxscope_study::Divergence`]). They take a bootstrap, so they are worked out once, when the
//! file is read ([`Apart`]); what belongs to one text is [`TextApart`].

use std::ops::Range;

use cruxscope_study::{Behaviour, Continuation, CurvePoint, Divergence, Measured, Place, Positions};

use super::format;

/// Pieces of the curve along the thought.
pub const PIECES: usize = 20;

/// Where two models part, with its means and intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct Apart {
    /// The study's own numbers.
    pub divergence: Divergence,
    /// The divergence along the thought; empty where no position lies in one.
    pub curve: Vec<CurvePoint>,
    /// The mean over all positions, in nats.
    pub mean: Option<Measured>,
    /// What is listed: all positions, behaviours, the answer.
    pub facts: Vec<Fact>,
}

/// A line of what is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// What it is of.
    pub label: String,
    /// The value.
    pub value: String,
    /// The value with its interval, where it has one.
    pub whole: String,
}

/// One prediction of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenApart {
    /// The predicted token, by its place in the text.
    pub token: usize,
    /// Its bytes in the output; nothing where they are not known.
    pub bytes: Option<[usize; 2]>,
    /// The divergence, in nats.
    pub kl: f64,
    /// The rank of A's greedy choice in B, from 1.
    pub rank: u32,
    /// The behaviours that claim it: bit b for that of index b.
    pub behaviours: u8,
}

/// Where two models part in one text, of what was written after the prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextApart {
    /// The predictions, in the order of the text.
    pub tokens: Vec<TokenApart>,
    /// Tokens of the whole text.
    pub length: usize,
    /// Where the thought begins, by its token.
    pub thought: usize,
    /// Where the answer begins, among [`Self::tokens`]; as many as there are where there is none.
    pub answer: usize,
    /// Where choices first part, among [`Self::tokens`]; none where they never do.
    pub parting: Option<usize>,
    /// What both models wrote from there on, where they were asked to.
    pub continuation: Option<Continuation>,
}

/// A place of a strip that is narrower than its text has tokens: the token with the largest divergence of those that share it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StripPlace {
    /// That token, among [`TextApart::tokens`].
    pub at: usize,
    /// Its divergence, in nats.
    pub kl: f64,
    /// Whether at any of them B chooses another token.
    pub parts: bool,
    /// The behaviour that most of them belong to.
    pub behaviour: Option<Behaviour>,
}

impl Apart {
    /// Works it out.
    pub fn of(divergence: Divergence) -> Self {
        Self {
            curve: divergence.curve(PIECES),
            mean: divergence.mean_kl(Positions::All),
            facts: facts(&divergence),
            divergence,
        }
    }

    /// The names of A and B.
    pub fn models(&self) -> [&str; 2] {
        self.divergence.facts.models.each_ref().map(|model| model.name.as_str())
    }

    /// The text of an instance; nothing where it was not read.
    pub fn text(&self, id: &str) -> Option<TextApart> {
        let text = self.divergence.facts.texts.iter().position(|text| text.id == id)?;
        Some(self.at(text))
    }

    /// Where the choices first part in the text of an instance, in a sentence, without going through all of it.
    pub fn sentence(&self, id: &str) -> Option<String> {
        let found = &self.divergence;
        let place = found.facts.texts.iter().position(|text| text.id == id)?;
        let range: Range<usize> = found.ranges().swap_remove(place);
        // Row r predicts token r + 1; what is written begins with the thought.
        let skipped = found.facts.texts[place].thought.saturating_sub(1).min(range.len());
        let first = range.start + skipped;
        let parting = (first..range.end).find(|at| found.rank[*at] != 1);
        Some(said(range.end - first, parting.map(|at| (at - first, found.behaviours[at]))))
    }

    /// The text at a place.
    fn at(&self, place: usize) -> TextApart {
        let (found, text) = (&self.divergence, &self.divergence.facts.texts[place]);
        let range: Range<usize> = found.ranges().swap_remove(place);
        let first = range.start;
        let mut before = 0;
        let mut tokens = Vec::new();
        for at in range {
            let token = at - first + 1;
            let end = found.ends[at] as usize;
            if token < text.thought {
                continue;
            }
            tokens.push(TokenApart {
                token,
                bytes: (end > before).then_some([before, end]),
                kl: f64::from(found.kl[at]),
                rank: found.rank[at],
                behaviours: found.behaviours[at],
            });
            before = before.max(end);
        }
        TextApart {
            length: text.tokens,
            thought: text.thought,
            answer: tokens.partition_point(|own| own.token < text.answer),
            parting: tokens.iter().position(|own| own.rank != 1),
            continuation: text.continuation.clone(),
            tokens,
        }
    }
}

/// What is listed, over all texts: mean divergence and how often both models choose the same token.
fn facts(divergence: &Divergence) -> Vec<Fact> {
    let plain = |label: &str, value: String| Fact {
        label: label.to_owned(),
        whole: value.clone(),
        value,
    };
    let behaviours = divergence
        .facts
        .behaviours
        .iter()
        .map(|behaviour| (Positions::Behaviour(*behaviour), behaviour.title().to_owned()));
    let listed = [(Positions::All, "All positions".to_owned())].into_iter();
    let listed = listed.chain(behaviours).chain([(Positions::At(Place::Answer), "The answer".to_owned())]);
    let mut lines: Vec<Fact> = listed
        .filter_map(|(positions, label)| {
            let found = divergence.mean_kl(positions)?;
            Some(Fact {
                label,
                value: format!("{} nats", format::significant(found.value)),
                whole: nats(found),
            })
        })
        .collect();
    if let Some(all) = divergence.summary(Positions::All) {
        lines.push(plain("Same choice", format::percent(all.agreement.value)));
    }
    if let Some(median) = divergence.median_parting() {
        lines.push(plain(
            "First parting, median",
            format!("after {}", format::things(median.value as usize, "token", "tokens")),
        ));
    }
    lines
}

/// A divergence with its interval: `0.0123 (0.0101 to 0.0150) nats`.
pub fn nats(found: Measured) -> String {
    let value = format::significant(found.value);
    match found.interval {
        Some((low, high)) => format!("{value} ({} to {}) nats", format::significant(low), format::significant(high)),
        None => format!("{value} nats"),
    }
}

/// The behaviours of a token in words: `backtracking`, `backtracking and example testing`, or that none is marked there.
pub fn behaviours(bits: u8) -> String {
    let claimed = Behaviour::ALL.into_iter().filter(|behaviour| bits & (1 << behaviour.index()) != 0);
    let names: Vec<String> = claimed.map(|behaviour| behaviour.title().to_lowercase()).collect();
    if names.is_empty() {
        "no marked behaviour".to_owned()
    } else {
        names.join(" and ")
    }
}

/// Where choices first part among so many tokens, and the behaviours there.
fn said(tokens: usize, parting: Option<(usize, u8)>) -> String {
    match parting {
        Some((at, bits)) => format!(
            "Greedy choices first part after {} of its own, in {}",
            format::things(at, "token", "tokens"),
            behaviours(bits)
        ),
        None => format!("Greedy choices never part in {}", format::things(tokens, "token", "tokens")),
    }
}

impl TextApart {
    /// The text cut into so many places of equal length, or fewer where it has fewer tokens.
    pub fn strip(&self, places: usize) -> Vec<StripPlace> {
        let count = self.tokens.len();
        let places = places.min(count);
        let of = |place: usize| {
            let range = place * count / places..(place + 1) * count / places;
            let own = &self.tokens[range.clone()];
            let mut largest = 0;
            for (at, token) in own.iter().enumerate() {
                if token.kl > own[largest].kl {
                    largest = at;
                }
            }
            let claims = |behaviour: Behaviour| own.iter().filter(|token| token.behaviours & (1 << behaviour.index()) != 0).count();
            let most = Behaviour::ALL.into_iter().rev().max_by_key(|behaviour| claims(*behaviour));
            StripPlace {
                at: range.start + largest,
                kl: own[largest].kl,
                parts: own.iter().any(|token| token.rank != 1),
                behaviour: most.filter(|behaviour| 2 * claims(*behaviour) >= own.len()),
            }
        };
        (0..places).map(of).collect()
    }

    /// The largest divergence of all, in nats.
    pub fn largest(&self) -> f64 {
        self.tokens.iter().map(|token| token.kl).fold(0.0, f64::max)
    }

    /// Where the choices first part, in a sentence.
    pub fn sentence(&self) -> String {
        said(self.tokens.len(), self.parting.map(|at| (at, self.tokens[at].behaviours)))
    }

    /// What is known of a token: label and value, in order. `output` is the text that was written.
    pub fn token_facts(&self, at: usize, output: &str) -> Vec<(&'static str, String)> {
        let Some(token) = self.tokens.get(at) else { return Vec::new() };
        let mut facts = Vec::new();
        if let Some(words) = token.bytes.and_then(|[start, end]| output.get(start..end)) {
            facts.push(("Text", words.replace('\n', "\\n")));
        }
        facts.push(("Divergence", format!("{} nats", format::significant(token.kl))));
        let chosen = match token.rank {
            1 => "B chooses the same".to_owned(),
            rank => format!("rank {rank} in B"),
        };
        facts.push(("Choice of A", chosen));
        facts.push(("Behaviour", behaviours(token.behaviours)));
        facts
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;

    use super::*;

    fn apart() -> Apart {
        let traces = [samples::trace(8), samples::trace(3)];
        let mut found = samples::divergence(&samples::compressed(2).manifest, &traces);
        found.facts.texts[1].id = "another".into();
        found.check().unwrap();
        Apart::of(found)
    }

    #[test]
    fn tokens_follow_the_text_and_the_prompt_is_left_out() {
        let apart = apart();
        let trace = samples::trace(8);
        let text = apart.text("instance-1").unwrap();
        assert_eq!((text.tokens.len(), text.length), (240, 252));
        assert_eq!(text.tokens[0].bytes.unwrap()[0], 0);
        let joined: String = text
            .tokens
            .iter()
            .map(|token| &trace.output[token.bytes.unwrap()[0]..token.bytes.unwrap()[1]])
            .collect();
        assert_eq!(joined, trace.output);
        assert_eq!(text.answer, text.tokens.len() - 24);
        assert_eq!(apart.text("nobody"), None);
        assert_eq!(apart.text("another").unwrap().tokens.len(), 90);
    }

    #[test]
    fn choices_part_where_the_study_says_and_in_which_behaviour() {
        let apart = apart();
        for (text, id) in ["instance-1", "another"].into_iter().enumerate() {
            let own = apart.text(id).unwrap();
            let parting = apart.divergence.partings()[text].token.unwrap();
            assert_eq!(own.tokens[own.parting.unwrap()].token, parting);
            assert_eq!(own.continuation.as_ref().unwrap().token, parting);
            assert_eq!(apart.sentence(id), Some(own.sentence()));
        }
        let own = apart.text("instance-1").unwrap();
        let section = behaviours(own.tokens[own.parting.unwrap()].behaviours);
        assert_eq!(own.sentence(), format!("Greedy choices first part after 48 tokens of its own, in {section}"));
        let same = TextApart {
            tokens: own.tokens[..3].to_vec(),
            ..TextApart::default()
        };
        assert_eq!(same.sentence(), "Greedy choices never part in 3 tokens");
        let said = own.token_facts(48, &samples::trace(8).output);
        assert!(
            said.iter().any(|(label, value)| *label == "Choice of A" && value.starts_with("rank ")),
            "{said:?}"
        );
    }

    #[test]
    fn no_outlier_vanishes_from_a_strip() {
        let own = apart().text("instance-1").unwrap();
        for places in [1, 7, 100, 239, 240, 5000] {
            let strip = own.strip(places);
            assert_eq!(strip.len(), places.min(240));
            let largest = strip.iter().map(|place| place.kl).fold(0.0, f64::max);
            assert_eq!(largest, own.largest());
            assert_eq!(strip.iter().any(|place| place.parts), own.parting.is_some());
            assert!(strip.windows(2).all(|pair| pair[0].at < pair[1].at));
            for place in &strip {
                assert_eq!(own.tokens[place.at].kl, place.kl);
            }
        }
        let whole = own.strip(240);
        for (place, token) in whole.iter().zip(&own.tokens) {
            let bits = place.behaviour.map_or(0, |behaviour| 1 << behaviour.index());
            assert_eq!(place.parts, token.rank != 1);
            assert_eq!(bits & token.behaviours, bits);
        }
        assert_eq!(TextApart::default().strip(10), []);
    }

    #[test]
    fn what_is_listed_are_the_means_of_the_study() {
        let apart = apart();
        let all = apart.divergence.mean_kl(Positions::All).unwrap();
        assert_eq!((apart.facts[0].label.as_str(), &apart.facts[0].whole), ("All positions", &nats(all)));
        assert!(apart.facts[0].whole.starts_with(apart.facts[0].value.trim_end_matches(" nats")));
        assert!(apart.facts.iter().any(|fact| fact.label == "Same choice"));
        assert_eq!(behaviours(0), "no marked behaviour");
        assert_eq!(behaviours(0b101), "backtracking and example testing");
    }
}
