//! Terms of the field, once: what each means, its symbol, where it stands in the paper, and the views in which it is met. And for every view
//! how to read it.
//!
//! Names of views are those of links.

mod reading;

pub use reading::reading;

/// A term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its name.
    pub name: &'static str,
    /// Other words for it, as they stand on screen.
    pub also: &'static [&'static str],
    /// What it means.
    pub definition: &'static str,
    /// Its symbol or formula; empty where it has none.
    pub symbol: &'static str,
    /// Where it stands in the paper, or that it does not.
    pub place: &'static str,
    /// The views in which it is met.
    pub views: &'static [&'static str],
}

const IMPORTANCE: &[&str] = &["importance", "ranking", "channels", "shift", "validation", "variants", "compression"];

/// All of them.
pub const TERMS: &[Term] = &[
    Term {
        name: "Component",
        also: &["Module", "Matrix"],
        definition: "One weight matrix: a module (q, k, v, o, gate, up or down) of a decoder layer. Layers count from 1, so 32_up is the up projection of layer 32.",
        symbol: "m, ℓ",
        place: "Section 2.2",
        views: &["importance", "ranking", "channels", "shift", "validation", "variants", "compression", "budget"],
    },
    Term {
        name: "Behaviour",
        also: &["Behaviours"],
        definition: "What a stretch of a reasoning trace does: backtracking, uncertainty estimation, example testing or adding knowledge. Each has one colour and one sign everywhere.",
        symbol: "c",
        place: "Section 2.2",
        views: &["importance", "ranking", "channels", "shift", "trace", "variants", "budget"],
    },
    Term {
        name: "Steering vector",
        also: &[],
        definition: "The mean activation of a module over tokens of a behaviour minus that over all tokens: the direction in which the behaviour moves it.",
        symbol: "u",
        place: "Section 2.2, difference of means",
        views: &["importance", "channels"],
    },
    Term {
        name: "Importance",
        also: &["Attribution"],
        definition: "How much a behaviour depends on a matrix: the size of the steering vector times the gradient of the loss at the matrix's output.",
        symbol: "I",
        place: "Section 2.2, attribution patching",
        views: IMPORTANCE,
    },
    Term {
        name: "Relative importance",
        also: &["RI", "Mean RI"],
        definition: "Importance divided by its sum over all matrices, so that it is a share: all cells of a map add up to 100 %.",
        symbol: "RI",
        place: "Section 2.3",
        views: IMPORTANCE,
    },
    Term {
        name: "Definition",
        also: &[],
        definition: "Which formula was computed: the paper's, or what its published code does where the two differ.",
        symbol: "",
        place: "Section 2.2, and the published code",
        views: &["importance", "ranking"],
    },
    Term {
        name: "95 % interval",
        also: &["Interval"],
        definition: "Where a number lies in 95 of 100 resamples: instances, windows or outputs are drawn again with replacement and the number is computed anew.",
        symbol: "[low, high]",
        place: "Not in the paper",
        views: &[
            "importance",
            "ranking",
            "shift",
            "benchmarks",
            "test-time",
            "validation",
            "variants",
            "budget",
            "ledger",
        ],
    },
    Term {
        name: "P(rank 1)",
        also: &[],
        definition: "The share of resamples in which this component comes first.",
        symbol: "P",
        place: "Not in the paper",
        views: &["importance", "ranking"],
    },
    Term {
        name: "Rank",
        also: &["Overall rank"],
        definition: "The place of a component in the order of relative importance, the largest first.",
        symbol: "",
        place: "Section 4.1",
        views: &["importance", "ranking", "shift", "compression", "validation"],
    },
    Term {
        name: "Shift",
        also: &["Importance that moved", "Moved most"],
        definition: "The relative importance of a matrix in study B minus that in study A, in percentage points: what compression or distillation moved.",
        symbol: "ΔRI",
        place: "Sections 2.3, 4.3 and 5.1",
        views: &["shift", "variants"],
    },
    Term {
        name: "Decreases",
        also: &["Increases", "Net"],
        definition: "The part of a shift that lost importance; increases are the part that gained, net is both with their signs.",
        symbol: "",
        place: "Section 5.1",
        views: &["shift"],
    },
    Term {
        name: "Moved",
        also: &[],
        definition: "Half the sum of all sizes of shifts: the share of relative importance that lies elsewhere than before.",
        symbol: "Σ |ΔRI| / 2",
        place: "Not in the paper",
        views: &["variants"],
    },
    Term {
        name: "Channel",
        also: &["Channels"],
        definition: "One output of a module. The importance of a matrix opened into its rows.",
        symbol: "",
        place: "Not in the paper",
        views: &["channels"],
    },
    Term {
        name: "Expert",
        also: &["Experts", "Part", "Parts"],
        definition: "One of the linear maps that a matrix of a mixture is made of; a router chooses those that a token passes through. The importance of the matrix is the sum of theirs.",
        symbol: "e",
        place: "Not in the paper",
        views: &["importance"],
    },
    Term {
        name: "Tokens routed to it",
        also: &[],
        definition: "The share of tokens for which the router chose this expert, of all tokens or of those of a behaviour.",
        symbol: "",
        place: "Not in the paper",
        views: &["importance"],
    },
    Term {
        name: "Instance",
        also: &["Instances"],
        definition: "A prompt with the model's own output, read as one sequence of tokens.",
        symbol: "n",
        place: "Section 2.2",
        views: &["importance", "trace", "ranking"],
    },
    Term {
        name: "Section",
        also: &["Sections", "Segment", "Segments"],
        definition: "A stretch of a trace that an annotator gave a behaviour; its tokens are a segment, over which steering vectors are averaged.",
        symbol: "",
        place: "Section 2.2",
        views: &["trace"],
    },
    Term {
        name: "Accuracy",
        also: &["Score"],
        definition: "The share of questions answered rightly by the named scoring rule, with its interval.",
        symbol: "",
        place: "Section 2.5",
        views: &["benchmarks", "test-time", "variants"],
    },
    Term {
        name: "Protected",
        also: &["Protection list", "Full precision"],
        definition: "Left as it is while the rest is compressed: the test of whether the few that matter are the right ones.",
        symbol: "",
        place: "Section 5.2",
        views: &["benchmarks", "ranking", "budget"],
    },
    Term {
        name: "Test-time compute",
        also: &[],
        definition: "What a model spends on an answer: the length of its output. The shortest and the longest outputs are compared.",
        symbol: "",
        place: "Appendix O",
        views: &["test-time"],
    },
    Term {
        name: "KL divergence",
        also: &["KL", "Divergence", "Degradation", "Predicted KL", "Measured KL"],
        definition: "How far the compressed model's next-token distribution lies from the original's, the mean over positions, in nats. 0 is no change; 0.1 is hardly felt, 1 is much.",
        symbol: "KL(p || q)",
        place: "Not in the paper",
        views: &["validation", "variants", "budget", "trace"],
    },
    Term {
        name: "First parting",
        also: &["First parting, median"],
        definition: "The first token, of what the model wrote, at which two models that read the same text would choose another one: each the token that it holds most likely.",
        symbol: "",
        place: "Not in the paper",
        views: &["trace"],
    },
    Term {
        name: "Same choice",
        also: &["Choice of A"],
        definition: "The share of tokens at which two models that read the same text hold the same next token most likely.",
        symbol: "",
        place: "Not in the paper",
        views: &["trace"],
    },
    Term {
        name: "Perplexity",
        also: &[],
        definition: "exp of the mean loss for the text's own next tokens: over how many tokens the model hesitates.",
        symbol: "exp(L)",
        place: "Not in the paper",
        views: &["validation"],
    },
    Term {
        name: "Rank correlation",
        also: &["Spearman"],
        definition: "How well one order foretells another: 1 is the same order, 0 none, −1 the reverse.",
        symbol: "ρ",
        place: "Not in the paper",
        views: &["validation", "compression"],
    },
    Term {
        name: "Output error",
        also: &["Weight error"],
        definition: "The squared error that compression leaves in a matrix's outputs over the calibration text, as a share of their own square; weight error is the same of the weights.",
        symbol: "|D X|² / |W X|²",
        place: "Not in the paper",
        views: &["compression"],
    },
    Term {
        name: "Bits",
        also: &["Bits/weight", "Bits per weight"],
        definition: "Stored bits of a weight. Under a budget scales and zeros count too.",
        symbol: "b",
        place: "Section 2.1",
        views: &["compression", "variants", "budget"],
    },
    Term {
        name: "Sparsity",
        also: &[],
        definition: "The share of weights that are zero.",
        symbol: "",
        place: "Section 2.1",
        views: &["compression"],
    },
    Term {
        name: "Format",
        also: &["Formats"],
        definition: "A way to store a matrix: a method with its settings, such as rtn-4-g64 (round to nearest, 4 bits, groups of 64), or a file that others made.",
        symbol: "f",
        place: "Not in the paper",
        views: &["budget"],
    },
    Term {
        name: "Sketch",
        also: &["Sensitivity"],
        definition: "For every draw of labels, matrix and format one number: the derivative of the labels' log-probability along the format's change. The mean of squared sums of them predicts the KL of any mix of formats.",
        symbol: "s[r, c, f]",
        place: "Not in the paper",
        views: &["budget"],
    },
    Term {
        name: "Cost",
        also: &["KL alone"],
        definition: "The KL that a matrix is estimated to cause when it alone has its format.",
        symbol: "q[c, f]",
        place: "Not in the paper",
        views: &["budget"],
    },
    Term {
        name: "Share of KL",
        also: &[],
        definition: "What of a recipe's predicted KL comes from a matrix. Shares add up to 100 %; one below zero makes up for errors of others.",
        symbol: "",
        place: "Not in the paper",
        views: &["budget"],
    },
    Term {
        name: "Recipe",
        also: &["Target"],
        definition: "A format for each matrix; chosen so that the costs add up to least within a size.",
        symbol: "z",
        place: "Not in the paper",
        views: &["budget"],
    },
];

/// The terms that are met in a view.
pub fn of_view(view: &str) -> impl Iterator<Item = &'static Term> + '_ {
    TERMS.iter().filter(move |term| term.views.contains(&view))
}

/// The term that a label on screen stands for.
pub fn named(label: &str) -> Option<&'static Term> {
    let label = label.trim();
    let is = |name: &str| name.eq_ignore_ascii_case(label);
    TERMS.iter().find(|term| is(term.name) || term.also.iter().any(|also| is(also)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_term_is_defined_once_and_is_met_in_a_view_that_can_be_read() {
        let mut names = BTreeSet::new();
        for term in TERMS {
            assert!(
                !term.definition.is_empty() && term.definition.ends_with('.') && !term.place.is_empty(),
                "{}",
                term.name
            );
            assert!(!term.views.is_empty(), "{}", term.name);
            for name in [term.name].iter().chain(term.also) {
                assert!(names.insert(name.to_lowercase()), "{name} stands for two terms");
            }
            for view in term.views {
                assert!(!reading(view).is_empty(), "{view}");
            }
        }
        assert_eq!(named("kl divergence").map(|term| term.name), named("Divergence").map(|term| term.name));
        assert_eq!(named("cell of a table"), None);
    }
}
