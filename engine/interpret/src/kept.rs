//! Where block inputs, keys and values wait between the forward pass and the backward one.
//!
//! They are the only memory that grows with the layers and the instances of a batch, and are needed again in the reverse order.
//! Wherever they wait, they come back to the bit (float32 devices; the float64 reference rounds them outside of
//! [`Keep::Device`]).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use cruxscope_model::kernels::Kernels;

use crate::InterpretError;

/// Where they wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// On the device.
    Device,
    /// In the machine's memory.
    Memory,
    /// In a file without a name in this folder, which is gone once the instance is done, however that comes about.
    Disk(PathBuf),
}

/// A pile of matrices: the last that was put there is the first taken.
pub(crate) struct Shelf<K: Kernels> {
    place: Place,
    pile: Vec<Kept<K>>,
}

enum Place {
    Device,
    Memory,
    Disk { folder: PathBuf, file: File, end: u64 },
}

enum Kept<K: Kernels> {
    Device(K::Matrix),
    Memory { rows: usize, values: Vec<f32> },
    Disk { rows: usize, bytes: usize },
}

impl<K: Kernels> Shelf<K> {
    /// An empty pile.
    pub fn new(keep: &Keep) -> Result<Self, InterpretError> {
        let place = match keep {
            Keep::Device => Place::Device,
            Keep::Memory => Place::Memory,
            Keep::Disk(folder) => Place::Disk {
                file: tempfile::tempfile_in(folder).map_err(|source| InterpretError::Spill {
                    attempt: "create a file",
                    folder: folder.clone(),
                    source,
                })?,
                folder: folder.clone(),
                end: 0,
            },
        };
        Ok(Self { place, pile: Vec::new() })
    }

    /// Puts a matrix on top.
    pub fn put(&mut self, kernels: &K, matrix: K::Matrix) -> Result<(), InterpretError> {
        let rows = kernels.rows(&matrix);
        self.pile.push(match &mut self.place {
            Place::Device => Kept::Device(matrix),
            Place::Memory => Kept::Memory {
                rows,
                values: kernels.download(&matrix)?,
            },
            Place::Disk { folder, file, end } => {
                let bytes: Vec<u8> = kernels.download(&matrix)?.into_iter().flat_map(f32::to_le_bytes).collect();
                file.seek(SeekFrom::Start(*end))
                    .and_then(|_| file.write_all(&bytes))
                    .map_err(|source| InterpretError::Spill {
                        attempt: "keep block inputs, keys and values",
                        folder: folder.clone(),
                        source,
                    })?;
                *end += bytes.len() as u64;
                Kept::Disk { rows, bytes: bytes.len() }
            }
        });
        Ok(())
    }

    /// Takes the uppermost matrix, if there is one.
    pub fn take(&mut self, kernels: &K) -> Result<Option<K::Matrix>, InterpretError> {
        let upload = |rows: usize, values: Vec<f32>| kernels.upload(rows, values.len() / rows.max(1), values);
        Ok(match (self.pile.pop(), &mut self.place) {
            (Some(Kept::Device(matrix)), _) => Some(matrix),
            (Some(Kept::Memory { rows, values }), _) => Some(upload(rows, values)),
            (Some(Kept::Disk { rows, bytes }), Place::Disk { folder, file, end }) => {
                *end -= bytes as u64;
                let mut read = vec![0; bytes];
                file.seek(SeekFrom::Start(*end))
                    .and_then(|_| file.read_exact(&mut read))
                    .map_err(|source| InterpretError::Spill {
                        attempt: "read what was kept",
                        folder: folder.clone(),
                        source,
                    })?;
                Some(upload(rows, read.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()))
            }
            (None | Some(Kept::Disk { .. }), _) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_model::kernels::cpu::CpuKernels;

    use super::*;

    #[test]
    fn what_is_put_away_comes_back_in_reverse_and_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        for keep in [Keep::Device, Keep::Memory, Keep::Disk(folder.path().into())] {
            let mut shelf: Shelf<CpuKernels> = Shelf::new(&keep).unwrap();
            let matrices = [
                (2, vec![1.0, -0.0, f32::MIN_POSITIVE / 2.0, 3.5]),
                (1, vec![0.1; 5]),
                (3, vec![f32::MAX, f32::MIN, 7.0]),
            ];
            let put = |shelf: &mut Shelf<CpuKernels>, (rows, values): &(usize, Vec<f32>)| {
                shelf.put(&CpuKernels, CpuKernels.upload(*rows, values.len() / rows, values.clone())).unwrap();
            };
            let takes = |shelf: &mut Shelf<CpuKernels>, (rows, values): &(usize, Vec<f32>)| {
                let found = shelf.take(&CpuKernels).unwrap().unwrap();
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(CpuKernels.rows(&found), *rows, "{keep:?}");
                assert_eq!(bits(&CpuKernels.download(&found).unwrap()), bits(values), "{keep:?}");
            };
            matrices.iter().for_each(|matrix| put(&mut shelf, matrix));
            takes(&mut shelf, &matrices[2]);
            put(&mut shelf, &matrices[0]);
            takes(&mut shelf, &matrices[0]);
            takes(&mut shelf, &matrices[1]);
            takes(&mut shelf, &matrices[0]);
            assert!(shelf.take(&CpuKernels).unwrap().is_none());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        let error = Shelf::<CpuKernels>::new(&Keep::Disk(folder.path().join("missing"))).err().unwrap();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
