//! What goes to stdout: JSON for programs, text for people.

use crate::failure::Failure;

/// Prints data for another program: JSON on stdout. A reader that closes the pipe early is no failure.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    print_text(&text)
}

/// Prints text on stdout.
pub fn print_text(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}
