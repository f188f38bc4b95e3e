//! Scores of low variance brought to the scale of the divergence.
//!
//! The draws give the divergence of a matrix alone without bias, `q = mean of s^2 / (2 T)`, at a relative error of `sqrt(2 / R)`: who
//! chooses the best of many by it picks its noise. Two scores have hardly any: `a`, squares of single positions added up, and `b`,
//! squares of single outputs at single positions. They leave out what positions and outputs add up to or undo: what a key gets wrong at one
//! position is undone at others, so that k_proj's ratio of `sum s^2` to `a` is a fraction of v_proj's. That ratio is smooth over layers
//! for one kind of module and one method (methods that know the inputs leave errors that cancel otherwise than rounding's), so it is
//! pooled: exp of a polynomial in depth, fitted to the logarithms. [`pooled`] stops there.
//!
//! [`estimates`] goes on with what the draws say beyond it:
//!
//! `log q[c, f] = (1 - w) log a + w log b + p(depth) + k_u u[c, method] + k_v v[c, f]`
//!
//! p and w are fitted by least squares, w within 0 and 1; u is what is left of a component in the mean over the formats of a method, v what
//! is left of a cell. Both are partly noise, and are shrunk by their reliability: the covariance between two halves of the windows over
//! the variance of the whole, which is the best linear prediction (as small-area estimation has it: Fay and Herriot, 1979). With few draws
//! the scores decide, with many the draws themselves. Nothing is tuned but by the windows given.

use crate::{Scope, ScopeSketch, Sensitivity};

use super::AllocationError;
use super::pooling::{Layout, Left, differences};

/// The divergence that each component is estimated to cause alone in each format, `[components, formats]`, in nats, from some of the
/// windows, by scores and draws together.
///
/// # Errors
/// When the scope was not sketched, or the windows hold no position of it.
pub fn estimates(sensitivity: &Sensitivity, scope: Scope, windows: &[usize]) -> Result<Vec<f64>, AllocationError> {
    let sketch = scope_of(sensitivity, scope)?;
    let held: Vec<usize> = windows.iter().copied().filter(|window| sketch.positions[*window] > 0).collect();
    let whole = Sums::of(sensitivity, scope, &held)?;
    let layout = Layout::of(&sensitivity.facts);
    let weight = layout.weight_of_second(&whole.log_squares(), &logs(&whole.positions), &logs(&whole.outputs));
    let base = |sums: &Sums| -> Vec<f64> {
        let mixed = |(a, b): (&f64, &f64)| {
            if weight > 0.0 && *b > 0.0 {
                (1.0 - weight) * a.ln() + weight * b.ln()
            } else {
                a.ln()
            }
        };
        sums.positions.iter().zip(&sums.outputs).map(mixed).collect()
    };
    let whole_base = base(&whole);
    let smooth = layout.smooth(&differences(&whole.log_squares(), &whole_base));
    // What scores and fit leave of some windows' draws.
    let left = |sums: &Sums, base: &[f64]| differences(&differences(&sums.log_squares(), base), &smooth);
    let own = Left::of(&layout, left(&whole, &whole_base));
    let mut kept = vec![0.0; whole.squares.len()];
    if held.len() > 1 {
        let of_half = |odd: usize| -> Result<Left, AllocationError> {
            let half: Vec<usize> = held.iter().copied().skip(odd).step_by(2).collect();
            let sums = Sums::of(sensitivity, scope, &half)?;
            Ok(Left::of(&layout, left(&sums, &base(&sums))))
        };
        kept = layout.shrunk(&own, &of_half(0)?, &of_half(1)?);
    }
    let positions = 2.0 * whole.count;
    let cells = whole_base.iter().zip(&smooth).zip(&kept).zip(&whole.positions);
    Ok(cells
        .map(|(((base, smooth), kept), score)| if *score > 0.0 { (base + smooth + kept).exp() / positions } else { 0.0 })
        .collect())
}

/// Any score of low variance, `[components, formats]`, brought to the scale of the divergence by the ratio pooled from draws of some
/// of the windows.
///
/// # Errors
/// As [`estimates`].
pub fn pooled(sensitivity: &Sensitivity, scope: Scope, windows: &[usize], score: &[f64]) -> Result<Vec<f64>, AllocationError> {
    let sums = Sums::of(sensitivity, scope, windows)?;
    let ratios = Layout::of(&sensitivity.facts).smooth(&differences(&sums.log_squares(), &logs(score)));
    let scaled = score.iter().zip(ratios).map(|(score, ratio)| score * ratio.exp() / (2.0 * sums.count));
    Ok(scaled.collect())
}

/// The score of single positions brought to the scale of the divergence by the pooled ratio alone.
///
/// # Errors
/// As [`estimates`].
pub fn pooled_score(sensitivity: &Sensitivity, scope: Scope, windows: &[usize]) -> Result<Vec<f64>, AllocationError> {
    let score = Sums::of(sensitivity, scope, windows)?.positions;
    pooled(sensitivity, scope, windows, &score)
}

fn logs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.ln()).collect()
}

fn scope_of(sensitivity: &Sensitivity, scope: Scope) -> Result<&ScopeSketch, AllocationError> {
    let facts = &sensitivity.facts;
    sensitivity.of(scope).ok_or_else(|| AllocationError::TooLittle {
        why: format!(
            "the sketch does not hold {scope}; it holds {}",
            facts.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
        ),
    })
}

/// What some windows say of every cell, `[components, formats]`.
struct Sums {
    /// Sum over draws of s^2.
    squares: Vec<f64>,
    /// The score of single positions.
    positions: Vec<f64>,
    /// The score of single outputs; zeros where the sketch lacks it.
    outputs: Vec<f64>,
    /// Draws that hold a position.
    draws: usize,
    /// Positions of all draws.
    count: f64,
}

impl Sums {
    fn of(sensitivity: &Sensitivity, scope: Scope, windows: &[usize]) -> Result<Self, AllocationError> {
        let (facts, sketch) = (&sensitivity.facts, scope_of(sensitivity, scope)?);
        let count: f64 = windows.iter().map(|window| f64::from(sketch.positions[*window])).sum();
        if count == 0.0 {
            return Err(AllocationError::TooLittle {
                why: format!("no window holds a position of {scope}: give traces that show it"),
            });
        }
        let (draws, cells) = (facts.draws, facts.components() * facts.formats.len());
        let mut found = Self {
            squares: vec![0.0; cells],
            positions: vec![0.0; cells],
            outputs: vec![0.0; cells],
            draws: windows.iter().filter(|window| sketch.positions[**window] > 0).count() * draws,
            count: count * draws as f64,
        };
        for window in windows {
            for draw in sketch.sketch[window * draws * cells..][..draws * cells].chunks_exact(cells) {
                found.squares.iter_mut().zip(draw).for_each(|(sum, value)| *sum += f64::from(*value).powi(2));
            }
            for (sums, scores) in [(&mut found.positions, &sketch.score), (&mut found.outputs, &sketch.outputs)] {
                let own = scores.get(window * cells..(window + 1) * cells).unwrap_or_default();
                sums.iter_mut().zip(own).for_each(|(sum, value)| *sum += f64::from(*value));
            }
        }
        Ok(found)
    }

    /// Logarithms of the squares. That of a mean of R squares of normal numbers lies 1/R below that of their variance in the mean,
    /// which is put back.
    fn log_squares(&self) -> Vec<f64> {
        self.squares.iter().map(|square| square.ln() + 1.0 / self.draws.max(1) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Errors, ModuleDimensions, SensitivityFacts, SketchedFormat};
    use cruxscope_statistics::SplitMix;

    use super::*;

    /// Near enough to a normal number.
    fn normal(random: &mut SplitMix) -> f64 {
        (0..12).map(|_| random.share()).sum::<f64>() - 6.0
    }

    /// A sketch whose true divergences are known: scores times a smooth ratio, times what a component has of its own, times what a cell
    /// has. Methods are told apart by the format's number, three of the first and two of the second.
    fn sketch(windows: usize, draws: usize, own: f64, seed: u64) -> (Sensitivity, Vec<f64>) {
        let (layers, formats) = (24, 5);
        let (components, positions) = (layers * 7, 100);
        let mut random = SplitMix::new(seed);
        let (mut score, mut outputs, mut truth) = (Vec::new(), Vec::new(), Vec::new());
        for component in 0..components {
            let (layer, module) = (component / 7, component % 7);
            let beyond = [own * normal(&mut random), own * normal(&mut random)];
            for format in 0..formats {
                let method = usize::from(format > 2);
                let a = 10f64.powi(-(format as i32 % 3)) * (0.5 * normal(&mut random)).exp();
                let smooth = 0.4 * module as f64 - 1.0 + 0.03 * layer as f64 - 0.001 * (layer * layer) as f64 - 0.8 * method as f64;
                score.push(a);
                outputs.push(a * (0.3 * normal(&mut random)).exp());
                truth.push(a * (smooth + beyond[method] + 0.3 * own * normal(&mut random)).exp());
            }
        }
        let draws_in_all = windows * draws;
        let sketch: Vec<f32> = (0..draws_in_all)
            .flat_map(|_| truth.iter().map(|truth| (truth.sqrt() * normal(&mut random)) as f32).collect::<Vec<_>>())
            .collect();
        let of_windows = |values: &[f64]| (0..windows).flat_map(|_| values.iter().map(|value| (value * draws as f64) as f32)).collect();
        let name = |format: usize| SketchedFormat {
            name: format!("f{format}"),
            treatment: Some(serde_json::json!({"method": if format > 2 { "gptq" } else { "rtn" }})),
            candidate: None,
            measured: vec![],
        };
        let found = Sensitivity {
            facts: SensitivityFacts {
                schema: crate::SENSITIVITY_SCHEMA,
                program: String::new(),
                model: String::new(),
                model_files: vec![],
                layers,
                modules: vec![ModuleDimensions { outputs: 8, inputs: 8 }; 7],
                weights: vec![],
                data: vec![],
                windows: (0..windows).map(|window| window.to_string()).collect(),
                draws,
                seed: 0,
                scopes: vec![Scope::All],
                formats: (0..formats).map(name).collect(),
                devices: vec![],
                settings: Default::default(),
            },
            scopes: vec![ScopeSketch {
                sketch,
                score: of_windows(&score),
                outputs: of_windows(&outputs),
                positions: vec![positions; windows],
            }],
            bits: vec![64.0; components * formats],
            errors: Errors {
                weight: vec![1.0; components * formats],
                input: vec![1.0; components * formats],
                ..Errors::default()
            },
        };
        found.check().unwrap();
        (found, truth.into_iter().map(|truth| truth / (2.0 * f64::from(positions))).collect())
    }

    /// Root of the mean square of log(found / truth).
    fn error(found: &[f64], truth: &[f64]) -> f64 {
        let squares = found.iter().zip(truth).map(|(found, truth)| (found / truth).ln().powi(2));
        (squares.sum::<f64>() / truth.len() as f64).sqrt()
    }

    #[test]
    fn estimates_are_nearer_to_the_truth_than_scores_or_draws_alone() {
        for (draws, own) in [(4, 0.0), (4, 0.2), (8, 0.2), (24, 0.2), (24, 0.6), (200, 0.3)] {
            let (sketch, truth) = sketch(8, draws, own, 7);
            let all: Vec<usize> = (0..8).collect();
            let alone: Vec<Vec<f64>> = (0..5).map(|format| sketch.alone(Scope::All, format).unwrap()).collect();
            let direct: Vec<f64> = (0..truth.len()).map(|cell| alone[cell % 5][cell / 5]).collect();
            let pooled = error(&pooled_score(&sketch, Scope::All, &all).unwrap(), &truth);
            let direct = error(&direct, &truth);
            let found = error(&estimates(&sketch, Scope::All, &all).unwrap(), &truth);
            println!("{draws} draws a window, components differ by {own}: estimates off by {found:.3}, pooled {pooled:.3}, draws alone {direct:.3}");
            // What fitting a weight and two reliabilities costs where there is nothing to find: 2.6 % with four draws a window.
            assert!(found < 1.05 * pooled.min(direct), "{draws} {own}: {found}, {pooled}, {direct}");
            if own > 0.0 && draws < 200 {
                assert!(found < 0.95 * pooled.min(direct), "{draws} {own}: {found}, {pooled}, {direct}");
            }
        }
    }

    #[test]
    fn methods_have_ratios_of_their_own() {
        // The second method's errors cancel: its ratio is exp(-0.8) of the first's.
        let (sketch, truth) = sketch(8, 24, 0.0, 3);
        let all: Vec<usize> = (0..8).collect();
        let found = pooled_score(&sketch, Scope::All, &all).unwrap();
        assert!(error(&found, &truth) < 0.06, "{}", error(&found, &truth));
        let as_one = Layout {
            layers: 24,
            methods: vec![0; 5],
        };
        let sums = Sums::of(&sketch, Scope::All, &all).unwrap();
        let ratios = as_one.smooth(&differences(&sums.log_squares(), &logs(&sums.positions)));
        let wrong: Vec<f64> = sums
            .positions
            .iter()
            .zip(ratios)
            .map(|(a, ratio)| a * ratio.exp() / (2.0 * sums.count))
            .collect();
        assert!(error(&wrong, &truth) > 0.3);
    }

    #[test]
    fn few_windows_layers_and_empty_cells_are_no_trouble() {
        let (mut sketch, _) = sketch(2, 3, 0.2, 5);
        let cells = 24 * 7 * 5;
        // A format that leaves a matrix as it is costs nothing, and one position lies where no scope is.
        for draw in sketch.scopes[0].sketch.chunks_exact_mut(cells) {
            draw[..10].fill(0.0);
        }
        for scores in [0, cells] {
            sketch.scopes[0].score[scores..scores + 10].fill(0.0);
            sketch.scopes[0].outputs[scores..scores + 10].fill(0.0);
        }
        for windows in [vec![0, 1], vec![1]] {
            let found = estimates(&sketch, Scope::All, &windows).unwrap();
            assert!(found[..10].iter().all(|value| *value == 0.0));
            assert!(found[10..].iter().all(|value| value.is_finite() && *value > 0.0));
        }
        sketch.scopes[0].outputs.clear();
        assert!(estimates(&sketch, Scope::All, &[0, 1]).unwrap().iter().all(|value| value.is_finite()));
        sketch.scopes[0].positions[1] = 0;
        assert!(estimates(&sketch, Scope::All, &[1]).is_err());
        assert!(estimates(&sketch, Scope::Behaviour(crate::Behaviour::Backtracking), &[0]).is_err());
        let one = Layout {
            layers: 1,
            methods: vec![0, 0],
        };
        assert!(one.smooth(&[0.5; 14]).iter().all(|value| (value - 0.5).abs() < 1e-5));
        assert_eq!(one.smooth(&[f64::NEG_INFINITY; 14]), vec![0.0; 14]);
    }
}
