//! From what, how and with what a study was computed, in the order in which the drawer shows it.

use cruxscope_study::{Behaviour, Definition, DropReason, FileDigest, Study};

use super::format;

/// A group of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its title.
    pub title: &'static str,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A label and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The label.
    pub label: String,
    /// The value.
    pub value: String,
    /// The whole of it, where the value is shortened, such as a digest.
    pub whole: Option<String>,
}

impl Line {
    fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            value: value.into(),
            whole: None,
        }
    }

    fn file(file: &FileDigest) -> Self {
        Self {
            label: file.name.clone(),
            value: format!("{}  {}", format::bytes(file.bytes), file.sha256.short()),
            whole: Some(file.sha256.0.clone()),
        }
    }
}

/// All sections.
pub fn sections(study: &Study) -> Vec<Section> {
    let manifest = &study.manifest;
    let model = &manifest.model;
    let mut result = vec![Section {
        title: "Method",
        lines: vec![
            Line::new("Definition", definition(study)),
            Line::new("Program", format!("{} {}", manifest.program.name, manifest.program.version)),
        ],
    }];
    let mut lines = vec![
        Line::new("Name", &model.name),
        Line::new("Architecture", &model.architecture),
        Line::new("Layers", model.layers.to_string()),
        Line::new("Parameters", format::short_count(model.parameters)),
        Line::new("Basis", &model.basis),
    ];
    if !model.tensor_types.is_empty() {
        let types: Vec<String> = model.tensor_types.iter().map(|(name, number)| format!("{name} × {number}")).collect();
        lines.push(Line::new("Stored tensors", types.join(", ")));
    }
    if let Some(compression) = &model.compression {
        lines.push(Line::new("Compression", compression.to_string()));
    }
    lines.extend(model.files.iter().map(Line::file));
    result.push(Section { title: "Model", lines });
    result.push(Section {
        title: "Traces and annotations",
        lines: manifest.data.iter().map(Line::file).collect(),
    });
    for (title, values) in [("Device", &manifest.device), ("Settings", &manifest.settings)] {
        let lines = values.iter().map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Line::new(key.replace(['_', '-'], " "), text)
        });
        result.push(Section { title, lines: lines.collect() });
    }
    result.push(Section {
        title: "What was read",
        lines: vec![
            Line::new("Instances", format::count(manifest.instances.len())),
            Line::new("Tokens", format::count(manifest.tokens())),
            Line::new(
                "Tokens truncated",
                format::count(manifest.instances.iter().fold(0, |sum, entry| sum.saturating_add(entry.tokens_cut))),
            ),
            Line::new("Sections shown but not scored", format::count(manifest.unscored_sections)),
            Line::new("Ids without a partner", format::count(manifest.unpaired.len())),
        ],
    });
    result.retain(|section| !section.lines.is_empty());
    result
}

/// The definition in words.
pub fn definition(study: &Study) -> &'static str {
    match study.manifest.definition {
        Definition::Paper => "paper",
        Definition::Released => "reference implementation",
    }
}

/// Segments of one behaviour.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentLine {
    /// The behaviour.
    pub behaviour: Behaviour,
    /// Instances, used and dropped, as text.
    pub numbers: [String; 3],
}

/// How many segments of each behaviour were used and dropped.
pub fn segments(study: &Study) -> Vec<SegmentLine> {
    Behaviour::ALL
        .into_iter()
        .map(|behaviour| {
            let counts = study.manifest.segments[behaviour.index()];
            SegmentLine {
                behaviour,
                numbers: [counts.instances, counts.used, counts.dropped].map(format::count),
            }
        })
        .collect()
}

/// How many were dropped for each reason, most first.
pub fn reasons(study: &Study) -> Vec<(&'static str, usize)> {
    let mut counts: std::collections::BTreeMap<DropReason, usize> = std::collections::BTreeMap::new();
    for dropped in &study.manifest.dropped {
        *counts.entry(dropped.reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = counts.into_iter().map(|(reason, number)| (reason.words(), number)).collect();
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    reasons
}

/// One dropped section in words: `aime-03, section 12, backtracking` and why.
pub fn dropped(study: &Study, index: usize) -> Option<(String, String)> {
    let dropped = study.manifest.dropped.get(index)?;
    let place = format!("{}, section {}, {}", dropped.instance, dropped.section + 1, dropped.label);
    let why = match dropped.coverage {
        Some(coverage) => format!("{} ({:.0} % was found)", dropped.reason.words(), coverage * 100.0),
        None => dropped.reason.words().to_owned(),
    };
    Some((place, why))
}

/// The command that makes the study again: the one it was made with where that was kept, or else one put together from
/// the manifest, in which files stand without the folders that led to them.
pub fn command(study: &Study) -> String {
    let manifest = &study.manifest;
    if let Some(command) = manifest.extra.get("command").and_then(|command| command.as_str()) {
        return command.to_owned();
    }
    let mut command = "cruxscope interpret".to_owned();
    let mut add = |flag: &str, value: &str| {
        let quoted = if value.contains(' ') { format!("'{value}'") } else { value.to_owned() };
        command.push_str(&format!(" --{flag} {quoted}"));
    };
    let model = &manifest.model;
    add(
        "model",
        match model.files.as_slice() {
            // A folder goes by the model's name.
            [file] if file.name.ends_with(".gguf") => &file.name,
            _ => &model.name,
        },
    );
    for (flag, file) in ["traces", "annotations"].into_iter().zip(&manifest.data) {
        add(flag, &file.name);
    }
    // The flag's word for what the files of a study call "released".
    add(
        "definition",
        match manifest.definition {
            Definition::Paper => "paper",
            Definition::Released => "reference",
        },
    );
    for (flag, key) in [("reading", "reading"), ("alignment", "alignment"), ("max-length", "max_tokens")] {
        match manifest.settings.get(key) {
            Some(value) if value.is_number() => add(flag, &value.to_string()),
            Some(value) => {
                if let Some(text) = value.as_str() {
                    add(flag, text);
                }
            }
            None => {}
        }
    }
    add("out", "study");
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn sections_hold_what_makes_a_figure_again() {
        let study = samples::study(6);
        let text = format!("{:?}", sections(&study));
        for expected in ["paper", "model.gguf", "traces.jsonl", "float32", "max tokens", "134.5"] {
            assert!(text.contains(expected), "{expected} is missing from {text}");
        }
    }

    #[test]
    fn drops_are_counted_by_reason_and_listed_by_instance() {
        let study = samples::study(6);
        let reasons = reasons(&study);
        assert_eq!(reasons.iter().map(|(_, number)| number).sum::<usize>(), study.manifest.dropped.len());
        let (place, why) = dropped(&study, 0).unwrap();
        assert!(place.contains("section 3"), "{place}");
        assert!(why.contains("71 % was found"), "{why}");
        assert_eq!(dropped(&study, 99), None);
    }

    #[test]
    fn the_command_that_was_kept_comes_first() {
        let mut study = samples::study(6);
        assert_eq!(
            command(&study),
            "cruxscope interpret --model model.gguf --traces traces.jsonl --annotations annotations.jsonl --definition paper --max-length 4096 --out study"
        );
        study.manifest.extra.insert("command".into(), "cruxscope interpret x".into());
        assert_eq!(command(&study), "cruxscope interpret x");
    }

    #[test]
    fn segments_are_counted_for_every_behaviour() {
        let lines = segments(&samples::study(6));
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[3].numbers, ["0", "0", "2"]);
    }
}
