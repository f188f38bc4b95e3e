//! What a group of `config_groups` says of weights.

use serde_json::Value;

use crate::packed::float8::block_of;
use crate::packed::keys::refuse_unknown_in;

/// How codes and scales of a module are stored, by compressed-tensors' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `pack-quantized`: fields of 32-bit words.
    Words,
    /// `naive-quantized`, `int-quantized`, `float-quantized`: numbers of 8 bits.
    Single,
    /// `nvfp4-pack-quantized`: E2M1 with E4M3 scales over one of the whole matrix.
    Nvfp4,
    /// `mxfp4-pack-quantized`: E2M1 with E8M0 scales.
    Mxfp4,
    /// `mxfp8-quantized`: E4M3 with E8M0 scales.
    Mxfp8,
    /// `dense`, or no weights that are quantized.
    Dense,
}

/// What shares a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// The matrix.
    Tensor,
    /// A row.
    Channel,
    /// So many columns of a row.
    Group(usize),
    /// So many rows and columns.
    Block(usize, usize),
}

/// The weights of a group of modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weights {
    pub form: Form,
    pub bits: u32,
    pub float: bool,
    pub symmetric: bool,
    pub grain: Grain,
    /// Whether columns belong to groups by `weight_g_idx`.
    pub moved: bool,
}

const KNOWN: &[&str] = &[
    "actorder",
    "block_structure",
    "dynamic",
    "group_size",
    "num_bits",
    "observer",
    "observer_kwargs",
    "scale_dtype",
    "strategy",
    "symmetric",
    "type",
    "zp_dtype",
];

impl Weights {
    /// A group without quantized weights.
    pub const DENSE: Self = Self {
        form: Form::Dense,
        bits: 16,
        float: true,
        symmetric: true,
        grain: Grain::Tensor,
        moved: false,
    };

    /// Reads `weights` of a group, stored in a format.
    ///
    /// # Errors
    /// A sentence that names the group and what is not known of it.
    pub fn parse(group: &str, said: &Value, format: &str) -> Result<Self, String> {
        let place = format!("{group}.weights");
        refuse_unknown_in(&place, said, KNOWN)?;
        let refuse = |key: &str, wanted: &str| Err(format!("{place} has {key} {}; {wanted}", said.get(key).unwrap_or(&Value::Null)));
        let text = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_lowercase);
        let float = match text("type").as_deref() {
            None | Some("int") => false,
            Some("float") => true,
            Some(_) => return refuse("type", "it is `int` or `float`"),
        };
        let bits = said
            .get("num_bits")
            .and_then(Value::as_u64)
            .and_then(|bits| u32::try_from(bits).ok())
            .unwrap_or(0);
        let form = match (format, float, bits) {
            ("dense", ..) => return Ok(Self::DENSE),
            ("pack-quantized", false, 2..=8) => Form::Words,
            ("naive-quantized" | "int-quantized", false, 2..=8) | ("naive-quantized" | "float-quantized", true, 8) => Form::Single,
            ("nvfp4-pack-quantized", true, 4) => Form::Nvfp4,
            ("mxfp4-pack-quantized", true, 4) => Form::Mxfp4,
            ("mxfp8-quantized", true, 8) => Form::Mxfp8,
            ("marlin-24" | "sparse-24-bitmask" | "sparse-bitmask", ..) => {
                return Err(format!(
                    "{group} is stored as `{format}`, a sparse form, which is not read; decompress it with compressed-tensors first"
                ));
            }
            _ => {
                return Err(format!(
                    "{group} is stored as `{format}` with {bits} bits of type {}; known are pack-quantized, int-quantized, naive-quantized (int, 2 to 8 bits), \
                     float-quantized, naive-quantized, mxfp8-quantized (float, 8 bits), nvfp4-pack-quantized, mxfp4-pack-quantized (float, 4 bits), dense",
                    if float { "float" } else { "int" }
                ));
            }
        };
        if said.get("dynamic").is_some_and(|dynamic| *dynamic != Value::Bool(false)) {
            return refuse("dynamic", "scales of weights are stored, not found anew");
        }
        let symmetric = said.get("symmetric").and_then(Value::as_bool).unwrap_or(true);
        if !symmetric && (float || matches!(form, Form::Nvfp4 | Form::Mxfp4 | Form::Mxfp8)) {
            return refuse("symmetric", "floating-point codes without a zero point are known");
        }
        let grain = Self::grain(said, form).map_err(|(key, wanted)| format!("{place} has {key} {}; {wanted}", said.get(key).unwrap_or(&Value::Null)))?;
        let moved = match (said.get("actorder"), text("actorder").as_deref()) {
            (None | Some(Value::Null | Value::Bool(false)), _) | (_, Some("weight" | "static")) => false,
            (Some(Value::Bool(true)), _) | (_, Some("group" | "dynamic")) => true,
            _ => return refuse("actorder", "it is `group` or `weight`"),
        };
        if moved && !(form == Form::Words && matches!(grain, Grain::Group(_))) {
            return refuse("actorder", "only groups of packed words are in another order");
        }
        Ok(Self {
            form,
            bits,
            float,
            symmetric,
            grain,
            moved,
        })
    }

    fn grain(said: &Value, form: Form) -> Result<Grain, (&'static str, String)> {
        let group = said.get("group_size").and_then(Value::as_i64);
        let columns = || {
            let columns = group.and_then(|group| usize::try_from(group).ok()).filter(|group| *group > 0);
            columns.ok_or_else(|| ("group_size", "it is a positive number".to_string()))
        };
        let strategy = said.get("strategy").and_then(Value::as_str).map(str::to_lowercase);
        let grain = match (strategy.as_deref(), group) {
            (Some("tensor"), _) | (None, None) => Grain::Tensor,
            (Some("channel"), _) | (None, Some(-1)) => Grain::Channel,
            (Some("group" | "tensor_group") | None, _) => Grain::Group(columns()?),
            (Some("block"), _) => {
                let block = said
                    .get("block_structure")
                    .and_then(block_of)
                    .or_else(|| written_block(said.get("block_structure")?.as_str()?));
                let (tall, wide) = block.ok_or_else(|| ("block_structure", "it is two positive numbers".to_string()))?;
                Grain::Block(tall, wide)
            }
            (Some(_), _) => {
                return Err(("strategy", "known for weights are tensor, channel, group, tensor_group and block".to_string()));
            }
        };
        let fits = match form {
            Form::Nvfp4 => grain == Grain::Group(16),
            Form::Mxfp4 | Form::Mxfp8 => grain == Grain::Group(32),
            Form::Words => !matches!(grain, Grain::Block(..)),
            Form::Single | Form::Dense => true,
        };
        let wanted = match form {
            Form::Nvfp4 => "NVFP4 has groups of 16",
            Form::Mxfp4 | Form::Mxfp8 => "MX formats have groups of 32",
            _ => "packed words have no blocks",
        };
        if fits { Ok(grain) } else { Err(("group_size", wanted.to_string())) }
    }

    /// A few words for people.
    pub fn name(&self) -> String {
        match (self.form, self.float) {
            (Form::Words, _) => format!("compressed-tensors {} bits", self.bits),
            (Form::Single, false) => format!("compressed-tensors INT{}", self.bits),
            (Form::Single, true) => "compressed-tensors FP8".to_string(),
            (Form::Nvfp4, _) => "compressed-tensors NVFP4".to_string(),
            (Form::Mxfp4, _) => "compressed-tensors MXFP4".to_string(),
            (Form::Mxfp8, _) => "compressed-tensors MXFP8".to_string(),
            (Form::Dense, _) => "compressed-tensors".to_string(),
        }
    }
}

/// A block as older files write it, `128x128`.
fn written_block(text: &str) -> Option<(usize, usize)> {
    let (tall, wide) = text.split_once('x')?;
    let size = |text: &str| text.trim().parse().ok().filter(|size: &usize| *size > 0);
    Some((size(tall)?, size(wide)?))
}
