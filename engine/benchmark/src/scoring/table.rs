//! From outputs to the score of a benchmark, question by question and pass by pass.

use std::collections::{BTreeMap, BTreeSet};

use cruxscope_statistics::{Bootstrap, Cluster, clustered_interval, clustered_mean, majority, pass_at_k, wilson};
use serde::Serialize;

use super::extract::closes_its_thoughts;
use super::{Rule, Verdict};
use crate::datasets::{Benchmark, Dataset};
use crate::generator::FailureKind;
use crate::samples::Outputs;

/// How scores are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreSettings {
    /// Whether other accepted answers count (MuSiQue).
    pub aliases: bool,
    /// The intervals of several passes and of F1.
    pub bootstrap: Bootstrap,
}

impl Default for ScoreSettings {
    fn default() -> Self {
        Self {
            aliases: true,
            bootstrap: Bootstrap::default(),
        }
    }
}

/// One output and what the rule says of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The question.
    pub id: String,
    /// The pass, from 1.
    pub pass: u32,
    /// What the rule says.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A share with its interval at 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The share, 0 to 1.
    pub value: f64,
    /// Its interval, where there are enough questions for one.
    pub interval: Option<(f64, f64)>,
}

/// The score of one benchmark under one rule. Shares are of the outputs that are there; what is missing is counted apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchmarkScore {
    /// The benchmark.
    pub benchmark: Benchmark,
    /// The rule, with its version.
    pub rule: Rule,
    /// Questions of the dataset.
    pub questions: usize,
    /// Passes over them: k.
    pub passes: usize,
    /// Outputs that were scored.
    pub outputs: usize,
    /// Outputs that k passes over all questions would have, one at least, and that are not there.
    pub missing: usize,
    /// Of these, answers that came without usable text, by kind: a refusal, a call of a tool, a text that a filter took.
    pub failed: BTreeMap<FailureKind, usize>,
    /// Outputs that never close their thoughts with `</think>`: cut off, collapsed, or written without thinking.
    pub unclosed: usize,
    /// Outputs out of which the rule could read no answer. They score nothing.
    pub unparsed: usize,
    /// Outputs that are right; for MuSiQue, exact matches.
    pub correct: usize,
    /// Their share, avg@k: with Wilson's interval for one pass, and a bootstrap over questions for several.
    pub accuracy: Option<Estimate>,
    /// For MuSiQue, the mean F1, with a bootstrap over questions.
    pub f1: Option<Estimate>,
    /// The chance that one of k outputs is right, over the questions that have k; for several passes.
    pub pass_at_k: Option<f64>,
    /// The share of questions whose most frequent answer is right, over the same questions.
    pub majority: Option<f64>,
    /// Every output, by question and pass.
    pub verdicts: Vec<Judged>,
}

/// Scores the outputs of one model on one dataset by one rule of its benchmark. Outputs of other questions are passed over, and so are
/// further outputs of a question and pass.
pub fn score(dataset: &Dataset, outputs: &Outputs, rule: Rule, settings: &ScoreSettings) -> BenchmarkScore {
    let questions: BTreeMap<&str, usize> = dataset
        .questions
        .iter()
        .enumerate()
        .map(|(place, question)| (question.id.as_str(), place))
        .collect();
    let mut passes = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut unclosed = 0;
    let mut verdicts: Vec<(usize, Judged)> = Vec::new();
    for output in &outputs.outputs {
        if let Some(&place) = questions.get(output.id.as_str())
            && seen.insert((place, output.pass))
        {
            passes.insert(output.pass);
            unclosed += usize::from(!closes_its_thoughts(&output.output));
            let judged = Judged {
                id: output.id.clone(),
                pass: output.pass,
                verdict: rule.judge(&dataset.questions[place], &output.output, settings.aliases),
            };
            verdicts.push((place, judged));
        }
    }
    let mut failed: BTreeMap<FailureKind, usize> = BTreeMap::new();
    for failure in &outputs.failures {
        if let Some(&place) = questions.get(failure.id.as_str())
            && !seen.contains(&(place, failure.pass))
        {
            passes.insert(failure.pass);
            *failed.entry(failure.kind).or_default() += 1;
        }
    }
    verdicts.sort_by_key(|(place, judged)| (*place, judged.pass));
    let by_question: Vec<Vec<&Judged>> = verdicts
        .chunk_by(|(a, _), (b, _)| a == b)
        .map(|of| of.iter().map(|(_, judged)| judged).collect())
        .collect();
    let clusters = |of: &dyn Fn(&Verdict) -> f64| -> Vec<Cluster> {
        let cluster = |of_question: &Vec<&Judged>| Cluster {
            sum: of_question.iter().map(|judged| of(&judged.verdict)).sum(),
            count: of_question.len(),
        };
        by_question.iter().map(cluster).collect()
    };
    let right = clusters(&|verdict| f64::from(u8::from(verdict.correct)));
    let correct = verdicts.iter().filter(|(_, judged)| judged.verdict.correct).count();
    let k = passes.len();
    let accuracy = clustered_mean(&right).map(|value| Estimate {
        value,
        interval: if k == 1 {
            wilson(correct, verdicts.len())
        } else {
            clustered_interval(&right, &settings.bootstrap)
        },
    });
    let f1 = (dataset.benchmark == Benchmark::Musique)
        .then(|| clusters(&|verdict| verdict.f1.unwrap_or(0.0)))
        .and_then(|scores| {
            Some(Estimate {
                value: clustered_mean(&scores)?,
                interval: clustered_interval(&scores, &settings.bootstrap),
            })
        });
    let whole: Vec<&Vec<&Judged>> = by_question.iter().filter(|of| k > 1 && of.len() == k).collect();
    let mean = |shares: Vec<f64>| (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64);
    let chance_of_one = whole
        .iter()
        .filter_map(|of| pass_at_k(of.iter().filter(|judged| judged.verdict.correct).count(), k, k))
        .collect();
    let voted = whole
        .iter()
        .map(|of| {
            let answers: Vec<Option<String>> = of
                .iter()
                .map(|judged| judged.verdict.extracted.as_ref().map(|extracted| rule.canonical(&extracted.text)))
                .collect();
            let winner = majority(answers.iter().map(Option::as_deref));
            let right = winner.and_then(|winner| answers.iter().position(|answer| answer.as_deref() == Some(winner)));
            f64::from(u8::from(right.is_some_and(|place| of[place].verdict.correct)))
        })
        .collect();
    BenchmarkScore {
        benchmark: dataset.benchmark,
        rule,
        questions: dataset.questions.len(),
        passes: k,
        outputs: verdicts.len(),
        missing: (dataset.questions.len() * k.max(1)).saturating_sub(verdicts.len()),
        failed,
        unclosed,
        unparsed: verdicts.iter().filter(|(_, judged)| judged.verdict.extracted.is_none()).count(),
        correct,
        accuracy,
        f1,
        pass_at_k: mean(chance_of_one),
        majority: mean(voted),
        verdicts: verdicts.into_iter().map(|(_, judged)| judged).collect(),
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::FileDigest;

    use super::*;
    use crate::datasets::Question;
    use crate::samples::Output;

    fn output(id: &str, pass: u32, text: &str) -> Output {
        Output {
            id: id.into(),
            pass,
            model: None,
            settings: None,
            prompt: None,
            prompt_begin: None,
            output: text.into(),
            finish: None,
            new_tokens: None,
        }
    }

    #[test]
    fn passes_missing_and_unparsed_are_counted_apart() {
        let question = |number, answer: &str| Question {
            answer: answer.into(),
            ..Question::bare(Benchmark::Aime, number)
        };
        let dataset = Dataset {
            benchmark: Benchmark::Aime,
            questions: vec![question(0, "1"), question(1, "2"), question(2, "3")],
            source: FileDigest::default(),
        };
        let outputs = Outputs {
            outputs: vec![
                output("AIME_2024/0", 1, "1"),
                output("AIME_2024/0", 2, "01"),
                output("AIME_2024/0", 3, "5"),
                output("AIME_2024/1", 1, "7"),
                output("AIME_2024/1", 2, "no idea"),
                output("AIME_2024/1", 3, "2"),
                output("AIME_2024/2", 3, "3"),
                output("FOLIO/2", 4, "true"),
            ],
            ..Outputs::default()
        };
        let score = score(&dataset, &outputs, Rule::AimeLastBoxed, &ScoreSettings::default());
        assert_eq!((score.passes, score.outputs, score.missing, score.unparsed, score.correct), (3, 7, 2, 1, 4));
        assert_eq!(score.accuracy.unwrap().value, 4.0 / 7.0);
        // Question 2 has not all passes; question 0 votes for "1", question 1 ties and takes its first answer, 7.
        assert_eq!((score.pass_at_k, score.majority), (Some(1.0), Some(0.5)));
        assert_eq!(score.f1, None);
        assert_eq!(score.verdicts.len(), 7);
    }
}
