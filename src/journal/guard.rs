//! Runs what may panic or never return: sled may do either over a damaged file.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::OpenError;

/// Threads that open a store, and those of sled, all have names that begin so.
const OPENING: &str = "journal-open";
const SLEDS: &str = "sled";
/// What a panic said is cut behind this: the rest is bytes and places in sled's code.
const PANIC_TEXT_MAX: usize = 120;

/// What a panic said, in one line.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
    let line = text.split(['\n', '[', '{']).next().unwrap_or_default().trim_end();
    line.chars().take(PANIC_TEXT_MAX).collect()
}

/// A panic over a damaged store is an error like any other: it is told once, by who opened it, and not by the thread.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let name = thread::current().name().unwrap_or_default().to_owned();
            match name.starts_with(OPENING) || name.starts_with(SLEDS) {
                true => tracing::debug!("{info}"),
                false => before(info),
            }
        }));
    });
}

/// Runs `open` on a thread of its own, for at most `limit`; a panic and a hang become errors that name `path`. A thread
/// that hangs is left behind: the process is about to say so and end.
pub(super) fn guarded<T: Send + 'static>(
    path: &Path,
    limit: Duration,
    open: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    keep_panics_quiet();
    let (send, receive) = mpsc::channel();
    let run = move || drop(send.send(catch_unwind(AssertUnwindSafe(open))));
    thread::Builder::new().name(OPENING.into()).spawn(run).map_err(OpenError::io(path))?;
    match receive.recv_timeout(limit) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            tracing::debug!("opening {}: {}", path.display(), panic_text(&*panic));
            let why = "what is stored there is not what was written".to_owned();
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
