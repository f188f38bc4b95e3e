//! Jobs that the window starts: planned, queued, monitored, cancelled, and opened when they are done.
//!
//! One job computes at a time; others wait in the queue. Everything long happens on threads, which send messages. What a job does is
//! not known here: a [`JobRunner`] plans and computes it.

mod form;
mod job;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use egui::Context;

use crate::remembered::Remembered;

pub use form::{Field, Form, Method, Stored, Task};
pub use job::{Facts, JobObserver, JobRunner, PlannedJob};

/// The name under which the queue is remembered.
const QUEUE: &str = "queue";

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Its inputs are being read.
    Planning(String),
    /// What it will take; it waits to be started.
    Planned,
    /// It waits for others to finish.
    Waiting,
    /// It computes.
    Running(Status),
    /// It is done.
    Done,
    /// It was interrupted; finished work is kept.
    Cancelled,
    /// The window that it was asked for in was closed before its end; finished work is kept.
    Interrupted,
    /// It failed, and why.
    Failed(String),
}

/// What a run that computes says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Share that is done.
    pub share: f64,
    /// Rate, time left, and what it is at.
    pub text: String,
}

/// One run.
pub struct Run {
    /// Its number.
    pub id: usize,
    /// What it is, in words.
    pub title: String,
    /// How far it is.
    pub state: RunState,
    /// What it will take: label and value.
    pub plan: Vec<(String, String)>,
    /// The folder that it writes.
    pub out: PathBuf,
    /// Whether what it writes can be opened in the window.
    pub opens: bool,
    /// What was filled in, by which it can be asked for again.
    pub form: Form,
    cancel: Arc<AtomicBool>,
    planned: Option<Box<dyn PlannedJob>>,
}

/// What a thread has to say of a run.
enum Message {
    /// A file or folder was chosen for a field of the form.
    Chosen(Field, PathBuf),
    /// The inputs of a run are read.
    Planned(usize, Result<(Box<dyn PlannedJob>, Facts), String>),
    /// What it is at before it is planned.
    Planning(usize, String),
    /// It got further.
    Status(usize, Status),
    /// It is over.
    Over(usize, RunState),
}

/// The form, the runs, and the threads behind them.
pub struct Runs {
    /// The form.
    pub form: Form,
    /// The runs, the newest last.
    pub runs: Vec<Run>,
    runner: Arc<dyn JobRunner>,
    context: Context,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    next: usize,
    remembered: Remembered,
    /// The queue as it was remembered last.
    kept: String,
}

/// What a person asked of the runs.
#[derive(Clone, Debug, PartialEq)]
pub enum RunAction {
    /// Ask for a file or a folder.
    Choose(Field),
    /// Read the inputs of what the form says.
    Plan,
    /// Start a planned run, or put it in line.
    Start(usize),
    /// Stop a run.
    Cancel(usize),
    /// Take a run off the list.
    Forget(usize),
    /// Plan a run anew that was interrupted or failed.
    Again(usize),
    /// Open what a run wrote.
    Open(usize),
}

impl Runs {
    /// Nothing has run yet.
    pub fn new(context: Context, runner: Arc<dyn JobRunner>) -> Self {
        let (sender, receiver) = channel();
        Self {
            form: Form::default(),
            runs: Vec::new(),
            runner,
            context,
            sender,
            receiver,
            next: 0,
            remembered: Remembered::default(),
            kept: String::new(),
        }
    }

    /// The same, with the queue that an earlier window left behind: its runs stand as interrupted, and can be asked for again.
    #[must_use]
    pub fn remembering(mut self, remembered: Remembered) -> Self {
        let left = remembered.read(QUEUE).unwrap_or_default();
        for form in left.lines().filter_map(Form::from_text) {
            self.next += 1;
            self.runs.push(Run {
                state: RunState::Interrupted,
                ..Run::new(self.next, form)
            });
        }
        self.kept = left;
        self.remembered = remembered;
        self
    }

    /// Remembers what is not finished, where that has changed.
    fn remember(&mut self) {
        let unfinished = self.runs.iter().filter(|run| {
            matches!(
                run.state,
                RunState::Planning(_) | RunState::Planned | RunState::Waiting | RunState::Running(_) | RunState::Interrupted
            )
        });
        let queue: String = unfinished.map(|run| run.form.to_text() + "\n").collect();
        if queue != self.kept {
            self.remembered.write(QUEUE, &queue);
            self.kept = queue;
        }
    }

    /// Does what was asked; gives a folder that is to be opened.
    pub fn perform(&mut self, action: &RunAction) -> Option<PathBuf> {
        let folder = self.carry_out(action);
        self.remember();
        folder
    }

    fn carry_out(&mut self, action: &RunAction) -> Option<PathBuf> {
        match action {
            RunAction::Again(id) => {
                let again = self.runs.iter().position(|run| run.id == *id && run.can_be_repeated());
                if let Some(at) = again {
                    let run = self.runs.remove(at);
                    self.plan_form(run.form);
                }
            }
            RunAction::Choose(field) => self.choose(*field),
            RunAction::Plan => self.plan(),
            RunAction::Start(id) => {
                if let Some(run) = self.run_mut(*id).filter(|run| run.state == RunState::Planned) {
                    run.state = RunState::Waiting;
                }
                self.start_next();
            }
            RunAction::Cancel(id) => {
                if let Some(run) = self.run_mut(*id) {
                    run.cancel.store(true, Ordering::SeqCst);
                    // What computes says itself when it has stopped.
                    if matches!(run.state, RunState::Waiting | RunState::Planned) {
                        run.state = RunState::Cancelled;
                    }
                }
            }
            RunAction::Forget(id) => self.runs.retain(|run| run.id != *id || !run.is_over()),
            RunAction::Open(id) => return self.run_mut(*id).map(|run| run.out.clone()),
        }
        None
    }

    /// The run that would be started next by a key: the newest that is planned.
    pub fn newest_planned(&self) -> Option<usize> {
        self.runs.iter().rev().find(|run| run.state == RunState::Planned).map(|run| run.id)
    }

    /// The run that would be stopped by a key: the one that computes.
    pub fn running(&self) -> Option<usize> {
        self.runs.iter().find(|run| matches!(run.state, RunState::Running(_))).map(|run| run.id)
    }

    /// How many are computing or wait.
    pub fn busy(&self) -> usize {
        self.runs
            .iter()
            .filter(|run| matches!(run.state, RunState::Running(_) | RunState::Waiting))
            .count()
    }

    /// Takes in what the threads have said; gives the folders of studies that are done.
    pub fn receive(&mut self) -> Vec<PathBuf> {
        let mut done = Vec::new();
        while let Ok(message) = self.receiver.try_recv() {
            match message {
                Message::Chosen(field, path) => self.form.set(field, path.to_string_lossy().into_owned()),
                Message::Planning(id, text) => {
                    if let Some(run) = self.run_mut(id) {
                        run.state = RunState::Planning(text);
                    }
                }
                Message::Planned(id, outcome) => {
                    if let Some(run) = self.run_mut(id) {
                        (run.state, run.plan, run.planned) = match outcome {
                            Ok((planned, plan)) => (RunState::Planned, plan, Some(planned)),
                            Err(why) => (RunState::Failed(why), Vec::new(), None),
                        };
                    }
                }
                Message::Status(id, status) => {
                    if let Some(run) = self.run_mut(id) {
                        run.state = RunState::Running(status);
                    }
                }
                Message::Over(id, state) => {
                    if let Some(run) = self.run_mut(id) {
                        if state == RunState::Done && run.opens {
                            done.push(run.out.clone());
                        }
                        run.state = state;
                    }
                    self.start_next();
                }
            }
        }
        self.remember();
        done
    }

    fn run_mut(&mut self, id: usize) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.id == id)
    }

    /// Shows the system's dialog on a thread of its own; on macOS dialogs belong to the main thread.
    fn choose(&self, field: Field) {
        let (sender, context) = (self.sender.clone(), self.context.clone());
        let ask = move || {
            let dialog = rfd::FileDialog::new().set_title(field.title());
            let chosen = match field {
                Field::ModelFile | Field::Traces | Field::Annotations | Field::Calibration | Field::Recipe => dialog.pick_file(),
                Field::Model => dialog.pick_folder(),
                Field::Out => dialog.save_file(),
            };
            if let Some(path) = chosen {
                // The window may be gone meanwhile.
                sender.send(Message::Chosen(field, path)).ok();
                context.request_repaint();
            }
        };
        if cfg!(target_os = "macos") {
            ask();
        } else {
            std::thread::spawn(ask);
        }
    }

    /// Reads the inputs of what the form says on a thread, and puts a run on the list.
    pub fn plan(&mut self) {
        self.plan_form(self.form.clone());
    }

    fn plan_form(&mut self, form: Form) {
        self.next += 1;
        let id = self.next;
        let run = Run::new(id, form.clone());
        let cancel = Arc::clone(&run.cancel);
        self.runs.push(run);
        let teller = Teller::new(id, self.sender.clone(), self.context.clone(), cancel);
        let runner = Arc::clone(&self.runner);
        std::thread::spawn(move || {
            let mut observer = teller.clone();
            // A panic is a failure of this job; the others go on.
            let outcome = catch_panic(|| runner.plan(&form, &mut observer)).unwrap_or_else(Err);
            teller.send(Message::Planned(id, outcome));
        });
    }

    /// Starts the run that has waited longest, where none computes.
    fn start_next(&mut self) {
        if self.running().is_some() {
            return;
        }
        let (sender, context) = (self.sender.clone(), self.context.clone());
        let Some(run) = self.runs.iter_mut().find(|run| run.state == RunState::Waiting) else {
            return;
        };
        let Some(planned) = run.planned.take() else {
            run.state = RunState::Failed("its plan is gone; plan it again".to_owned());
            return;
        };
        run.state = RunState::Running(Status::default());
        let teller = Teller::new(run.id, sender, context, Arc::clone(&run.cancel));
        let id = run.id;
        std::thread::spawn(move || {
            let mut observer = teller.clone();
            observer.computing = true;
            let state = catch_panic(|| planned.run(&mut observer)).unwrap_or_else(RunState::Failed);
            teller.send(Message::Over(id, state));
        });
    }
}

impl Run {
    /// A run whose inputs are about to be read.
    fn new(id: usize, form: Form) -> Self {
        Self {
            id,
            title: form.words(),
            state: RunState::Planning("reading".to_owned()),
            plan: Vec::new(),
            out: PathBuf::from(&form.out),
            opens: form.task == Task::Interpret,
            form,
            cancel: Arc::new(AtomicBool::new(false)),
            planned: None,
        }
    }

    /// Whether it ended before its end, so that asking for it again makes sense.
    pub const fn can_be_repeated(&self) -> bool {
        matches!(self.state, RunState::Cancelled | RunState::Failed(_) | RunState::Interrupted)
    }

    /// Whether nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        matches!(
            self.state,
            RunState::Done | RunState::Cancelled | RunState::Failed(_) | RunState::Planned | RunState::Interrupted
        )
    }
}

impl Drop for Runs {
    /// A window that closes stops what it has started: finished parts are kept, and the same run goes on from there.
    fn drop(&mut self) {
        for run in &self.runs {
            run.cancel.store(true, Ordering::SeqCst);
        }
    }
}

/// Tells the window what a thread does, and the thread whether to stop.
#[derive(Clone)]
struct Teller {
    id: usize,
    sender: Sender<Message>,
    context: Context,
    cancel: Arc<AtomicBool>,
    computing: bool,
}

impl Teller {
    fn new(id: usize, sender: Sender<Message>, context: Context, cancel: Arc<AtomicBool>) -> Self {
        Self {
            id,
            sender,
            context,
            cancel,
            computing: false,
        }
    }

    fn send(&self, message: Message) {
        // The window may be gone meanwhile.
        self.sender.send(message).ok();
        self.context.request_repaint();
    }
}

impl JobObserver for Teller {
    fn report(&mut self, status: Status) {
        self.send(if self.computing {
            Message::Status(self.id, status)
        } else {
            Message::Planning(self.id, status.text)
        });
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::SeqCst)
    }
}

/// What a closure gives, or what it panicked with: a thread that vanished without a word would block the queue for good.
fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let message = (panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).or_else(|| panic.downcast_ref::<String>().cloned());
        format!("internal error: {}", message.unwrap_or_else(|| "a panic without a message".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plans everything; a run whose model is called `panic` panics.
    struct Planner;

    struct Planned(bool);

    impl PlannedJob for Planned {
        fn run(self: Box<Self>, _: &mut dyn JobObserver) -> RunState {
            assert!(!self.0, "as it was told to");
            RunState::Done
        }
    }

    impl JobRunner for Planner {
        fn plan(&self, form: &Form, _: &mut dyn JobObserver) -> Result<(Box<dyn PlannedJob>, Facts), String> {
            Ok((Box::new(Planned(form.model == "panic")), Vec::new()))
        }
    }

    fn runs(folder: &std::path::Path) -> Runs {
        Runs::new(Context::default(), Arc::new(Planner)).remembering(Remembered::within(folder.to_owned()))
    }

    fn until(runs: &mut Runs, done: impl Fn(&Runs) -> bool) {
        for _ in 0..500 {
            runs.receive();
            if done(runs) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        panic!("{:?}", runs.runs.iter().map(|run| &run.state).collect::<Vec<_>>());
    }

    #[test]
    fn the_queue_goes_on_after_a_panic_and_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = runs(folder.path());
        for model in ["panic", "fine", "waits"] {
            first.form.model = model.into();
            first.plan();
        }
        until(&mut first, |runs| runs.runs.iter().all(|run| run.state == RunState::Planned));
        first.perform(&RunAction::Start(1));
        first.perform(&RunAction::Start(2));
        until(&mut first, |runs| runs.runs[1].state == RunState::Done);
        assert!(matches!(&first.runs[0].state, RunState::Failed(why) if why.contains("as it was told to")));
        drop(first);
        let mut second = runs(folder.path());
        let left: Vec<(&str, &RunState)> = second.runs.iter().map(|run| (run.form.model.as_str(), &run.state)).collect();
        assert_eq!(left, [("waits", &RunState::Interrupted)]);
        second.perform(&RunAction::Again(1));
        until(&mut second, |runs| runs.runs.len() == 1 && runs.runs[0].state == RunState::Planned);
        let id = second.runs[0].id;
        second.perform(&RunAction::Forget(id));
        assert!(runs(folder.path()).runs.is_empty(), "what was forgotten does not come back");
    }
}
