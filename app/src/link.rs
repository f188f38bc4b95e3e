//! The link to what is seen: told to whoever keeps the page's address, whenever the view has changed and stands still.
//!
//! A view that is just as it was opened is not told: an address that a person typed stays as it was typed.

/// Seconds for which a view stands still before its link is told: browsers refuse an address that changes with every key.
const STILL_SECONDS: f64 = 0.3;

/// The keys and values of a link.
pub type Pairs = Vec<(&'static str, String)>;

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
