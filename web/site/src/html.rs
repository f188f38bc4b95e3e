//! Text and numbers as HTML. Whatever comes from a study passes through [`escape`].

/// Text that is safe between tags and inside quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters are not allowed in HTML, and some turn the reading direction of what follows.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            character if character.is_control() && !matches!(character, '\n' | '\t') => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

/// A share of 1 in percent, with two digits: `3.50`, and `<0.01` (escaped) for what is there but would print as nothing.
pub fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.000_05 {
        return "&lt;0.01".to_owned();
    }
    format!("{:.2}", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_study_becomes_a_tag_or_ends_an_attribute() {
        assert_eq!(escape("<img src=x onerror='1'>&\""), "&lt;img src=x onerror=&#39;1&#39;&gt;&amp;&quot;");
        assert_eq!(escape("a\u{0}b\u{202e}c\n"), "a\u{fffd}b\u{fffd}c\n");
        assert_eq!(escape("Größe 3 µm"), "Größe 3 µm");
    }

    #[test]
    fn numbers_read_as_a_person_writes_them() {
        assert_eq!(
            [percent(0.035), percent(0.0), percent(1e-9), percent(1.0)],
            ["3.50", "0.00", "&lt;0.01", "100.00"]
        );
    }
}
