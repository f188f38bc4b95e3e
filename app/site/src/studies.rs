//! What a page shows: studies, results and the tour through them, checked before they are published and copied file by file.
//!
//! Only what a manifest names or the program knows is copied, so that notes lying beside a study are not published by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cruxscope_study::{
    COLLECTION_FILE, COLLECTION_SCHEMA, COMPRESSION_FILE, Collection, DIVERGENCE_FILE, LEDGER_FILE, MANIFEST_FILE, RESULTS_FILE, Results, SENSITIVITY_FILE,
    Study, StudyError, TRIAL_FILE, TourStop, VALIDATION_FILE,
};

use crate::SiteError;

/// The folder of all studies within a page.
pub const FOLDER: &str = "studies";
/// Keys of a stop of a tour whose values are places.
const PLACES: [&str; 4] = ["study", "from", "to", "results"];

/// A study that goes into the page.
pub struct PublishedStudy {
    /// Its folder's name in the page, made of letters, digits and hyphens.
    pub slug: String,
    /// The folder it comes from.
    pub source: PathBuf,
    /// The study, whole and checked.
    pub study: Study,
}

impl PublishedStudy {
    /// Its address within the page, such as `studies/smollm2`.
    pub fn address(&self) -> String {
        format!("{FOLDER}/{}", self.slug)
    }

    /// The title, or the slug where there is none.
    pub fn title(&self) -> &str {
        let title = self.study.manifest.title.trim();
        if title.is_empty() { &self.slug } else { title }
    }
}

/// Results that go into the page.
pub struct PublishedResults {
    /// Their folder's name in the page.
    pub slug: String,
    /// The results, checked.
    pub results: Results,
}

impl PublishedResults {
    /// Their address within the page.
    pub fn address(&self) -> String {
        format!("{FOLDER}/{}/{RESULTS_FILE}", self.slug)
    }

    /// The title, or the slug where there is none.
    pub fn title(&self) -> &str {
        let title = self.results.title.trim();
        if title.is_empty() { &self.slug } else { title }
    }
}

/// A figure that was drawn for the page, with its numbers as a table.
pub struct PublishedFigure {
    /// Its files' name in the page.
    pub slug: String,
    /// Its title, as plain text.
    pub title: String,
    /// What it shows, as plain text.
    pub description: String,
    /// The keys and values by which the view opens on it.
    pub link: Vec<(String, String)>,
    /// The drawing, as SVG.
    pub svg: String,
    /// All numbers, as comma-separated values.
    pub csv: String,
    /// The numbers as a table of HTML, escaped.
    pub table: String,
}

/// All that a page shows, in the order in which it was given.
#[derive(Default)]
pub struct Studies {
    /// The studies.
    pub studies: Vec<PublishedStudy>,
    /// The results.
    pub results: Vec<PublishedResults>,
    /// The title of the collection, where there is one.
    pub title: String,
    /// The tour, its places being those in the page.
    pub tour: Vec<TourStop>,
    taken: BTreeSet<String>,
}

impl Studies {
    /// Loads and checks what lies at the places: studies, results and collections, by their folder or their file.
    ///
    /// # Errors
    /// When one of them cannot be loaded, or there is nothing.
    pub fn load(places: &[PathBuf]) -> Result<Self, SiteError> {
        let mut studies = Self::default();
        for place in places {
            let named = |file: &str| place.file_name().is_some_and(|name| name == file);
            if named(COLLECTION_FILE) || !named(RESULTS_FILE) && !is_study(place) && place.join(COLLECTION_FILE).is_file() {
                studies.add_collection(place)?;
            } else if named(RESULTS_FILE) || !is_study(place) && place.join(RESULTS_FILE).is_file() {
                studies.add_results(place)?;
            } else {
                studies.add_study(place)?;
            }
        }
        Ok(studies)
    }

    fn add_study(&mut self, place: &Path) -> Result<String, SiteError> {
        let study = cruxscope_study::folder::load(place).map_err(|source| SiteError::Study {
            path: place.to_owned(),
            source,
        })?;
        let source = folder_of(place, MANIFEST_FILE);
        let slug = self.slug_for(&source, "study");
        self.studies.push(PublishedStudy {
            slug: slug.clone(),
            source,
            study,
        });
        Ok(slug)
    }

    fn add_results(&mut self, place: &Path) -> Result<String, SiteError> {
        let folder = folder_of(place, RESULTS_FILE);
        let bytes = read(&folder.join(RESULTS_FILE))?;
        let results = Results::from_json(&bytes).map_err(|source| SiteError::Study {
            path: place.to_owned(),
            source,
        })?;
        let slug = self.slug_for(&folder, "results");
        self.results.push(PublishedResults { slug: slug.clone(), results });
        Ok(format!("{slug}/{RESULTS_FILE}"))
    }

    /// Adds what a collection holds; places in its tour become those in the page.
    fn add_collection(&mut self, place: &Path) -> Result<(), SiteError> {
        let folder = folder_of(place, COLLECTION_FILE);
        let bytes = read(&folder.join(COLLECTION_FILE))?;
        let collection = Collection::from_json(&bytes).map_err(|source| SiteError::Study {
            path: place.to_owned(),
            source,
        })?;
        let mut moved = BTreeMap::new();
        for entry in &collection.studies {
            moved.insert(entry.clone(), self.add_study(&folder.join(entry))?);
        }
        for entry in &collection.results {
            moved.insert(entry.clone(), self.add_results(&folder.join(entry))?);
        }
        for stop in collection.tour {
            let seen = stop.seen.into_iter().map(|(key, value)| {
                let place = PLACES.contains(&key.as_str()).then(|| moved.get(&value).cloned()).flatten();
                (key, place.unwrap_or(value))
            });
            self.tour.push(TourStop { seen: seen.collect(), ..stop });
        }
        if self.title.is_empty() {
            self.title = collection.title;
        }
        Ok(())
    }

    /// A slug for a folder that nobody has taken yet.
    fn slug_for(&mut self, folder: &Path, otherwise: &str) -> String {
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        free_slug(&real.file_name().unwrap_or_default().to_string_lossy(), otherwise, &mut self.taken)
    }

    /// The address that the page opens where its own address names none: the one study, or the collection of all.
    pub fn address(&self) -> String {
        match (self.studies.as_slice(), self.results.as_slice(), self.tour.as_slice()) {
            ([], [], _) => String::new(),
            ([only], [], []) => only.address(),
            _ => format!("{FOLDER}/{COLLECTION_FILE}"),
        }
    }

    /// The collection of everything in the page; nothing where one study stands for itself.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn collection(&self) -> Result<Option<Vec<u8>>, SiteError> {
        if !self.address().ends_with(COLLECTION_FILE) {
            return Ok(None);
        }
        let collection = Collection {
            schema: COLLECTION_SCHEMA,
            title: self.title.clone(),
            studies: self.studies.iter().map(|study| study.slug.clone()).collect(),
            results: self.results.iter().map(|results| format!("{}/{RESULTS_FILE}", results.slug)).collect(),
            tour: self.tour.clone(),
            ..Collection::default()
        };
        let bytes = collection.to_json().map_err(|source: StudyError| SiteError::Study {
            path: COLLECTION_FILE.into(),
            source,
        })?;
        Ok(Some(bytes))
    }

    /// Copies all files into the page.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub(crate) fn copy(&self, site: &Path) -> Result<(), SiteError> {
        for published in &self.studies {
            copy(published, site)?;
        }
        for published in &self.results {
            let path = site.join(published.address());
            let folder = path.parent().unwrap_or(site);
            fs::create_dir_all(folder).map_err(SiteError::io("make", folder))?;
            let bytes = published.results.to_json().map_err(|source| SiteError::Study { path: path.clone(), source })?;
            fs::write(&path, bytes).map_err(SiteError::io("write", &path))?;
        }
        Ok(())
    }
}

fn is_study(place: &Path) -> bool {
    place.file_name().is_some_and(|name| name == MANIFEST_FILE) || place.join(MANIFEST_FILE).is_file()
}

/// The folder that a place means, which may name the file in it.
fn folder_of(place: &Path, file: &str) -> PathBuf {
    match place.file_name() {
        Some(name) if name == file => place
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
            .to_owned(),
        _ => place.to_owned(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SiteError> {
    fs::read(path).map_err(SiteError::io("read", path))
}

/// A slug for `name` that nobody has taken yet.
pub(crate) fn free_slug(name: &str, otherwise: &str, taken: &mut BTreeSet<String>) -> String {
    let words: Vec<String> = name
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let base = if words.is_empty() { otherwise.to_owned() } else { words.join("-") };
    let mut slug = base.clone();
    let mut number = 2;
    while !taken.insert(slug.clone()) {
        slug = format!("{base}-{number}");
        number += 1;
    }
    slug
}

/// Copies the files of a study into the page: those that its manifest names, and what the program leaves beside it.
fn copy(published: &PublishedStudy, site: &Path) -> Result<(), SiteError> {
    let folder = site.join(published.address());
    fs::create_dir_all(&folder).map_err(SiteError::io("make", &folder))?;
    let manifest = &published.study.manifest;
    let named = manifest.arrays.iter().chain(manifest.traces.iter().map(|trace| &trace.file));
    let beside = [VALIDATION_FILE, COMPRESSION_FILE, SENSITIVITY_FILE, TRIAL_FILE, LEDGER_FILE, DIVERGENCE_FILE]
        .into_iter()
        .filter(|name| published.source.join(name).is_file());
    for name in named.map(|entry| entry.file.as_str()).chain(beside).chain([MANIFEST_FILE]) {
        let from = published.source.join(name);
        fs::copy(&from, folder.join(name)).map_err(SiteError::io("copy", from))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::study;

    #[test]
    fn slugs_are_safe_in_an_address_and_never_clash() {
        let mut taken = BTreeSet::new();
        let slugs = ["SmolLM2 (4-bit)", "smollm2_4_bit", "../..", "研究", "SmolLM2 (4-bit)"].map(|name| free_slug(name, "study", &mut taken));
        assert_eq!(slugs, ["smollm2-4-bit", "smollm2-4-bit-2", "study", "study-2", "smollm2-4-bit-3"]);
    }

    #[test]
    fn only_files_of_the_study_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("My study");
        cruxscope_study::folder::save(&study("A title"), &source).unwrap();
        fs::write(source.join("notes.txt"), "not for publication").unwrap();
        fs::write(source.join(VALIDATION_FILE), "{}").unwrap();
        let published = Studies::load(&[source.join(MANIFEST_FILE)]).unwrap();
        let site = folder.path().join("site");
        published.copy(&site).unwrap();
        let copied = site.join("studies/my-study");
        assert!(copied.join("importance.safetensors").is_file() && copied.join(VALIDATION_FILE).is_file());
        assert!(!copied.join("notes.txt").exists());
        assert_eq!(cruxscope_study::folder::load(&copied).unwrap(), published.studies[0].study);
        assert_eq!(published.address(), "studies/my-study");
        assert!(published.collection().unwrap().is_none(), "one study stands for itself");
    }

    #[test]
    fn a_collection_keeps_its_tour_on_its_studies() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Base", "deep/Small 3 bit"] {
            cruxscope_study::folder::save(&study(name), &folder.path().join(name)).unwrap();
        }
        let collection = Collection {
            schema: COLLECTION_SCHEMA,
            title: "Both".into(),
            studies: vec!["Base".into(), "deep/Small 3 bit".into()],
            tour: vec![TourStop {
                seen: [("view", "shift"), ("from", "Base"), ("to", "deep/Small 3 bit")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                ..TourStop::default()
            }],
            ..Collection::default()
        };
        fs::write(folder.path().join(COLLECTION_FILE), collection.to_json().unwrap()).unwrap();
        let published = Studies::load(&[folder.path().to_owned()]).unwrap();
        assert_eq!(published.address(), "studies/collection.json");
        let written = Collection::from_json(&published.collection().unwrap().unwrap()).unwrap();
        assert_eq!(written.studies, ["base", "small-3-bit"]);
        let seen = &written.tour[0].seen;
        assert_eq!([&seen["view"], &seen["from"], &seen["to"]], ["shift", "base", "small-3-bit"]);
    }

    #[test]
    fn a_damaged_study_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("damaged");
        cruxscope_study::folder::save(&study("A title"), &source).unwrap();
        fs::write(source.join("importance.safetensors"), b"nonsense").unwrap();
        let error = Studies::load(std::slice::from_ref(&source)).err().unwrap();
        assert!(error.is_user_error());
        let error = error.to_string();
        assert!(error.contains("damaged") && error.contains("importance.safetensors"), "{error}");
    }
}
