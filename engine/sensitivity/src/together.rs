//! Sketches of the same windows and menu with other labels, put together into one of more draws.

use cruxscope_study::{ScopeSketch, Sensitivity, SensitivityFacts};

/// One sketch with the draws of all; nothing where they are of other windows, menus or scopes, or there is none. Scores add up; what
/// does not hang on labels is the first one's.
pub fn together(sketches: &[Sensitivity]) -> Option<Sensitivity> {
    let first = sketches.first()?;
    let names = |facts: &SensitivityFacts| facts.formats.iter().map(|format| format.name.clone()).collect::<Vec<_>>();
    let alike = |other: &Sensitivity| {
        let (own, facts) = (&first.facts, &other.facts);
        let positions = || first.scopes.iter().zip(&other.scopes).all(|(own, other)| own.positions == other.positions);
        own.windows == facts.windows
            && own.scopes == facts.scopes
            && own.layers == facts.layers
            && own.model_files == facts.model_files
            && own.data == facts.data
            && names(own) == names(facts)
            && positions()
    };
    if !sketches.iter().all(alike) {
        return None;
    }
    let row = first.facts.components() * first.facts.formats.len();
    let scope = |place: usize| {
        let own = || sketches.iter().map(move |sketch| (&sketch.scopes[place], sketch.facts.draws));
        let windows = 0..first.facts.windows.len();
        let sum = |of: fn(&ScopeSketch) -> &Vec<f32>| -> Vec<f32> {
            // Where one lacks it, none of the whole can be told.
            if own().any(|(scope, _)| of(scope).is_empty()) {
                return Vec::new();
            }
            let cells = 0..of(&first.scopes[place]).len();
            cells
                .map(|cell| own().map(|(scope, _)| f64::from(of(scope)[cell])).sum::<f64>() as f32)
                .collect()
        };
        ScopeSketch {
            sketch: windows
                .flat_map(|window| own().flat_map(move |(scope, draws)| scope.sketch[window * draws * row..(window + 1) * draws * row].iter().copied()))
                .collect(),
            score: sum(|scope| &scope.score),
            outputs: sum(|scope| &scope.outputs),
            positions: first.scopes[place].positions.clone(),
        }
    };
    Some(Sensitivity {
        facts: SensitivityFacts {
            draws: sketches.iter().map(|sketch| sketch.facts.draws).sum(),
            ..first.facts.clone()
        },
        scopes: (0..first.scopes.len()).map(scope).collect(),
        bits: first.bits.clone(),
        errors: first.errors.clone(),
    })
}

#[cfg(test)]
mod tests {
    use cruxscope_statistics::{Bootstrap, SplitMix};
    use cruxscope_study::{Errors, ModuleDimensions, Scope, SketchedFormat};

    use super::*;

    fn sketch(draws: usize, seed: u64) -> Sensitivity {
        let mut random = SplitMix::new(seed);
        let mut numbers = |count: usize| (0..count).map(|_| random.share() as f32).collect::<Vec<f32>>();
        let (windows, cells) = (3, 14);
        Sensitivity {
            facts: SensitivityFacts {
                schema: cruxscope_study::SENSITIVITY_SCHEMA,
                program: String::new(),
                model: String::new(),
                model_files: vec![],
                layers: 1,
                modules: vec![ModuleDimensions { outputs: 2, inputs: 2 }; 7],
                weights: vec![],
                data: vec![],
                windows: (0..windows).map(|window| window.to_string()).collect(),
                draws,
                seed,
                scopes: vec![Scope::All],
                formats: ["a", "b"]
                    .map(|name| SketchedFormat {
                        name: name.into(),
                        treatment: None,
                        candidate: None,
                        measured: vec![],
                    })
                    .to_vec(),
                devices: vec![],
                settings: Default::default(),
            },
            scopes: vec![ScopeSketch {
                sketch: numbers(windows * draws * cells),
                score: numbers(windows * cells),
                outputs: numbers(windows * cells),
                positions: vec![5, 6, 7],
            }],
            bits: vec![8.0; cells],
            errors: Errors {
                weight: vec![1.0; cells],
                input: vec![1.0; cells],
                ..Errors::default()
            },
        }
    }

    #[test]
    fn draws_stand_side_by_side_and_count_alike() {
        let (first, second) = (sketch(2, 1), sketch(4, 2));
        let whole = together(&[first.clone(), second.clone()]).unwrap();
        whole.check().unwrap();
        assert_eq!(whole.facts.draws, 6);
        let recipe = [Some(0), Some(1), None, Some(0), Some(1), Some(1), Some(0)];
        let squares = |sketch: &Sensitivity| sketch.window_squares(Scope::All, &recipe).unwrap();
        for ((whole, first), second) in squares(&whole).iter().zip(squares(&first)).zip(squares(&second)) {
            assert!((whole.0 - first.0 - second.0).abs() < 1e-9 && whole.1 == first.1 + second.1);
        }
        assert!(whole.cost(Scope::All, &recipe, Bootstrap::default()).is_some());
        assert_eq!(whole.scopes[0].score[3], first.scopes[0].score[3] + second.scopes[0].score[3]);
        assert_eq!(together(std::slice::from_ref(&first)), Some(first.clone()));
        let mut other = second;
        other.facts.windows[0] = "another".into();
        assert_eq!(together(&[first, other]), None);
        assert_eq!(together(&[]), None);
    }
}
