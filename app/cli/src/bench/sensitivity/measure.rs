//! What the bench computes and measures; what is finished is kept in its folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cruxscope_model::decoder::Residence;
use cruxscope_run::machine::processor_time;
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use cruxscope_run::trial::{Contest, Entry, OpenTrial, Subject, TrialSettings, importance_of};
use cruxscope_run::validate::{ValidateSettings, validate};
use cruxscope_run::windows::Calibration;
use cruxscope_run::{Event, Observer, RunError};
use cruxscope_sensitivity::allocate::uniform;
use cruxscope_sensitivity::menu::{MenuFormat, method_of, read_menu};
use cruxscope_sensitivity::rules::Rule;
use cruxscope_sensitivity::together::together;
use cruxscope_study::{Scope, Sensitivity, Trial, Validation, folder};

use super::Arguments;
use crate::failure::Failure;
use crate::output::status;
use crate::trial::TOWARDS;

/// The group of uniform recipes.
pub(super) const UNIFORM: &str = "uniform";
/// What stands between a row's name and the seed that it was chosen by.
pub(super) const SEED: &str = ", seed ";
/// Behind the rules of the sketch that has the draws of all seeds.
pub(super) const ALL_DRAWS: &str = ", all draws";
/// The rule of what a second round came to.
const SECOND_ROUND: &str = "second round";
/// Processor seconds of what was computed in one go.
const SECONDS_FILE: &str = "seconds.json";
/// The names there.
const SKETCH: &str = "sketch";
const ALONE: &str = "every matrix alone";

/// What one run found.
pub(super) struct Findings {
    /// One a seed.
    pub sketches: Vec<Sensitivity>,
    /// The draws of all seeds as one sketch, where there are several.
    pub together: Option<Sensitivity>,
    /// On the precise windows, and on the others.
    pub trials: Vec<Trial>,
    pub alone: Option<Validation>,
    pub importance: Option<Vec<f64>>,
    /// Processor seconds of a sketch, and of compressing each matrix alone.
    pub seconds: (Option<f64>, Option<f64>),
}

/// Notes whether a run found something finished.
struct Watched<'a> {
    inner: &'a mut dyn Observer,
    resumed: bool,
}

impl Observer for Watched<'_> {
    fn event(&mut self, event: Event) {
        self.resumed |= matches!(event, Event::Resumed { .. });
        self.inner.event(event);
    }

    fn stop(&self) -> bool {
        self.inner.stop()
    }
}

pub(super) fn measure(arguments: &Arguments, observer: &mut dyn Observer) -> Result<Findings, Failure> {
    let menu = menu(arguments)?;
    let importance = match &arguments.importance {
        Some(study) => {
            let own = importance_of(&folder::load_without_channels(study)?.importance);
            let missing = || {
                Failure::mistake(format!(
                    "{} holds no importance; `cruxscope interpret` makes a study that does",
                    study.display()
                ))
            };
            Some(own.ok_or_else(missing)?)
        }
        None => None,
    };
    std::fs::create_dir_all(&arguments.out).map_err(Failure::failed)?;
    let mut seconds = Seconds::load(arguments);
    let mut sketches = Vec::new();
    for seed in 0..arguments.seeds {
        status!("sketch {} of {}", seed + 1, arguments.seeds);
        let settings = SensitivitySettings {
            model: arguments.model.clone(),
            text: SketchText::Windows(arguments.windows(&arguments.calibration_array, None)),
            calibration: calibration(arguments),
            menu: menu.clone(),
            candidates: arguments.candidate.clone(),
            out: arguments.study(seed),
            draws: arguments.draws,
            seed,
            device: arguments.device.clone(),
            weights: WeightsChoice::Automatic,
            device_memory: None,
            measure: false,
            // It does not hang on drawn labels, so that one sketch has it for all.
            gradient_score: seed == 0,
            changes: Some(changes(arguments)),
        };
        let mut watched = Watched {
            inner: observer,
            resumed: false,
        };
        let before = processor_time();
        let outcome = PlannedSensitivity::new(settings, &mut watched)?.run(&mut watched)?;
        if !outcome.was_complete && !watched.resumed {
            seconds.keep(SKETCH, before)?;
        }
        sketches.push(outcome.sensitivity);
    }
    let (gradient, first_order) = (sketches[0].errors.gradient.clone(), sketches[0].errors.first_order.clone());
    for sketch in &mut sketches {
        sketch.errors.gradient.clone_from(&gradient);
        sketch.errors.first_order.clone_from(&first_order);
    }
    let together = if sketches.len() > 1 { together(&sketches) } else { None };
    let mut trials = Vec::new();
    for (windows, mut entries) in entries(arguments, &sketches, together.as_ref(), importance.as_deref())? {
        if entries.is_empty() {
            continue;
        }
        if arguments.second_round_windows > 0 {
            add_second_rounds(arguments, &mut entries, observer)?;
        }
        status!("recipes of every rule: {} rows on {windows} windows", entries.len());
        let held_out = arguments.windows(&arguments.evaluation_array, Some(windows));
        let settings = trial_settings(arguments, held_out, &format!("trial-{windows}"));
        trials.push(OpenTrial::open(settings, observer)?.run(&entries, observer)?);
    }
    let alone = match menu.first() {
        Some(format) if arguments.alone_windows > 0 => Some(each_alone(arguments, format, &mut seconds, observer)?),
        _ => None,
    };
    Ok(Findings {
        sketches,
        together,
        trials,
        alone,
        importance,
        seconds: (seconds.of(SKETCH), seconds.of(ALONE)),
    })
}

/// A trial of the first sketch's menu on some text, kept in a folder of this name.
fn trial_settings(arguments: &Arguments, held_out: Calibration, folder: &str) -> TrialSettings {
    TrialSettings {
        model: arguments.model.clone(),
        study: arguments.study(0),
        held_out,
        // Where methods are calibrated on the sketched windows, those are given.
        calibration: calibration(arguments).or_else(|| Some(arguments.windows(&arguments.calibration_array, None))),
        candidates: arguments.candidate.clone(),
        results: Some(arguments.out.join(folder)),
        changes: Some(changes(arguments)),
        simulate_activations: false,
        device: arguments.device.clone(),
    }
}

/// Adds to every group what a second round makes of the first seed's recipe.
fn add_second_rounds(arguments: &Arguments, entries: &mut Vec<Entry>, observer: &mut dyn Observer) -> Result<(), Failure> {
    let text = arguments.windows(&arguments.calibration_array, Some(arguments.second_round_windows));
    let choosing = OpenTrial::open(trial_settings(arguments, text, "second-round"), observer)?;
    let of_rule = |group: &str, rule: Rule| {
        let name = format!("{}{SEED}0", rule.name());
        entries.iter().find_map(|entry| match &entry.subject {
            Subject::Recipe(choice) if entry.group == group && entry.name == name => Some(choice.clone()),
            _ => None,
        })
    };
    let mut groups: Vec<String> = entries.iter().map(|entry| entry.group.clone()).collect();
    groups.dedup();
    let mut added = Vec::new();
    for group in groups {
        let Some(from) = of_rule(&group, Rule::Estimate) else { continue };
        status!("second round from the recipe of {group}");
        let others: Vec<_> = TOWARDS.iter().filter_map(|rule| of_rule(&group, *rule)).collect();
        let found = choosing.second_round(&from, &others, observer)?;
        added.push(Entry {
            name: format!("{SECOND_ROUND}{SEED}0"),
            group,
            rule: SECOND_ROUND.into(),
            subject: Subject::Recipe(found.choice),
        });
    }
    entries.extend(added);
    Ok(())
}

fn menu(arguments: &Arguments) -> Result<Vec<MenuFormat>, Failure> {
    if arguments.formats.is_empty() && !arguments.candidate.is_empty() {
        return Ok(Vec::new());
    }
    Ok(read_menu(&arguments.formats).map_err(RunError::from)?)
}

/// The text that calibrates methods, where it is not the sketched one.
fn calibration(arguments: &Arguments) -> Option<Calibration> {
    arguments.methods_array.as_ref().map(|array| arguments.windows(array, None))
}

fn changes(arguments: &Arguments) -> PathBuf {
    arguments.out.join("changes")
}

/// Every matrix compressed alone by a format; kept in a study.
fn each_alone(arguments: &Arguments, format: &MenuFormat, seconds: &mut Seconds, observer: &mut dyn Observer) -> Result<Validation, Failure> {
    status!("every matrix alone in {}", format.name);
    let study = arguments.study(0);
    let begun = ["validation.partial.jsonl", cruxscope_study::VALIDATION_FILE];
    let resumed = begun.iter().any(|file| study.join(file).exists());
    let settings = ValidateSettings {
        study,
        model: arguments.model.clone(),
        treatment: format.treatment.clone(),
        text: arguments.windows(&arguments.evaluation_array, Some(arguments.alone_windows)),
        calibration: Some(arguments.windows(arguments.methods_array.as_ref().unwrap_or(&arguments.calibration_array), None)),
        residence: Residence::Resident,
        device: arguments.device.clone(),
    };
    let before = processor_time();
    let found = validate(&settings, observer)?;
    if !resumed {
        seconds.keep(ALONE, before)?;
    }
    Ok(found)
}

/// Rows by the number of windows that they are measured on: uniform formats and the precise sizes, then the others; where both numbers
/// are one, all together.
fn entries(
    arguments: &Arguments,
    sketches: &[Sensitivity],
    together: Option<&Sensitivity>,
    importance: Option<&[f64]>,
) -> Result<Vec<(usize, Vec<Entry>)>, Failure> {
    let first = &sketches[0];
    let formats = first.facts.formats.len();
    let mut precise: Vec<Entry> = (0..formats)
        .map(|format| Entry {
            name: first.facts.formats[format].name.clone(),
            group: UNIFORM.into(),
            rule: UNIFORM.into(),
            subject: Subject::Recipe(uniform(first, format)),
        })
        .collect();
    let mut others = Vec::new();
    let rules = arguments.rules();
    let by_draws: Vec<Rule> = rules.iter().copied().filter(|rule| matches!(rule, Rule::Estimate | Rule::Predicted)).collect();
    for (group, bits, formats, is_precise) in contests(arguments, first) {
        let contest = |rules, controls, seed| Contest {
            group: group.clone(),
            bits,
            scope: Scope::All,
            formats: formats.clone(),
            rules,
            importance,
            controls,
            seed,
        };
        let mut named = Vec::new();
        for (seed, sketch) in sketches.iter().enumerate() {
            let of_seed = contest(rules.as_slice(), arguments.controls, 1 + (seed * arguments.controls) as u64);
            let of_seed = of_seed.entries(sketch, None).map_err(RunError::from)?;
            named.extend(of_seed.into_iter().map(|entry| Entry {
                name: format!("{}{SEED}{seed}", entry.name),
                ..entry
            }));
        }
        if let Some(sketch) = together {
            let of_all = contest(by_draws.as_slice(), 0, 0).entries(sketch, None).map_err(RunError::from)?;
            named.extend(of_all.into_iter().filter(|entry| entry.rule != UNIFORM).map(|entry| Entry {
                name: format!("{}{ALL_DRAWS}", entry.name),
                rule: format!("{}{ALL_DRAWS}", entry.rule),
                ..entry
            }));
        }
        if is_precise { precise.append(&mut named) } else { others.append(&mut named) }
    }
    if arguments.precise_windows == arguments.evaluation_windows {
        precise.append(&mut others);
    }
    Ok(vec![(arguments.precise_windows, precise), (arguments.evaluation_windows, others)])
}

/// Groups of recipes of one size: name, bits, the formats that they may take, and whether they are measured precisely.
fn contests(arguments: &Arguments, sketch: &Sensitivity) -> Vec<(String, f64, Option<Vec<usize>>, bool)> {
    let formats = sketch.facts.formats.len();
    let size = |format: usize| sketch.size(&uniform(sketch, format)).unwrap_or((0.0, 1.0));
    let by_size = |a: &usize, b: &usize| size(*a).0.total_cmp(&size(*b).0);
    let smallest = (0..formats).min_by(by_size).unwrap_or(0);
    let largest = (0..formats).max_by(by_size).unwrap_or(0);
    let weights = size(0).1;
    let mut methods: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (format, own) in sketch.facts.formats.iter().enumerate() {
        methods.entry(method_of(own)).or_default().push(format);
    }
    let mut contests = Vec::new();
    for bits in &arguments.sizes {
        let is_precise = arguments.precise.contains(bits);
        let name = format!("{bits} bits a weight");
        contests.push((name.clone(), bits * weights, None, is_precise));
        if arguments.each_method && methods.len() > 1 {
            let several = methods.iter().filter(|(_, formats)| formats.len() > 1);
            contests.extend(several.map(|(method, formats)| (format!("{name}, {method} alone"), bits * weights, Some(formats.clone()), is_precise)));
        }
    }
    for percent in &arguments.protected {
        let bits = size(smallest).0 + percent / 100.0 * (size(largest).0 - size(smallest).0);
        contests.push((format!("{percent} % protected"), bits, Some(vec![smallest, largest]), false));
    }
    contests
}

/// Processor seconds of what was computed in one go, in the folder.
struct Seconds {
    path: PathBuf,
    known: BTreeMap<String, f64>,
}

impl Seconds {
    fn load(arguments: &Arguments) -> Self {
        let path = arguments.out.join(SECONDS_FILE);
        let known = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            path,
            known: known.unwrap_or_default(),
        }
    }

    /// Keeps the time since `before`, where the system says it.
    fn keep(&mut self, name: &str, before: Option<std::time::Duration>) -> Result<(), Failure> {
        let Some((before, after)) = before.zip(processor_time()) else { return Ok(()) };
        self.known.insert(name.to_owned(), after.saturating_sub(before).as_secs_f64());
        let text = serde_json::to_vec_pretty(&self.known).map_err(Failure::failed)?;
        Ok(folder::write_atomically(&self.path, &text)?)
    }

    fn of(&self, name: &str) -> Option<f64> {
        self.known.get(name).copied()
    }
}
