//! The jobs of a demonstration: a model asked, interpreted, compressed, validated; and what is written in the end.

use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_miniature::Corpus;
use cruxscope_model::decoder::Residence;
use cruxscope_model::device::ChosenDevice;
use cruxscope_run::compress::{Basis, CompressSettings, Compression, report_of};
use cruxscope_run::instances::TraceSettings;
use cruxscope_run::interpret::{InterpretSettings, PlannedRun};
use cruxscope_run::placement::WeightsChoice;
use cruxscope_run::validate::{ValidateSettings, validate};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, RunError};
use cruxscope_study::{COLLECTION_FILE, Definition, RESULTS_FILE, Study, Validation};

use crate::examination::{Examination, Question, examine};
use crate::material::Material;
use crate::settings::{Demonstration, SUMMARY_FILE};
use crate::side_by_side::Desk;
use crate::tables::{Asked, COMPRESSED, Summary};
use crate::variants::{Variant, impossible, rounding};
use crate::{files, selection, tables, tour};

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

impl Jobs<'_> {
    /// Makes a compressed model, asks it, and interprets it where it is one of the main ones; others are taken away again.
    pub fn fill(&self, order: &Order<'_>, material: &Material, desk: &Desk<'_>) -> Result<(Asked, Option<Study>), RunError> {
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

    /// Asks a model every puzzle.
    pub fn ask(&self, name: &str, words: &str, corpus: Corpus, desk: &Desk<'_>) -> Result<Examination, RunError> {
        desk.begin(&format!("asking {words}"))?;
        let (model, answers) = (self.demonstration.model(name), self.demonstration.out.join("answers"));
        files::create(&answers)?;
        let file = answers.join(format!("{name}.json"));
        let examination = examine((&model, corpus), &self.device, self.questions, &file, &mut || !desk.stopped())?;
        desk.done(ASKING);
        Ok(examination)
    }

    /// Interprets a model.
    pub fn interpret(&self, name: &str, title: &str, material: &Material, desk: &Desk<'_>) -> Result<Study, RunError> {
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
    pub fn validate(&self, material: &Material, desk: &Desk<'_>) -> Result<Validation, RunError> {
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
