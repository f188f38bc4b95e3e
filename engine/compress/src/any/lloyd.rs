//! Lloyd's iterations as scikit-learn runs them for the original ANY4: kept to reproduce its codebooks, and to compare with.
//!
//! Which optimum they end in depends on where they begin, and all starts end above [`super::exact_codebook`]. The original's start
//! is drawn from NumPy's generator; that stream is not reproduced, so [`Initialisation::PlusPlus`] is the same procedure with
//! other draws. Started from the original's own centroids, [`lloyd_codebook`] ends in the original's codebook.

use cruxscope_statistics::SplitMix;

use super::codebook::{Codebook, finish};

/// Where Lloyd's iterations begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initialisation {
    /// Evenly spaced from the smallest to the largest value, the original's `int`.
    Even,
    /// Greedy k-means++, the original's default: each further centroid is the best of `2 + ⌊ln k⌋` draws, where a value is drawn
    /// in proportion to its weight and its squared distance to the centroids so far. Every row starts its own stream from `seed`.
    PlusPlus {
        /// Start of the stream.
        seed: u64,
    },
}

impl Initialisation {
    /// The first `count` centroids for a row.
    #[must_use]
    pub fn centroids(self, values: &[f32], weights: Option<&[f32]>, count: usize) -> Vec<f32> {
        match self {
            Self::Even => {
                let (low, high) = values
                    .iter()
                    .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
                let step = (f64::from(high) - f64::from(low)) / (count.max(2) - 1) as f64;
                (0..count).map(|k| (f64::from(low) + step * k as f64) as f32).collect()
            }
            Self::PlusPlus { seed } => plus_plus(values, weights, count, seed),
        }
    }
}

fn plus_plus(values: &[f32], weights: Option<&[f32]>, count: usize, seed: u64) -> Vec<f32> {
    let weight = |place: usize| weights.map_or(1.0, |weights| f64::from(weights[place]));
    let squared = |value: f32, centroid: f32| (f64::from(value) - f64::from(centroid)).powi(2);
    let mut stream = SplitMix::new(seed);
    let mut draw = |shares: &[f64]| {
        let mut left = stream.share() * shares.iter().sum::<f64>();
        let found = shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        // Rounding can leave a crumb beyond the last; no shares at all means that every value already is a centroid.
        found.or_else(|| shares.iter().rposition(|share| *share > 0.0)).unwrap_or(0)
    };
    if values.is_empty() {
        return vec![0.0; count];
    }
    let trials = 2 + (count as f64).ln() as usize;
    let shares: Vec<f64> = (0..values.len()).map(weight).collect();
    let mut centroids = vec![values[draw(&shares)]];
    let mut nearest: Vec<f64> = values.iter().map(|value| squared(*value, centroids[0])).collect();
    while centroids.len() < count {
        let shares: Vec<f64> = nearest.iter().enumerate().map(|(place, distance)| distance * weight(place)).collect();
        let mut best: Option<(f64, f32, Vec<f64>)> = None;
        for _ in 0..trials {
            let candidate = values[draw(&shares)];
            let distances: Vec<f64> = values
                .iter()
                .zip(&nearest)
                .map(|(value, nearest)| squared(*value, candidate).min(*nearest))
                .collect();
            let potential = distances.iter().enumerate().map(|(place, distance)| distance * weight(place)).sum();
            if best.as_ref().is_none_or(|best| potential < best.0) {
                best = Some((potential, candidate, distances));
            }
        }
        if let Some((_, candidate, distances)) = best {
            centroids.push(candidate);
            nearest = distances;
        }
    }
    centroids
}

/// Most iterations of one row, as in scikit-learn.
const ITERATIONS: usize = 300;
/// Iterations end once the squared movement of all centroids is at most this share of the row's variance, as in scikit-learn.
const TOLERANCE: f64 = 1e-4;

/// Weighted Lloyd iterations from given centroids.
///
/// Every value goes to its nearest centroid (weights play no part), every centroid to the weighted mean of its values, until no
/// value moves or the centroids hardly do. A centroid that lost all weight is put on the value farthest from its own centroid, and
/// the other oddities of scikit-learn 1.x are kept, since they change the outcome. If all weights are zero, all values count alike.
///
/// # Shapes
/// `values` and `weights` `[n]`; 1 to 256 centroids.
#[must_use]
pub fn lloyd_codebook(values: &[f32], weights: Option<&[f32]>, initial: &[f32]) -> Codebook {
    let used = weights.filter(|weights| weights.iter().any(|weight| *weight > 0.0));
    let weight = |place: usize| used.map_or(1.0, |weights| f64::from(weights[place]));
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len().max(1) as f64;
    let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64;
    let mut centroids: Vec<f64> = initial.iter().map(|value| f64::from(*value)).collect();
    let mut owners: Vec<usize> = Vec::new();
    for _ in 0..ITERATIONS {
        let nearest = owners_of(values, &centroids);
        let mut sums = vec![(0.0, 0.0); centroids.len()];
        for (place, owner) in nearest.iter().enumerate() {
            sums[*owner].0 += weight(place);
            sums[*owner].1 += weight(place) * f64::from(values[place]);
        }
        relocate_empty(values, &weight, &centroids, &nearest, &mut sums);
        let biggest = (1..sums.len()).fold(0, |best, owner| if sums[owner].0 > sums[best].0 { owner } else { best });
        let moved: Vec<f64> = (sums.iter().enumerate())
            .map(|(owner, (weight, sum))| match (*weight > 0.0, sums[biggest]) {
                (true, _) => sum / weight,
                // The only value of a centroid went to another one. scikit-learn means to put the former on the heaviest centroid,
                // but takes that one's sum, relative to the mean of the row, where it has not yet been divided.
                (false, (weight, sum)) if biggest > owner => mean + (sum - weight * mean),
                (false, (weight, sum)) => sum / weight,
            })
            .collect();
        let movement: f64 = moved.iter().zip(&centroids).map(|(new, old)| (new - old).powi(2)).sum();
        centroids = moved;
        if owners == nearest || movement <= TOLERANCE * variance {
            break;
        }
        owners = nearest;
    }
    finish(values, weights, centroids.iter().map(|centroid| *centroid as f32).collect(), initial.len())
}

/// The nearest centroid of every value; of equals the first.
fn owners_of(values: &[f32], centroids: &[f64]) -> Vec<usize> {
    values
        .iter()
        .map(|value| {
            let value = f64::from(*value);
            let mut best = (f64::INFINITY, 0);
            for (place, centroid) in centroids.iter().enumerate() {
                let distance = (value - centroid).abs();
                if distance < best.0 {
                    best = (distance, place);
                }
            }
            best.1
        })
        .collect()
}

/// Gives every centroid without weight the value that is farthest from its own centroid, and takes that value from its old owner.
fn relocate_empty(values: &[f32], weight: &impl Fn(usize) -> f64, centroids: &[f64], owners: &[usize], sums: &mut [(f64, f64)]) {
    let empty: Vec<usize> = (0..sums.len()).filter(|owner| sums[*owner].0 == 0.0).collect();
    if empty.is_empty() {
        return;
    }
    let distance = |place: usize| (f64::from(values[place]) - centroids[owners[place]]).abs();
    let mut far: Vec<usize> = (0..values.len()).collect();
    far.sort_by(|left, right| distance(*right).total_cmp(&distance(*left)).then(left.cmp(right)));
    for (to, place) in empty.into_iter().zip(far) {
        let (moved, value, from) = (weight(place), f64::from(values[place]), owners[place]);
        sums[from].0 -= moved;
        sums[from].1 -= moved * value;
        sums[to] = (moved, moved * value);
    }
}
