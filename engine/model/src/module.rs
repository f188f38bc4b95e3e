//! The seven linear modules of a layer, and the four inputs that they read.

use cruxscope_checkpoint::{AttentionInput, ModuleRole};

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
    /// The narrow vector that queries come out of, where attention is latent.
    QueryLatent,
    /// That of keys and values.
    KeyValueLatent,
    /// The input of gate and up of a place of a mixture (see [`place_modules`]): the tokens that pass through it.
    Place(usize),
    /// The input of its down: `[tokens that pass through it, width]`.
    PlaceDown(usize),
}

/// Positions of gate, up and down of a place of the feed-forward block, given that of the first place's gate.
pub const fn place_modules(first: usize, place: usize) -> [usize; 3] {
    let gate = first + 3 * place;
    [gate, gate + 1, gate + 2]
}

/// Which tokens of a sequence the rows of a matrix are.
#[derive(Clone, Copy, Debug)]
pub enum TokenRows<'a> {
    /// One after the other from this one on.
    From(usize),
    /// These.
    At(&'a [usize]),
}

impl ModuleInput {
    /// The four of a layer without experts, in the order in which a layer reaches them.
    pub const ALL: [Self; 4] = [Self::Attention, Self::Output, Self::FeedForward, Self::Down];

    /// Position in lists of inputs: the four first, then those of latent attention, then two for each place of a mixture.
    pub const fn index(self) -> usize {
        match self {
            Self::Attention => 0,
            Self::Output => 1,
            Self::FeedForward => 2,
            Self::Down => 3,
            Self::QueryLatent => 4,
            Self::KeyValueLatent => 5,
            Self::Place(place) => 6 + 2 * place,
            Self::PlaceDown(place) => 7 + 2 * place,
        }
    }

    /// One of the modules (see [`projection_index`]) that read this input.
    pub const fn reader(self) -> usize {
        match self {
            Self::Attention => projection_index::QUERY,
            Self::Output => projection_index::OUTPUT,
            Self::FeedForward => projection_index::GATE,
            Self::Down => projection_index::DOWN,
            Self::QueryLatent => projection_index::QUERY,
            Self::KeyValueLatent => projection_index::KEY,
            Self::Place(place) => place_modules(projection_index::GATE, place)[0],
            Self::PlaceDown(place) => place_modules(projection_index::GATE, place)[2],
        }
    }

    /// The input that a linear map of a layer reads, by its role; `mixture` says whether the layer's feed-forward block is one of experts.
    pub const fn of_role(role: ModuleRole, mixture: bool) -> Self {
        match role {
            ModuleRole::Attention(AttentionInput::Stream) => Self::Attention,
            ModuleRole::Attention(AttentionInput::Heads) => Self::Output,
            ModuleRole::Attention(AttentionInput::QueryLatent) => Self::QueryLatent,
            ModuleRole::Attention(AttentionInput::KeyValueLatent) => Self::KeyValueLatent,
            ModuleRole::FeedForward { place, part: 2 } if mixture => Self::PlaceDown(place),
            ModuleRole::FeedForward { place, .. } if mixture => Self::Place(place),
            ModuleRole::FeedForward { part: 2, .. } => Self::Down,
            ModuleRole::FeedForward { .. } | ModuleRole::Router | ModuleRole::SharedGate => Self::FeedForward,
        }
    }

    /// The input that a module of a layer without experts (see [`projection_index`]) reads.
    pub const fn of(projection: usize) -> Self {
        match projection {
            projection_index::QUERY | projection_index::KEY | projection_index::VALUE => Self::Attention,
            projection_index::OUTPUT => Self::Output,
            projection_index::GATE | projection_index::UP => Self::FeedForward,
            _ => Self::Down,
        }
    }
}
