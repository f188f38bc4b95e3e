//! What results say of a version of a model: the score that stands beside its maps, and its divergence from the original.

use cruxscope_study::{Results, Score};

use super::super::results::is_none;

/// A measured value and its interval at 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The value.
    pub value: f64,
    /// The interval.
    pub interval: Option<[f64; 2]>,
}

/// The scores of some results by the words of the model and its compression.
pub struct Scores<'a> {
    all: Vec<(Vec<String>, &'a Score)>,
    /// The benchmark that is shown.
    pub benchmark: Option<String>,
}

impl<'a> Scores<'a> {
    /// The scores of results that are about any of the studies with these titles. Scores of a setting of their own are left out.
    pub fn of(results: &[&'a Results], titles: &[&str], wanted: Option<&str>) -> Self {
        let titles: Vec<Vec<String>> = titles.iter().map(|title| words(title)).collect();
        let scores = results.iter().flat_map(|results| &results.scores).filter(|score| score.setting.is_empty());
        let all: Vec<(Vec<String>, &Score)> = scores
            .map(|score| {
                let compression = if is_none(&score.compression) { "" } else { &score.compression };
                (words(&format!("{} {compression}", score.model)), score)
            })
            .filter(|(said, _)| titles.contains(said))
            .collect();
        let accuracies = || all.iter().map(|(_, score)| *score).filter(|score| is_accuracy(score));
        let named = |benchmark: &str| accuracies().any(|score| score.benchmark == benchmark);
        let benchmark = wanted.filter(|wanted| named(wanted)).map(str::to_owned).or_else(|| {
            let mean = accuracies().find(|score| ["All", "Average", "Mean"].iter().any(|word| score.benchmark.starts_with(word)));
            mean.or_else(|| accuracies().next()).map(|score| score.benchmark.clone())
        });
        Self { all, benchmark }
    }

    /// The score of a study on the benchmark.
    pub fn accuracy(&self, title: &str) -> Option<Measured> {
        let benchmark = self.benchmark.as_deref()?;
        self.find(title, |score| is_accuracy(score) && score.benchmark == benchmark)
    }

    /// The divergence of a study's model from the original.
    pub fn divergence(&self, title: &str) -> Option<Measured> {
        self.find(title, |score| {
            let metric = score.metric.to_ascii_lowercase();
            metric.contains("divergence") || metric.split_ascii_whitespace().any(|word| word == "kl")
        })
    }

    fn find(&self, title: &str, fits: impl Fn(&Score) -> bool) -> Option<Measured> {
        let title = words(title);
        let (_, score) = self.all.iter().find(|(said, score)| *said == title && fits(score))?;
        Some(Measured {
            value: score.value,
            interval: score.interval,
        })
    }
}

fn is_accuracy(score: &Score) -> bool {
    score.metric == "accuracy" && score.unit == "%"
}

/// The words of a title in alphabetical order: `Distilled, RTN, 4 bits` and `Distilled RTN, 4 bits` are the same version.
fn words(title: &str) -> Vec<String> {
    let mut words: Vec<String> = title
        .to_lowercase()
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.sort();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(model: &str, compression: &str, benchmark: &str, metric: &str, value: f64) -> Score {
        Score {
            model: model.into(),
            compression: compression.into(),
            benchmark: benchmark.into(),
            metric: metric.into(),
            unit: if metric == "accuracy" { "%" } else { "nats" }.into(),
            value,
            ..Score::default()
        }
    }

    #[test]
    fn scores_are_found_by_the_words_of_a_title() {
        let results = Results {
            schema: 1,
            scores: vec![
                score("Distilled", "", "Riddles", "accuracy", 90.0),
                score("Distilled", "RTN, 2 bits", "Riddles", "accuracy", 40.0),
                score("Distilled", "RTN, 2 bits", "All kinds", "accuracy", 50.0),
                score("Distilled", "RTN, 2 bits", "Text", "KL divergence", 0.7),
                score("Other", "RTN, 2 bits", "Riddles", "accuracy", 10.0),
            ],
            ..Results::default()
        };
        let titles = ["Distilled", "Distilled, RTN, 2 bits"];
        let found = Scores::of(&[&results], &titles, None);
        assert_eq!(found.benchmark.as_deref(), Some("All kinds"));
        assert_eq!(found.accuracy("Distilled, RTN, 2 bits").map(|found| found.value), Some(50.0));
        assert_eq!(found.accuracy("Distilled"), None);
        let chosen = Scores::of(&[&results], &titles, Some("Riddles"));
        assert_eq!(chosen.accuracy("Distilled").map(|found| found.value), Some(90.0));
        assert_eq!(chosen.divergence("Distilled, RTN, 2 bits").map(|found| found.value), Some(0.7));
        assert_eq!(Scores::of(&[], &titles, None).benchmark, None);
    }
}
