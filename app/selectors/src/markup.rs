//! Text as XML and HTML. Whatever comes from a study passes through one of these before it stands in markup.

/// Text that is safe between tags and inside attributes in double quotes, in XML.
pub fn escape_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match entity(character) {
            Some(entity) => escaped.push_str(entity),
            None => escaped.push(character),
        }
    }
    escaped
}

/// Text that is safe between tags and inside quoted attributes, in HTML.
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' => escaped.push_str("&#39;"),
            // Control characters are not allowed in HTML, and some turn the reading direction of what follows.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            character if character.is_control() && !matches!(character, '\n' | '\t') => escaped.push('\u{fffd}'),
            character => match entity(character) {
                Some(entity) => escaped.push_str(entity),
                None => escaped.push(character),
            },
        }
    }
    escaped
}

/// What stands for a character that would end a text or begin a tag.
const fn entity(character: char) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_study_becomes_a_tag_or_ends_an_attribute() {
        assert_eq!(escape_html("<img src=x onerror='1'>&\""), "&lt;img src=x onerror=&#39;1&#39;&gt;&amp;&quot;");
        assert_eq!(escape_html("a\u{0}b\u{202e}c\n"), "a\u{fffd}b\u{fffd}c\n");
        assert_eq!(escape_xml("a<b & 'c' > \"d\""), "a&lt;b &amp; 'c' &gt; &quot;d&quot;");
        assert_eq!(escape_html("Größe 3 µm"), escape_xml("Größe 3 µm"));
    }
}
