//! Boxes of TeX: `\boxed{…}`, `\fbox{…}`, with or without a space, nested, and those that never close.

use std::ops::Range;

use super::{Found, Reading};

/// The commands that draw a box.
const COMMANDS: [&str; 3] = ["\\boxed", "\\fbox", "\\framebox"];

/// A box: what stands in it, or nothing where it never closes.
type Inside = Option<Range<usize>>;

/// Every box, by where it begins. Escaped braces open and close nothing. One pass, however many boxes never close.
fn boxes(text: &str, range: Range<usize>) -> Vec<Inside> {
    let bytes = text.as_bytes();
    let mut found: Vec<Inside> = Vec::new();
    // For each brace that is open, the box that it belongs to.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut starts: Vec<usize> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        match bytes[at] {
            b'\\' => {
                let rest = &text.as_bytes()[at..range.end];
                match COMMANDS.iter().find(|command| rest.starts_with(command.as_bytes())) {
                    Some(command) => {
                        let mut next = at + command.len();
                        while next < range.end && bytes[next].is_ascii_whitespace() {
                            next += 1;
                        }
                        match bytes.get(next).filter(|_| next < range.end) {
                            Some(b'{') => {
                                open.push(Some(found.len()));
                                found.push(None);
                                starts.push(next + 1);
                                next += 1;
                            }
                            // TeX takes what follows without braces, up to a space.
                            Some(byte) if byte.is_ascii_digit() || (next > at + command.len() && byte.is_ascii_alphabetic()) => {
                                let word = bytes[next..range.end].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                                found.push(Some(next..next + word));
                                starts.push(next);
                                next += word;
                            }
                            // Another command that only begins alike, or no content.
                            _ => {}
                        }
                        at = next;
                    }
                    None => at += 2,
                }
                continue;
            }
            b'{' => open.push(None),
            b'}' => {
                if let Some(Some(number)) = open.pop() {
                    found[number] = Some(starts[number]..at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// What `read` makes of the last box that is not empty. A box that never closes, or that cannot be read, is unreadable.
pub(super) fn last(text: &str, range: Range<usize>, read: impl Fn(&str, Range<usize>) -> Option<Found>) -> Reading {
    let is_filled = |inside: &Inside| {
        let content = inside.clone().and_then(|range| text.get(range));
        // "put it into \boxed{}" announces nothing.
        content.is_none_or(|content| content.chars().any(|character| character.is_alphanumeric() || matches!(character, '\\' | '{')))
    };
    match boxes(text, range).into_iter().rev().find(is_filled) {
        None => Reading::Nothing,
        Some(None) => Reading::Unreadable,
        Some(Some(inside)) => Reading::announced(read(text, inside)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Option<&str>> {
        boxes(text, 0..text.len()).into_iter().map(|inside| inside.map(|range| &text[range])).collect()
    }

    #[test]
    fn every_form_of_box() {
        let text = r"a \boxed{\frac{1}{2}} b \boxed {7} c \fbox{é} d \boxed{\boxed{3}} e \boxed 5 f \boxedness{6}";
        let expected = [r"\frac{1}{2}", "7", "é", r"\boxed{3}", "3", "5"];
        assert_eq!(found(text)[..6].iter().map(|inside| inside.unwrap()).collect::<Vec<_>>(), expected);
        assert_eq!(found(r"\boxed{\left\{1\right.} \boxed{12"), [Some(r"\left\{1\right."), None]);
        assert_eq!(found(r"\boxed{\left\{ … and \boxed{33}"), [None, Some("33")]);
        assert!(found("").is_empty());
        assert_eq!(boxes("\\boxed{1}", 3..9), []);
    }

    #[test]
    fn many_open_boxes_take_one_pass() {
        let text = "\\boxed{".repeat(200_000);
        assert_eq!(found(&text).len(), 200_000);
    }

    #[test]
    fn the_last_filled_box_decides() {
        let read = |text: &str, range: Range<usize>| {
            text[range.clone()].parse::<u32>().ok().map(|value| Found {
                range,
                value: value.to_string(),
            })
        };
        let of = |text: &str| last(text, 0..text.len(), read);
        assert_eq!(of("no box"), Reading::Nothing);
        assert_eq!(of(r"\boxed{3} and \boxed{} and \boxed{ … }").answer().unwrap().value, "3");
        assert_eq!(of(r"\boxed{3} then \boxed{x}"), Reading::Unreadable);
        assert_eq!(of(r"\boxed{3} then \boxed{4"), Reading::Unreadable);
    }
}
