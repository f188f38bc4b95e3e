//! The tags that an annotation sets around its sections: `["label"]` opens one, `["end-section"]` closes it.
//!
//! This finds every tag in a text, however it is spelled, and says whether the published parser would see it too. What
//! the tags enclose is [`annotation`](crate::annotation)'s to say.

use cruxscope_study::Label;

/// The end tag as the instructions to the annotator have it.
const END: &str = "end-section";

/// Longer words in brackets and quotes are no labels.
const LONGEST_LABEL: usize = 60;

/// What a tag does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TagKind {
    /// It opens a section.
    Open(Label),
    /// It closes one.
    Close,
    /// It has the form of a tag, but its label, as written, is none that is known.
    Unknown(String),
}

/// One tag of an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
    /// What it does.
    pub(crate) kind: TagKind,
    /// Whether it is written exactly as the published parser wants it.
    pub(crate) exact: bool,
}

impl Tag {
    /// The label between the quotes, as it is written.
    pub(crate) fn written<'a>(&self, text: &'a str) -> &'a str {
        text[self.start..self.end].trim_matches(|character| matches!(character, '[' | ']' | ' ') || is_quote(character))
    }
}

/// Every tag of a text, in order. No two overlap: a tag begins with a bracket and holds no other opening bracket.
pub(crate) fn tags(text: &str) -> Vec<Tag> {
    text.match_indices('[').filter_map(|(start, _)| tag_at(text, start)).collect()
}

fn tag_at(text: &str, start: usize) -> Option<Tag> {
    let inside = text.get(start + 1..)?.trim_start_matches(' ');
    let inside = inside.strip_prefix(is_quote)?;
    let length = inside
        .char_indices()
        .take(LONGEST_LABEL + 1)
        .find_map(|(at, character)| (!may_be_in_label(character)).then_some(at))?;
    let (written, rest) = inside.split_at(length);
    let rest = rest.strip_prefix(is_quote)?.trim_start_matches(' ').strip_prefix(']')?;
    let end = text.len() - rest.len();
    let kind = kind(written)?;
    let exact = match &kind {
        TagKind::Open(label) => text[start..end] == format!("[\"{label}\"]"),
        TagKind::Close => text[start..end] == format!("[\"{END}\"]"),
        TagKind::Unknown(_) => false,
    };
    Some(Tag { start, end, kind, exact })
}

fn is_quote(character: char) -> bool {
    matches!(character, '"' | '\'' | '“' | '”' | '„' | '‟' | '‘' | '’' | '«' | '»')
}

fn may_be_in_label(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, ' ' | '-' | '‐' | '‑' | '–' | '_' | '.' | ')' | ':')
}

/// What a label means once its number, its capitals and the marks between its words are set aside.
fn kind(written: &str) -> Option<TagKind> {
    let numbered = written.trim();
    let unnumbered = match numbered.trim_start_matches(|character: char| character.is_ascii_digit()) {
        rest if rest.len() < numbered.len() => rest.trim_start_matches(['.', ')', ':', ' ']),
        _ => numbered,
    };
    let words: Vec<String> = unnumbered
        .split([' ', '-', '‐', '‑', '–', '_'])
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let name = words.join("-");
    if name == END {
        return Some(TagKind::Close);
    }
    if let Ok(label) = name.parse() {
        return Some(TagKind::Open(label));
    }
    // `["7"]` and `[""]` are lists in the text, not labels.
    name.chars().any(char::is_alphabetic).then(|| TagKind::Unknown(written.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> (TagKind, bool) {
        let mut found = tags(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let tag = found.remove(0);
        (tag.kind, tag.exact)
    }

    #[test]
    fn spellings() {
        assert_eq!(only(r#"x ["deduction"] y"#), (TagKind::Open(Label::Deduction), true));
        assert_eq!(only(r#"["end-section"]"#), (TagKind::Close, true));
        for written in [
            r#"["5. backtracking"]"#,
            r#"["Backtracking"]"#,
            r#"["5) BACKTRACKING"]"#,
            "[“backtracking”]",
            r#"[ "backtracking" ]"#,
            "['backtracking\"]",
        ] {
            assert_eq!(only(written), (TagKind::Open(Label::Backtracking), false), "{written}");
        }
        for written in [
            r#"["Uncertainty Estimation"]"#,
            r#"["uncertainty_estimation"]"#,
            r#"["4.uncertainty - estimation"]"#,
        ] {
            assert_eq!(only(written), (TagKind::Open(Label::UncertaintyEstimation), false), "{written}");
        }
        assert_eq!(only("['End section\"]"), (TagKind::Close, false));
        assert_eq!(only(r#"["back-to-begin"]"#), (TagKind::Unknown("back-to-begin".into()), false));
    }

    #[test]
    fn lists_and_brackets_are_no_tags() {
        for text in [
            r#"["a", "b"]"#,
            r#"["7"]"#,
            r#"[""]"#,
            "[0, 1]",
            "[backtracking]",
            "[\"",
            "[",
            "[\"deduction\"",
            "[\"dé",
            "[[[\"\"\"]",
        ] {
            assert_eq!(tags(text), [], "{text}");
        }
        let long = format!("[\"{}\"]", "a".repeat(LONGEST_LABEL + 1));
        assert_eq!(tags(&long), []);
    }

    #[test]
    fn a_bracket_before_a_tag() {
        let found = tags(r#"[["end-section"]"#);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].start, found[0].end, found[0].exact), (1, 16, true));
    }
}
