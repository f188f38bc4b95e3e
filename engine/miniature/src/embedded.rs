//! The two trained models that the program carries.

use crate::Corpus;
use crate::puzzles::{Level, World};

/// How hard the puzzles are that these models learnt.
pub const LEVEL: Level = Level::Hard;

/// The people and towns that these models know.
pub fn world() -> World {
    World::of(0, LEVEL)
}

/// A file of a model: its name and its bytes.
pub type ModelFile = (&'static str, &'static [u8]);

macro_rules! model {
    ($name:literal) => {
        &[
            ("config.json", include_bytes!(concat!("../weights/", $name, "/config.json"))),
            (
                "generation_config.json",
                include_bytes!(concat!("../weights/", $name, "/generation_config.json")),
            ),
            ("tokenizer.json", include_bytes!(concat!("../weights/", $name, "/tokenizer.json"))),
            ("tokenizer_config.json", include_bytes!(concat!("../weights/", $name, "/tokenizer_config.json"))),
            ("model.safetensors", include_bytes!(concat!("../weights/", $name, "/model.safetensors"))),
        ]
    };
}

/// The files of a trained model, as a Hugging Face folder holds them.
pub fn embedded(corpus: Corpus) -> &'static [ModelFile] {
    match corpus {
        Corpus::Base => model!("base"),
        Corpus::Distilled => model!("distilled"),
    }
}
