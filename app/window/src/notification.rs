//! What whoever shows the app is told besides its link: words that a canvas cannot say, and when there is something to see.

use crate::open::Problem;

/// Frames after which a figure that was drawn is on screen.
const FRAMES: u8 = 2;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The problems that are shown now, each in one sentence or more; none any more where it is empty.
    Problems(Vec<String>),
    /// The first figure is on screen.
    FigureSeen,
}

/// Who is told, and what they know.
pub struct Listener {
    tell: Box<dyn FnMut(Notification)>,
    problems: Vec<String>,
    frames: u8,
}

impl Listener {
    /// Nothing has been told yet.
    pub fn new(tell: impl FnMut(Notification) + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            problems: Vec::new(),
            frames: 0,
        }
    }

    /// Looks at what a frame showed; gives whether another frame is wanted.
    pub fn follow(&mut self, problems: &[Problem], has_figure: bool) -> bool {
        if problems.len() != self.problems.len() {
            self.problems = problems.iter().map(Problem::words).collect();
            (self.tell)(Notification::Problems(self.problems.clone()));
        }
        if !has_figure || self.frames >= FRAMES {
            return false;
        }
        self.frames += 1;
        if self.frames == FRAMES {
            (self.tell)(Notification::FigureSeen);
        }
        self.frames < FRAMES
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn problems_are_told_when_they_change_and_the_first_figure_once() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let into = told.clone();
        let mut listener = Listener::new(move |what| into.borrow_mut().push(what));
        let problem = Problem {
            attempted: "Could not open it".into(),
            why: "it is not there".into(),
            advice: "Look elsewhere.".into(),
        };
        assert!(!listener.follow(&[], false));
        assert!(!listener.follow(std::slice::from_ref(&problem), false));
        assert!(!listener.follow(std::slice::from_ref(&problem), false));
        assert!(listener.follow(&[], true));
        assert!(!listener.follow(&[], true));
        assert!(!listener.follow(&[], true));
        let words = "Could not open it. it is not there Look elsewhere.".to_owned();
        assert_eq!(
            *told.borrow(),
            [Notification::Problems(vec![words]), Notification::Problems(vec![]), Notification::FigureSeen]
        );
    }
}
