//! Families of decoders: a row each of names, defaults and keys, and a function from a configuration to a description.
//!
//! Nothing outside of this folder goes by a family's name but what is written about one (file formats, messages). Defaults are those of
//! transformers' configuration classes; what a class ignores or implies stands in the family's function.

mod dense;
mod factors;
mod family;
mod latent;
mod layers;
mod llama4;
mod mixtures;
mod recurrent;
mod rows;
mod sigmoids;
mod windowed;

pub(crate) use family::{Family, Windows};

use crate::architecture::Architecture;

/// The family of that `model_type`.
pub(crate) fn from_name(name: &str) -> Option<&'static Family> {
    rows::FAMILIES.into_iter().find(|known| known.architecture.name() == name)
}

/// The family of that `general.architecture`.
pub(crate) fn from_gguf(name: &str) -> Option<Architecture> {
    from_name(name).map(|family| family.architecture).filter(|known| known.is_in_gguf())
}

/// Names of all families.
pub(crate) fn names() -> Vec<&'static str> {
    rows::FAMILIES.iter().map(|family| family.architecture.name()).collect()
}

/// The `general.architecture` of those whose GGUF files are read by their own metadata.
pub(crate) fn in_gguf() -> impl Iterator<Item = &'static str> {
    let all = rows::FAMILIES.iter().map(|family| family.architecture);
    all.filter(|known| known.is_in_gguf()).map(Architecture::name)
}

/// The class of transformers that computes a family.
pub(crate) fn class_of(architecture: Architecture) -> &'static str {
    from_name(architecture.name())
        .and_then(|family| family.classes.first())
        .copied()
        .unwrap_or_default()
}

/// Whether files of a family, by its `model_type`, hold several matrices of a layer as one: other tools then know them by one name.
pub fn holds_fused_matrices(model_type: &str) -> bool {
    from_name(model_type).is_some_and(|family| family.fused.any())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_told_apart_by_name_and_class() {
        let names: BTreeSet<&str> = names().into_iter().collect();
        assert_eq!(names.len(), rows::FAMILIES.len());
        for name in names {
            let family = from_name(name).unwrap();
            assert_eq!(family.architecture.name(), name);
            assert!(!class_of(family.architecture).is_empty(), "{name}");
        }
        assert_eq!(from_gguf("llama"), Some(Architecture::LLAMA));
        assert_eq!(from_gguf("phi3"), None);
    }
}
