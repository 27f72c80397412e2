//! Simulated time, and what is to happen when.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::types::WallMicros;

/// A millisecond, in microseconds.
pub(super) const MS: u64 = 1_000;
/// A second, in microseconds.
pub(super) const SECOND: u64 = 1_000_000;
/// What the wall clocks of all nodes show when a world begins: 2026-01-01T00:00:00Z.
const BEGIN: u64 = 1_767_225_600_000_000;

/// Microseconds since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub u64);

impl Moment {
    /// This many microseconds later.
    pub(crate) fn after(self, micros: u64) -> Moment {
        Moment(self.0 + micros)
    }

    /// Microseconds from `earlier` to this; 0 when `earlier` is later.
    pub(crate) fn since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As the journal's clock shows it.
    pub(crate) fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// The first moment at which the journal's clock shows this.
    pub(crate) fn of(duration: Duration) -> Moment {
        Moment(duration.as_nanos().div_ceil(1_000) as u64)
    }

    /// As a wall clock shows it that is this many microseconds ahead.
    pub(crate) fn wall(self, ahead: i64) -> WallMicros {
        WallMicros((BEGIN + self.0).saturating_add_signed(ahead))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / SECOND, self.0 % SECOND)
    }
}

struct Entry<E> {
    at: Moment,
    /// Breaks ties: what was put first comes first.
    count: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its greatest first.
        (other.at, other.count).cmp(&(self.at, self.count))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

/// Events in the order of their time. Its `now` is the time of the last one that was taken.
pub(super) struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    now: Moment,
    count: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::new(), now: Moment::default(), count: 0 }
    }
}

impl<E> Queue<E> {
    /// The present.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// Has an event happen then, or now if that has passed.
    pub(crate) fn put(&mut self, at: Moment, event: E) {
        self.count += 1;
        self.heap.push(Entry { at: at.max(self.now), count: self.count, event });
    }

    /// Takes the next event and goes to its time.
    pub(crate) fn next(&mut self) -> Option<E> {
        let Entry { at, event, .. } = self.heap.pop()?;
        self.now = at;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_ties_as_they_were_put() {
        let mut queue = Queue::default();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            queue.put(Moment(at), event);
        }
        assert_eq!(queue.next(), Some('a'));
        queue.put(Moment(0), 'x');
        let rest: String = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!((rest.as_str(), queue.now()), ("xbcd", Moment(5)));
    }
}
