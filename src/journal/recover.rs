//! From a store to a running journal: checkpoint, then the blocks after it, each checked against the one before.
//!
//! Order, and the crash that would break it otherwise:
//! 1. Identity and format first: what is not ours is not touched.
//! 2. Blocks behind a break are removed, at or below the mark the start is refused: what was durable is not cut off.
//! 3. A store of an earlier format says that it is of this one before anything is written that the earlier one does not
//!    know: its build would take such blocks for a torn end, and remove them. The mark says so next, so that such a
//!    build refuses the directory untouched; if it were first, a store that has nothing new would be refused.
//! 4. Flush and sync before anything is published. A kill between flush and sync leaves records in the page cache; a
//!    restart would read them, answer by them, and lose them with the power.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::block::{Block, BlockError, Sealed, Tip};
use super::checkpoint::{self, Checkpoint};
use super::mark::MarkKeeper;
use super::meta::{self, Birth, FORMAT, FORMAT_SEALED, Meta};
use super::pump::Pump;
use super::reader::Reader;
use super::sealed::{Mover, Sealing, Tiered, TieredRead, parts_of};
use super::staging::{Staging, Ticket};
use super::store::{Store, StoreError, StoreRead, remove_from};
use super::time::Time;
use super::watchdog;
use super::writer::{Start, Writer};
use super::{Durable, Fatal, Fault, Journal, OpenError};
use crate::limits::{CLOCK_RESERVE, FLUSH_STALL_MAX, GROUP_BYTES_MAX, OWNER_LOOK_EVERY};
use crate::model::fold::Fold;
use crate::types::{Hash, SecretKey, Seq, Stamp};

/// What [`start`] needs beside the store.
pub struct Setup {
    /// The directory, for errors; any name for a store without one.
    pub dir: PathBuf,
    /// For a store that is new.
    pub birth: Option<Birth>,
    /// What the node is to sign with, if its store has no key yet: one of format 1 has none.
    pub key: Option<SecretKey>,
    /// Refuse any other.
    pub expect_cluster: Option<String>,
    /// The mark, if the store has one.
    pub mark: Option<Box<dyn MarkKeeper>>,
    /// When its older part moves into segments.
    pub sealing: Sealing,
    /// What all delays are measured by.
    pub time: Arc<dyn Time>,
    /// Called when a write or sync fails or stalls.
    pub fatal: Fatal,
}

/// A journal that runs, and the state that it holds.
pub struct Recovered<F: Fold> {
    /// The handle.
    pub journal: Journal<F>,
    /// Fold of all records.
    pub state: F,
    /// What it took.
    pub recovery: Recovery,
    /// The node's clock goes on from here: no value up to it is used again.
    pub clock: Stamp,
}

/// What recovery found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// First sequence in the log; 0 if it is empty.
    pub first: Seq,
    /// Last sequence.
    pub last: Seq,
    /// Up to here the log is in segments; 0 if none of it is.
    pub sealed: Seq,
    /// Records after the checkpoint.
    pub replayed: u64,
    /// Bytes of blocks that were removed behind a break; none of them was acknowledged.
    pub torn_bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The store is new.
    pub fresh: bool,
}

impl Recovery {
    /// The line that a node prints: `log` is `ledger` or `journal`, `pending` what it takes up again.
    pub(crate) fn line(&self, log: &str, pending: usize) -> String {
        let Recovery { first, last, torn_bytes, .. } = self;
        let ms = self.elapsed.as_millis();
        format!(
            "recovered {log} {first}..{last} in {ms} ms, {pending} pending replayed, torn tail {torn_bytes} B"
        )
    }
}

/// Recovers `store` and starts its writer, and the watchdog over it. The writer sleeps by the system's clock, so
/// `setup.time` must run at the same speed.
pub fn start<F: Fold>(store: Box<dyn Store>, setup: Setup) -> Result<Recovered<F>, OpenError> {
    start_watched(store, setup, Box::new(|| Ok(())))
}

/// The same; the watchdog looks now and then at what must hold of the directory.
pub(super) fn start_watched<F: Fold>(
    store: Box<dyn Store>,
    setup: Setup,
    look: watchdog::Look,
) -> Result<Recovered<F>, OpenError> {
    let (dir, fatal) = (setup.dir.clone(), setup.fatal.clone());
    let (mut recovered, Pump { mut writer, done }) = start_by_hand(store, setup)?;
    writer.seal_beside();
    let shortage = writer.shortage();
    // A flush of sled that found no room may never come back. Then the disk is full, not slow. The free space that was
    // asked for last is used here: asking now might hang, too.
    let stalled: Fatal = Arc::new(move |fault| match (shortage(), fault) {
        (Some(free), Fault::Failed(why)) => {
            fatal(Fault::Failed(format!("{why}; it is full, {free} bytes were free at last")));
        }
        (_, fault) => fatal(fault),
    });
    let watched = watchdog::watch(writer.pulse(), FLUSH_STALL_MAX, OWNER_LOOK_EVERY, look, stalled);
    watched.map_err(OpenError::io(&dir))?;
    let thread = thread::Builder::new().name("journal".into()).spawn(move || writer.run(done));
    recovered.journal.attach(thread.map_err(OpenError::io(&dir))?);
    Ok(recovered)
}

/// Recovers `store` like [`start`], without threads, and without a clock or randomness of its own. What fails later is
/// given by the pump's methods, not to `setup.fatal`.
pub fn start_by_hand<F: Fold>(
    store: Box<dyn Store>,
    setup: Setup,
) -> Result<(Recovered<F>, Pump<F>), OpenError> {
    let Setup { dir, birth, key, expect_cluster, mut mark, sealing, time, fatal } = setup;
    let began = time.now();
    let dir = dir.as_path();
    let at = OpenError::store(dir);
    refuse_newer(&*store.reader(), dir)?;
    let mut store = Tiered::open(store, F::LOG).map_err(&at)?;
    if let (Some(birth), None) = (birth, meta::format(&*store.reader()).map_err(&at)?) {
        meta::create(&mut store, &birth, F::LOG).map_err(&at)?;
    }
    let mut meta = identify::<F>(&*store.reader(), dir, expect_cluster.as_deref())?;
    let mut replay = Replay::<F>::from_checkpoint(&store.read(), dir)?;
    replay.run(&mut store, dir, mark.as_ref().and_then(|mark| mark.newest()))?;
    let first = first_seq::<F>(&*store.reader()).map_err(&at)?;
    let named = replay.checkpoint.as_ref().map_or(Seq(0), |named| named.seq);
    checkpoint::sweep(&mut store, F::LOG, named).map_err(&at)?;
    store.sweep(F::LOG).map_err(&at)?;
    let (clock, fresh) = (meta.clock_reserve, meta.starts == 0);
    meta.starts += 1;
    meta.clock_reserve = Stamp(clock.0.saturating_add(CLOCK_RESERVE));
    meta::put_starts(&mut store, meta.starts).map_err(&at)?;
    meta::put_clock(&mut store, meta.clock_reserve).map_err(&at)?;
    if let (None, Some(key)) = (meta.key, key) {
        meta::put_key(&mut store, key).map_err(&at)?;
        meta.key = Some(key);
    }
    let upgraded = meta.format < FORMAT;
    if upgraded {
        meta::put_format(&mut store).map_err(&at)?;
        meta.format = FORMAT;
    }
    store.sync().map_err(&at)?;
    if let (true, Some(mark)) = (upgraded, &mut mark) {
        mark.write(replay.tip.seq, replay.tip.hash).map_err(&at)?;
    }
    let Replay { state, tip, checkpoint, replayed, tail_bytes, torn_bytes } = replay;
    let elapsed = time.now().saturating_sub(began);
    let sealed = store.read().sealed().last();
    let recovery = Recovery { first, last: tip.seq, sealed, replayed, torn_bytes, elapsed, fresh };
    let (journal, mut pump) = connect(store, sealing, meta, mark, time, (tip, checkpoint, tail_bytes), fatal);
    pump.writer.look_around().map_err(&at)?;
    Ok((Recovered { journal, state, recovery, clock }, pump))
}

fn refuse_newer(store: &dyn StoreRead, dir: &Path) -> Result<(), OpenError> {
    match meta::format(store).map_err(OpenError::store(dir))? {
        Some(found) if found > FORMAT_SEALED => {
            Err(OpenError::Newer { dir: dir.to_owned(), found, known: FORMAT_SEALED })
        }
        _ => Ok(()),
    }
}

/// Refuses a store that is not what the caller means, before anything is written.
fn identify<F: Fold>(store: &dyn StoreRead, dir: &Path, cluster: Option<&str>) -> Result<Meta, OpenError> {
    let dir = || dir.to_owned();
    let at = OpenError::store(&dir());
    let meta = meta::load(store).map_err(&at)?;
    if let Some(expected) = cluster.filter(|expected| *expected != meta.cluster) {
        return Err(OpenError::OtherCluster { dir: dir(), found: meta.cluster, expected: expected.into() });
    }
    if meta.log != F::LOG {
        let (found, expected) = (meta.log.name().into(), F::LOG.name().into());
        return Err(OpenError::OtherLog { dir: dir(), found, expected });
    }
    Ok(meta)
}

fn first_seq<F: Fold>(store: &dyn StoreRead) -> Result<Seq, StoreError> {
    let first = store.scan(F::LOG, &[], 1)?.pop();
    Ok(first.map_or(Seq(0), |(key, _)| seq_of(&key)))
}

fn seq_of(key: &[u8]) -> Seq {
    Seq(key.try_into().map_or(0, u64::from_be_bytes))
}

/// State and place while the log is read.
struct Replay<F: Fold> {
    state: F,
    tip: Tip,
    checkpoint: Option<Checkpoint>,
    replayed: u64,
    /// Bytes of the blocks behind the checkpoint.
    tail_bytes: u64,
    torn_bytes: u64,
}

impl<F: Fold> Replay<F> {
    fn from_checkpoint(store: &TieredRead, dir: &Path) -> Result<Replay<F>, OpenError> {
        let at = OpenError::store(dir);
        let checkpoint = Checkpoint::load(store).map_err(&at)?;
        let mut state = F::default();
        let tip = checkpoint.as_ref().map_or(Tip::default(), Checkpoint::tip);
        if let Some(checkpoint) = &checkpoint {
            on_chain::<F>(store, dir, tip, "checkpoint")?;
            for (_, part) in checkpoint.parts::<F>(store).map_err(&at)? {
                state.restore(part);
            }
        }
        let whole = checkpoint.is_some() && state.is_whole();
        let (state, tip) = if whole { (state, tip) } else { base_of(store).map_err(&at)? };
        Ok(Replay { state, tip, checkpoint, replayed: 0, tail_bytes: 0, torn_bytes: 0 })
    }

    /// Applies all blocks behind the tip, up to the end or to a break, which is removed if nothing behind it was durable.
    fn run(&mut self, store: &mut dyn Store, dir: &Path, mark: Option<(Seq, Hash)>) -> Result<(), OpenError> {
        let at = OpenError::store(dir);
        let (mark, hash) = mark.unwrap_or_default();
        loop {
            let from = self.tip.seq.next().0.to_be_bytes();
            let blocks = store.reader().scan(F::LOG, &from, GROUP_BYTES_MAX).map_err(&at)?;
            if blocks.is_empty() {
                break;
            }
            for (_, bytes) in &blocks {
                match self.apply(bytes) {
                    Ok(()) => {}
                    Err(Flaw::Break(why)) => {
                        // What a checkpoint covers was durable, also where it is not used.
                        let named = self.checkpoint.as_ref().map_or(Seq(0), |named| named.seq);
                        self.cut(store, dir, mark.max(named), why)?;
                        break;
                    }
                    Err(Flaw::Unreadable(error)) => return Err(at(StoreError::Damaged(error.to_string()))),
                }
            }
        }
        if self.tip.seq < mark {
            return Err(OpenError::BehindMark { dir: dir.to_owned(), last: self.tip.seq, mark });
        }
        let marked = Tip { seq: mark, block: 0, hash };
        match mark {
            Seq(0) => Ok(()),
            _ => on_chain::<F>(&*store.reader(), dir, marked, "mark"),
        }
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let sealed = Sealed::open(bytes).map_err(|error| Flaw::Break(error.to_string()))?;
        if !self.tip.links(&sealed.header, &sealed.seal) {
            let (block, after) = (sealed.header.number, self.tip.block);
            return Err(Flaw::Break(format!("block {block} does not follow block {after}")));
        }
        let block = Block::<F::Record>::decode(bytes).map_err(Flaw::Unreadable)?;
        for (seq, record) in block.rows() {
            self.state.apply(seq, block.header.time, record);
        }
        self.replayed += u64::from(block.header.count);
        self.tail_bytes += bytes.len() as u64;
        self.tip = Tip::after(&sealed.header, &sealed.seal);
        Ok(())
    }

    /// Removes everything behind the tip, unless the mark says that it was durable.
    fn cut(&mut self, store: &mut dyn Store, dir: &Path, mark: Seq, why: String) -> Result<(), OpenError> {
        let next = self.tip.seq.next();
        if next <= mark {
            return Err(OpenError::Broken { dir: dir.to_owned(), at: next, mark, why });
        }
        let bytes = remove_from(store, F::LOG, &next.0.to_be_bytes()).map_err(OpenError::store(dir))?;
        self.torn_bytes += bytes;
        tracing::warn!("removed {bytes} B behind sequence {}: {why}", self.tip.seq);
        Ok(())
    }
}

/// What stops a replay.
enum Flaw {
    /// The block that belongs here is not there or not whole: what was written whole ends before it.
    Break(String),
    /// The block that belongs here, with records that this version cannot read. No power cut does that.
    Unreadable(BlockError),
}

/// The state before the log's first row, and where it stood then: where that is not row 1, the rows before are archived.
fn base_of<F: Fold>(store: &TieredRead) -> Result<(F, Tip), StoreError> {
    let mut state = F::default();
    let Some((tip, chunks)) = store.sealed().base()? else { return Ok((state, Tip::default())) };
    parts_of::<F>(&chunks)?.into_iter().for_each(|(_, part)| state.restore(part));
    match state.is_whole() {
        true => Ok((state, tip)),
        false => Err(StoreError::Damaged(format!(
            "the state before row {} lacks what is kept today",
            tip.seq.next()
        ))),
    }
}

/// The block that ends at `tip` is there, with that hash.
fn on_chain<F: Fold>(store: &dyn StoreRead, dir: &Path, tip: Tip, what: &str) -> Result<(), OpenError> {
    let block = store.floor(F::LOG, &tip.seq.0.to_be_bytes()).map_err(OpenError::store(dir))?;
    let found = block.as_ref().and_then(|(_, bytes)| Sealed::open(bytes).ok());
    if found.is_some_and(|block| block.header.last() == tip.seq && block.seal.hash == tip.hash) {
        return Ok(());
    }
    let why = format!("the block that the {what} names is not there");
    Err(OpenError::Broken { dir: dir.to_owned(), at: tip.seq, mark: tip.seq, why })
}

/// Whether the whole log of a store can be read, from its first block up to its mark at least. A start reads the blocks
/// behind the checkpoint alone; what was lost before it would go unseen. Changes the store: it is a copy.
pub(super) fn meets_mark<F: Fold>(
    store: &mut Tiered,
    dir: &Path,
    mark: Option<(Seq, Hash)>,
) -> Result<(), OpenError> {
    let at = OpenError::store(dir);
    meta::load(&*store.reader()).map_err(&at)?;
    Replay::<F>::from_checkpoint(&store.read(), dir)?.run(store, dir, mark)?;
    let (reader, mark) = (store.read(), mark.map_or(Seq(0), |(seq, _)| seq));
    let (_, mut tip) = base_of::<F>(&reader).map_err(&at)?;
    while tip.seq < mark {
        let from = tip.seq.next().0.to_be_bytes();
        let blocks = reader.scan(F::LOG, &from, GROUP_BYTES_MAX).map_err(&at)?;
        let broken =
            |why: String, tip: Tip| OpenError::Broken { dir: dir.to_owned(), at: tip.seq.next(), mark, why };
        if blocks.is_empty() {
            return Err(broken("the block that belongs there is gone".to_owned(), tip));
        }
        for (_, bytes) in &blocks {
            let sealed = Sealed::open(bytes).map_err(|error| broken(error.to_string(), tip))?;
            if !tip.links(&sealed.header, &sealed.seal) {
                return Err(broken(
                    format!("block {} does not follow the one before", sealed.header.number),
                    tip,
                ));
            }
            tip = Tip::after(&sealed.header, &sealed.seal);
        }
    }
    Ok(())
}

/// Puts a handle and a writer at the two ends of a staging area.
fn connect<F: Fold>(
    store: Tiered,
    sealing: Sealing,
    meta: Meta,
    mark: Option<Box<dyn MarkKeeper>>,
    time: Arc<dyn Time>,
    (tip, checkpoint, tail_bytes): (Tip, Option<Checkpoint>, u64),
    fatal: Fatal,
) -> (Journal<F>, Pump<F>) {
    let durable = Durable { ticket: Ticket(0), seq: tip.seq, hash: tip.hash, block: tip.block };
    let (publish, receiver) = watch::channel(durable);
    let reader = Reader { store: store.reader(), log: F::LOG, durable: receiver };
    let staging = Arc::new(Staging::<F>::new(time.clone()));
    let (clock_reserve, shared) = (meta.clock_reserve, staging.clone());
    let mover = Mover::new(store.read(), staging.clone(), sealing, tail_bytes);
    let start = Start {
        store: Box::new(store),
        staging: shared,
        publish,
        fatal,
        tip,
        clock_reserve,
        mark,
        time,
        checkpoint,
        tail_bytes,
        mover,
    };
    let (done, closed) = mpsc::channel();
    (Journal::new(staging, reader, meta, closed), Pump { writer: Writer::new(start), done })
}
