//! Numbers as people read them, the same in the window, on the page and in the terminal; and texts of others as a terminal may have
//! them.

use std::borrow::Cow;

/// A whole number in groups of three: `3,587`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether a terminal obeys a character rather than show it: controls but for line break and tab, and the marks that turn the
/// direction of what follows.
pub fn is_obeyed(character: char) -> bool {
    let turns = matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (character.is_control() && !matches!(character, '\n' | '\t'))
}

/// A text of others, such as a server's or a study's, as it may be printed: without what a terminal would obey.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_obeyed) {
        Cow::Owned(text.chars().filter(|character| !is_obeyed(*character)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON as it may be printed: the same values, with what a terminal would obey written as `\uXXXX`. Such characters stand only within
/// the strings of JSON.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let obeyed = |character: char| is_obeyed(character) && character != '\r';
    if !json.chars().any(obeyed) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if obeyed(character) {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_three_from_the_right() {
        let numbers = [0, 12, 999, 3_587, 1_000_000, 1_234_567, u64::MAX];
        let written = ["0", "12", "999", "3,587", "1,000,000", "1,234,567", "18,446,744,073,709,551,615"];
        assert_eq!(numbers.map(grouped), written);
    }

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        assert!(matches!(printable("plain é\n\ttext"), Cow::Borrowed(_)));
        assert_eq!(printable("a\u{1b}[31mred\u{7}\u{9b}2J\u{202e}b\rc"), "a[31mred2Jbc");
        assert_eq!(printable_json("{\"a\": \"x\u{9b}y\u{202e}\"}\n"), "{\"a\": \"x\\u009by\\u202e\"}\n");
    }
}
