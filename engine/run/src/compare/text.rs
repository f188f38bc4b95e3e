//! What both models read: windows, whole traces, or annotated traces, with the places of the thought and of behaviours.

use std::path::PathBuf;
use std::sync::Arc;

use cruxscope_checkpoint::{Checkpoint, TraceTokenizer};
use cruxscope_interpret::segment::Segment;
use cruxscope_model::ModelError;
use cruxscope_study::{Behaviour, ComparedText, Definition};
use cruxscope_trace::{Trace, TraceContent};

use crate::instances::{Instances, TraceSettings};
use crate::windows::Calibration;
use crate::{Event, Observer, RunError};

/// The tag with which reasoning models end their thought.
const END_OF_THOUGHT: &str = "</think>";

/// Where texts come from.
#[derive(Clone, Debug, PartialEq)]
pub enum CompareText {
    /// Windows of text, tokens or traces.
    Windows(Calibration),
    /// Whole traces without annotations.
    Traces {
        /// The file.
        traces: PathBuf,
        /// Which ones, by id; empty means all.
        only: Vec<String>,
        /// Maximum number of traces, the first ones of the file.
        first: Option<usize>,
        /// Tokens of a trace that are read at most; none: the models' context.
        max_tokens: Option<usize>,
    },
    /// Whole annotated traces.
    Annotated(TraceSettings),
}

impl CompareText {
    /// The files it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Windows(calibration) => vec![calibration.source.path().to_owned()],
            Self::Traces { traces, .. } => vec![traces.clone()],
            Self::Annotated(settings) => vec![settings.traces.clone(), settings.annotations.clone()],
        }
    }
}

/// A text, as both models read it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    /// Its id.
    pub id: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// The token with which the thought begins.
    pub thought: usize,
    /// The token with which the answer begins.
    pub answer: usize,
    /// Which behaviours claim each predicted token, `[predictions]`.
    pub behaviours: Vec<u8>,
    /// The byte of the output at which each predicted token ends, `[predictions]`; 0 where it stands in the prompt, or the text came as
    /// tokens.
    pub ends: Vec<u32>,
}

impl Text {
    /// A text in which nothing is known of prompt and thought.
    fn plain(id: String, ids: Vec<u32>) -> Self {
        Self {
            id,
            thought: 0,
            answer: ids.len(),
            behaviours: vec![0; ids.len().saturating_sub(1)],
            ends: vec![0; ids.len().saturating_sub(1)],
            ids,
        }
    }

    /// Predictions: one less than tokens.
    pub fn predictions(&self) -> usize {
        self.behaviours.len()
    }

    /// Whether any predicted token is claimed by a behaviour.
    pub fn holds(&self, behaviour: Behaviour) -> bool {
        self.behaviours.iter().any(|claims| claims & (1 << behaviour.index()) != 0)
    }

    /// What a study says of it.
    pub fn entry(&self) -> ComparedText {
        ComparedText {
            id: self.id.clone(),
            tokens: self.ids.len(),
            thought: self.thought,
            answer: self.answer,
            continuation: None,
        }
    }
}

/// Reads the texts by A's tokenizer, and makes sure that B would read the same tokens.
pub(super) fn read(from: &CompareText, checkpoints: &[Arc<Checkpoint>; 2], observer: &mut dyn Observer) -> Result<Vec<Text>, RunError> {
    let [a, b] = checkpoints;
    let context = a.config().context.min(b.config().context).max(1);
    match from {
        CompareText::Windows(calibration) => {
            let windows = calibration.read(a)?.into_iter().enumerate();
            Ok(windows.map(|(index, ids)| Text::plain(format!("{index:06}"), ids)).collect())
        }
        CompareText::Traces {
            traces,
            only,
            first,
            max_tokens,
        } => {
            let all = Trace::read_all(traces)?;
            let known = all.len();
            if let Some(id) = only.iter().find(|id| all.iter().all(|trace| trace.id != **id)) {
                let examples: Vec<&str> = all.iter().take(3).map(|trace| trace.id.as_str()).collect();
                return Err(RunError::NoSuchInstance {
                    id: id.clone(),
                    known,
                    examples: examples.join(", "),
                });
            }
            let chosen = all.into_iter().filter(|trace| only.is_empty() || only.contains(&trace.id));
            let mut reader = TextReader::new(checkpoints, observer);
            let mut texts = Vec::new();
            for trace in chosen.take(first.unwrap_or(usize::MAX)) {
                let mut text = match trace.content {
                    TraceContent::Tokens(ids) => Text::plain(trace.id, ids),
                    TraceContent::Text { prompt, output } => reader.text(trace.id, &prompt, &output)?,
                };
                cut(&mut text, max_tokens.unwrap_or(context));
                check_ids(&text, a)?;
                texts.push(text);
            }
            texts.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(texts)
        }
        CompareText::Annotated(settings) => {
            let mut settings = settings.clone();
            settings.max_tokens.get_or_insert(context);
            let found = Instances::read(a, &settings)?;
            let mut reader = TextReader::new(checkpoints, observer);
            let mut texts = Vec::new();
            for (instance, shown) in found.items.into_iter().zip(found.texts) {
                let mut text = match shown {
                    Some(shown) => reader.text(instance.id, &shown.prompt, &shown.output)?,
                    None => Text::plain(instance.id, instance.ids.clone()),
                };
                cut(&mut text, instance.ids.len());
                mark(&mut text, &instance.segments, settings.definition);
                texts.push(text);
            }
            Ok(texts)
        }
    }
}

/// Cuts what lies beyond a number of tokens.
fn cut(text: &mut Text, most: usize) {
    text.ids.truncate(most);
    let tokens = text.ids.len();
    text.thought = text.thought.min(tokens);
    text.answer = text.answer.min(tokens);
    text.behaviours.truncate(tokens.saturating_sub(1));
    text.ends.truncate(tokens.saturating_sub(1));
}

fn check_ids(text: &Text, checkpoint: &Checkpoint) -> Result<(), RunError> {
    let vocabulary = checkpoint.config().vocabulary;
    match text.ids.iter().enumerate().find(|(_, token)| **token as usize >= vocabulary) {
        Some((position, token)) => Err(ModelError::Token {
            token: *token,
            position,
            vocabulary,
        }
        .into()),
        None => Ok(()),
    }
}

/// Marks the predicted tokens of every segment.
fn mark(text: &mut Text, segments: &[Segment], definition: Definition) {
    for segment in segments {
        let Ok(span) = segment.span(definition) else { continue };
        for target in span.targets {
            if let Some(claims) = target.checked_sub(1).and_then(|row| text.behaviours.get_mut(row)) {
                *claims |= 1 << segment.behaviour.index();
            }
        }
    }
}

/// Tokenizes texts for both models.
struct TextReader<'a> {
    checkpoints: &'a [Arc<Checkpoint>; 2],
    observer: &'a mut dyn Observer,
    tokenizers: Option<(TraceTokenizer, Option<TraceTokenizer>)>,
}

impl<'a> TextReader<'a> {
    fn new(checkpoints: &'a [Arc<Checkpoint>; 2], observer: &'a mut dyn Observer) -> Self {
        Self {
            checkpoints,
            observer,
            tokenizers: None,
        }
    }

    /// A trace of words: its tokens, and where the thought begins and ends.
    fn text(&mut self, id: String, prompt: &str, output: &str) -> Result<Text, RunError> {
        let (own, other) = match &self.tokenizers {
            Some(known) => known,
            None => {
                let [a, b] = self.checkpoints;
                let other = b.tokenizer();
                if let Err(error) = &other {
                    let text = format!(
                        "{} has no tokenizer that could be compared with A's ({error}); its tokens are taken to be the same",
                        b.name()
                    );
                    self.observer.event(Event::Note { text });
                }
                self.tokenizers.insert((a.tokenizer()?, other.ok()))
            }
        };
        let words = format!("{prompt}{output}");
        let encoding = own.encode_sequence(&words)?;
        if let Some(other) = other
            && other.encode_sequence(&words)?.ids != encoding.ids
        {
            let [a, b] = self.checkpoints.each_ref().map(|checkpoint| checkpoint.name());
            return Err(RunError::Recipe {
                why: format!("{a} and {b} read \"{id}\" as different tokens, so that their positions cannot be compared"),
            });
        }
        // Offsets count characters.
        let written = prompt.chars().count();
        let token_after = |character: usize| {
            let place = encoding.offsets.iter().position(|(_, end)| *end > character);
            place.unwrap_or(encoding.ids.len())
        };
        let answer = match output.find(END_OF_THOUGHT) {
            Some(byte) => token_after(written + output[..byte + END_OF_THOUGHT.len()].chars().count()),
            None => encoding.ids.len(),
        };
        let thought = token_after(written);
        // Where each character of the output ends, in bytes.
        let bytes: Vec<u32> = output.char_indices().map(|(byte, character)| (byte + character.len_utf8()) as u32).collect();
        let end = |(_, end): &(usize, usize)| end.checked_sub(written + 1).and_then(|character| bytes.get(character).copied());
        let ends = encoding.offsets.iter().skip(1).map(|offsets| end(offsets).unwrap_or(0)).collect();
        let mut text = Text::plain(id, encoding.ids);
        text.ends = ends;
        (text.thought, text.answer) = (thought, answer.max(thought));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_behaviours_tokens_are_those_of_its_segments_with_the_five_before() {
        let mut text = Text::plain("a".into(), (0..30).collect());
        let segment = |behaviour, start, last| Segment { behaviour, start, last };
        let segments = [segment(Behaviour::Backtracking, 10, 12), segment(Behaviour::ExampleTesting, 2, 7)];
        mark(&mut text, &segments, Definition::Paper);
        let claimed = |behaviour: Behaviour| -> Vec<usize> { (0..29).filter(|row| text.behaviours[*row] & (1 << behaviour.index()) != 0).collect() };
        // Row r predicts token r + 1; the first token of a text is predicted nowhere.
        assert_eq!(claimed(Behaviour::Backtracking), (4..12).collect::<Vec<_>>());
        assert_eq!(claimed(Behaviour::ExampleTesting), (0..7).collect::<Vec<_>>());
        assert!(text.holds(Behaviour::Backtracking) && !text.holds(Behaviour::AddingKnowledge));
        cut(&mut text, 9);
        assert_eq!((text.ids.len(), text.predictions(), text.answer), (9, 8, 9));
    }
}
