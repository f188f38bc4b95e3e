//! The longest block that a snippet shares with an original, in two readings of "longest".
//!
//! Without `autojunk` it is the longest common substring, found in linear time by [`Automaton`]. With `autojunk` it is
//! what Python's `difflib` finds when its heuristic throws away frequent characters of long snippets, which is how the
//! published code aligns; see [`difflib`](crate::difflib).
//!
//! Sequences are characters (Unicode scalar values), as in Python. This says nothing about what to do with a block; that
//! is [`alignment`](crate::alignment)'s.

use crate::automaton::Automaton;
use crate::block::Block;
use crate::difflib;

/// The longest block that `original` and `snippet` share: the earliest in the original among equals, then the earliest in
/// the snippet.
///
/// With `autojunk`, in a snippet of 200 characters or more those that make up over 1 % of it do not begin a block,
/// so that the block may be far from the longest: the released definition of a section's place.
pub fn longest_block(original: &[char], snippet: &[char], autojunk: bool) -> Block {
    if autojunk && snippet.len() >= difflib::AUTOJUNK_FROM {
        difflib::longest_block(original, snippet)
    } else {
        Automaton::new(snippet).longest_in(original)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn characters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    /// Every pair of starts, compared character by character.
    fn plain(original: &[char], snippet: &[char]) -> Block {
        let mut best = Block {
            start: original.len(),
            snippet_start: snippet.len(),
            size: 0,
        };
        for start in 0..original.len() {
            for snippet_start in 0..snippet.len() {
                let size = original[start..].iter().zip(&snippet[snippet_start..]).take_while(|(a, b)| a == b).count();
                if size > best.size {
                    best = Block { start, snippet_start, size };
                }
            }
        }
        best
    }

    /// The documented procedure of `difflib`, without any of the shortcuts: rows kept in maps, every subproblem visited.
    fn plain_difflib(a: &[char], b: &[char]) -> Block {
        use std::collections::HashMap;
        let limit = b.len() / 100 + 1;
        let mut positions: HashMap<char, Vec<usize>> = HashMap::new();
        for (j, c) in b.iter().enumerate() {
            positions.entry(*c).or_default().push(j);
        }
        if b.len() >= 200 {
            positions.retain(|_, at| at.len() <= limit);
        }
        let mut blocks = vec![];
        let mut queue = vec![(0, a.len(), 0, b.len())];
        while let Some((a0, a1, b0, b1)) = queue.pop() {
            let (mut start, mut start_b, mut size) = (a0, b0, 0);
            let mut row: HashMap<usize, usize> = HashMap::new();
            for i in a0..a1 {
                let mut next = HashMap::new();
                for &j in positions.get(&a[i]).map_or(&[][..], Vec::as_slice).iter().filter(|&&j| j >= b0 && j < b1) {
                    let length = j.checked_sub(1).and_then(|before| row.get(&before)).copied().unwrap_or(0) + 1;
                    next.insert(j, length);
                    if length > size {
                        (start, start_b, size) = (i + 1 - length, j + 1 - length, length);
                    }
                }
                row = next;
            }
            while start > a0 && start_b > b0 && a[start - 1] == b[start_b - 1] {
                (start, start_b, size) = (start - 1, start_b - 1, size + 1);
            }
            while start + size < a1 && start_b + size < b1 && a[start + size] == b[start_b + size] {
                size += 1;
            }
            if size > 0 {
                blocks.push((start, start_b, size));
                if a0 < start && b0 < start_b {
                    queue.push((a0, start, b0, start_b));
                }
                if start + size < a1 && start_b + size < b1 {
                    queue.push((start + size, a1, start_b + size, b1));
                }
            }
        }
        blocks.sort_unstable();
        let mut merged: Vec<(usize, usize, usize)> = vec![];
        for (start, start_b, size) in blocks {
            match merged.last_mut() {
                Some(last) if last.0 + last.2 == start && last.1 + last.2 == start_b => last.2 += size,
                _ => merged.push((start, start_b, size)),
            }
        }
        let mut best = Block {
            start: a.len(),
            snippet_start: b.len(),
            size: 0,
        };
        for (start, snippet_start, size) in merged {
            if size > best.size {
                best = Block { start, snippet_start, size };
            }
        }
        best
    }

    #[test]
    fn small_cases() {
        let block = |a: &str, b: &str| longest_block(&characters(a), &characters(b), false);
        assert_eq!(
            block("xxabcxxabc", "abc"),
            Block {
                start: 2,
                snippet_start: 0,
                size: 3
            }
        );
        assert_eq!(
            block("née — ⁴", "— ⁴"),
            Block {
                start: 4,
                snippet_start: 0,
                size: 3
            }
        );
        assert_eq!(
            block("abc", "xyz"),
            Block {
                start: 3,
                snippet_start: 3,
                size: 0
            }
        );
        assert_eq!(
            block("", "a"),
            Block {
                start: 0,
                snippet_start: 1,
                size: 0
            }
        );
        assert_eq!(
            block("a", ""),
            Block {
                start: 1,
                snippet_start: 0,
                size: 0
            }
        );
    }

    #[test]
    fn autojunk_loses_long_repetitive_snippets() {
        let snippet = characters(&"ab".repeat(150));
        let original: Vec<char> = characters("zz").into_iter().chain(snippet.iter().copied()).collect();
        assert_eq!(longest_block(&original, &snippet, false).size, 300);
        // Every character is frequent, so nothing begins a block, and the two starts differ.
        assert_eq!(longest_block(&original, &snippet, true).size, 0);
        // At equal starts the block is extended all the same.
        assert_eq!(longest_block(&snippet, &snippet, true).size, 300);
    }

    /// Repetition after the last annotation makes originals long, and an annotator may label pages at once.
    #[test]
    fn long_originals_and_snippets_stay_fast() {
        let words: Vec<String> = (0..997u64).map(|word| format!("{:x} é{} ", word * word * 7919 % 65_521, word % 7)).collect();
        let text = |from: u64, step: u64, length: usize| -> Vec<char> {
            let word = |i: u64| words[((from + i * step + i * i / 3) % 997) as usize].chars();
            (0..).flat_map(word).take(length).collect()
        };
        let original = text(0, 1, 120_000);
        for snippet in [text(5, 2, 5_000), text(0, 1, 8_000), "ab é7 ".repeat(1_000).chars().collect()] {
            for autojunk in [false, true] {
                let begun = std::time::Instant::now();
                let block = longest_block(&original, &snippet, autojunk);
                println!(
                    "{} characters, autojunk {autojunk}: {block:?} in {:.3} s",
                    snippet.len(),
                    begun.elapsed().as_secs_f64()
                );
                let Block { start, snippet_start, size } = block;
                assert_eq!(original[start..start + size], snippet[snippet_start..snippet_start + size]);
            }
        }
    }

    proptest! {
        #[test]
        fn automaton_agrees_with_plain_reference(a in "[abcé]{0,60}", b in "[abcd]{0,30}") {
            let (a, b) = (characters(&a), characters(&b));
            prop_assert_eq!(longest_block(&a, &b, false), plain(&a, &b));
        }

        #[test]
        fn difflib_agrees_with_plain_reference(a in "[a-f]{0,150}[a-zé ]{0,300}", b in "[a-f]{120,160}[a-zé ]{100,200}", cut in 0usize..200) {
            let b = characters(&b);
            // A piece of the snippet, so that long blocks occur too.
            let a: Vec<char> = characters(&a).into_iter().chain(b[cut.min(b.len() - 1)..].iter().copied().take(80)).collect();
            prop_assert_eq!(longest_block(&a, &b, true), plain_difflib(&a, &b));
        }

        #[test]
        fn difflib_agrees_on_few_rare_characters(a in "(ab|abc|x|yx|[0-9]){0,200}", b in "(ab|abc|x|yx|[0-9]){150,220}") {
            let (a, b) = (characters(&a), characters(&b));
            prop_assert_eq!(longest_block(&a, &b, true), plain_difflib(&a, &b));
        }
    }
}
