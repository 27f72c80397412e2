//! The one thread that writes: staged steps -> blocks -> store -> sync -> durable, a group at a time.
//!
//! A group is everything staged when the thread is free, up to [`GROUP_BYTES_MAX`]; the next one gathers meanwhile.
//! Nothing waits for a timer but lazy steps. Holds: what is published as durable was written and synced before, with a
//! clock reserve that covers it; a failed write or sync is never tried again, since the page cache may have dropped the
//! data that the next sync would then vouch for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::block::{ChainWriter, Tip};
use super::checkpoint::{Checkpoint, Parts, Phase, Writing};
use super::guard::panic_text;
use super::mark::MarkFile;
use super::staging::{Item, Staging, Stop, Ticket, Wake};
use super::store::{Store, StoreError, StoreRead};
use super::watchdog::Pulse;
use super::{Durable, Fatal, Step, meta};
use crate::limits::{CHECKPOINT_BYTES, CHECKPOINT_EVERY, CLOCK_RESERVE, GROUP_BYTES_MAX, MARK_EVERY};
use crate::model::fold::Fold;
use crate::types::Stamp;

/// Free space is asked for at most this often with groups, and this often while it is short.
const SPACE_EVERY: Duration = Duration::from_millis(5);
const SPACE_RETRY: Duration = Duration::from_millis(250);

pub(super) struct Writer<F: Fold> {
    store: Box<dyn Store>,
    staging: Arc<Staging<F>>,
    publish: watch::Sender<Durable>,
    pulse: Arc<Pulse>,
    fatal: Fatal,
    chain: ChainWriter,
    clock_reserve: Stamp,
    mark: Option<MarkFile>,
    checkpoint: Option<Checkpoint>,
    writing: Option<Writing<F::Part>>,
    space: Arc<dyn StoreRead>,
    backlog: VecDeque<Item<F>>,
    due: Due,
}

/// When what is to be done next.
struct Due {
    space: Instant,
    /// The mark is behind what is durable.
    mark: Option<Instant>,
    /// There are blocks that no checkpoint covers.
    checkpoint: Option<Instant>,
    bytes_since_checkpoint: u64,
}

/// What one group came to.
struct Group {
    ticket: Ticket,
    records: usize,
    bytes: usize,
    /// Something was written, hence must be synced.
    dirty: bool,
}

/// What a writer goes on from.
pub(super) struct Start<F: Fold> {
    pub store: Box<dyn Store>,
    pub staging: Arc<Staging<F>>,
    pub publish: watch::Sender<Durable>,
    pub fatal: Fatal,
    pub tip: Tip,
    pub clock_reserve: Stamp,
    pub mark: Option<MarkFile>,
    pub checkpoint: Option<Checkpoint>,
}

impl<F: Fold> Writer<F> {
    pub fn new(start: Start<F>) -> Writer<F> {
        let covered = start.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.seq.0);
        let now = Instant::now();
        Writer {
            space: start.store.reader(),
            store: start.store,
            staging: start.staging,
            publish: start.publish,
            pulse: Arc::default(),
            fatal: start.fatal,
            chain: ChainWriter::new(start.tip),
            clock_reserve: start.clock_reserve,
            mark: start.mark,
            checkpoint: start.checkpoint,
            writing: None,
            backlog: VecDeque::new(),
            due: Due {
                space: now.checked_sub(SPACE_EVERY).unwrap_or(now),
                mark: None,
                checkpoint: (start.tip.seq.0 > covered).then(|| now + CHECKPOINT_EVERY),
                bytes_since_checkpoint: 0,
            },
        }
    }

    /// Beats while a group is being written.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Tells how many bytes were free when they were last asked for, while they are too few.
    pub fn shortage(&self) -> impl Fn() -> Option<u64> + Send + Sync + use<F> {
        let staging = self.staging.clone();
        move || {
            let low = staging.disk_low.load(Ordering::Relaxed);
            low.then(|| staging.counters.disk_free.load(Ordering::Relaxed))
        }
    }

    /// One group of what is staged, without waiting; false if there is nothing to do.
    pub fn write_group(&mut self) -> Result<bool, StoreError> {
        self.staging.take(true, None, &mut self.backlog);
        let work = self.has_work();
        self.turn().map(|()| work)
    }

    fn has_work(&self) -> bool {
        !self.backlog.is_empty() || self.writing.is_some()
    }

    /// Until told to stop; a failure ends in `fatal`, and so does a panic inside the store. What `done` gets is the
    /// last that happens; the store is dropped after it, when the process most likely ends anyway.
    pub fn run(mut self, done: mpsc::Sender<Durable>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.serve()));
        self.pulse.end();
        match outcome {
            Ok(Ok(())) => drop(done.send(*self.publish.borrow())),
            Ok(Err(error)) => (self.fatal)(format!("journal: {error}")),
            Err(panic) => (self.fatal)(format!("journal: the store panicked: {}", panic_text(&*panic))),
        }
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        self.ask_space(Instant::now())?;
        loop {
            let wake = self.staging.take(self.has_work(), self.deadline(), &mut self.backlog);
            match wake {
                Wake::Work => self.turn()?,
                Wake::Stop(Stop::Abandon) => return Ok(()),
                Wake::Stop(Stop::Close) => return self.finish(),
            }
        }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        while self.has_work() {
            self.group()?;
        }
        self.write_mark()
    }

    fn turn(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        self.ask_space(now)?;
        if self.has_work() {
            self.group()?;
        }
        if self.due.mark.is_some_and(|due| due <= now) {
            self.write_mark()?;
        }
        let over = self.due.bytes_since_checkpoint >= CHECKPOINT_BYTES;
        if over || self.due.checkpoint.is_some_and(|due| due <= now) {
            self.due.checkpoint = None;
            let free = !self.staging.checkpointing.load(Ordering::Acquire);
            self.staging.checkpoint_due.fetch_or(free, Ordering::AcqRel);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        let space = self.staging.disk_low.load(Ordering::Relaxed).then_some(self.due.space + SPACE_RETRY);
        [space, self.due.mark, self.due.checkpoint].into_iter().flatten().min()
    }

    /// One write and sync of what there is, then the news.
    fn group(&mut self) -> Result<(), StoreError> {
        self.pulse.beat();
        let started = Instant::now();
        let mut group = Group { ticket: self.publish.borrow().ticket, records: 0, bytes: 0, dirty: false };
        while group.bytes < GROUP_BYTES_MAX {
            let Some(item) = self.backlog.pop_front() else { break };
            self.write(item, &mut group)?;
        }
        let phase = self.advance_checkpoint(&mut group)?;
        if group.dirty {
            self.store.sync()?;
            self.count_sync(started);
        }
        self.pulse.beat();
        self.announce(&group);
        self.end_checkpoint(phase)
    }

    fn write(&mut self, item: Item<F>, group: &mut Group) -> Result<(), StoreError> {
        match item {
            Item::Step { ticket, step } => {
                group.ticket = ticket;
                self.reserve_clock(step.clock, group)?;
                self.write_step(&step, group)?;
            }
            Item::Meta { ticket, key, value } => {
                group.ticket = ticket;
                meta::put_extra(&mut *self.store, &key, &value)?;
                group.bytes += value.len();
                group.dirty = true;
            }
            Item::Checkpoint { parts } => self.begin_checkpoint(parts),
        }
        Ok(())
    }

    fn write_step(&mut self, step: &Step<F::Record>, group: &mut Group) -> Result<(), StoreError> {
        let (store, counters, bytes) = (&mut self.store, &self.staging.counters, &mut group.bytes);
        self.chain.write(&step.records, step.time, |first, block| {
            *bytes += block.len();
            counters.blocks.fetch_add(1, Ordering::Relaxed);
            store.put(F::LOG, &first.0.to_be_bytes(), block)
        })?;
        group.records += step.records.len();
        group.dirty |= !step.records.is_empty();
        Ok(())
    }

    /// The reserve goes ahead of the clock by half of itself at least, and into the same group as what needs it.
    fn reserve_clock(&mut self, clock: Stamp, group: &mut Group) -> Result<(), StoreError> {
        if clock.0.saturating_add(CLOCK_RESERVE / 2) <= self.clock_reserve.0 {
            return Ok(());
        }
        self.clock_reserve = Stamp(clock.0.saturating_add(CLOCK_RESERVE));
        group.dirty = true;
        meta::put_clock(&mut *self.store, self.clock_reserve)
    }

    fn count_sync(&mut self, started: Instant) {
        let counters = &self.staging.counters;
        let micros = started.elapsed().as_micros() as u64;
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        counters.sync_us.store(micros, Ordering::Relaxed);
        counters.sync_us_max.fetch_max(micros, Ordering::Relaxed);
    }

    fn announce(&mut self, group: &Group) {
        let counters = &self.staging.counters;
        counters.bytes.fetch_add(group.bytes as u64, Ordering::Relaxed);
        self.staging.records.fetch_sub(group.records, Ordering::AcqRel);
        let tip = self.chain.tip();
        let durable = Durable { ticket: group.ticket, seq: tip.seq, hash: tip.hash, block: tip.block };
        if *self.publish.borrow() != durable {
            self.publish.send_replace(durable);
        }
        if group.records > 0 {
            let now = Instant::now();
            self.due.mark.get_or_insert(now + MARK_EVERY);
            self.due.checkpoint.get_or_insert(now + CHECKPOINT_EVERY);
            self.due.bytes_since_checkpoint += group.bytes as u64;
        }
    }

    /// A second checkpoint while one is being written, or one of the same state, is not worth writing.
    fn begin_checkpoint(&mut self, parts: Parts<F>) {
        let tip = self.chain.tip();
        let same = self.checkpoint.as_ref().map_or(tip.block == 0, |old| old.seq == tip.seq);
        if self.writing.is_none() && same {
            self.staging.checkpointing.store(false, Ordering::Release);
        }
        if self.writing.is_none() && !same {
            self.writing = Some(Writing::new(tip, parts, self.checkpoint.as_ref()));
            self.due.checkpoint = None;
            self.due.bytes_since_checkpoint = 0;
        }
    }

    fn advance_checkpoint(&mut self, group: &mut Group) -> Result<Option<Phase>, StoreError> {
        let Some(writing) = &mut self.writing else { return Ok(None) };
        group.dirty = true;
        writing.advance(&mut *self.store).map(Some)
    }

    /// After the sync of the group in which the checkpoint was named, the mark follows; after the last, it is done.
    fn end_checkpoint(&mut self, phase: Option<Phase>) -> Result<(), StoreError> {
        match (phase, &mut self.writing) {
            (Some(Phase::Done), writing) => {
                self.checkpoint = writing.take().map(Writing::into_named);
                self.staging.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
                self.staging.checkpointing.store(false, Ordering::Release);
                self.write_mark()
            }
            _ => Ok(()),
        }
    }

    fn write_mark(&mut self) -> Result<(), StoreError> {
        self.due.mark = None;
        self.store.inspect()?;
        let tip = self.chain.tip();
        match &mut self.mark {
            Some(mark) if mark.newest().is_none_or(|newest| newest.seq != tip.seq) => {
                self.pulse.beat();
                mark.write(tip.seq, tip.hash)?;
                self.pulse.beat();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn ask_space(&mut self, now: Instant) -> Result<(), StoreError> {
        if now < self.due.space + SPACE_EVERY {
            return Ok(());
        }
        self.due.space = now;
        let free = self.space.free_bytes()?;
        self.staging.counters.disk_free.store(free, Ordering::Relaxed);
        self.staging.disk_low.store(free < self.space.low_water_bytes(), Ordering::Relaxed);
        Ok(())
    }
}
