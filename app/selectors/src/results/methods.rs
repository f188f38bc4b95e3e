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

/// How full a mark is: how much of the weights' information is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fill {
    /// Four bits and more, or fewer than 40 % of the weights pruned away.
    Full,
    /// From three bits to four, or from 40 to 60 % pruned.
    Half,
    /// Fewer than three bits, or more than 60 % pruned.
    Hollow,
}

impl Fill {
    /// All of them, in the order of the legend.
    pub const ALL: [Self; 3] = [Self::Full, Self::Half, Self::Hollow];

    /// How full the mark of a quantization to so many bits is.
    pub const fn of_bits(bits: f64) -> Self {
        if bits >= 4.0 {
            Self::Full
        } else if bits >= 3.0 {
            Self::Half
        } else {
            Self::Hollow
        }
    }

    const fn of_pruned(percent: f64) -> Self {
        if percent < 40.0 {
            Self::Full
        } else if percent <= 60.0 {
            Self::Half
        } else {
            Self::Hollow
        }
    }
}

/// How a compression is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its kind.
    pub kind: MethodKind,
    /// How full its mark is.
    pub fill: Fill,
}

impl Method {
    /// The method that a compression names, such as `3-bit GPTQ` or `ANY, 4 bits`; an empty one is none.
    pub fn of(compression: &str) -> Self {
        let lower = compression.to_ascii_lowercase();
        let words: Vec<&str> = lower.split(|character: char| !character.is_ascii_alphanumeric()).collect();
        let has = |part: &str| lower.contains(part);
        // The word alone or with its bits, not as the beginning of another word.
        let any = |word: &&str| word.strip_prefix("any").is_some_and(|rest| rest.chars().all(|digit| digit.is_ascii_digit()));
        let kind = if is_none(compression) {
            MethodKind::None
        } else if has("gptaq") {
            MethodKind::Gptaq
        } else if has("gptq") {
            MethodKind::Gptq
        } else if has("awq") {
            MethodKind::Awq
        } else if words.iter().any(any) {
            MethodKind::Any
        } else if has("rtn") || has("nearest") {
            MethodKind::Nearest
        } else if has("prun") || has("sparse") || has("wanda") || has("magnitude") {
            MethodKind::Pruning
        } else {
            MethodKind::Other
        };
        let fill = match kind {
            MethodKind::Pruning => number_before(&lower, "%").map_or(Fill::Full, Fill::of_pruned),
            _ => bits(&lower).map_or(Fill::Full, Fill::of_bits),
        };
        Self { kind, fill }
    }
}

/// The bits that a compression names: `3-bit`, `4 bits`, `ANY3`.
fn bits(lower: &str) -> Option<f64> {
    let named = ["-bit", " bit", "bit"].into_iter().find_map(|word| number_before(lower, word));
    named.or_else(|| {
        let digits = lower.split("any").nth(1)?.split(|character: char| !character.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
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
    fn compressions_are_told_apart_however_they_are_written() {
        let of = |text: &str| (Method::of(text).kind, Method::of(text).fill);
        assert_eq!(of(""), (MethodKind::None, Fill::Full));
        assert_eq!(of("Distillation"), (MethodKind::None, Fill::Full));
        for (words, kind) in [
            ("AWQ", MethodKind::Awq),
            ("GPTQ", MethodKind::Gptq),
            ("GPTAQ", MethodKind::Gptaq),
            ("ANY", MethodKind::Any),
            ("RTN", MethodKind::Nearest),
        ] {
            for (bits, fill) in [(4, Fill::Full), (3, Fill::Half), (2, Fill::Hollow)] {
                for text in [
                    format!("{bits}-bit {words}"),
                    format!("Distillation & {bits}-bit {words}"),
                    format!("{words}, {bits} bits"),
                    format!("{words}, {bits} bits, most important"),
                ] {
                    assert_eq!(of(&text), (kind, fill), "{text}");
                }
            }
        }
        assert_eq!(of("Distillation & 3-bit ANY3"), (MethodKind::Any, Fill::Half));
        assert_eq!(of("ANY4"), (MethodKind::Any, Fill::Full));
        assert_eq!(of("Distillation & 50% SparseGPT"), (MethodKind::Pruning, Fill::Half));
        assert_eq!(of("Magnitude, 30 %"), (MethodKind::Pruning, Fill::Full));
        assert_eq!(of("80% SparseGPT"), (MethodKind::Pruning, Fill::Hollow));
        assert_eq!(of("2.51-bit"), (MethodKind::Other, Fill::Hollow));
        assert_eq!(of("3-bit, only 32_up"), (MethodKind::Other, Fill::Half));
        assert_eq!(of("many experts, 4 bits").0, MethodKind::Other, "a word that only ends so is no method");
    }

    /// What the program carries is drawn by methods it knows; only what names no method of its own is another.
    #[test]
    fn shipped_results_have_one_kind_a_method() {
        let miniature = include_bytes!("../../../studies/miniature/results.json");
        for bytes in [crate::results::PUBLISHED, miniature] {
            let results = cruxscope_study::Results::from_json(bytes).unwrap();
            for score in &results.scores {
                let words = score.compression.to_uppercase();
                let named = ["AWQ", "GPTQ", "GPTAQ", "ANY", "RTN", "SPARSE", "MAGNITUDE", "PRUNING"];
                if named.iter().any(|name| words.contains(name)) {
                    assert_ne!(Method::of(&score.compression).kind, MethodKind::Other, "{}", score.compression);
                }
            }
        }
    }
}
