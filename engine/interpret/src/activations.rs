//! Where block inputs, keys and values wait between the forward pass and the backward one.
//!
//! They are the only memory that grows with the layers and the instances of a batch, and are needed again in the reverse order.
//! Wherever they wait, they come back to the bit (float32 devices; the float64 reference rounds them outside of
//! [`ActivationStorage::Device`]).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use cruxscope_model::kernels::Kernels;

use crate::InterpretError;

/// Where block inputs, keys and values wait between the two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationStorage {
    /// On the device.
    Device,
    /// In the machine's memory.
    Memory,
    /// On the disk: in a file without a name, which is gone once the instance is done, however that comes about.
    Disk,
}

/// A stack of matrices: the last that was pushed is the first popped.
pub struct ActivationCache<K: Kernels> {
    location: CacheLocation,
    stack: Vec<CachedMatrix<K>>,
}

enum CacheLocation {
    Device,
    Memory,
    Disk { folder: PathBuf, file: File, end: u64 },
}

enum CachedMatrix<K: Kernels> {
    Device(K::Matrix),
    Memory { rows: usize, values: Vec<f32> },
    Disk { rows: usize, bytes: usize },
}

impl<K: Kernels> ActivationCache<K> {
    /// An empty stack; `folder` is where a file goes.
    pub fn new(storage: ActivationStorage, folder: &Path) -> Result<Self, InterpretError> {
        let location = match storage {
            ActivationStorage::Device => CacheLocation::Device,
            ActivationStorage::Memory => CacheLocation::Memory,
            ActivationStorage::Disk => CacheLocation::Disk {
                file: tempfile::tempfile_in(folder).map_err(|source| InterpretError::Spill {
                    attempt: "create a file",
                    folder: folder.to_path_buf(),
                    source,
                })?,
                folder: folder.to_path_buf(),
                end: 0,
            },
        };
        Ok(Self { location, stack: Vec::new() })
    }

    /// Puts a matrix on top.
    pub fn push(&mut self, kernels: &K, matrix: K::Matrix) -> Result<(), InterpretError> {
        let rows = kernels.rows(&matrix);
        self.stack.push(match &mut self.location {
            CacheLocation::Device => CachedMatrix::Device(matrix),
            CacheLocation::Memory => CachedMatrix::Memory {
                rows,
                values: kernels.download(&matrix)?,
            },
            CacheLocation::Disk { folder, file, end } => {
                let bytes: Vec<u8> = kernels.download(&matrix)?.into_iter().flat_map(f32::to_le_bytes).collect();
                file.seek(SeekFrom::Start(*end))
                    .and_then(|_| file.write_all(&bytes))
                    .map_err(|source| InterpretError::Spill {
                        attempt: "keep block inputs, keys and values",
                        folder: folder.clone(),
                        source,
                    })?;
                *end += bytes.len() as u64;
                CachedMatrix::Disk { rows, bytes: bytes.len() }
            }
        });
        Ok(())
    }

    /// Takes the matrix on top, if there is one.
    pub fn pop(&mut self, kernels: &K) -> Result<Option<K::Matrix>, InterpretError> {
        let upload = |rows: usize, values: Vec<f32>| kernels.upload(rows, values.len() / rows.max(1), values);
        Ok(match (self.stack.pop(), &mut self.location) {
            (Some(CachedMatrix::Device(matrix)), _) => Some(matrix),
            (Some(CachedMatrix::Memory { rows, values }), _) => Some(upload(rows, values)),
            (Some(CachedMatrix::Disk { rows, bytes }), CacheLocation::Disk { folder, file, end }) => {
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
            (None | Some(CachedMatrix::Disk { .. }), _) => None,
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
        for storage in [ActivationStorage::Device, ActivationStorage::Memory, ActivationStorage::Disk] {
            let mut cache: ActivationCache<CpuKernels> = ActivationCache::new(storage, folder.path()).unwrap();
            let matrices = [
                (2, vec![1.0, -0.0, f32::MIN_POSITIVE / 2.0, 3.5]),
                (1, vec![0.1; 5]),
                (3, vec![f32::MAX, f32::MIN, 7.0]),
            ];
            let put = |cache: &mut ActivationCache<CpuKernels>, (rows, values): &(usize, Vec<f32>)| {
                cache.push(&CpuKernels, CpuKernels.upload(*rows, values.len() / rows, values.clone())).unwrap();
            };
            let takes = |cache: &mut ActivationCache<CpuKernels>, (rows, values): &(usize, Vec<f32>)| {
                let found = cache.pop(&CpuKernels).unwrap().unwrap();
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(CpuKernels.rows(&found), *rows, "{storage:?}");
                assert_eq!(bits(&CpuKernels.download(&found).unwrap()), bits(values), "{storage:?}");
            };
            matrices.iter().for_each(|matrix| put(&mut cache, matrix));
            takes(&mut cache, &matrices[2]);
            put(&mut cache, &matrices[0]);
            takes(&mut cache, &matrices[0]);
            takes(&mut cache, &matrices[1]);
            takes(&mut cache, &matrices[0]);
            assert!(cache.pop(&CpuKernels).unwrap().is_none());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        let error = ActivationCache::<CpuKernels>::new(ActivationStorage::Disk, &folder.path().join("missing"))
            .err()
            .unwrap();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
