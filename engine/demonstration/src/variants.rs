//! The models that are asked: the pair, and what compression makes of the distilled one.

use cruxscope_compress::CompressError;
use cruxscope_compress::any::AnySettings;
use cruxscope_compress::awq::AwqSettings;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::prune::{Pattern, SparseGptSettings, Sparsity};
use cruxscope_compress::quantize::{Bits, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::Recipe;
use cruxscope_run::RunError;

/// An error that only other constants could cause.
pub fn impossible(error: CompressError) -> RunError {
    RunError::Recipe { why: error.to_string() }
}

/// The rounded model whose shift says what is to be protected.
pub const ROUNDED: &str = "rtn-2";
/// Columns that share a scale: the largest number that divides every width of the miniature.
pub const GROUP: i64 = 32;

/// A compressed model: its folder, its words, and how it comes about.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// The folder of its model and of its study.
    pub name: String,
    /// The compression, in words.
    pub compression: String,
    /// What else sets it apart, in words; empty for the main ones.
    pub setting: String,
    /// What each component gets.
    pub recipe: Recipe,
}

impl Variant {
    fn whole(name: &str, compression: &str, treatment: MethodConfig) -> Self {
        Self {
            name: name.into(),
            compression: compression.into(),
            setting: String::new(),
            recipe: Recipe::of(treatment, None, None),
        }
    }
}

/// Every method at 4, 3 and 2 bits (so small a model, trained to the end, hardly feels three), and pruning of 30 and 50 %, by size alone and with the rest made to fit.
///
/// # Errors
/// Never, in fact: the settings are constants inside their ranges.
pub fn main_variants() -> Result<Vec<Variant>, CompressError> {
    let mut variants = Vec::new();
    for bits in [4, 3, 2] {
        let words = |method: &str| format!("{method}, {bits} bits");
        variants.extend([
            Variant::whole(&format!("rtn-{bits}"), &words("RTN"), rounding(bits)?),
            Variant::whole(&format!("gptq-{bits}"), &words("GPTQ"), gptq(bits)?),
            Variant::whole(&format!("awq-{bits}"), &words("AWQ"), awq(bits)?),
            Variant::whole(&format!("any-{bits}"), &words("ANY"), any(bits)?),
        ]);
    }
    for percent in [30, 50] {
        let pattern = Pattern::Unstructured(Sparsity::new(f64::from(percent) / 100.0)?);
        variants.extend([
            Variant::whole(
                &format!("sparsegpt-{percent}"),
                &format!("SparseGPT, {percent} %"),
                MethodConfig::SparseGpt(SparseGptSettings::new(pattern)),
            ),
            Variant::whole(
                &format!("magnitude-{percent}"),
                &format!("Magnitude, {percent} %"),
                MethodConfig::Magnitude { pattern },
            ),
        ]);
    }
    Ok(variants)
}

/// Round-to-nearest at `bits` bits.
///
/// # Errors
/// When `bits` is out of range.
pub fn rounding(bits: u8) -> Result<MethodConfig, CompressError> {
    Ok(MethodConfig::Rtn(grid(Grid::AwqAsym, bits)?))
}

fn grid(grid: Grid, bits: u8) -> Result<GridSettings, CompressError> {
    Ok(GridSettings::new(grid, Bits::new(bits)?, GroupSize::new(GROUP)?))
}

fn gptq(bits: u8) -> Result<MethodConfig, CompressError> {
    Ok(MethodConfig::Gptq(GptqSettings::new(Bits::new(bits)?, GroupSize::new(GROUP)?)))
}

fn awq(bits: u8) -> Result<MethodConfig, CompressError> {
    Ok(MethodConfig::Awq(AwqSettings::new(Bits::new(bits)?, GroupSize::new(GROUP)?)))
}

fn any(bits: u8) -> Result<MethodConfig, CompressError> {
    Ok(MethodConfig::Any(AnySettings::new(Bits::new(bits)?, GroupSize::new(GROUP)?)))
}
