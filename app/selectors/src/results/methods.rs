//! How a compression is drawn: its colour by what kind it is, its shape by how far it went.

/// The kind of a compression, which has one colour everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MethodKind {
    /// Not compressed.
    None,
    /// Activation-aware weight quantization.
    Awq,
    /// GPTQ.
    Gptq,
    /// GPTAQ.
    Gptaq,
    /// ANY4 and ANY3.
    Any,
    /// Rounding to nearest.
    Nearest,
    /// Pruning of any kind.
    Pruning,
    /// Anything else, such as dynamic quantization or a single quantized component.
    Other,
}

impl MethodKind {
    /// All of them, in the order of the legend.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Awq,
        Self::Gptq,
        Self::Gptaq,
        Self::Any,
        Self::Nearest,
        Self::Pruning,
        Self::Other,
    ];

    /// The name in the legend.
    pub const fn title(self) -> &'static str {
        match self {
            Self::None => "not compressed",
            Self::Awq => "AWQ",
            Self::Gptq => "GPTQ",
            Self::Gptaq => "GPTAQ",
            Self::Any => "ANY",
            Self::Nearest => "RTN",
            Self::Pruning => "pruned",
            Self::Other => "other",
        }
    }
}

/// How a compression is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its kind.
    pub kind: MethodKind,
    /// Whether its mark is hollow: fewer than four bits, or half of the weights and more pruned away.
    pub hollow: bool,
}

impl Method {
    /// The method that a compression names, such as `3-bit GPTQ`; an empty one is none.
    pub fn of(compression: &str) -> Self {
        let words = compression.to_ascii_lowercase();
        let has = |word: &str| words.contains(word);
        let kind = if is_none(compression) {
            MethodKind::None
        } else if has("gptaq") {
            MethodKind::Gptaq
        } else if has("gptq") {
            MethodKind::Gptq
        } else if has("awq") {
            MethodKind::Awq
        } else if has("any3") || has("any4") || has("any ") || words.ends_with("any") {
            MethodKind::Any
        } else if has("rtn") || has("nearest") {
            MethodKind::Nearest
        } else if has("prun") || has("sparse") || has("wanda") || has("magnitude") {
            MethodKind::Pruning
        } else {
            MethodKind::Other
        };
        let hollow = match kind {
            MethodKind::Pruning => number_before(&words, "%").is_some_and(|share| share >= 50.0),
            _ => number_before(&words, "-bit").or(number_before(&words, " bit")).is_some_and(|bits| bits < 4.0),
        };
        Self { kind, hollow }
    }
}

/// Whether a compression says that there is none: distillation alone leaves a model's numbers as they are.
pub fn is_none(compression: &str) -> bool {
    matches!(
        compression.trim().to_ascii_lowercase().as_str(),
        "" | "none" | "not compressed" | "distillation" | "dense"
    )
}

/// The number that stands right before a word.
fn number_before(text: &str, word: &str) -> Option<f64> {
    let head = text.split_once(word)?.0.trim_end();
    let from = head
        .rfind(|character: char| !character.is_ascii_digit() && character != '.')
        .map_or(0, |at| at + 1);
    head[from..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_are_told_apart() {
        let of = |text: &str| (Method::of(text).kind, Method::of(text).hollow);
        assert_eq!(of(""), (MethodKind::None, false));
        assert_eq!(of("Distillation"), (MethodKind::None, false));
        assert_eq!(of("Distillation & 4-bit AWQ"), (MethodKind::Awq, false));
        assert_eq!(of("Distillation & 3-bit GPTAQ"), (MethodKind::Gptaq, true));
        assert_eq!(of("3-bit GPTQ"), (MethodKind::Gptq, true));
        assert_eq!(of("Distillation & 3-bit ANY3"), (MethodKind::Any, true));
        assert_eq!(of("Distillation & 50% SparseGPT"), (MethodKind::Pruning, true));
        assert_eq!(of("30% AlphaPruning"), (MethodKind::Pruning, false));
        assert_eq!(of("2.51-bit"), (MethodKind::Other, true));
        assert_eq!(of("3-bit, only 32_up"), (MethodKind::Other, true));
        assert_eq!(of("4-bit RTN"), (MethodKind::Nearest, false));
    }
}
