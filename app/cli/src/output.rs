//! What goes to stdout: JSON for programs, text for people; and what goes to stderr: diagnostics, which never decide a result.

use std::fmt::Arguments;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};

use cruxscope_study::{printable, printable_json};

use crate::failure::Failure;

const QUIET: u8 = 0;
const NORMAL: u8 = 1;
const VERBOSE: u8 = 2;

/// How much is said on stderr; set once, before a command runs.
static VERBOSITY: AtomicU8 = AtomicU8::new(NORMAL);

/// Sets how much is said on stderr.
pub fn set_verbosity(quiet: bool, verbose: bool) {
    let level = if quiet { QUIET } else { NORMAL + u8::from(verbose) };
    VERBOSITY.store(level, Ordering::Relaxed);
}

/// Whether only results and errors are printed.
pub fn is_quiet() -> bool {
    VERBOSITY.load(Ordering::Relaxed) == QUIET
}

/// Whether more than the usual is said.
pub fn is_verbose() -> bool {
    VERBOSITY.load(Ordering::Relaxed) == VERBOSE
}

/// Prints a line on stderr, unless `--quiet` was given: as `eprintln!`, but a closed or full stderr is no failure.
macro_rules! status {
    ($($argument:tt)*) => { $crate::output::print_status(format_args!($($argument)*)) };
}
pub(crate) use status;

/// See [`status!`].
pub fn print_status(line: Arguments<'_>) {
    if !is_quiet() {
        print_stderr(line);
    }
}

/// Prints an error on stderr, however quiet.
pub fn print_error(line: &str) {
    print_stderr(format_args!("{line}"));
}

fn print_stderr(line: Arguments<'_>) {
    // In one write, so that lines of several threads and processes stay whole. Nobody is there to hear of a failure.
    // Texts of others may hold what a terminal would obey.
    let line = line.to_string();
    std::io::stderr().lock().write_all(format!("{}\n", printable(&line)).as_bytes()).ok();
}

/// Prints data for another program: JSON on stdout. A reader that closes the pipe early is no failure.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    write_line(&printable_json(&text))
}

/// Prints text on stdout, without what a terminal would obey in texts of others.
pub fn print_text(text: &str) -> Result<(), Failure> {
    write_line(&printable(text))
}

fn write_line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow::Error::new(error).context("could not write the results to stdout")))
        }
        _ => Ok(()),
    }
}
