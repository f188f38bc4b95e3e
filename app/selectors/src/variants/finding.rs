//! What the figure of variants says, in one line.

use super::Variants;
use crate::format;
use crate::results::MethodKind;

impl Variants {
    /// What the figure says, as a title.
    pub fn finding(&self) -> String {
        // What is not compressed is another model rather than a version of this one.
        let compressed = self.rows.iter().filter(|row| row.facts.method.kind != MethodKind::None);
        let most = compressed.max_by(|a, b| a.moved(None).unwrap_or(0.0).total_cmp(&b.moved(None).unwrap_or(0.0)));
        match most.and_then(|row| Some((row, row.moved(None)?))) {
            Some((row, moved)) => {
                let all = self.rows.iter().all(|row| row.facts.method.kind != MethodKind::None);
                format!(
                    "{} and {}: {}{} moves most, {} of relative importance",
                    self.title,
                    format::things(self.rows.len(), "variant", "variants"),
                    if all { "" } else { "of the compressed, " },
                    row.facts.label,
                    format::percent(moved)
                )
            }
            None => format!("{} and {}", self.title, format::things(self.rows.len(), "variant", "variants")),
        }
    }
}
