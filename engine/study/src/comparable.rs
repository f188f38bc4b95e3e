//! Whether two studies may be compared: what forbids it, and what only has to be said.
//!
//! A shift between different networks or definitions means nothing and is refused. One between different data, instances,
//! bases or settings means something else than the effect of compression alone; who wants it asks for it, and the sentence
//! that says what differs stays with the result.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::{InstanceEntry, Manifest, Module};

/// Settings that say something about a run or its data, and nothing about how it was computed.
const NOT_COMPARED: [&str; 6] = [
    "run",
    "sections",
    "sections_repaired",
    "sections_tolerated",
    "sections_unclosed",
    "sections_unknown_labels",
];
/// Instances that a sentence names.
const NAMED: usize = 3;

/// Something in which two comparable studies may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// The files of traces and annotations.
    Data,
    /// The instances, their tokens or their segments.
    Instances,
    /// The basis in which activations stand (METHOD: "One basis, or say so").
    Basis,
    /// The reading of annotations, the alignment, the cap on tokens.
    Settings,
    /// The precision in which they were computed.
    Precision,
}

impl DifferenceKind {
    /// All of them, in the order in which they are said.
    pub const ALL: [Self; 5] = [Self::Data, Self::Instances, Self::Basis, Self::Settings, Self::Precision];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Instances => "instances",
            Self::Basis => "basis",
            Self::Settings => "settings",
            Self::Precision => "precision",
        }
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DifferenceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("\"{text}\" is nothing in which two studies may differ; known are {}", known.join(", "))
        })
    }
}

/// What differs between two studies, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In what they differ.
    pub kind: DifferenceKind,
    /// A whole sentence, in which the studies are A and B.
    pub sentence: String,
}

/// All that stands between two studies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparability {
    /// What makes a comparison meaningless, one sentence each.
    pub refusals: Vec<String>,
    /// What a comparison has to say, one sentence each.
    pub differences: Vec<Difference>,
}

impl Comparability {
    /// Compares two manifests.
    pub fn between(a: &Manifest, b: &Manifest) -> Self {
        let differences = [
            (DifferenceKind::Data, data(a, b)),
            (DifferenceKind::Instances, instances(a, b)),
            (DifferenceKind::Basis, basis(a, b)),
            (DifferenceKind::Settings, settings(a, b)),
            (DifferenceKind::Precision, precision(a, b)),
        ];
        Self {
            refusals: refusals(a, b),
            differences: differences
                .into_iter()
                .filter_map(|(kind, sentence)| Some(Difference { kind, sentence: sentence? }))
                .collect(),
        }
    }
}

fn refusals(a: &Manifest, b: &Manifest) -> Vec<String> {
    let mut refusals = Vec::new();
    let (first, second) = (&a.model, &b.model);
    if first.architecture != second.architecture {
        refusals.push(format!("A is of architecture {}, B of {}.", first.architecture, second.architecture));
    }
    if first.layers != second.layers {
        refusals.push(format!("A has {} layers, B has {}.", first.layers, second.layers));
    }
    let differs = Module::ALL
        .into_iter()
        .find(|module| first.modules.get(module.index()) != second.modules.get(module.index()));
    if let Some(module) = differs {
        let size = |manifest: &Manifest| {
            let found = manifest.model.modules.get(module.index());
            found.map_or_else(|| "missing".to_owned(), |found| format!("{} by {}", found.outputs, found.inputs))
        };
        refusals.push(format!("{module} is {} in A and {} in B.", size(a), size(b)));
    }
    if first.parts != second.parts {
        refusals.push("The parts of their components, such as experts, are not the same.".to_owned());
    }
    if a.definition != b.definition {
        refusals.push(format!("A was computed by the definition \"{}\", B by \"{}\".", a.definition, b.definition));
    }
    refusals
}

fn data(a: &Manifest, b: &Manifest) -> Option<String> {
    let digests = |manifest: &Manifest| -> BTreeSet<String> { manifest.data.iter().map(|file| file.sha256.0.clone()).collect() };
    if digests(a) == digests(b) {
        return None;
    }
    let names = |from: &Manifest, other: &Manifest| {
        let other = digests(other);
        let own: Vec<&str> = from
            .data
            .iter()
            .filter(|file| !other.contains(&file.sha256.0))
            .map(|file| file.name.as_str())
            .collect();
        if own.is_empty() { "nothing besides".to_owned() } else { own.join(" and ") }
    };
    Some(format!(
        "The data differ (A read {}, B {}), so the shift holds the change of text besides that of the model.",
        names(a, b),
        names(b, a)
    ))
}

fn instances(a: &Manifest, b: &Manifest) -> Option<String> {
    let by_id = |manifest: &Manifest| -> BTreeMap<String, InstanceEntry> { manifest.instances.iter().map(|entry| (entry.id.clone(), entry.clone())).collect() };
    let (first, second) = (by_id(a), by_id(b));
    let only = |own: &BTreeMap<String, InstanceEntry>, other: &BTreeMap<String, InstanceEntry>| own.keys().filter(|id| !other.contains_key(*id)).count();
    let (only_a, only_b) = (only(&first, &second), only(&second, &first));
    if only_a + only_b > 0 {
        let shared = first.len() - only_a;
        return Some(format!(
            "{shared} of the instances {} in both studies, {only_a} in A only and {only_b} in B only.",
            if shared == 1 { "stands" } else { "stand" }
        ));
    }
    let changed: Vec<&str> = first
        .iter()
        .filter(|(id, entry)| {
            second
                .get(*id)
                .is_some_and(|other| entry.tokens != other.tokens || entry.segments != other.segments)
        })
        .map(|(id, _)| id.as_str())
        .collect();
    let (named, rest) = changed.split_at(changed.len().min(NAMED));
    let list = named.join(", ");
    match (named.is_empty(), rest.len()) {
        (true, _) => None,
        (false, 0) => Some(format!("Tokens or segments differ between A and B in {list}.")),
        (false, more) => Some(format!("Tokens or segments differ between A and B in {list} and {more} more.")),
    }
}

fn basis(a: &Manifest, b: &Manifest) -> Option<String> {
    const ORIGINAL: &str = "original";
    let (first, second) = (a.model.basis.as_str(), b.model.basis.as_str());
    let why = "activations are scaled differently, so part of the shift is the scaling and not the model";
    if first != second {
        return Some(format!("A stands in the basis \"{first}\", B in \"{second}\": {why}."));
    }
    // Scales are folded anew for every compressed model, so the same word is not the same basis.
    (first != ORIGINAL && a.model.files != b.model.files).then(|| format!("A and B are both in the basis \"{first}\", each with scales of its own: {why}."))
}

fn settings(a: &Manifest, b: &Manifest) -> Option<String> {
    let keys: BTreeSet<&String> = a.settings.keys().chain(b.settings.keys()).collect();
    let say = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let differing: Vec<String> = keys
        .into_iter()
        .filter(|key| !NOT_COMPARED.contains(&key.as_str()))
        .filter_map(|key| {
            let (first, second) = (say(a.settings.get(key)), say(b.settings.get(key)));
            (first != second).then(|| format!("{} is {first} in A and {second} in B", key.replace('_', " ")))
        })
        .collect();
    (!differing.is_empty()).then(|| format!("Settings differ: {}.", differing.join("; ")))
}

fn precision(a: &Manifest, b: &Manifest) -> Option<String> {
    let (first, second) = (precisions(a), precisions(b));
    let say = |found: &BTreeSet<&str>| found.iter().copied().collect::<Vec<_>>().join(" and ");
    let both_known = !first.is_empty() && !second.is_empty();
    (both_known && first != second).then(|| {
        format!(
            "A was computed in {}, B in {}: differences of a few parts in a hundred come from that alone.",
            say(&first),
            say(&second)
        )
    })
}

/// The precisions of the devices that computed a study; none where its manifest does not say.
fn precisions(manifest: &Manifest) -> BTreeSet<&'static str> {
    let backends = manifest.device.get("backends").and_then(Value::as_array);
    let of = |backend: &Value| {
        let known = ["bfloat16", "float64", "float32"];
        known
            .into_iter()
            .find(|precision| backend.as_str().is_some_and(|text| text.contains(precision)))
    };
    // The float64 reference agrees with float32 to float32's own precision.
    let found = backends.into_iter().flatten().filter_map(of);
    found.map(|precision| if precision == "float64" { "float32" } else { precision }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn studies_of_another_precision_are_told_apart() {
        let of = |backend: &str| {
            let mut manifest = manifest();
            manifest.device.insert("backends".into(), serde_json::json!([backend]));
            manifest
        };
        let (full, half, slow) = (of("cpu, float32"), of("cuda, products in bfloat16, else float32"), of("reference, float64"));
        let said = |a: &Manifest, b: &Manifest| Comparability::between(a, b).differences;
        assert!(
            said(&full, &half)
                .iter()
                .any(|difference| difference.kind == DifferenceKind::Precision && difference.sentence.contains("bfloat16"))
        );
        assert!(said(&full, &slow).is_empty() && said(&full, &full).is_empty());
        assert!(said(&full, &manifest()).is_empty(), "an older manifest does not say");
    }
    use crate::{Definition, Digest, FileDigest, ModelEntry, ModuleDimensions};

    fn manifest() -> Manifest {
        Manifest {
            model: ModelEntry {
                architecture: "llama".into(),
                layers: 2,
                modules: vec![ModuleDimensions { outputs: 4, inputs: 4 }; 7],
                basis: "original".into(),
                ..ModelEntry::default()
            },
            data: vec![FileDigest {
                name: "traces.jsonl".into(),
                bytes: 1,
                sha256: Digest::of(b"one"),
            }],
            instances: ["a", "b"]
                .map(|id| InstanceEntry {
                    id: id.into(),
                    tokens: 5,
                    ..InstanceEntry::default()
                })
                .into(),
            ..Manifest::default()
        }
    }

    fn changed(change: impl FnOnce(&mut Manifest)) -> Comparability {
        let mut other = manifest();
        change(&mut other);
        Comparability::between(&manifest(), &other)
    }

    #[test]
    fn a_study_may_be_compared_with_itself_and_with_another_run_of_it() {
        assert_eq!(Comparability::between(&manifest(), &manifest()), Comparability::default());
        let run = changed(|other| {
            other.settings.insert("run".into(), "abc".into());
            other.settings.insert("max_tokens".into(), Value::Null);
            other.data[0].name = "renamed.jsonl".into();
        });
        assert_eq!(run, Comparability::default());
    }

    #[test]
    fn another_network_or_definition_is_refused() {
        let words = |comparability: Comparability| comparability.refusals.join(" ");
        assert!(words(changed(|other| other.model.architecture = "qwen2".into())).contains("qwen2"));
        assert!(words(changed(|other| other.model.layers = 3)).contains("B has 3"));
        assert!(words(changed(|other| other.model.modules[4].outputs = 8)).contains("gate_proj is 4 by 4 in A and 8 by 4 in B"));
        assert!(words(changed(|other| other.definition = Definition::Released)).contains("released"));
    }

    #[test]
    fn what_has_to_be_said_is_said() {
        let said = |change: &dyn Fn(&mut Manifest)| {
            let found = changed(change);
            assert_eq!(found.refusals, Vec::<String>::new());
            assert_eq!(found.differences.len(), 1);
            (found.differences[0].kind, found.differences[0].sentence.clone())
        };
        assert_eq!(said(&|other| other.data[0].sha256 = Digest::of(b"two")).0, DifferenceKind::Data);
        let (kind, sentence) = said(&|other| other.instances[1].id = "c".into());
        assert_eq!(kind, DifferenceKind::Instances);
        assert_eq!(sentence, "1 of the instances stands in both studies, 1 in A only and 1 in B only.");
        assert!(said(&|other| other.instances[0].tokens = 6).1.ends_with("in a."));
        assert_eq!(said(&|other| other.model.basis = "folded".into()).0, DifferenceKind::Basis);
        let (kind, sentence) = said(&|other| drop(other.settings.insert("max_tokens".into(), 512.into())));
        assert_eq!(
            (kind, sentence.as_str()),
            (DifferenceKind::Settings, "Settings differ: max tokens is none in A and 512 in B.")
        );
    }

    #[test]
    fn two_foldings_are_not_one_basis() {
        let mut first = manifest();
        first.model.basis = "folded".into();
        let mut second = first.clone();
        assert!(Comparability::between(&first, &second).differences.is_empty());
        second.model.files.push(FileDigest::default());
        assert!(Comparability::between(&first, &second).differences[0].sentence.contains("scales of its own"));
    }

    #[test]
    fn names_are_read_back() {
        for kind in DifferenceKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("colour".parse::<DifferenceKind>().is_err());
    }
}
