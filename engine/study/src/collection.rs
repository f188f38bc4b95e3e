//! A collection: studies and results that belong together, and a tour through them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::StudyError;

/// The file that makes a folder a collection.
pub const COLLECTION_FILE: &str = "collection.json";
/// The newest layout of `collection.json` that this program knows.
pub const COLLECTION_SCHEMA: u32 = 1;
/// Entries of each kind that a collection may hold.
const MOST: usize = 1_000;

/// Studies and results that belong together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    /// Layout of this file.
    pub schema: u32,
    /// A title for display.
    pub title: String,
    /// The folders of studies, relative to this file, in the order in which they are opened.
    #[serde(default)]
    pub studies: Vec<String>,
    /// The files of results, relative to this file.
    #[serde(default)]
    pub results: Vec<String>,
    /// The stops of the tour, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tour: Vec<TourStop>,
    /// Fields that a later program wrote; kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A stop of a tour: what is seen, and what is said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TourStop {
    /// Its heading.
    pub title: String,
    /// What is said, in Markdown.
    pub caption: String,
    /// What a presenter is told and an audience does not see, in Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// What is seen, as in a link: `view`, `scale`, `behaviour`, `component`, and so on. The values of `study`, `from` and `to` are
    /// folders of this collection, `results` is one of its files.
    #[serde(default)]
    pub seen: BTreeMap<String, String>,
}

impl Collection {
    /// Reads and checks `collection.json`.
    ///
    /// # Errors
    /// When it is no such file, comes from a later program, or leads out of its folder.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StudyError> {
        let collection: Self = crate::read_versioned(bytes, COLLECTION_FILE, COLLECTION_SCHEMA)?;
        collection.check()?;
        Ok(collection)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When an entry leads out of its folder.
    pub fn to_json(&self) -> Result<Vec<u8>, StudyError> {
        self.check()?;
        crate::write_json(self, COLLECTION_FILE)
    }

    fn check(&self) -> Result<(), StudyError> {
        let refuse = |why: String| {
            Err(StudyError::Contradiction {
                file: COLLECTION_FILE.into(),
                why,
            })
        };
        if self.studies.len().max(self.results.len()).max(self.tour.len()) > MOST {
            return refuse(format!("it holds more than {MOST} studies, results or stops"));
        }
        match self.studies.iter().chain(&self.results).find(|place| !stays_inside(place)) {
            Some(place) => refuse(format!("\"{place}\" would lie outside the collection")),
            None => Ok(()),
        }
    }
}

/// Whether a relative place lies in its folder or below, on every system and for every web server.
fn stays_inside(place: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != ".." && !part.contains(['\\', ':', '?', '#', '%']) && !part.contains(char::is_control);
    place == "." || place.split('/').all(|part| plain(part) && part != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_survives_its_file() {
        let collection = Collection {
            schema: COLLECTION_SCHEMA,
            title: "c".into(),
            studies: vec!["distilled".into(), "compressed/rtn-3".into()],
            results: vec!["results.json".into()],
            tour: vec![TourStop {
                title: "One".into(),
                caption: "Look at **this**.".into(),
                notes: "Wait.".into(),
                seen: [("view".to_owned(), "shift".to_owned())].into(),
            }],
            extra: Map::new(),
        };
        assert_eq!(Collection::from_json(&collection.to_json().unwrap()).unwrap(), collection);
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        for place in ["../x", "/etc", "a/../../b", "c:\\x", "http://elsewhere", "", "a//b", "a/./b", "a?b"] {
            let collection = Collection {
                schema: COLLECTION_SCHEMA,
                studies: vec![place.into()],
                ..Collection::default()
            };
            assert!(collection.to_json().is_err(), "{place}");
        }
    }
}
