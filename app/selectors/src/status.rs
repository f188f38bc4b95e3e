//! The one line at the bottom, and what the list of studies says about each.

use cruxscope_study::Study;

use super::format;

/// `4 instances`, `3,587 tokens`, `49 segments, 3 dropped`, `manifest 9f2c…41`.
pub fn facts(study: &Study) -> Vec<String> {
    let manifest = &study.manifest;
    let mut segments = format::things(manifest.segments_used(), "segment", "segments");
    let dropped = manifest.segments.iter().fold(0, |sum: usize, counts| sum.saturating_add(counts.dropped));
    if dropped > 0 {
        segments.push_str(&format!(", {} dropped", format::count(dropped)));
    }
    let mut facts = vec![
        format::things(manifest.instances.len(), "instance", "instances"),
        format::things(manifest.tokens(), "token", "tokens"),
        segments,
    ];
    if let Ok(digest) = manifest.digest() {
        facts.push(format!("manifest {}", digest.short()));
    }
    facts
}

/// The title of a study; a study without one goes by its model.
pub fn title(study: &Study) -> &str {
    let manifest = &study.manifest;
    if manifest.title.is_empty() { &manifest.model.name } else { &manifest.title }
}

/// The two lines under the title: the model, and the definition with the number of layers.
pub fn subtitles(study: &Study) -> [String; 2] {
    let layers = format::things(study.manifest.model.layers, "layer", "layers");
    [
        study.manifest.model.name.clone(),
        format!("{layers}, definition {}", super::provenance::definition(study)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn the_status_counts_what_was_read() {
        let facts = facts(&samples::study(6));
        assert_eq!(facts[..3], ["4 instances", "3,623 tokens", "36 segments, 3 dropped"]);
        assert!(facts[3].starts_with("manifest ") && facts[3].contains('…'));
    }

    #[test]
    fn a_study_without_a_title_goes_by_its_model() {
        let mut study = samples::study(6);
        assert_eq!(title(&study), "Sample study");
        assert_eq!(subtitles(&study), ["Sample-135M", "6 layers, definition paper"]);
        study.manifest.title.clear();
        assert_eq!(title(&study), "Sample-135M");
    }
}
