//! Places: paths and addresses of studies, and what lies beside them.

use cruxscope_study::{COLLECTION_FILE, MANIFEST_FILE, RESULTS_FILE};

/// The place of a file or folder of the collection at `place`, which names its folder or its `collection.json`.
pub fn within(place: &str, entry: &str) -> String {
    let (path, query) = place.split_once('?').map_or((place, None), |(path, query)| (path, Some(query)));
    let folder = [COLLECTION_FILE, MANIFEST_FILE, RESULTS_FILE]
        .iter()
        .find_map(|name| path.strip_suffix(name).filter(|folder| folder.is_empty() || folder.ends_with(['/', '\\'])))
        .unwrap_or(path);
    let trimmed = folder.trim_end_matches(['/', '\\']);
    let path = match (trimmed, entry) {
        ("", ".") if path.starts_with('/') => "/".to_owned(),
        ("", ".") => ".".to_owned(),
        (_, ".") => trimmed.to_owned(),
        ("", _) if !path.starts_with('/') => entry.to_owned(),
        _ => format!("{trimmed}/{entry}"),
    };
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_lie_beside_their_collection() {
        assert_eq!(within("demo", "distilled"), "demo/distilled");
        assert_eq!(within("demo/collection.json", "distilled"), "demo/distilled");
        assert_eq!(
            within("https://x.org/c/collection.json?v=2", "a/results.json"),
            "https://x.org/c/a/results.json?v=2"
        );
        assert_eq!(within("collection.json", "a"), "a");
        assert_eq!(within("/", "a"), "/a");
        assert_eq!(within("demo/", "."), "demo");
        assert_eq!(within("mycollection.json", "a"), "mycollection.json/a");
    }
}
