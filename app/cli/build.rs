//! Packs the miniature's studies, which the program carries, into one compressed file: a third of their size.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

const STUDIES: &str = "../studies/miniature";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={STUDIES}");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo names no folder")?).join("miniature.tar.gz");
    let packed = flate2::write::GzEncoder::new(File::create(out)?, flate2::Compression::best());
    let mut archive = tar::Builder::new(packed);
    // Neither times nor owners: the same studies give the same bytes.
    archive.mode(tar::HeaderMode::Deterministic);
    add(&mut archive, Path::new(STUDIES), Path::new(""))?;
    archive.into_inner()?.finish()?;
    Ok(())
}

/// Adds what is in a folder, in the order of names.
fn add(archive: &mut tar::Builder<impl std::io::Write>, folder: &Path, name: &Path) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        if path.is_dir() {
            add(archive, &path, &name)?;
        } else {
            archive.append_path_with_name(&path, &name)?;
        }
    }
    Ok(())
}
