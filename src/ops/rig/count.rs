//! What the load has come to, for those who look at it while it goes on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::model::offices::Roster;
use crate::model::peer::entry::Told;
use crate::ops::histogram::latencies;
use crate::types::PeerId;

/// Latencies are kept by when orders were due, in stretches of this length, for so many of them.
const STRETCH: Duration = Duration::from_millis(50);
const STRETCHES_MAX: usize = 4_096;

/// What the load has come to, as others see it.
pub(in crate::ops) struct Counted {
    /// Orders that were due, and those that have an outcome.
    pub due: u64,
    pub told: u64,
    /// Orders that were answered before they were settled, and those that were taken back.
    pub early: u64,
    pub taken_back: u64,
    /// Orders without one, and those of them whose line has ended.
    pub open: u64,
    pub unsure: u64,
    /// Orders that were answered after their line had ended.
    pub resolved: u64,
    pub latency_us: Histogram<u64>,
    /// Of the present interval.
    pub interval_us: Histogram<u64>,
    /// Outcomes that were not compared with the ledger yet.
    pub to_compare: Vec<(PeerId, Told)>,
    /// What no honest market says.
    pub wrong: Vec<String>,
    /// The offices as they were last heard of.
    pub roster: Roster,
    /// The longest latency of orders that were due in a stretch of [`STRETCH`], in microseconds, by its place after the
    /// begin.
    waits: VecDeque<u64>,
    /// The place of the first one.
    first: usize,
    pub began: Instant,
}

impl Counted {
    /// An order has its answer.
    pub(in crate::ops) fn answered(&mut self, due: Instant) {
        let latency = due.elapsed().as_micros() as u64;
        self.latency_us.saturating_record(latency);
        self.interval_us.saturating_record(latency);
        self.waited(due, latency);
    }

    pub(in crate::ops) fn waited(&mut self, due: Instant, latency_us: u64) {
        let stretch = self.stretch(due);
        // An order that was due so long ago is one of a market that stands still, which is found otherwise.
        let Some(at) = stretch.checked_sub(self.first) else { return };
        if self.waits.len() <= at {
            self.waits.resize(at + 1, 0);
        }
        self.waits[at] = self.waits[at].max(latency_us);
        while self.waits.len() > STRETCHES_MAX {
            self.waits.pop_front();
            self.first += 1;
        }
    }

    fn stretch(&self, at: Instant) -> usize {
        (at.saturating_duration_since(self.began).as_millis() / STRETCH.as_millis()) as usize
    }

    /// How long an order waited at most that was due between these.
    pub(in crate::ops) fn longest_wait(&self, from: Instant, to: Instant) -> Duration {
        let (from, to) = (self.stretch(from), self.stretch(to));
        let waits = (from..=to).filter_map(|stretch| self.waits.get(stretch.checked_sub(self.first)?));
        Duration::from_micros(waits.copied().max().unwrap_or_default())
    }
}

/// The same for the load and those who look at it.
#[derive(Clone)]
pub(in crate::ops) struct Count(Arc<Mutex<Counted>>);

impl Count {
    pub(in crate::ops) fn new() -> Count {
        Count(Arc::new(Mutex::new(Counted {
            due: 0,
            told: 0,
            early: 0,
            taken_back: 0,
            open: 0,
            unsure: 0,
            resolved: 0,
            latency_us: latencies(),
            interval_us: latencies(),
            to_compare: Vec::new(),
            wrong: Vec::new(),
            roster: Roster::default(),
            waits: VecDeque::new(),
            first: 0,
            began: Instant::now(),
        })))
    }

    pub(in crate::ops) fn look(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_that_of_an_order_that_was_due_then() {
        let count = Count::new();
        let mut counted = count.look();
        let at = |ms| counted.began + Duration::from_millis(ms);
        let [one, two, three] = [at(1_000), at(2_000), at(3_000)];
        counted.waited(one, 500);
        counted.waited(two, 900_000);
        counted.waited(three, 700);
        assert_eq!(counted.longest_wait(one, one), Duration::from_micros(500));
        assert_eq!(counted.longest_wait(one, three), Duration::from_millis(900));
        let late = three + STRETCH * STRETCHES_MAX as u32;
        counted.waited(late, 5);
        assert_eq!(counted.longest_wait(one, two), Duration::ZERO, "long ago");
        assert_eq!(counted.waits.len(), STRETCHES_MAX);
        counted.waited(one, 5);
    }
}
