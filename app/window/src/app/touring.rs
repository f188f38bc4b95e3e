//! The tour: going from stop to stop, and writing them.

use std::collections::BTreeMap;

use cruxscope_selectors::status;
use cruxscope_study::{COLLECTION_FILE, COLLECTION_SCHEMA, Collection, TourStop};
use egui::Context;

use super::CruxscopeApp;
use crate::action::Action;
use crate::library::OpenCollection;
use crate::link::PLACES;
use crate::open;
use crate::options::StartupOptions;

/// The keys that a stop leaves to whoever looks.
const LEFT_OUT: [&str; 4] = ["study", "theme", "embed", "stop"];

impl CruxscopeApp {
    /// Number of stops.
    pub(super) fn stops(&self) -> usize {
        self.library.collection.as_ref().map_or(0, |open| open.collection.tour.len())
    }

    /// Whether the words of a stop are being written.
    pub(super) fn editing(&self) -> bool {
        self.state.editing
    }

    /// Shows a stop, or leaves the tour.
    pub(super) fn go_to_stop(&mut self, stop: Option<usize>) {
        let seen = stop.and_then(|stop| Some(self.library.collection.as_ref()?.collection.tour.get(stop)?.seen.clone()));
        let Some(seen) = seen else {
            self.state.stop = None;
            return;
        };
        self.look(seen, &format!("stop {} of the tour", stop.map_or(0, |stop| stop + 1)));
        self.state.stop = stop;
    }

    /// Shows what a set of keys and values names; places may be named as in the collection.
    pub(super) fn look(&mut self, seen: BTreeMap<String, String>, what: &str) {
        let pairs: Vec<(String, String)> = seen
            .into_iter()
            .map(|(key, value)| {
                let place = PLACES.contains(&key.as_str()) && value != "published";
                let value = if place {
                    self.library.within_collection(&value).unwrap_or(value)
                } else {
                    value
                };
                // A stop has one study that is on, however it was named.
                (if key == "study" { "show".to_owned() } else { key }, value)
            })
            .collect();
        let (options, complaints) = StartupOptions::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        for complaint in complaints {
            log::warn!("{what}: {complaint}");
        }
        self.show(&options);
    }

    /// What is seen now, as a stop keeps it: places as they are named in the collection.
    fn seen(&self) -> BTreeMap<String, String> {
        let pairs = self.options().to_pairs();
        let names: Vec<(String, String)> = match &self.library.collection {
            Some(open) => (open.collection.studies.iter().chain(&open.collection.results))
                .map(|entry| (open::within(&open.place, entry), entry.clone()))
                .collect(),
            None => Vec::new(),
        };
        let named = |key: &str, value: String| {
            let known = names.iter().find(|(place, _)| PLACES.contains(&key) && *place == value);
            known.map_or(value, |(_, entry)| entry.clone())
        };
        pairs
            .into_iter()
            .filter(|(key, _)| !LEFT_OUT.contains(key))
            .map(|(key, value)| (key.to_owned(), named(key, value)))
            .collect()
    }

    /// Writes the tour as an action asks.
    pub(super) fn author(&mut self, context: &Context, action: &Action) {
        let seen = self.seen();
        if *action == Action::AddStop && self.library.collection.is_none() {
            self.found_collection();
        }
        let title = match (self.library.studies.get(self.state.active), self.state.view.is_of_results()) {
            (Some(open), false) => format!("{}: {}", self.state.view.title(), status::title(&open.study)),
            _ => self.state.view.title().to_owned(),
        };
        let Some(open) = &mut self.library.collection else { return };
        let tour = &mut open.collection.tour;
        match action {
            Action::AddStop => {
                let at = self.state.stop.map_or(tour.len(), |stop| (stop + 1).min(tour.len()));
                tour.insert(
                    at,
                    TourStop {
                        title,
                        caption: String::new(),
                        seen,
                        ..TourStop::default()
                    },
                );
                self.state.stop = Some(at);
                self.state.editing = true;
            }
            Action::EditStop(stop, title, caption, notes) => {
                if let Some(stop) = tour.get_mut(*stop) {
                    stop.title.clone_from(title);
                    stop.caption.clone_from(caption);
                    stop.notes.clone_from(notes);
                }
            }
            Action::AimStop(stop) => {
                if let Some(stop) = tour.get_mut(*stop) {
                    stop.seen = seen;
                    self.note(context, "The stop shows what is seen now".to_owned());
                }
            }
            Action::RemoveStop(stop) if *stop < tour.len() => {
                tour.remove(*stop);
                self.state.stop = (!tour.is_empty()).then(|| (*stop).min(tour.len() - 1));
            }
            Action::SaveTour => match open.collection.to_json() {
                Ok(bytes) => {
                    let beside = self
                        .library
                        .collection
                        .as_ref()
                        .map(|open| open.place.clone())
                        .filter(|place| !place.is_empty());
                    let place = beside.map(|place| open::within(&place, COLLECTION_FILE));
                    open::save(self.library.inbox(), place.as_deref(), COLLECTION_FILE, bytes);
                }
                Err(error) => self.note(context, error.to_string()),
            },
            _ => {}
        }
    }

    /// A collection of what is open, where there is none yet.
    fn found_collection(&mut self) {
        let studies = self.library.places();
        self.library.collection = Some(OpenCollection {
            place: String::new(),
            collection: Collection {
                schema: COLLECTION_SCHEMA,
                title: "Tour".into(),
                studies,
                ..Collection::default()
            },
        });
    }
}
