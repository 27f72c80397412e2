//! Time in which this process ran: what every machine counts the silence of others in.
//!
//! In: when a turn is taken, and when the machine wants the next one. Out: the time of the turn without the pauses of
//! this process. It was paused (stopped, starved, its disk stuck) if a turn comes much later than it was wanted; then
//! nothing of the time since the turn before counts, for what others said meanwhile waits unread. Without this: a
//! warehouse that was stopped in its grace lets anybody depose healthy traders when it goes on; and a peer claims an
//! office over the heads of higher ids whose answers it has not read.
//!
//! So that a pause is seen, a machine is woken several times within suspect-after, even with nothing to do.

use super::step::At;
use crate::limits::{PAUSES_IN_SUSPICION, WAKES_IN_SUSPICION};
use crate::types::Now;

/// See the module's text.
pub(crate) struct Awake {
    /// Milliseconds in which this process did not run.
    paused_ms: u64,
    /// When the last turn was taken.
    last: Now,
    /// When the next one is wanted.
    due: Now,
    /// A turn that is later by more comes after a pause.
    late_ms: u64,
    /// Turns are wanted at least this often.
    wake_ms: u64,
}

impl Awake {
    /// The first turn is wanted at once.
    pub(crate) fn new(now: Now, suspect_after_ms: u64) -> Awake {
        let (late_ms, wake_ms) =
            (suspect_after_ms / PAUSES_IN_SUSPICION, (suspect_after_ms / WAKES_IN_SUSPICION).max(1));
        Awake { paused_ms: 0, last: now, due: now, late_ms, wake_ms }
    }

    /// A turn at this time, without the pauses; and whether it comes after one.
    pub(crate) fn begin(&mut self, at: At) -> (At, bool) {
        let paused = at.now.ms_since(self.due.max(self.last)) > self.late_ms;
        if paused {
            self.paused_ms += at.now.ms_since(self.last);
        }
        (self.last, self.due) = (at.now, at.now);
        (At { now: self.without_pauses(at.now), ..at }, paused)
    }

    /// A time as the machine counts it.
    pub(crate) fn without_pauses(&self, now: Now) -> Now {
        Now(now.0.saturating_sub(self.paused_ms))
    }

    /// The turn is over; the machine wants the next one by then.
    pub(crate) fn plan(&mut self, due: Option<Now>) {
        let wake = self.last.after_ms(self.wake_ms);
        let due = due.map_or(wake, |due| due.after_ms(self.paused_ms));
        self.due = due.min(wake);
    }

    /// When the next turn is wanted, by the clock that the turns are given.
    pub(crate) fn due(&self) -> Now {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64) -> At {
        At { now: Now(now), ..At::default() }
    }

    /// Turns at these times; the machine wants one 1,000 ms after each. What it counts, and after which it was paused.
    fn counted(times: &[u64]) -> Vec<(u64, bool)> {
        let mut awake = Awake::new(Now(0), 800);
        let turn = |now: &u64| {
            let (at, paused) = awake.begin(at(*now));
            awake.plan(Some(at.now.after_ms(1_000)));
            (at.now.0, paused)
        };
        times.iter().map(turn).collect()
    }

    #[test]
    fn a_pause_does_not_count() {
        assert_eq!(counted(&[0, 100, 9_100, 9_150]), [(0, false), (100, false), (100, true), (150, false)]);
    }

    #[test]
    fn a_little_late_is_no_pause() {
        let (wake, late) = (800 / WAKES_IN_SUSPICION, 800 / PAUSES_IN_SUSPICION);
        assert_eq!(counted(&[0, wake + late]), [(0, false), (wake + late, false)]);
        assert_eq!(counted(&[0, wake + late + 1]), [(0, false), (0, true)]);
    }

    #[test]
    fn what_the_machine_wants_is_wanted_later_by_all_pauses() {
        let mut awake = Awake::new(Now(0), 800);
        awake.begin(at(5_000));
        awake.plan(Some(Now(30)));
        assert_eq!(awake.due(), Now(5_030));
        awake.plan(None);
        assert_eq!(awake.due(), Now(5_000 + 800 / WAKES_IN_SUSPICION), "it is woken all the same");
    }
}
