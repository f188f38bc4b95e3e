//! Whether inference engines can load what a recipe makes, before it is made.
//!
//! Engines fuse query, key and value into one matrix, and gate and up into another; all members of a fused matrix must be stored
//! alike. A whole checkpoint has one number of bits and one group size.

use cruxscope_checkpoint::packed::{Layout, Scheme};
use cruxscope_checkpoint::{ModelConfig, PROJECTIONS};
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::quantize::{Bits, ColumnOrder, GridSettings, GroupSize};
use cruxscope_study::Module;

use super::Basis;
use super::plan::{Planned, of_layer};
use crate::RunError;

/// Matrices that engines fuse.
const FUSED: [(&[usize], &str); 2] = [(&[0, 1, 2], "q, k and v"), (&[4, 5], "gate and up")];

/// How a packed checkpoint is stored and described.
pub struct PackedPlan {
    /// Layout, bits, groups.
    pub scheme: Scheme,
    /// Whether zeros are all alike.
    pub symmetric: bool,
    /// Whether groups are of columns in activation order.
    pub activation_order: bool,
    /// Modules that stay plain numbers, by their names.
    pub kept: Vec<String>,
}

/// What a treatment stores of a matrix.
#[derive(Clone, Copy, PartialEq)]
struct Stored {
    bits: Bits,
    group_size: GroupSize,
    symmetric: bool,
    moved: bool,
}

/// Plans a packed checkpoint.
///
/// # Errors
/// [`RunError::Recipe`], with the reason why no engine would load it.
pub fn plan(planned: &[Planned], layout: Layout, basis: Basis, config: &ModelConfig) -> Result<PackedPlan, RunError> {
    let refuse = |why: String| RunError::Recipe {
        why: format!("{why}; write plain numbers instead (without --packed), or change the recipe"),
    };
    let mut scheme: Option<(Stored, String)> = None;
    let mut kept = Vec::new();
    for planned in planned {
        let Some(treatment) = &planned.treatment else {
            kept.push(format!(
                "model.layers.{}.{}",
                planned.component.layer.0,
                PROJECTIONS[planned.component.module.index()]
            ));
            continue;
        };
        let stored = stored(treatment).ok_or_else(|| refuse(format!("{} gives no integer codes, which is all that packed layouts hold", treatment.name())))?;
        if matches!(treatment, MethodConfig::Awq(_)) && basis == Basis::Original {
            return Err(refuse(
                "AWQ's codes are those of scaled weights, so they can only be packed with their scales folded in (--basis folded)".into(),
            ));
        }
        match &scheme {
            None => scheme = Some((stored, planned.component.to_string())),
            Some((first, component)) if *first != stored => {
                return Err(refuse(format!(
                    "{component} and {} have different bits, groups or grids, and a packed checkpoint has one scheme",
                    planned.component
                )));
            }
            Some(_) => {}
        }
    }
    for layer in 0..config.layers {
        let of_layer = of_layer(planned, layer);
        for (members, names) in FUSED {
            let treated = members.iter().filter(|index| of_layer[**index].treatment.is_some()).count();
            if treated != 0 && treated != members.len() {
                return Err(refuse(format!(
                    "layer {} quantizes only some of {names}, which engines fuse into one matrix; quantize or protect them together",
                    layer + 1
                )));
            }
        }
    }
    let Some((stored, _)) = scheme else {
        return Err(refuse("nothing is quantized".into()));
    };
    let group = match stored.group_size {
        GroupSize::Row => None,
        GroupSize::Columns(columns) => Some(columns.get()),
    };
    let bits = stored.bits.get();
    match layout {
        Layout::Awq if bits != 4 => return Err(refuse(format!("AWQ's layout holds 4 bits, not {bits}; no engine loads others"))),
        Layout::Awq if stored.moved => return Err(refuse("AWQ's layout holds groups of neighbours, not of columns in activation order".into())),
        Layout::Gptq(_) if !matches!(bits, 2 | 3 | 4 | 8) => return Err(refuse(format!("GPTQ's layout holds 2, 3, 4 or 8 bits, not {bits}"))),
        _ => {}
    }
    let unit = if bits == 3 { 32 } else { 32 / usize::from(bits) };
    for module in Module::ALL {
        let (rows, columns) = config.dimensions(module.index());
        if !rows.is_multiple_of(unit) || !columns.is_multiple_of(unit) {
            return Err(refuse(format!("{module} is {rows} by {columns}, which does not fill words of {unit} codes")));
        }
        if group.is_some_and(|group| !columns.is_multiple_of(group)) {
            let group = group.unwrap_or_default();
            return Err(refuse(format!("{module} has {columns} inputs, which groups of {group} do not divide")));
        }
    }
    Ok(PackedPlan {
        scheme: Scheme::uniform(layout, bits, group),
        symmetric: stored.symmetric,
        activation_order: stored.moved,
        kept,
    })
}

fn stored(treatment: &MethodConfig) -> Option<Stored> {
    let of = |grid: &GridSettings, moved: bool| Stored {
        bits: grid.bits,
        group_size: grid.group_size,
        symmetric: grid.grid.is_symmetric(),
        moved,
    };
    match treatment {
        MethodConfig::Rtn(grid) => Some(of(grid, false)),
        MethodConfig::Gptq(settings) => Some(of(&settings.grid, settings.order == ColumnOrder::Activation && !settings.static_groups)),
        MethodConfig::Gptaq(settings) => Some(of(
            &settings.gptq.grid,
            settings.gptq.order == ColumnOrder::Activation && !settings.gptq.static_groups,
        )),
        MethodConfig::Awq(settings) => Some(Stored {
            bits: settings.bits,
            group_size: settings.group_size,
            symmetric: settings.grid.is_symmetric(),
            moved: false,
        }),
        _ => None,
    }
}
