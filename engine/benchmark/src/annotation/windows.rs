//! Cutting long outputs into windows that an annotator can quote whole.

use std::ops::Range;

/// Ranges of bytes that cover an output without overlap, each of at most `longest` characters. Cuts fall between paragraphs
/// where there is a break in the second half of a window, else between lines, else between sentences, else between words,
/// else where they must. White space that would be a window of its own is left out.
pub fn windows(output: &str, longest: usize) -> Vec<Range<usize>> {
    let longest = longest.max(2);
    let mut found = Vec::new();
    let mut start = 0;
    while start < output.len() {
        let rest = &output[start..];
        let Some((limit, _)) = rest.char_indices().nth(longest) else {
            found.push(start..output.len());
            break;
        };
        let half = rest.char_indices().nth(longest / 2).map_or(0, |(at, _)| at);
        let cut = ["\n\n", "\n", ". ", " "]
            .iter()
            .find_map(|break_| rest[half..limit].rfind(break_).map(|at| half + at + break_.len()))
            .unwrap_or(limit);
        found.push(start..start + cut);
        start += cut;
    }
    found.retain(|range| !output[range.clone()].trim().is_empty());
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_fall_where_text_breaks() {
        let texts = |text: &'static str, longest| -> Vec<&str> { windows(text, longest).into_iter().map(|range| &text[range]).collect() };
        assert_eq!(texts("one two", 100), ["one two"]);
        assert_eq!(texts("ab\n\ncd. e\nfg hi", 8), ["ab\n\ncd. ", "e\nfg hi"]);
        assert_eq!(texts("aaaa\n\nbbbb cc", 8), ["aaaa\n\n", "bbbb cc"]);
        assert_eq!(texts("éééééé", 4), ["éééé", "éé"]);
        assert!(texts("", 4).is_empty());
        assert!(texts(" \n ", 4).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_longer(text in "[aé .\n]{0,300}", longest in 2usize..60) {
            let ranges = windows(&text, longest);
            let mut from = 0;
            for range in &ranges {
                prop_assert!(text[from..range.start].trim().is_empty());
                prop_assert!(text[range.clone()].chars().count() <= longest);
                from = range.end;
            }
            prop_assert!(text[from..].trim().is_empty());
        }
    }
}
