//! What a recipe costs, out of a sensitivity sketch: fast enough to follow a slider in a browser.
//!
//! `KL(z) = sum over r of (sum over c of s[r, c, z_c])^2 / (2 sum over r of T_r)`, r over draws, T_r the positions of draw r.
//! Errors of components that cancel or add up are in it. Good to second order: up to about [`TRUSTED_KL`] nats.

use cruxscope_statistics::Bootstrap;

use crate::{Scope, ScopeSketch, Sensitivity};

/// The predicted divergence beyond which the second order underestimates, in nats.
pub const TRUSTED_KL: f64 = 0.5;
/// Bits of a weight that is left as it is: checkpoints are stored in 16-bit numbers.
pub const UNCHANGED_BITS: f64 = 16.0;

/// What a recipe is predicted to cost, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecipeCost {
    /// Predicted mean divergence of Kullback and Leibler, in nats.
    pub kl: f64,
    /// Its interval by a bootstrap over windows; none with fewer than two windows.
    pub interval: Option<(f64, f64)>,
    /// Stored bits of all components, scales and zeros included.
    pub bits: f64,
    /// The same for each weight.
    pub bits_per_weight: f64,
    /// Whether the prediction lies beyond the range in which the second order holds.
    pub is_beyond_trust: bool,
}

impl Sensitivity {
    /// What a recipe costs: for every component the position of its format in the menu, or none where it is left as it is.
    /// `None` if the scope was not sketched, holds no position, or the recipe has another number of components or an unknown format.
    pub fn cost(&self, scope: Scope, recipe: &[Option<usize>], bootstrap: Bootstrap) -> Option<RecipeCost> {
        let sketch = self.of(scope)?;
        let (bits, weights) = self.size(recipe)?;
        let windows = self.squares(sketch, recipe);
        let all: Vec<usize> = (0..windows.len()).collect();
        let kl = mean_kl(&windows, &all)?;
        let interval = bootstrap.interval(windows.len(), |times| {
            let (mut squares, mut positions) = (0.0, 0.0);
            for ((square, count), times) in windows.iter().zip(times) {
                squares += times * square;
                positions += times * count;
            }
            (positions > 0.0).then(|| squares / (2.0 * positions))
        });
        Some(RecipeCost {
            kl,
            interval,
            bits,
            bits_per_weight: bits / weights,
            is_beyond_trust: kl > TRUSTED_KL,
        })
    }

    /// The predicted divergence over some of the windows only, such as those that did not choose the recipe.
    pub fn predicted_kl(&self, scope: Scope, recipe: &[Option<usize>], windows: &[usize]) -> Option<f64> {
        self.size(recipe)?;
        mean_kl(&self.squares(self.of(scope)?, recipe), windows)
    }

    /// For each window: the sum over its draws of S_r^2, and of their positions, so that a divergence over any of them is
    /// `sum of the first / (2 sum of the second)`. `None` as for [`Self::cost`].
    pub fn window_squares(&self, scope: Scope, recipe: &[Option<usize>]) -> Option<Vec<(f64, f64)>> {
        self.size(recipe)?;
        Some(self.squares(self.of(scope)?, recipe))
    }

    /// Stored bits of a component in a format of the menu, or as it is.
    ///
    /// # Panics
    /// When the sketch has no such component or format.
    pub fn bits_of(&self, component: usize, format: Option<usize>) -> f64 {
        let formats = self.facts.formats.len();
        format.map_or_else(
            || UNCHANGED_BITS * self.facts.weights_of(component),
            |format| self.bits[component * formats + format],
        )
    }

    /// Stored bits of all components, and their weights. `None` if the recipe does not fit the menu.
    pub fn size(&self, recipe: &[Option<usize>]) -> Option<(f64, f64)> {
        let formats = self.facts.formats.len();
        if recipe.len() != self.facts.components() || recipe.iter().flatten().any(|format| *format >= formats) {
            return None;
        }
        let (mut bits, mut weights) = (0.0, 0.0);
        for (component, format) in recipe.iter().enumerate() {
            let own = self.facts.weights_of(component);
            weights += own;
            bits += self.bits_of(component, *format);
        }
        (weights > 0.0).then_some((bits, weights))
    }

    /// Where the predicted divergence comes from, component by component: `mean over r of s[r, c, z_c] S_r / (2 T)` with
    /// `S_r = sum over c of s[r, c, z_c]`. Adds up to the prediction for the whole; a component that makes up for others' errors
    /// is negative. `None` as for [`Self::cost`].
    pub fn shares(&self, scope: Scope, recipe: &[Option<usize>]) -> Option<Vec<f64>> {
        self.size(recipe)?;
        let sketch = self.of(scope)?;
        let positions = self.facts.draws as f64 * sketch.positions.iter().map(|count| f64::from(*count)).sum::<f64>();
        if positions == 0.0 {
            return None;
        }
        let places = self.places(recipe);
        let mut shares = vec![0.0; recipe.len()];
        for draw in sketch.sketch.chunks_exact(self.row()) {
            let total: f64 = places.iter().map(|(_, place)| f64::from(draw[*place])).sum();
            for (component, place) in &places {
                shares[*component] += f64::from(draw[*place]) * total / (2.0 * positions);
            }
        }
        Some(shares)
    }

    /// The divergence that each component is predicted to cause alone, in one format: `[components]`. `None` as for [`Self::cost`].
    pub fn alone(&self, scope: Scope, format: usize) -> Option<Vec<f64>> {
        let sketch = self.of(scope)?;
        let (components, formats) = (self.facts.components(), self.facts.formats.len());
        let positions = self.facts.draws as f64 * sketch.positions.iter().map(|count| f64::from(*count)).sum::<f64>();
        if positions == 0.0 || format >= formats {
            return None;
        }
        let mut alone = vec![0.0; components];
        for draw in sketch.sketch.chunks_exact(self.row()) {
            for (component, sum) in alone.iter_mut().enumerate() {
                *sum += f64::from(draw[component * formats + format]).powi(2) / (2.0 * positions);
            }
        }
        Some(alone)
    }

    /// Values of a draw.
    fn row(&self) -> usize {
        (self.facts.components() * self.facts.formats.len()).max(1)
    }

    /// Where the values of a recipe stand in a draw, with their components.
    fn places(&self, recipe: &[Option<usize>]) -> Vec<(usize, usize)> {
        let formats = self.facts.formats.len();
        let chosen = recipe.iter().enumerate();
        chosen
            .filter_map(|(component, format)| Some((component, component * formats + (*format)?)))
            .collect()
    }

    fn squares(&self, sketch: &ScopeSketch, recipe: &[Option<usize>]) -> Vec<(f64, f64)> {
        let places = self.places(recipe);
        let draws = self.facts.draws;
        let windows = sketch.sketch.chunks_exact(self.row() * draws).zip(&sketch.positions);
        windows
            .map(|(window, positions)| {
                let squares = window.chunks_exact(self.row()).map(|draw| {
                    let sum: f64 = places.iter().map(|(_, place)| f64::from(draw[*place])).sum();
                    sum * sum
                });
                (squares.sum(), draws as f64 * f64::from(*positions))
            })
            .collect()
    }
}

/// The mean over some windows; none where they hold no position.
fn mean_kl(windows: &[(f64, f64)], chosen: &[usize]) -> Option<f64> {
    let chosen = || chosen.iter().filter_map(|window| windows.get(*window));
    let positions: f64 = chosen().map(|(_, positions)| positions).sum();
    let squares: f64 = chosen().map(|(squares, _)| squares).sum();
    (positions > 0.0).then(|| squares / (2.0 * positions))
}

#[cfg(test)]
mod tests {
    use cruxscope_statistics::SplitMix;

    use super::*;
    use crate::{Digest, Errors, FileDigest, Manifest, ModelEntry, ModuleDimensions, SensitivityFacts, SketchedFormat, StudyError};

    /// A sketch of random numbers.
    fn sketch(layers: usize, formats: usize, windows: usize, draws: usize) -> Sensitivity {
        let mut random = SplitMix::new(5);
        let components = layers * 7;
        let facts = SensitivityFacts {
            schema: crate::SENSITIVITY_SCHEMA,
            program: "cruxscope".into(),
            model: "m".into(),
            model_files: vec![FileDigest {
                name: "model.safetensors".into(),
                bytes: 1,
                sha256: Digest::of(b"m"),
            }],
            layers,
            modules: vec![ModuleDimensions { outputs: 8, inputs: 4 }; 7],
            weights: vec![],
            data: vec![],
            windows: (0..windows).map(|window| format!("{window:05}")).collect(),
            draws,
            seed: 1,
            scopes: vec![Scope::All, Scope::Behaviour(crate::Behaviour::Backtracking)],
            formats: (0..formats)
                .map(|format| SketchedFormat {
                    name: format!("f{format}"),
                    treatment: None,
                    candidate: None,
                    measured: vec![],
                })
                .collect(),
            devices: vec![],
            settings: Default::default(),
        };
        let mut numbers = |count: usize| (0..count).map(|_| random.share() as f32 - 0.5).collect::<Vec<f32>>();
        let cell = components * formats;
        let scopes = (0..2)
            .map(|scope| ScopeSketch {
                sketch: numbers(windows * draws * cell),
                score: numbers(windows * cell).into_iter().map(f32::abs).collect(),
                outputs: numbers(windows * cell).into_iter().map(f32::abs).collect(),
                positions: vec![if scope == 0 { 40 } else { 3 }; windows],
            })
            .collect();
        Sensitivity {
            facts,
            scopes,
            bits: (0..cell).map(|place| 32.0 * (2.0 + (place % formats) as f64)).collect(),
            errors: Errors {
                weight: vec![0.5; cell],
                input: vec![0.25; cell],
                gradient: vec![0.125; cell],
                first_order: vec![0.0625; cell],
            },
        }
    }

    #[test]
    fn a_cost_is_that_of_plain_loops_and_its_shares_add_up() {
        let sketch = sketch(2, 3, 4, 2);
        let recipe: Vec<Option<usize>> = (0..14).map(|component| Some(component % 4).filter(|format| *format < 3)).collect();
        for (scope, positions) in [(Scope::All, 40.0), (Scope::Behaviour(crate::Behaviour::Backtracking), 3.0)] {
            let own = sketch.of(scope).unwrap();
            let mut expected = 0.0;
            for draw in 0..8 {
                let mut sum = 0.0;
                for (component, format) in recipe.iter().enumerate() {
                    if let Some(format) = format {
                        sum += f64::from(own.sketch[(draw * 14 + component) * 3 + format]);
                    }
                }
                expected += sum * sum / 8.0 / (2.0 * positions);
            }
            let cost = sketch.cost(scope, &recipe, Bootstrap::default()).unwrap();
            assert!((cost.kl / expected - 1.0).abs() < 1e-12, "{} {expected}", cost.kl);
            let (low, high) = cost.interval.unwrap();
            assert!(low <= cost.kl && cost.kl <= high);
            let shares = sketch.shares(scope, &recipe).unwrap();
            assert!((shares.iter().sum::<f64>() / expected - 1.0).abs() < 1e-12);
            assert!(recipe.iter().zip(&shares).all(|(format, share)| format.is_some() || *share == 0.0));
        }
        let unchanged = sketch.cost(Scope::All, &[None; 14], Bootstrap::default()).unwrap();
        assert_eq!((unchanged.kl, unchanged.bits_per_weight), (0.0, UNCHANGED_BITS));
        assert_eq!(sketch.cost(Scope::All, &[Some(3); 14], Bootstrap::default()), None);
        assert_eq!(sketch.cost(Scope::All, &[Some(0); 13], Bootstrap::default()), None);
        let halves: Vec<f64> = [vec![0, 1], vec![2, 3]]
            .iter()
            .map(|half| sketch.predicted_kl(Scope::All, &recipe, half).unwrap())
            .collect();
        let whole = sketch.cost(Scope::All, &recipe, Bootstrap::default()).unwrap().kl;
        assert!((halves.iter().sum::<f64>() / 2.0 - whole).abs() < 1e-12, "windows of one length count alike");
        let alone = sketch.alone(Scope::All, 1).unwrap();
        let only: Vec<Option<usize>> = (0..14).map(|component| (component == 5).then_some(1)).collect();
        assert!((alone[5] / sketch.predicted_kl(Scope::All, &only, &[0, 1, 2, 3]).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_sketch_of_a_large_model_costs_less_than_a_frame() {
        // 8B: 32 layers, 8 formats, 48 windows of 4 draws.
        let sketch = sketch(32, 8, 48, 4);
        let recipe: Vec<Option<usize>> = (0..224).map(|component| Some(component % 8)).collect();
        let best = (0..20)
            .map(|_| {
                let began = std::time::Instant::now();
                assert!(sketch.cost(Scope::All, &recipe, Bootstrap::default()).is_some());
                began.elapsed()
            })
            .min()
            .unwrap();
        println!("a recipe costs {best:?} to evaluate, interval included");
        if !cfg!(debug_assertions) {
            assert!(best.as_secs_f64() < 1e-3, "{best:?}");
        }
    }

    #[test]
    fn a_file_reads_back_and_is_checked() {
        let sketch = sketch(2, 3, 4, 2);
        let bytes = sketch.to_bytes().unwrap();
        assert_eq!(Sensitivity::from_bytes(&bytes).unwrap(), sketch);
        assert_eq!(sketch.to_bytes().unwrap(), bytes);
        assert!(Sensitivity::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        let mut earlier = sketch.clone();
        earlier.scopes.iter_mut().for_each(|scope| scope.outputs.clear());
        earlier.errors.first_order.clear();
        assert_eq!(
            Sensitivity::from_bytes(&earlier.to_bytes().unwrap()).unwrap(),
            earlier,
            "arrays of later programs may be absent"
        );
        assert!(Sensitivity::from_bytes(b"").is_err());

        let refused = |spoil: fn(&mut Sensitivity)| {
            let mut spoilt = sketch.clone();
            spoil(&mut spoilt);
            spoilt.to_bytes().unwrap_err().to_string()
        };
        assert!(refused(|sketch| sketch.scopes[1].sketch[3] = f32::NAN).contains("sketch/backtracking"));
        assert!(refused(|sketch| sketch.scopes[0].score[3] = -1.0).contains("score/all"));
        assert!(refused(|sketch| sketch.scopes[1].outputs.truncate(3)).contains("outputs/backtracking"));
        assert!(refused(|sketch| sketch.errors.first_order[0] = -1.0).contains("error/first_order"));
        assert!(refused(|sketch| sketch.bits.truncate(3)).contains("bits"));
        assert!(refused(|sketch| sketch.facts.formats[1].name = "f0".into()).contains("twice"));
        assert!(refused(|sketch| sketch.facts.scopes.reverse()).contains("every position"));
        assert!(refused(|sketch| sketch.facts.windows.clear()).contains("no window"));

        let mut later = sketch.clone();
        later.facts.schema = crate::SENSITIVITY_SCHEMA + 1;
        let newer = Sensitivity::from_bytes(&later.to_bytes().unwrap()).unwrap_err();
        assert!(matches!(newer, StudyError::NewerSchema { .. }), "{newer}");
    }

    #[test]
    fn a_sketch_belongs_to_one_model() {
        let sketch = sketch(2, 3, 4, 2);
        let model = ModelEntry {
            layers: 2,
            modules: sketch.facts.modules.clone(),
            files: sketch.facts.model_files.clone(),
            ..ModelEntry::default()
        };
        let manifest = |model: ModelEntry| Manifest { model, ..Manifest::default() };
        assert!(sketch.fits(&manifest(model.clone())).is_ok());
        let other_files = ModelEntry {
            files: vec![FileDigest::default()],
            ..model.clone()
        };
        assert!(sketch.fits(&manifest(other_files)).is_err());
        assert!(sketch.fits(&manifest(ModelEntry { layers: 3, ..model })).is_err());
    }
}
