//! How numbers are stored in files of weights.

use anamnesis::GgufType;

/// The type of a tensor's elements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum DType {
    /// IEEE single precision, little-endian.
    Float32,
    /// IEEE half precision.
    Float16,
    /// The upper half of single precision.
    BrainFloat16,
    /// 8 bits: sign, 4 of exponent, 3 of mantissa (E4M3FN); a code of packed weights, or a scale.
    Float8,
    /// 8 bits: sign, 5 of exponent, 2 of mantissa (E5M2); a code of packed weights.
    Float8Wide,
    /// 8 bits of exponent alone, a power of two (E8M0); a scale.
    Exponent8,
    /// One of GGUF's block types.
    Block(GgufType),
    /// Signed 8-bit integers: codes.
    Integer8,
    /// Bytes: packed codes, scales of codes, texts.
    Byte,
    /// 32-bit integers: words of packed codes.
    Integer32,
    /// 64-bit integers: shapes.
    Integer64,
    /// Something no weight is read from, by its name.
    Other(String),
}

impl DType {
    /// The usual name: "BF16", "Q4_1".
    pub fn name(&self) -> String {
        match self {
            Self::Float32 => "F32".to_string(),
            Self::Float16 => "F16".to_string(),
            Self::BrainFloat16 => "BF16".to_string(),
            Self::Float8 => "F8_E4M3".to_string(),
            Self::Float8Wide => "F8_E5M2".to_string(),
            Self::Exponent8 => "F8_E8M0".to_string(),
            Self::Block(kind) => kind.to_string(),
            Self::Integer8 => "I8".to_string(),
            Self::Byte => "U8".to_string(),
            Self::Integer32 => "I32".to_string(),
            Self::Integer64 => "I64".to_string(),
            Self::Other(name) => name.clone(),
        }
    }

    /// Elements and bytes of the smallest unit, of types whose numbers are weights by themselves.
    pub fn unit(&self) -> Option<(usize, usize)> {
        match self {
            Self::Float32 => Some((1, 4)),
            Self::Float16 | Self::BrainFloat16 => Some((1, 2)),
            Self::Block(kind) => Some((kind.block_size(), kind.type_size()?)),
            _ => None,
        }
    }

    /// Bytes of an element, of types whose elements stand alone.
    pub fn bytes(&self) -> Option<usize> {
        match self {
            Self::Float32 | Self::Integer32 => Some(4),
            Self::Float16 | Self::BrainFloat16 => Some(2),
            Self::Float8 | Self::Float8Wide | Self::Exponent8 | Self::Integer8 | Self::Byte => Some(1),
            Self::Integer64 => Some(8),
            Self::Block(_) | Self::Other(_) => None,
        }
    }
}
