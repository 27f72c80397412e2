//! The one that writes: staged steps -> blocks -> store -> sync -> durable, a group at a time.
//!
//! A group is everything staged when the writer is free, up to [`GROUP_BYTES_MAX`]; the next one gathers meanwhile.
//! Nothing waits for a timer but lazy steps. A group has two halves: [`Writer::begin_sync`] writes it to the store,
//! [`Writer::finish_sync`] syncs and publishes it. A thread does one after the other; a pump does them at the times that
//! a simulation chooses.
//!
//! Holds: what is published as durable was written and synced before, with a clock reserve that covers it; a failed
//! write or sync is never tried again, since the page cache may have dropped the data that the next sync would then
//! vouch for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::watch;

use super::block::{ChainWriter, Tip};
use super::checkpoint::{self, Checkpoint, Parts, Phase, Writing};
use super::closed;
use super::guard::panic_text;
use super::mark::MarkKeeper;
use super::sealed::Mover;
use super::staging::{Item, Staging, Stop, Ticket, Wake};
use super::store::{Store, StoreError, StoreRead};
use super::time::Time;
use super::watchdog::Pulse;
use super::{Durable, Fatal, Fault, Step, meta};
use crate::limits::{CHECKPOINT_EVERY, CLOCK_RESERVE, GROUP_BYTES_MAX, MARK_EVERY};
use crate::model::fold::Fold;
use crate::types::Stamp;

/// Free space is asked for beside groups, at most this often; while it is short it is asked for this often without
/// them, too.
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
    mark: Option<Box<dyn MarkKeeper>>,
    time: Arc<dyn Time>,
    checkpoint: Option<Checkpoint>,
    writing: Option<Writing<F::Part>>,
    mover: Mover<F>,
    space: Arc<dyn StoreRead>,
    backlog: VecDeque<Item<F>>,
    /// Written and not yet synced.
    open: Option<Group>,
    /// Why nothing is written any more.
    failed: Option<StoreError>,
    due: Due,
}

/// When each of these things is to be done next; `None`: it is not.
#[derive(Default)]
struct Due {
    /// When free space was asked for last.
    space_asked: Option<Duration>,
    /// The mark is behind what is durable.
    mark: Option<Duration>,
    /// There are blocks that no checkpoint covers.
    checkpoint: Option<Duration>,
    bytes_since_checkpoint: u64,
}

/// A group that is written: everything that its sync makes durable.
struct Group {
    began: Duration,
    ticket: Ticket,
    /// The chain's end after it.
    tip: Tip,
    records: usize,
    bytes: usize,
    /// Something was written, hence must be synced.
    dirty: bool,
    /// How far it took a checkpoint.
    phase: Option<Phase>,
}

/// What a writer goes on from.
pub(super) struct Start<F: Fold> {
    pub store: Box<dyn Store>,
    pub staging: Arc<Staging<F>>,
    pub publish: watch::Sender<Durable>,
    pub fatal: Fatal,
    pub tip: Tip,
    pub clock_reserve: Stamp,
    pub mark: Option<Box<dyn MarkKeeper>>,
    pub time: Arc<dyn Time>,
    pub checkpoint: Option<Checkpoint>,
    /// Bytes of the blocks behind it.
    pub tail_bytes: u64,
    pub mover: Mover<F>,
}

impl<F: Fold> Writer<F> {
    pub(crate) fn new(start: Start<F>) -> Writer<F> {
        let covered = start.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.seq.0);
        let checkpoint = (start.tip.seq.0 > covered).then(|| start.time.now() + CHECKPOINT_EVERY);
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
            time: start.time,
            checkpoint: start.checkpoint,
            writing: None,
            mover: start.mover,
            backlog: VecDeque::new(),
            open: None,
            failed: None,
            // Otherwise each of many short lives replays what all before it have written.
            due: Due { checkpoint, bytes_since_checkpoint: start.tail_bytes, ..Due::default() },
        }
    }

    /// From now on segments are made by a thread of their own.
    pub(crate) fn seal_beside(&mut self) {
        self.mover.work_beside();
    }

    /// Looks for the first time whether there is space, before the journal is used.
    pub(crate) fn look_around(&mut self) -> Result<(), StoreError> {
        self.once(|writer| writer.ask_space(writer.time.now()))
    }

    /// Beats while a group is being written.
    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Tells how many bytes were free when they were last asked for, while they are too few.
    pub(crate) fn shortage(&self) -> impl Fn() -> Option<u64> + Send + Sync + use<F> {
        let staging = self.staging.clone();
        move || {
            let low = staging.disk_low.load(Ordering::Relaxed);
            low.then(|| staging.counters.disk_free.load(Ordering::Relaxed))
        }
    }

    fn has_work(&self) -> bool {
        !self.backlog.is_empty() || self.writing.is_some() || self.mover.has_work()
    }

    /// Until told to stop; a failure ends in `fatal`, and so does a panic inside the store. The last thing that it does
    /// is to tell `done`; the store is dropped after that, when the process most likely ends anyway.
    pub(crate) fn run(mut self, done: mpsc::Sender<Durable>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.serve()));
        self.pulse.end();
        if let Ok(Ok(Stop::Close)) = outcome {
            self.keep_closed();
        }
        match outcome {
            Ok(Ok(_)) => drop(done.send(*self.publish.borrow())),
            Ok(Err(error)) => (self.fatal)(Fault::of("journal", &error)),
            Err(panic) => {
                let error = StoreError::Panicked(format!("the store panicked: {}", panic_text(&*panic)));
                (self.fatal)(Fault::of("journal", &error));
            }
        }
    }

    /// Until told to stop; gives how.
    fn serve(&mut self) -> Result<Stop, StoreError> {
        loop {
            let wake = self.staging.take(self.has_work(), self.deadline(), &mut self.backlog);
            match wake {
                Wake::Work => self.turn().map(drop)?,
                Wake::Stop(Stop::Abandon) => return Ok(Stop::Abandon),
                Wake::Stop(Stop::Close) => return self.finish().map(|_| Stop::Close),
            }
        }
    }

    /// Moves what is staged to the backlog if a thread would wake up now, or if it is to be `all`; not while a group is
    /// open, when a thread would be busy.
    pub(crate) fn gather(&mut self, all: bool) {
        if self.open.is_none() {
            let work = all || self.has_work();
            self.staging.try_take(work, self.deadline(), &mut self.backlog);
        }
    }

    /// When a thread would wake up; `None` while a group is open, and after a failure.
    pub(crate) fn due(&self) -> Option<Duration> {
        match (&self.open, &self.failed) {
            (None, None) if self.has_work() => Some(self.time.now()),
            (None, None) => self.staging.due(self.deadline()),
            _ => None,
        }
    }

    /// Everything that was gathered becomes durable, a checkpoint in progress is completed, and the mark is written.
    pub(crate) fn finish(&mut self) -> Result<Durable, StoreError> {
        self.mover.end();
        while self.turn()? {}
        self.once(Writer::write_mark)?;
        Ok(*self.publish.borrow())
    }

    /// Keeps what the store holds for readers, after [`Writer::finish`].
    pub(crate) fn keep_closed(&self) {
        let Durable { seq, hash, .. } = *self.publish.borrow();
        closed::keep::<F::Record>(&*self.store, F::LOG, (seq, hash));
    }

    /// One whole group, if there is one.
    pub(crate) fn turn(&mut self) -> Result<bool, StoreError> {
        let open = self.begin_sync()?;
        self.finish_sync()?;
        Ok(open)
    }

    /// Writes a group of the backlog to the store; false if there is nothing that [`Writer::finish_sync`] has to finish.
    /// While a group is open no other is begun.
    pub(super) fn begin_sync(&mut self) -> Result<bool, StoreError> {
        self.once(|writer| match writer.open {
            Some(_) => Ok(true),
            None => writer.begin(),
        })
    }

    /// Syncs the open group and publishes it, if there is one.
    pub(super) fn finish_sync(&mut self) -> Result<(), StoreError> {
        self.once(|writer| match writer.open.take() {
            Some(group) => writer.sync(&group),
            None => Ok(()),
        })
    }

    /// Nothing is done after a failure: each later call gives the same one.
    fn once<T>(
        &mut self,
        work: impl FnOnce(&mut Writer<F>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = work(self);
        self.failed = outcome.as_ref().err().cloned();
        outcome
    }

    fn begin(&mut self) -> Result<bool, StoreError> {
        let now = self.time.now();
        self.ask_space(now)?;
        match self.has_work() {
            true => self.open = Some(self.write_group(now)?),
            false => self.keep_up(now)?,
        }
        Ok(self.open.is_some())
    }

    fn write_group(&mut self, began: Duration) -> Result<Group, StoreError> {
        self.pulse.beat();
        let (ticket, tip) = (self.publish.borrow().ticket, self.chain.tip());
        let mut group = Group { began, ticket, tip, records: 0, bytes: 0, dirty: false, phase: None };
        while group.bytes < GROUP_BYTES_MAX {
            let Some(item) = self.backlog.pop_front() else { break };
            self.write(item, &mut group)?;
        }
        self.advance_checkpoint(&mut group)?;
        group.dirty |= self.mover.advance(&mut *self.store, self.due.bytes_since_checkpoint)?;
        group.tip = self.chain.tip();
        Ok(group)
    }

    fn sync(&mut self, group: &Group) -> Result<(), StoreError> {
        if group.dirty {
            self.store.sync()?;
        }
        let now = self.time.now();
        if group.dirty {
            self.staging.counters.count_sync(now.saturating_sub(group.began).as_micros() as u64);
        }
        self.pulse.beat();
        self.announce(group, now);
        self.end_checkpoint(group.phase)?;
        self.mover.synced()?;
        self.mover.begin(self.checkpoint.as_ref(), self.due.bytes_since_checkpoint)?;
        self.keep_up(now)
    }

    /// Does what is due beside the groups: the mark, and a word to the loop that a checkpoint is.
    fn keep_up(&mut self, now: Duration) -> Result<(), StoreError> {
        if self.due.mark.is_some_and(|due| due <= now) {
            self.write_mark()?;
        }
        let late = self.due.checkpoint.is_some_and(|due| due <= now);
        let due = checkpoint::is_due(self.checkpoint.as_ref(), self.due.bytes_since_checkpoint, late);
        if late && !due {
            self.due.checkpoint = Some(now + CHECKPOINT_EVERY);
        }
        if due {
            self.due.checkpoint = None;
            let free = !self.staging.checkpointing.load(Ordering::Acquire);
            self.staging.checkpoint_due.fetch_or(free, Ordering::AcqRel);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Duration> {
        let low = self.staging.disk_low.load(Ordering::Relaxed);
        let space = self.due.space_asked.filter(|_| low).map(|asked| asked + SPACE_RETRY);
        [space, self.due.mark, self.due.checkpoint].into_iter().flatten().min()
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

    fn announce(&mut self, group: &Group, now: Duration) {
        let counters = &self.staging.counters;
        counters.bytes.fetch_add(group.bytes as u64, Ordering::Relaxed);
        self.staging.records.fetch_sub(group.records, Ordering::AcqRel);
        let tip = group.tip;
        let durable = Durable { ticket: group.ticket, seq: tip.seq, hash: tip.hash, block: tip.block };
        if *self.publish.borrow() != durable {
            self.publish.send_replace(durable);
        }
        if group.records > 0 {
            self.due.mark.get_or_insert(now + MARK_EVERY);
            self.due.checkpoint.get_or_insert(now + CHECKPOINT_EVERY);
            self.due.bytes_since_checkpoint += group.bytes as u64;
            self.mover.wrote(group.bytes);
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

    fn advance_checkpoint(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        group.dirty = true;
        group.phase = Some(writing.advance(&mut *self.store)?);
        Ok(())
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

    /// The mark says what was published, which is behind the chain's end while a group is open.
    fn write_mark(&mut self) -> Result<(), StoreError> {
        self.due.mark = None;
        self.store.inspect()?;
        let Durable { seq, hash, .. } = *self.publish.borrow();
        match &mut self.mark {
            Some(mark) if mark.newest().is_none_or(|(newest, _)| newest != seq) => {
                self.pulse.beat();
                mark.write(seq, hash)?;
                self.pulse.beat();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Asks at most every [`SPACE_EVERY`].
    fn ask_space(&mut self, now: Duration) -> Result<(), StoreError> {
        if self.due.space_asked.is_some_and(|asked| now < asked + SPACE_EVERY) {
            return Ok(());
        }
        self.due.space_asked = Some(now);
        let free = self.space.free_bytes()?;
        self.staging.counters.disk_free.store(free, Ordering::Relaxed);
        self.staging.disk_low.store(free < self.space.low_water_bytes(), Ordering::Relaxed);
        Ok(())
    }
}
