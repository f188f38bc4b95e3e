//! Claims about benchmarks: question by question, so that what a question does to both models cancels.

use std::collections::BTreeMap;

use cruxscope_study::{Bootstrap, Response, Results, Score, test_time};

use super::evidence::Evidence;
use super::{Bound, Found, Number, Test};

/// Questions below which a bootstrap over them means little.
const LEAST_QUESTIONS: usize = 20;
/// Benchmarks that ask for knowledge: by the names that the paper and the miniature give them.
const KNOWLEDGE: [&str; 2] = ["MuSiQue", "Facts"];
const SCORE: &str = "cruxscope benchmark run …; cruxscope score … on the model and its compressed variants";

pub(super) fn found(test: &Test, evidence: &Evidence) -> Vec<Found> {
    let all: Vec<Found> = evidence
        .results
        .iter()
        .filter(|results| !results.published)
        .flat_map(|results| {
            let models = models(results);
            match test {
                Test::KnowledgeLostMore => knowledge(&models),
                Test::LessCompressedScoresMore => less_compressed(&models),
                Test::HarderLosesMore => harder(&models),
                Test::ShortScoresMore { share } => short(&models, *share),
                _ => Vec::new(),
            }
        })
        .collect();
    if all.is_empty() { vec![missing(test)] } else { all }
}

fn statistic(test: &Test) -> (&'static str, &'static str) {
    match test {
        Test::KnowledgeLostMore => (
            "points of knowledge lost, less points of reasoning",
            "no results of a pruned model on benchmarks of knowledge and of reasoning, output by output",
        ),
        Test::LessCompressedScoresMore => (
            "points, least compressed less most compressed",
            "no results of one method at two sizes, output by output",
        ),
        Test::HarderLosesMore => (
            "share of the score lost, hardest benchmark less easiest",
            "no results of a pruned model that loses anything on benchmarks of two difficulties, output by output",
        ),
        _ => ("points, shortest outputs less longest", "no results with outputs whose lengths are known"),
    }
}

fn missing(test: &Test) -> Found {
    let (statistic, why) = statistic(test);
    Found {
        subject: "nothing given".into(),
        definition: None,
        statistic: statistic.into(),
        number: None,
        bound: Bound::Above(0.0),
        why: why.into(),
        command: SCORE.into(),
        seen: Vec::new(),
    }
}

/// A model in one form, with its outputs by benchmark and question.
struct Model<'a> {
    name: String,
    compression: &'a str,
    benchmarks: BTreeMap<&'a str, Outputs>,
}

/// Scores in percent by question: the mean over passes, and the length of each output.
#[derive(Default)]
struct Outputs {
    questions: BTreeMap<String, (f64, usize)>,
    responses: Vec<(f64, Response)>,
}

impl Outputs {
    fn of(score: &Score) -> Self {
        let mut own = Self::default();
        for output in &score.outputs {
            let known = own.questions.entry(output.id.clone()).or_default();
            (known.0, known.1) = (known.0 + 100.0 * output.score, known.1 + 1);
            if let Some(length) = output.length {
                let response = Response {
                    length: length as f64,
                    score: output.score,
                    f1: None,
                };
                own.responses.push((100.0 * output.score, response));
            }
        }
        own
    }

    fn score(&self, question: &str) -> Option<f64> {
        let (sum, count) = self.questions.get(question)?;
        Some(sum / *count as f64)
    }
}

/// The models of some results that have outputs, whole models only: nothing else sets them apart.
fn models(results: &Results) -> Vec<Model<'_>> {
    let mut models: Vec<Model<'_>> = Vec::new();
    for score in results
        .scores
        .iter()
        .filter(|score| !score.outputs.is_empty() && score.setting.is_empty() && score.metric != "F1")
    {
        let known = models
            .iter()
            .position(|model| model.name == score.model && model.compression == score.compression);
        let place = known.unwrap_or_else(|| {
            models.push(Model {
                name: score.model.clone(),
                compression: &score.compression,
                benchmarks: BTreeMap::new(),
            });
            models.len() - 1
        });
        models[place].benchmarks.entry(&score.benchmark).or_insert_with(|| Outputs::of(score));
    }
    models
}

/// The uncompressed model of each compressed one.
fn pairs<'a, 'b>(models: &'b [Model<'a>]) -> impl Iterator<Item = (&'b Model<'a>, &'b Model<'a>)> {
    let whole = |name: &str| models.iter().find(|model| model.name == name && model.compression.is_empty());
    let compressed = models.iter().filter(|model| !model.compression.is_empty());
    compressed.filter_map(move |model| Some((whole(&model.name)?, model)))
}

/// Method and size out of words such as `SparseGPT, 30 %` or `RTN, 4 bits`: the share of a weight that is left, of 16 bits.
fn size(compression: &str) -> Option<(String, f64, bool)> {
    let (method, rest) = compression.rsplit_once(',')?;
    let number: f64 = rest.split_whitespace().next()?.parse().ok()?;
    if rest.contains('%') {
        Some((method.trim().to_owned(), 1.0 - number / 100.0, true))
    } else if rest.contains("bit") {
        Some((method.trim().to_owned(), number / 16.0, false))
    } else {
        None
    }
}

/// Points lost by each question of a benchmark.
fn lost(whole: &Outputs, compressed: &Outputs) -> Vec<f64> {
    let questions = whole.questions.keys();
    questions
        .filter_map(|question| Some(whole.score(question)? - compressed.score(question)?))
        .collect()
}

/// A mean of groups of questions: each group is drawn in itself, groups count as `weights` say.
fn mean_of_groups(groups: &[(Vec<f64>, f64)]) -> Option<Number> {
    let n: usize = groups.iter().map(|(values, _)| values.len()).sum();
    if groups.iter().any(|(values, _)| values.is_empty()) {
        return None;
    }
    let statistic = |times: &dyn Fn(usize) -> f64| {
        let (mut first, mut sum) = (0, 0.0);
        for (values, weight) in groups {
            let (mut above, mut below) = (0.0, 0.0);
            for (place, value) in values.iter().enumerate() {
                above += times(first + place) * value;
                below += times(first + place);
            }
            if below == 0.0 {
                return None;
            }
            sum += weight * above / below;
            first += values.len();
        }
        Some(sum)
    };
    Some(Number {
        value: statistic(&|_| 1.0)?,
        interval: Bootstrap::default().interval(n, |times| statistic(&|place| times[place])),
        n,
        units: "questions",
        least: LEAST_QUESTIONS,
        exact: false,
    })
}

fn entry(test: &Test, subject: String, number: Option<Number>) -> Option<Found> {
    Some(Found {
        subject,
        definition: None,
        statistic: statistic(test).0.into(),
        number: Some(number?),
        bound: Bound::Above(0.0),
        why: String::new(),
        command: SCORE.replace("on the model", "with more questions or passes, on the model"),
        seen: vec![("view", "benchmarks".into())],
    })
}

fn knowledge(models: &[Model<'_>]) -> Vec<Found> {
    let pruned = pairs(models).filter(|(_, model)| size(model.compression).is_some_and(|(.., pruned)| pruned));
    let of = |(whole, pruned): (&Model<'_>, &Model<'_>)| {
        let (mut known, mut reasoned) = (Vec::new(), Vec::new());
        for (benchmark, own) in &whole.benchmarks {
            let Some(other) = pruned.benchmarks.get(benchmark) else { continue };
            let losses = lost(own, other);
            if KNOWLEDGE.contains(benchmark) {
                known.push(losses)
            } else {
                reasoned.push(losses)
            }
        }
        if known.is_empty() || reasoned.is_empty() {
            return None;
        }
        let (knowing, reasoning) = (known.len() as f64, reasoned.len() as f64);
        let groups = known.into_iter().map(|losses| (losses, 1.0 / knowing));
        let groups: Vec<_> = groups.chain(reasoned.into_iter().map(|losses| (losses, -1.0 / reasoning))).collect();
        entry(
            &Test::KnowledgeLostMore,
            format!("{}, {}", pruned.name, pruned.compression),
            mean_of_groups(&groups),
        )
    };
    pruned.filter_map(of).collect()
}

/// Variants of each method, the largest first.
fn by_method<'a, 'b>(models: &'b [Model<'a>]) -> BTreeMap<(String, String), Vec<(f64, &'b Model<'a>)>> {
    let mut methods: BTreeMap<(String, String), Vec<(f64, &Model<'_>)>> = BTreeMap::new();
    for model in models {
        if let Some((method, left, _)) = size(model.compression) {
            methods.entry((model.name.clone(), method)).or_default().push((left, model));
        }
    }
    methods.values_mut().for_each(|variants| variants.sort_by(|a, b| b.0.total_cmp(&a.0)));
    methods
}

fn less_compressed(models: &[Model<'_>]) -> Vec<Found> {
    let of = |variants: Vec<(f64, &Model<'_>)>| {
        let ((most, largest), (least, smallest)) = (variants.first()?, variants.last()?);
        if most == least {
            return None;
        }
        let shared: Vec<Vec<f64>> = largest
            .benchmarks
            .iter()
            .filter_map(|(benchmark, own)| Some(lost(own, smallest.benchmarks.get(benchmark)?)))
            .collect();
        let count = shared.len() as f64;
        let groups: Vec<_> = shared.into_iter().map(|losses| (losses, 1.0 / count)).collect();
        let subject = format!("{}, {} less {}", largest.name, largest.compression, smallest.compression);
        entry(&Test::LessCompressedScoresMore, subject, mean_of_groups(&groups).filter(|_| count > 0.0))
    };
    by_method(models).into_values().filter_map(of).collect()
}

fn harder(models: &[Model<'_>]) -> Vec<Found> {
    let mut all = Vec::new();
    for ((name, _), variants) in by_method(models) {
        let Some((_, most)) = variants.last().filter(|(_, model)| size(model.compression).is_some_and(|(.., pruned)| pruned)) else {
            continue;
        };
        let Some(whole) = models.iter().find(|model| model.name == name && model.compression.is_empty()) else {
            continue;
        };
        let mean = |outputs: &Outputs| {
            let scores: Vec<f64> = outputs.questions.keys().filter_map(|question| outputs.score(question)).collect();
            scores.iter().sum::<f64>() / scores.len().max(1) as f64
        };
        let shared: Vec<(&str, f64, &Outputs, &Outputs)> = whole
            .benchmarks
            .iter()
            .filter_map(|(benchmark, own)| Some((*benchmark, mean(own), own, most.benchmarks.get(benchmark)?)))
            .filter(|(_, score, ..)| *score > 0.0)
            .collect();
        let hardest = shared.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let easiest = shared.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (Some(hardest), Some(easiest)) = (hardest, easiest) else { continue };
        if hardest.1 == easiest.1 {
            continue;
        }
        // As shares of what the whole model scored, which is taken as known.
        let groups = [(lost(hardest.2, hardest.3), 1.0 / hardest.1), (lost(easiest.2, easiest.3), -1.0 / easiest.1)];
        let subject = format!("{}, {}: {} and {}", most.name, most.compression, hardest.0, easiest.0);
        all.extend(entry(&Test::HarderLosesMore, subject, mean_of_groups(&groups)));
    }
    all
}

fn short(models: &[Model<'_>], share: f64) -> Vec<Found> {
    let test = Test::ShortScoresMore { share };
    let of = |(model, benchmark, outputs): (&Model<'_>, &str, &Outputs)| {
        let responses: Vec<Response> = outputs.responses.iter().map(|(_, response)| *response).collect();
        // The two ends are groups of outputs of their own.
        let split = test_time(&responses, share)?;
        let mut sorted = outputs.responses.clone();
        sorted.sort_by(|a, b| a.1.length.total_cmp(&b.1.length));
        let points = |responses: &[(f64, Response)]| responses.iter().map(|(points, _)| *points).collect::<Vec<f64>>();
        let (first, last) = (&sorted[..split.short.outputs], &sorted[sorted.len() - split.long.outputs..]);
        let form = if model.compression.is_empty() {
            String::new()
        } else {
            format!(", {}", model.compression)
        };
        let groups = [(points(first), 1.0), (points(last), -1.0)];
        entry(&test, format!("{}{form}: {benchmark}", model.name), mean_of_groups(&groups))
    };
    // Whole models only: every variant on every benchmark would fill pages.
    let whole = models.iter().filter(|model| model.compression.is_empty());
    whole
        .flat_map(|model| model.benchmarks.iter().map(move |(benchmark, outputs)| (model, *benchmark, outputs)))
        .filter_map(of)
        .collect()
}
