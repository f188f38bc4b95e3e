//! Comparing answers in words: exact match and F1 over normalised tokens, as is usual for question answering
//! (Rajpurkar et al., 2016).

use std::collections::BTreeMap;

/// The tokens of a text once it is in lower case, without ASCII punctuation and without a, an, the.
pub fn normalised(text: &str) -> Vec<String> {
    let plain: String = text.to_lowercase().chars().filter(|character| !character.is_ascii_punctuation()).collect();
    // An article is a whole word, and a word ends where letters, digits and marks do: "the–end" holds one too.
    let mut without = String::with_capacity(plain.len());
    let mut word = String::new();
    let end_word = |word: &mut String, without: &mut String| {
        without.push_str(if matches!(word.as_str(), "a" | "an" | "the") { " " } else { word });
        word.clear();
    };
    for character in plain.chars() {
        if character.is_alphanumeric() || character == '_' {
            word.push(character);
        } else {
            end_word(&mut word, &mut without);
            without.push(character);
        }
    }
    end_word(&mut word, &mut without);
    without.split_whitespace().map(str::to_owned).collect()
}

/// Whether two answers are the same once normalised. Two empty ones are; an empty one and another are not.
pub fn exact_match(answer: &str, expected: &str) -> bool {
    normalised(answer) == normalised(expected)
}

/// `F1 = 2 c / (p + g)` with `p`, `g` the tokens of answer and expected answer and `c` the size of their common multiset.
/// 0 where only one of them is empty, 1 where both are.
pub fn f1(answer: &str, expected: &str) -> f64 {
    f1_of(&normalised(answer), &normalised(expected))
}

/// The same of tokens.
pub fn f1_of(answer: &[String], expected: &[String]) -> f64 {
    if answer.is_empty() || expected.is_empty() {
        return f64::from(u8::from(answer == expected));
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for token in expected {
        *left.entry(token).or_default() += 1;
    }
    let mut common = 0usize;
    for token in answer {
        if let Some(count) = left.get_mut(token.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    2.0 * common as f64 / (answer.len() + expected.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisation() {
        assert_eq!(normalised("The U.S.  Senate, a\tbody"), ["us", "senate", "body"]);
        assert_eq!(normalised("Ann the–an x–the–y"), ["ann", "–", "x–", "–y"]);
        assert_eq!(normalised("  "), Vec::<String>::new());
    }

    #[test]
    fn matches() {
        assert!(exact_match("the Apple Corps.", "apple corps"));
        assert!(!exact_match("", "apple"));
        assert_eq!(f1("", "apple"), 0.0);
        assert_eq!(f1("apple apple pie", "apple pie pie"), 2.0 / 3.0);
        assert_eq!(f1("red", "blue"), 0.0);
        assert_eq!(f1("an", "the"), 1.0);
    }
}
