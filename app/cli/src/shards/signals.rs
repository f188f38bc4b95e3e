//! Signals by which schedulers and people stop a shard.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::output::status;

/// A flag that SIGTERM, SIGUSR1 and ctrl-C set; elsewhere than on Unix ctrl-C alone.
#[cfg(unix)]
pub fn stop_flag() -> Arc<AtomicBool> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGUSR1, SIGINT] {
        // A second one ends the program at once, in case the first cannot be heeded.
        let bound = signal_hook::flag::register_conditional_shutdown(signal, 75, flag.clone()).and_then(|_| signal_hook::flag::register(signal, flag.clone()));
        if let Err(error) = bound {
            status!("note: signal {signal} cannot be caught ({error}); it ends the run at once");
        }
    }
    flag
}

/// A flag that SIGTERM, SIGUSR1 and ctrl-C set; elsewhere than on Unix ctrl-C alone.
#[cfg(not(unix))]
pub fn stop_flag() -> Arc<AtomicBool> {
    crate::progress::interrupted("stopping; finished instances are kept")
}
