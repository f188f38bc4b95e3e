//! The index of a page for other programs: every study, every results, every figure, with paths relative to the page.

use serde::Serialize;

use crate::SiteError;
use crate::page::FIGURES;
use crate::studies::{PublishedFigure, Studies};

/// One line of the index.
#[derive(Serialize)]
struct IndexEntry<'a> {
    path: String,
    table: String,
    title: &'a str,
    model: &'a str,
    definition: &'a str,
    layers: usize,
    instances: usize,
    segments: usize,
}

#[derive(Serialize)]
struct ResultsEntry<'a> {
    path: String,
    title: &'a str,
    scores: usize,
}

#[derive(Serialize)]
struct FigureEntry<'a> {
    path: String,
    title: &'a str,
}

#[derive(Serialize)]
struct Index<'a> {
    schema: u32,
    studies: Vec<IndexEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<ResultsEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    figures: Vec<FigureEntry<'a>>,
}

/// The index of everything in the page, as JSON; paths are relative to the page.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn index(published: &Studies, figures: &[PublishedFigure]) -> Result<String, SiteError> {
    let studies = published.studies.iter().map(|published| {
        let manifest = &published.study.manifest;
        IndexEntry {
            path: published.address(),
            table: format!("{}/table.html", published.address()),
            title: published.title(),
            model: &manifest.model.name,
            definition: manifest.definition.name(),
            layers: manifest.model.layers,
            instances: manifest.instances.len(),
            segments: manifest.segments_used(),
        }
    });
    let results = published.results.iter().map(|published| ResultsEntry {
        path: published.address(),
        title: published.title(),
        scores: published.results.scores.len(),
    });
    let figures = figures.iter().map(|figure| FigureEntry {
        path: format!("{FIGURES}/{}.html", figure.slug),
        title: &figure.title,
    });
    let index = Index {
        schema: 1,
        studies: studies.collect(),
        results: results.collect(),
        figures: figures.collect(),
    };
    Ok(serde_json::to_string_pretty(&index)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::studies::PublishedStudy;
    use crate::testing::study;

    #[test]
    fn studies_are_listed_with_their_tables() {
        let mut published = Studies::default();
        published.studies.push(PublishedStudy {
            slug: "my-study".into(),
            source: "somewhere".into(),
            study: study("A title"),
        });
        let index: serde_json::Value = serde_json::from_str(&index(&published, &[]).unwrap()).unwrap();
        assert_eq!(index["studies"][0]["path"], "studies/my-study");
        assert_eq!(index["studies"][0]["table"], "studies/my-study/table.html");
        assert_eq!(index["studies"][0]["title"], "A title");
        assert_eq!(index.get("figures"), None);
    }
}
