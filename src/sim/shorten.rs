//! A failing schedule made shorter: fewer faults, fewer orders, and it still fails by the same check.
//!
//! Faults are left out in halves, then quarters, down to single ones (Zeller and Hildebrandt, "Simplifying and Isolating
//! Failure-Inducing Input", 2002). Each fault has draws of its own, so that what is left stays what it was.

use super::Failure;
use super::faults::{Planned, Schedule};
use super::play;

/// Worlds that are tried for one schedule, at most.
const TRIES_MAX: u32 = 150;
/// Numbers of orders that are tried, from the smallest.
const ORDERS: [u64; 4] = [10, 30, 60, 100];

/// A shorter schedule that fails like this one, and how it fails.
pub(crate) fn shorten(schedule: &Schedule, failure: &Failure) -> (Schedule, Failure) {
    let mut search = Search { best: schedule.clone(), failure: failure.clone(), tries: 0 };
    search.fewer_faults();
    search.fewer_orders();
    search.fewer_faults();
    (search.best, search.failure)
}

struct Search {
    best: Schedule,
    failure: Failure,
    tries: u32,
}

impl Search {
    fn fewer_faults(&mut self) {
        let mut size = self.best.faults.len().div_ceil(2);
        while size > 0 && !self.best.faults.is_empty() {
            let found = self.leave_out(size);
            if !found && size == 1 {
                return;
            }
            size = if found { size.min(self.best.faults.len()) } else { size / 2 };
        }
    }

    /// Tries without each run of so many faults, the last one first: what comes after a failure is often in vain.
    fn leave_out(&mut self, size: usize) -> bool {
        let mut end = self.best.faults.len();
        let mut found = false;
        while end > 0 {
            let begin = end.saturating_sub(size);
            let faults: Vec<Planned> = [&self.best.faults[..begin], &self.best.faults[end..]].concat();
            found |= self.fails(Schedule { faults, ..self.best.clone() });
            end = begin;
        }
        found
    }

    fn fewer_orders(&mut self) {
        for orders in ORDERS {
            if orders < self.best.orders && self.fails(Schedule { orders, ..self.best.clone() }) {
                return;
            }
        }
    }

    /// Keeps the schedule if it fails by the same check.
    fn fails(&mut self, schedule: Schedule) -> bool {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            return false;
        }
        match play(&schedule, false).failed {
            Some(failure) if failure.check == self.failure.check => {
                (self.best, self.failure) = (schedule, failure);
                true
            }
            _ => false,
        }
    }
}
