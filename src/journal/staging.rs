//! Where a node's loop and its writer thread meet: staged steps one way, what is durable the other.
//!
//! The loop pushes and goes on; the writer takes all there is at once by swapping the vector, so that the lock is held
//! for a moment however much is staged. A writer thread waits until it is to take; a pump asks and never waits.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::checkpoint::Parts;
use super::time::Time;
use crate::limits::LAZY_MAX;
use crate::model::fold::Fold;
use crate::types::{Stamp, WallMicros};

/// Number of a staged step, in the order of staging, from 1; 0 is "nothing yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How soon a step must be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits: the writer is woken.
    Now,
    /// Rides on the next group, at latest [`LAZY_MAX`] later.
    Lazy,
}

/// What one turn of a node's loop gives to the disk.
#[derive(Clone, Debug)]
pub struct Step<R> {
    /// Its records; may be empty, then the ticket says when everything before is durable.
    pub records: Vec<R>,
    /// Wall clock, stored with the records.
    pub time: WallMicros,
    /// The node's clock: the step is durable only when a reserve that covers it is.
    pub clock: Stamp,
    /// How soon.
    pub urgency: Urgency,
}

pub(super) enum Item<F: Fold> {
    Step { ticket: Ticket, step: Step<F::Record> },
    Meta { ticket: Ticket, key: String, value: Vec<u8> },
    Checkpoint { parts: Parts<F> },
}

/// How the writer is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Write all that is staged first.
    Close,
    /// At once, as a crash would.
    Abandon,
}

/// What the writer wakes up for.
pub(super) enum Wake {
    /// Items were moved to the writer, or its deadline has come.
    Work,
    /// The last items were moved; end after them.
    Stop(Stop),
}

struct Inner<F: Fold> {
    items: Vec<Item<F>>,
    urgent: bool,
    /// When the first lazy item came.
    lazy_since: Option<Duration>,
    stop: Option<Stop>,
    waiting: bool,
}

/// Shared by the two threads.
pub(super) struct Staging<F: Fold> {
    time: Arc<dyn Time>,
    inner: Mutex<Inner<F>>,
    wake: Condvar,
    /// Records staged and not yet durable.
    pub records: AtomicUsize,
    /// A checkpoint should be taken.
    pub checkpoint_due: AtomicBool,
    /// A checkpoint was given to the writer, and is not finished.
    pub checkpointing: AtomicBool,
    /// Set while free space is below the low-water mark.
    pub disk_low: AtomicBool,
    /// See [`Stats`].
    pub counters: Arc<Counters>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub syncs: AtomicU64,
    pub blocks: AtomicU64,
    pub bytes: AtomicU64,
    pub checkpoints: AtomicU64,
    pub disk_free: AtomicU64,
    pub sync_us: AtomicU64,
    pub sync_us_max: AtomicU64,
    pub sync_us_sum: AtomicU64,
    pub sync_buckets: [AtomicU64; SYNC_BOUNDS_US.len() + 1],
}

/// Bounds of the buckets in which syncs are counted, in microseconds.
pub(crate) const SYNC_BOUNDS_US: [u64; 14] = [
    125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 1_000_000, 4_000_000,
];

/// What the journal has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups synced.
    pub syncs: u64,
    /// Blocks written.
    pub blocks: u64,
    /// Bytes of blocks and of the node's own facts handed to the store.
    pub bytes_written: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Space left on the disk, as last asked.
    pub disk_free: u64,
    /// How long the last write and sync of a group took, in microseconds.
    pub sync_us_last: u64,
    /// The longest of them.
    pub sync_us_max: u64,
    /// The sum of them.
    pub sync_us_sum: u64,
    /// How many took up to each of `SYNC_BOUNDS_US`, and longer than the one before; the last are those above all.
    pub sync_buckets: [u64; SYNC_BOUNDS_US.len() + 1],
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            syncs: self.syncs.load(Ordering::Relaxed),
            blocks: self.blocks.load(Ordering::Relaxed),
            bytes_written: self.bytes.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
            disk_free: self.disk_free.load(Ordering::Relaxed),
            sync_us_last: self.sync_us.load(Ordering::Relaxed),
            sync_us_max: self.sync_us_max.load(Ordering::Relaxed),
            sync_us_sum: self.sync_us_sum.load(Ordering::Relaxed),
            sync_buckets: self.sync_buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn count_sync(&self, us: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us.store(us, Ordering::Relaxed);
        self.sync_us_max.fetch_max(us, Ordering::Relaxed);
        self.sync_us_sum.fetch_add(us, Ordering::Relaxed);
        self.sync_buckets[SYNC_BOUNDS_US.partition_point(|bound| *bound < us)]
            .fetch_add(1, Ordering::Relaxed);
    }
}

impl<F: Fold> Staging<F> {
    pub(crate) fn new(time: Arc<dyn Time>) -> Staging<F> {
        let inner = Inner { items: Vec::new(), urgent: false, lazy_since: None, stop: None, waiting: false };
        Staging {
            time,
            inner: Mutex::new(inner),
            wake: Condvar::new(),
            records: AtomicUsize::new(0),
            checkpoint_due: AtomicBool::new(false),
            checkpointing: AtomicBool::new(false),
            disk_low: AtomicBool::new(false),
            counters: Arc::default(),
        }
    }

    /// Nothing that holds the lock can panic half-way, so a poisoned lock is as good as a sound one.
    fn lock(&self) -> MutexGuard<'_, Inner<F>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, item: Item<F>, urgency: Urgency) {
        let mut inner = self.lock();
        inner.items.push(item);
        let news = match urgency {
            Urgency::Now => !std::mem::replace(&mut inner.urgent, true),
            Urgency::Lazy => {
                inner.lazy_since.is_none().then(|| inner.lazy_since = Some(self.time.now())).is_some()
            }
        };
        if news && inner.waiting {
            self.wake.notify_one();
        }
    }

    /// The writer has something to do that was not staged.
    pub(crate) fn poke(&self) {
        self.lock().urgent = true;
        self.wake.notify_one();
    }

    pub(crate) fn stop(&self, stop: Stop) {
        self.lock().stop = Some(stop);
        self.wake.notify_one();
    }

    /// Moves all items to the back of `backlog`; waits for an urgent one, a lazy one's time, `deadline`, or the end. A
    /// writer that has `work` left does not wait.
    pub(crate) fn take(
        &self,
        work: bool,
        deadline: Option<Duration>,
        backlog: &mut impl Extend<Item<F>>,
    ) -> Wake {
        let mut inner = self.lock();
        loop {
            let now = self.time.now();
            if let Some(wake) = inner.wake(work, deadline, now) {
                hand_over(inner, backlog);
                return wake;
            }
            let wait = inner.deadline(deadline).map(|due| due.saturating_sub(now));
            inner.waiting = true;
            inner = self.sleep(inner, wait);
            inner.waiting = false;
        }
    }

    /// Like [`Staging::take`], but moves nothing where that would wait.
    pub(crate) fn try_take(
        &self,
        work: bool,
        deadline: Option<Duration>,
        backlog: &mut impl Extend<Item<F>>,
    ) {
        let inner = self.lock();
        if inner.wake(work, deadline, self.time.now()).is_some() {
            hand_over(inner, backlog);
        }
    }

    /// When [`Staging::take`] would return: now for urgent items and the end, else at a lazy one's time or `deadline`.
    pub(crate) fn due(&self, deadline: Option<Duration>) -> Option<Duration> {
        let (inner, now) = (self.lock(), self.time.now());
        match inner.wake(false, None, now) {
            Some(_) => Some(now),
            None => inner.deadline(deadline),
        }
    }

    fn sleep<'a>(&self, inner: MutexGuard<'a, Inner<F>>, wait: Option<Duration>) -> MutexGuard<'a, Inner<F>> {
        match wait {
            Some(wait) => self.wake.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0,
            None => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// Gives the items to the writer, the lock let go before they are moved one by one.
fn hand_over<F: Fold>(mut inner: MutexGuard<'_, Inner<F>>, backlog: &mut impl Extend<Item<F>>) {
    let items = std::mem::take(&mut inner.items);
    (inner.urgent, inner.lazy_since) = (false, None);
    drop(inner);
    backlog.extend(items);
}

impl<F: Fold> Inner<F> {
    /// What a writer with this `work` and `deadline` does at `now`; `None`: it waits.
    fn wake(&self, work: bool, deadline: Option<Duration>, now: Duration) -> Option<Wake> {
        let late = || self.deadline(deadline).is_some_and(|due| due <= now);
        match self.stop {
            Some(stop) => Some(Wake::Stop(stop)),
            None => (work || self.urgent || late()).then_some(Wake::Work),
        }
    }

    /// The first of the writer's deadline and the lazy items'.
    fn deadline(&self, writers: Option<Duration>) -> Option<Duration> {
        [self.lazy_since.map(|since| since + LAZY_MAX), writers].into_iter().flatten().min()
    }
}
