//! Mixtures of experts: how a router chooses, what experts there are, and under which names a file holds them.
//!
//! A layer's feed-forward block is a list of places, each with a gate, an up and a down of its own: one place in a dense layer, and
//! the experts followed by the shared expert in such a layer. A token passes through the places that the router chose for it and
//! through the shared one; what they give is added, that of a chosen expert times its weight.

/// What a router's outputs become before the best are chosen, and their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterScores {
    /// Softmax over all experts; a chosen one's share is its weight.
    Softmax,
    /// The outputs themselves; weights are a softmax over the chosen alone.
    ChosenSoftmax,
    /// 1 / (1 + exp(−x)), one by one.
    Sigmoid,
}

/// How a group of experts is judged by its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupScore {
    /// By the best.
    Best,
    /// By the sum of the best two.
    BestTwo,
}

/// How experts are chosen for a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Router {
    /// How many experts there are.
    pub experts: usize,
    /// How many a token passes through.
    pub chosen: usize,
    /// What its outputs become.
    pub scores: RouterScores,
    /// Groups of neighbours that experts fall into; 1 where there are none.
    pub groups: usize,
    /// Groups whose experts may be chosen.
    pub chosen_groups: usize,
    /// How groups are judged.
    pub group_score: GroupScore,
    /// Weights of the chosen are divided by their sum.
    pub renormalised: bool,
    /// Weights are multiplied by this.
    pub factor: f64,
    /// Weights multiply what experts read, not what they give.
    pub onto_inputs: bool,
}

impl Router {
    /// One that takes the best of a softmax.
    pub(crate) fn plain(experts: usize, chosen: usize) -> Self {
        Self {
            experts,
            chosen,
            scores: RouterScores::Softmax,
            groups: 1,
            chosen_groups: 1,
            group_score: GroupScore::BestTwo,
            renormalised: true,
            factor: 1.0,
            onto_inputs: false,
        }
    }
}

/// An expert that every token passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpert {
    /// Its inner features.
    pub width: usize,
    /// What it gives is multiplied by the sigmoid of a linear map of the token.
    pub gated: bool,
}

/// How a file holds the matrices of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpertStorage {
    /// Each by its own name.
    Each,
    /// All in one array, `[experts, out, in]`, gate and up one below the other.
    Stacked(StackedNames),
    /// All in one array, `[experts, in, out]`, gate and up side by side.
    Transposed(StackedNames),
    /// The same, the columns of gate and up in turn; or, without the transpose, as `_blocks` and `_scales` of MXFP4.
    Interleaved(StackedNames),
}

/// The arrays of all experts of a layer, by their names inside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackedNames {
    /// Gate and up.
    pub gate_up: &'static str,
    /// Down.
    pub down: &'static str,
}

/// The experts of a model's layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Experts {
    /// How they are chosen.
    pub router: Router,
    /// Inner features of each.
    pub width: usize,
    /// Their maps have biases.
    pub biases: bool,
    /// The router has a bias.
    pub router_bias: bool,
    /// What is added to scores before the best are chosen, and is no part of weights: its name inside of a layer.
    pub choice_bias: Option<&'static str>,
    /// The expert of all tokens.
    pub shared: Option<SharedExpert>,
    /// Names inside of a layer.
    pub names: ExpertNames,
    /// How files hold them.
    pub storage: ExpertStorage,
}

/// Names of experts' modules inside of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertNames {
    /// The router.
    pub router: &'static str,
    /// What the number of an expert is appended to.
    pub experts: &'static str,
    /// Gate, up and down inside of an expert.
    pub parts: [&'static str; 3],
    /// The shared expert, whose maps are called as those of a dense block.
    pub shared: &'static str,
    /// Its gate.
    pub shared_gate: &'static str,
}

impl ExpertNames {
    /// Qwen's and DeepSeek's.
    pub(crate) const MLP: Self = Self {
        router: "mlp.gate",
        experts: "mlp.experts",
        parts: ["gate_proj", "up_proj", "down_proj"],
        shared: "mlp.shared_expert",
        shared_gate: "mlp.shared_expert_gate",
    };
    /// Mixtral's.
    pub(crate) const BLOCK_SPARSE: Self = Self {
        router: "block_sparse_moe.gate",
        experts: "block_sparse_moe.experts",
        parts: ["w1", "w3", "w2"],
        ..Self::MLP
    };
}

impl Experts {
    /// Those that are chosen from.
    pub fn places(&self) -> usize {
        self.router.experts + usize::from(self.shared.is_some())
    }

    /// The shared expert's place among those of the layer.
    pub fn shared_place(&self) -> Option<usize> {
        self.shared.map(|_| self.router.experts)
    }

    /// What makes them impossible, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let router = &self.router;
        let sizes = [
            ("experts", router.experts, 1 << 16),
            ("experts of a token", router.chosen, router.experts),
            ("inner features of an expert", self.width, 1 << 26),
            ("groups of experts", router.groups, router.experts.max(1)),
            ("groups of experts of a token", router.chosen_groups, router.groups.max(1)),
            ("inner features of the shared expert", self.shared.map_or(1, |shared| shared.width), 1 << 26),
        ];
        for (name, value, limit) in sizes {
            if value == 0 || value > limit {
                return Some(format!("{name} is {value}, which no model has (1 to {limit})"));
            }
        }
        if !router.experts.is_multiple_of(router.groups) {
            return Some(format!("{} experts do not fall into {} groups", router.experts, router.groups));
        }
        if router.chosen > router.experts / router.groups * router.chosen_groups {
            return Some(format!(
                "{} experts are chosen out of {} groups of {}",
                router.chosen,
                router.chosen_groups,
                router.experts / router.groups
            ));
        }
        (!(router.factor.is_finite() && router.factor > 0.0)).then(|| format!("the factor of routed experts is {}", router.factor))
    }
}
