//! The paper's chain, step by step, with a benchmark that every model answers: samples are there before a compressed model is let go of.

#![allow(clippy::unwrap_used)] // helpers of tests, outside their functions

use cruxscope_benchmark::endpoint::{EndpointSettings, Interface};
use cruxscope_benchmark::generator::SamplingSettings;
use cruxscope_benchmark::samples::Outputs;
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::quantize::GroupSize;
use cruxscope_miniature::puzzles::Kind;
use cruxscope_miniature::{Corpus, embedded, world};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::questions::Questions;
use cruxscope_run::reproduction::{BenchmarkSettings, FINISH, PaperSettings, Reproduction, ServedModel};
use cruxscope_run::sampling::PromptChoice;
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{RunError, Silent};

#[test]
fn every_model_of_the_chain_answers_while_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("model")).unwrap();
    for (name, bytes) in embedded(Corpus::Distilled) {
        std::fs::write(path("model").join(name), bytes).unwrap();
    }
    let puzzles: Vec<_> = (Kind::Schedule.held_out(&world(), 5, 12).into_iter())
        .filter(|puzzle| puzzle.answer != "E")
        .take(6)
        .collect();
    let words: String = puzzles.iter().map(|puzzle| puzzle.reasoned()).collect();
    std::fs::write(path("text.txt"), &words).unwrap();
    let lines: Vec<String> = (puzzles.iter())
        .map(|puzzle| serde_json::json!({"input": puzzle.question, "target": format!("({})", puzzle.answer)}).to_string())
        .collect();
    std::fs::write(path("questions.jsonl"), lines.join("\n")).unwrap();
    std::fs::write(path("prompt.txt"), "{{ question }}<think>").unwrap();
    let trace = serde_json::json!({"id": "one", "prompt": "21x+36=330?<think>", "output": "task: x. try 8: 168+36=204:330 low. wait, no."});
    std::fs::write(path("traces.jsonl"), trace.to_string()).unwrap();
    let annotated = serde_json::json!({"id": "one", "annotated": "[\"example-testing\"] task: x. try 8: 168+36=204:330 low. [\"end-section\"] [\"backtracking\"] wait, no. [\"end-section\"]"});
    std::fs::write(path("annotations.jsonl"), annotated.to_string()).unwrap();

    let settings = |served: Vec<ServedModel>| PaperSettings {
        model: path("model"),
        base: None,
        traces: path("traces.jsonl"),
        annotations: path("annotations.jsonl"),
        first: None,
        max_tokens: None,
        calibration: Calibration {
            source: WindowSource::Text {
                path: path("text.txt"),
                length: 64,
            },
            windows: Some(2),
            seed: None,
        },
        group_size: GroupSize::new(32).unwrap(),
        stored_as: StoredAs::Float32,
        results: Vec::new(),
        benchmarks: Some(BenchmarkSettings {
            questions: Questions {
                datasets: vec![path("questions.jsonl")],
                first: Some(2),
                passes: 1,
                sampling: SamplingSettings {
                    temperature: 0.0,
                    max_new_tokens: 16,
                    ..SamplingSettings::default()
                },
                seed: 1,
                prompt: PromptChoice::Custom(path("prompt.txt")),
                parallel: 2,
            },
            served,
        }),
        out: path("out"),
        keep_models: false,
        device: "cpu".into(),
        weights: WeightsChoice::Resident,
        is_elsewhere: false,
    };
    let served = |subject: &str| ServedModel {
        subject: subject.into(),
        endpoint: EndpointSettings::new("http://127.0.0.1:9/v1", Interface::Completions, "tiny"),
    };
    let refused = Reproduction::new(settings(vec![served("base")])).err().unwrap();
    assert!(refused.is_user_error() && refused.to_string().contains("named base"), "{refused}");

    let chain = Reproduction::new(settings(Vec::new())).unwrap();
    let take = |step: &str| chain.run_step(step, &mut Silent);
    assert!(
        matches!(take("benchmark-only-1_up_3bit"), Err(RunError::Recipe { .. })),
        "its model is not there"
    );
    for step in ["benchmark-original", "compress-only-1_up_3bit"] {
        take(step).unwrap();
    }
    let model = path("out/models/only-1_up_3bit");
    assert!(model.exists());
    take("benchmark-only-1_up_3bit").unwrap();
    assert!(model.exists(), "the comparison still needs it");
    take("compare-only-1_up_3bit").unwrap();
    assert!(!model.exists());
    for name in ["original", "only-1_up_3bit"] {
        assert_eq!(
            Outputs::read(&path("out/samples").join(format!("{name}.jsonl"))).unwrap().outputs.len(),
            2,
            "{name}"
        );
    }
    let open = take(FINISH).unwrap_err().to_string();
    assert!(open.contains("benchmark-awq-4") && !open.contains("benchmark-original"), "{open}");
}
