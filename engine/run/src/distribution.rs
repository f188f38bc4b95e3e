//! Next-token distributions of some rows, and how two of them differ: divergence, choices, ranks.

use cruxscope_model::kernels::Kernels;
use rayon::prelude::*;

use crate::RunError;

/// Distributions over the vocabulary, a row a token.
pub(crate) struct Distribution {
    /// In parts side by side, each `[rows, part]`.
    logits: Vec<Vec<f32>>,
    probabilities: Vec<Vec<f32>>,
    /// log Σ exp of each row.
    normalisers: Vec<f64>,
    /// −log p(target) of each row.
    losses: Vec<f64>,
}

impl Distribution {
    /// Of some logits, the vocabulary in parts side by side, with one target a row.
    pub(crate) fn of<K: Kernels>(kernels: &K, logits: Vec<K::Matrix>, targets: &[u32]) -> Result<Self, RunError> {
        let bring = |parts: Vec<K::Matrix>| parts.iter().map(|part| kernels.download(part)).collect::<Result<Vec<_>, _>>();
        // The gradient of the cross-entropy is p less one at the target, which the divergence puts back.
        let (losses, probabilities) = kernels.cross_entropy(logits.clone(), targets, &vec![1.0; targets.len()])?;
        let (logits, mut own) = (bring(logits)?, bring(probabilities)?);
        let mut normalisers = Vec::with_capacity(targets.len());
        for (row, (target, loss)) in targets.iter().zip(&losses).enumerate() {
            let mut first = 0;
            for (part, gradient) in logits.iter().zip(&mut own) {
                let (column, width) = ((*target as usize).wrapping_sub(first), part.len() / targets.len());
                if column < width {
                    normalisers.push(loss + f64::from(part[row * width + column]));
                    gradient[row * width + column] += 1.0;
                }
                first += width;
            }
        }
        Ok(Self {
            logits,
            probabilities: own,
            normalisers,
            losses,
        })
    }

    /// Σ p (log p − log q) of every row.
    pub(crate) fn divergences(&self, other: &Self) -> Vec<f64> {
        let mut rows: Vec<f64> = other.normalisers.iter().zip(&self.normalisers).map(|(other, own)| other - own).collect();
        for ((probabilities, own), other) in self.probabilities.iter().zip(&self.logits).zip(&other.logits) {
            let width = (own.len() / rows.len().max(1)).max(1);
            let parts = (probabilities.par_chunks(width), own.par_chunks(width), other.par_chunks(width));
            rows.par_iter_mut().zip(parts.into_par_iter()).for_each(|(row, (p, own, other))| {
                let terms = p.iter().zip(own).zip(other);
                *row += terms.map(|((p, own), other)| f64::from(*p) * f64::from(own - other)).sum::<f64>();
            });
        }
        rows
    }

    /// −log p(target) of every row.
    pub(crate) fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// The token of the largest logit of every row; of several the one with the lowest id.
    pub(crate) fn choices(&self) -> Vec<u32> {
        let rows = self.losses.len();
        let mut best = vec![(f32::NEG_INFINITY, 0u32); rows];
        let mut first = 0u32;
        for part in &self.logits {
            let width = (part.len() / rows.max(1)).max(1);
            best.par_iter_mut().zip(part.par_chunks(width)).for_each(|(best, logits)| {
                for (token, logit) in (first..).zip(logits) {
                    if *logit > best.0 {
                        *best = (*logit, token);
                    }
                }
            });
            first += width as u32;
        }
        best.into_iter().map(|(_, token)| token).collect()
    }

    /// The rank of one token of each row among all by their logits, from 1; of equal ones the lowest id comes first.
    pub(crate) fn ranks(&self, tokens: &[u32]) -> Vec<u32> {
        let rows = self.losses.len();
        let own: Vec<f32> = (0..rows).map(|row| self.logit(row, tokens[row])).collect();
        let mut ranks = vec![1u32; rows];
        let mut first = 0u32;
        for part in &self.logits {
            let width = (part.len() / rows.max(1)).max(1);
            let rows = ranks.par_iter_mut().zip(part.par_chunks(width)).zip(own.par_iter().zip(tokens));
            rows.for_each(|((rank, logits), (own, token))| {
                let before = (first..).zip(logits).filter(|(other, logit)| *logit > own || (*logit == own && other < token));
                *rank += before.count() as u32;
            });
            first += width as u32;
        }
        ranks
    }

    fn logit(&self, row: usize, token: u32) -> f32 {
        let (rows, mut column) = (self.losses.len(), token as usize);
        for part in &self.logits {
            let width = part.len() / rows.max(1);
            if column < width {
                return part[row * width + column];
            }
            column -= width;
        }
        f32::NEG_INFINITY
    }

    /// The gradient of KL(p || q) at the logits of q, which is `other`: q − p, the vocabulary in parts side by side.
    pub(crate) fn gradient_at(&self, other: &Self) -> Vec<Vec<f32>> {
        let parts = self.probabilities.iter().zip(&other.probabilities);
        parts.map(|(p, q)| q.par_iter().zip(p).map(|(q, p)| q - p).collect()).collect()
    }

    /// Sum over rows of −log p(target).
    pub(crate) fn loss(&self) -> f64 {
        self.losses.iter().sum()
    }

    /// Sum over rows of Σ p (log p − log q).
    pub(crate) fn divergence(&self, other: &Self) -> f64 {
        let mut total: f64 = other.normalisers.iter().zip(&self.normalisers).map(|(other, own)| other - own).sum();
        for ((probabilities, own), other) in self.probabilities.iter().zip(&self.logits).zip(&other.logits) {
            let width = (own.len() / self.losses.len().max(1)).max(1);
            let rows: Vec<f64> = (probabilities.par_chunks(width), own.par_chunks(width), other.par_chunks(width))
                .into_par_iter()
                .map(|(p, own, other)| {
                    p.iter()
                        .zip(own)
                        .zip(other)
                        .map(|((p, own), other)| f64::from(*p) * f64::from(own - other))
                        .sum()
                })
                .collect();
            total += rows.iter().sum::<f64>();
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_model::kernels::cpu::CpuKernels;
    use cruxscope_statistics::SplitMix;

    use super::*;

    /// Logits `[rows, tokens]` with many ties, in parts side by side.
    fn logits(seed: u64, rows: usize, parts: &[usize]) -> (Vec<Vec<f64>>, Vec<<CpuKernels as Kernels>::Matrix>) {
        let mut random = SplitMix::new(seed);
        let whole: Vec<Vec<f64>> = (0..rows)
            .map(|_| (0..parts.iter().sum()).map(|_| random.below(9) as f64 / 2.0).collect())
            .collect();
        let mut first = 0;
        let matrices = parts.iter().map(|width| {
            let values = whole
                .iter()
                .flat_map(|row| row[first..first + width].iter().map(|value| *value as f32))
                .collect();
            first += width;
            CpuKernels.upload(rows, *width, values)
        });
        let matrices = matrices.collect();
        (whole, matrices)
    }

    fn softmax(row: &[f64]) -> Vec<f64> {
        let sum: f64 = row.iter().map(|value| value.exp()).sum();
        row.iter().map(|value| value.exp() / sum).collect()
    }

    #[test]
    fn everything_is_that_of_the_plain_formulas() {
        for parts in [vec![40], vec![13, 27], vec![1, 38, 1]] {
            let rows = 7;
            let (p_logits, p_parts) = logits(1, rows, &parts);
            let (q_logits, q_parts) = logits(2, rows, &parts);
            let targets: Vec<u32> = (0..rows as u32).map(|row| row * 5).collect();
            let p = Distribution::of(&CpuKernels, p_parts, &targets).unwrap();
            let q = Distribution::of(&CpuKernels, q_parts, &targets).unwrap();
            let (divergences, choices) = (p.divergences(&q), p.choices());
            let (ranks, gradient) = (q.ranks(&choices), p.gradient_at(&q));
            for row in 0..rows {
                let (own, other) = (softmax(&p_logits[row]), softmax(&q_logits[row]));
                let kl: f64 = own.iter().zip(&other).map(|(p, q)| p * (p / q).ln()).sum();
                assert!((divergences[row] - kl).abs() < 1e-6, "{} {kl}", divergences[row]);
                assert!((q.losses()[row] + other[targets[row] as usize].ln()).abs() < 1e-6);
                let largest = p_logits[row].iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let choice = p_logits[row].iter().position(|value| *value == largest).unwrap();
                assert_eq!(choices[row] as usize, choice);
                let mut order: Vec<usize> = (0..40).collect();
                order.sort_by(|a, b| q_logits[row][*b].total_cmp(&q_logits[row][*a]).then(a.cmp(b)));
                assert_eq!(ranks[row] as usize, order.iter().position(|token| *token == choice).unwrap() + 1);
                let mut first = 0;
                for (part, width) in gradient.iter().zip(&parts) {
                    for column in 0..*width {
                        let token = first + column;
                        assert!((f64::from(part[row * width + column]) - (other[token] - own[token])).abs() < 1e-6);
                    }
                    first += width;
                }
            }
            assert!((p.divergence(&q) - divergences.iter().sum::<f64>()).abs() < 1e-9);
        }
    }
}
