//! Waiting ever longer before the next try, up to a bound.

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// Milliseconds that were waited before the last try; 0: the last try went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff(u64);

impl Backoff {
    /// The try failed: how many milliseconds to wait now, from [`BACKOFF_MIN`] doubled up to [`BACKOFF_MAX`].
    pub(crate) fn next_ms(&mut self) -> u64 {
        self.0 = (self.0 * 2).clamp(BACKOFF_MIN.as_millis() as u64, BACKOFF_MAX.as_millis() as u64);
        self.0
    }

    /// The try went well: the next failure is the first one again.
    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.next_ms()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        backoff.reset();
        assert_eq!(backoff.next_ms(), 10);
    }
}
