//! How outputs end: with closed thoughts, without thinking at all, in a loop, or in the middle.

use serde::Serialize;

use super::Collapse;
use crate::generator::Finish;
use crate::samples::Output;
use crate::scoring::extract::closes_its_thoughts;

/// Bytes up to which an output without closed thoughts counts as a direct answer where nobody says why it ended.
const DIRECT_ANSWER: usize = 6144;

/// How an output ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Thoughts were closed, and an answer follows.
    Closed,
    /// Thoughts were never closed, and the output ended of itself: a direct answer, thinking skipped.
    SkippedThinking,
    /// It only repeats itself.
    Collapsed,
    /// It was still thinking when its tokens ran out.
    CutShort,
}

impl Ending {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Closed, Self::SkippedThinking, Self::Collapsed, Self::CutShort];

    /// In a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Closed => "thoughts closed",
            Self::SkippedThinking => "thinking skipped",
            Self::Collapsed => "collapsed",
            Self::CutShort => "cut short",
        }
    }

    /// How one output ends. Where nobody said why it ended, a length of up to 6 KiB stands for a direct answer.
    pub fn of(output: &Output) -> Self {
        if Collapse::of(&output.output).is_collapsed() {
            return Self::Collapsed;
        }
        if closes_its_thoughts(&output.output) {
            return Self::Closed;
        }
        match &output.finish {
            Some(Finish::Length) => Self::CutShort,
            Some(Finish::Collapse) => Self::Collapsed,
            Some(Finish::Stop) => Self::SkippedThinking,
            _ if output.output.len() <= DIRECT_ANSWER => Self::SkippedThinking,
            _ => Self::CutShort,
        }
    }
}

/// How many outputs end each way, in the order of [`Ending::ALL`], and how many bytes they have.
pub fn endings<'a>(outputs: impl IntoIterator<Item = &'a Output>) -> [(Ending, usize, usize); 4] {
    let mut counts = Ending::ALL.map(|ending| (ending, 0, 0));
    for output in outputs {
        let ending = Ending::of(output);
        if let Some((_, count, bytes)) = counts.iter_mut().find(|(of, ..)| *of == ending) {
            *count += 1;
            *bytes += output.output.len();
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(text: &str, finish: Option<Finish>) -> Ending {
        Ending::of(&Output {
            id: "FOLIO/0".into(),
            pass: 1,
            model: None,
            settings: None,
            prompt: None,
            prompt_begin: None,
            output: text.into(),
            finish,
            new_tokens: None,
        })
    }

    #[test]
    fn each_way_to_end() {
        let long: String = (0..3000u64).map(|i| format!("{:x} ", i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)).collect();
        assert_eq!(ending("hm</think>42", None), Ending::Closed);
        assert_eq!(ending("42", None), Ending::SkippedThinking);
        assert_eq!(ending(&long, None), Ending::CutShort);
        assert_eq!(ending(&long, Some(Finish::Stop)), Ending::SkippedThinking);
        assert_eq!(ending("hm", Some(Finish::Length)), Ending::CutShort);
        assert_eq!(ending(&"so ".repeat(4000), Some(Finish::Length)), Ending::Collapsed);
        assert_eq!(ending("so so", Some(Finish::Collapse)), Ending::Collapsed);
    }
}
