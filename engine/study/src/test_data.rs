//! A small made-up study for tests: no model was read for it, and no number in it means anything.

mod divergence;
mod mixture;
mod sensitivity;

pub use divergence::divergence;
pub use mixture::mixture;
pub use sensitivity::{sensitivity, sketched, trial};

use crate::{
    Behaviour, Component, Contributions, Definition, Digest, Drop, DropReason, FileDigest, InstanceContribution, InstanceEntry, Label, Manifest, ModelEntry,
    Module, ModuleDimensions, Program, RESULTS_SCHEMA, Results, Score, ScoredOutput, SegmentCounts, Study, TraceSection, TraceText, wilson,
};

/// Four instances, three behaviours, one that no instance holds; the last layer's gate stands out.
#[allow(clippy::unwrap_used)]
pub fn study(layers: usize) -> Study {
    let file = |name: &str| FileDigest {
        name: name.into(),
        bytes: 1_500_000,
        sha256: Digest::of(name.as_bytes()),
    };
    let dimensions = |outputs, inputs| ModuleDimensions { outputs, inputs };
    let segments_of = |instance: usize| [3 + instance % 2, 4, if instance == 3 { 0 } else { 2 }, 0];
    let instances: Vec<InstanceEntry> = (0..4)
        .map(|instance| InstanceEntry {
            id: format!("instance-{}", instance + 1),
            tokens: 890 + 13 * (instance * instance) / 3 + usize::from(instance == 1) * 3,
            segments: segments_of(instance),
            ..InstanceEntry::default()
        })
        .collect();
    let count = |behaviour: usize, dropped| SegmentCounts {
        instances: instances.iter().filter(|entry| entry.segments[behaviour] > 0).count(),
        used: instances.iter().map(|entry| entry.segments[behaviour]).sum(),
        dropped,
    };
    let drop = |section, label: &str, reason, coverage| Drop {
        instance: "instance-2".into(),
        section,
        label: label.into(),
        reason,
        coverage,
    };
    let manifest = Manifest {
        schema: 1,
        title: "Sample study".into(),
        program: Program {
            name: "cruxscope".into(),
            version: "0.1.0".into(),
        },
        definition: Definition::Paper,
        model: ModelEntry {
            name: "Sample-135M".into(),
            architecture: "llama".into(),
            layers,
            modules: vec![
                dimensions(32, 32),
                dimensions(16, 32),
                dimensions(16, 32),
                dimensions(32, 32),
                dimensions(96, 32),
                dimensions(96, 32),
                dimensions(32, 96),
            ],
            parts: None,
            parameters: 134_515_008,
            files: vec![file("model.gguf")],
            basis: "original".into(),
            ..ModelEntry::default()
        },
        data: vec![file("traces.jsonl"), file("annotations.jsonl")],
        segments: [count(0, 1), count(1, 0), count(2, 0), count(3, 2)],
        dropped: vec![
            drop(2, "backtracking", DropReason::NotFound, Some(0.71)),
            drop(5, "adding-knowledge", DropReason::BeyondCap, None),
            drop(7, "adding-knowledge", DropReason::BeyondCap, None),
        ],
        settings: [("max_tokens".to_owned(), 4096.into())].into(),
        device: [("precision".to_owned(), "float32".into())].into(),
        instances,
        ..Manifest::default()
    };
    let contributions = Contributions {
        instances: manifest
            .instances
            .iter()
            .enumerate()
            .map(|(number, entry)| InstanceContribution {
                values: Behaviour::ALL
                    .into_iter()
                    .flat_map(|behaviour| {
                        Component::all(layers).map(move |component| {
                            if entry.segments[behaviour.index()] > 0 {
                                value(behaviour, component, layers, number)
                            } else {
                                0.0
                            }
                        })
                    })
                    .collect(),
                weights: entry.segments.map(|segments| if segments > 0 { 1.0 } else { 0.0 }),
            })
            .collect(),
    };
    Study::new(manifest, contributions, None).unwrap()
}

/// Something between a tenth and two, larger where the layer is later, largest at the last layer's gate.
fn value(behaviour: Behaviour, component: Component, layers: usize, instance: usize) -> f64 {
    let mixed = (component.index() * 7919 + behaviour.index() * 104_729 + 12_345) % 97;
    let depth = (component.layer.0 + 1) as f64 / layers as f64;
    let outlier = if component == Component::new(layers - 1, Module::Gate) {
        6.0 / (1.0 + behaviour.index() as f64)
    } else {
        0.0
    };
    let base = 0.1 + mixed as f64 / 97.0 * depth + outlier;
    base * (1.0 + 0.15 * ((instance * 31 + component.index() * 17) % 11) as f64 / 11.0)
}

/// The sample as if its model had been compressed: the gate that stood out has lost most, the first layer has gained.
#[allow(clippy::unwrap_used)]
pub fn compressed(layers: usize) -> Study {
    let original = study(layers);
    let mut manifest = original.manifest;
    manifest.title = "Sample, compressed".into();
    manifest.model.name = "Sample-135M-3bit".into();
    let mut contributions = original.contributions;
    for instance in &mut contributions.instances {
        for (position, component) in Behaviour::ALL.into_iter().flat_map(|_| Component::all(layers)).enumerate() {
            let factor = match (component.layer.0, component.module) {
                (layer, Module::Gate) if layer + 1 == layers => 0.3,
                (0, _) => 1.8,
                _ => 0.8 + 0.4 * ((position * 37) % 11) as f64 / 11.0,
            };
            instance.values[position] *= factor;
        }
    }
    Study::new(manifest, contributions, None).unwrap()
}

/// Results of a made-up model on one benchmark, with the outputs behind them.
pub fn results() -> Results {
    let outputs = |right: usize| -> Vec<ScoredOutput> {
        (0..20u64)
            .map(|number| ScoredOutput {
                id: format!("question-{number:02}"),
                pass: 1,
                score: if (number as usize * 7) % 20 < right { 1.0 } else { 0.0 },
                length: Some(100 + 37 * number),
                parsed: true,
                ended: true,
            })
            .collect()
    };
    let score = |compression: &str, right: usize| Score {
        model: "Sample-135M".into(),
        compression: compression.into(),
        benchmark: "Riddles".into(),
        metric: "accuracy".into(),
        unit: "%".into(),
        value: 5.0 * right as f64,
        interval: wilson(right, 20).map(|(low, high)| [100.0 * low, 100.0 * high]),
        questions: Some(20),
        passes: Some(1),
        rule: "riddles@1".into(),
        length_unit: "tokens".into(),
        outputs: outputs(right),
        ..Score::default()
    };
    Results {
        schema: RESULTS_SCHEMA,
        title: "Sample results".into(),
        source: "made up".into(),
        scores: vec![score("", 15), score("4-bit AWQ", 14), score("3-bit RTN", 6)],
        ..Results::default()
    }
}

/// A trace of the sample's first instance, as long as `paragraphs` make it: one section of each label, one of them dropped, one that
/// stands nowhere.
pub fn trace(paragraphs: usize) -> TraceText {
    let mut output = String::new();
    let mut sections = Vec::new();
    let labels = [
        Label::Initializing,
        Label::Deduction,
        Label::ExampleTesting,
        Label::Backtracking,
        Label::UncertaintyEstimation,
        Label::AddingKnowledge,
    ];
    for paragraph in 0..paragraphs {
        let start = output.len();
        output.push_str(&format!(
            "Paragraph {paragraph}: the train leaves before noon, so whoever was seen at the market in the morning cannot have been on it. "
        ));
        sections.push(TraceSection {
            label: labels[paragraph % labels.len()],
            bytes: Some([start, output.len() - 1]),
            tokens: Some([30 * paragraph, 30 * paragraph + 29]),
            dropped: (paragraph == 4).then_some(DropReason::BeyondCap),
            text: None,
        });
        output.push('\n');
    }
    sections.push(TraceSection {
        label: Label::Backtracking,
        bytes: None,
        tokens: None,
        dropped: Some(DropReason::NotFound),
        text: Some("words that nobody wrote".into()),
    });
    TraceText {
        id: "instance-1".into(),
        prompt: "Who took the train?\n<think>\n".into(),
        tokens: 30 * paragraphs,
        output,
        sections,
        score: Some(1.0),
    }
}
