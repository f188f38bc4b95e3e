//! Whether inference engines can load what a recipe makes, before it is made.
//!
//! Engines fuse query, key and value into one matrix, and gate and up into another; all members of a fused matrix must be stored
//! alike. A whole checkpoint of AutoAWQ's or GPTQ's layout has one number of bits and one group size; compressed-tensors has groups of
//! modules, each with its own.

use std::collections::{BTreeMap, BTreeSet};

use cruxscope_checkpoint::packed::{Layout, WrittenGroup, quantization_config};
use cruxscope_checkpoint::{ExpertStorage, ModelConfig, ModuleShape};
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::quantize::{Bits, ColumnOrder, GridSettings, GroupSize};
use cruxscope_study::Module;
use serde_json::Value;

use super::Basis;
use super::plan::{Planned, of_layer};
use crate::RunError;

/// Matrices that engines fuse.
const FUSED: [(&[Module], &str); 2] = [
    (&[Module::Query, Module::Key, Module::Value], "q, k and v"),
    (&[Module::Gate, Module::Up], "gate and up"),
];

/// What a treatment stores of a matrix.
#[derive(Clone, Copy, PartialEq)]
struct Stored {
    bits: Bits,
    group_size: GroupSize,
    symmetric: bool,
    moved: bool,
}

/// Plans a packed checkpoint: what its configuration will say of it.
///
/// # Errors
/// [`RunError::Recipe`], with the reason why no engine would load it.
pub fn plan(planned: &[Planned], layout: Layout, basis: Basis, config: &ModelConfig) -> Result<Value, RunError> {
    let refuse = |why: String| RunError::Recipe {
        why: format!("{why}; write plain numbers instead (without --packed), or change the recipe"),
    };
    if config.block.experts.is_some_and(|experts| experts.storage != ExpertStorage::Each) {
        return Err(refuse(format!(
            "{} holds the experts of a layer as one array, which is written as plain numbers only",
            config.architecture.name()
        )));
    }
    let mixed = matches!(layout, Layout::CompressedTensors(_));
    let mut scheme: Option<(Stored, String)> = None;
    let mut kept = Vec::new();
    let mut groups = BTreeMap::<WrittenGroup, Vec<String>>::new();
    let modules: Vec<Vec<ModuleShape>> = (0..config.layers).map(|layer| config.modules(layer)).collect();
    let name_of = |layer: usize, module: &ModuleShape| format!("model.layers.{layer}.{}", module.name);
    // What decides where tokens go is no component, and stays in plain numbers.
    let of_layers = modules.iter().enumerate();
    kept.extend(of_layers.flat_map(|(layer, modules)| modules.iter().filter(|module| module.slot.is_none()).map(move |module| name_of(layer, module))));
    for planned in planned {
        let layer = planned.component.layer.0;
        // Of several matrices that a file holds as one, which are treated alike (below), that one is told.
        let own = &modules[layer][planned.module].name;
        let name = format!("model.layers.{layer}.{}", config.holding_module(planned.module, own));
        let Some(treatment) = &planned.treatment else {
            if !kept.contains(&name) {
                kept.push(name);
            }
            continue;
        };
        let stored = stored(treatment).ok_or_else(|| refuse(format!("{} gives no integer codes, which is all that packed layouts hold", treatment.name())))?;
        if matches!(treatment, MethodConfig::Awq(_)) && basis == Basis::Original {
            return Err(refuse(
                "AWQ's codes are those of scaled weights, so they can only be packed with their scales folded in (--basis folded)".into(),
            ));
        }
        check_sizes(&stored, layout, planned.shape, planned.component.module).map_err(refuse)?;
        match &scheme {
            None => scheme = Some((stored, planned.name())),
            Some((first, component)) if *first != stored && !mixed => {
                return Err(refuse(format!(
                    "{component} and {} have different bits, groups or grids, and this layout has one scheme for the whole checkpoint \
                     (compressed-tensors has several)",
                    planned.name()
                )));
            }
            Some(_) => {}
        }
        let of_group = groups.entry(stored.written(planned.shape.1)).or_default();
        if of_group.last() != Some(&name) {
            of_group.push(name);
        }
    }
    for layer in 0..config.layers {
        let of_layer = of_layer(planned, layer);
        let parts: BTreeSet<Option<&str>> = of_layer.iter().map(|planned| planned.part.as_deref()).collect();
        for ((members, names), part) in FUSED.iter().flat_map(|fused| parts.iter().map(move |part| (*fused, *part))) {
            let of_part = of_layer
                .iter()
                .filter(|planned| planned.part.as_deref() == part && members.contains(&planned.component.module));
            let treated: Vec<Option<Stored>> = of_part.map(|planned| planned.treatment.as_ref().and_then(stored)).collect();
            let count = treated.iter().flatten().count();
            if count != 0 && count != treated.len() {
                return Err(refuse(format!(
                    "layer {} quantizes only some of {names}, which engines fuse into one matrix; quantize or protect them together",
                    layer + 1
                )));
            }
            if treated.windows(2).any(|pair| pair[0] != pair[1]) {
                return Err(refuse(format!(
                    "layer {} quantizes {names} with different bits, groups or grids, and engines fuse them into one matrix",
                    layer + 1
                )));
            }
        }
    }
    let Some((first, _)) = scheme else {
        return Err(refuse("nothing is quantized".into()));
    };
    let groups: Vec<(WrittenGroup, Vec<String>)> = groups.into_iter().collect();
    Ok(quantization_config(layout, &groups, first.moved, &kept))
}

/// Whether a layout holds a matrix that is stored so; otherwise why not.
fn check_sizes(stored: &Stored, layout: Layout, (rows, columns): (usize, usize), module: Module) -> Result<(), String> {
    let bits = stored.bits.get();
    match layout {
        Layout::Awq if bits != 4 => return Err(format!("AWQ's layout holds 4 bits, not {bits}; no engine loads others")),
        Layout::Awq if stored.moved => return Err("AWQ's layout holds groups of neighbours, not of columns in activation order".into()),
        Layout::Gptq(_) if !matches!(bits, 2 | 3 | 4 | 8) => return Err(format!("GPTQ's layout holds 2, 3, 4 or 8 bits, not {bits}")),
        Layout::CompressedTensors(_) if stored.moved => {
            return Err("compressed-tensors holds groups of neighbours, not of columns in activation order (--act-order group-aware has them)".into());
        }
        _ => {}
    }
    let unit = match (layout, bits) {
        // Its rows end in words that need not be full.
        (Layout::CompressedTensors(_), _) => 1,
        (_, 3) => 32,
        (_, bits) => 32 / usize::from(bits),
    };
    if !rows.is_multiple_of(unit) || !columns.is_multiple_of(unit) {
        return Err(format!("{module} is {rows} by {columns}, which does not fill words of {unit} codes"));
    }
    match stored.group_size {
        GroupSize::Columns(group) if !columns.is_multiple_of(group.get()) => {
            Err(format!("{module} has {columns} inputs, which groups of {group} do not divide"))
        }
        _ => Ok(()),
    }
}

impl Stored {
    /// What a configuration says of it in rows of `columns`.
    fn written(&self, columns: usize) -> WrittenGroup {
        WrittenGroup {
            bits: self.bits.get(),
            group: match self.group_size {
                GroupSize::Columns(group) if group.get() <= columns => Some(group.get()),
                GroupSize::Columns(_) | GroupSize::Row => None,
            },
            symmetric: self.symmetric,
        }
    }
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
