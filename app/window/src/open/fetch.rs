//! Studies, results and collections behind an address: the manifest first, then the arrays of importance. Channel maps and traces
//! wait until they are looked at.

use std::sync::Arc;

use cruxscope_study::{ARRAYS_FILE, COLLECTION_FILE, Collection, MANIFEST_FILE, RESULTS_FILE, Results, Study, StudyError};

use super::files::study_from_files;
use super::inbox::{Inbox, Opened};
use super::place::within;
use super::problem::Problem;
use super::source::{Part, Source, part_state};

/// Begins to fetch what lies at an address, which may be relative to the page: a study, results or a collection by the name of their
/// file, or a folder, in which a study is looked for first.
pub fn open_address(inbox: &Inbox, address: &str) {
    let path = address.split('?').next().unwrap_or(address);
    let named = |file: &str| path.strip_suffix(file).is_some_and(|folder| folder.is_empty() || folder.ends_with('/'));
    if named(COLLECTION_FILE) {
        fetch_one(inbox, address, COLLECTION_FILE, None);
    } else if named(RESULTS_FILE) {
        fetch_one(inbox, address, RESULTS_FILE, None);
    } else {
        fetch_study(inbox, address, !named(MANIFEST_FILE));
    }
}

fn fetch_study(inbox: &Inbox, address: &str, is_folder: bool) {
    let (inbox, address) = (inbox.clone(), address.to_owned());
    ehttp::fetch(ehttp::Request::get(within(&address, MANIFEST_FILE)), move |manifest| {
        // A folder without a study may hold a collection, or results alone.
        if is_folder && manifest.as_ref().is_ok_and(|response| response.status == 404) {
            let problem = body(&address, MANIFEST_FILE, manifest).err();
            return fetch_one(&inbox, &address, COLLECTION_FILE, problem);
        }
        let manifest = match body(&address, MANIFEST_FILE, manifest) {
            Ok(bytes) => bytes,
            Err(problem) => return inbox.deliver(&address, Some(Err(problem))),
        };
        ehttp::fetch(ehttp::Request::get(within(&address, ARRAYS_FILE)), move |arrays| {
            let outcome = body(&address, ARRAYS_FILE, arrays).and_then(|arrays| {
                let files = vec![(MANIFEST_FILE.to_owned(), manifest), (ARRAYS_FILE.to_owned(), arrays)];
                match study_from_files(files) {
                    Ok(study) => Ok(Opened::Study(Box::new(study), Source::Address(address.clone()))),
                    Err(problem) => Err(Problem {
                        attempted: format!("Could not open {address}"),
                        ..problem
                    }),
                }
            });
            inbox.deliver(&address, Some(outcome));
        });
    });
}

/// Fetches a collection or results. `before` is why no study was found in the folder, where it was looked for.
fn fetch_one(inbox: &Inbox, address: &str, file: &'static str, before: Option<Problem>) {
    let (inbox, address) = (inbox.clone(), address.to_owned());
    ehttp::fetch(ehttp::Request::get(within(&address, file)), move |response| {
        if let Some(before) = before
            && response.as_ref().is_ok_and(|response| response.status == 404)
        {
            if file == COLLECTION_FILE {
                return fetch_one(&inbox, &address, RESULTS_FILE, Some(before));
            }
            return inbox.deliver(&address, Some(Err(before)));
        }
        let outcome = body(&address, file, response).and_then(|bytes| read(&address, file, &bytes));
        inbox.deliver(&address, Some(outcome));
    });
}

fn read(address: &str, file: &str, bytes: &[u8]) -> Result<Opened, Problem> {
    let read = || -> Result<Opened, StudyError> {
        Ok(if file == COLLECTION_FILE {
            Opened::Collection(Collection::from_json(bytes)?)
        } else {
            Opened::Results(Results::from_json(bytes)?)
        })
    };
    read().map_err(|error| Problem::of_study(address, &error))
}

/// Begins to fetch a part of the study at an address.
pub fn open_part(inbox: &Inbox, number: usize, study: &Arc<Study>, address: &str, file: &str, part: Part) {
    let (inbox, study, file) = (inbox.clone(), Arc::clone(study), file.to_owned());
    ehttp::fetch(ehttp::Request::get(within(address, &file)), move |response| {
        let state = match &response {
            Ok(response) if response.status == 404 => part_state(&study, part, &file, Ok(None)),
            Ok(response) if !response.ok => {
                let why = format!("the server answered {} {}", response.status, response.status_text);
                part_state(&study, part, &file, Err(why))
            }
            Ok(response) => part_state(&study, part, &file, Ok(Some(&response.bytes))),
            Err(error) => part_state(&study, part, &file, Err(error.clone())),
        };
        inbox.deliver_part(number, part, state);
    });
}

fn body(address: &str, file: &str, result: Result<ehttp::Response, String>) -> Result<Vec<u8>, Problem> {
    let problem = |why: String| Problem {
        attempted: format!("Could not open {address}"),
        why,
        advice: "Check the address; it must name the folder that holds study.json, on a server that lets this page read it.".to_owned(),
    };
    match result {
        Err(error) => Err(problem(format!("{file} could not be fetched: {error}"))),
        Ok(response) if !response.ok => Err(problem(format!(
            "{file} could not be fetched: the server answered {} {}",
            response.status, response.status_text
        ))),
        Ok(response) => Ok(response.bytes),
    }
}
