//! `cruxscope trial`: recipes measured on held-out text, beside what other rules choose at the same size.

mod second_round;
mod table;

use std::path::{Path, PathBuf};

use clap::Args;
use cruxscope_run::RunError;
use cruxscope_run::trial::{Contest, Entry, OpenTrial, Subject, TrialSettings, importance_of};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_sensitivity::allocate::Choice;
use cruxscope_sensitivity::recipe::RecipeFile;
use cruxscope_sensitivity::rules::Rule;
use cruxscope_study::{Sensitivity, Trial, TrialRow, folder};

pub use self::second_round::TOWARDS;
pub use self::table::{summary, table};
use crate::failure::Failure;
use crate::numbers::{MOST, MOST_THREADS, MOST_TOKENS, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::Progress;
use crate::questions::QuestionArguments;

/// The rules whose recipes are measured beside.
const RULES: [Rule; 8] = [
    Rule::Estimate,
    Rule::Predicted,
    Rule::WeightError,
    Rule::InputError,
    Rule::GradientScore,
    Rule::GradientRatio,
    Rule::FinalMlp,
    Rule::Importance,
];

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// The study with its sensitivity; the result is saved in it
    #[arg(long, value_name = "STUDY")]
    study: PathBuf,
    /// A recipe of `cruxscope allocate`; can be given several times
    #[arg(long, value_name = "FILE.json", required_unless_present = "checkpoint")]
    recipe: Vec<PathBuf>,
    /// A checkpoint of the same model to measure too, whoever made it; can be given several times
    #[arg(long, value_name = "DIR|FILE.gguf")]
    checkpoint: Vec<PathBuf>,
    /// Text that chose no recipe: plain text, traces (.jsonl, .jsonl.gz), or token ids (.safetensors)
    #[arg(long, value_name = "FILE")]
    held_out: PathBuf,
    /// Only this array of a file of token ids
    #[arg(long, value_name = "NAME")]
    held_out_array: Option<String>,
    /// Each trace of --held-out, and of --second-round, is a window of its own, however long, rather than cut out of all of them
    #[arg(long)]
    each_trace: bool,
    /// Tokens of a window of text or traces
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = whole::<usize>(2, MOST_TOKENS))]
    sequence_length: usize,
    /// Maximum number of windows
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST))]
    windows: Option<usize>,
    /// Text for a second round, which must not be the held-out one: from each recipe in measured steps of a few matrices towards what
    /// other rules choose; the recipe that it comes to is saved beside the first and measured too
    #[arg(long, value_name = "FILE", requires = "recipe")]
    second_round: Option<PathBuf>,
    /// Only this array of a file of token ids
    #[arg(long, value_name = "NAME", requires = "second_round")]
    second_round_array: Option<String>,
    /// Maximum number of its windows
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<usize>(1, MOST))]
    second_round_windows: usize,
    /// Random permutations of each recipe
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = whole::<usize>(0, 10_000))]
    controls: usize,
    /// Seed of the permutations
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    questions: QuestionArguments,
    /// Measure the recipes and checkpoints alone, without other rules
    #[arg(long)]
    alone: bool,
    #[command(flatten)]
    menu: MenuArguments,
    /// Round what linear maps read as an FP8, INT8 or NVFP4 checkpoint asks for (compressed-tensors, fp8), in every model that asks for it
    #[arg(long)]
    simulate_activations: bool,
    /// Where to compute: cpu, vulkan, wgpu or cuda, as `cruxscope devices` lists them
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number of threads [default: number of CPUs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What the sketch's menu was made with.
#[derive(Clone, Debug, Args)]
pub struct MenuArguments {
    /// The text that calibrated methods of the sketch's menu: token ids
    #[arg(long, value_name = "FILE.safetensors")]
    calibration_tokens: Option<PathBuf>,
    /// Only this array of the file
    #[arg(long, value_name = "NAME", requires = "calibration_tokens")]
    calibration_array: Option<String>,
    /// Likewise plain text
    #[arg(long, value_name = "FILE", conflicts_with = "calibration_tokens")]
    calibration_text: Option<PathBuf>,
    /// The candidates of the sketch's menu, in the same order
    #[arg(long, value_name = "DIR|FILE.gguf")]
    candidate: Vec<PathBuf>,
}

impl MenuArguments {
    fn calibration(&self, length: usize) -> Option<Calibration> {
        let source = match (&self.calibration_tokens, &self.calibration_text) {
            (Some(path), _) => WindowSource::Tokens {
                path: path.clone(),
                array: self.calibration_array.clone(),
            },
            (_, Some(path)) => WindowSource::Text { path: path.clone(), length },
            _ => return None,
        };
        Some(Calibration {
            source,
            windows: None,
            seed: None,
        })
    }
}

impl Arguments {
    /// A file as windows.
    fn windows_of(&self, path: &Path, array: Option<String>) -> WindowSource {
        match WindowSource::of_file(path, array, self.sequence_length) {
            WindowSource::Traces { path, .. } if self.each_trace => WindowSource::EachTrace { path },
            other => other,
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    crate::settings::prepare_process(arguments.threads)?;
    if arguments.simulate_activations && arguments.questions.questions().is_some() {
        return Err(Failure::mistake(
            "questions are answered without simulated activations; leave --questions or --simulate-activations out",
        ));
    }
    let mut progress = Progress::new();
    let trial = OpenTrial::open(settings(arguments), &mut progress)?;
    let importance = importance_of(&folder::load_without_channels(&arguments.study)?.importance);
    let mut entries = Vec::new();
    let choosing = match second_round::text(arguments)? {
        Some(text) => Some(OpenTrial::open(
            TrialSettings {
                held_out: text,
                ..settings(arguments)
            },
            &mut progress,
        )?),
        None => None,
    };
    for path in &arguments.recipe {
        let (recipe, choice) = read_recipe(trial.sensitivity(), path)?;
        let mut own = of_recipe(arguments, trial.sensitivity(), importance.as_deref(), (&recipe, &choice), path)?;
        if let Some(choosing) = &choosing {
            let (name, place) = (format!("{}, second round", name_of(path)), path.with_extension("second-round.json"));
            let choice = second_round::run(choosing, &recipe, &choice, &place, &mut progress)?;
            let entry = Entry {
                name,
                group: name_of(path),
                rule: "second round".into(),
                subject: Subject::Recipe(choice),
            };
            own.insert(1.min(own.len()), entry);
        }
        entries.extend(own);
    }
    entries.extend(arguments.checkpoint.iter().map(|path| Entry {
        name: path.display().to_string(),
        group: arguments.recipe.first().map_or_else(|| "checkpoints".into(), |path| name_of(path)),
        rule: "checkpoint".into(),
        subject: Subject::Checkpoint(path.clone()),
    }));
    trial.check_simulated(&entries)?;
    let mut result = trial.run(&entries, &mut progress);
    if let (Ok(measured), Some(questions)) = (&mut result, arguments.questions.questions()) {
        let rows = answering(measured);
        trial.answer(measured, &entries, &rows, &questions, &mut progress)?;
    }
    progress.finish();
    let trial = result?;
    status!("trial saved in {}", arguments.study.display());
    if arguments.json {
        return print_json(&summary(&trial));
    }
    print_text(&table(&trial))
}

/// The rows whose models answer: what was given, and in each group the best of the other rules and of the uniform formats.
fn answering(trial: &Trial) -> Vec<usize> {
    let given = ["recipe", "second round", "checkpoint"];
    let kl = |row: &TrialRow| row.kl().map_or(f64::INFINITY, |kl| kl.value);
    let mut rows: Vec<usize> = (0..trial.rows.len()).filter(|row| given.contains(&trial.rows[*row].rule.as_str())).collect();
    for group in trial.groups() {
        let best = |of: &dyn Fn(&TrialRow) -> bool| {
            (0..trial.rows.len())
                .filter(|row| trial.rows[*row].group == group && of(&trial.rows[*row]))
                .min_by(|a, b| kl(&trial.rows[*a]).total_cmp(&kl(&trial.rows[*b])))
        };
        rows.extend(best(&|row| row.rule == "uniform"));
        rows.extend(best(&|row| {
            !given.contains(&row.rule.as_str()) && !["uniform", "random"].contains(&row.rule.as_str())
        }));
    }
    rows.sort_unstable();
    rows
}

fn settings(arguments: &Arguments) -> TrialSettings {
    let held_out = arguments.windows_of(&arguments.held_out, arguments.held_out_array.clone());
    TrialSettings {
        model: arguments.model.clone(),
        study: arguments.study.clone(),
        held_out: Calibration {
            source: held_out,
            windows: arguments.windows,
            seed: None,
        },
        calibration: arguments.menu.calibration(arguments.sequence_length),
        candidates: arguments.menu.candidate.clone(),
        results: None,
        changes: None,
        simulate_activations: arguments.simulate_activations,
        device: arguments.device.clone(),
    }
}

fn name_of(path: &Path) -> String {
    path.file_stem()
        .map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}

/// A recipe's file, and its formats in the sketch's menu.
fn read_recipe(sensitivity: &Sensitivity, path: &Path) -> Result<(RecipeFile, Choice), Failure> {
    let text = std::fs::read(path).map_err(|error| Failure::mistake(format!("could not read the recipe {}: {error}", path.display())))?;
    let file: RecipeFile =
        serde_json::from_slice(&text).map_err(|error| Failure::mistake(format!("{} is no recipe of `cruxscope allocate`: {error}", path.display())))?;
    let choice = file.choice(sensitivity)?;
    Ok((file, choice))
}

fn of_recipe(
    arguments: &Arguments,
    sensitivity: &Sensitivity,
    importance: Option<&[f64]>,
    (file, choice): (&RecipeFile, &Choice),
    path: &Path,
) -> Result<Vec<Entry>, Failure> {
    let (bits, _) = sensitivity
        .size(choice)
        .ok_or_else(|| Failure::mistake(format!("{} does not fit the sketch's menu", path.display())))?;
    let name = name_of(path);
    if arguments.alone {
        return Ok(vec![Entry {
            name: name.clone(),
            group: name,
            rule: "recipe".into(),
            subject: Subject::Recipe(choice.clone()),
        }]);
    }
    let contest = Contest {
        group: name.clone(),
        bits,
        scope: file.scope,
        formats: None,
        rules: &RULES,
        importance,
        controls: arguments.controls,
        seed: arguments.seed,
    };
    Ok(contest.entries(sensitivity, Some((&name, choice))).map_err(RunError::from)?)
}
