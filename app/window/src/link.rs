//! The link to what is seen: told to whoever keeps the page's address, whenever the view has changed and stands still.
//!
//! A view that is just as it was opened is not told: an address that a person typed stays as it was typed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Seconds for which a view stands still before its link is told: browsers refuse an address that changes with every key.
const STILL_SECONDS: f64 = 0.3;

/// Everything else is written as `%` and two digits; what stays keeps a path and an address readable.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b':');

/// The keys and values of a link.
pub type Pairs = Vec<(&'static str, String)>;

/// A link as a text that can be pasted, after the address of the page or on the command line of the window.
pub fn text(pairs: &[(&'static str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, KEPT))).collect();
    format!("#{}", pairs.join("&"))
}

/// The keys and values of such a text, be it a whole address or only what stands after its `#` or `?`.
pub fn read(text: &str) -> Vec<(String, String)> {
    let text = text.trim();
    let tail = text.split_once('#').or_else(|| text.split_once('?')).map_or(text, |(_, tail)| tail);
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(key), decode(value))
    };
    tail.split('&').filter(|part| !part.is_empty()).map(pair).collect()
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
        assert_eq!(read(&format!("https://x.org/page/{link}")), expected);
        assert_eq!(read("?study=a+b%2")[0].1, "a b%2");
        assert_eq!(read(""), Vec::new());
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
