//! Names of formats into methods with settings, and what a matrix takes on disk in them.
//!
//! | name | means |
//! | --- | --- |
//! | `rtn-3-g64` | round to nearest, 3 bits, groups of 64; `-g128` where none is given, `-row` for whole rows |
//! | `gptq-4-g128`, `gptaq-4`, `awq-4`, `any-4` | likewise |
//! | `magnitude-30`, `wanda-50`, `sparsegpt-50` | that share of the weights becomes zero, in percent |
//! | `magnitude-2:4` | two of every four neighbours |
//!
//! Everything else about a method is the default of `cruxscope compress`.

use cruxscope_compress::CompressError;
use cruxscope_compress::any::AnySettings;
use cruxscope_compress::awq::AwqSettings;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::prune::{Pattern, SparseGptSettings, Sparsity, Window};
use cruxscope_compress::quantize::{Bits, GptaqSettings, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_study::SketchedFormat;

use crate::SensitivityError;

/// Columns of a group where a name does not say.
const GROUP_SIZE: i64 = 128;
/// Bits of a group's scale and zero.
const GROUP_BITS: f64 = 32.0;
/// Bits of a number that is stored as such.
const NUMBER_BITS: f64 = 16.0;

/// A format of this program's own.
#[derive(Clone, Debug, PartialEq)]
pub struct MenuFormat {
    /// Its name, written out.
    pub name: String,
    /// The method and its settings.
    pub treatment: MethodConfig,
}

/// Reads a menu: names separated by commas, each once.
///
/// # Errors
/// [`SensitivityError::Menu`] for a name that means nothing, or that stands twice.
pub fn read_menu(text: &str) -> Result<Vec<MenuFormat>, SensitivityError> {
    let mut menu: Vec<MenuFormat> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let format = read_format(name)?;
        if menu.iter().any(|known| known.name == format.name) {
            return Err(SensitivityError::Menu {
                name: name.into(),
                why: "it stands in the menu twice".into(),
            });
        }
        menu.push(format);
    }
    if menu.is_empty() {
        return Err(SensitivityError::Menu {
            name: text.into(),
            why: "the menu is empty; write such as rtn-3-g64,rtn-4-g64,gptq-4-g128".into(),
        });
    }
    Ok(menu)
}

/// Reads one name.
///
/// # Errors
/// [`SensitivityError::Menu`] for a name that means nothing.
pub fn read_format(name: &str) -> Result<MenuFormat, SensitivityError> {
    let refuse = |why: String| SensitivityError::Menu { name: name.into(), why };
    let unusable = |error: CompressError| refuse(error.to_string());
    let lower = name.to_ascii_lowercase();
    let mut words = lower.split('-');
    let method = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let pruning = matches!(method, "magnitude" | "wanda" | "sparsegpt");
    if method == "alphapruning" {
        return Err(refuse(
            "AlphaPruning decides about whole models, and a format is of one matrix; take sparsegpt".into(),
        ));
    }
    if pruning {
        let [share] = rest.as_slice() else {
            return Err(refuse(format!(
                "pruning is written with a share of weights in percent, such as {method}-50, or as {method}-2:4"
            )));
        };
        let pattern = read_pattern(share).ok_or_else(|| refuse(format!("\"{share}\" is no share of weights in percent, and not such as 2:4")))?;
        let pattern = pattern.map_err(unusable)?;
        return Ok(MenuFormat {
            name: lower.clone(),
            treatment: match method {
                "magnitude" => MethodConfig::Magnitude { pattern },
                "wanda" => MethodConfig::Wanda { pattern },
                _ => MethodConfig::SparseGpt(SparseGptSettings::new(pattern)),
            },
        });
    }
    if !matches!(method, "rtn" | "gptq" | "gptaq" | "awq" | "any") {
        return Err(refuse(
            "known methods are rtn, gptq, gptaq, awq, any, magnitude, wanda and sparsegpt, written as rtn-3-g64 or magnitude-30; compressed checkpoints are given with --candidate"
                .into(),
        ));
    }
    let (bits, group) = match rest.as_slice() {
        [bits] => (bits, None),
        [bits, group] => (bits, Some(*group)),
        _ => {
            return Err(refuse(format!(
                "write bits, and columns of a group where they are not {GROUP_SIZE}: {method}-4-g64"
            )));
        }
    };
    let bits = bits.parse::<u8>().map_err(|_| refuse(format!("\"{bits}\" is no number of bits")))?;
    let bits = Bits::new(bits).map_err(unusable)?;
    let group = match group {
        None => GROUP_SIZE,
        Some("row") => -1,
        Some(size) => {
            let size = size.strip_prefix('g').unwrap_or(size);
            size.parse::<i64>()
                .ok()
                .filter(|size| *size > 0)
                .ok_or_else(|| refuse(format!("\"{size}\" is no number of columns; write -g64, or -row for whole rows")))?
        }
    };
    let group = GroupSize::new(group).map_err(unusable)?;
    let treatment = match method {
        "rtn" => MethodConfig::Rtn(GridSettings::new(Grid::AwqAsym, bits, group)),
        "gptq" => MethodConfig::Gptq(GptqSettings::new(bits, group)),
        "gptaq" => MethodConfig::Gptaq(GptaqSettings::new(bits, group)),
        "awq" => MethodConfig::Awq(AwqSettings::new(bits, group)),
        _ => MethodConfig::Any(AnySettings::new(bits, group)),
    };
    let group = match group {
        GroupSize::Row => "row".to_owned(),
        GroupSize::Columns(columns) => format!("g{columns}"),
    };
    Ok(MenuFormat {
        name: format!("{method}-{bits}-{group}"),
        treatment,
    })
}

/// A share in percent, or such as 2:4; nothing where it is neither.
fn read_pattern(text: &str) -> Option<Result<Pattern, CompressError>> {
    if let Some((pruned, of)) = text.split_once(':') {
        return Some(Window::new(pruned.parse().ok()?, of.parse().ok()?).map(Pattern::Windows));
    }
    let share: f64 = text.parse().ok()?;
    Some(Sparsity::new(share / 100.0).map(Pattern::Unstructured))
}

/// The method of a format, by the name that recipes have for it; a candidate is a method of its own.
pub fn method_of(format: &SketchedFormat) -> &str {
    format.method()
}

/// Bits that a matrix `[rows, columns]` takes on disk: codes, 32 bits for the scale and zero of each group, 16 bits for each entry of
/// a codebook. A pruned matrix holds its other weights as 16-bit numbers, and a bit for each weight that says whether it is there.
pub fn stored_bits(treatment: &MethodConfig, rows: usize, columns: usize) -> f64 {
    let weights = rows as f64 * columns as f64;
    let groups = |size: GroupSize| rows as f64 * size.groups(columns) as f64 * GROUP_BITS;
    let grid = |settings: &GridSettings| weights * f64::from(settings.bits.get()) + groups(settings.group_size);
    let pruned = |pattern: &Pattern, bits: f64| {
        let kept = match pattern {
            Pattern::Unstructured(sparsity) | Pattern::AtThreshold(sparsity) => 1.0 - sparsity.get(),
            Pattern::Windows(window) => {
                let (pruned, of): (usize, usize) = (*window).into();
                1.0 - pruned as f64 / of as f64
            }
        };
        weights * (kept * bits + 1.0)
    };
    match treatment {
        MethodConfig::Rtn(settings) => grid(settings),
        MethodConfig::Gptq(settings) => grid(&settings.grid),
        MethodConfig::Gptaq(settings) => grid(&settings.gptq.grid),
        MethodConfig::Awq(settings) => weights * f64::from(settings.bits.get()) + groups(settings.group_size),
        MethodConfig::Any(settings) => {
            let codebooks = rows as f64 * f64::from(1u32 << settings.bits.get()) * NUMBER_BITS;
            weights * f64::from(settings.bits.get()) + groups(settings.group) + codebooks
        }
        MethodConfig::Magnitude { pattern } | MethodConfig::Wanda { pattern } => pruned(pattern, NUMBER_BITS),
        MethodConfig::SparseGpt(settings) => pruned(&settings.pattern, settings.bits.map_or(NUMBER_BITS, |bits| f64::from(bits.get()))),
        // How much is pruned differs from block to block, around this mean.
        MethodConfig::AlphaPruning(settings) => weights * ((1.0 - settings.sparsity.get()) * NUMBER_BITS + 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_out_and_read_again() {
        let menu = read_menu("rtn-3-g64, RTN-4,gptq-4-g128,gptaq-2-row,awq-4,any-4-g64,magnitude-30,wanda-2:4,sparsegpt-50").unwrap();
        let names: Vec<&str> = menu.iter().map(|format| format.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "rtn-3-g64",
                "rtn-4-g128",
                "gptq-4-g128",
                "gptaq-2-row",
                "awq-4-g128",
                "any-4-g64",
                "magnitude-30",
                "wanda-2:4",
                "sparsegpt-50"
            ]
        );
        for format in &menu {
            assert_eq!(&read_format(&format.name).unwrap(), format);
        }
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_would() {
        for (name, said) in [
            ("q4_k_m", "--candidate"),
            ("rtn", "write bits"),
            ("rtn-9-g64", "2 to 8"),
            ("rtn-x", "no number of bits"),
            ("rtn-4-g0", "no number of columns"),
            ("rtn-4-gx", "no number of columns"),
            ("rtn-4-g64-sym", "write bits"),
            ("magnitude", "percent"),
            ("magnitude-130", "below 1"),
            ("magnitude-4:2", "not all"),
            ("magnitude-nan", "below 1"),
            ("alphapruning-50", "whole models"),
            ("rtn-3-g64,rtn-3-g64", "twice"),
            ("rtn-3,rtn-3-g128", "twice"),
            (" , ", "empty"),
        ] {
            let error = read_menu(name).unwrap_err();
            assert!(error.is_user_error() && error.to_string().contains(said), "{name}: {error}");
        }
    }

    #[test]
    fn groups_and_codebooks_count() {
        let bits = |name: &str| stored_bits(&read_format(name).unwrap().treatment, 10, 256) / 2560.0;
        assert_eq!(bits("rtn-4-g64"), 4.5);
        assert_eq!(bits("gptq-3-g128"), 3.25);
        assert_eq!(bits("awq-4-row"), 4.0 + 32.0 / 256.0);
        assert_eq!(bits("any-4-g128"), 4.25 + 16.0 * 16.0 / 256.0);
        assert_eq!(bits("magnitude-50"), 9.0);
        assert_eq!(bits("sparsegpt-2:4"), 9.0);
        // A short last group has a scale of its own.
        assert_eq!(stored_bits(&read_format("rtn-4-g64").unwrap().treatment, 1, 100), 464.0);
    }
}
