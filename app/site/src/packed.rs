//! Packed copies beside the files of a page, `NAME.br` and `NAME.gz`: servers that know them send them as they are, and need not pack
//! anything themselves.

use std::fs;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, available_parallelism};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::SiteError;
use crate::ownership::{LISTING, contents};

/// Endings of packed copies, with the names of their encodings in HTTP.
pub const ENDINGS: [(&str, &str); 2] = [("br", "br"), ("gz", "gzip")];
/// Files that are worth packing: pictures are packed already.
const WORTH: [&str; 9] = ["css", "csv", "html", "js", "json", "jsonl", "safetensors", "svg", "wasm"];
/// From this size on a packed copy saves a round trip or more.
const LEAST: usize = 1024;
/// A file of this size is packed with less effort: the best takes seconds a megabyte.
const LARGE: usize = 32 << 20;

/// Whether a name is that of a packed copy.
pub fn is_packed(name: &str) -> bool {
    ENDINGS
        .iter()
        .any(|(ending, _)| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.')))
}

/// The bytes after gzip at its best.
///
/// # Errors
/// When the encoder fails, which it does not in memory.
pub fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The bytes after brotli.
fn brotli(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: if bytes.len() > LARGE { 9 } else { 11 },
        size_hint: bytes.len(),
        ..Default::default()
    };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &*bytes, &mut packed, &parameters)?;
    Ok(packed)
}

/// A file that is worth packing.
struct Candidate {
    name: String,
    bytes: usize,
}

/// Puts packed copies beside every file of a page that is worth it, on all processors; a copy that saves nothing is left out, and one that
/// lies there already and holds the same is kept. `told` hears the share that is done.
///
/// # Errors
/// When a file cannot be read or a copy cannot be written.
pub fn pack(folder: &Path, told: &mut dyn FnMut(f64)) -> Result<(), SiteError> {
    let mut files = worth_packing(folder)?;
    // The largest takes longest, so it comes first.
    files.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let all: usize = files.iter().map(|file| file.bytes).sum();
    let next = AtomicUsize::new(0);
    let workers = available_parallelism().map_or(1, NonZero::get).min(files.len());
    let (finished, outcomes) = channel();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (files, next, finished) = (&files, &next, finished.clone());
            scope.spawn(move || {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Nobody listens any more once a file has failed.
                    if finished.send(pack_one(folder, &file.name).map(|()| file.bytes)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(finished);
        let mut done = 0;
        for outcome in outcomes {
            done += outcome?;
            told(done as f64 / all.max(1) as f64);
        }
        Ok(())
    })
}

fn worth_packing(folder: &Path) -> Result<Vec<Candidate>, SiteError> {
    let mut found = Vec::new();
    for name in contents(folder)?.into_iter().filter(|name| name != LISTING && !is_packed(name)) {
        let path = folder.join(&name);
        let ending = path.extension().and_then(|ending| ending.to_str());
        if !ending.is_some_and(|ending| WORTH.contains(&ending)) {
            continue;
        }
        let bytes = fs::metadata(&path).map_err(SiteError::io("read", &path))?.len() as usize;
        if bytes >= LEAST {
            found.push(Candidate { name, bytes });
        }
    }
    Ok(found)
}

fn pack_one(folder: &Path, name: &str) -> Result<(), SiteError> {
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(SiteError::io("read", &path))?;
    for (ending, _) in ENDINGS {
        let copy = folder.join(format!("{name}.{ending}"));
        if fs::read(&copy).is_ok_and(|packed| holds(ending, &packed, &bytes)) {
            continue;
        }
        let packed = if ending == "br" { brotli(&bytes) } else { gzip(&bytes) };
        let packed = packed.map_err(SiteError::io("compress", &path))?;
        if packed.len() < bytes.len() {
            fs::write(&copy, packed).map_err(SiteError::io("write", copy))?;
        } else if copy.exists() {
            fs::remove_file(&copy).map_err(SiteError::io("remove", copy))?;
        }
    }
    Ok(())
}

/// Whether a packed copy unpacks to these bytes, and to no more.
fn holds(ending: &str, packed: &[u8], bytes: &[u8]) -> bool {
    let mut unpacked = Vec::with_capacity(bytes.len());
    let limit = bytes.len() as u64 + 1;
    let read = if ending == "br" {
        brotli::Decompressor::new(packed, 1 << 16).take(limit).read_to_end(&mut unpacked)
    } else {
        GzDecoder::new(packed).take(limit).read_to_end(&mut unpacked)
    };
    read.is_ok() && unpacked == bytes
}

/// The size of a file's packed copy, where there is one.
pub fn packed_bytes(path: &Path, ending: &str) -> Option<u64> {
    let mut copy = path.as_os_str().to_owned();
    copy.push(".");
    copy.push(ending);
    fs::metadata(copy).ok().map(|metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_hold_the_same_bytes_and_only_where_they_are_smaller() {
        let scratch = tempfile::tempdir().unwrap();
        let text = "importance ".repeat(400);
        // What has no pattern is no smaller packed.
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..4000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        fs::create_dir(scratch.path().join("studies")).unwrap();
        for (name, bytes) in [
            ("studies/a.json", text.as_bytes()),
            ("noise.wasm", &noise),
            ("preview.png", text.as_bytes()),
            ("small.js", b"1"),
        ] {
            fs::write(scratch.path().join(name), bytes).unwrap();
        }
        // One that belongs to other bytes is made anew, one that holds nothing smaller goes.
        fs::write(scratch.path().join("studies/a.json.br"), b"stale").unwrap();
        fs::write(scratch.path().join("noise.wasm.gz"), b"stale").unwrap();
        let mut shares = Vec::new();
        pack(scratch.path(), &mut |share| shares.push(share)).unwrap();
        assert_eq!((shares.len(), shares.last()), (2, Some(&1.0)));
        let names: Vec<String> = contents(scratch.path()).unwrap().into_iter().collect();
        assert_eq!(
            names,
            [
                "noise.wasm",
                "preview.png",
                "small.js",
                "studies/a.json",
                "studies/a.json.br",
                "studies/a.json.gz"
            ]
        );
        let read = |name: &str| fs::read(scratch.path().join(name)).unwrap();
        let mut unpacked = String::new();
        GzDecoder::new(&read("studies/a.json.gz")[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
        let mut unpacked = Vec::new();
        brotli::BrotliDecompress(&mut &read("studies/a.json.br")[..], &mut unpacked).unwrap();
        assert_eq!(unpacked, text.as_bytes());
        // One that is right is kept, even where another effort would have made it smaller.
        let mut quick = GzEncoder::new(Vec::new(), Compression::fast());
        quick.write_all(text.as_bytes()).unwrap();
        let quick = quick.finish().unwrap();
        fs::write(scratch.path().join("studies/a.json.gz"), &quick).unwrap();
        pack(scratch.path(), &mut |_| ()).unwrap();
        assert_eq!(read("studies/a.json.gz"), quick);
        assert!(is_packed("a.json.br") && is_packed("a.gz") && !is_packed("a.json") && !is_packed("br"));
    }
}
