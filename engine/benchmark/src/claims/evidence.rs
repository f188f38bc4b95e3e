//! What is given: studies with what stands beside them, and results; and what each of them is.

use cruxscope_study::{CompressionMap, Divergence, Manifest, Results, Study, Validation};
use serde_json::Value;

/// Everything that claims are tested on.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The studies, in the order in which they were given.
    pub studies: Vec<EvidenceStudy>,
    /// Scores of benchmarks.
    pub results: Vec<Results>,
}

/// A study with what stands beside it.
#[derive(Clone, Debug)]
pub struct EvidenceStudy {
    /// Its folder, as links name it.
    pub place: String,
    /// What it is a study of.
    pub role: Role,
    /// The study.
    pub study: Study,
    /// What compressing each component alone did.
    pub validation: Option<Validation>,
    /// What was done to each component.
    pub compression: Option<CompressionMap>,
    /// Where its model parts from the original.
    pub divergence: Option<Divergence>,
}

/// What a study is a study of.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// The reasoning model itself.
    Original,
    /// The model that it was made from.
    Base,
    /// The reasoning model, compressed.
    Compressed(CompressionKind),
    /// None of these: another model.
    Other,
}

/// How a model was compressed, as far as claims ask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompressionKind {
    /// The method's name in recipes, such as `awq`.
    pub method: String,
    /// Bits of a code.
    pub bits: Option<f64>,
    /// Share of weights that are pruned.
    pub sparsity: Option<f64>,
    /// The components that are treated, where it is not everything.
    pub only: Option<String>,
    /// The components that are left as they are.
    pub protected: Option<String>,
}

impl CompressionKind {
    /// Out of what a manifest says; none for a model that was not compressed by this program.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let rules = manifest.model.compression.as_ref()?.get("recipe")?.get("rules")?.as_array()?;
        let mut kind: Option<Self> = None;
        for rule in rules {
            let components = rule.get("components").and_then(Value::as_str).unwrap_or("all");
            match rule.get("treatment").filter(|treatment| !treatment.is_null()) {
                Some(treatment) => {
                    kind = Some(Self {
                        method: treatment.get("method").and_then(Value::as_str).unwrap_or_default().into(),
                        bits: number(treatment, "bits"),
                        sparsity: number(treatment, "unstructured").or_else(|| number(treatment, "sparsity")),
                        only: (components != "all").then(|| components.to_owned()),
                        protected: None,
                    });
                }
                None => {
                    if let Some(kind) = &mut kind {
                        kind.protected = Some(components.to_owned());
                    }
                }
            }
        }
        kind
    }

    /// Whether every component is treated alike.
    pub fn is_whole(&self) -> bool {
        self.only.is_none() && self.protected.is_none()
    }

    /// The same method with the same settings, whatever is treated and protected.
    pub fn same_method(&self, other: &Self) -> bool {
        self.method == other.method && self.bits == other.bits && self.sparsity == other.sparsity
    }

    /// In words, such as `awq, 4 bits`.
    pub fn words(&self) -> String {
        let mut words = self.method.replace('_', " ");
        if let Some(bits) = self.bits {
            words += &format!(", {bits} bits");
        }
        if let Some(sparsity) = self.sparsity {
            words += &format!(", {:.0} %", 100.0 * sparsity);
        }
        if let Some(only) = &self.only {
            words += &format!(", only {only}");
        }
        if let Some(protected) = &self.protected {
            words += &format!(", without {protected}");
        }
        words
    }
}

/// The first number under a name, at any depth.
fn number(value: &Value, name: &str) -> Option<f64> {
    match value {
        Value::Object(fields) => fields
            .get(name)
            .and_then(Value::as_f64)
            .or_else(|| fields.values().find_map(|value| number(value, name))),
        Value::Array(values) => values.iter().find_map(|value| number(value, name)),
        _ => None,
    }
}

impl Evidence {
    /// Says what each study is. Compressed is what this program compressed; of the others the first is the original, and the next one of
    /// the same shape and definition its base, unless their places are named.
    pub fn assign(&mut self, original: Option<&str>, base: Option<&str>) {
        let named = |place: &str, of: Option<&str>| of.is_some_and(|of| of == place);
        for study in &mut self.studies {
            study.role = match CompressionKind::of(&study.study.manifest) {
                _ if named(&study.place, original) => Role::Original,
                _ if named(&study.place, base) => Role::Base,
                Some(kind) => Role::Compressed(kind),
                None => Role::Other,
            };
        }
        let is = |role: &Role, of: &Role| role == of;
        if original.is_none() {
            let first = self.studies.iter().find(|study| is(&study.role, &Role::Other)).map(files);
            // Under another definition it is the same model.
            for study in &mut self.studies {
                if is(&study.role, &Role::Other) && first.as_ref().is_some_and(|first| *first == files(study)) {
                    study.role = Role::Original;
                }
            }
        }
        if base.is_none() {
            let shape = self.studies.iter().find(|study| is(&study.role, &Role::Original)).map(shape);
            let first = self
                .studies
                .iter()
                .find(|study| is(&study.role, &Role::Other) && shape.as_ref() == Some(&self::shape(study)))
                .map(files);
            for study in &mut self.studies {
                if is(&study.role, &Role::Other) && first.as_ref().is_some_and(|first| *first == files(study)) {
                    study.role = Role::Base;
                }
            }
        }
    }

    /// Gives studies of the same files as the original, or its base, the same role: they are the same model under another definition.
    pub fn assign_same_models(&mut self) {
        for role in [Role::Original, Role::Base] {
            let own: Vec<Vec<String>> = self.studies.iter().filter(|study| study.role == role).map(files).collect();
            for study in self.studies.iter_mut().filter(|study| study.role == Role::Other) {
                if own.contains(&files(study)) {
                    study.role = role.clone();
                }
            }
        }
    }

    /// The studies of a role that hold instances.
    pub(crate) fn read(&self, wanted: impl Fn(&Role) -> bool) -> impl Iterator<Item = &EvidenceStudy> {
        self.studies
            .iter()
            .filter(move |study| wanted(&study.role) && !study.study.manifest.instances.is_empty())
    }
}

/// The digests of a study's model; its name where there are none.
fn files(study: &EvidenceStudy) -> Vec<String> {
    let model = &study.study.manifest.model;
    let digests: Vec<String> = model.files.iter().map(|file| file.sha256.0.clone()).collect();
    if digests.is_empty() { vec![model.name.clone()] } else { digests }
}

fn shape(study: &EvidenceStudy) -> (String, usize, Vec<cruxscope_study::ModuleDimensions>) {
    let model = &study.study.manifest.model;
    (model.architecture.clone(), model.layers, model.modules.clone())
}

impl EvidenceStudy {
    /// The model's title.
    pub(crate) fn title(&self) -> String {
        let manifest = &self.study.manifest;
        if manifest.title.is_empty() {
            manifest.model.name.clone()
        } else {
            manifest.title.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recipe_says_what_was_done_to_what() {
        let kind = |rules: Value| {
            let mut manifest = Manifest::default();
            manifest.model.compression = Some(json!({"recipe": {"rules": rules}}));
            CompressionKind::of(&manifest)
        };
        let awq = kind(json!([{"components": "all", "treatment": {"method": "awq", "bits": 3}}, {"components": "final-mlp", "treatment": null}])).unwrap();
        assert_eq!((awq.method.as_str(), awq.bits, awq.protected.as_deref()), ("awq", Some(3.0), Some("final-mlp")));
        assert!(!awq.is_whole() && awq.words().contains("without final-mlp"));
        let pruned = kind(json!([{"components": "all", "treatment": {"method": "sparse_gpt", "bits": null, "pattern": {"unstructured": 0.5}}}])).unwrap();
        assert_eq!((pruned.bits, pruned.sparsity), (None, Some(0.5)));
        assert!(pruned.is_whole() && !pruned.same_method(&awq));
        assert_eq!(CompressionKind::of(&Manifest::default()), None);
    }
}
