//! Numbers as they are stored: the bytes of a dtype, and whether a tensor survives it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::tensor::Dtype;

use crate::CheckpointError;
use crate::packed::{Layout, PackedWeight, ScaleType};

/// Share of a tensor's numbers that storing may turn into zeros; more is an error. A few tiny numbers are in many models, and a tensor of
/// tiny numbers is a tensor lost.
pub const TRACE: f64 = 1e-3;

/// Numbers that are looked at together.
const BLOCK: usize = 1024;

/// How numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredAs {
    /// 32 bits.
    #[default]
    Float32,
    /// 16 bits, half precision.
    Float16,
    /// 16 bits, with float32's range.
    BFloat16,
}

impl StoredAs {
    /// The name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
        }
    }

    pub(super) fn dtype(self) -> Dtype {
        match self {
            Self::Float32 => Dtype::F32,
            Self::Float16 => Dtype::F16,
            Self::BFloat16 => Dtype::BF16,
        }
    }

    /// A number as it is read back.
    pub fn rounded(self, value: f32) -> f32 {
        match self {
            Self::Float32 => value,
            Self::Float16 => f16::from_f32(value).to_f32(),
            Self::BFloat16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// Numbers as they are read back.
    pub fn all_rounded(self, values: &[f32]) -> Vec<f32> {
        match self {
            Self::Float32 => values.to_vec(),
            _ => values.iter().map(|value| self.rounded(*value)).collect(),
        }
    }

    /// Refuses a tensor that this dtype cannot hold: numbers that become infinite, or more than a [`TRACE`] of them that become zero.
    ///
    /// # Errors
    /// [`CheckpointError::NotStorable`].
    pub fn check(self, tensor: &str, values: &[f32]) -> Result<(), CheckpointError> {
        let mut losses = Losses::default();
        losses.add(self, values);
        losses.verdict(self, tensor)
    }

    /// Numbers as they are stored, without a copy where they lie so in memory.
    pub(super) fn bytes(self, values: &[f32]) -> Cow<'_, [u8]> {
        // Filled in place: collecting byte by byte is many times slower.
        let fill = |bytes: &mut [u8], put: fn(f32) -> [u8; 2]| {
            bytes
                .as_chunks_mut::<2>()
                .0
                .iter_mut()
                .zip(values)
                .for_each(|(bytes, value)| *bytes = put(*value));
        };
        match self {
            #[cfg(target_endian = "little")]
            Self::Float32 => Cow::Borrowed(bytemuck::cast_slice(values)),
            #[cfg(target_endian = "big")]
            Self::Float32 => values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
            Self::Float16 => {
                let mut bytes = vec![0; 2 * values.len()];
                fill(&mut bytes, |value| f16::from_f32(value).to_le_bytes());
                bytes.into()
            }
            Self::BFloat16 => {
                let mut bytes = vec![0; 2 * values.len()];
                fill(&mut bytes, |value| bf16::from_f32(value).to_le_bytes());
                bytes.into()
            }
        }
    }
}

/// What storing does to the numbers of a tensor that comes in pieces.
#[derive(Default)]
pub(super) struct Losses {
    infinite: usize,
    vanished: usize,
    of: usize,
}

impl Losses {
    /// Counts a piece.
    pub fn add(&mut self, stored_as: StoredAs, values: &[f32]) {
        self.of += values.len();
        // Numbers that stay as they are cannot vanish, and nearly always all of them are numbers: by blocks, which processors take at once.
        let is_whole = |block: &[f32]| block.iter().fold(true, |whole, value| whole & value.is_finite());
        if stored_as == StoredAs::Float32 && values.chunks(BLOCK).all(is_whole) {
            return;
        }
        for value in values {
            let stored = stored_as.rounded(*value);
            self.infinite += usize::from(!stored.is_finite());
            self.vanished += usize::from(stored == 0.0 && *value != 0.0);
        }
    }

    /// Refuses the whole, if need be.
    pub fn verdict(&self, stored_as: StoredAs, tensor: &str) -> Result<(), CheckpointError> {
        let refused = |count: usize, turned| CheckpointError::NotStorable {
            tensor: tensor.to_owned(),
            dtype: stored_as.name(),
            count,
            of: self.of,
            turned,
        };
        if self.infinite > 0 {
            return Err(refused(self.infinite, "infinite or no numbers"));
        }
        if self.vanished as f64 > TRACE * self.of as f64 {
            return Err(refused(self.vanished, "zero"));
        }
        Ok(())
    }
}

/// An array to write.
pub(super) struct Array<'a> {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Cow<'a, [u8]>,
}

impl Array<'_> {
    /// With bytes of its own.
    pub fn into_owned(self) -> Array<'static> {
        Array {
            dtype: self.dtype,
            shape: self.shape,
            bytes: self.bytes.into_owned().into(),
        }
    }
}

/// Arrays by their names.
pub(super) type Arrays<'a> = BTreeMap<String, Array<'a>>;

/// The arrays of a packed weight.
pub(super) fn packed_arrays<'a>(stem: &str, packed: &'a PackedWeight) -> Vec<(String, Array<'a>)> {
    let integers = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into();
    // Scales that were packed here are numbers of the type that they are stored in.
    let scales_as = match packed.layout {
        Layout::CompressedTensors(ScaleType::Float32) => StoredAs::Float32,
        Layout::CompressedTensors(ScaleType::BFloat16) => StoredAs::BFloat16,
        Layout::CompressedTensors(ScaleType::Float16) | Layout::Awq | Layout::Gptq(_) => StoredAs::Float16,
    };
    let array = |(part, shape): (&str, Vec<usize>)| {
        let (dtype, bytes) = match part {
            "qweight" | "weight_packed" => (Dtype::I32, integers(&packed.qweight)),
            "qzeros" | "weight_zero_point" => (Dtype::I32, integers(&packed.qzeros)),
            "g_idx" => (Dtype::I32, integers(&packed.group_index)),
            "weight_shape" => {
                let sizes = [packed.rows, packed.columns].map(|size| size as i64);
                (Dtype::I64, sizes.iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<u8>>().into())
            }
            _ => (scales_as.dtype(), scales_as.bytes(&packed.scales)),
        };
        (format!("{stem}.{part}"), Array { dtype, shape, bytes })
    };
    packed.shapes().into_iter().map(array).collect()
}

impl From<StoredAs> for ScaleType {
    fn from(stored_as: StoredAs) -> Self {
        match stored_as {
            StoredAs::Float32 => Self::Float32,
            StoredAs::Float16 => Self::Float16,
            StoredAs::BFloat16 => Self::BFloat16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_a_dtype_cannot_hold_are_refused() {
        let refusal = |stored: StoredAs, values: &[f32]| stored.check("w", values).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refusal(StoredAs::Float16, &[1.0, 7e4]).contains("1 of its 2"));
        assert_eq!(refusal(StoredAs::BFloat16, &[1.0, 7e4]), "");
        assert!(refusal(StoredAs::Float16, &[1e-9; 10]).contains("zero"));
        assert_eq!(refusal(StoredAs::BFloat16, &[1e-9; 10]), "");
        assert!(refusal(StoredAs::Float32, &[f32::NAN]).contains("float32"));
        let mut values = vec![1.0; 2000];
        values[..2].fill(1e-9);
        assert_eq!(refusal(StoredAs::Float16, &values), "", "a trace");
        values[..3].fill(1e-9);
        assert!(refusal(StoredAs::Float16, &values).contains("3 of its 2000"));
        assert_eq!(refusal(StoredAs::Float16, &[0.0; 10]), "", "zeros are zeros");
    }
}
