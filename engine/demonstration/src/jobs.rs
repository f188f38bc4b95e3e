//! The jobs of a demonstration: a model asked, interpreted, compressed, validated; and what is written in the end.

use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_miniature::Corpus;
use cruxscope_model::decoder::Residence;
use cruxscope_model::device::ChosenDevice;
use cruxscope_run::compress::{Basis, CompressSettings, Compression};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::sensitivity::{PlannedSensitivity, SensitivitySettings, SketchText};
use cruxscope_run::trial::{Entry, OpenTrial, TrialSettings};
use cruxscope_run::validate::{ValidateSettings, validate};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, RunError};
use cruxscope_study::{COLLECTION_FILE, Definition, RESULTS_FILE, Sensitivity, Study, Trial, Validation};

use crate::examination::{Examination, Question, examination_key, examine, identity};
use crate::material::Material;
use crate::settings::{Demonstration, SUMMARY_FILE};
use crate::side_by_side::Desk;
use crate::tables::{Asked, COMPRESSED, Summary};
use crate::variants::{Variant, impossible, rounding};
use crate::{files, recipes, selection, tables, tour};

/// Tokens of a window of calibration, about two puzzles.
const WINDOW: usize = 192;

/// How long asking a model takes beside the other jobs.
pub const ASKING: f64 = 3.0;
/// Likewise interpreting it.
pub const INTERPRETING: f64 = 1.5;
/// Likewise compressing it.
pub const COMPRESSING: f64 = 0.7;
/// Likewise rounding every matrix alone.
pub const VALIDATING: f64 = 3.0;
/// Likewise sketching what every matrix costs in every format.
pub const SKETCHING: f64 = 4.0;
/// Likewise measuring the divergence of every recipe.
pub const TRYING: f64 = 1.0;
/// Draws of labels for each trace of the sketch.
const DRAWS: usize = 4;

/// What every job works on.
pub struct Jobs<'a> {
    /// What is demonstrated.
    pub demonstration: &'a Demonstration,
    /// The device.
    pub device: ChosenDevice,
    /// Jobs at once.
    pub threads: usize,
    /// The puzzles.
    pub questions: &'a [Question],
}

/// A compressed model that is to be made and asked, and interpreted where it is one of the main ones.
pub struct Order<'a> {
    /// The model.
    pub variant: &'a Variant,
    /// The experiment that it belongs to.
    pub experiment: &'static str,
}

impl Order<'_> {
    /// Whether the model is kept, since it is interpreted and looked at.
    fn stays(&self) -> bool {
        self.experiment == COMPRESSED
    }
}

impl Jobs<'_> {
    /// Makes a compressed model, asks it, and interprets it where it is one of the main ones; others are taken away again.
    pub fn fill(&self, order: &Order<'_>, material: &Material, desk: &Desk<'_>) -> Result<(Asked, Option<Study>), RunError> {
        let variant = order.variant;
        let asked = self.compressed(order, material, desk)?;
        if order.stays() {
            let study = self.interpret(&variant.name, &format!("Distilled, {}", variant.compression), material, desk)?;
            return Ok((asked, Some(study)));
        }
        // It was made to be asked; its answers stay.
        self.demonstration.remove_model(&variant.name)?;
        Ok((asked, None))
    }

    /// Asks a model every puzzle.
    pub fn ask(&self, name: &str, words: &str, corpus: Corpus, desk: &Desk<'_>) -> Result<Examination, RunError> {
        desk.begin(&format!("asking {words}"))?;
        let key = examination_key(&identity(&self.demonstration.model(name))?, corpus, self.questions);
        let examination = match self.answered(name, &key) {
            Some(kept) => kept,
            None => self.examine(name, corpus, key, desk)?,
        };
        desk.done(ASKING);
        Ok(examination)
    }

    /// What a model answered in an earlier run, if it is the same model and the same questions.
    fn answered(&self, name: &str, key: &str) -> Option<Examination> {
        Examination::read(&self.demonstration.answers(name), key)
    }

    fn examine(&self, name: &str, corpus: Corpus, key: String, desk: &Desk<'_>) -> Result<Examination, RunError> {
        let file = self.demonstration.answers(name);
        file.parent().map_or(Ok(()), files::create)?;
        let model = self.demonstration.model(name);
        let examination = examine((&model, corpus), key, &self.device, self.questions, &mut || !desk.stopped())?;
        files::write_json(&file, &examination)?;
        Ok(examination)
    }

    /// Interprets a model.
    pub fn interpret(&self, name: &str, title: &str, material: &Material, desk: &Desk<'_>) -> Result<Study, RunError> {
        desk.begin(&format!("interpreting {title}"))?;
        let is_whole = name == "distilled";
        let settings = InterpretSettings {
            model: self.demonstration.model(name),
            traces: traces_of(material),
            out: self.demonstration.study(name),
            device: self.demonstration.device.clone(),
            weights: WeightsChoice::Resident,
            device_memory: None,
            simulate_activations: false,
            channels: is_whole,
            texts: is_whole,
            title: Some(title.to_owned()),
        };
        let mut quiet = Quiet(desk);
        let study = PlannedRun::new(settings, &mut quiet)?.run(&mut quiet)?.study;
        desk.done(INTERPRETING);
        Ok(study)
    }

    fn compressed(&self, order: &Order<'_>, material: &Material, desk: &Desk<'_>) -> Result<Asked, RunError> {
        let variant = order.variant;
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
        let compression = Compression::prepare(&settings)?;
        // Of a compressed model the key of its making says which it is, also when the model itself is gone.
        let key = examination_key(&compression.key()?, Corpus::Distilled, self.questions);
        let kept = self.answered(&variant.name, &key);
        if order.stays() || kept.is_none() {
            compression.run(&mut Quiet(desk))?;
        }
        desk.done(COMPRESSING);
        desk.begin(&format!("asking {words}"))?;
        let examination = match kept {
            Some(kept) => kept,
            None => self.examine(&variant.name, Corpus::Distilled, key, desk)?,
        };
        desk.done(ASKING);
        Ok(Asked {
            experiment: order.experiment,
            name: variant.name.clone(),
            model: "Distilled",
            compression: variant.compression.clone(),
            setting: variant.setting.clone(),
            examination,
        })
    }

    /// Rounds every matrix of the distilled model alone.
    pub fn validate(&self, material: &Material, desk: &Desk<'_>) -> Result<Validation, RunError> {
        desk.begin("rounding every matrix alone")?;
        let settings = ValidateSettings {
            study: self.demonstration.study("distilled"),
            model: self.demonstration.model("distilled"),
            treatment: rounding(selection::ALONE_BITS).map_err(impossible)?,
            text: whole_puzzles(material),
            calibration: None,
            residence: Residence::Resident,
            device: "cpu".into(),
        };
        let validation = validate(&settings, &mut Quiet(desk))?;
        desk.done(VALIDATING);
        Ok(validation)
    }

    /// Sketches what every matrix of the distilled model costs in every format, on its own annotated reasoning.
    pub fn sketch(&self, material: &Material, desk: &Desk<'_>) -> Result<Sensitivity, RunError> {
        desk.begin("predicting what every matrix costs")?;
        let settings = SensitivitySettings {
            model: self.demonstration.model("distilled"),
            text: SketchText::Traces(traces_of(material)),
            calibration: None,
            menu: recipes::menu()?,
            candidates: Vec::new(),
            out: self.demonstration.study("distilled"),
            draws: DRAWS,
            seed: self.demonstration.seed,
            device: self.demonstration.device.clone(),
            weights: WeightsChoice::Resident,
            device_memory: None,
            measure: false,
            gradient_score: false,
            changes: None,
        };
        let mut quiet = Quiet(desk);
        let sensitivity = PlannedSensitivity::new(settings, &mut quiet)?.run(&mut quiet)?.sensitivity;
        desk.done(SKETCHING);
        Ok(sensitivity)
    }

    /// Measures the divergence of recipes, on puzzles that chose none of them.
    pub fn measure(&self, entries: &[Entry], material: &Material, desk: &Desk<'_>) -> Result<Trial, RunError> {
        desk.begin("measuring recipes")?;
        let settings = TrialSettings {
            model: self.demonstration.model("distilled"),
            study: self.demonstration.study("distilled"),
            held_out: whole_puzzles(material),
            calibration: None,
            candidates: Vec::new(),
            results: None,
            changes: None,
            simulate_activations: false,
            device: self.demonstration.device.clone(),
        };
        let mut quiet = Quiet(desk);
        let trial = OpenTrial::open(settings, &mut quiet)?.run(entries, &mut quiet)?;
        desk.done(TRYING);
        Ok(trial)
    }

    /// Writes what is opened: results, collection, summary.
    pub fn finish(&self, asked: &[Asked], summary: &Summary, studies: [&Study; 3], variants: &[Variant]) -> Result<(), RunError> {
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

fn traces_of(material: &Material) -> TraceSettings {
    TraceSettings {
        traces: material.traces.clone(),
        annotations: material.annotations.clone(),
        definition: Definition::Paper,
        reading: None,
        alignment: None,
        only: Vec::new(),
        first: None,
        max_tokens: None,
    }
}

/// Puzzles with their reasoning, one a window: what is measured on. The methods whose recipes are measured do not calibrate.
fn whole_puzzles(material: &Material) -> Calibration {
    Calibration {
        source: WindowSource::EachTrace {
            path: material.calibration.clone(),
        },
        windows: None,
        seed: None,
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

/// Passes on the wish to stop, and keeps what a single step tells to itself.
struct Quiet<'a>(&'a Desk<'a>);

impl Observer for Quiet<'_> {
    fn event(&mut self, _: Event) {}

    fn stop(&self) -> bool {
        self.0.stopped()
    }
}
