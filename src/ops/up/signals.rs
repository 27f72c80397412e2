//! The signals that end a run, or tell of a child's end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::ops::output::{Failure, exit};

/// Signals are caught from before the first child is started: a Ctrl-C during the start closes the market as soon as it
/// is up.
pub(super) struct Signals {
    pub(super) int: Signal,
    pub(super) term: Signal,
    pub(super) child: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Signals, Failure> {
        let caught = |kind| {
            signal(kind).map_err(|error| Failure::new(exit::FAILURE, format!("no signal handlers: {error}")))
        };
        Ok(Signals {
            int: caught(SignalKind::interrupt())?,
            term: caught(SignalKind::terminate())?,
            child: caught(SignalKind::child())?,
        })
    }
}

/// Closing takes a moment; a Ctrl-C meanwhile ends the process at once, and the children end with their pipes.
pub(super) fn leave_at_once_next_time(mut int: Signal) {
    tokio::spawn(async move {
        int.recv().await;
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
}
