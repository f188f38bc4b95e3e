//! Where a person has been: views one after another, to go back to and forward again.

use crate::options::StartupOptions;

/// Seconds for which a view stands still before it counts as a place to come back to.
const STILL_SECONDS: f64 = 0.4;
/// Places that are remembered.
const MOST: usize = 200;

/// The places before and after the present one.
#[derive(Debug, Default)]
pub struct History {
    past: Vec<StartupOptions>,
    present: Option<StartupOptions>,
    future: Vec<StartupOptions>,
    waiting: Option<(StartupOptions, f64)>,
}

impl History {
    /// Looks at what is seen now, in seconds; gives how long it has to stand still yet to be remembered.
    pub fn follow(&mut self, now: f64, seen: StartupOptions) -> Option<f64> {
        if self.present.is_none() {
            self.present = Some(seen);
            return None;
        }
        if self.present.as_ref().is_some_and(|present| same_place(present, &seen)) {
            // What was opened meanwhile, or the theme, is no other place.
            self.present = Some(seen);
            self.waiting = None;
            return None;
        }
        let since = match &self.waiting {
            Some((waiting, since)) if *waiting == seen => *since,
            _ => now,
        };
        let left = since + STILL_SECONDS - now;
        if left > 0.0 {
            self.waiting = Some((seen, since));
            return Some(left);
        }
        self.waiting = None;
        self.past.extend(self.present.replace(seen));
        if self.past.len() > MOST {
            self.past.remove(0);
        }
        self.future.clear();
        None
    }

    /// Goes one place back, from what is seen now.
    pub fn back(&mut self, seen: StartupOptions) -> Option<StartupOptions> {
        // A place that has not stood still yet is one to come back to all the same.
        let waited = self.waiting.take().is_some();
        let target = if waited { self.present.clone() } else { self.past.pop() }?;
        self.future.push(seen);
        self.present = Some(target.clone());
        Some(target)
    }

    /// Goes one place forward, from what is seen now.
    pub fn forward(&mut self, seen: StartupOptions) -> Option<StartupOptions> {
        let target = self.future.pop()?;
        self.past.push(seen);
        self.present = Some(target.clone());
        self.waiting = None;
        Some(target)
    }

    /// Whether there is a place to go back to, and one to go forward to.
    pub fn ways(&self) -> [bool; 2] {
        [!self.past.is_empty() || self.waiting.is_some(), !self.future.is_empty()]
    }
}

/// Whether two looks are the same place.
fn same_place(a: &StartupOptions, b: &StartupOptions) -> bool {
    let place = |options: &StartupOptions| StartupOptions {
        studies: Vec::new(),
        theme: None,
        embed: false,
        ..options.clone()
    };
    place(a) == place(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(view: &str) -> StartupOptions {
        StartupOptions {
            view: Some(view.into()),
            ..StartupOptions::default()
        }
    }

    #[test]
    fn one_goes_back_and_forward_through_places_that_stood_still() {
        let mut history = History::default();
        assert_eq!(history.follow(0.0, at("a")), None);
        assert!(history.follow(1.0, at("b")).is_some());
        assert!(history.follow(1.2, at("c")).is_some(), "b was only passed");
        assert_eq!(history.follow(2.0, at("c")), None);
        assert!(history.follow(3.0, at("d")).is_some());
        assert_eq!(history.follow(4.0, at("d")), None);
        assert_eq!(history.ways(), [true, false]);
        assert_eq!(history.back(at("d")), Some(at("c")));
        assert_eq!(history.back(at("c")), Some(at("a")));
        assert_eq!(history.back(at("a")), None);
        assert_eq!(history.forward(at("a")), Some(at("c")));
        assert!(history.follow(9.0, at("e")).is_some());
        assert_eq!(history.follow(10.0, at("e")), None);
        assert_eq!(history.forward(at("e")), None, "a new place ends the way forward");
        assert_eq!(history.back(at("e")), Some(at("c")));
    }

    #[test]
    fn a_place_that_was_just_left_is_one_to_come_back_to() {
        let mut history = History::default();
        history.follow(0.0, at("a"));
        history.follow(1.0, at("b"));
        assert_eq!(history.back(at("b")), Some(at("a")));
        assert_eq!(history.forward(at("a")), Some(at("b")));
    }

    #[test]
    fn what_is_open_and_the_theme_are_no_places() {
        let mut history = History::default();
        history.follow(0.0, at("a"));
        let other = StartupOptions {
            studies: vec!["s".into()],
            ..at("a")
        };
        assert_eq!(history.follow(1.0, other), None);
        assert_eq!(history.ways(), [false, false]);
    }
}
