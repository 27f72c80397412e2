//! Runs what may panic or never return: sled may do either over a damaged file.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::OpenError;

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// Runs `open` on a thread of its own, for at most `limit`; a panic and a hang become errors that name `path`. A thread
/// that hangs is left behind: the process is about to say so and end.
pub(super) fn guarded<T: Send + 'static>(
    path: &Path,
    limit: Duration,
    open: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let (send, receive) = mpsc::channel();
    let run = move || drop(send.send(catch_unwind(AssertUnwindSafe(open))));
    thread::Builder::new().name("journal-open".into()).spawn(run).map_err(OpenError::io(path))?;
    match receive.recv_timeout(limit) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            let why = format!("opening it panicked ({})", panic_text(&*panic));
            Err(OpenError::Damaged { path: path.to_owned(), why })
        }
        Err(RecvTimeoutError::Timeout) => {
            Err(OpenError::Hung { path: path.to_owned(), seconds: limit.as_secs() })
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(OpenError::Damaged { path: path.to_owned(), why: "opening it ended without a word".into() })
        }
    }
}
