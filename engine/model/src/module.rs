//! The seven linear modules of a layer, and the four inputs that they read.

/// Positions of the seven modules in arrays such as [`Layer::weights`](crate::decoder::Layer::weights).
pub mod projection_index {
    /// q_proj.
    pub const QUERY: usize = 0;
    /// k_proj.
    pub const KEY: usize = 1;
    /// v_proj.
    pub const VALUE: usize = 2;
    /// o_proj.
    pub const OUTPUT: usize = 3;
    /// gate_proj.
    pub const GATE: usize = 4;
    /// up_proj.
    pub const UP: usize = 5;
    /// down_proj.
    pub const DOWN: usize = 6;
}

/// One of the four inputs that a layer's linear modules read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleInput {
    /// The input of q, k and v: `[tokens, hidden]`.
    Attention,
    /// The input of o: `[tokens, heads * head_dim]`.
    Output,
    /// The input of gate and up: `[tokens, hidden]`.
    FeedForward,
    /// The input of down: `[tokens, intermediate]`.
    Down,
}

impl ModuleInput {
    /// All four, in the order in which a layer reaches them.
    pub const ALL: [Self; 4] = [Self::Attention, Self::Output, Self::FeedForward, Self::Down];

    /// One of the modules (see [`projection_index`]) that read this input.
    pub const fn reader(self) -> usize {
        match self {
            Self::Attention => projection_index::QUERY,
            Self::Output => projection_index::OUTPUT,
            Self::FeedForward => projection_index::GATE,
            Self::Down => projection_index::DOWN,
        }
    }

    /// The input that a module (see [`projection_index`]) reads.
    pub const fn of(projection: usize) -> Self {
        match projection {
            projection_index::QUERY | projection_index::KEY | projection_index::VALUE => Self::Attention,
            projection_index::OUTPUT => Self::Output,
            projection_index::GATE | projection_index::UP => Self::FeedForward,
            _ => Self::Down,
        }
    }
}
