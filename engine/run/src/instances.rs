//! Traces, annotations and a tokenizer into instances with segments; what was dropped, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cruxscope_checkpoint::{Checkpoint, TraceTokenizer};
use cruxscope_interpret::pass::Instance;
use cruxscope_interpret::segment::Segment;
use cruxscope_model::ModelError;
use cruxscope_study::{Definition, Drop, DropReason, Label, TraceText};
use cruxscope_trace::{Alignment, AnnotatedTrace, AnnotationContent, DropCause, ParsedAnnotation, Reading, TraceContent, TraceSet, align};

use crate::RunError;

mod texts;

use texts::TextBuilder;

/// Which traces are read, and how.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TraceSettings {
    /// File of traces.
    pub traces: PathBuf,
    /// File of annotations.
    pub annotations: PathBuf,
    /// The reading of the method; decides which segments can be used.
    pub definition: Definition,
    /// How annotations are parsed; `None`: tolerant under `paper`, strict under `released`.
    pub reading: Option<Reading>,
    /// How sections are found in the text; `None`: forward search under `paper`, as published under `released`.
    pub alignment: Option<Alignment>,
    /// Which instances; empty means all.
    pub only: Vec<String>,
    /// Maximum number of instances, the first ones of the file.
    pub first: Option<usize>,
    /// Tokens of an instance that are read at most, beyond the model's context too; `None`: the model's context.
    pub max_tokens: Option<usize>,
}

impl TraceSettings {
    /// The reading that holds.
    pub fn reading(&self) -> Reading {
        self.reading.unwrap_or(match self.definition {
            Definition::Paper => Reading::Tolerant,
            Definition::Released => Reading::Strict,
        })
    }

    /// The alignment that holds.
    pub fn alignment(&self) -> Alignment {
        self.alignment.unwrap_or(match self.definition {
            Definition::Paper => Alignment::ForwardSearch,
            Definition::Released => Alignment::Published,
        })
    }
}

/// Instances ready to be interpreted, with what was left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instances {
    /// The work, sorted by id.
    pub items: Vec<Instance>,
    /// Tokens beyond the cap, per instance, in the same order.
    pub tokens_cut: Vec<usize>,
    /// The texts for display, in the same order; `None` if a trace came as tokens.
    pub texts: Vec<Option<TraceText>>,
    /// What was dropped.
    pub dropped: Vec<Drop>,
    /// Sections that were read, of any label.
    pub sections: usize,
    /// Sections with labels that are shown but not scored.
    pub unscored_sections: usize,
    /// Ids that stand in the traces or in the annotations only.
    pub unpaired: Vec<String>,
    /// Counts of how the annotations read: sections that only the tolerant reading takes, repaired, unclosed.
    pub reading_counts: BTreeMap<String, usize>,
}

impl Instances {
    /// Reads, tokenizes and aligns.
    ///
    /// # Errors
    /// When a file cannot be read, a named instance is missing, a token range is out of bounds, or no segment is left.
    pub fn read(checkpoint: &Checkpoint, settings: &TraceSettings) -> Result<Self, RunError> {
        if settings.max_tokens == Some(0) {
            return Err(RunError::Setting {
                setting: "--max-length",
                value: "0".into(),
                rule: "at least one token has to be read",
            });
        }
        let set = TraceSet::read(&settings.traces, &settings.annotations)?;
        let unpaired = set.unannotated.iter().chain(&set.unmatched_annotations).cloned().collect();
        let chosen = choose(set.instances, settings)?;
        let needs_text = chosen.iter().any(|instance| matches!(instance.trace.content, TraceContent::Text { .. }));
        let tokenizer = if needs_text { Some(checkpoint.tokenizer()?) } else { None };
        let cap = settings.max_tokens.unwrap_or(checkpoint.config().context.max(1));

        let mut found = Self { unpaired, ..Self::default() };
        let mut read: Vec<One> = chosen
            .iter()
            .map(|instance| one(instance, tokenizer.as_ref(), settings, cap, checkpoint.config().vocabulary, &mut found))
            .collect::<Result<_, _>>()?;
        read.sort_by(|a, b| a.instance.id.cmp(&b.instance.id));
        for one in read {
            found.items.push(one.instance);
            found.tokens_cut.push(one.cut);
            found.dropped.extend(one.dropped);
            found.texts.push(one.text);
        }
        if found.items.iter().all(|instance| instance.segments.is_empty()) {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            for drop in &found.dropped {
                *reasons.entry(drop.reason.words()).or_default() += 1;
            }
            let mut reasons: Vec<String> = reasons.into_iter().map(|(reason, count)| format!("{count} times {reason}")).collect();
            if found.unscored_sections > 0 {
                reasons.push(format!("{} have labels that are not scored", found.unscored_sections));
            }
            return Err(RunError::NothingLeft {
                sections: found.sections,
                reasons: reasons.join(", "),
            });
        }
        Ok(found)
    }

    /// Tokens of all instances.
    pub fn tokens(&self) -> usize {
        self.items.iter().map(|instance| instance.ids.len()).sum()
    }

    /// Segments of all instances.
    pub fn segments(&self) -> usize {
        self.items.iter().map(|instance| instance.segments.len()).sum()
    }
}

fn choose(instances: Vec<AnnotatedTrace>, settings: &TraceSettings) -> Result<Vec<AnnotatedTrace>, RunError> {
    let known = |id: &str| instances.iter().any(|instance| instance.trace.id == id);
    if let Some(id) = settings.only.iter().find(|id| !known(id)) {
        let examples = instances
            .iter()
            .take(3)
            .map(|instance| instance.trace.id.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(RunError::NoSuchInstance {
            id: id.clone(),
            known: instances.len(),
            examples,
        });
    }
    let wanted = instances
        .into_iter()
        .filter(|instance| settings.only.is_empty() || settings.only.contains(&instance.trace.id));
    Ok(wanted.take(settings.first.unwrap_or(usize::MAX)).collect())
}

/// One instance: what is interpreted, the tokens truncated, its drops, its text for display.
struct One {
    instance: Instance,
    cut: usize,
    dropped: Vec<Drop>,
    text: Option<TraceText>,
}

fn one(
    instance: &AnnotatedTrace,
    tokenizer: Option<&TraceTokenizer>,
    settings: &TraceSettings,
    cap: usize,
    vocabulary: usize,
    found: &mut Instances,
) -> Result<One, RunError> {
    let id = &instance.trace.id;
    let mut dropped = Vec::new();
    let mut drop = |section: usize, label: Label, reason: DropReason, coverage: Option<f64>| {
        dropped.push(Drop {
            instance: id.clone(),
            section,
            label: label.name().into(),
            reason,
            coverage,
        });
    };
    let (mut ids, offsets) = tokens(&instance.trace.content, tokenizer)?;
    if ids.is_empty() {
        return Err(RunError::EmptyInstance { id: id.clone() });
    }
    instance.annotation.check_spans(ids.len())?;
    if let Some((position, token)) = ids.iter().enumerate().find(|(_, token)| **token as usize >= vocabulary) {
        return Err(ModelError::Token {
            token: *token,
            position,
            vocabulary,
        }
        .into());
    }

    let mut text = match &instance.trace.content {
        TraceContent::Text { prompt, output } => Some(TextBuilder::new(id, prompt, output)),
        TraceContent::Tokens(_) => None,
    };
    let mut labelled: Vec<(usize, Label, usize, usize)> = Vec::new();
    match (&instance.annotation.content, &instance.trace.content) {
        (AnnotationContent::Segments(spans), _) => {
            found.sections += spans.len();
            labelled.extend(spans.iter().enumerate().map(|(index, span)| (index, span.label, span.start, span.last)));
            for (index, span) in spans.iter().enumerate() {
                if let (Some(text), Some(first), Some(last)) = (&mut text, offsets.get(span.start), offsets.get(span.last)) {
                    text.found(index, span.label, (first.0, last.1), (span.start, span.last));
                }
            }
        }
        (AnnotationContent::Text(annotated), TraceContent::Text { prompt, output }) => {
            let parsed = ParsedAnnotation::read(annotated, settings.reading());
            found.sections += parsed.sections.len();
            let unknown = parsed.unknown_labels.values().sum();
            for (name, count) in [
                ("tolerated", parsed.tolerated),
                ("repaired", parsed.repaired),
                ("unclosed", parsed.unclosed),
                ("unknown_labels", unknown),
            ] {
                *found.reading_counts.entry(name.into()).or_default() += count;
            }
            let aligned = align(prompt, output, &parsed.sections, settings.alignment(), &offsets);
            for section in &aligned.dropped {
                let coverage = match section.reason {
                    DropCause::NotFound { coverage } => Some(coverage),
                    _ => None,
                };
                drop(section.section, section.label, section.reason.reason(), coverage);
                if let Some(text) = &mut text {
                    let written = parsed.sections.get(section.section).map(|section| section.text.as_str());
                    text.not_found(section.section, section.label, section.reason.reason(), written);
                }
            }
            if let Some(text) = &mut text {
                for segment in &aligned.segments {
                    text.found(segment.section, segment.label, segment.characters, (segment.start, segment.last));
                }
            }
            labelled.extend(
                aligned
                    .segments
                    .iter()
                    .map(|segment| (segment.section, segment.label, segment.start, segment.last)),
            );
        }
        (AnnotationContent::Text(_), TraceContent::Tokens(_)) => {} // refused when the files were paired
    }

    let tokens = ids.len();
    let cut = tokens.saturating_sub(cap);
    ids.truncate(cap);
    let mut segments = Vec::new();
    for (section, label, start, last) in labelled {
        let Some(behaviour) = label.behaviour() else {
            found.unscored_sections += 1;
            continue;
        };
        let segment = Segment { behaviour, start, last };
        let reason = if last >= ids.len() {
            DropReason::BeyondCap
        } else if let Err(reason) = segment.span(settings.definition) {
            reason
        } else {
            segments.push(segment);
            continue;
        };
        drop(section, label, reason, None);
        if let Some(text) = &mut text {
            text.drop(section, reason);
        }
    }
    Ok(One {
        instance: Instance { id: id.clone(), ids, segments },
        cut,
        dropped,
        text: text.map(|text| text.finish(tokens)),
    })
}

type Offsets = Vec<(usize, usize)>;

/// The tokens of a trace, and the characters that each covers; none where the trace came as tokens.
fn tokens(content: &TraceContent, tokenizer: Option<&TraceTokenizer>) -> Result<(Vec<u32>, Offsets), RunError> {
    match (content, tokenizer) {
        (TraceContent::Tokens(ids), _) => Ok((ids.clone(), Vec::new())),
        (TraceContent::Text { prompt, output }, Some(tokenizer)) => {
            let encoding = tokenizer.encode_sequence(&format!("{prompt}{output}"))?;
            Ok((encoding.ids, encoding.offsets))
        }
        (TraceContent::Text { .. }, None) => Ok((Vec::new(), Vec::new())),
    }
}
