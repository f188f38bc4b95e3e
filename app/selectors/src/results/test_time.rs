//! Test-time compute: how the shortest outputs score beside the longest (paper, appendix O), of one's own outputs and as published.

use cruxscope_study::{Response, Results, Score, test_time, wilson};

use super::methods::Method;

/// One benchmark of a row: the shortest outputs and the longest.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitCell {
    /// The benchmark and its metric.
    pub column: String,
    /// What the shortest score, in percent, with its interval.
    pub short: (f64, Option<[f64; 2]>),
    /// What the longest score.
    pub long: (f64, Option<[f64; 2]>),
    /// Mean length of the longest over that of the shortest.
    pub ratio: Option<f64>,
    /// Outputs at each end.
    pub outputs: Option<usize>,
    /// The score behind it, where its outputs are at hand.
    pub score: Option<usize>,
}

/// One compression of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitRow {
    /// The model.
    pub model: String,
    /// The compression.
    pub label: String,
    /// How it is drawn.
    pub method: Method,
    /// Its benchmarks.
    pub cells: Vec<SplitCell>,
}

/// The rows of some results at a share in percent. Published tables are taken as they are, where they have that share.
pub fn splits(results: &Results, share: u32) -> Vec<SplitRow> {
    let mut rows: Vec<SplitRow> = Vec::new();
    for (number, score) in results.scores.iter().enumerate() {
        let cell = if score.outputs.is_empty() {
            published(results, score, share)
        } else {
            computed(score, number, share)
        };
        let Some(cell) = cell else { continue };
        let label = [super::rows::label(&score.compression).as_str(), own_setting(&score.setting)]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
        let at = rows.iter().position(|row| row.model == score.model && row.label == label).unwrap_or_else(|| {
            rows.push(SplitRow {
                model: score.model.clone(),
                label: label.clone(),
                method: Method::of(&score.compression),
                cells: Vec::new(),
            });
            rows.len() - 1
        });
        if !rows[at].cells.iter().any(|known| known.column == cell.column) {
            rows[at].cells.push(cell);
        }
    }
    rows
}

/// The setting without the end that it names.
fn own_setting(setting: &str) -> &str {
    if setting.starts_with("shortest") || setting.starts_with("longest") {
        ""
    } else {
        setting
    }
}

fn column(score: &Score) -> String {
    match score.metric.as_str() {
        "accuracy" => score.benchmark.clone(),
        metric => format!("{} {metric}", score.benchmark),
    }
}

/// The ends of outputs that are at hand.
fn computed(score: &Score, number: usize, share: u32) -> Option<SplitCell> {
    let responses: Vec<Response> = (score.outputs.iter())
        .filter_map(|output| {
            Some(Response {
                length: output.length? as f64,
                score: output.score,
                f1: None,
            })
        })
        .collect();
    if responses.len() != score.outputs.len() {
        return None;
    }
    let found = test_time(&responses, f64::from(share) / 100.0)?;
    // Wilson's interval is for outputs that are right or wrong.
    let whole = responses.iter().all(|response| response.score == 0.0 || response.score == 1.0);
    let interval = |share: f64, of: usize| {
        let right = (share * of as f64).round() as usize;
        wilson(right, of).filter(|_| whole).map(|(low, high)| [100.0 * low, 100.0 * high])
    };
    Some(SplitCell {
        column: column(score),
        short: (100.0 * found.short.score, interval(found.short.score, found.short.outputs)),
        long: (100.0 * found.long.score, interval(found.long.score, found.long.outputs)),
        ratio: found.ratio.is_finite().then_some(found.ratio),
        outputs: Some(found.short.outputs),
        score: Some(number),
    })
}

/// The ends as a table gives them: this score is the shortest, another the longest, a third the ratio of lengths.
fn published(results: &Results, score: &Score, share: u32) -> Option<SplitCell> {
    if score.setting != format!("shortest {share} %") {
        return None;
    }
    let same = |other: &&Score| {
        other.experiment == score.experiment && other.model == score.model && other.compression == score.compression && other.benchmark == score.benchmark
    };
    let longest = format!("longest {share} %");
    let long = results
        .scores
        .iter()
        .filter(same)
        .find(|other| other.metric == score.metric && other.setting == longest)?;
    let ratio = results.scores.iter().filter(same).find(|other| other.metric.starts_with("length"));
    Some(SplitCell {
        column: column(score),
        short: (score.value, score.interval),
        long: (long.value, long.interval),
        ratio: ratio.map(|ratio| ratio.value),
        outputs: score.questions,
        score: None,
    })
}

#[cfg(test)]
mod tests {
    use cruxscope_study::ScoredOutput;

    use super::*;

    #[test]
    fn own_outputs_are_split_and_published_ends_are_paired() {
        let outputs = (0..10u64).map(|i| ScoredOutput {
            id: format!("q/{i}"),
            pass: 1,
            score: if i < 5 { 1.0 } else { 0.0 },
            length: Some(10 + i),
            parsed: true,
            ended: true,
        });
        let base = Score {
            model: "m".into(),
            benchmark: "A".into(),
            metric: "accuracy".into(),
            unit: "%".into(),
            ..Score::default()
        };
        let own = Score {
            value: 50.0,
            outputs: outputs.collect(),
            ..base.clone()
        };
        let end = |setting: &str, value: f64| Score {
            model: "p".into(),
            setting: setting.into(),
            value,
            questions: Some(9),
            ..base.clone()
        };
        let ratio = Score {
            metric: "length, longest over shortest".into(),
            unit: String::new(),
            ..end("", 5.3)
        };
        let results = Results {
            scores: vec![own, end("shortest 30 %", 88.9), end("longest 30 %", 33.3), ratio],
            ..Results::default()
        };
        let rows = splits(&results, 30);
        assert_eq!(rows.len(), 2);
        let cell = &rows[0].cells[0];
        assert_eq!((cell.short.0, cell.long.0, cell.outputs, cell.score), (100.0, 0.0, Some(3), Some(0)));
        assert!((cell.ratio.unwrap() - 18.0 / 11.0).abs() < 1e-12);
        let cell = &rows[1].cells[0];
        assert_eq!((cell.short.0, cell.long.0, cell.ratio, cell.outputs), (88.9, 33.3, Some(5.3), Some(9)));
        assert_eq!(splits(&results, 20).len(), 1, "the table has no such share");
    }
}
