//! Progress on stderr: a bar with rate and time left in a terminal, a line now and then elsewhere; ctrl-C stops cleanly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cruxscope_run::machine::{format_bytes, format_duration};
use cruxscope_run::{Event, Observer, Pace};
use cruxscope_study::printable;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{is_quiet, is_verbose, status};

/// Steps of the bar: share times this.
const STEPS: u64 = 10_000;
/// Time between lines where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Prints what a run reports.
pub struct Progress {
    bar: ProgressBar,
    stopped: Arc<AtomicBool>,
    in_terminal: bool,
    last_line: Instant,
    pace: Pace,
    name: String,
}

impl Progress {
    /// A bar on stderr, and ctrl-C bound to a clean stop.
    pub fn new() -> Self {
        Self::stopped_by(interrupted("stopping; finished instances are kept"))
    }

    /// A bar on stderr; the flag stops the work.
    pub fn stopped_by(stopped: Arc<AtomicBool>) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(STEPS),
            if is_quiet() {
                ProgressDrawTarget::hidden()
            } else {
                ProgressDrawTarget::stderr()
            },
        );
        // The template is a constant; were it wrong, the default style would serve.
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        let in_terminal = !bar.is_hidden();
        Self {
            bar,
            stopped,
            in_terminal,
            last_line: Instant::now(),
            pace: Pace::default(),
            name: String::new(),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows how far it is: in the bar, or as a line now and then.
    fn at(&mut self, share: f64, text: String) {
        self.bar.set_position((share * STEPS as f64) as u64);
        if !self.in_terminal && self.last_line.elapsed() > BETWEEN_LINES {
            status!("{:.0} %, {text}", share * 100.0);
            self.last_line = Instant::now();
        }
        self.bar.set_message(text);
    }

    fn say(&self, line: &str) {
        let line = printable(line);
        if self.in_terminal {
            self.bar.suspend(|| status!("{line}"))
        } else {
            status!("{line}")
        }
    }
}

/// Rate, time left and what it is at: `180 tokens/s, 3 min left, FOLIO/21`.
pub fn rate_line(tokens_per_second: f64, left: Option<Duration>, name: &str) -> String {
    let left = left.map_or_else(String::new, |left| format!(", {} left", format_duration(left)));
    format!("{tokens_per_second:.0} tokens/s{left}, {name}")
}

/// What it is at, and the time left where it can be told: `drawing figures, 12 s left`.
pub fn with_left(what: &str, left: Option<Duration>) -> String {
    left.map_or_else(|| what.to_owned(), |left| format!("{what}, {} left", format_duration(left)))
}

/// A flag that ctrl-C sets, with words on what happens then; a second ctrl-C ends the program at once.
pub fn interrupted(said: &'static str) -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    let bound = on_interrupt(move || {
        if flag.swap(true, Ordering::SeqCst) {
            // Now; what was finished is safe on disk. 128 and the signal's number, as shells count.
            std::process::exit(130);
        }
        status!("\n{said} (ctrl-C again to stop at once)");
    });
    if let Err(error) = bound {
        status!("note: ctrl-C cannot be caught ({error}); it ends the run at once");
    }
    stopped
}

/// Calls `heard` whenever ctrl-C is pressed, on a thread of its own.
#[cfg(unix)]
fn on_interrupt(mut heard: impl FnMut() + Send + 'static) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])?;
    let thread = std::thread::Builder::new().name("interrupt".into());
    thread.spawn(move || signals.forever().for_each(|_| heard())).map(drop)
}

/// Calls `heard` whenever ctrl-C is pressed, on a thread of its own.
#[cfg(windows)]
fn on_interrupt(heard: impl FnMut() + Send + 'static) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(heard)
}

impl Observer for Progress {
    fn event(&mut self, event: Event) {
        match event {
            Event::Digesting { file, bytes } if bytes > 1 << 30 || is_verbose() => {
                self.say(&format!("reading {file} ({}) for its digest", format_bytes(bytes)))
            }
            Event::Digesting { .. } => {}
            Event::Preparing { what, share } => {
                let text = with_left(&what, self.pace.left(share));
                self.at(share, text);
            }
            Event::Resumed { instances } => self.say(&format!("{instances} finished by an earlier run are kept")),
            Event::Began { id, count } => self.name = if count > 1 { format!("{id} and {} more", count - 1) } else { id },
            Event::Advanced {
                share,
                tokens_per_second,
                left,
            } => {
                let text = rate_line(tokens_per_second, left, &self.name);
                self.at(share, text);
            }
            Event::Note { text } => self.say(&text),
            Event::Finished { done, of } if !self.in_terminal || is_verbose() => status!("{done} of {of} instances done"),
            Event::Finished { .. } => {}
            Event::Merging => self.bar.set_message("saving the study"),
        }
    }

    fn stop(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}
