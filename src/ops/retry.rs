//! Asking again: pauses that grow, and looking until something is so.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// Pauses between attempts: the first takes [`BACKOFF_MIN`], each later one twice the time of the one before, up to a
/// bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::up_to(BACKOFF_MAX)
    }
}

impl Backoff {
    /// No pause takes longer than `max`.
    pub(crate) fn up_to(max: Duration) -> Backoff {
        Backoff { next: BACKOFF_MIN, max }
    }

    /// Pauses, but not longer than `left`.
    pub(crate) async fn pause(&mut self, left: Duration) {
        sleep(self.take().min(left)).await;
    }

    fn take(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.max);
        now
    }
}

/// Looks every so often until it is so; false if it is not within `limit`.
///
/// # Errors
/// Looking failed, which ends it.
pub(crate) async fn until<E>(
    every: Duration,
    limit: Duration,
    mut so: impl AsyncFnMut() -> Result<bool, E>,
) -> Result<bool, E> {
    let began = Instant::now();
    while !so().await? {
        if began.elapsed() > limit {
            return Ok(false);
        }
        sleep(every).await;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::runtime::runtime;

    #[test]
    fn pauses_double_up_to_their_bound() {
        let mut backoff = Backoff::up_to(Duration::from_millis(50));
        let pauses: Vec<u128> = (0..5).map(|_| backoff.take().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 50, 50]);
    }

    #[test]
    fn looking_ends_when_it_is_so_or_time_is_up_or_it_fails() {
        let look = |limit_ms, so: fn(u32) -> Result<bool, ()>| {
            let (every, limit) = (Duration::from_millis(1), Duration::from_millis(limit_ms));
            let mut looked = 0;
            let looking = until(every, limit, async || {
                looked += 1;
                so(looked)
            });
            runtime().unwrap().block_on(looking)
        };
        assert_eq!(look(60_000, |looked| Ok(looked == 3)), Ok(true));
        assert_eq!(look(0, |_| Ok(false)), Ok(false));
        assert_eq!(look(60_000, |_| Err(())), Err(()));
    }
}
