//! Small steps through a text: what stands around an answer and is not part of it.

use std::sync::LazyLock;

use regex::Regex;

/// A pattern that stands in this crate. It is compiled once; the tests compile every one.
pub(super) type Pattern = LazyLock<Option<Regex>>;

/// Commands of TeX that only set their content in another type.
const SETTING: [&str; 13] = [
    "\\textbf", "\\textit", "\\textrm", "\\textsf", "\\texttt", "\\text", "\\mathbf", "\\mathrm", "\\mathit", "\\mathsf", "\\mathtt", "\\mbox", "\\mathbb",
];

/// Where a match of an anchored pattern ends, or the place itself.
pub(super) fn skip(pattern: &Pattern, text: &str, at: usize) -> usize {
    let found = pattern.as_ref().and_then(|regex| regex.find(text.get(at..)?));
    found.map_or(at, |found| at + found.end())
}

/// The end of what may stand before an answer: white space, quotes, brackets, emphasis, delimiters and type of TeX. Says also whether
/// anything but space and emphasis stood there.
pub(super) fn skip_openers(text: &str, mut at: usize, end: usize) -> (usize, bool) {
    let mut wrapped = false;
    loop {
        let Some(rest) = text.get(at..end) else { return (at, wrapped) };
        let before = at;
        if let Some(command) = SETTING.iter().find(|command| rest.starts_with(**command)) {
            let after = rest[command.len()..].trim_start();
            if after.starts_with('{') {
                at = end - after.len() + 1;
                wrapped = true;
            }
        } else if let Some(delimiter) = ["\\(", "\\[", "\\ ", "\\,", "\\;", "\\:", "\\{"]
            .iter()
            .find(|delimiter| rest.starts_with(**delimiter))
        {
            at += delimiter.len();
            wrapped |= !delimiter.ends_with([' ', ',', ';', ':']);
        } else if let Some(character) = rest.chars().next() {
            if character.is_whitespace() || matches!(character, '*' | '_' | '#' | '>') {
                at += character.len_utf8();
            } else if matches!(
                character,
                '(' | '（' | '[' | '【' | '{' | '$' | '"' | '\'' | '`' | '“' | '‘' | '«' | '「' | '<' | '~'
            ) {
                at += character.len_utf8();
                wrapped = true;
            }
        }
        if at == before {
            return (at, wrapped);
        }
    }
}

/// The end of what may stand after an answer and belongs to what stood before it.
pub(super) fn skip_closers(text: &str, mut at: usize, end: usize) -> usize {
    loop {
        let Some(rest) = text.get(at..end) else { return at };
        let delimiter = ["\\)", "\\]", "\\}"].iter().find(|delimiter| rest.starts_with(**delimiter));
        let closer = rest.chars().next().filter(|character| {
            matches!(
                character,
                ')' | '）' | ']' | '】' | '}' | '$' | '"' | '\'' | '`' | '”' | '’' | '»' | '」' | '*' | '_' | '>'
            )
        });
        match (delimiter, closer) {
            (Some(delimiter), _) => at += delimiter.len(),
            (None, Some(closer)) => at += closer.len_utf8(),
            (None, None) => return at,
        }
    }
}

/// The lines of a range that hold a letter or a digit, each without the white space around it.
pub(super) fn lines(text: &str, range: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut start = range.start;
    let part = text.get(range).unwrap_or_default();
    for line in part.split('\n') {
        let lead = line.len() - line.trim_start().len();
        let trimmed = line.trim();
        if trimmed.chars().any(char::is_alphanumeric) {
            found.push(start + lead..start + lead + trimmed.len());
        }
        start += line.len() + 1;
    }
    found
}
