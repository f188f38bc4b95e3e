//! Where a study was opened from, and the files of it that are read only once somebody looks at them: channel maps, traces, what
//! validation and compression left beside the study.

use std::collections::BTreeMap;
use std::sync::Arc;

use cruxscope_selectors::divergence::Apart;
use cruxscope_study::{
    CHANNELS_FILE, COMPRESSION_FILE, ChannelMaps, CompressionMap, DIVERGENCE_FILE, Divergence, LEDGER_FILE, Ledger, PARTS_FILE, PartLayout, PartMaps,
    SENSITIVITY_FILE, Sensitivity, Study, StudyError, TRIAL_FILE, TraceText, Trial, VALIDATION_FILE, Validation,
};

use super::problem::Problem;

/// Where the files of a study lie.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// Nowhere: the study was handed over in memory.
    #[default]
    Memory,
    /// In a folder.
    #[cfg(not(target_arch = "wasm32"))]
    Folder(std::path::PathBuf),
    /// Behind an address.
    Address(String),
    /// Among files that were chosen or dropped.
    Files(Arc<BTreeMap<String, Vec<u8>>>),
}

/// A part of a study that is read when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Importance opened into channels.
    Channels,
    /// Importance of the parts of components, such as experts.
    Parts,
    /// Where the study's model parts from another.
    Divergence,
    /// Importance held against measured damage.
    Validation,
    /// What compression did to each matrix.
    Compression,
    /// What compressing each matrix would cost.
    Sensitivity,
    /// What recipes were measured to cost.
    Trial,
    /// What is said of the paper's claims.
    Ledger,
    /// The trace of an instance, by its place in the manifest.
    Trace(usize),
}

/// Such a part, once it was read.
#[derive(Clone, Debug)]
pub enum Arrived {
    /// Channel maps.
    Channels(Arc<ChannelMaps>),
    /// Numbers of parts of components.
    Parts(Arc<PartMaps>),
    /// Where two models part.
    Divergence(Arc<Apart>),
    /// A validation.
    Validation(Arc<Validation>),
    /// What compression did.
    Compression(Arc<CompressionMap>),
    /// What compressing would cost.
    Sensitivity(Arc<Sensitivity>),
    /// What recipes were measured to cost.
    Trial(Arc<Trial>),
    /// What is said of the paper's claims.
    Ledger(Arc<Ledger>),
    /// A trace.
    Trace(Arc<TraceText>),
}

impl Part {
    /// The file of this part; nothing where the study says that it has none.
    pub fn file(self, study: &Study) -> Option<String> {
        match self {
            Self::Channels => study
                .manifest
                .arrays
                .iter()
                .any(|entry| entry.file == CHANNELS_FILE)
                .then(|| CHANNELS_FILE.to_owned()),
            Self::Parts => study.manifest.model.parts.as_ref().map(|_| PARTS_FILE.to_owned()),
            Self::Divergence => Some(DIVERGENCE_FILE.to_owned()),
            Self::Validation => Some(VALIDATION_FILE.to_owned()),
            Self::Compression => Some(COMPRESSION_FILE.to_owned()),
            Self::Sensitivity => Some(SENSITIVITY_FILE.to_owned()),
            Self::Trial => Some(TRIAL_FILE.to_owned()),
            Self::Ledger => Some(LEDGER_FILE.to_owned()),
            Self::Trace(instance) => {
                let id = &study.manifest.instances.get(instance)?.id;
                let entry = study.manifest.traces.iter().find(|entry| entry.id == *id)?;
                Some(entry.file.file.clone())
            }
        }
    }

    /// Whether the manifest names the part's file, so that it must be there.
    pub const fn is_promised(self) -> bool {
        matches!(self, Self::Channels | Self::Parts | Self::Trace(_))
    }

    /// Reads the part out of its file's bytes.
    ///
    /// # Errors
    /// When they are damaged or contradict the study.
    pub fn read(self, study: &Study, bytes: &[u8]) -> Result<Arrived, StudyError> {
        let layers = study.manifest.model.layers;
        Ok(match self {
            Self::Channels => Arrived::Channels(Arc::new(Study::channels_from_bytes(&study.manifest, bytes)?)),
            Self::Parts => {
                let empty = PartLayout::default();
                let layout = study.manifest.model.parts.as_ref().unwrap_or(&empty);
                Arrived::Parts(Arc::new(PartMaps::from_bytes(layout, &study.contributions, bytes)?))
            }
            Self::Divergence => {
                let divergence = Divergence::from_bytes(bytes)?;
                divergence.fits(&study.manifest)?;
                Arrived::Divergence(Arc::new(Apart::of(divergence)))
            }
            Self::Validation => Arrived::Validation(Arc::new(Validation::from_json(bytes, layers)?)),
            Self::Compression => Arrived::Compression(Arc::new(CompressionMap::from_json(bytes, layers)?)),
            Self::Sensitivity => {
                let sensitivity = Sensitivity::from_bytes(bytes)?;
                sensitivity.fits(&study.manifest)?;
                Arrived::Sensitivity(Arc::new(sensitivity))
            }
            Self::Trial => Arrived::Trial(Arc::new(Trial::from_json(bytes)?)),
            Self::Ledger => Arrived::Ledger(Arc::new(Ledger::from_json(bytes)?)),
            Self::Trace(instance) => {
                let id = study.manifest.instances.get(instance).map(|entry| entry.id.as_str());
                let entry = study.manifest.traces.iter().find(|entry| Some(entry.id.as_str()) == id);
                let entry = entry.ok_or_else(|| StudyError::MissingFile {
                    file: TraceText::file_name(instance),
                })?;
                Arrived::Trace(Arc::new(TraceText::from_file(entry, bytes)?))
            }
        })
    }
}

/// How far the reading of a part is.
#[derive(Clone, Debug)]
pub enum PartState {
    /// It is on its way.
    Asked,
    /// The study has none.
    Absent,
    /// It is there.
    There(Arrived),
    /// It could not be read.
    Failed(Problem),
}

/// The parts of a study that somebody has looked for.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    states: BTreeMap<Part, PartState>,
}

impl Parts {
    /// Parts that are there from the start.
    pub fn with(arrived: impl IntoIterator<Item = (Part, Arrived)>) -> Self {
        Self {
            states: arrived.into_iter().map(|(part, arrived)| (part, PartState::There(arrived))).collect(),
        }
    }

    /// How far a part is; nothing where nobody has asked for it.
    pub fn state(&self, part: Part) -> Option<&PartState> {
        self.states.get(&part)
    }

    /// Whether any part is on its way.
    #[cfg(test)]
    pub fn any_asked(&self) -> bool {
        self.states.values().any(|state| matches!(state, PartState::Asked))
    }

    /// Notes how far a part is.
    pub fn set(&mut self, part: Part, state: PartState) {
        self.states.insert(part, state);
    }

    /// The channel maps, once they are there.
    pub fn channels(&self) -> Option<&Arc<ChannelMaps>> {
        match self.states.get(&Part::Channels) {
            Some(PartState::There(Arrived::Channels(maps))) => Some(maps),
            _ => None,
        }
    }

    /// The numbers of parts of components, once they are there.
    pub fn parts(&self) -> Option<&Arc<PartMaps>> {
        match self.states.get(&Part::Parts) {
            Some(PartState::There(Arrived::Parts(maps))) => Some(maps),
            _ => None,
        }
    }

    /// Where the study's model parts from another, once it is there.
    pub fn divergence(&self) -> Option<&Arc<Apart>> {
        match self.states.get(&Part::Divergence) {
            Some(PartState::There(Arrived::Divergence(apart))) => Some(apart),
            _ => None,
        }
    }

    /// The validation, once it is there.
    pub fn validation(&self) -> Option<&Arc<Validation>> {
        match self.states.get(&Part::Validation) {
            Some(PartState::There(Arrived::Validation(validation))) => Some(validation),
            _ => None,
        }
    }

    /// What compression did, once it is there.
    pub fn compression(&self) -> Option<&Arc<CompressionMap>> {
        match self.states.get(&Part::Compression) {
            Some(PartState::There(Arrived::Compression(map))) => Some(map),
            _ => None,
        }
    }

    /// What compressing would cost, once it is there.
    pub fn sensitivity(&self) -> Option<&Arc<Sensitivity>> {
        match self.states.get(&Part::Sensitivity) {
            Some(PartState::There(Arrived::Sensitivity(sensitivity))) => Some(sensitivity),
            _ => None,
        }
    }

    /// What recipes were measured to cost, once it is there.
    pub fn trial(&self) -> Option<&Arc<Trial>> {
        match self.states.get(&Part::Trial) {
            Some(PartState::There(Arrived::Trial(trial))) => Some(trial),
            _ => None,
        }
    }

    /// What is said of the paper's claims, once it is there.
    pub fn ledger(&self) -> Option<&Arc<Ledger>> {
        match self.states.get(&Part::Ledger) {
            Some(PartState::There(Arrived::Ledger(ledger))) => Some(ledger),
            _ => None,
        }
    }

    /// The trace of an instance, once it is there.
    pub fn trace(&self, instance: usize) -> Option<&Arc<TraceText>> {
        match self.states.get(&Part::Trace(instance)) {
            Some(PartState::There(Arrived::Trace(trace))) => Some(trace),
            _ => None,
        }
    }
}

/// How far a part is, given its file's bytes, nothing where the file is not there, or why it could not be read.
pub fn part_state(study: &Study, part: Part, file: &str, bytes: Result<Option<&[u8]>, String>) -> PartState {
    match bytes {
        Ok(None) if part.is_promised() => PartState::Failed(Problem::of_study(file, &StudyError::MissingFile { file: file.to_owned() })),
        Ok(None) => PartState::Absent,
        Ok(Some(bytes)) => match part.read(study, bytes) {
            Ok(arrived) => PartState::There(arrived),
            Err(error) => PartState::Failed(Problem::of_study(file, &error)),
        },
        Err(why) => PartState::Failed(Problem {
            attempted: format!("Could not read {file}"),
            why,
            advice: "Check that the file lies beside study.json and may be read.".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn a_study_names_the_files_that_it_promises() {
        let study = samples::study(2);
        assert_eq!(Part::Channels.file(&study), None);
        assert_eq!((Part::Trace(0).file(&study), Part::Parts.file(&study)), (None, None));
        assert!(Part::Parts.is_promised() && Part::Parts.file(&samples::mixture(2, 4)).is_some());
        assert_eq!(Part::Validation.file(&study).as_deref(), Some("validation.json"));
        assert!(Part::Validation.read(&study, b"{}").is_err());
        assert!(Part::Trace(9).read(&study, b"{}").is_err());
    }
}
