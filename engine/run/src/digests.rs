//! Digests of input files. Those of large files are kept between runs: reading 16 GB again to learn that nothing changed takes longer than
//! many a run.
//!
//! A digest is believed while path, size, time of change and inode are what they were, which is what `git` goes by; a file that changed
//! within two seconds before it was read is not kept, since it could change again unseen. `CRUXSCOPE_CACHE` names another folder than the
//! user's own for caches; empty, it keeps nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cruxscope_interpret::InterpretError;
use cruxscope_study::{Digest, FileDigest, folder};
use serde::{Deserialize, Serialize};

use crate::machine::format_bytes;
use crate::{Event, Observer, RunError};

/// Smaller files are read every time.
const LARGE: u64 = 256 << 20;
/// Bytes after which progress is told.
const TOLD: u64 = 64 << 20;
/// Files that changed so shortly before they were read are not kept.
const SETTLED: Duration = Duration::from_secs(2);
/// Files that are remembered; the ones that were read longest ago go first.
const MOST: usize = 2000;
/// The file in the folder of caches.
const FILE: &str = "digests.json";

/// What a file was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    bytes: u64,
    /// Nanoseconds since 1970.
    changed: u64,
    inode: u64,
    sha256: String,
    /// Seconds since 1970 at which it was read.
    read: u64,
}

/// The digest of a file, told to the observer.
///
/// # Errors
/// When it cannot be read.
pub fn of(path: &Path, observer: &mut dyn Observer) -> Result<FileDigest, RunError> {
    kept_in(place().as_deref(), path, LARGE, &mut Reading::begin([path], observer))
}

/// The digests of some files.
///
/// # Errors
/// When one cannot be read.
pub fn all(paths: &[PathBuf], observer: &mut dyn Observer) -> Result<Vec<FileDigest>, RunError> {
    let cache = place();
    let mut reading = Reading::begin(paths.iter().map(PathBuf::as_path), observer);
    let mut found = Vec::new();
    for path in paths {
        let file = kept_in(cache.as_deref(), path, LARGE, &mut reading)?;
        reading.before += file.bytes;
        found.push(file);
    }
    Ok(found)
}

/// Files that are read one after the other, and who is told.
struct Reading<'a> {
    /// Bytes of the files before.
    before: u64,
    /// Bytes of all files.
    of: u64,
    observer: &'a mut dyn Observer,
}

impl<'a> Reading<'a> {
    fn begin<'p>(paths: impl IntoIterator<Item = &'p Path>, observer: &'a mut dyn Observer) -> Self {
        let sizes = paths.into_iter().map(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len()));
        Self {
            before: 0,
            of: sizes.sum(),
            observer,
        }
    }

    /// Reads a file; large ones tell how far they are, and can be stopped.
    fn digest(&mut self, path: &Path, bytes: u64, large: u64) -> Result<FileDigest, RunError> {
        let file = path.display().to_string();
        self.observer.event(Event::Digesting { file, bytes });
        if bytes < large {
            return Ok(folder::digest_of_file(path)?);
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let began = Instant::now();
        let (found, is_whole) = folder::digest_while(path, &mut |read| {
            if read % TOLD == 0 {
                let rate = format_bytes((read as f64 / began.elapsed().as_secs_f64().max(1e-3)) as u64);
                self.observer.event(Event::Preparing {
                    what: format!("reading {name} for its digest, {rate}/s"),
                    share: (self.before + read) as f64 / self.of.max(1) as f64,
                });
            }
            !self.observer.stop()
        })?;
        if is_whole { Ok(found) } else { Err(InterpretError::Cancelled.into()) }
    }
}

fn kept_in(cache: Option<&Path>, path: &Path, large: u64, reading: &mut Reading<'_>) -> Result<FileDigest, RunError> {
    let now = std::fs::metadata(path).ok();
    let bytes = now.as_ref().map_or(0, std::fs::Metadata::len);
    let (Some(cache), Some(identity)) = (cache, now.as_ref().filter(|_| bytes >= large).and_then(identity)) else {
        return reading.digest(path, bytes, large);
    };
    let name = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let known = load(cache);
    if let Some(known) = known
        .get(&name)
        .filter(|known| (known.bytes, known.changed, known.inode) == (bytes, identity.0, identity.1))
    {
        return Ok(FileDigest {
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes,
            sha256: Digest(known.sha256.clone()),
        });
    }
    let began = since_1970(SystemTime::now());
    let found = reading.digest(path, bytes, large)?;
    let after = std::fs::metadata(path).ok();
    let is_same = after.as_ref().and_then(self::identity) == Some(identity) && found.bytes == bytes;
    if is_same && Duration::from_nanos(identity.0) + SETTLED < began {
        keep(
            cache,
            name,
            Known {
                bytes,
                changed: identity.0,
                inode: identity.1,
                sha256: found.sha256.0.clone(),
                read: began.as_secs(),
            },
        );
    }
    Ok(found)
}

/// Time of change in nanoseconds since 1970, and inode; nothing where the system does not say.
#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((since_1970(metadata.modified().ok()?).as_nanos() as u64, metadata.ino()))
}

#[cfg(not(unix))]
fn identity(metadata: &std::fs::Metadata) -> Option<(u64, u64)> {
    Some((since_1970(metadata.modified().ok()?).as_nanos() as u64, 0))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The folder of caches.
fn place() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("CRUXSCOPE_CACHE") {
        return Some(PathBuf::from(given)).filter(|place| !place.as_os_str().is_empty());
    }
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|place| place.is_absolute());
    let base = if cfg!(windows) {
        of("LOCALAPPDATA")
    } else {
        of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))
    };
    base.map(|base| base.join("cruxscope"))
}

/// What is known; nothing where the file is not there, or damaged.
fn load(cache: &Path) -> BTreeMap<String, Known> {
    let bytes = std::fs::read(cache.join(FILE)).ok();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Adds what is known of a file. A folder that cannot be written only costs time.
fn keep(cache: &Path, name: String, file: Known) {
    let mut known = load(cache);
    known.insert(name, file);
    while known.len() > MOST {
        let Some(oldest) = known.iter().min_by_key(|(_, known)| known.read).map(|(name, _)| name.clone()) else {
            break;
        };
        known.remove(&oldest);
    }
    if let Ok(bytes) = serde_json::to_vec_pretty(&known) {
        std::fs::create_dir_all(cache).ok();
        folder::write_atomically(&cache.join(FILE), &bytes).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts files that are read.
    #[derive(Default)]
    struct Reads(usize);

    impl Observer for Reads {
        fn event(&mut self, event: Event) {
            self.0 += usize::from(matches!(event, Event::Digesting { .. }));
        }
    }

    fn write(path: &Path, bytes: &[u8], seconds_ago: u64) {
        std::fs::write(path, bytes).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago)).unwrap();
    }

    #[test]
    fn a_file_that_did_not_change_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = (folder.path().join("cache"), folder.path().join("model"));
        let mut reads = Reads::default();
        write(&path, b"weights", 100);
        let first = kept_in(Some(&cache), &path, 1, &mut Reading::begin([path.as_path()], &mut reads)).unwrap();
        assert_eq!(
            kept_in(Some(&cache), &path, 1, &mut Reading::begin([path.as_path()], &mut reads)).unwrap(),
            first
        );
        assert_eq!((reads.0, &first), (1, &folder::digest_of_file(&path).unwrap()));
        // Other bytes of the same size: another time of change.
        write(&path, b"changed", 90);
        let second = kept_in(Some(&cache), &path, 1, &mut Reading::begin([path.as_path()], &mut reads)).unwrap();
        assert!(second != first && second == folder::digest_of_file(&path).unwrap());
        // Another file put in its place, with the time of the old one.
        let other = folder.path().join("other");
        write(&other, b"swapped", 90);
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        std::fs::rename(&other, &path).unwrap();
        if cfg!(unix) {
            assert_eq!(
                kept_in(Some(&cache), &path, 1, &mut Reading::begin([path.as_path()], &mut reads)).unwrap(),
                folder::digest_of_file(&path).unwrap()
            );
        }
        // Damaged, small, without a cache: read.
        std::fs::write(cache.join(FILE), b"{").unwrap();
        let before = reads.0;
        kept_in(Some(&cache), &path, 1, &mut Reading::begin([path.as_path()], &mut reads)).unwrap();
        kept_in(Some(&cache), &path, 1000, &mut Reading::begin([path.as_path()], &mut reads)).unwrap();
        kept_in(None, &path, 1, &mut Reading::begin([path.as_path()], &mut reads)).unwrap();
        assert_eq!(reads.0, before + 3);
    }

    #[test]
    fn a_file_that_has_just_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = (folder.path().join("cache"), folder.path().join("model"));
        let mut reads = Reads::default();
        write(&path, b"weights", 0);
        kept_in(Some(&cache), &path, 1, &mut Reading::begin([path.as_path()], &mut reads)).unwrap();
        kept_in(Some(&cache), &path, 1, &mut Reading::begin([path.as_path()], &mut reads)).unwrap();
        assert_eq!(reads.0, 2);
    }

    /// Keeps the shares that it hears of, and stops where it should.
    struct Shares(Vec<f64>, bool);

    impl Observer for Shares {
        fn event(&mut self, event: Event) {
            if let Event::Preparing { share, .. } = event {
                self.0.push(share);
            }
        }

        fn stop(&self) -> bool {
            self.1
        }
    }

    #[test]
    fn large_files_tell_how_far_they_are_and_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        write(&a, b"four", 100);
        write(&b, b"twelve bytes", 100);
        let mut shares = Shares(Vec::new(), false);
        let mut reading = Reading::begin([a.as_path(), b.as_path()], &mut shares);
        reading.before += kept_in(None, &a, 1, &mut reading).unwrap().bytes;
        kept_in(None, &b, 1, &mut reading).unwrap();
        assert_eq!(shares.0, [0.0, 0.25]);
        let mut stopped = Shares(Vec::new(), true);
        let found = kept_in(Some(folder.path()), &a, 1, &mut Reading::begin([a.as_path()], &mut stopped));
        assert!(matches!(found, Err(RunError::Interpret(InterpretError::Cancelled))), "{found:?}");
        // What was not read whole is not kept.
        assert!(load(folder.path()).is_empty());
    }
}
