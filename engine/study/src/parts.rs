//! The hidden folder in which a run keeps the parts of its work until a study holds all that they gave.

use std::path::Path;

use crate::files::is_temporary;

/// What the names of parts begin with, other than those that are a digest.
const KINDS: [&str; 4] = ["change-", "measured-", "shard-", "window-"];
/// What they end with.
const ENDINGS: [&str; 2] = ["json", "safetensors"];
/// Hexadecimal digits of a digest in a name.
const DIGEST: usize = 24;

/// Removes the parts in a folder, and the folder where nothing else is in it. Files that no run made stay; what cannot be removed is only
/// untidy.
pub fn remove_parts(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && entry.file_name().to_str().is_some_and(is_part) {
            std::fs::remove_file(entry.path()).ok();
        }
    }
    std::fs::remove_dir(folder).ok();
}

fn is_part(name: &str) -> bool {
    // A temporary file, and a lock, are named after what they are for: `.NAME.RANDOM.tmp`, `.NAME.lock`.
    let own = name.strip_prefix('.').and_then(|inner| match inner.strip_suffix(".lock") {
        Some(own) => Some(own),
        None => inner
            .strip_suffix(".tmp")
            .filter(|_| is_temporary(name))
            .and_then(|own| Some(own.rsplit_once('.')?.0)),
    });
    let Some((stem, ending)) = own.unwrap_or(name).rsplit_once('.') else {
        return false;
    };
    let is_digest = stem.len() == DIGEST && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    ENDINGS.contains(&ending) && (is_digest || KINDS.iter().any(|kind| stem.starts_with(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [&str; 7] = [
        "0123456789abcdef01234567.safetensors",
        "window-0123456789abcdef01234567.safetensors",
        "change-sparsegpt-0.5-00003.safetensors",
        "measured-0123456789abcdef01234567.json",
        "shard-00001.json",
        ".shard-00001.json.lock",
        ".0123456789abcdef01234567.safetensors.Ab12Cd.tmp",
    ];

    #[test]
    fn parts_go_and_files_of_others_stay_with_their_folder() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(".parts");
        std::fs::create_dir(&folder).unwrap();
        for name in OURS {
            std::fs::write(folder.join(name), "part").unwrap();
        }
        let others = ["mine.txt", "model.safetensors", "notes.json", ".hidden", "windows.txt"];
        for name in others {
            std::fs::write(folder.join(name), "thesis").unwrap();
        }
        std::fs::create_dir(folder.join("window-1.json")).unwrap();
        remove_parts(&folder);
        assert!(OURS.iter().all(|name| !folder.join(name).exists()));
        assert!(others.iter().all(|name| folder.join(name).exists()) && folder.join("window-1.json").is_dir());
    }

    #[test]
    fn a_folder_of_nothing_but_parts_goes() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(".parts");
        std::fs::create_dir(&folder).unwrap();
        for name in OURS {
            std::fs::write(folder.join(name), "part").unwrap();
        }
        remove_parts(&folder);
        assert!(!folder.exists());
        remove_parts(&folder);
    }
}
