//! A file of arrays in the safetensors format, written straight under the name that it is given.
//!
//! The library's own writer puts another temporary file beside it: a run that is killed would leave that one behind under a name that
//! nobody knows, and what comes of it can be read by its owner alone, whatever the umask.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};

use super::stored::Arrays;

/// What the length of a header is a multiple of.
const ALIGNMENT: usize = 8;

/// Writes arrays one after the other, so that a layer of a large model is held in memory once, not twice.
pub(super) fn write(path: &Path, arrays: &Arrays<'_>) -> io::Result<()> {
    // In the library's order: the widest numbers first, so that every array is aligned, and then by name.
    let mut ordered: Vec<_> = arrays.iter().collect();
    ordered.sort_by(|(left_name, left), (right_name, right)| right.dtype.cmp(&left.dtype).then(left_name.cmp(right_name)));
    let mut end = 0;
    let entries = ordered
        .iter()
        .map(|(name, array)| {
            let begin = end;
            end += array.bytes.len();
            let info = TensorInfo {
                dtype: array.dtype,
                shape: array.shape.clone(),
                data_offsets: (begin, end),
            };
            ((*name).clone(), info)
        })
        .collect();
    // One entry only: a map of several would be written in any order.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // This also checks that shapes and bytes agree.
    let metadata = Metadata::new(Some(format), entries).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata).map_err(io::Error::other)?;
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for (_, array) in ordered {
        file.write_all(&array.bytes)?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::super::stored::Array;
    use super::*;

    #[test]
    fn bytes_are_those_of_the_library_and_nothing_stands_beside_the_file() {
        let array = |dtype: Dtype, shape: &[usize], bytes: usize| Array {
            dtype,
            shape: shape.to_vec(),
            bytes: (0..bytes).map(|place| place as u8).collect::<Vec<u8>>().into(),
        };
        let arrays = Arrays::from([
            ("b.weight".to_owned(), array(Dtype::F16, &[3, 2], 12)),
            ("a.qweight".to_owned(), array(Dtype::I32, &[2], 8)),
            ("c.weight".to_owned(), array(Dtype::F32, &[2, 2], 16)),
            ("a.scales".to_owned(), array(Dtype::F16, &[1], 2)),
            ("empty".to_owned(), array(Dtype::F32, &[0], 0)),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        write(&path, &arrays).unwrap();
        let views = arrays
            .iter()
            .map(|(name, array)| (name, TensorView::new(array.dtype, array.shape.clone(), &array.bytes).unwrap()));
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        assert_eq!(std::fs::read(&path).unwrap(), safetensors::serialize(views, Some(format)).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let wrong = Arrays::from([("w".to_owned(), array(Dtype::F32, &[3], 8))]);
        assert!(write(&path, &wrong).is_err(), "a shape that its bytes do not fill");
    }
}
