//! Which modules a name stands for, as compressed-tensors has it: a module's own name, the name of its class, or after `re:` a pattern
//! that a module's name begins with.
//!
//! Source: compressed-tensors, `utils/match.py` (`match_targets`, `match_name`).

use fancy_regex::Regex;

/// A target, or an entry of `ignore`.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A module's name, or that of its class.
    Name(String),
    /// What a name begins with.
    Pattern(String, Regex),
}

impl Target {
    /// Reads a target.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(pattern) = text.strip_prefix("re:") else {
            return Ok(Self::Name(text.to_string()));
        };
        // Python's `match` holds the beginning and leaves the end open.
        let regex =
            Regex::new(&format!("^(?:{pattern})")).map_err(|error| format!("quantization_config has the pattern `{text}`, which cannot be read: {error}"))?;
        Ok(Self::Pattern(text.to_string(), regex))
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        match self {
            Self::Name(text) | Self::Pattern(text, _) => text,
        }
    }

    /// Whether a module is meant by its name. A pattern that takes too long matches nothing.
    pub fn names(&self, module: &str) -> bool {
        match self {
            Self::Name(name) => name == module,
            Self::Pattern(_, regex) => regex.is_match(module).unwrap_or(false),
        }
    }

    /// Whether a module is meant by the name of its class.
    pub fn is_class_of(&self, module: &str) -> bool {
        matches!(self, Self::Name(name) if name == class_of(module))
    }
}

/// The class of a module whose weight is a matrix.
fn class_of(module: &str) -> &'static str {
    match module.rsplit('.').next() {
        Some("embed_tokens") => "Embedding",
        _ => "Linear",
    }
}

/// The first of these targets that means a module, in the library's order: by name, by pattern, by class; each in the order of their
/// texts.
pub(super) fn first<'a, T>(targets: &'a [(Target, T)], module: &str) -> Option<&'a T> {
    let mut named: Vec<&(Target, T)> = targets.iter().filter(|(target, _)| target.names(module)).collect();
    let order = |target: &Target| (matches!(target, Target::Pattern(..)), target.text().to_string());
    named.sort_by_cached_key(|(target, _)| order(target));
    let by_class = || targets.iter().find(|(target, _)| target.is_class_of(module));
    named.first().copied().or_else(by_class).map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(targets: &[&str], module: &str) -> Option<String> {
        let targets: Vec<(Target, String)> = targets.iter().map(|text| (Target::parse(text).unwrap(), (*text).to_string())).collect();
        first(&targets, module).cloned()
    }

    #[test]
    fn names_go_before_patterns_and_patterns_before_classes() {
        let down = "model.layers.1.mlp.down_proj";
        let all = ["Linear", "re:.*down_proj", down];
        assert_eq!(found(&all, down).as_deref(), Some(down));
        assert_eq!(found(&all[..2], down).as_deref(), Some("re:.*down_proj"));
        assert_eq!(found(&all, "model.layers.1.mlp.up_proj").as_deref(), Some("Linear"));
        assert_eq!(
            found(&["re:.*proj", "re:.*down"], down).as_deref(),
            Some("re:.*down"),
            "in the order of their texts"
        );
        assert_eq!(
            found(&["re:model.layers.1"], "model.layers.12.mlp.up_proj").as_deref(),
            Some("re:model.layers.1"),
            "the end is open"
        );
        assert_eq!(found(&["re:layers"], down), None, "the beginning is not");
        assert_eq!(found(&["re:a|model"], down).as_deref(), Some("re:a|model"));
        assert_eq!(found(&["re:(?!.*lm_head).*"], "lm_head"), None);
        assert_eq!(found(&["Linear"], "model.embed_tokens"), None);
        assert_eq!(found(&["Embedding"], "model.embed_tokens").as_deref(), Some("Embedding"));
        assert!(Target::parse("re:(").unwrap_err().contains("re:("));
    }
}
