//! AdamW, and how its rate rises and falls.

use pulp::Arch;

/// How the rate of learning goes.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The highest rate.
    pub rate: f64,
    /// Steps over which the rate rises.
    pub warm_up: usize,
    /// The share of the training at whose end the rate falls.
    pub fall: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            rate: 3e-3,
            warm_up: 100,
            fall: 0.4,
        }
    }
}

impl Schedule {
    /// The rate at a step, when such a share of the training is done.
    pub fn at(&self, step: usize, done: f64) -> f64 {
        let rise = (step as f64 / self.warm_up as f64).min(1.0);
        self.rate * rise * ((1.0 - done) / self.fall).clamp(0.03, 1.0)
    }
}

/// The state of AdamW.
#[derive(Clone, Debug)]
pub struct Optimiser {
    /// Running means of the gradients.
    pub means: Vec<f32>,
    /// Running means of their squares.
    pub squares: Vec<f32>,
    /// Steps taken.
    pub steps: usize,
}

const BETAS: [f64; 2] = [0.9, 0.95];
const DECAY: f64 = 0.05;
const LONGEST: f64 = 1.0;

impl Optimiser {
    /// The state before the first step.
    pub fn new(parameters: usize) -> Self {
        Self {
            means: vec![0.0; parameters],
            squares: vec![0.0; parameters],
            steps: 0,
        }
    }

    /// One step; a gradient longer than one is shortened to it. Gives the length it had.
    pub fn step(&mut self, weights: &mut [f32], slopes: &[f32], rate: f64) -> f64 {
        self.steps += 1;
        let length = slopes.iter().map(|slope| f64::from(slope * slope)).sum::<f64>().sqrt();
        let shorten = (LONGEST / (length + 1e-6)).min(1.0) as f32;
        let power = self.steps as i32;
        let stride = (rate / (1.0 - BETAS[0].powi(power))) as f32;
        let spread = (1.0 / (1.0 - BETAS[1].powi(power)).sqrt()) as f32;
        let keep = (1.0 - rate * DECAY) as f32;
        let (first, second) = (BETAS[0] as f32, BETAS[1] as f32);
        let (means, squares) = (&mut self.means, &mut self.squares);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let state = means.iter_mut().zip(squares.iter_mut());
                for ((weight, slope), (mean, square)) in weights.iter_mut().zip(slopes).zip(state) {
                    let slope = slope * shorten;
                    *mean = *mean * first + slope * (1.0 - first);
                    *square = *square * second + slope * slope * (1.0 - second);
                    *weight = *weight * keep - stride * *mean / (square.sqrt() * spread + 1e-8);
                }
            },
        );
        length
    }
}
