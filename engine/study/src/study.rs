//! A study in memory, and its bytes: `study.json` beside one or two safetensors files.

use std::collections::BTreeMap;

use safetensors::tensor::Dtype;

use crate::arrays::{array, bytes_of, floats, parse, serialise};
use crate::component_parts::PARTS_FILE;
use crate::{
    ArrayEntry, Behaviour, ChannelMaps, Contributions, Digest, ImportanceMap, InstanceContribution, Manifest, Module, PartLayout, PartMaps, StudyError,
};

/// The file that makes a folder a study.
pub const MANIFEST_FILE: &str = "study.json";
/// Importance and contributions.
pub const ARRAYS_FILE: &str = "importance.safetensors";
/// Channel maps; larger, so a page fetches them only when they are looked at.
pub const CHANNELS_FILE: &str = "channels.safetensors";

/// A study: the manifest, the importance of every component, and what each instance added to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// From what, how and with what it was computed.
    pub manifest: Manifest,
    /// The importance of every component for every behaviour.
    pub importance: ImportanceMap,
    /// What every instance added, in the order of the manifest's instances.
    pub contributions: Contributions,
    /// Importance opened into channels, where it was kept and has been loaded.
    pub channels: Option<ChannelMaps>,
    /// Numbers of the parts of components, where there are such and they have been loaded.
    pub parts: Option<PartMaps>,
}

impl Study {
    /// Puts a study together; its importance follows from the contributions.
    ///
    /// # Errors
    /// When the contributions do not fit the manifest.
    pub fn new(manifest: Manifest, contributions: Contributions, channels: Option<ChannelMaps>) -> Result<Self, StudyError> {
        if contributions.instances.len() != manifest.instances.len() {
            return Err(StudyError::Manifest {
                why: format!(
                    "{} instances are listed, {} have contributions",
                    manifest.instances.len(),
                    contributions.instances.len()
                ),
            });
        }
        let importance = contributions.importance(manifest.model.layers)?;
        Ok(Self {
            manifest,
            importance,
            contributions,
            channels,
            parts: None,
        })
    }

    /// The same with the numbers of its parts.
    ///
    /// # Errors
    /// When they do not fit the manifest.
    pub fn with_parts(self, contributions: Vec<Vec<f64>>, shares: Vec<Vec<f64>>) -> Result<Self, StudyError> {
        let count = self.manifest.model.parts.as_ref().map_or(0, PartLayout::count);
        let parts = PartMaps::new(count, &self.contributions, contributions, shares)?;
        Ok(Self { parts: Some(parts), ..self })
    }

    /// The files of this study by name, manifest last, so that a folder with a manifest is whole.
    ///
    /// # Errors
    /// When an array cannot be written in its format.
    pub fn to_files(&self) -> Result<Vec<(String, Vec<u8>)>, StudyError> {
        let mut files = vec![(ARRAYS_FILE.to_owned(), self.arrays_to_bytes()?)];
        if let Some(channels) = &self.channels {
            files.push((CHANNELS_FILE.to_owned(), channels_to_bytes(channels, self.manifest.model.layers)?));
        }
        if let (Some(parts), Some(layout)) = (&self.parts, &self.manifest.model.parts) {
            files.push((PARTS_FILE.to_owned(), parts.to_bytes(layout)?));
        }
        let mut manifest = self.manifest.clone();
        manifest.arrays = files
            .iter()
            .map(|(file, bytes)| ArrayEntry {
                file: file.clone(),
                sha256: Digest::of(bytes),
                bytes: bytes.len() as u64,
            })
            .collect();
        manifest.check()?;
        files.push((MANIFEST_FILE.to_owned(), manifest.to_json()?));
        Ok(files)
    }

    /// Reads a study out of its files' bytes, the manifest already parsed. Channel maps are read when their bytes are given.
    ///
    /// # Errors
    /// When a file is missing or damaged, or an array contradicts the manifest.
    pub fn from_files(manifest: Manifest, files: &BTreeMap<String, Vec<u8>>) -> Result<Self, StudyError> {
        for entry in &manifest.arrays {
            let Some(bytes) = files.get(&entry.file) else {
                if entry.file == ARRAYS_FILE {
                    return Err(StudyError::MissingFile { file: entry.file.clone() });
                }
                continue;
            };
            let found = Digest::of(bytes);
            if found != entry.sha256 {
                return Err(StudyError::Digest {
                    file: entry.file.clone(),
                    expected: entry.sha256.0.clone(),
                    found: found.0,
                });
            }
        }
        let bytes = files.get(ARRAYS_FILE).ok_or_else(|| StudyError::MissingFile { file: ARRAYS_FILE.into() })?;
        let (importance, contributions) = arrays_from_bytes(&manifest, bytes)?;
        let channels = match files.get(CHANNELS_FILE) {
            Some(bytes) if manifest.arrays.iter().any(|entry| entry.file == CHANNELS_FILE) => Some(Self::channels_from_bytes(&manifest, bytes)?),
            _ => None,
        };
        let mut study = Self::new(manifest, contributions, channels)?;
        if let (Some(bytes), Some(layout)) = (files.get(PARTS_FILE), &study.manifest.model.parts)
            && study.manifest.arrays.iter().any(|entry| entry.file == PARTS_FILE)
        {
            study.parts = Some(PartMaps::from_bytes(layout, &study.contributions, bytes)?);
        }
        // The stored importance is for readers in other languages; it must be what the contributions give.
        for (position, (stored, computed)) in importance.iter().zip(study.importance.values()).enumerate() {
            if (stored - computed).abs() > 1e-9 * computed.abs().max(1e-30) {
                return Err(StudyError::Value {
                    array: "importance".into(),
                    position,
                    value: *stored,
                });
            }
        }
        Ok(study)
    }

    /// Reads channel maps that were fetched later than the rest.
    ///
    /// # Errors
    /// When the file is damaged or an array contradicts the manifest.
    pub fn channels_from_bytes(manifest: &Manifest, bytes: &[u8]) -> Result<ChannelMaps, StudyError> {
        let arrays = parse(CHANNELS_FILE, bytes)?;
        let mut channels = [0; 7];
        for (module, dimensions) in manifest.model.modules.iter().enumerate() {
            channels[module] = dimensions.outputs;
        }
        let mut values = Vec::new();
        for behaviour in Behaviour::ALL {
            let mut of_behaviour = Vec::new();
            for module in Module::ALL {
                let name = ChannelMaps::array_name(behaviour, module);
                let bytes = array(&arrays, CHANNELS_FILE, &name, Dtype::F32, &[manifest.model.layers, channels[module.index()]])?;
                of_behaviour.push(bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect());
            }
            values.push(of_behaviour);
        }
        let mut parts = Vec::new();
        if let Some(layout) = &manifest.model.parts {
            let width = layout.all().map(|(_, entry)| entry.outputs).sum();
            for behaviour in Behaviour::ALL {
                let bytes = array(&arrays, CHANNELS_FILE, &ChannelMaps::parts_name(behaviour), Dtype::F32, &[width])?;
                parts.push(bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect());
            }
        }
        Ok(ChannelMaps { channels, values, parts })
    }

    fn arrays_to_bytes(&self) -> Result<Vec<u8>, StudyError> {
        let layers = self.importance.layers();
        let instances = self.contributions.instances.len();
        let importance = bytes_of(self.importance.values());
        let relative = bytes_of(&self.importance.relative());
        let contributions: Vec<u8> = self.contributions.instances.iter().flat_map(|instance| bytes_of(&instance.values)).collect();
        let weights: Vec<u8> = self.contributions.instances.iter().flat_map(|instance| bytes_of(&instance.weights)).collect();
        let maps = vec![Behaviour::ALL.len(), layers, Module::ALL.len()];
        let per_instance = vec![instances, Behaviour::ALL.len(), layers, Module::ALL.len()];
        serialise(
            ARRAYS_FILE,
            [
                ("contributions", Dtype::F64, per_instance, &contributions),
                ("importance", Dtype::F64, maps.clone(), &importance),
                ("relative_importance", Dtype::F64, maps, &relative),
                ("weights", Dtype::F64, vec![instances, Behaviour::ALL.len()], &weights),
            ],
        )
    }
}

fn arrays_from_bytes(manifest: &Manifest, bytes: &[u8]) -> Result<(Vec<f64>, Contributions), StudyError> {
    let arrays = parse(ARRAYS_FILE, bytes)?;
    let (layers, instances) = (manifest.model.layers, manifest.instances.len());
    let per_instance = Behaviour::ALL.len() * layers * Module::ALL.len();
    let importance = floats(array(&arrays, ARRAYS_FILE, "importance", Dtype::F64, &[4, layers, 7])?);
    let contributions = floats(array(&arrays, ARRAYS_FILE, "contributions", Dtype::F64, &[instances, 4, layers, 7])?);
    let weights = floats(array(&arrays, ARRAYS_FILE, "weights", Dtype::F64, &[instances, 4])?);
    for (name, values) in [("importance", &importance), ("contributions", &contributions), ("weights", &weights)] {
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            return Err(StudyError::Value {
                array: name.into(),
                position,
                value: values[position],
            });
        }
    }
    if let Some(position) = weights.iter().position(|weight| *weight < 0.0) {
        return Err(StudyError::Value {
            array: "weights".into(),
            position,
            value: weights[position],
        });
    }
    let instances = contributions
        .chunks_exact(per_instance)
        .zip(weights.as_chunks::<4>().0)
        .map(|(values, weights)| InstanceContribution {
            values: values.to_vec(),
            weights: *weights,
        })
        .collect();
    Ok((importance, Contributions { instances }))
}

fn channels_to_bytes(channels: &ChannelMaps, layers: usize) -> Result<Vec<u8>, StudyError> {
    let mut arrays = Vec::new();
    for behaviour in Behaviour::ALL {
        for module in Module::ALL {
            let width = channels.channels[module.index()];
            let values = channels.values.get(behaviour.index()).and_then(|maps| maps.get(module.index()));
            let values = values.filter(|values| values.len() == layers * width).ok_or_else(|| StudyError::Shape {
                array: ChannelMaps::array_name(behaviour, module),
                expected: vec![layers, width],
                found: "another length".into(),
            })?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            arrays.push((ChannelMaps::array_name(behaviour, module), vec![layers, width], bytes));
        }
        if let Some(values) = channels.parts.get(behaviour.index()) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            arrays.push((ChannelMaps::parts_name(behaviour), vec![values.len()], bytes));
        }
    }
    serialise(
        CHANNELS_FILE,
        arrays.iter().map(|(name, shape, bytes)| (name.as_str(), Dtype::F32, shape.clone(), bytes)),
    )
}
