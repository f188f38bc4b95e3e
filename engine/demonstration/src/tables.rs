//! What came out, as scores with intervals and as the few sentences that can be said of them.

use cruxscope_miniature::LEVEL;
use cruxscope_miniature::puzzles::{Kind, Level};
use cruxscope_statistics::{Bootstrap, RankCorrelation, wilson};
use cruxscope_study::{RESULTS_SCHEMA, Results, Score, ScoredOutput, Trial, TrialRow};
use serde::Serialize;

use crate::examination::{Examination, Question};
use crate::material::Agreement;

/// The pair and its compressions.
pub const COMPRESSED: &str = "The pair, and the distilled model compressed";
/// A few components alone.
pub const ALONE: &str = "A few components rounded alone (as Table 3)";
/// All but a few components.
pub const PROTECTED: &str = "All but a few components rounded (as Table 4)";
/// Recipes over a whole menu of bits.
pub const RECIPES: &str = "Recipes of the size of 3 bits, by rule";
/// Few matrices at the largest format, the rest at the smallest.
pub const FEW: &str = "10 % of the weights at 8 bits, the rest at 2, by rule";
/// What went: facts, or reasoning.
pub const LOST: &str = "Knowledge and reasoning lost (as Finding 1)";
/// Everything together.
pub const TOGETHER: &str = "All four kinds";

/// A model that was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The experiment that it belongs to.
    pub experiment: &'static str,
    /// The folder of its model.
    pub name: String,
    /// Base or distilled.
    pub model: &'static str,
    /// How it was compressed.
    pub compression: String,
    /// What else sets it apart.
    pub setting: String,
    /// What it answered.
    pub examination: Examination,
}

/// A share of right answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Right answers.
    pub right: usize,
    /// Puzzles.
    pub of: usize,
    /// The share in percent.
    pub percent: f64,
    /// Its interval at 95 %, by Wilson.
    pub interval: [f64; 2],
}

/// A row of the printed table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The experiment.
    pub experiment: String,
    /// The folder of the model.
    pub name: String,
    /// Base or distilled.
    pub model: String,
    /// How it was compressed.
    pub compression: String,
    /// What else sets it apart.
    pub setting: String,
    /// By kind, in the kinds' order.
    pub kinds: Vec<Share>,
    /// All kinds together.
    pub together: Share,
    /// Outputs that did not end by themselves, or hold no answer.
    pub unparsed: usize,
    /// How much more knowledge than reasoning went, in points, with its interval; positive where facts suffered more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knowledge_over_reasoning: Option<Lost>,
}

/// What a compression took, in points of accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lost {
    /// In questions of facts.
    pub knowledge: f64,
    /// In the mean over the other three kinds.
    pub reasoning: f64,
    /// The first minus the second, at 95 %, over draws of the puzzles.
    pub interval: [f64; 2],
}

/// What a sketch foretold of matrices rounded alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Foretold {
    /// Predicted against measured divergence, by rank.
    pub rank: RankCorrelation,
    /// Sum of the predicted divergences, in nats.
    pub predicted: f64,
    /// Sum of the measured ones, in nats.
    pub measured: f64,
}

/// A recipe's divergence, predicted and measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecipeRow {
    /// The experiment.
    pub experiment: String,
    /// The rule that chose it, or which random one it is.
    pub rule: String,
    /// Stored bits of a weight, scales included.
    pub bits_per_weight: f64,
    /// Predicted divergence, in nats.
    pub predicted: Option<f64>,
    /// Measured divergence, in nats, on puzzles that chose nothing.
    pub measured: Option<f64>,
    /// Its interval at 95 %, over windows.
    pub interval: Option<(f64, f64)>,
}

/// The rows of a trial.
pub fn recipe_rows(trial: &Trial) -> Vec<RecipeRow> {
    let row = |row: &TrialRow| {
        let kl = row.kl();
        RecipeRow {
            experiment: row.group.clone(),
            rule: row.name.clone(),
            bits_per_weight: row.bits_per_weight,
            predicted: row.predicted_kl,
            measured: kl.map(|kl| kl.value),
            interval: kl.and_then(|kl| kl.interval),
        }
    };
    trial.rows.iter().map(row).collect()
}

/// What a demonstration found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The program and its version.
    pub program: String,
    /// The seed of puzzles and controls.
    pub seed: u64,
    /// Every model that was asked.
    pub rows: Vec<Row>,
    /// Importance against the damage of rounding one component, by rank, over all behaviours.
    pub importance_against_damage: Option<RankCorrelation>,
    /// The sketch's prediction for rounding one component, against what it cost.
    pub predicted_against_measured: Option<Foretold>,
    /// Recipes of one size, predicted and measured.
    pub recipes: Vec<RecipeRow>,
    /// The annotator against the generator.
    pub annotator: Agreement,
    /// Instances that were interpreted.
    pub instances: usize,
}

impl Summary {
    /// The row of a model.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

fn share(right: usize, of: usize) -> Share {
    let (low, high) = wilson(right, of).unwrap_or((0.0, 1.0));
    Share {
        right,
        of,
        percent: 100.0 * right as f64 / of.max(1) as f64,
        interval: [100.0 * low, 100.0 * high],
    }
}

/// The rows of all models.
pub fn rows(questions: &[Question], asked: &[Asked]) -> Vec<Row> {
    let distilled = asked.iter().find(|asked| asked.name == "distilled");
    let row = |one: &Asked| {
        let right = |kind: Option<Kind>| {
            let of_kind = questions.iter().zip(&one.examination.answers);
            let chosen: Vec<bool> = of_kind
                .filter(|(question, _)| kind.is_none_or(|kind| question.kind == kind))
                .map(|(_, answer)| answer.right)
                .collect();
            share(chosen.iter().filter(|right| **right).count(), chosen.len())
        };
        let compares = one.model == "Distilled" && one.name != "distilled";
        Row {
            experiment: one.experiment.into(),
            name: one.name.clone(),
            model: one.model.into(),
            compression: one.compression.clone(),
            setting: one.setting.clone(),
            kinds: Kind::ALL.into_iter().map(|kind| right(Some(kind))).collect(),
            together: right(None),
            unparsed: one.examination.answers.iter().filter(|answer| !answer.ended || answer.answer.is_none()).count(),
            knowledge_over_reasoning: distilled.filter(|_| compares).and_then(|whole| lost(questions, whole, one)),
        }
    };
    asked.iter().map(row).collect()
}

/// What went, knowledge beside reasoning; puzzles are drawn in pairs, since both models answered the same.
fn lost(questions: &[Question], whole: &Asked, compressed: &Asked) -> Option<Lost> {
    let went: Vec<(usize, f64)> = (questions.iter().zip(&whole.examination.answers).zip(&compressed.examination.answers))
        .map(|((question, before), after)| (question.kind as usize, f64::from(u8::from(before.right)) - f64::from(u8::from(after.right))))
        .collect();
    let points = |weights: &[f64]| -> Option<[f64; 2]> {
        let (mut sums, mut counts) = ([0.0; 4], [0.0; 4]);
        for ((kind, went), weight) in went.iter().zip(weights) {
            sums[*kind] += went * weight;
            counts[*kind] += weight;
        }
        let mean = |kind: Kind| (counts[kind as usize] > 0.0).then(|| 100.0 * sums[kind as usize] / counts[kind as usize]);
        let others = [Kind::Arithmetic, Kind::Deduction, Kind::Schedule].map(mean);
        let [Some(first), Some(second), Some(third)] = others else { return None };
        Some([mean(Kind::Facts)?, (first + second + third) / 3.0])
    };
    let [knowledge, reasoning] = points(&vec![1.0; went.len()])?;
    let difference = |weights: Vec<f64>| points(&weights).map(|[knowledge, reasoning]| knowledge - reasoning);
    let (low, high) = Bootstrap::default().interval(went.len(), difference)?;
    Some(Lost {
        knowledge,
        reasoning,
        interval: [low, high],
    })
}

/// What pure guessing gives, in percent, where answers are options.
fn chance(kind: Kind) -> Option<f64> {
    match kind {
        Kind::Arithmetic => Some(100.0 / 15.0),
        Kind::Deduction => Some(100.0 / 3.0),
        Kind::Schedule => Some(match LEVEL {
            Level::Standard => 25.0,
            Level::Hard => 20.0,
        }),
        Kind::Facts => None,
    }
}

/// The name of a kind, for display.
pub fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Arithmetic => "Arithmetic",
        Kind::Deduction => "Deduction",
        Kind::Schedule => "Schedule",
        Kind::Facts => "Facts",
    }
}

/// Everything as results, with the outputs behind the scores of the main models.
pub fn results(questions: &[Question], asked: &[Asked], summary: &Summary, command: &str) -> Results {
    let mut scores = Vec::new();
    for (one, row) in asked.iter().zip(&summary.rows) {
        let score = |benchmark: &str, share: Share, unparsed: usize| Score {
            experiment: one.experiment.into(),
            model: one.model.into(),
            compression: one.compression.clone(),
            setting: one.setting.clone(),
            benchmark: benchmark.into(),
            metric: "accuracy".into(),
            unit: "%".into(),
            value: share.percent,
            interval: Some(share.interval),
            questions: Some(share.of),
            passes: Some(1),
            unparsed: Some(unparsed),
            missing: Some(0),
            rule: "what stands after the reasoning, letter by letter".into(),
            length_unit: "tokens".into(),
            ..Score::default()
        };
        for (kind, share) in Kind::ALL.into_iter().zip(&row.kinds) {
            let answers = questions.iter().zip(&one.examination.answers).filter(|(question, _)| question.kind == kind);
            let outputs: Vec<ScoredOutput> = answers
                .map(|(_, answer)| ScoredOutput {
                    id: answer.id.clone(),
                    pass: 1,
                    score: f64::from(u8::from(answer.right)),
                    length: Some(answer.tokens as u64),
                    parsed: answer.answer.is_some(),
                    ended: answer.ended,
                })
                .collect();
            let unparsed = outputs.iter().filter(|output| !output.parsed).count();
            scores.push(Score {
                chance: chance(kind),
                outputs: if one.experiment == COMPRESSED { outputs } else { Vec::new() },
                ..score(title(kind), *share, unparsed)
            });
        }
        scores.push(score(TOGETHER, row.together, row.unparsed));
    }
    for row in &summary.rows {
        let Some(lost) = row.knowledge_over_reasoning.filter(|_| row.experiment == COMPRESSED) else {
            continue;
        };
        let entry = |benchmark: &str, value: f64, interval: Option<[f64; 2]>| Score {
            experiment: LOST.into(),
            model: row.model.clone(),
            compression: row.compression.clone(),
            benchmark: benchmark.into(),
            metric: "points lost".into(),
            value,
            interval,
            questions: Some(questions.len()),
            rule: "accuracy before minus after; intervals over draws of the puzzles, in pairs".into(),
            ..Score::default()
        };
        scores.push(entry("Knowledge (facts)", lost.knowledge, None));
        scores.push(entry("Reasoning (mean of the others)", lost.reasoning, None));
        scores.push(entry("Knowledge minus reasoning", lost.knowledge - lost.reasoning, Some(lost.interval)));
    }
    Results {
        schema: RESULTS_SCHEMA,
        title: "The miniature".into(),
        source: command.into(),
        program: summary.program.clone(),
        published: false,
        scores,
        ..Results::default()
    }
}
