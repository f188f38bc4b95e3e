//! A made-up sketch of the made-up study's model, and a trial of some recipes over it.

use cruxscope_statistics::SplitMix;

use super::study;
use crate::{
    Behaviour, Component, Errors, FileDigest, MeasuredDivergence, Scope, ScopeSketch, Sensitivity, SensitivityFacts, SketchedFormat, Trial, TrialRow,
    WindowLoss,
};

/// Columns that share a scale.
const GROUP: usize = 64;
const POSITIONS: u32 = 100;

/// Of every position and of the three behaviours that the study holds, over formats of 3, 4, 5 and 8 bits.
pub fn sensitivity(layers: usize) -> Sensitivity {
    sketched(layers, &[3, 4, 5, 8], 8, 4)
}

/// The same over formats of so many bits, windows and draws of each.
pub fn sketched(layers: usize, menu: &[u32], windows: usize, draws: usize) -> Sensitivity {
    let model = study(layers).manifest.model;
    let mut random = SplitMix::new(11);
    // Near enough to a normal number.
    let mut normal = || (0..12).map(|_| random.share()).sum::<f64>() - 6.0;
    let components: Vec<Component> = Component::all(layers).collect();
    let scopes = [
        Scope::All,
        Scope::Behaviour(Behaviour::Backtracking),
        Scope::Behaviour(Behaviour::UncertaintyEstimation),
        Scope::Behaviour(Behaviour::ExampleTesting),
    ];
    let sketches = scopes.iter().enumerate().map(|(place, scope)| {
        let positions = if *scope == Scope::All { POSITIONS } else { POSITIONS / 10 };
        let number = components.len() as f64;
        let kl = |component: &Component, bits: u32| {
            let depth = (component.layer.0 + 1) as f64 / layers as f64;
            let own = 1.0 + 3.0 * ((component.index() * 7 + place * 5) % 11) as f64 / 11.0;
            0.6 / number * own * (0.5 + depth * depth) * 0.25f64.powi(bits as i32 - 3)
        };
        let row = |component: &Component| menu.iter().map(|bits| kl(component, *bits)).collect::<Vec<f64>>();
        let cells: Vec<f64> = components.iter().flat_map(row).collect();
        let squares = 2.0 * f64::from(positions);
        ScopeSketch {
            // Signs of a component's errors go together in every format.
            sketch: (0..windows * draws)
                .flat_map(|_| {
                    let signs: Vec<f64> = components.iter().map(|_| normal()).collect();
                    let of = |(cell, kl): (usize, &f64)| ((squares * kl).sqrt() * signs[cell / menu.len()]) as f32;
                    cells.iter().enumerate().map(of).collect::<Vec<f32>>()
                })
                .collect(),
            score: (0..windows).flat_map(|_| cells.iter().map(|kl| (squares * kl * draws as f64) as f32)).collect(),
            outputs: (0..windows)
                .flat_map(|_| cells.iter().map(|kl| (squares * kl * draws as f64 * 1.5) as f32))
                .collect(),
            positions: vec![positions; windows],
        }
    });
    let scopes_of = sketches.collect();
    let format = |bits: u32| SketchedFormat {
        name: format!("rtn-{bits}-g{GROUP}"),
        treatment: Some(serde_json::json!({"method": "rtn", "grid": "gptq_asym", "bits": bits, "group_size": GROUP, "clipping": "none"})),
        candidate: None,
        measured: if bits == 4 {
            vec![MeasuredDivergence {
                scope: Scope::All,
                kl: 0.3,
                positions: windows * POSITIONS as usize,
            }]
        } else {
            vec![]
        },
    };
    let weights = |component: &Component| {
        let module = model.modules[component.module.index()];
        (module.outputs as f64, module.inputs as f64)
    };
    let bits: Vec<f64> = components
        .iter()
        .flat_map(|component| {
            let (outputs, inputs) = weights(component);
            let stored = move |bits: &u32| outputs * (inputs * f64::from(*bits) + (inputs / GROUP as f64).ceil() * 32.0);
            menu.iter().map(stored).collect::<Vec<f64>>()
        })
        .collect();
    let errors: Vec<f64> = (0..bits.len()).map(|cell| 0.25f64.powi((cell % menu.len()) as i32)).collect();
    Sensitivity {
        facts: SensitivityFacts {
            schema: crate::SENSITIVITY_SCHEMA,
            program: "cruxscope 0.2.0".into(),
            model: model.name.clone(),
            model_files: model.files.clone(),
            layers,
            modules: model.modules.clone(),
            weights: vec![],
            data: vec![],
            windows: (0..windows).map(|window| format!("{window:05}")).collect(),
            draws,
            seed: 1,
            scopes: scopes.to_vec(),
            formats: menu.iter().copied().map(format).collect(),
            devices: vec!["cpu float32".into()],
            settings: Default::default(),
        },
        scopes: scopes_of,
        bits,
        errors: Errors {
            weight: errors.clone(),
            input: errors,
            ..Errors::default()
        },
    }
}

/// A chosen recipe beside a uniform one, a random one and one of another rule.
pub fn trial() -> Trial {
    let row = |name: &str, rule: &str, bits_per_weight: f64, kl: f64, predicted_kl| TrialRow {
        name: name.into(),
        group: "4.5".into(),
        rule: rule.into(),
        bits_per_weight,
        predicted_kl,
        key: String::new(),
        accuracy: Vec::new(),
        windows: (0..4)
            .map(|window| WindowLoss {
                kl: 50.0 * kl * (0.8 + 0.1 * f64::from(window)),
                loss: 120.0,
                predictions: 50,
            })
            .collect(),
    };
    Trial {
        schema: crate::TRIAL_SCHEMA,
        program: "cruxscope 0.2.0".into(),
        model: "Sample-135M".into(),
        model_files: study(1).manifest.model.files,
        data: FileDigest {
            name: "held-out.txt".into(),
            ..FileDigest::default()
        },
        original: row("", "", 16.0, 0.0, None).windows,
        rows: vec![
            row("recipe", "recipe", 4.9, 0.22, Some(0.17)),
            row("uniform rtn-4-g64", "uniform", 5.0, 0.31, Some(0.3)),
            row("random permutation 1", "random", 4.9, 0.45, Some(0.4)),
            row("weight error", "weight error", 4.9, 0.35, Some(0.33)),
        ],
    }
}
