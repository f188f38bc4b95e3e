//! Test-time compute: do longer outputs score worse? (paper, appendix O, tables 10 and 11)

use serde::Serialize;

/// One output: how long it is, and what it scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// Its length: tokens where they are known, characters otherwise.
    pub length: f64,
    /// Right or wrong, 1 or 0; for MuSiQue, the exact match.
    pub score: f64,
    /// For MuSiQue, the F1.
    pub f1: Option<f64>,
}

/// One end of the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Split {
    /// Outputs in it.
    pub outputs: usize,
    /// Their mean length.
    pub mean_length: f64,
    /// Their mean score.
    pub score: f64,
    /// Their mean F1, for MuSiQue.
    pub f1: Option<f64>,
}

/// The shortest and the longest outputs side by side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TestTime {
    /// The share of all outputs that each end has.
    pub share: f64,
    /// The shortest.
    pub short: Split,
    /// The longest.
    pub long: Split,
    /// Mean length of the longest over that of the shortest.
    pub ratio: f64,
}

/// Splits off the shortest and the longest outputs. Each end has `share` of them, rounded down, which is how the published
/// tables count: 60 of FOLIO's 203 at 30 %, 40 at 20 %. Outputs of one length stay in the order given. `None` if an end is empty.
pub fn test_time(responses: &[Response], share: f64) -> Option<TestTime> {
    // 0.3 times 30 is a hair below 9.
    let count = (share * responses.len() as f64 + 1e-9).floor() as usize;
    if count == 0 || 2 * count > responses.len() {
        return None;
    }
    let mut sorted = responses.to_vec();
    sorted.sort_by(|a, b| a.length.total_cmp(&b.length));
    let (short, long) = (split(&sorted[..count]), split(&sorted[sorted.len() - count..]));
    Some(TestTime {
        share,
        short,
        long,
        ratio: long.mean_length / short.mean_length,
    })
}

fn split(responses: &[Response]) -> Split {
    let mean = |of: &dyn Fn(&Response) -> f64| responses.iter().map(of).sum::<f64>() / responses.len() as f64;
    let has_f1 = responses.iter().all(|response| response.f1.is_some());
    Split {
        outputs: responses.len(),
        mean_length: mean(&|response| response.length),
        score: mean(&|response| response.score),
        f1: has_f1.then(|| mean(&|response| response.f1.unwrap_or(0.0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn responses(count: usize) -> Vec<Response> {
        (0..count)
            .rev()
            .map(|i| Response {
                length: (i + 1) as f64,
                score: f64::from(u8::from(i < count / 2)),
                f1: None,
            })
            .collect()
    }

    #[test]
    fn ends_have_the_published_sizes() {
        for (outputs, share, size) in [(30, 0.3, 9), (203, 0.3, 60), (100, 0.3, 30), (30, 0.2, 6), (203, 0.2, 40), (100, 0.2, 20)] {
            assert_eq!(test_time(&responses(outputs), share).unwrap().short.outputs, size);
        }
    }

    #[test]
    fn short_ones_score_better_here() {
        let found = test_time(&responses(10), 0.2).unwrap();
        assert_eq!((found.short.score, found.long.score), (1.0, 0.0));
        assert_eq!((found.short.mean_length, found.long.mean_length), (1.5, 9.5));
        assert!((found.ratio - 9.5 / 1.5).abs() < 1e-12);
        assert_eq!(test_time(&responses(3), 0.3), None);
        assert_eq!(test_time(&responses(10), 0.6), None);
    }
}
