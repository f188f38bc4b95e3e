//! Recipes in other tools' words: every matrix is named once, by its own format, and what a tool does not know is refused.

#![allow(clippy::unwrap_used)] // helpers of tests, outside their functions

use cruxscope_compress::recipe::Recipe;
use cruxscope_sensitivity::export::{Exported, Tool, export};
use cruxscope_sensitivity::menu::{read_menu, stored_bits};
use cruxscope_sensitivity::recipe::{RecipeFile, UNCHANGED};
use cruxscope_statistics::{Bootstrap, SplitMix};
use cruxscope_study::{CandidateEntry, Component, Errors, ModuleDimensions, Scope, ScopeSketch, Sensitivity, SensitivityFacts, SketchedFormat};
use serde_json::Value;

const LAYERS: usize = 12;

/// A sketch of random numbers over a menu, and over a candidate where `types` are given.
fn sketch(menu: &str, types: Option<&[&str]>) -> Sensitivity {
    let menu = if menu.is_empty() { Vec::new() } else { read_menu(menu).unwrap() };
    let components = LAYERS * 7;
    let mut formats: Vec<SketchedFormat> = menu
        .iter()
        .map(|format| SketchedFormat {
            name: format.name.clone(),
            treatment: Some(serde_json::to_value(&format.treatment).unwrap()),
            candidate: None,
            measured: vec![],
        })
        .collect();
    formats.extend(types.map(|types| SketchedFormat {
        name: "model-Q4_K_M".into(),
        treatment: None,
        candidate: Some(CandidateEntry {
            files: vec![],
            types: (0..components).map(|component| types[component % types.len()].to_owned()).collect(),
        }),
        measured: vec![],
    }));
    let mut random = SplitMix::new(1);
    let cells = components * formats.len();
    let mut numbers = |count: usize| (0..count).map(|_| random.share() as f32).collect::<Vec<f32>>();
    let scopes = vec![ScopeSketch {
        sketch: numbers(4 * cells),
        score: numbers(2 * cells),
        outputs: numbers(2 * cells),
        positions: vec![10; 2],
    }];
    let bits = (0..components).flat_map(|_| {
        menu.iter()
            .map(|format| stored_bits(&format.treatment, 64, 128))
            .chain(types.map(|_| 4.5 * 8192.0))
    });
    let found = Sensitivity {
        bits: bits.collect(),
        facts: SensitivityFacts {
            schema: 1,
            program: "cruxscope".into(),
            model: "m".into(),
            model_files: vec![],
            layers: LAYERS,
            modules: vec![ModuleDimensions { outputs: 64, inputs: 128 }; 7],
            weights: vec![],
            data: vec![],
            windows: vec!["a".into(), "b".into()],
            draws: 2,
            seed: 0,
            scopes: vec![Scope::All],
            formats,
            devices: vec![],
            settings: Default::default(),
        },
        scopes,
        errors: Errors {
            weight: vec![0.0; cells],
            input: vec![0.0; cells],
            ..Errors::default()
        },
    };
    found.check().unwrap();
    found
}

/// Every component with one of the formats in turn; the last of `count` stands for unchanged where `unchanged`.
fn choice(count: usize, unchanged: bool) -> Vec<Option<usize>> {
    (0..LAYERS * 7)
        .map(|component| Some((component * 5 + component / 7) % count).filter(|format| !unchanged || *format + 1 < count))
        .collect()
}

fn one(files: Vec<Exported>) -> String {
    assert_eq!(files.len(), 1);
    files.into_iter().next().unwrap().text
}

fn name_of(component: Component) -> String {
    let block = if component.module.index() < 4 { "self_attn" } else { "mlp" };
    format!("model.layers.{}.{block}.{}", component.layer.0, component.module.projection())
}

/// Whether a pattern of ours matches a name: `model\.layers\.(0|3)\.mlp\.up_proj` with anchors or a prefix around it.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.trim_start_matches("+:").trim_start_matches("-:").trim_start_matches("re:");
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$').replace(r"\.", ".");
    let (before, rest) = pattern.split_once('(').unwrap();
    let (layers, after) = rest.split_once(')').unwrap();
    layers.split('|').any(|layer| name == format!("{before}{layer}{after}"))
}

#[test]
fn cruxscope_reads_its_own_recipe() {
    let sketch = sketch("rtn-3-g64,gptq-4-g128,any-4", None);
    let choice = choice(4, true);
    let text = one(export(Tool::Cruxscope, &sketch, &choice).unwrap());
    let recipe: Recipe = serde_json::from_str(&text).unwrap();
    let plan = recipe.plan(LAYERS).unwrap();
    for ((component, treatment), format) in plan.iter().zip(&choice) {
        let expected = format.map(|format| sketch.facts.formats[format].treatment.clone().unwrap());
        assert_eq!(treatment.map(|treatment| serde_json::to_value(treatment).unwrap()), expected, "{component}");
    }
    // The recipe's file is one too, and reads back as the choice.
    let cost = sketch.cost(Scope::All, &choice, Bootstrap::default()).unwrap();
    let file = RecipeFile::new(&sketch, &choice, Scope::All, &cost);
    let text = serde_json::to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    let read: RecipeFile = serde_json::from_str(&text).unwrap();
    assert_eq!(read.choice(&sketch).unwrap(), choice);
    assert!(read.components.iter().any(|component| component.format == UNCHANGED));
    let mut wrong = read.clone();
    wrong.components[3].format = "rtn-7".into();
    assert!(wrong.choice(&sketch).unwrap_err().to_string().contains("rtn-7"));
    wrong.components.pop();
    assert!(wrong.choice(&sketch).is_err());
}

#[test]
fn gptqmodel_matches_every_module_by_its_own_settings() {
    let sketch = sketch("gptq-4-g128,rtn-3-g64,gptq-8-row", None);
    let choice = choice(4, true);
    let config: Value = serde_json::from_str(&one(export(Tool::GptqModel, &sketch, &choice).unwrap())).unwrap();
    let dynamic = config["dynamic"].as_object().unwrap();
    for (component, format) in Component::all(LAYERS).zip(&choice) {
        let own: Vec<_> = dynamic.iter().filter(|(pattern, _)| matches(pattern, &name_of(component))).collect();
        assert!(own.len() <= 1, "{component} is matched by {own:?}");
        let expected = format.map(|format| [(4, 128), (3, 64), (8, -1)][format]);
        let found = match own.first() {
            None => Some(&config),
            Some((pattern, _)) if pattern.starts_with("-:") => None,
            Some((_, settings)) => Some(*settings),
        };
        let found = found.map(|settings| (settings["bits"].as_i64().unwrap(), settings["group_size"].as_i64().unwrap()));
        assert_eq!(found, expected, "{component}");
    }
    let five = self::sketch("gptq-5-g128", None);
    assert!(
        export(Tool::GptqModel, &five, &[Some(0); LAYERS * 7])
            .unwrap_err()
            .to_string()
            .contains("2, 3, 4 or 8")
    );
}

#[test]
fn llm_compressor_has_a_modifier_a_method_and_a_group_a_format() {
    let sketch = sketch("rtn-4-g128,rtn-8-row,gptq-4-g128", None);
    let choice = choice(4, true);
    let text = one(export(Tool::LlmCompressor, &sketch, &choice).unwrap());
    // Modifier, group, and whose names stand in it.
    let (mut modifier, mut group) = (String::new(), String::new());
    let mut found: Vec<(String, String, String)> = Vec::new();
    let mut settings: Vec<(String, String, String)> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let word = line.trim();
        match indent {
            4 => modifier = word.trim_end_matches(':').into(),
            6 => group = word.trim_end_matches(':').into(),
            8 if word.starts_with("group_") => group = word.trim_end_matches(':').into(),
            _ if word.starts_with("- 're:") => found.push((modifier.clone(), group.clone(), word[3..word.len() - 1].into())),
            10 if word.starts_with("weights:") => settings.push((modifier.clone(), group.clone(), word.into())),
            _ => {}
        }
    }
    for (component, format) in Component::all(LAYERS).zip(&choice) {
        let own: Vec<_> = found.iter().filter(|(_, _, pattern)| matches(pattern, &name_of(component))).collect();
        match format {
            // Every modifier leaves it alone.
            None => assert!(own.len() == 2 && own.iter().all(|(_, group, _)| group == "ignore"), "{component}: {own:?}"),
            Some(format) => {
                let [(modifier, group, _)] = own.as_slice() else {
                    unreachable!("{component} is in {own:?}")
                };
                let (_, _, weights) = settings.iter().find(|(known, own, _)| known == modifier && own == group).unwrap();
                let expected = [
                    ("QuantizationModifier", "num_bits: 4", "group_size: 128"),
                    ("QuantizationModifier", "num_bits: 8", "strategy: channel"),
                    ("GPTQModifier", "num_bits: 4", "group_size: 128"),
                ][*format];
                assert!(
                    modifier == expected.0 && weights.contains(expected.1) && weights.contains(expected.2),
                    "{component}: {weights}"
                );
            }
        }
    }
}

#[test]
fn auto_round_and_modelopt_name_every_module_once() {
    let sketch = sketch("rtn-4-g128,rtn-2-g64", None);
    let choice = choice(3, true);
    let config: Value = serde_json::from_str(&one(export(Tool::AutoRound, &sketch, &choice).unwrap())).unwrap();
    let layers = config["layer_config"].as_object().unwrap();
    assert_eq!(layers.len(), LAYERS * 7);
    let modelopt = one(export(Tool::ModelOpt, &sketch, &choice).unwrap());
    assert!(modelopt.starts_with("quant_cfg:\n  - quantizer_name: '*'\n    enable: false\n") && modelopt.ends_with("algorithm: max\n"));
    for (component, format) in Component::all(LAYERS).zip(&choice) {
        let bits = layers[&name_of(component)]["bits"].as_u64().unwrap();
        assert_eq!(bits, format.map_or(16, |format| [4, 2][format]), "{component}");
        let wanted = format!("'*{}.weight_quantizer'", name_of(component).trim_start_matches("model."));
        let lines: Vec<&str> = modelopt.lines().collect();
        let places: Vec<usize> = (0..lines.len()).filter(|line| lines[*line].contains(&wanted)).collect();
        match format {
            None => assert!(places.is_empty(), "{component}"),
            Some(format) => {
                assert_eq!(places.len(), 1, "{component}");
                let expected = ["{num_bits: 4, block_sizes: {-1: 128}}", "{num_bits: 2, block_sizes: {-1: 64}}"][*format];
                assert!(lines[places[0] + 1].contains(expected), "{component}");
            }
        }
    }
    let mixed = self::sketch("rtn-4-g128,awq-4-g128", None);
    assert!(
        export(Tool::ModelOpt, &mixed, &self::choice(2, false))
            .unwrap_err()
            .to_string()
            .contains("whole model")
    );
    let awq = one(export(Tool::ModelOpt, &mixed, &[Some(1); LAYERS * 7]).unwrap());
    assert!(awq.contains("awq_lite"));
}

#[test]
fn llama_cpp_takes_the_types_of_candidates_and_nothing_else() {
    let sketch = sketch("rtn-4-g128", Some(&["Q4_K", "Q6_K", "Q4_K"]));
    let files = export(Tool::LlamaCpp, &sketch, &[Some(1); LAYERS * 7]).unwrap();
    let types = &files[0].text;
    assert_eq!(types.lines().count(), LAYERS * 7);
    assert!(types.contains("^blk\\.0\\.attn_q\\.weight$=q4_k\n") && types.contains("^blk\\.11\\.ffn_down\\.weight$="));
    for (line, component) in types.lines().zip(Component::all(LAYERS)) {
        assert!(
            line.ends_with(if component.index() % 3 == 1 { "=q6_k" } else { "=q4_k" }),
            "{component}: {line}"
        );
    }
    assert!(files[1].text.contains("Q4_K_S") && files[1].text.contains("--tensor-type '^blk\\.3\\.ffn_up\\.weight$="));
    let refused = |choice: &[Option<usize>], sketch: &Sensitivity| export(Tool::LlamaCpp, sketch, choice).unwrap_err().to_string();
    assert!(refused(&[Some(0); LAYERS * 7], &sketch).contains("--candidate"));
    let packed = self::sketch("", Some(&["AWQ 4 bits"]));
    assert!(refused(&[Some(0); LAYERS * 7], &packed).contains("llama-quantize does not write"));
}

#[test]
fn what_a_tool_does_not_know_is_refused() {
    let sketch = sketch("any-4,magnitude-50", Some(&["Q4_K"]));
    for tool in [Tool::LlmCompressor, Tool::GptqModel, Tool::AutoRound, Tool::ModelOpt] {
        for (format, said) in [(0, "no grid of integers"), (1, "no grid of integers"), (2, "another program made")] {
            let error = export(tool, &sketch, &[Some(format); LAYERS * 7]).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        assert!(tool.name().parse::<Tool>() == Ok(tool));
    }
    assert!(export(Tool::Cruxscope, &sketch, &[Some(2); LAYERS * 7]).is_err());
    assert!("vllm".parse::<Tool>().unwrap_err().contains("llm-compressor"));
}
