//! Packed copies beside the files of a page, `NAME.br` and `NAME.gz`: servers that know them send them as they are, and need not pack
//! anything themselves.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
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

/// Puts packed copies beside every file of a page that is worth it; a copy that saves nothing is left out.
///
/// # Errors
/// When a file cannot be read or a copy cannot be written.
pub fn pack(folder: &Path) -> Result<(), SiteError> {
    for name in contents(folder)?.into_iter().filter(|name| name != LISTING && !is_packed(name)) {
        let path = folder.join(&name);
        let worth = path
            .extension()
            .and_then(|ending| ending.to_str())
            .is_some_and(|ending| WORTH.contains(&ending));
        if !worth {
            continue;
        }
        let bytes = fs::read(&path).map_err(SiteError::io("read", &path))?;
        if bytes.len() < LEAST {
            continue;
        }
        for (ending, _) in ENDINGS {
            let packed = if ending == "br" { brotli(&bytes) } else { gzip(&bytes) };
            let packed = packed.map_err(SiteError::io("compress", &path))?;
            if packed.len() < bytes.len() {
                let copy = folder.join(format!("{name}.{ending}"));
                fs::write(&copy, packed).map_err(SiteError::io("write", copy))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

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
        pack(scratch.path()).unwrap();
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
        flate2::read::GzDecoder::new(&read("studies/a.json.gz")[..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
        let mut unpacked = Vec::new();
        brotli::BrotliDecompress(&mut &read("studies/a.json.br")[..], &mut unpacked).unwrap();
        assert_eq!(unpacked, text.as_bytes());
        assert!(is_packed("a.json.br") && is_packed("a.gz") && !is_packed("a.json") && !is_packed("br"));
    }
}
