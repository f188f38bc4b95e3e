//! What an original and a snippet share.

/// A run of characters that an original and a snippet share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First character in the original.
    pub start: usize,
    /// First character in the snippet.
    pub snippet_start: usize,
    /// Characters; 0 if nothing is shared, and then both starts are the lengths, as Python has it.
    pub size: usize,
}
