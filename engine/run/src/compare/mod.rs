//! Where two models part: both read the same texts, planned, resumable at the grain of a text, and put together into the study of B.
//!
//! Nothing is generated for it: at every position of a text that is given, the next-token distributions of A and B are compared
//! (teacher forcing), so that a difference at one position is not carried on to the next. It takes one forward pass of each model;
//! causes ([`causes`]) take one more of B, and two and a half for each set of positions. Every finished text is a part in
//! `OUT/.divergence` with a key that covers both models' files, the tokens and what is counted.

mod causes;
mod combine;
mod continuations;
mod measure;
mod part;
mod plan;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cruxscope_checkpoint::Checkpoint;
use cruxscope_interpret::InterpretError;
use cruxscope_model::decoder::Decoder;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::with_kernels;
use cruxscope_sensitivity::candidate::{changes_of, same_model};
use cruxscope_study::parts::remove_parts;
use cruxscope_study::{Behaviour, DIVERGENCE_FILE, DigestBuilder, Divergence, FileDigest, OutputLock, Positions, folder};

use self::measure::Reader;
use self::part::TextPart;
pub use self::plan::ComparePlan;
pub use self::text::CompareText;
use self::text::{Text, read};
use crate::guard::catch_panic;
use crate::manifest::model_entry;
use crate::place::Place;
use crate::placement::WeightsChoice;
use crate::sensitivity::{check_study, refuse_foreign};
use crate::{Event, Observer, RunError};
use crate::{activations, digests};

/// Changes whenever a part's numbers would: parts of an earlier value are computed again.
const PART_VERSION: u32 = 1;
/// Where finished texts are kept until they are put together.
const PARTS: &str = ".divergence";

/// Which models are compared, on what, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSettings {
    /// A: the model that wrote the texts, or from which the other was made.
    pub a: PathBuf,
    /// B: the compressed model, the base model, or any other of the same vocabulary.
    pub b: PathBuf,
    /// What both read.
    pub text: CompareText,
    /// The folder of B's study.
    pub out: PathBuf,
    /// The sets of positions whose causes are computed; those that no text holds are left out.
    pub causes: Vec<Positions>,
    /// So many tokens are written by both models from where their choices first part; none where that is not asked for.
    pub generate: Option<usize>,
    /// Whether quantized activations are simulated, in whichever of the two has such.
    pub simulate_activations: bool,
    /// The device, by name.
    pub device: String,
    /// Where weights live.
    pub weights: WeightsChoice,
}

/// A comparison that has been checked and can begin.
pub struct PlannedCompare {
    settings: CompareSettings,
    checkpoints: [Arc<Checkpoint>; 2],
    device: ChosenDevice,
    texts: Vec<Text>,
    behaviours: Vec<Behaviour>,
    causes: Vec<Positions>,
    model_files: [Vec<FileDigest>; 2],
    data_files: Vec<FileDigest>,
    /// What it will do and take.
    pub plan: ComparePlan,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareOutcome {
    /// Where the models part.
    pub divergence: Divergence,
    /// Whether it had been finished by an earlier run.
    pub was_complete: bool,
    /// Where the time of this run went.
    pub seconds: Seconds,
}

/// Where the time of a run went, in seconds; continuations are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// A forward pass of A and one of B up to their logits, weights read included.
    pub forward: f64,
    /// Comparing the distributions.
    pub comparing: f64,
    /// Causes.
    pub causes: f64,
}

impl Seconds {
    /// What the comparison itself took, in forward passes of A plus B; none where nothing was computed.
    pub fn passes(&self) -> Option<f64> {
        (self.forward > 0.0).then(|| (self.forward + self.comparing) / self.forward)
    }
}

impl PlannedCompare {
    /// Opens everything, reads the texts and plans; nothing is written.
    ///
    /// # Errors
    /// When an input cannot be used, the models cannot be compared, the device is missing, or the run would not fit.
    pub fn new(settings: CompareSettings, observer: &mut dyn Observer) -> Result<Self, RunError> {
        let device = device::find(&settings.device)?;
        if settings.simulate_activations && !settings.causes.is_empty() {
            return Err(RunError::Recipe {
                why: "causes are told of weights alone, and simulated activations are a cause beside them; leave one of the two out".into(),
            });
        }
        let open = |path: &Path| activations::open_any(path, settings.simulate_activations).map(Arc::new);
        let checkpoints = [open(&settings.a)?, open(&settings.b)?];
        let [a, b] = &checkpoints;
        activations::check(&[a, b], settings.simulate_activations)?;
        for checkpoint in &checkpoints {
            checkpoint.notes().iter().for_each(|note| observer.event(Event::Note { text: note.clone() }));
        }
        let refuse = |why: String| Err(RunError::Recipe { why });
        if a.config().vocabulary != b.config().vocabulary {
            return refuse(format!(
                "{} knows {} tokens and {} knows {}: distributions over different vocabularies cannot be compared",
                a.name(),
                a.config().vocabulary,
                b.name(),
                b.config().vocabulary
            ));
        }
        let texts = read(&settings.text, &checkpoints, observer)?;
        if texts.iter().all(|text| text.predictions() == 0) {
            return refuse("the text gives no prediction to compare: every text has one token or none".into());
        }
        let behaviours: Vec<Behaviour> = Behaviour::ALL
            .into_iter()
            .filter(|behaviour| texts.iter().any(|text| text.holds(*behaviour)))
            .collect();
        let held = |positions: &Positions| match positions {
            Positions::Behaviour(behaviour) => behaviours.contains(behaviour),
            _ => true,
        };
        // In one order, each once, whatever the order of the flag.
        let causes: Vec<Positions> = Positions::every()
            .filter(|positions| settings.causes.contains(positions) && held(positions))
            .collect();
        if !causes.is_empty() {
            same_model(&b.name(), a.config(), b.config())?;
            // Another basis is refused before anything is computed.
            changes_of(&b.name(), &b.config().modules(0), 0, (&a.layer(0)?, &b.layer(0)?))?;
        }
        let model_files = [digests::all(&a.files(), observer)?, digests::all(&b.files(), observer)?];
        let data_files = digests::all(&settings.text.files(), observer)?;
        check_study(&settings.out, &model_entry(b, &model_files[1]))?;
        let place = Place::of(Some(&device), &settings.device, b, None)?.measured(&device, b)?;
        let plan = ComparePlan::new([a.config(), b.config()], &texts, causes.len(), settings.weights, &place)?;
        Ok(Self {
            settings,
            checkpoints,
            device,
            texts,
            behaviours,
            causes,
            model_files,
            data_files,
            plan,
        })
    }

    /// The device, in words.
    pub fn device(&self) -> String {
        self.device.describe()
    }

    /// The names of A and B.
    pub fn names(&self) -> [String; 2] {
        self.checkpoints.each_ref().map(|checkpoint| checkpoint.name())
    }

    /// The positions whose causes are computed.
    pub fn causes(&self) -> &[Positions] {
        &self.causes
    }

    /// Runs, or resumes, and saves the result into the study of B.
    ///
    /// # Errors
    /// When a model cannot be run, the observer says stop, or the disk refuses. Finished texts stay on disk.
    pub fn run(self, observer: &mut dyn Observer) -> Result<CompareOutcome, RunError> {
        if let Some(divergence) = self.finished()? {
            // Whoever saved it may have been killed before the parts went.
            remove_parts(&self.parts());
            return Ok(CompareOutcome {
                divergence,
                was_complete: true,
                seconds: Seconds::default(),
            });
        }
        let lock = OutputLock::take_in(&self.settings.out, Duration::ZERO)?;
        let worked = self.compute_and_save(observer);
        drop(lock);
        if worked.is_err() {
            // A folder in which nothing was finished is taken back; `remove_dir` refuses any that holds something.
            std::fs::remove_dir(self.parts()).ok();
            std::fs::remove_dir(&self.settings.out).ok();
        }
        worked
    }

    fn compute_and_save(&self, observer: &mut dyn Observer) -> Result<CompareOutcome, RunError> {
        let parts = self.parts();
        refuse_foreign(&self.settings.out, &parts)?;
        std::fs::create_dir_all(&parts).map_err(|source| RunError::Io {
            attempt: "create",
            path: parts.clone(),
            source,
        })?;
        let (backend, seconds) = with_kernels!(self.device.clone(), |kernels| self.compute(kernels, observer))?;
        observer.event(Event::Merging);
        let mut divergence = self.combine(backend)?;
        if let Some(tokens) = self.settings.generate {
            self.continuations(&mut divergence, tokens, observer)?;
        }
        self.save(&divergence)?;
        Ok(CompareOutcome {
            divergence,
            was_complete: false,
            seconds,
        })
    }

    fn compute<K: Kernels + Clone>(&self, kernels: K, observer: &mut dyn Observer) -> Result<(String, Seconds), RunError> {
        let backend = kernels.describe();
        let mut todo = Vec::new();
        for text in &self.texts {
            if TextPart::load(&self.part(text), &self.part_key(text))?.is_none() {
                todo.push(text);
            }
        }
        let mut done = self.texts.len() - todo.len();
        if done > 0 {
            observer.event(Event::Resumed { instances: done });
        }
        if todo.is_empty() {
            return Ok((backend, Seconds::default()));
        }
        let decoders = [
            Decoder::new(self.checkpoints[0].clone(), kernels.clone(), self.plan.weights)?,
            Decoder::new(self.checkpoints[1].clone(), kernels, self.plan.weights)?,
        ];
        let reader = Reader {
            decoders: &decoders,
            checkpoints: &self.checkpoints,
            causes: &self.causes,
            storage: self.plan.activations,
            folder: &self.parts(),
        };
        let whole: f64 = todo.iter().map(|text| reader.steps(text)).sum();
        let tokens: usize = todo.iter().map(|text| text.ids.len()).sum();
        let began = Instant::now();
        let (mut spent, mut seconds) = (0.0, Seconds::default());
        for batch in todo.chunks(self.plan.batch) {
            if observer.stop() {
                return Err(InterpretError::Cancelled.into());
            }
            observer.event(Event::Began {
                id: batch[0].id.clone(),
                count: batch.len(),
            });
            let mut watch = |steps: f64| {
                spent += steps;
                observer.event(Event::advanced((spent / whole.max(1.0)).min(1.0), tokens as f64, began));
                !observer.stop()
            };
            let found = catch_panic("a text", || reader.read(batch, &mut seconds, &mut watch))?;
            for (part, text) in found.iter().zip(batch) {
                part.save(&self.part(text), &self.part_key(text))?;
            }
            done += batch.len();
            observer.event(Event::Finished { done, of: self.texts.len() });
        }
        Ok((backend, seconds))
    }

    /// The result in the folder, if it is this run's.
    fn finished(&self) -> Result<Option<Divergence>, RunError> {
        let Ok(bytes) = std::fs::read(self.settings.out.join(DIVERGENCE_FILE)) else {
            return Ok(None);
        };
        let found = Divergence::from_bytes(&bytes)?;
        let key = found.facts.settings.get("run").and_then(serde_json::Value::as_str);
        Ok((key == Some(self.run_key().as_str())).then_some(found))
    }

    fn parts(&self) -> PathBuf {
        self.settings.out.join(PARTS)
    }

    fn part(&self, text: &Text) -> PathBuf {
        let digest = cruxscope_study::Digest::of(text.id.as_bytes());
        self.parts().join(format!("window-{}.safetensors", &digest.0[..24]))
    }

    /// Covers everything that the result's numbers depend on.
    fn run_key(&self) -> String {
        let mut builder = DigestBuilder::default();
        for text in &self.texts {
            builder.update(self.part_key(text).as_bytes());
            builder.update(format!("{} {} {:?}", text.thought, text.answer, text.ends.last()).as_bytes());
        }
        builder.update(format!("{:?}", self.settings.generate).as_bytes());
        builder.finish().0
    }

    fn part_key(&self, text: &Text) -> String {
        let mut builder = DigestBuilder::default();
        let arithmetic = device::arithmetic(&self.settings.device);
        let simulated = activations::key(self.settings.simulate_activations);
        builder.update(format!("compare {PART_VERSION} {arithmetic} {:?}{simulated}", self.causes).as_bytes());
        for file in self.model_files.iter().flatten() {
            builder.update(format!("\n{} {}", file.name, file.sha256).as_bytes());
        }
        builder.update(format!("\n{}\n", text.id).as_bytes());
        text.ids.iter().for_each(|id| builder.update(&id.to_le_bytes()));
        builder.update(&text.behaviours);
        if self.causes.iter().any(|positions| matches!(positions, Positions::At(_))) {
            builder.update(format!("{} {}", text.thought, text.answer).as_bytes());
        }
        builder.finish().0
    }

    fn out(&self) -> &Path {
        &self.settings.out
    }
}

/// Loads the divergence of a study.
///
/// # Errors
/// As [`folder::load_divergence`].
pub fn load(study: &Path) -> Result<Option<Divergence>, RunError> {
    Ok(folder::load_divergence(study)?)
}
