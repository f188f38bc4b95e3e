//! The longest matching block as Python's `difflib.SequenceMatcher` sees it, its `autojunk` heuristic included.
//!
//! The published code locates sections with it, so the released definition needs it to the letter; the default definition
//! does not use it, because the heuristic makes most characters of a long snippet invisible and so loses sections that
//! stand in the trace verbatim. Written from the documented behaviour:
//!
//! 1. If the snippet has at least 200 characters, those with more than `length / 100 + 1` occurrences are *popular*.
//! 2. In a pair of ranges, the longest common run of unpopular characters is taken (earliest in the original, then in the
//!    snippet) and extended at both ends over any equal characters. With no such run, the pair's common beginning is taken.
//! 3. The same is done to the left and to the right of it. The longest of all blocks is the answer.
//!
//! `difflib` also joins blocks that touch. Without a junk function none do: a block is extended until the characters
//! differ or its range ends, and a neighbour beyond the range's end is a block that was itself extended.

use std::collections::HashMap;

use crate::block::Block;

/// Snippets with fewer characters than this have no popular ones.
pub(crate) const AUTOJUNK_FROM: usize = 200;

/// A range of the original and a range of the snippet, half-open, still to be searched.
#[derive(Clone, Copy)]
struct Ranges {
    original: (usize, usize),
    snippet: (usize, usize),
}

impl Ranges {
    /// No block in here can be longer than this.
    fn longest_possible(self) -> usize {
        (self.original.1 - self.original.0).min(self.snippet.1 - self.snippet.0)
    }
}

struct Matcher<'a> {
    original: &'a [char],
    snippet: &'a [char],
    /// Ascending positions in the snippet of each unpopular character.
    positions: Vec<Vec<u32>>,
    /// For each character of the original, its row in `positions`, or `u32::MAX`.
    rows: Vec<u32>,
    /// Length of the common run that ends at this position of the snippet, valid where `stamp` names the row before.
    run: Vec<u32>,
    stamp: Vec<u64>,
    /// The next row's stamp; it never repeats, so that nothing need be cleared between searches.
    clock: u64,
}

impl<'a> Matcher<'a> {
    fn new(original: &'a [char], snippet: &'a [char]) -> Self {
        let mut row_of: HashMap<char, u32> = HashMap::new();
        let mut positions: Vec<Vec<u32>> = vec![];
        for (position, &character) in snippet.iter().enumerate() {
            let row = *row_of.entry(character).or_insert_with(|| {
                positions.push(vec![]);
                positions.len() as u32 - 1
            });
            positions[row as usize].push(position as u32);
        }
        if snippet.len() >= AUTOJUNK_FROM {
            let limit = snippet.len() / 100 + 1;
            row_of.retain(|_, row| positions[*row as usize].len() <= limit);
        }
        // Most text is ASCII, and a table is much faster than hashing every character of a long trace.
        let mut ascii = [u32::MAX; 128];
        for (&character, &row) in row_of.iter().filter(|(character, _)| character.is_ascii()) {
            ascii[character as usize] = row;
        }
        let rows = original
            .iter()
            .map(|character| {
                if character.is_ascii() {
                    ascii[*character as usize]
                } else {
                    row_of.get(character).copied().unwrap_or(u32::MAX)
                }
            })
            .collect();
        Self {
            original,
            snippet,
            positions,
            rows,
            run: vec![0; snippet.len()],
            stamp: vec![0; snippet.len()],
            clock: 1,
        }
    }

    /// Step 2 of the module's description.
    fn longest_in(&mut self, ranges: Ranges) -> Block {
        let (original_start, original_end) = ranges.original;
        let (snippet_start, snippet_end) = ranges.snippet;
        let mut best = Block {
            start: original_start,
            snippet_start,
            size: 0,
        };
        for i in original_start..original_end {
            self.clock += 1;
            let row = self.rows[i];
            if row == u32::MAX {
                continue;
            }
            let positions = &self.positions[row as usize];
            let first = positions.partition_point(|&position| (position as usize) < snippet_start);
            let end = positions.partition_point(|&position| (position as usize) < snippet_end);
            // Descending, so that the run before each position is still the previous row's.
            for &position in positions[first..end].iter().rev() {
                let j = position as usize;
                let before = if j > snippet_start && self.stamp[j - 1] + 1 == self.clock {
                    self.run[j - 1]
                } else {
                    0
                };
                let size = before as usize + 1;
                self.run[j] = size as u32;
                self.stamp[j] = self.clock;
                let start = i + 1 - size;
                // Equal size and equal start: the earlier place in the snippet wins.
                if size > best.size || (size == best.size && start == best.start) {
                    best = Block {
                        start,
                        snippet_start: j + 1 - size,
                        size,
                    };
                }
            }
        }
        // The clock must not make the last row of this search the row before the first of the next.
        self.clock += 1;
        while best.start > original_start && best.snippet_start > snippet_start && self.original[best.start - 1] == self.snippet[best.snippet_start - 1] {
            best.start -= 1;
            best.snippet_start -= 1;
            best.size += 1;
        }
        while best.start + best.size < original_end
            && best.snippet_start + best.size < snippet_end
            && self.original[best.start + best.size] == self.snippet[best.snippet_start + best.size]
        {
            best.size += 1;
        }
        best
    }
}

/// The longest of `SequenceMatcher(None, original, snippet).get_matching_blocks()`, the first among equals.
pub(crate) fn longest_block(original: &[char], snippet: &[char]) -> Block {
    let mut matcher = Matcher::new(original, snippet);
    let mut best = Block {
        start: original.len(),
        snippet_start: snippet.len(),
        size: 0,
    };
    let mut waiting = vec![Ranges {
        original: (0, original.len()),
        snippet: (0, snippet.len()),
    }];
    while let Some(ranges) = waiting.pop() {
        // Only the longest block is wanted, so that ranges too short for one need no search.
        if ranges.longest_possible() < best.size.max(1) {
            continue;
        }
        let found = matcher.longest_in(ranges);
        if found.size == 0 {
            continue;
        }
        if found.size > best.size || (found.size == best.size && found.start < best.start) {
            best = found;
        }
        let (end, snippet_end) = (found.start + found.size, found.snippet_start + found.size);
        waiting.push(Ranges {
            original: (ranges.original.0, found.start),
            snippet: (ranges.snippet.0, found.snippet_start),
        });
        waiting.push(Ranges {
            original: (end, ranges.original.1),
            snippet: (snippet_end, ranges.snippet.1),
        });
    }
    best
}
