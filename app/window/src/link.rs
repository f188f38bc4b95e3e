//! The link to what is seen: told to whoever keeps the page's address, whenever the view has changed and stands still.
//!
//! A view that is just as it was opened is not told: an address that a person typed stays as it was typed.
//!
//! A link that is copied is whole: it begins with the address of a page, or with the scheme of windows where no page shows what is
//! open. Whoever reads one gets places that hold where it is read: those of a page are made whole with the page's address.

use cruxscope_study::COLLECTION_FILE;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::options::StartupOptions;

/// Seconds for which a view stands still before its link is told: browsers refuse an address that changes with every key.
const STILL_SECONDS: f64 = 0.3;

/// Everything else is written as `%` and two digits; what stays keeps a path and an address readable.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b':');

/// The keys and values of a link.
pub type Pairs = Vec<(&'static str, String)>;

/// The scheme of links to what no page shows: a window reads them, and a page that holds studies of the same names.
pub const SCHEME: &str = "cruxscope:";

/// The keys whose values are places.
pub const PLACES: [&str; 5] = ["study", "show", "from", "to", "results"];

/// The results that every program carries, which are at no place.
const CARRIED: &str = "published";

/// What stands after an address: its fragment.
pub fn text(pairs: &[(&'static str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, KEPT))).collect();
    format!("#{}", pairs.join("&"))
}

/// A whole link that can be sent to somebody: the address of `page` and what is seen there; where there is no page, the scheme of
/// windows. Places under the page are named from there.
pub fn whole(page: Option<&str>, pairs: &[(&'static str, String)]) -> String {
    let Some(page) = page else { return format!("{SCHEME}{}", text(pairs)) };
    let page = page.split('#').next().unwrap_or(page);
    let folder = folder_of(page);
    let under = |(key, value): &(&'static str, String)| {
        let short = value.strip_prefix(folder).filter(|rest| PLACES.contains(key) && !rest.is_empty());
        (*key, short.unwrap_or(value).to_owned())
    };
    format!("{page}{}", text(&pairs.iter().map(under).collect::<Vec<_>>()))
}

/// The page that shows what lies at an address, by the layout of published sites: studies lie in a folder `studies` beside it.
pub fn page_of(place: &str) -> Option<&str> {
    let end = place.find("/studies/")? + 1;
    is_web(place).then(|| &place[..end])
}

/// The keys and values of a link, be it a whole address or only what stands after its `#` or `?`. Places that are named from a page
/// are made whole.
pub fn read(text: &str) -> Vec<(String, String)> {
    let text = text.trim();
    let (address, tail) = text.split_once('#').or_else(|| text.split_once('?')).unwrap_or(("", text));
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (decode(key), decode(value));
        let place = is_web(address) && PLACES.contains(&key.as_str()) && value != CARRIED;
        let value = if place { resolved(address, &value) } else { value };
        (key, value)
    };
    let mut pairs: Vec<(String, String)> = tail.split('&').filter(|part| !part.is_empty()).map(pair).collect();
    // A page shows the studies that it was published with where its link names none.
    let opens = |(key, _): &(String, String)| ["study", "show", "from", "to"].contains(&key.as_str());
    if is_web(address) && pairs.iter().any(is_known) && !pairs.iter().any(opens) {
        pairs.push(("study".to_owned(), format!("{}studies/{COLLECTION_FILE}", folder_of(address))));
    }
    pairs
}

fn is_known((key, _): &(String, String)) -> bool {
    StartupOptions::KEYS.contains(&key.as_str())
}

/// Whether a text is a link to something that is seen, rather than any other text.
pub fn is_link(text: &str) -> bool {
    let text = text.trim();
    let begins = is_web(text) || text.starts_with(SCHEME) || text.starts_with('#');
    begins && text.contains(['#', '?']) && read(text).iter().any(is_known)
}

/// Whether a text begins with the address of a server.
pub fn is_web(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// The folder of a page, with its slash.
fn folder_of(page: &str) -> &str {
    let path = page.split(['?', '#']).next().unwrap_or(page);
    let host = path.find("://").map_or(0, |at| at + 3);
    path.rfind('/').filter(|at| *at >= host).map_or(path, |at| &path[..=at])
}

/// A place that is named from a page, as a whole address.
fn resolved(page: &str, place: &str) -> String {
    if is_web(place) || place.is_empty() {
        return place.to_owned();
    }
    let folder = folder_of(page);
    let host = folder.find("://").map_or(0, |at| at + 3);
    let origin = folder[host..].find('/').map_or(folder, |at| &folder[..host + at]);
    match place.strip_prefix('/') {
        Some(rest) => format!("{origin}/{rest}"),
        None => {
            let slash = if folder.ends_with('/') { "" } else { "/" };
            format!("{folder}{slash}{}", place.strip_prefix("./").unwrap_or(place))
        }
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// Whoever is told.
type Tell = Box<dyn FnMut(&[(&'static str, String)])>;

/// Who is told, what they know, and what is waiting.
pub struct Link {
    tell: Tell,
    told: Option<Pairs>,
    waiting: Option<(Pairs, f64)>,
}

impl Link {
    /// Nothing has been told yet.
    pub fn new(tell: impl FnMut(&[(&'static str, String)]) + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            told: None,
            waiting: None,
        }
    }

    /// Looks at the link as it is now, in seconds; gives how long it has to stand still yet, where it waits to be told.
    pub fn follow(&mut self, now: f64, pairs: Pairs) -> Option<f64> {
        let Some(told) = &self.told else {
            self.told = Some(pairs);
            return None;
        };
        if *told == pairs {
            self.waiting = None;
            return None;
        }
        let since = match &self.waiting {
            Some((waiting, since)) if *waiting == pairs => *since,
            _ => now,
        };
        let left = since + STILL_SECONDS - now;
        if left > 0.0 {
            self.waiting = Some((pairs, since));
            return Some(left);
        }
        self.waiting = None;
        (self.tell)(&pairs);
        self.told = Some(pairs);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_link_is_read_back() {
        let pairs = [("study", "a b/ü&c".to_owned()), ("view", "test-time".to_owned())];
        let link = text(&pairs);
        assert_eq!(link, "#study=a%20b/%C3%BC%26c&view=test-time");
        let expected: Vec<(String, String)> = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        assert_eq!(read(&link), expected);
        let on_a_page = read(&format!("https://x.org/page/{link}"));
        assert_eq!(on_a_page[0].1, "https://x.org/page/a b/ü&c", "a place that is named from the page");
        assert_eq!(on_a_page[1], expected[1]);
        assert_eq!(read("?study=a+b%2")[0].1, "a b%2");
        assert_eq!(read(""), Vec::new());
    }

    #[test]
    fn a_whole_link_has_the_page_s_address_and_leads_to_the_same_places_from_anywhere() {
        let page = "https://x.org/site/index.html?renderer=webgl";
        let pairs = [
            ("study", "https://x.org/site/studies/collection.json".to_owned()),
            ("results", "published".to_owned()),
        ];
        let link = whole(Some(page), &pairs);
        assert_eq!(link, format!("{page}#study=studies/collection.json&results=published"));
        let said: Vec<(String, String)> = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        assert_eq!(read(&link), said);
        // What the page itself copies names its places from the page.
        let copied = whole(Some("https://x.org/site/"), &[("study", "studies/a".to_owned()), ("show", "/b".to_owned())]);
        assert_eq!(copied, "https://x.org/site/#study=studies/a&show=/b");
        assert_eq!(read(&copied)[0].1, "https://x.org/site/studies/a");
        assert_eq!(read(&copied)[1].1, "https://x.org/b");
        assert_eq!(read("https://x.org/site/#view=shift")[1].1, "https://x.org/site/studies/collection.json");
        assert_eq!(read("https://x.org#study=a")[0].1, "https://x.org/a");
        let local = whole(None, &[("study", "/home/me/a".to_owned()), ("view", "shift".to_owned())]);
        assert_eq!(local, "cruxscope:#study=/home/me/a&view=shift");
        assert_eq!(read(&local)[0].1, "/home/me/a");
        assert_eq!(page_of("https://x.org/site/studies/a"), Some("https://x.org/site/"));
        assert_eq!((page_of("/home/me/studies/a"), page_of("https://x.org/a")), (None, None));
        for (text, expected) in [
            (link.as_str(), true),
            (local.as_str(), true),
            ("#view=shift", true),
            ("https://x.org/?study=a", true),
            ("https://x.org/#top", false),
            ("6_gate", false),
            ("what is view=shift?", false),
        ] {
            assert_eq!(is_link(text), expected, "{text}");
        }
    }

    #[test]
    fn only_a_view_that_changed_and_stands_still_is_told() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let into = told.clone();
        let mut link = Link::new(move |pairs: &[(&'static str, String)]| into.borrow_mut().push(pairs[0].1.clone()));
        let at = |value: &str| vec![("scale", value.to_owned())];
        assert_eq!(link.follow(0.0, at("log")), None);
        assert_eq!(link.follow(9.0, at("log")), None, "as it was opened");
        assert!(link.follow(10.0, at("rank")).is_some());
        assert!(link.follow(10.2, at("linear")).is_some());
        assert!(link.follow(10.4, at("linear")).is_some(), "it has not stood still for long enough");
        assert_eq!(link.follow(10.6, at("linear")), None);
        assert_eq!(link.follow(20.0, at("linear")), None);
        assert!(link.follow(21.0, at("rank")).is_some());
        assert_eq!(link.follow(21.1, at("linear")), None, "changed back in time");
        assert_eq!(link.follow(30.0, at("linear")), None);
        assert_eq!(*told.borrow(), ["linear"]);
    }
}
