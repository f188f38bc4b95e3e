//! The whole method on the miniature, in minutes on two cores: asked, annotated, interpreted, compressed, asked again.
//!
//! What stands in the folder afterwards:
//!
//! | place | what |
//! | --- | --- |
//! | `models/` | base, distilled, and every main compression of it, as Hugging Face folders |
//! | `answers/` | what each model answered to each puzzle |
//! | `data/` | traces of the distilled model, their annotations, text that calibrates |
//! | `studies/` | a study of each main model |
//! | `results.json`, `collection.json`, `summary.json` | scores; everything as a collection with a tour; the printed numbers |
//!
//! The same seed gives the same bytes on the same kind of processor. A run that was stopped goes on where it was.

mod examination;
mod files;
mod material;
mod selection;
mod side_by_side;
mod tables;
mod tour;
mod variants;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::CompressError;
use cruxscope_miniature::{Corpus, embedded};
use cruxscope_model::decoder::Residence;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_run::compress::{Basis, CompressSettings, Compression, report_of};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::machine::duration_in_words;
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::validate::{ValidateSettings, validate};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, RunError};
use cruxscope_study::{COLLECTION_FILE, Definition, RESULTS_FILE, Study, Validation};

use examination::{Examination, Question, examine, questions};
pub use material::Agreement;
use material::Material;
use side_by_side::{Desk, Message, side_by_side};
use tables::Asked;
pub use tables::{ALONE, COMPRESSED, LOST, Lost, PROTECTED, Row, Share, Summary, title};
use variants::{ROUNDED, Variant, main_variants, rounding};

pub use cruxscope_miniature::puzzles::Kind;

/// The file of the printed numbers.
pub const SUMMARY_FILE: &str = "summary.json";
/// The file of what was asked for.
const SETTINGS_FILE: &str = "demonstration.json";
/// Tokens of a window of calibration, about two puzzles.
const WINDOW: usize = 192;

/// What is to be demonstrated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demonstration {
    /// The folder.
    pub out: PathBuf,
    /// The device, by name.
    pub device: String,
    /// The seed of puzzles and random controls.
    pub seed: u64,
    /// Held-out puzzles of each kind.
    pub puzzles: usize,
    /// Traces of each kind that are interpreted.
    pub instances: usize,
    /// Random sets beside each chosen one.
    pub controls: usize,
}

impl Default for Demonstration {
    fn default() -> Self {
        Self {
            out: PathBuf::from("demo"),
            device: "cpu".into(),
            seed: 1,
            puzzles: 50,
            instances: 12,
            controls: 5,
        }
    }
}

impl Demonstration {
    /// Runs everything, or what is missing.
    ///
    /// # Errors
    /// When the device is missing, a step fails, the observer says stop, or the disk refuses. What is finished stays.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<Summary, RunError> {
        let device = device::find(&self.device)?;
        self.claim()?;
        for corpus in [Corpus::Base, Corpus::Distilled] {
            let folder = self.model(corpus.name());
            files::create(&folder)?;
            for (name, bytes) in embedded(corpus) {
                files::write(&folder.join(name), bytes)?;
            }
        }
        let questions = questions(self.seed, self.puzzles);
        let variants = main_variants().map_err(impossible)?;
        let selected = 2 * (2 + self.controls);
        let mut course = Course {
            site: Site {
                demonstration: self,
                // An accelerator is shared by nobody.
                threads: if self.device == "cpu" { rayon::current_num_threads() } else { 1 },
                device,
                questions: &questions,
            },
            began: Instant::now(),
            done: 0.0,
            all: 2.0 * (ASKING + INTERPRETING)
                + variants.len() as f64 * (COMPRESSING + ASKING + INTERPRETING)
                + selected as f64 * (COMPRESSING + ASKING)
                + VALIDATING,
            words: String::new(),
        };
        course.run(&variants, observer)
    }

    /// Notes in the folder what is demonstrated there, so that another demonstration does not get mixed with it.
    fn claim(&self) -> Result<(), RunError> {
        files::create(&self.out)?;
        let settings = serde_json::json!({
            "seed": self.seed, "puzzles": self.puzzles, "instances": self.instances, "controls": self.controls,
            "version": env!("CARGO_PKG_VERSION")
        });
        let path = self.out.join(SETTINGS_FILE);
        match std::fs::read(&path).ok().map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok()) {
            Some(Some(found)) if found == settings => Ok(()),
            Some(found) => Err(RunError::Occupied {
                path: self.out.clone(),
                why: format!("a demonstration with {}", found.unwrap_or_default()),
            }),
            None => files::write_json(&path, &settings),
        }
    }

    fn model(&self, name: &str) -> PathBuf {
        self.out.join("models").join(name)
    }

    fn study(&self, name: &str) -> PathBuf {
        self.out.join(tour::study_place(name))
    }
}

/// How long things take beside each other.
const ASKING: f64 = 3.0;
const INTERPRETING: f64 = 1.5;
const COMPRESSING: f64 = 0.7;
const VALIDATING: f64 = 3.0;

/// What every job works on.
struct Site<'a> {
    demonstration: &'a Demonstration,
    device: ChosenDevice,
    threads: usize,
    questions: &'a [Question],
}

/// A demonstration on its way.
struct Course<'a> {
    site: Site<'a>,
    began: Instant,
    done: f64,
    all: f64,
    /// What was turned to last.
    words: String,
}

/// A compressed model that is to be made and asked, and interpreted where it is one of the main ones.
struct Order<'a> {
    variant: &'a Variant,
    experiment: &'static str,
}

/// What the last jobs give.
enum Made {
    Model(Asked),
    Validation(Validation),
}

impl Course<'_> {
    fn run(&mut self, variants: &[Variant], observer: &mut dyn Observer) -> Result<Summary, RunError> {
        let pair = [(Corpus::Base, "Base"), (Corpus::Distilled, "Distilled")];
        let mut asked = self.each(pair.len(), observer, |site, job, desk| {
            let (corpus, model) = pair[job];
            Ok(Asked {
                experiment: COMPRESSED,
                name: corpus.name().into(),
                model,
                compression: String::new(),
                setting: String::new(),
                examination: site.ask(corpus.name(), model, corpus, desk)?,
            })
        })?;
        let demonstration = self.site.demonstration;
        let material = material::write(
            &demonstration.out.join("data"),
            self.site.questions,
            &asked[1].examination,
            demonstration.instances,
        )?;
        let studies = self.each(pair.len(), observer, |site, job, desk| {
            let (corpus, model) = pair[job];
            site.interpret(corpus.name(), model, &material, desk)
        })?;
        let [base, distilled] = [&studies[0], &studies[1]];

        let orders: Vec<Order> = variants
            .iter()
            .map(|variant| Order {
                variant,
                experiment: COMPRESSED,
            })
            .collect();
        let made = self.each(orders.len(), observer, |site, job, desk| site.fill(&orders[job], &material, desk))?;
        let mut rounded = None;
        for (variant, (one, study)) in variants.iter().zip(made) {
            asked.push(one);
            if variant.name == ROUNDED {
                rounded = study;
            }
        }
        let rounded = rounded.ok_or_else(|| RunError::Recipe {
            why: "no model was rounded as the selective experiments need it".into(),
        })?;

        let (seed, controls) = (demonstration.seed, demonstration.controls);
        let alone = selection::alone(distilled, seed, controls).map_err(impossible)?;
        let protected = selection::protected(distilled, &rounded, seed, controls)?;
        let sets = [(ALONE, &alone), (PROTECTED, &protected)];
        let orders: Vec<Order> = (sets.iter())
            .flat_map(|(experiment, set)| set.iter().map(|variant| Order { variant, experiment }))
            .collect();
        // The longest job first, so that nobody waits for it alone in the end.
        let made = self.each(orders.len() + 1, observer, |site, job, desk| match job.checked_sub(1) {
            None => Ok(Made::Validation(site.validate(&material, desk)?)),
            Some(order) => Ok(Made::Model(site.fill(&orders[order], &material, desk)?.0)),
        })?;
        let mut correlation = None;
        for made in made {
            match made {
                Made::Model(one) => asked.push(one),
                Made::Validation(validation) => correlation = validation.correlation(&distilled.importance, None),
            }
        }
        let summary = Summary {
            program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
            seed,
            rows: tables::rows(self.site.questions, &asked),
            importance_against_damage: correlation,
            annotator: material.agreement,
            instances: distilled.manifest.instances.len(),
        };
        self.site.finish(&asked, &summary, [base, distilled, &rounded], variants)?;
        Ok(summary)
    }

    /// Jobs side by side, with the whole course's progress told.
    fn each<T: Send>(
        &mut self,
        jobs: usize,
        observer: &mut dyn Observer,
        work: impl Fn(&Site<'_>, usize, &Desk<'_>) -> Result<T, RunError> + Sync,
    ) -> Result<Vec<T>, RunError> {
        let (site, began, all) = (&self.site, self.began, self.all);
        let (done, words) = (&mut self.done, &mut self.words);
        let mut tell = |observer: &mut dyn Observer, message: Message| {
            match message {
                Message::Began(now) => *words = now,
                Message::Done(weight) => *done += weight,
            }
            let share = (*done / all).min(1.0);
            let left = (share > 0.05).then(|| Duration::from_secs_f64(began.elapsed().as_secs_f64() * (1.0 - share) / share));
            let left = left.map_or_else(String::new, |left| format!(", about {} left", duration_in_words(left)));
            observer.event(Event::Preparing {
                what: format!("{words}{left}"),
                share,
            });
        };
        side_by_side(jobs, site.threads, observer, &mut tell, |job, desk| work(site, job, desk))
    }
}

impl Site<'_> {
    /// Makes a compressed model, asks it, and interprets it where it is one of the main ones; others are taken away again.
    fn fill(&self, order: &Order<'_>, material: &Material, desk: &Desk<'_>) -> Result<(Asked, Option<Study>), RunError> {
        let variant = order.variant;
        let asked = self.compressed(variant, order.experiment, material, desk)?;
        if order.experiment == COMPRESSED {
            let study = self.interpret(&variant.name, &format!("Distilled, {}", variant.compression), material, desk)?;
            return Ok((asked, Some(study)));
        }
        // It was made to be asked; its answers stay.
        std::fs::remove_dir_all(self.demonstration.model(&variant.name)).ok();
        Ok((asked, None))
    }

    fn ask(&self, name: &str, words: &str, corpus: Corpus, desk: &Desk<'_>) -> Result<Examination, RunError> {
        desk.begin(&format!("asking {words}"))?;
        let (model, answers) = (self.demonstration.model(name), self.demonstration.out.join("answers"));
        files::create(&answers)?;
        let file = answers.join(format!("{name}.json"));
        let examination = examine((&model, corpus), &self.device, self.questions, &file, &mut || !desk.stopped())?;
        desk.done(ASKING);
        Ok(examination)
    }

    fn interpret(&self, name: &str, title: &str, material: &Material, desk: &Desk<'_>) -> Result<Study, RunError> {
        desk.begin(&format!("interpreting {title}"))?;
        let is_whole = name == "distilled";
        let settings = InterpretSettings {
            model: self.demonstration.model(name),
            traces: TraceSettings {
                traces: material.traces.clone(),
                annotations: material.annotations.clone(),
                definition: Definition::Paper,
                reading: None,
                alignment: None,
                only: Vec::new(),
                first: None,
                max_tokens: None,
            },
            out: self.demonstration.study(name),
            device: self.demonstration.device.clone(),
            weights: WeightsChoice::Resident,
            device_memory: None,
            channels: is_whole,
            texts: is_whole,
            title: Some(title.to_owned()),
        };
        let mut quiet = Quiet(desk);
        let study = PlannedRun::new(settings, &mut quiet)?.run(&mut quiet)?.study;
        desk.done(INTERPRETING);
        Ok(study)
    }

    fn compressed(&self, variant: &Variant, experiment: &'static str, material: &Material, desk: &Desk<'_>) -> Result<Asked, RunError> {
        let words = &variant.compression;
        desk.begin(&format!("compressing by {words}"))?;
        let settings = CompressSettings {
            model: self.demonstration.model("distilled"),
            out: self.demonstration.model(&variant.name),
            recipe: variant.recipe.clone(),
            calibration: Some(calibration(material)),
            stored_as: StoredAs::Float32,
            packed: None,
            basis: Basis::Original,
        };
        // The report is written last, so that a folder with one is whole; and the folder of the demonstration is nobody else's.
        if report_of(&settings.out).is_none() {
            Compression::prepare(&settings)?.run(&mut Quiet(desk))?;
        }
        desk.done(COMPRESSING);
        Ok(Asked {
            experiment,
            name: variant.name.clone(),
            model: "Distilled",
            compression: variant.compression.clone(),
            setting: variant.setting.clone(),
            examination: self.ask(&variant.name, words, Corpus::Distilled, desk)?,
        })
    }

    /// Rounds every matrix of the distilled model alone.
    fn validate(&self, material: &Material, desk: &Desk<'_>) -> Result<Validation, RunError> {
        desk.begin("rounding every matrix alone")?;
        let settings = ValidateSettings {
            study: self.demonstration.study("distilled"),
            model: self.demonstration.model("distilled"),
            treatment: rounding(selection::ALONE_BITS).map_err(impossible)?,
            text: calibration(material),
            residence: Residence::Resident,
            device: "cpu".into(),
        };
        let validation = validate(&settings, &mut Quiet(desk))?;
        desk.done(VALIDATING);
        Ok(validation)
    }

    /// Writes what is opened: results, collection, summary.
    fn finish(&self, asked: &[Asked], summary: &Summary, studies: [&Study; 3], variants: &[Variant]) -> Result<(), RunError> {
        let demonstration = self.demonstration;
        let (out, defaults) = (&demonstration.out, Demonstration::default());
        let mut command = format!("cruxscope demo --seed {}", demonstration.seed);
        if demonstration.puzzles != defaults.puzzles {
            command += &format!(" --puzzles {}", demonstration.puzzles);
        }
        let results = tables::results(self.questions, asked, summary, &command);
        files::write(&out.join(RESULTS_FILE), &results.to_json()?)?;
        files::write_json(&out.join(SUMMARY_FILE), summary)?;
        let collection = tour::collection(&tour::Found { summary, studies, variants });
        files::write(&out.join(COLLECTION_FILE), &collection.to_json()?)
    }
}

fn calibration(material: &Material) -> Calibration {
    Calibration {
        source: WindowSource::Traces {
            path: material.calibration.clone(),
            length: WINDOW,
        },
        windows: None,
        seed: None,
    }
}

/// An error that only other constants could cause.
fn impossible(error: CompressError) -> RunError {
    RunError::Recipe { why: error.to_string() }
}

/// Passes on the wish to stop, and keeps what a single step tells to itself.
struct Quiet<'a>(&'a Desk<'a>);

impl Observer for Quiet<'_> {
    fn event(&mut self, _: Event) {}

    fn stop(&self) -> bool {
        self.0.stopped()
    }
}
