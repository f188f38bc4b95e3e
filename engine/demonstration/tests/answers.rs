//! A trial whose recipes answer questions: the models are those of the recipes, pairs are made with the model itself, a run that was
//! stopped goes on, and what was answered is not asked again.

#![allow(clippy::unwrap_used)] // helpers of tests, outside their functions

use std::path::Path;

use cruxscope_benchmark::datasets::Dataset;
use cruxscope_benchmark::generator::SamplingSettings;
use cruxscope_benchmark::samples::Outputs;
use cruxscope_benchmark::scoring::{Rule, ScoreSettings, score};
use cruxscope_miniature::puzzles::Kind;
use cruxscope_miniature::{Corpus, embedded, world};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::questions::Questions;
use cruxscope_run::sampling::PromptChoice;
use cruxscope_run::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use cruxscope_run::trial::{Entry, OpenTrial, Subject, TrialSettings};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, Silent};
use cruxscope_sensitivity::menu::read_menu;
use cruxscope_study::{TRIAL_FILE, Trial};

/// Questions that are asked.
const QUESTIONS: usize = 10;

/// Says stop after so many events.
struct Stop(usize);

impl Observer for Stop {
    fn event(&mut self, _: Event) {
        self.0 = self.0.saturating_sub(1);
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

fn text(path: &Path, windows: usize) -> Calibration {
    Calibration {
        source: WindowSource::Text {
            path: path.to_owned(),
            length: 64,
        },
        windows: Some(windows),
        seed: None,
    }
}

#[test]
fn recipes_answer_beside_the_model_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("model")).unwrap();
    for (name, bytes) in embedded(Corpus::Distilled) {
        std::fs::write(path("model").join(name), bytes).unwrap();
    }
    // The benchmark whose form the questions have knows four letters.
    let puzzles: Vec<_> = (Kind::Schedule.held_out(&world(), 5, 4 * QUESTIONS).into_iter())
        .filter(|puzzle| puzzle.answer != "E")
        .take(2 * QUESTIONS)
        .collect();
    let words: String = puzzles[QUESTIONS..].iter().map(|puzzle| puzzle.reasoned()).collect();
    std::fs::write(path("text.txt"), words).unwrap();
    let lines: Vec<String> = (puzzles[..QUESTIONS].iter())
        .map(|puzzle| serde_json::json!({"input": puzzle.question, "target": format!("({})", puzzle.answer)}).to_string())
        .collect();
    std::fs::write(path("questions.jsonl"), lines.join("\n")).unwrap();
    std::fs::write(path("prompt.txt"), "{{ question }}<think>").unwrap();

    let settings = SensitivitySettings {
        model: path("model"),
        text: SketchText::Windows(text(&path("text.txt"), 2)),
        calibration: None,
        menu: read_menu("rtn-2-g32,rtn-8-g32").unwrap(),
        candidates: Vec::new(),
        out: path("study"),
        draws: 1,
        seed: 1,
        device: "cpu".into(),
        weights: WeightsChoice::Resident,
        device_memory: None,
        measure: false,
        gradient_score: false,
        changes: None,
    };
    let sensitivity = PlannedSensitivity::new(settings, &mut Silent).unwrap().run(&mut Silent).unwrap().sensitivity;
    let components = sensitivity.facts.components();
    let entry = |name: &str, subject| Entry {
        name: name.into(),
        group: "one".into(),
        rule: "recipe".into(),
        subject,
    };
    let entries = [
        entry("as it is", Subject::Recipe(vec![None; components])),
        entry("2 bits", Subject::Recipe(vec![Some(0); components])),
        entry("the model", Subject::Checkpoint(path("model"))),
    ];
    let open = || {
        let settings = TrialSettings {
            model: path("model"),
            study: path("study"),
            held_out: text(&path("text.txt"), 1),
            calibration: None,
            candidates: Vec::new(),
            results: None,
            changes: None,
            simulate_activations: false,
            device: "cpu".into(),
        };
        OpenTrial::open(settings, &mut Silent).unwrap()
    };
    let asked = Questions {
        datasets: vec![path("questions.jsonl")],
        first: Some(QUESTIONS),
        passes: 1,
        sampling: SamplingSettings {
            temperature: 0.0,
            max_new_tokens: 120,
            ..SamplingSettings::default()
        },
        seed: 1,
        prompt: PromptChoice::Custom(path("prompt.txt")),
        parallel: 4,
    };
    let mut trial = open().run(&entries, &mut Silent).unwrap();
    // Stopped on the way, and again, it goes on.
    for patience in [3, 20] {
        assert!(open().answer(&mut trial.clone(), &entries, &[0, 1, 2], &asked, &mut Stop(patience)).is_err());
    }
    open().answer(&mut trial, &entries, &[0, 1, 2], &asked, &mut Silent).unwrap();
    assert!(!path("study/.trial-models").exists(), "models are taken away");
    assert_eq!(Trial::from_json(&std::fs::read(path("study").join(TRIAL_FILE)).unwrap()).unwrap(), trial);

    // What each row says is what its samples say.
    let dataset = Dataset::read(&path("questions.jsonl")).unwrap();
    let rule = Rule::default_of(dataset.benchmark);
    let outputs = |key: &str| Outputs::read(&path("study/trial-samples").join(format!("{}.jsonl", &key[..24]))).unwrap();
    let texts = |outputs: &Outputs| outputs.outputs.iter().map(|output| output.output.clone()).collect::<Vec<_>>();
    let mut all = Vec::new();
    for row in &trial.rows {
        let [found] = row.accuracy.as_slice() else { panic!("one rule: {row:?}") };
        let own = outputs(&found.key);
        let right = score(&dataset, &own, rule, &ScoreSettings::default()).correct;
        assert_eq!(found.questions, QUESTIONS, "{}", row.name);
        assert!((found.value - right as f64 / QUESTIONS as f64).abs() < 1e-12, "{found:?}");
        assert!((found.difference - (found.value - found.original)).abs() < 1e-12, "{found:?}");
        all.push(texts(&own));
    }
    assert_eq!(all[0], all[2], "nothing changed in the first");
    assert_ne!(all[1], all[2], "two bits say other things");
    assert!(trial.rows[0].accuracy[0].difference.abs() < 1e-12 && trial.rows[0].accuracy[0].p_value > 0.99);

    // A trial that is run again keeps the answers, and asks nothing.
    let mut again = open().run(&entries, &mut Silent).unwrap();
    open().answer(&mut again, &entries, &[0, 1, 2], &asked, &mut Stop(0)).unwrap();
    assert_eq!(again, trial);
    // Other questions are asked anew.
    let fewer = Questions {
        first: Some(QUESTIONS - 1),
        ..asked
    };
    open().answer(&mut again, &entries, &[2], &fewer, &mut Silent).unwrap();
    assert_eq!(again.rows[2].accuracy[0].questions, QUESTIONS - 1);
}
