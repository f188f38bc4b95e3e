//! What is open: studies, results and the collection they came with, and what is on its way.
//!
//! It knows where everything came from, and begins to read whatever is asked for. It draws nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cruxscope_selectors::results::PUBLISHED;
use cruxscope_study::{COLLECTION_FILE, Collection, MANIFEST_FILE, Results, Study};

use crate::link::is_web;
use crate::open::{self, Delivery, Inbox, Opened, Part, PartState, Problem, Source};
use crate::studies::OpenStudy;

/// Results that are open.
#[derive(Clone, Debug)]
pub struct OpenResults {
    /// Their number; 0 for the published ones that come with the program.
    pub id: usize,
    /// The results.
    pub results: Arc<Results>,
}

/// A collection that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenCollection {
    /// Its path or address.
    pub place: String,
    /// What it holds.
    pub collection: Collection,
}

/// A study or results that have not been fetched yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// The number that it will have.
    pub id: usize,
    /// Its address.
    pub place: String,
    /// Whether it is results.
    pub results: bool,
}

impl Shelved {
    /// What it goes by until its title is known: the last name of its address.
    pub fn name(&self) -> &str {
        let path = self.place.split('?').next().unwrap_or(&self.place).trim_end_matches('/');
        path.rsplit('/').next().unwrap_or(path)
    }
}

/// What came of a frame's deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A study was opened that is to be shown, under this number.
    Study(usize),
    /// Results were opened, at this position.
    Results(usize),
    /// A collection was opened.
    Collection,
    /// Something was saved, in this file.
    Saved(String),
}

/// Everything that is open, and what is on its way.
pub struct Library {
    /// The studies, in the order in which they were asked for.
    pub studies: Vec<OpenStudy>,
    /// The results, likewise; the published ones come last.
    pub results: Vec<OpenResults>,
    /// The collection that was opened last.
    pub collection: Option<OpenCollection>,
    /// What is being opened: the number it will have, and its name.
    pub opening: Vec<(usize, String)>,
    /// What a collection behind an address names and nobody has looked at yet: it is fetched when somebody does.
    pub shelved: Vec<Shelved>,
    /// What could not be opened.
    pub problems: Vec<Problem>,
    /// Paths and addresses of what is open, by number, of what was asked for by one and is not closed.
    places: BTreeMap<usize, String>,
    /// The numbers of what came with a collection, which its own place stands for in a link.
    collected: BTreeSet<usize>,
    /// The place that is to be shown as soon as it is there.
    wanted: Option<String>,
    next_id: usize,
    inbox: Inbox,
}

impl Library {
    /// With nothing open but the published results.
    pub fn new(inbox: Inbox) -> Self {
        // The file is written by this program and checked by a test; a damaged one would only be missing here.
        let published = Results::from_json(PUBLISHED).ok().map(|results| OpenResults {
            id: 0,
            results: Arc::new(results),
        });
        Self {
            studies: Vec::new(),
            results: published.into_iter().collect(),
            collection: None,
            opening: Vec::new(),
            shelved: Vec::new(),
            problems: Vec::new(),
            places: BTreeMap::new(),
            collected: BTreeSet::new(),
            wanted: None,
            next_id: 0,
            inbox,
        }
    }

    /// Where openings are delivered.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn new_id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }

    /// Opens a study that is in memory; gives its position.
    pub fn add(&mut self, study: Study, source: Source) -> usize {
        let id = self.new_id();
        self.add_as(id, study, source)
    }

    /// Opens a study under the number it got when it was asked for: studies stand in the order in which they were asked for,
    /// whichever arrives first.
    fn add_as(&mut self, id: usize, study: Study, source: Source) -> usize {
        let open = OpenStudy::new(id, study, source);
        let position = self.studies.partition_point(|other| other.id < id);
        self.studies.insert(position, open);
        position
    }

    /// Begins to open a path or an address.
    pub fn begin(&mut self, place: &str) -> usize {
        let id = self.new_id();
        self.opening.push((id, place.to_owned()));
        self.places.insert(id, place.to_owned());
        open::open(&self.inbox, place);
        id
    }

    /// Leaves a study or results for later.
    fn shelve(&mut self, place: String, results: bool) -> usize {
        let id = self.new_id();
        self.places.insert(id, place.clone());
        self.shelved.push(Shelved { id, place, results });
        id
    }

    /// Begins to open what was dropped.
    pub fn drop_in(&mut self, files: Vec<egui::DroppedFileHandle>) {
        for name in open::dropped(&self.inbox, files) {
            let id = self.new_id();
            self.opening.push((id, name));
        }
    }

    /// The number of what is at a place, which begins to be opened if it was not asked for before.
    pub fn opened_from(&mut self, place: &str) -> usize {
        match self.number_of(place) {
            Some(id) => {
                self.fetch(id);
                id
            }
            None => self.begin(place),
        }
    }

    /// Begins to fetch what was left for later, by its number.
    pub fn fetch(&mut self, id: usize) {
        if let Some(at) = self.shelved.iter().position(|shelved| shelved.id == id) {
            let shelved = self.shelved.remove(at);
            self.opening.push((id, shelved.place.clone()));
            open::open(&self.inbox, &shelved.place);
        }
    }

    /// Begins to fetch what was left for later: all results, or all studies.
    pub fn fetch_all(&mut self, results: bool) {
        let ids: Vec<usize> = self
            .shelved
            .iter()
            .filter(|shelved| shelved.results == results)
            .map(|shelved| shelved.id)
            .collect();
        for id in ids {
            self.fetch(id);
        }
    }

    /// Begins to fetch the first study that was left for later.
    pub fn fetch_first(&mut self) {
        if let Some(id) = self.shelved.iter().find(|shelved| !shelved.results).map(|shelved| shelved.id) {
            self.fetch(id);
        }
    }

    /// The number of what was opened from a place.
    pub fn number_of(&self, place: &str) -> Option<usize> {
        self.places.iter().find(|(_, known)| *known == place).map(|(id, _)| *id)
    }

    /// Whether a place of a link may be tried as it is. A page reaches no path of the machine that a window's link comes from.
    pub fn can_reach(&self, place: &str, of_a_window: bool) -> bool {
        let known = self.number_of(place).is_some() || self.collection.as_ref().is_some_and(|open| open.place == place);
        known
            || place == "published"
            || is_web(place)
            || if cfg!(target_arch = "wasm32") {
                !of_a_window
            } else {
                std::path::Path::new(place).exists()
            }
    }

    /// The place of what is open under the last name of another place.
    pub fn named_alike(&self, place: &str) -> Option<String> {
        let name = |place: &str| {
            let path = place.split('?').next().unwrap_or(place);
            let path = [MANIFEST_FILE, COLLECTION_FILE].iter().find_map(|file| path.strip_suffix(file)).unwrap_or(path);
            path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
        };
        let wanted = name(place);
        let alike = self.places.values().find(|known| name(known) == wanted && !wanted.is_empty());
        alike.cloned()
    }

    /// The place that a number was opened from.
    pub fn place_of(&self, id: usize) -> Option<&String> {
        self.places.get(&id)
    }

    /// Shows the study at a place as soon as it is there; gives its position where it is there already.
    pub fn want(&mut self, place: &str) -> Option<usize> {
        let id = self.opened_from(place);
        let position = self.studies.iter().position(|open| open.id == id);
        self.wanted = position.is_none().then(|| place.to_owned());
        position
    }

    /// The places that lead to all that is open: a collection stands for what came with it.
    pub fn places(&self) -> Vec<String> {
        let collection = self.collection.as_ref().map(|open| open.place.clone());
        let others = self
            .places
            .iter()
            .filter(|(id, _)| !self.collected.contains(id))
            .map(|(_, place)| place.clone());
        collection.into_iter().chain(others).collect()
    }

    /// The place of a folder or file of the open collection.
    pub fn within_collection(&self, entry: &str) -> Option<String> {
        self.collection.as_ref().map(|open| open::within(&open.place, entry))
    }

    /// Takes in what has arrived.
    pub fn receive(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        for delivery in self.inbox.take() {
            match delivery {
                Delivery::Part { study, part, state } => {
                    if let Some(open) = self.studies.iter_mut().find(|open| open.id == study) {
                        open.receive(part, state);
                    }
                }
                Delivery::Saved(saved) => match saved.outcome {
                    Ok(()) => news.push(News::Saved(saved.name)),
                    Err(why) => self.problems.push(Problem {
                        attempted: format!("Could not save {}", saved.name),
                        why,
                        advice: "Choose another folder, or make room on the disk.".to_owned(),
                    }),
                },
                Delivery::Opened { name, outcome } => {
                    let awaited = self.opening.iter().position(|(_, opening)| *opening == name);
                    let id = awaited.map(|position| self.opening.remove(position).0);
                    match outcome {
                        Some(Ok(opened)) => news.extend(self.take_in(id, &name, opened)),
                        Some(Err(problem)) => {
                            log::warn!("{}: {}", problem.attempted, problem.why);
                            self.problems.push(problem);
                        }
                        None => {}
                    }
                }
            }
        }
        if self.opening.is_empty() {
            self.wanted = None;
        }
        news
    }

    fn take_in(&mut self, id: Option<usize>, name: &str, opened: Opened) -> Option<News> {
        let id = id.unwrap_or_else(|| self.new_id());
        match opened {
            Opened::Study(study, source) => {
                self.add_as(id, *study, source);
                let quiet = match &self.wanted {
                    Some(wanted) => self.places.get(&id) != Some(wanted),
                    // Of a collection's studies the first one is shown, however late it comes.
                    None if self.collected.contains(&id) => self.collected.first() != Some(&id),
                    // Of the others the one that was asked for last, whichever comes last.
                    None => self.studies.iter().any(|open| open.id > id && !self.collected.contains(&open.id)),
                };
                (!quiet).then_some(News::Study(id))
            }
            Opened::Results(results) => {
                let open = OpenResults {
                    id,
                    results: Arc::new(results),
                };
                let position = self.results.partition_point(|other| other.id != 0 && other.id < id);
                self.results.insert(position, open);
                Some(News::Results(position))
            }
            Opened::Collection(collection) => {
                // The collection's place stands for it; nothing of its own is in the list of places.
                self.places.remove(&id);
                self.collected.clear();
                // Behind an address everything is a wait, and most of it nobody looks at.
                let later = cfg!(target_arch = "wasm32") || is_web(name);
                let studies = collection.studies.iter().map(|entry| (entry, false));
                for (entry, results) in studies.chain(collection.results.iter().map(|entry| (entry, true))) {
                    let place = open::within(name, entry);
                    if self.number_of(&place).is_some() {
                        continue;
                    }
                    let id = if later { self.shelve(place, results) } else { self.begin(&place) };
                    self.collected.insert(id);
                }
                self.collection = Some(OpenCollection {
                    place: name.to_owned(),
                    collection,
                });
                Some(News::Collection)
            }
        }
    }

    /// Begins to read a part of a study, unless it was asked for before.
    pub fn ask(&mut self, position: usize, part: Part) {
        if let Some(open) = self.studies.get_mut(position)
            && open.parts().state(part).is_none()
        {
            open.receive(part, PartState::Asked);
            open::open_part(&self.inbox, open.id, &open.study, open.source(), part);
        }
    }

    /// Closes a study; gives whether there was one.
    pub fn close(&mut self, position: usize) -> bool {
        if position >= self.studies.len() {
            return false;
        }
        let closed = self.studies.remove(position);
        self.places.remove(&closed.id);
        if self.collected.remove(&closed.id) {
            // From here on the collection is not all that is open; its studies stand for themselves.
            self.collected.clear();
            self.collection = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_study::COLLECTION_SCHEMA;

    use super::*;

    #[test]
    fn a_collection_behind_an_address_is_fetched_as_it_is_looked_at() {
        let mut library = Library::new(Inbox::new(egui::Context::default()));
        let collection = Collection {
            schema: COLLECTION_SCHEMA,
            studies: vec!["a".into(), "b".into(), "c".into()],
            results: vec!["results.json".into()],
            ..Collection::default()
        };
        // No such server: what is asked for stays on its way.
        let place = "http://127.0.0.1:9/studies/collection.json";
        let news = library.take_in(None, place, Opened::Collection(collection));
        assert_eq!(news, Some(News::Collection));
        assert!(library.opening.is_empty(), "nothing is fetched that nobody looks at");
        let names: Vec<&str> = library.shelved.iter().map(Shelved::name).collect();
        assert_eq!(names, ["a", "b", "c", "results.json"]);
        assert_eq!(library.places(), [place]);
        library.opened_from("http://127.0.0.1:9/studies/b");
        assert_eq!(library.opening.len(), 1);
        library.fetch_first();
        library.fetch_all(true);
        let left: Vec<&str> = library.shelved.iter().map(Shelved::name).collect();
        assert_eq!(left, ["c"]);
        library.fetch_all(false);
        assert!(library.shelved.is_empty() && library.opening.len() == 4);
    }

    #[test]
    fn of_studies_asked_for_together_the_last_is_shown_whichever_comes_last() {
        let shown = |order: [usize; 3]| {
            let mut library = Library::new(Inbox::new(egui::Context::default()));
            // No such folders: what arrives is given below.
            let ids = ["/no/a", "/no/b", "/no/c"].map(|place| library.begin(place));
            let arrivals = order.map(|at| {
                let study = cruxscope_study::test_data::study(2);
                library.take_in(Some(ids[at]), "", Opened::Study(Box::new(study), Source::Memory))
            });
            let last = arrivals.into_iter().flatten().last();
            (last, ids[2])
        };
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let (last, expected) = shown(order);
            assert_eq!(last, Some(News::Study(expected)), "{order:?}");
        }
    }
}
