//! The seeds of fuzzing are read as they are, and no change of them makes a reader panic or hang. The same functions as in `tests/fuzz`.

use std::path::Path;
use std::time::{Duration, Instant};

use cruxscope_tests::untrusted::READERS;

/// Changes of every seed, where CRUXSCOPE_CHANGES names no other number.
const CHANGES: u64 = 150;
/// Longer than any reader takes for a few kilobytes, and than a silent server is waited for.
const LONGEST: Duration = Duration::from_secs(20);

fn changes() -> u64 {
    std::env::var("CRUXSCOPE_CHANGES").ok().and_then(|text| text.parse().ok()).unwrap_or(CHANGES)
}

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// What stands in many files, and what no file should hold.
const PIECES: [&[u8]; 16] = [
    b"null",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"NaN",
    b"\"\"",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\\ud800",
    b"\xff\xfe",
    b"\0",
    b"\n",
    b"\"",
    b",",
];

fn changed(seed: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + draw.below(3) {
        let at = draw.below(bytes.len() + 1);
        match draw.below(8) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << draw.below(8),
            2 if at < bytes.len() => bytes[at] = draw.next() as u8,
            3 => {
                let end = (at + 1 + draw.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + draw.below(200)).min(bytes.len());
                let twice = bytes[at..end].to_vec();
                bytes.splice(at..at, twice);
            }
            5 => {
                let piece = PIECES[draw.below(PIECES.len())];
                let end = (at + draw.below(12)).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
            }
            6 => {
                let number = [0, 1, u64::from(u32::MAX), u64::MAX, 1 << 63][draw.below(5)];
                let width = [1, 2, 4, 8][draw.below(4)];
                let end = (at + width).min(bytes.len());
                bytes.splice(at..end, number.to_le_bytes()[..width].iter().copied());
            }
            _ => {
                // A number in a text.
                let end = bytes[at..]
                    .iter()
                    .position(|byte| !byte.is_ascii_digit())
                    .map_or(bytes.len(), |length| at + length);
                bytes.splice(at..end, draw.next().to_string().into_bytes());
            }
        }
    }
    bytes
}

#[test]
fn seeds_are_read_and_no_change_of_them_breaks_a_reader() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (number, (name, reader)) in READERS.into_iter().enumerate() {
        let mut paths: Vec<_> = std::fs::read_dir(seeds.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{name} has no seed");
        let (mut tried, mut read, mut longest) = (0, 0, Duration::ZERO);
        for path in &paths {
            let seed = std::fs::read(path).unwrap();
            assert!(reader(&seed).unwrap(), "{} is not read", path.display());
            let mut draw = Draw(number as u64);
            for _ in 0..changes() {
                let bytes = changed(&seed, &mut draw);
                let began = Instant::now();
                read += usize::from(reader(&bytes).unwrap());
                tried += 1;
                longest = longest.max(began.elapsed());
            }
        }
        println!(
            "{name}: {tried} changes of {} seeds, {read} read all the same, the longest {:.2} s",
            paths.len(),
            longest.as_secs_f64()
        );
        assert!(longest < LONGEST, "{name} took {longest:?}");
    }
}
