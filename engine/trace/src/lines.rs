//! The lines of a file of JSON lines, plain or gzipped, with their numbers.
//!
//! One line is in memory at a time, and no line may be longer than [`LONGEST_LINE`], so that neither a file without line
//! breaks nor a small file that unpacks to a huge one takes the machine down. What a line means is
//! [`files`](crate::files)'s to say.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::de::DeserializeOwned;

use crate::error::TraceError;

/// Bytes of the longest line that is read: ten times what the longest context of any model would need.
const LONGEST_LINE: usize = 256 << 20;

/// Bytes that a gzipped file may unpack to: a small file can unpack to more than any machine has time and room for.
const LARGEST_UNPACKED: u64 = 8 << 30;

/// The first bytes of every gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What some editors put before the first character of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One line of a file, not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// Its bytes, with the line break if there was one.
    pub bytes: &'a [u8],
    /// Whether a line break ends it. The last line of a file may have none; that of a file cut short mostly has none.
    pub ended: bool,
}

/// Hands over each line of a file, plain or gzipped. Blank lines are passed over, and the mark that some editors put first.
///
/// # Errors
///
/// If the file cannot be read, a line is too long, or `each` fails.
pub fn for_each_line<Failure: From<TraceError>>(path: &Path, each: impl FnMut(Line<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    let file = File::open(path).map_err(|source| TraceError::Io {
        path: path.to_owned(),
        line: None,
        source,
    })?;
    for_each_line_of(path, file, each)
}

/// The same for a file that is open already, such as one under a lock that lets no other handle read; `path` is for messages.
///
/// # Errors
///
/// As [`for_each_line`].
pub fn for_each_line_of<Failure: From<TraceError>>(path: &Path, file: impl Read, each: impl FnMut(Line<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    for_each_line_within(LARGEST_UNPACKED, path, file, each)
}

fn for_each_line_within<Failure: From<TraceError>>(
    largest: u64,
    path: &Path,
    file: impl Read,
    mut each: impl FnMut(Line<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |line: Option<usize>| {
        move |source| TraceError::Io {
            path: path.to_owned(),
            line,
            source,
        }
    };
    let mut file = BufReader::with_capacity(1 << 16, file);
    // The name says nothing certain about what a file is; its first bytes do.
    let gzipped = file.fill_buf().map_err(failed(None))?.starts_with(&GZIP_MAGIC);
    let mut reader: Box<dyn BufRead + '_> = if gzipped {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    };
    let mut bytes = vec![];
    let mut unpacked = 0;
    for number in 1.. {
        bytes.clear();
        let read = reader
            .by_ref()
            .take(LONGEST_LINE as u64 + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(failed(Some(number)))?;
        if read == 0 {
            break;
        }
        unpacked += read as u64;
        if gzipped && unpacked > largest {
            let error = TraceError::Unpacked {
                path: path.to_owned(),
                limit: largest,
            };
            return Err(error.into());
        }
        if read > LONGEST_LINE {
            let error = TraceError::LongLine {
                path: path.to_owned(),
                line: number,
                limit: LONGEST_LINE,
            };
            return Err(error.into());
        }
        let mut content = bytes.as_slice();
        if number == 1 {
            content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
        }
        if content.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        each(Line {
            number,
            bytes: content,
            ended: content.ends_with(b"\n"),
        })?;
    }
    Ok(())
}

/// Reads each line of a file as a `Record` and hands it over with its number, from 1. Blank lines are passed over. Returns
/// how many records there were.
///
/// # Errors
///
/// If the file cannot be read, a line is too long or not a `Record` (`expected` says what that is), or `each` fails.
pub fn for_each<Record: DeserializeOwned, Failure: From<TraceError>>(
    path: &Path,
    expected: &'static str,
    mut each: impl FnMut(usize, Record) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let mut records = 0;
    for_each_line(path, |line| {
        let record = serde_json::from_slice(line.bytes).map_err(|source| TraceError::Json {
            path: path.to_owned(),
            line: line.number,
            expected,
            source,
        })?;
        records += 1;
        each(line.number, record)
    })?;
    Ok(records)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(content: &[u8]) -> Result<Vec<(usize, Vec<u32>)>, TraceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, content).unwrap();
        let mut found = vec![];
        for_each(&path, "[1, 2]", |line, record| {
            found.push((line, record));
            Ok::<_, TraceError>(())
        })
        .map(|_| found)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_gzipped_and_windows_lines_read_the_same() {
        let expected = vec![(1, vec![1]), (3, vec![2, 3])];
        assert_eq!(read(b"[1]\n\n[2, 3]\n").unwrap(), expected);
        assert_eq!(read("\u{feff}[1]\r\n \r\n[2, 3]".as_bytes()).unwrap(), expected);
        assert_eq!(read(&gzip(b"[1]\n\n[2, 3]")).unwrap(), expected);
        // Two members one after the other are one file.
        assert_eq!(read(&[gzip(b"[1]\n\n"), gzip(b"[2, 3]")].concat()).unwrap(), expected);
        assert_eq!(read(b"").unwrap(), []);
    }

    #[test]
    fn faults_name_the_line() {
        for content in [
            &b"[1]\n[2, -3]"[..],
            b"[1]\n[4294967296]",
            b"[1]\n[2, ",
            b"[1]\nnonsense\n",
            b"[1]\n\"\xff\"",
            b"[1]\n[1.5]",
        ] {
            let error = read(content).unwrap_err();
            assert!(error.is_user_error());
            assert!(error.to_string().contains("line 2"), "{error}");
        }
        let nested = [&b"[1]\n"[..], &b"[".repeat(200_000)].concat();
        assert!(read(&nested).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_gzip_file_unpacks_to_so_much_and_no_more() {
        let packed = gzip(&b"{}\n".repeat(1000));
        let read = |largest: u64| {
            let mut lines = 0;
            let read = for_each_line_within(largest, Path::new("small.gz"), packed.as_slice(), |_| {
                lines += 1;
                Ok::<(), TraceError>(())
            });
            (read, lines)
        };
        assert!(matches!(read(3000), (Ok(()), 1000)));
        let (refused, lines) = read(2999);
        let error = refused.unwrap_err();
        assert!(matches!(error, TraceError::Unpacked { limit: 2999, .. }) && error.is_user_error(), "{error}");
        assert_eq!(lines, 999);
    }

    #[test]
    fn a_gzip_file_cut_short_is_an_error() {
        let whole = gzip(b"[1]\n[2]\n");
        let error = read(&whole[..whole.len() - 6]).unwrap_err();
        assert!(error.is_user_error(), "{error}");
        assert!(error.to_string().contains("line"), "{error}");
    }

    #[test]
    fn a_missing_file_is_the_users_mistake() {
        let error = for_each::<u32, TraceError>(Path::new("/nowhere/at/all.jsonl"), "", |_, _| Ok(())).unwrap_err();
        assert!(error.is_user_error());
        assert!(error.to_string().starts_with("could not read /nowhere/at/all.jsonl: "), "{error}");
    }
}
