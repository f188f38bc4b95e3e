//! Collapse: a model that only repeats itself until its tokens run out (paper, appendix P).

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;
use std::io::Write;

/// Bytes at the end of an output that are looked at.
const TAIL: usize = 4096;
/// Bytes that an output must have before it can count as collapsed.
const SHORTEST: usize = 6144;
/// How many times smaller than itself the tail must become.
const RATIO: f64 = 8.0;

/// How an output ends: the rule is that the last 4 KiB become more than 8 times smaller under zlib, in an output of more than
/// 6 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Collapse {
    /// Bytes of the output.
    pub bytes: usize,
    /// Size of the tail over its size under zlib.
    pub ratio: f64,
}

impl Collapse {
    /// Measures an output.
    pub fn of(output: &str) -> Self {
        let bytes = output.as_bytes();
        let tail = &bytes[bytes.len().saturating_sub(TAIL)..];
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        // Writing into memory cannot fail; if it did, the ratio would be that of no compression.
        let compressed = encoder.write_all(tail).and_then(|()| encoder.finish()).map_or(tail.len(), |bytes| bytes.len());
        Self {
            bytes: bytes.len(),
            ratio: tail.len() as f64 / compressed.max(1) as f64,
        }
    }

    /// Whether the rule flags it.
    pub fn is_collapsed(&self) -> bool {
        self.bytes > SHORTEST && self.ratio > RATIO
    }
}

/// The shortest text whose repetition, with a small rest before it, makes up the last 4 KiB of an output; `None` where less
/// than half of them repeat.
pub fn repeated_chunk(output: &str) -> Option<String> {
    let mut start = output.len().saturating_sub(TAIL);
    while !output.is_char_boundary(start) {
        start += 1;
    }
    // Backwards, so that the rest stands at the end of the table: borders of prefixes of the reversed tail.
    let reversed: Vec<char> = output[start..].chars().rev().collect();
    let mut border = vec![0; reversed.len() + 1];
    let mut best: Option<(usize, usize)> = None;
    let mut length = 0;
    for end in 1..reversed.len() {
        while length > 0 && reversed[end] != reversed[length] {
            length = border[length];
        }
        length += usize::from(reversed[end] == reversed[length]);
        border[end + 1] = length;
        // The prefix of `end + 1` characters repeats with this period; the longest such prefix with the shortest period wins.
        let period = end + 1 - length;
        if length >= period && best.is_none_or(|(of, _)| period == of || end + 1 > 2 * period) {
            best = Some((period, end + 1));
        }
    }
    let (period, covered) = best?;
    (2 * covered >= reversed.len()).then(|| reversed[..period].iter().rev().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_is_collapse_and_prose_is_not() {
        let looped = "Wait, so é is true. ".repeat(500);
        assert!(Collapse::of(&looped).is_collapsed());
        let short = "Wait. ".repeat(100);
        assert!(!Collapse::of(&short).is_collapsed(), "too short to say");
        let prose: String = (0..4000u64).map(|i| format!("{:x} ", i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)).collect();
        assert!(!Collapse::of(&prose).is_collapsed());
        // What was said before the loop does not save it.
        assert!(Collapse::of(&format!("{prose}{looped}")).is_collapsed());
        assert_eq!(Collapse::of("").bytes, 0);
    }

    #[test]
    fn the_chunk_that_repeats() {
        let chunk = repeated_chunk(&format!("Some words before. {}Wa", "Wait, é. ".repeat(300))).unwrap();
        assert_eq!(chunk.chars().count(), 9);
        assert!("Wait, é. Wait, é. ".contains(&chunk));
        assert_eq!(repeated_chunk("abcdefgh"), None);
        assert_eq!(repeated_chunk(""), None);
    }
}
