//! Files that are there whole or not at all. Who may write them is [`OutputLock`](crate::OutputLock)'s to say.
//!
//! This stands in the study's crate because it is the lowest that every writer of files depends on (checkpoints, results, samples,
//! studies, the site), and because the digests by which a note vouches for a file are here too. It knows nothing of studies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::leftovers;

/// How names of files begin and end while they are written.
const MARKS: (&str, &str) = (".", ".tmp");

/// Writes a file under a temporary name beside it, syncs it, renames it and syncs the folder, so that a reader sees the old bytes or
/// the new ones. Its permissions are those of any new file, by the umask. What a process that was killed left behind while it wrote the
/// same file is removed.
///
/// # Errors
/// When the disk refuses; the temporary file is removed then.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    atomic_write_with(path, |temporary| {
        let mut file = OpenOptions::new().write(true).truncate(true).open(temporary)?;
        file.write_all(bytes)
    })
}

/// The same for whoever writes to a path: `write` gets the temporary one, which exists already.
///
/// # Errors
/// Those of `write`, and when the disk refuses.
pub fn atomic_write_with<E: From<io::Error>>(path: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let prefix = format!("{}{name}.", MARKS.0);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(MARKS.1);
    #[cfg(unix)]
    {
        // A temporary file is its owner's alone unless told otherwise; the umask still takes from this.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let folder = folder_of(path);
    leftovers::collect(folder, &prefix, MARKS.1);
    let temporary = leftovers::begin(&builder, folder)?;
    write(temporary.path())?;
    // Through the name: whoever wrote may have put another file there.
    File::open(temporary.path())?.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder);
    Ok(())
}

/// Makes what happened to the names in a folder safe. Systems that cannot open a folder are skipped.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
}

/// Whether a name is one that [`atomic_write`] gives while it writes: what a killed process leaves behind.
pub fn is_temporary(name: &str) -> bool {
    name.len() > MARKS.0.len() + MARKS.1.len() && name.starts_with(MARKS.0) && name.ends_with(MARKS.1)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        atomic_write(&path, b"old").unwrap();
        atomic_write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let refused = atomic_write_with(&path, |temporary| {
            fs::write(temporary, b"half")?;
            Err(io::Error::other("no space"))
        });
        assert_eq!(refused.unwrap_err().to_string(), "no space");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["results.json"], "nothing is left over");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (ours, any) = (folder.path().join("ours"), folder.path().join("any"));
        atomic_write(&ours, b"").unwrap();
        fs::write(&any, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&any));
    }

    #[test]
    fn leftovers_are_known_by_their_names() {
        assert!(is_temporary(".results.json.Ab12.tmp") && is_temporary(".model-layer-00001.safetensors.tmp"));
        assert!(!is_temporary("results.tmp") && !is_temporary(".tmp") && !is_temporary(".notes"));
    }

    #[cfg(unix)]
    #[test]
    fn what_a_killed_process_left_is_collected_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let left = ".results.json.Ab12Cd.tmp";
        let stays = [
            ".results.json.tmp",
            ".results.json.Ab12Cd",
            ".results.json.Ab-2Cd.tmp",
            ".other.json.Ab12Cd.tmp",
            "results.json.Ab12Cd.tmp",
        ];
        for name in stays.iter().chain([&left]) {
            fs::write(place(name), "half").unwrap();
        }
        fs::create_dir(place(".results.json.folder.tmp")).unwrap();
        let mut builder = tempfile::Builder::new();
        builder.prefix(".results.json.").suffix(".tmp");
        let held = leftovers::begin(&builder, folder.path()).unwrap();
        atomic_write(&place("results.json"), b"new").unwrap();
        assert!(!place(left).exists());
        assert!(held.path().exists(), "somebody writes it");
        assert!(stays.iter().all(|name| place(name).exists()) && place(".results.json.folder.tmp").exists());
        assert_eq!(fs::read(place("results.json")).unwrap(), b"new");
    }
}
