//! Opening a store may take long: a large one after a damage, or one of an earlier format. The node says that it is at it.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Instant;

use crate::limits::{OPENING_SAY_EVERY_MAX, OPENING_SAY_FIRST};

/// Does `work`, and says on which directory for how long, ever less often, while it lasts.
pub(super) fn said_while_it_lasts<T>(dir: &Path, work: impl FnOnce() -> T) -> T {
    telling(work, |seconds| {
        tracing::info!(dir = %dir.display(), "the store is being opened for {seconds} s now");
    })
}

fn telling<T>(work: impl FnOnce() -> T, tell: impl Fn(u64) + Send) -> T {
    let (done, over) = sync_channel::<()>(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            let (began, mut pause) = (Instant::now(), OPENING_SAY_FIRST);
            while let Err(RecvTimeoutError::Timeout) = over.recv_timeout(pause) {
                tell(began.elapsed().as_secs());
                pause = (2 * pause).min(OPENING_SAY_EVERY_MAX);
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_lasts_is_said_and_what_does_not_is_not() {
        let said = Mutex::new(Vec::new());
        let tell = |seconds| said.lock().unwrap().push(seconds);
        assert_eq!(telling(|| 5, tell), 5);
        assert_eq!(*said.lock().unwrap(), [0; 0]);
        let first = || said.lock().unwrap().first().copied();
        let (limit, began) = (4 * OPENING_SAY_FIRST, Instant::now());
        let wait = || {
            while first().is_none() && began.elapsed() < limit {
                thread::yield_now();
            }
            first()
        };
        assert_eq!(telling(wait, tell), Some(OPENING_SAY_FIRST.as_secs()));
    }
}
