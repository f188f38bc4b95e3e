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
mod tables;
mod tour;
mod variants;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::CompressError;
use cruxscope_miniature::{Corpus, embedded};
use cruxscope_model::decoder::Residence;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_run::compress::{Basis, CompressSettings, Compression};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::plan::WeightsChoice;
use cruxscope_run::validate::{ValidateSettings, validate};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, RunError};
use cruxscope_study::{COLLECTION_FILE, Definition, RESULTS_FILE, Study};

use examination::{Examination, Question, examine, questions};
pub use material::Agreement;
use material::Material;
use tables::Asked;
pub use tables::{ALONE, COMPRESSED, LOST, Lost, PROTECTED, Row, Share, Summary, title};
use variants::{Variant, main_variants, rounding};

pub use cruxscope_miniature::puzzles::Kind;

/// The file of the printed numbers.
pub const SUMMARY_FILE: &str = "summary.json";
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
            puzzles: 100,
            instances: 20,
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
            demonstration: self,
            device,
            questions: &questions,
            began: Instant::now(),
            done: 0.0,
            // Asking is one, interpreting or compressing half of it.
            all: 2.0 + 1.0 + variants.len() as f64 * 2.0 + selected as f64 * 1.5 + 1.0,
            observer,
        };
        course.run(&variants)
    }

    fn model(&self, name: &str) -> PathBuf {
        self.out.join("models").join(name)
    }

    fn study(&self, name: &str) -> PathBuf {
        self.out.join(tour::study_place(name))
    }
}

/// A demonstration on its way.
struct Course<'a> {
    demonstration: &'a Demonstration,
    device: ChosenDevice,
    questions: &'a [Question],
    began: Instant,
    done: f64,
    all: f64,
    observer: &'a mut dyn Observer,
}

impl Course<'_> {
    fn run(&mut self, variants: &[Variant]) -> Result<Summary, RunError> {
        let mut asked = Vec::new();
        for (corpus, model) in [(Corpus::Base, "Base"), (Corpus::Distilled, "Distilled")] {
            asked.push(Asked {
                experiment: COMPRESSED,
                name: corpus.name().into(),
                model,
                compression: String::new(),
                setting: String::new(),
                examination: self.ask(corpus.name(), model, corpus)?,
            });
        }
        let data = self.demonstration.out.join("data");
        let material = material::write(&data, self.questions, &asked[1].examination, self.demonstration.instances)?;
        let distilled = self.interpret("distilled", "Distilled", &material)?;
        let base = self.interpret("base", "Base", &material)?;
        let mut rounded = None;
        for variant in variants {
            asked.push(self.compressed(variant, COMPRESSED, &material)?);
            let study = self.interpret(&variant.name, &format!("Distilled, {}", variant.compression), &material)?;
            if variant.name == "rtn-3" {
                rounded = Some(study);
            }
        }
        let rounded = rounded.ok_or_else(|| RunError::Recipe {
            why: "no model was rounded to three bits".into(),
        })?;
        let (seed, controls) = (self.demonstration.seed, self.demonstration.controls);
        let sets = [
            (ALONE, selection::alone(&distilled, seed, controls).map_err(impossible)?),
            (PROTECTED, selection::protected(&distilled, &rounded, seed, controls)?),
        ];
        for (experiment, set) in sets {
            for variant in &set {
                asked.push(self.compressed(variant, experiment, &material)?);
                // It was made to be asked; its answers stay.
                std::fs::remove_dir_all(self.demonstration.model(&variant.name)).ok();
            }
        }
        let validation = self.step("every matrix alone", 1.0, |course| {
            let settings = ValidateSettings {
                study: course.demonstration.study("distilled"),
                model: course.demonstration.model("distilled"),
                treatment: rounding(selection::ALONE_BITS).map_err(impossible)?,
                text: calibration(&material, Some(64)),
                residence: Residence::Resident,
            };
            validate(&settings, &mut Quiet(&*course.observer))
        })?;
        let summary = Summary {
            program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
            seed,
            rows: tables::rows(self.questions, &asked),
            importance_against_damage: validation.correlation(&distilled.importance, None),
            annotator: material.agreement,
            instances: distilled.manifest.instances.len(),
        };
        self.finish(&asked, &summary, [&base, &distilled, &rounded], variants)?;
        Ok(summary)
    }

    /// Writes what is opened: results, collection, summary.
    fn finish(&self, asked: &[Asked], summary: &Summary, studies: [&Study; 3], variants: &[Variant]) -> Result<(), RunError> {
        let out = &self.demonstration.out;
        let defaults = Demonstration::default();
        let mut command = format!("cruxscope demo --seed {}", self.demonstration.seed);
        if self.demonstration.puzzles != defaults.puzzles {
            command += &format!(" --puzzles {}", self.demonstration.puzzles);
        }
        let results = tables::results(self.questions, asked, summary, &command);
        files::write(&out.join(RESULTS_FILE), &results.to_json()?)?;
        files::write_json(&out.join(SUMMARY_FILE), summary)?;
        let collection = tour::collection(&tour::Found { summary, studies, variants });
        files::write(&out.join(COLLECTION_FILE), &collection.to_json()?)
    }

    fn ask(&mut self, name: &str, words: &str, corpus: Corpus) -> Result<Examination, RunError> {
        let (model, file) = (self.demonstration.model(name), self.demonstration.out.join("answers"));
        files::create(&file)?;
        let file = file.join(format!("{name}.json"));
        let (device, questions) = (self.device.clone(), self.questions);
        self.step(&format!("asking {words}"), 1.0, |course| {
            let (done, all) = (course.done, course.all);
            let mut told = |share: f64| {
                course.tell(&format!("asking {words}"), (done + share) / all);
                !course.observer.stop()
            };
            examine((&model, corpus), &device, questions, &file, &mut told)
        })
    }

    fn interpret(&mut self, name: &str, title: &str, material: &Material) -> Result<Study, RunError> {
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
            channels: is_whole,
            texts: is_whole,
            title: Some(title.to_owned()),
        };
        self.step(&format!("interpreting {title}"), 0.5, |course| {
            let mut quiet = Quiet(&*course.observer);
            Ok(PlannedRun::new(settings, &mut quiet)?.run(&mut quiet)?.study)
        })
    }

    fn compressed(&mut self, variant: &Variant, experiment: &'static str, material: &Material) -> Result<Asked, RunError> {
        let settings = CompressSettings {
            model: self.demonstration.model("distilled"),
            out: self.demonstration.model(&variant.name),
            recipe: variant.recipe.clone(),
            calibration: Some(calibration(material, None)),
            stored_as: StoredAs::Float32,
            packed: None,
            basis: Basis::Original,
        };
        let words = match variant.setting.split_once(':') {
            Some((set, _)) => format!("{}, {set}", variant.compression),
            None => variant.compression.clone(),
        };
        self.step(&format!("compressing by {words}"), 0.5, |course| {
            Compression::prepare(&settings)?.run(&mut Quiet(&*course.observer))
        })?;
        Ok(Asked {
            experiment,
            name: variant.name.clone(),
            model: "Distilled",
            compression: variant.compression.clone(),
            setting: variant.setting.clone(),
            examination: self.ask(&variant.name, &words, Corpus::Distilled)?,
        })
    }

    /// A step of the course, told at its beginning, left out of no account at its end.
    fn step<T>(&mut self, words: &str, weight: f64, work: impl FnOnce(&mut Self) -> Result<T, RunError>) -> Result<T, RunError> {
        if self.observer.stop() {
            return Err(files::cancelled());
        }
        self.tell(words, self.done / self.all);
        let result = work(self)?;
        self.done += weight;
        Ok(result)
    }

    fn tell(&mut self, words: &str, share: f64) {
        let elapsed = self.began.elapsed().as_secs_f64();
        let left = (share > 0.05).then(|| Duration::from_secs_f64(elapsed * (1.0 - share) / share));
        let what = match left {
            Some(left) => format!("{words}, about {} left", cruxscope_run::machine::duration_in_words(left)),
            None => words.to_owned(),
        };
        self.observer.event(Event::Preparing { what, share });
    }
}

fn calibration(material: &Material, windows: Option<usize>) -> Calibration {
    Calibration {
        source: WindowSource::Traces {
            path: material.calibration.clone(),
            length: WINDOW,
        },
        windows,
        seed: None,
    }
}

/// An error that only other constants could cause.
fn impossible(error: CompressError) -> RunError {
    RunError::Recipe { why: error.to_string() }
}

/// Passes on the wish to stop, and keeps what a single step tells to itself.
struct Quiet<'a>(&'a dyn Observer);

impl Observer for Quiet<'_> {
    fn event(&mut self, _: Event) {}

    fn stop(&self) -> bool {
        self.0.stop()
    }
}

/// Whether a folder holds a finished demonstration.
pub fn is_finished(out: &Path) -> bool {
    out.join(COLLECTION_FILE).is_file()
}
