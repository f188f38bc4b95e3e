//! Packed matrices one below the other, as files hold those that are one there.

use super::{Codes, Layout, PackedError, PackedWeight};

impl PackedWeight {
    /// These matrices as one, their outputs one after the other: the codes, zeros and scales that they have.
    ///
    /// # Errors
    /// `Setting` where they differ in layout, inputs, bits, groups or the order of columns, or one has zeros and another none; what
    /// packing returns.
    pub fn joined(parts: &[&Self]) -> Result<Self, PackedError> {
        let differ = |setting: &'static str| PackedError::Setting {
            setting,
            value: "of several kinds".into(),
            rule: "matrices that a file holds as one are packed alike".into(),
        };
        let mut all: Option<Codes> = None;
        for part in parts {
            let own = part.unpack()?;
            let Some(whole) = &mut all else {
                all = Some(own);
                continue;
            };
            if part.layout != parts[0].layout || part.qzeros.is_empty() != parts[0].qzeros.is_empty() {
                return Err(differ("the layout"));
            }
            if (own.columns, own.bits, own.group) != (whole.columns, whole.bits, whole.group) {
                return Err(differ("bits or groups"));
            }
            if own.group_index != whole.group_index {
                return Err(differ("the order of columns"));
            }
            whole.rows += own.rows;
            whole.codes.extend(own.codes);
            whole.zeros.extend(own.zeros);
            whole.scales.extend(own.scales);
        }
        let whole = all.ok_or_else(|| differ("the number of matrices"))?;
        match parts[0].layout {
            Layout::CompressedTensors(scales) if parts[0].qzeros.is_empty() => whole.pack_symmetric(scales),
            layout => whole.pack(layout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::{ScaleType, ZeroFormat};

    fn codes(rows: usize, bits: u8, from: usize) -> Codes {
        let (columns, group) = (64, 32);
        let largest = (1usize << bits) - 1;
        Codes {
            rows,
            columns,
            bits,
            group,
            codes: (0..rows * columns).map(|i| ((i * 7 + from) % (largest + 1)) as u8).collect(),
            zeros: (0..rows * 2).map(|i| (1 + (i + from) % (largest - 1)) as u8).collect(),
            scales: (0..rows * 2).map(|i| (1 + (i + from) % 32) as f32 / 64.0).collect(),
            group_index: None,
        }
    }

    #[test]
    fn matrices_one_below_the_other_are_those_matrices() {
        let layouts = [
            (Layout::Awq, 4),
            (Layout::Gptq(ZeroFormat::V1), 2),
            (Layout::Gptq(ZeroFormat::V1), 3),
            (Layout::Gptq(ZeroFormat::V2), 8),
            (Layout::CompressedTensors(ScaleType::Float32), 5),
        ];
        for (layout, bits) in layouts {
            let [first, second] = [codes(64, bits, 0), codes(32, bits, 11)].map(|codes| codes.pack(layout).unwrap());
            let whole = PackedWeight::joined(&[&first, &second]).unwrap();
            assert_eq!((whole.rows, whole.columns), (96, 64));
            assert_eq!(
                whole.weights().unwrap(),
                [first.weights().unwrap(), second.weights().unwrap()].concat(),
                "{layout:?}"
            );
            let other = Codes {
                group: 64,
                zeros: vec![1; 32],
                scales: vec![1.0; 32],
                ..codes(32, bits, 0)
            };
            let error = PackedWeight::joined(&[&first, &other.pack(layout).unwrap()]).unwrap_err().to_string();
            assert!(error.contains("bits or groups"), "{error}");
        }
    }
}
