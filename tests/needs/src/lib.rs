//! What tests need beyond the checkout, and how they say that it is missing.
//!
//! A test whose input is missing prints one line that begins with `skipped: ` and returns. `CRUXSCOPE_REQUIRE` lists, separated by
//! commas, the kinds of input that must be there ([`Need::name`]); a skip for one of those is a failure. So a user without fixtures
//! sees what was left out, and continuous integration cannot leave out anything unnoticed.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A kind of input that a checkout does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Ground truth of the method: `CRUXSCOPE_FIXTURES`, or `../shared/fixtures` beside the checkout.
    Fixtures,
    /// Published outputs and datasets: `CRUXSCOPE_DATA`, or `../shared/data` beside the checkout.
    Data,
    /// SmolLM2 as a GGUF file: `CRUXSCOPE_SMOLLM2`; `tests/scripts/fetch_smollm2.sh` fetches it.
    Model,
    /// A Python with torch, transformers, numpy and safetensors: `CRUXSCOPE_PYTHON`.
    Python,
    /// A library of that Python that only some tests need: compressed-tensors.
    Library,
    /// A device for tensors or drawing, or an instruction set of the processor.
    Device,
    /// Something of the operating system.
    System,
}

impl Need {
    /// The name in `CRUXSCOPE_REQUIRE`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixtures => "fixtures",
            Self::Data => "data",
            Self::Model => "model",
            Self::Python => "python",
            Self::Library => "library",
            Self::Device => "device",
            Self::System => "system",
        }
    }
}

/// Says that a test is skipped, and why.
///
/// # Panics
/// When `CRUXSCOPE_REQUIRE` names the kind: then the test must not be skipped.
#[allow(clippy::panic)] // A failure of the test that calls it.
pub fn skip(need: Need, why: impl Display) {
    let required = std::env::var("CRUXSCOPE_REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name.trim() == need.name()) {
        panic!("{} is required by CRUXSCOPE_REQUIRE, but {why}", need.name());
    }
    println!("skipped: {why}");
}

/// The folder of fixtures; `None` and a line on stdout if there is none.
pub fn fixtures() -> Option<PathBuf> {
    folder("CRUXSCOPE_FIXTURES", "../shared/fixtures", Need::Fixtures)
}

/// A folder of the fixtures, such as `compress`; `None` and a line on stdout if there is none.
pub fn fixtures_of(name: &str) -> Option<PathBuf> {
    let folder = fixtures()?.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    skip(
        Need::Fixtures,
        format_args!("there is no {} (CRUXSCOPE_FIXTURES names the folder of fixtures)", folder.display()),
    );
    None
}

/// The folder of published data; `None` and a line on stdout if there is none.
pub fn data() -> Option<PathBuf> {
    folder("CRUXSCOPE_DATA", "../shared/data", Need::Data)
}

/// The test model, a GGUF file; `None` and a line on stdout if there is none.
pub fn smollm2() -> Option<PathBuf> {
    let path = std::env::var_os("CRUXSCOPE_SMOLLM2").map(PathBuf::from).filter(|path| path.is_file());
    if path.is_none() {
        skip(Need::Model, "CRUXSCOPE_SMOLLM2 names no file; tests/scripts/fetch_smollm2.sh fetches SmolLM2");
    }
    path
}

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn folder(variable: &str, beside: &str, need: Need) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map_or_else(|| root().join(beside), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    skip(need, format_args!("there is no folder {} ({variable} names another one)", folder.display()));
    None
}
