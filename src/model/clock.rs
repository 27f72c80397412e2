//! A node's Lamport clock (L. Lamport, *Time, Clocks, and the Ordering of Events in a Distributed System*, CACM 1978).
//!
//! In: local events and the clocks of received messages. Out: stamps. It never goes back, and a stamp that it gives is
//! greater than every stamp that it gave or took before, so stamp order extends happens-before. One clock that is far
//! ahead, by a bug or by malice, would drag every node's along for ever: such a leap is refused. That the clock outlives
//! its process is the node's care: it starts one at the value reserved on disk.

use crate::limits::CLOCK_LEAP_MAX;
use crate::types::Stamp;

/// A received clock was more than [`CLOCK_LEAP_MAX`] ahead of the own one. The own clock is unchanged; the message it
/// came with is not to be taken either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a clock of {other} is more than {CLOCK_LEAP_MAX} ahead of the own {own}")]
pub struct ClockLeap {
    /// The own clock.
    pub own: Stamp,
    /// The clock that was received.
    pub other: Stamp,
}

/// A Lamport clock. At `u64::MAX`, which no run reaches, it would stand still instead of going back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock(Stamp);

impl Clock {
    /// A clock whose next tick is one more than `stamp`: 0 for a new store, else what was reserved on disk.
    pub fn starting_at(stamp: Stamp) -> Clock {
        Clock(stamp)
    }

    /// The time of the last event.
    pub fn now(&self) -> Stamp {
        self.0
    }

    /// A send or a local event: one more. Gives the event's time.
    pub fn tick(&mut self) -> Stamp {
        self.0 = Stamp(self.0.0.saturating_add(1));
        self.0
    }

    /// A message with the clock `other` came: one more than the greater of both.
    ///
    /// # Errors
    /// [`ClockLeap`], and the clock is unchanged, if `other` is more than [`CLOCK_LEAP_MAX`] ahead.
    pub fn receive(&mut self, other: Stamp) -> Result<Stamp, ClockLeap> {
        if other.0.saturating_sub(self.0.0) > CLOCK_LEAP_MAX {
            return Err(ClockLeap { own: self.0, other });
        }
        Ok(self.adopt(other))
    }

    /// Like [`Clock::receive`] without the bound: for the first clock of a process, which the warehouse gives. A store
    /// that was lost starts at 0 in a market that may be any number of events old.
    pub fn adopt(&mut self, other: Stamp) -> Stamp {
        self.0 = self.0.max(other);
        self.tick()
    }
}
