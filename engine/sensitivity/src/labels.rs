//! Labels drawn from the model's own next-token distribution, by an explicit seed.
//!
//! A label depends on the seed, the window's id, the draw and the position alone: how many draws or windows there are beside it,
//! and how they are shared among processes, changes nothing.

use cruxscope_model::ModelError;
use cruxscope_model::kernels::Kernels;
use cruxscope_statistics::SplitMix;
use cruxscope_study::Digest;
use rayon::prelude::*;

/// Probabilities that are added up before single ones are looked at.
const BLOCK: usize = 256;

/// Which labels a window's draws have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Drawn from the model.
    Drawn {
        /// The seed.
        seed: u64,
        /// How many draws.
        draws: usize,
    },
    /// Given: `[draw][position]`.
    Given(Vec<Vec<u32>>),
}

impl Labels {
    /// Number of draws.
    pub fn draws(&self) -> usize {
        match self {
            Self::Drawn { draws, .. } => *draws,
            Self::Given(labels) => labels.len(),
        }
    }
}

/// Uniform numbers in [0, 1) for every draw and position of a window: `[draw][position]`.
pub fn uniforms(seed: u64, window: &str, draws: usize, positions: usize) -> Vec<Vec<f64>> {
    // SHA-256 has no pattern between windows whose ids differ in one letter; SplitMix64 then gives each draw a stream of its own.
    let digest = Digest::of(format!("{seed}\n{window}").as_bytes()).0;
    let mut streams = SplitMix::new(u64::from_str_radix(&digest[..16], 16).unwrap_or(seed));
    (0..draws)
        .map(|_| {
            let mut random = SplitMix::new(streams.bits());
            (0..positions).map(|_| random.share()).collect()
        })
        .collect()
}

/// The token at which the cumulative sum of a distribution passes `uniform` times its total.
///
/// `parts` hold the distribution side by side; sums run in float64.
fn at(parts: &[&[f32]], sums: &[Vec<f64>], total: f64, uniform: f64) -> u32 {
    let wanted = uniform * total;
    let (mut sum, mut first) = (0.0, 0);
    let mut last = 0;
    for (part, sums) in parts.iter().zip(sums) {
        for (block, block_sum) in part.chunks(BLOCK).zip(sums) {
            if sum + block_sum > wanted {
                for (offset, probability) in block.iter().enumerate() {
                    sum += f64::from(probability.max(0.0));
                    if *probability > 0.0 {
                        last = first + offset;
                    }
                    if sum > wanted {
                        return (first + offset) as u32;
                    }
                }
            } else {
                sum += block_sum;
                if let Some(offset) = block.iter().rposition(|probability| *probability > 0.0) {
                    last = first + offset;
                }
            }
            first += block.len();
        }
    }
    // Rounding may leave the sum short of the total: then it is the last token that can occur at all.
    last as u32
}

/// Draws labels for some rows: `[draw][row]`.
///
/// # Shapes
/// `minus_gradient`: one-hot of token 0 less the distribution, the vocabulary in parts side by side, each `[rows, part]`, as
/// [`Kernels::cross_entropy`] gives for target 0 and weight −1; `uniforms` `[draw][row]`.
///
/// # Errors
/// When the device failed.
pub fn draw<K: Kernels>(kernels: &K, minus_gradient: &[K::Matrix], uniforms: &[&[f64]]) -> Result<Vec<Vec<u32>>, ModelError> {
    let mut parts = minus_gradient.iter().map(|part| kernels.download(part)).collect::<Result<Vec<_>, _>>()?;
    let rows = minus_gradient.first().map_or(0, |part| kernels.rows(part));
    for (index, part) in parts.iter_mut().enumerate() {
        let width = part.len() / rows.max(1);
        part.par_chunks_mut(width.max(1)).for_each(|row| {
            row.iter_mut().for_each(|value| *value = -*value);
            if index == 0 {
                row[0] += 1.0;
            }
        });
    }
    let by_row: Vec<Vec<u32>> = (0..rows)
        .into_par_iter()
        .map(|row| {
            let parts: Vec<&[f32]> = parts
                .iter()
                .map(|part| {
                    let width = part.len() / rows;
                    &part[row * width..][..width]
                })
                .collect();
            let block = |block: &[f32]| block.iter().map(|probability| f64::from(probability.max(0.0))).sum::<f64>();
            let sums: Vec<Vec<f64>> = parts.iter().map(|part| part.chunks(BLOCK).map(block).collect()).collect();
            let total: f64 = sums.iter().flatten().sum();
            uniforms.iter().map(|uniforms| at(&parts, &sums, total, uniforms[row])).collect()
        })
        .collect();
    Ok((0..uniforms.len()).map(|draw| by_row.iter().map(|labels| labels[draw]).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_model::kernels::cpu::CpuKernels;

    /// One-hot of token 0 less a distribution, in parts.
    fn minus_gradient(distribution: &[f32], rows: usize, parts: &[usize]) -> Vec<<CpuKernels as Kernels>::Matrix> {
        let mut first = 0;
        parts
            .iter()
            .map(|width| {
                let row: Vec<f32> = (first..first + width)
                    .map(|token| f32::from(u8::from(token == 0)) - distribution[token])
                    .collect();
                first += width;
                CpuKernels.upload(rows, *width, row.repeat(rows))
            })
            .collect()
    }

    #[test]
    fn tokens_come_as_often_as_they_are_probable() {
        let mut distribution = vec![0.0f32; 700];
        for (token, probability) in [(0, 0.1), (3, 0.2), (299, 0.3), (300, 0.05), (699, 0.35)] {
            distribution[token] = probability;
        }
        let rows = 20_000;
        for parts in [vec![700], vec![300, 400], vec![1, 699]] {
            let uniforms = uniforms(7, "window", 1, rows);
            let given = minus_gradient(&distribution, rows, &parts);
            let labels = draw(&CpuKernels, &given, &[&uniforms[0]]).unwrap();
            for (token, probability) in distribution.iter().enumerate() {
                let found = labels[0].iter().filter(|label| **label as usize == token).count() as f32 / rows as f32;
                assert!((found - probability).abs() < 0.012, "{token}: {found} instead of {probability}");
            }
        }
    }

    #[test]
    fn a_certain_token_is_always_drawn_even_at_the_end_of_the_interval() {
        for token in [0, 5, 9] {
            let mut distribution = vec![0.0f32; 10];
            distribution[token] = 1.0;
            let edges = [0.0, 0.5, 1.0 - f64::EPSILON / 2.0];
            let labels = draw(&CpuKernels, &minus_gradient(&distribution, 3, &[10]), &[&edges]).unwrap();
            assert_eq!(labels[0], [token as u32; 3]);
        }
    }

    #[test]
    fn a_stream_depends_on_seed_window_and_draw_alone() {
        let all = uniforms(1, "a", 3, 5);
        assert_eq!(uniforms(1, "a", 1, 5)[0], all[0]);
        assert_eq!(uniforms(1, "a", 2, 9)[1][..5], all[1][..]);
        let others = [uniforms(2, "a", 1, 5), uniforms(1, "b", 1, 5), vec![all[1].clone()]];
        assert!(others.iter().all(|other| other[0] != all[0]));
    }
}
