//! The number that a piece of TeX is: a sign, digits, decimals, a fraction, whatever it is measured in.
//!
//! Numbers are exact fractions, so that `33.0`, `66/2` and `33` are one. What holds a variable, a root, a list or a second number is
//! none.

use super::fraction::Fraction;

/// Most bytes of a formula that is read.
pub(super) const LONGEST: usize = 300;

/// The number that a text is, in one form: `33` for `33.0`, `\dfrac{66}{2}` and `33\text{ cm}`, `7/2` for `3.5`.
pub fn number(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return None;
    }
    let mut tokens = Vec::new();
    tokenise(text.trim().trim_matches(['*', '_', '`', '"', '“', '”']), &mut tokens, 0);
    let parts: Vec<&[Token]> = tokens.split(|token| *token == Token::Equals).collect();
    // "m + n = 33" and "33 = m + n": the last side that is a number.
    let found = parts.iter().rev().find_map(|part| side(part));
    found.map(|fraction| fraction.to_string())
}

/// A piece of a formula.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Digits with at most one point, groups of thousands put together.
    Number(String),
    /// `\frac` and its kin.
    Frac,
    Open,
    Close,
    Minus,
    Plus,
    Slash,
    Equals,
    Raised,
    Space,
    Dot,
    /// A word that leads up to a number: "answer", "is".
    Leading,
    /// What a number may be measured in.
    Unit,
    /// Anything else: no number has it.
    Other,
}

/// Cuts a formula into its pieces, up to a "mod" after a number: then it says so. What only sets or spaces it is left out.
fn tokenise(text: &str, tokens: &mut Vec<Token>, depth: usize) -> bool {
    let characters: Vec<char> = text.chars().map(narrow).collect();
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let first = rest[0];
        let next = rest.get(1).copied().unwrap_or_default();
        let mut length = 1;
        match first {
            '\\' if next.is_ascii_alphabetic() => {
                let name: String = rest[1..].iter().take_while(|character| character.is_ascii_alphabetic()).collect();
                length = 1 + name.len();
                match command(&name) {
                    Command::Token(token) => tokens.push(token),
                    Command::Nothing => {
                        // `\left.` draws nothing.
                        if matches!(name.as_str(), "left" | "right") && rest.get(length) == Some(&'.') {
                            length += 1;
                        }
                    }
                    Command::Text => {
                        let (inside, taken) = group(&rest[length..]);
                        length += taken;
                        if depth < 4 {
                            if tokenise(&inside, tokens, depth + 1) {
                                return true;
                            }
                        } else {
                            tokens.push(Token::Other);
                        }
                    }
                    Command::End => return end(tokens),
                }
            }
            '\\' => {
                length = 2;
                match next {
                    ',' | ';' | ':' | ' ' | '>' | '/' | '\\' => tokens.push(Token::Space),
                    '%' => tokens.push(Token::Unit),
                    '!' | '$' | '(' | ')' | '[' | ']' => {}
                    _ => tokens.push(Token::Other),
                }
            }
            digit if digit.is_ascii_digit() || (digit == '.' && next.is_ascii_digit()) => {
                let (digits, taken) = number_at(rest);
                length = taken;
                tokens.push(digits.map_or(Token::Other, Token::Number));
            }
            letter if letter.is_alphabetic() => {
                let word: String = rest.iter().take_while(|character| character.is_alphabetic()).collect();
                length = word.chars().count();
                let after_number = tokens.iter().any(|token| matches!(token, Token::Number(_)));
                match word.to_lowercase().as_str() {
                    "mod" | "modulo" if after_number => return end(tokens),
                    "the" | "final" | "answer" | "is" | "so" | "therefore" | "thus" | "value" | "total" | "sum" | "result" | "integer" | "number" | "ans"
                        if !after_number =>
                    {
                        tokens.push(Token::Leading);
                    }
                    "or" | "and" | "to" | "not" | "times" | "plus" | "minus" | "over" | "by" | "e" | "million" | "thousand" | "hundred" | "billion"
                    | "dozen" => {
                        tokens.push(Token::Other);
                    }
                    short if length < 2 || (length == 2 && !matches!(short, "cm" | "mm" | "km" | "kg" | "ft" | "in" | "ms" | "mg" | "of")) => {
                        // "5x" has a variable; a unit of one letter stands in \text.
                        tokens.push(if depth > 0 && after_number { Token::Unit } else { Token::Other });
                    }
                    _ => tokens.push(if after_number { Token::Unit } else { Token::Other }),
                }
            }
            '$' | '\u{200b}' | '€' | '£' => {}
            ':' => tokens.push(Token::Space),
            '~' => tokens.push(Token::Space),
            space if space.is_whitespace() => tokens.push(Token::Space),
            '{' | '(' => tokens.push(Token::Open),
            '}' | ')' => tokens.push(Token::Close),
            '-' => tokens.push(Token::Minus),
            '+' => tokens.push(Token::Plus),
            '/' => tokens.push(Token::Slash),
            '=' | '≡' => tokens.push(Token::Equals),
            '^' => tokens.push(Token::Raised),
            '°' | 'º' | '%' => tokens.push(Token::Unit),
            '.' => tokens.push(Token::Dot),
            '*' => {
                // Emphasis around a number; a product has one asterisk between two.
                if next == '*' {
                    length = 2;
                } else {
                    tokens.push(Token::Other);
                }
            }
            _ => tokens.push(Token::Other),
        }
        at += length;
    }
    false
}

/// Ends a formula at a "mod", with the bracket that was opened for it.
fn end(tokens: &mut Vec<Token>) -> bool {
    while matches!(tokens.last(), Some(Token::Open | Token::Space)) {
        tokens.pop();
    }
    true
}

/// Wide digits and signs as their plain forms.
fn narrow(character: char) -> char {
    match character {
        '！'..='～' => char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character),
        '−' | '–' | '‐' | '‑' => '-',
        '\u{2009}' | '\u{202f}' | '\u{a0}' => ' ',
        other => other,
    }
}

enum Command {
    Token(Token),
    Text,
    Nothing,
    End,
}

fn command(name: &str) -> Command {
    match name {
        "frac" | "dfrac" | "tfrac" | "cfrac" => Command::Token(Token::Frac),
        "text" | "textbf" | "textit" | "textrm" | "textsf" | "texttt" | "textnormal" | "mathrm" | "mathbf" | "mathit" | "mathsf" | "mathtt" | "mbox"
        | "operatorname" | "boldsymbol" | "bm" | "rm" | "bf" => Command::Text,
        "boxed" | "fbox" | "framebox" | "left" | "right" | "displaystyle" | "textstyle" | "bigl" | "bigr" | "big" | "Big" | "textdollar" | "underline" => {
            Command::Nothing
        }
        "quad" | "qquad" | "enspace" | "thinspace" => Command::Token(Token::Space),
        "circ" | "degree" | "degrees" | "percent" => Command::Token(Token::Unit),
        "equiv" => Command::Token(Token::Equals),
        "pmod" | "mod" | "bmod" | "pod" => Command::End,
        _ => Command::Token(Token::Other),
    }
}

/// What stands in the braces that come next, and how many characters it takes; nothing where there are none.
fn group(characters: &[char]) -> (String, usize) {
    let start = characters.iter().take_while(|character| character.is_whitespace()).count();
    if characters.get(start) != Some(&'{') {
        return (String::new(), 0);
    }
    let mut depth = 0usize;
    for (place, character) in characters.iter().enumerate().skip(start) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (characters[start + 1..place].iter().collect(), place + 1);
        }
    }
    (characters[start + 1..].iter().collect(), characters.len())
}

/// The digits at a place, groups of thousands put together, and how many characters they take; no digits where a comma is none of
/// thousands.
fn number_at(characters: &[char]) -> (Option<String>, usize) {
    let run = |from: usize| characters[from..].iter().take_while(|character| character.is_ascii_digit()).count();
    let first = run(0);
    let mut digits: String = characters[..first].iter().collect();
    let mut at = first;
    let mut grouped = false;
    loop {
        let rest: String = characters[at..].iter().take(5).collect();
        let separator = ["{,}", "\\,", ",\\!", ", ", ","].into_iter().find(|separator| rest.starts_with(separator));
        let Some(separator) = separator.filter(|separator| *separator != ", ") else {
            break;
        };
        let start = at + separator.chars().count();
        let length = if start <= characters.len() { run(start) } else { 0 };
        if length == 0 {
            break;
        }
        if length != 3 || !(1..=3).contains(&first) {
            // "1,2" and "12,3456" are lists; a thin space between two numbers is none of thousands.
            return (None, start + length);
        }
        grouped = true;
        digits.extend(&characters[start..start + 3]);
        at = start + 3;
    }
    if grouped && first == 1 && digits.starts_with('0') {
        return (None, at);
    }
    if characters.get(at) == Some(&'.') {
        let decimals = run(at + 1);
        if decimals > 0 {
            digits.push('.');
            digits.extend(&characters[at + 1..at + 1 + decimals]);
            at += 1 + decimals;
            // "3.5.1" is a section.
            if characters.get(at) == Some(&'.') && run(at + 1) > 0 {
                return (None, at);
            }
        }
    }
    (Some(digits), at)
}

/// One side of an equation as a number with what it is measured in.
fn side(tokens: &[Token]) -> Option<Fraction> {
    let start = tokens.iter().take_while(|token| matches!(token, Token::Space | Token::Leading)).count();
    let (found, taken) = quotient(&tokens[start..])?;
    measured(&tokens[start + taken..]).then_some(found)
}

/// A number, or one over another, and how many pieces it takes.
fn quotient(tokens: &[Token]) -> Option<(Fraction, usize)> {
    let (above, mut at) = signed(tokens)?;
    let after = at + spaces(&tokens[at..]);
    if tokens.get(after) == Some(&Token::Slash) {
        let start = after + 1 + spaces(&tokens[after + 1..]);
        let (below, taken) = signed(&tokens[start..])?;
        at = start + taken;
        return Some((above.over(below)?, at));
    }
    Some((above, at))
}

fn spaces(tokens: &[Token]) -> usize {
    tokens.iter().take_while(|token| **token == Token::Space).count()
}

fn signed(tokens: &[Token]) -> Option<(Fraction, usize)> {
    let sign = match tokens.first()? {
        Token::Minus => -1,
        Token::Plus => 1,
        _ => return primary(tokens),
    };
    let start = 1 + spaces(&tokens[1..]);
    let (found, taken) = primary(&tokens[start..])?;
    Some((Fraction::new(sign * found.above, found.below)?, start + taken))
}

/// Digits, a fraction, or a number in brackets.
fn primary(tokens: &[Token]) -> Option<(Fraction, usize)> {
    match tokens.first()? {
        Token::Number(digits) => Some((Fraction::of_digits(digits)?, 1)),
        Token::Open => {
            let end = closing(tokens)?;
            Some((side(&tokens[1..end])?, end + 1))
        }
        Token::Frac => {
            let mut at = 1 + spaces(&tokens[1..]);
            // `\frac12` is one half.
            if let Some(Token::Number(digits)) = tokens.get(at)
                && digits.len() > 1
            {
                let (above, below) = digits.split_at(1);
                let below = (below.len() == 1).then(|| Fraction::of_digits(below)).flatten()?;
                return Some((Fraction::of_digits(above)?.over(below)?, at + 1));
            }
            let (above, taken) = primary(&tokens[at..])?;
            at += taken;
            at += spaces(&tokens[at..]);
            let (below, taken) = primary(&tokens[at..])?;
            Some((above.over(below)?, at + taken))
        }
        _ => None,
    }
}

/// The place of the bracket that closes the first.
fn closing(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0usize;
    for (place, token) in tokens.iter().enumerate() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(place);
        }
    }
    None
}

/// Whether what follows a number is only what it is measured in: units, their powers, degrees, a full stop.
fn measured(tokens: &[Token]) -> bool {
    let mut at = 0;
    let mut unit = false;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Space | Token::Dot => at += 1,
            // "km/h"
            Token::Slash if unit && matches!(tokens.get(at + 1), Some(Token::Unit)) => at += 1,
            Token::Unit => {
                unit = true;
                at += 1;
            }
            // `^\circ`, `^{\circ}`; `cm^2`, `cm^{2}`.
            Token::Raised => {
                let (inner, taken) = match tokens.get(at + 1) {
                    Some(Token::Open) => (tokens.get(at + 2), 4),
                    other => (other, 2),
                };
                match inner {
                    Some(Token::Unit) => unit = true,
                    Some(Token::Number(power)) if unit && matches!(power.as_str(), "2" | "3") => {}
                    _ => return false,
                }
                if taken == 4 && tokens.get(at + 3) != Some(&Token::Close) {
                    return false;
                }
                at += taken;
            }
            // `(degrees)`, `{cm}`.
            Token::Open => {
                let Some(end) = closing(&tokens[at..]) else { return false };
                if !measured(&tokens[at + 1..at + end]) {
                    return false;
                }
                unit = true;
                at += end + 1;
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_in_many_forms() {
        for text in [
            "33",
            r"33 \text{ m/s}",
            r"\underline{33}",
            "033",
            "33.0",
            "33.",
            "+33",
            "$33$",
            r"\(33\)",
            "{33}",
            "(33)",
            r"\left(33\right)",
            "**33**",
            r"33\n".trim_end_matches(r"\n"),
            " 33 \\, ",
            "３３",
            r"\text{33}",
            r"\text{033}",
            r"\mathbf{33}",
            r"\boxed{33}",
            r"33\text{ cm}",
            r"33\text{ cm}^2",
            r"33\ \mathrm{cm}^{2}",
            "33 cm",
            "33 units",
            r"33^\circ",
            r"33^{\circ}",
            "33°",
            "33%",
            r"33\%",
            r"\$33",
            "$33",
            r"33\text{ m}",
            "m+n=33",
            "x_1=33",
            r"\text{Answer: } 33",
            "33 = m + n",
            r"n \equiv 33 \pmod{1000}",
            r"\frac{66}{2}",
            r"\dfrac{99}{3}",
            "66/2",
            r"\frac{-66}{-2}",
            r"33 \text{ (mod } 1000)",
            "the answer is 33",
            r"\displaystyle 33",
            r"\left.33\right.",
        ] {
            assert_eq!(number(text).as_deref(), Some("33"), "{text}");
        }
        for (text, value) in [
            ("-33", "-33"),
            ("−33", "-33"),
            (r"-\frac{7}{2}", "-7/2"),
            ("3.5", "7/2"),
            (".5", "1/2"),
            (r"\frac12", "1/2"),
            (r"\frac1{2}", "1/2"),
            ("1,033", "1033"),
            ("1{,}033", "1033"),
            (r"1\,033", "1033"),
            ("1,234,567", "1234567"),
            ("0", "0"),
            ("000", "0"),
        ] {
            assert_eq!(number(text).as_deref(), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "",
            "x",
            "5x",
            "2x+1",
            r"\sqrt{23}",
            r"33\sqrt{2}",
            r"33\pi",
            "3 3",
            "1,2",
            "12,34",
            "33, 34",
            "3.5.1",
            r"\{33\}",
            r"2^{5}",
            "33 or 34",
            "12 to 33",
            "thirty",
            r"\frac{x}{2}",
            r"\frac{1}{0}",
            r"\frac123",
            "25+8",
            "3!4",
            "33m",
            r"\pm 33",
            "33 hundred",
            "1e3",
            "not 33",
            "a33",
            "33a",
            "99999999999999999999999999999999999999999999",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
