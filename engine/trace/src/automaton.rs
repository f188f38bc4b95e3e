//! The suffix automaton of a snippet: all its substrings, in linear space, so that the longest common substring with a
//! text of any length takes one walk over that text (Blumer et al., 1985).
//!
//! It answers only that question; the choice among several places of a text is made by the caller, who hands over the
//! part of the text to walk.

use crate::block::Block;

/// Stands for "no state".
const NONE: u32 = u32::MAX;

struct State {
    /// Length of the longest substring in this state.
    length: usize,
    /// The state of the longest proper suffix that occurs elsewhere too.
    link: u32,
    /// End (exclusive) of the first occurrence in the snippet.
    first_end: usize,
    /// Where each character leads, sorted by character.
    next: Vec<(char, u32)>,
}

impl State {
    fn follow(&self, character: char) -> Option<u32> {
        self.next.binary_search_by_key(&character, |&(key, _)| key).ok().map(|at| self.next[at].1)
    }

    fn set(&mut self, character: char, to: u32) {
        match self.next.binary_search_by_key(&character, |&(key, _)| key) {
            Ok(at) => self.next[at].1 = to,
            Err(at) => self.next.insert(at, (character, to)),
        }
    }
}

/// All substrings of a snippet.
pub(crate) struct Automaton {
    states: Vec<State>,
    snippet_length: usize,
}

impl Automaton {
    /// The automaton of `snippet`, in time and space linear in its length (times the logarithm of its alphabet).
    pub(crate) fn new(snippet: &[char]) -> Self {
        let mut states = Vec::with_capacity(2 * snippet.len() + 1);
        states.push(State {
            length: 0,
            link: NONE,
            first_end: 0,
            next: vec![],
        });
        let mut whole = 0;
        for (position, &character) in snippet.iter().enumerate() {
            let new = states.len() as u32;
            states.push(State {
                length: position + 1,
                link: 0,
                first_end: position + 1,
                next: vec![],
            });
            let mut suffix = whole;
            let mut reached = None;
            while suffix != NONE {
                reached = states[suffix as usize].follow(character);
                if reached.is_some() {
                    break;
                }
                states[suffix as usize].set(character, new);
                suffix = states[suffix as usize].link;
            }
            if let Some(reached) = reached {
                let length = states[suffix as usize].length + 1;
                states[new as usize].link = if states[reached as usize].length == length {
                    reached
                } else {
                    // `reached` also holds longer substrings, which do not end here: split it.
                    let shorter = states.len() as u32;
                    let State { link, first_end, next, .. } = &states[reached as usize];
                    states.push(State {
                        length,
                        link: *link,
                        first_end: *first_end,
                        next: next.clone(),
                    });
                    while suffix != NONE && states[suffix as usize].follow(character) == Some(reached) {
                        states[suffix as usize].set(character, shorter);
                        suffix = states[suffix as usize].link;
                    }
                    states[reached as usize].link = shorter;
                    shorter
                };
            }
            whole = new;
        }
        Self {
            states,
            snippet_length: snippet.len(),
        }
    }

    /// The longest block that the snippet shares with `original`; the earliest in the original among equals, then the
    /// earliest in the snippet. Positions count from the beginning of the slice.
    pub(crate) fn longest_in(&self, original: &[char]) -> Block {
        let mut best = Block {
            start: original.len(),
            snippet_start: self.snippet_length,
            size: 0,
        };
        let mut state = 0;
        let mut length = 0;
        for (position, &character) in original.iter().enumerate() {
            loop {
                if let Some(to) = self.states[state as usize].follow(character) {
                    state = to;
                    length += 1;
                    break;
                }
                let link = self.states[state as usize].link;
                if link == NONE {
                    length = 0;
                    break;
                }
                state = link;
                length = self.states[state as usize].length;
            }
            if length > best.size {
                best = Block {
                    start: position + 1 - length,
                    snippet_start: self.states[state as usize].first_end - length,
                    size: length,
                };
                if length == self.snippet_length {
                    break;
                }
            }
        }
        best
    }
}
