//! Moves blocks that a checkpoint covers from the trees into a segment. The segment is made by a thread of its own beside
//! the writer, or at once where there are no threads; what changes the store is the writer's, a share with each group.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::super::block::{Block, BlockHeader, Tip};
use super::super::checkpoint::Checkpoint;
use super::super::guard::panic_text;
use super::super::meta;
use super::super::staging::Staging;
use super::super::store::{Store, StoreError, StoreRead as _, key_seq};
use super::directory::name_of;
use super::pruner::prune;
use super::segment::bytes_of;
use super::{Builder, Keep, SealedPart, Sealing, State, TieredRead, parts_of, state_of};
use crate::limits::{
    CARRIED_BYTES_MAX, GROUP_BYTES_MAX, SEALED_BYTES_MAX, SEALED_REMOVED_PER_GROUP, SEGMENT_STATE_SHARE,
    STATE_APART_MIN,
};
use crate::model::fold::Fold;
use crate::types::Seq;

/// See the module's text.
pub(crate) struct Mover<F: Fold> {
    read: Arc<TieredRead>,
    staging: Arc<Staging<F>>,
    /// Fewer bytes are not worth a segment.
    least: u64,
    /// What of the log stays whole; all, if nothing is said.
    keep: Option<Keep>,
    /// There may be a segment to prune.
    look: bool,
    /// Segments are made by a thread.
    beside: bool,
    /// Bytes of blocks that are in the trees.
    bytes: u64,
    phase: Phase<F>,
    /// What was left when the last segment was made.
    carried: Option<Carried<F>>,
}

/// What a thread leaves for the writer.
type Slot<F> = Arc<Mutex<Option<Result<Made<F>, StoreError>>>>;

enum Phase<F> {
    Idle,
    /// No further segment is begun.
    Over,
    /// A thread is at it.
    Making(Slot<F>),
    /// The segment is durable; the next group names it.
    Name(SealedPart),
    /// The name is in the open group.
    Named(SealedPart),
    /// The name is durable; its blocks go.
    Clean,
}

/// What came of it.
enum Made<F> {
    /// A segment of so many bytes of blocks; with it this part is sealed, and this is carried on.
    Segment(SealedPart, u64, Option<Box<Carried<F>>>),
    /// There are but so many bytes of blocks, too few for one.
    Nothing(u64),
    /// Whether an old segment was pruned.
    Pruned(bool),
}

impl<F: Fold> Mover<F> {
    /// `tail_bytes` of blocks are behind the checkpoint; how many lie before it is not known.
    pub(crate) fn new(
        read: Arc<TieredRead>,
        staging: Arc<Staging<F>>,
        Sealing { bytes: least, keep }: Sealing,
        tail_bytes: u64,
    ) -> Mover<F> {
        let (bytes, look, phase) = (least.saturating_add(tail_bytes), keep.is_some(), Phase::Idle);
        Mover { read, staging, least, keep, look, beside: false, bytes, phase, carried: None }
    }

    /// From now on a thread makes the segments.
    pub(crate) fn work_beside(&mut self) {
        self.beside = true;
    }

    /// So many bytes of blocks were written.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// The writer has something to do for it.
    pub(crate) fn has_work(&self) -> bool {
        match &self.phase {
            Phase::Idle | Phase::Over => false,
            Phase::Making(slot) => lock(slot).is_some(),
            Phase::Name(_) | Phase::Named(_) | Phase::Clean => true,
        }
    }

    /// Begins a segment if there is enough for one up to the checkpoint, behind which are `tail_bytes`; else looks whether
    /// one is to be pruned.
    pub(crate) fn begin(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        tail_bytes: u64,
    ) -> Result<(), StoreError> {
        if !matches!(self.phase, Phase::Idle) {
            return Ok(());
        }
        let (read, part) = (self.read.clone(), self.read.sealed().part());
        let enough = self.bytes.saturating_sub(tail_bytes) >= self.least;
        if let Some(checkpoint) = checkpoint.filter(|it| enough && it.seq > part.end.seq) {
            let (until, state, least) = (checkpoint.tip(), checkpoint.chunks(&*self.read)?, self.least);
            let carried = self.carried.take();
            return self.work(tail_bytes, move || make::<F>(&read, part, (until, &state), least, carried));
        }
        match self.keep.filter(|_| std::mem::take(&mut self.look)) {
            Some(keep) => self.work(tail_bytes, move || prune::<F::Record>(&read, keep).map(Made::Pruned)),
            None => Ok(()),
        }
    }

    fn work(
        &mut self,
        tail_bytes: u64,
        work: impl FnOnce() -> Result<Made<F>, StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        if !self.beside {
            self.phase = self.take(work(), tail_bytes)?;
            return Ok(());
        }
        let (staging, slot) = (self.staging.clone(), Slot::default());
        self.phase = Phase::Making(slot.clone());
        let thread = thread::Builder::new().name("sealing".into()).spawn(move || {
            let made = caught(work);
            *lock(&slot) = Some(made);
            staging.poke();
        });
        Ok(thread.map(drop)?)
    }

    /// Does the next share of the work; true if it wrote to the store. A sync follows.
    pub(crate) fn advance(&mut self, store: &mut dyn Store, tail_bytes: u64) -> Result<bool, StoreError> {
        let made = if let Phase::Making(slot) = &self.phase { lock(slot).take() } else { None };
        if let Some(made) = made {
            self.phase = self.take(made, tail_bytes)?;
        }
        match self.phase {
            Phase::Name(part) => {
                meta::put_sealed(store, part)?;
                self.phase = Phase::Named(part);
                Ok(true)
            }
            Phase::Clean => {
                let keys = self.read.doubled(SEALED_REMOVED_PER_GROUP)?;
                keys.iter().try_for_each(|key| store.remove(F::LOG, key))?;
                if keys.is_empty() {
                    (self.phase, self.look) = (Phase::Idle, self.keep.is_some());
                }
                Ok(!keys.is_empty())
            }
            _ => Ok(false),
        }
    }

    fn take(&mut self, made: Result<Made<F>, StoreError>, tail_bytes: u64) -> Result<Phase<F>, StoreError> {
        match made {
            Ok(Made::Segment(part, bytes, carried)) => {
                self.carried = carried.map(|carried| *carried);
                self.bytes = self.bytes.saturating_sub(bytes);
                return Ok(Phase::Name(part));
            }
            Ok(Made::Nothing(bytes)) => self.bytes = bytes.saturating_add(tail_bytes),
            Ok(Made::Pruned(pruned)) => {
                self.look = pruned;
                // Others are read under other names from now on.
                self.read.look_again()?;
            }
            // What was to be moved is where it was; once there is room it is tried again.
            Err(StoreError::Full(why)) => {
                tracing::warn!("the log's older part stays as it is: the disk is full ({why})");
                self.bytes = tail_bytes;
            }
            Err(error) => return Err(error),
        }
        Ok(Phase::Idle)
    }

    /// What the last group wrote is durable.
    pub(crate) fn synced(&mut self) -> Result<(), StoreError> {
        if let Phase::Named(part) = self.phase {
            self.read.seal(part)?;
            self.phase = Phase::Clean;
        }
        Ok(())
    }

    /// No segment is begun any more. One that is being made is not waited for: what is not named is removed at the next
    /// start.
    pub(crate) fn end(&mut self) {
        if matches!(self.phase, Phase::Idle | Phase::Making(_)) {
            self.phase = Phase::Over;
        }
    }
}

/// A panic is a failure like any other: with nothing in the slot the writer would wait for ever, and nobody would be told.
fn caught<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    // Whatever it has left half-done is never looked at again.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = format!("the work on a segment panicked: {}", panic_text(&*panic));
        Err(StoreError::Panicked(why))
    })
}

fn lock<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that holds the lock can panic half-way.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a segment of the blocks behind `part`, up to `until`, whose state is `state`.
fn make<F: Fold>(
    read: &TieredRead,
    part: SealedPart,
    (until, state): (Tip, &State),
    least: u64,
    carried: Option<Carried<F>>,
) -> Result<Made<F>, StoreError> {
    let carried = match carried.filter(|carried| carried.end == part.end) {
        Some(carried) => Some(carried),
        None => Carried::at(read, part.end)?,
    };
    let mut filling = Filling { builder: Builder::new(part.end), carried, apart: STATE_APART_MIN };
    filling.fill(read, until)?;
    let Filling { builder, mut carried, .. } = filling;
    let (bytes, end) = (builder.raw_bytes(), builder.end());
    if bytes < least || end == part.end {
        return Ok(Made::Nothing(bytes));
    }
    let at_end = match &carried {
        _ if end == until => Cow::Borrowed(state),
        Some(carried) => Cow::Owned(state_of(&carried.state)?),
        None => Cow::Owned(State::new()),
    };
    let has_room = builder.has_room_for(&at_end);
    if let Some(carried) = carried.as_mut().filter(|_| has_room) {
        carried.since_state = 0;
    }
    let file = builder.finish(if has_room { &at_end } else { const { &State::new() } })?;
    let begin = part.end.seq.next();
    read.files().put(&name_of(begin, end.seq, false), &file)?;
    let first = if part.first == Seq(0) { begin } else { part.first };
    Ok(Made::Segment(SealedPart { first, end }, bytes, carried.map(Box::new)))
}

/// What the log adds up to where its sealed part ends: it goes on with each segment, and gives the states in it.
struct Carried<F> {
    state: F,
    end: Tip,
    /// Bytes of the blocks behind the last state that is in a segment.
    since_state: u64,
}

impl<F: Fold> Carried<F> {
    /// From the newest state that a segment has. None if that is far away, or something behind it is pruned.
    fn at(read: &TieredRead, end: Tip) -> Result<Option<Carried<F>>, StoreError> {
        let (tip, state) = read.sealed().state_before(end.seq)?.unwrap_or_default();
        let mut carried = Carried { state: F::default(), end: tip, since_state: 0 };
        parts_of::<F>(&state)?.into_iter().for_each(|(_, part)| carried.state.restore(part));
        if tip != Tip::default() && !carried.state.is_whole() {
            return Ok(None);
        }
        while carried.end.seq < end.seq && carried.since_state <= CARRIED_BYTES_MAX {
            let from = carried.end.seq.next().0.to_be_bytes();
            let blocks = read.scan(F::LOG, &from, GROUP_BYTES_MAX)?;
            let left = blocks.iter().take_while(|(key, _)| key_seq(key) <= end.seq);
            let mut taken = 0;
            for (_, bytes) in left {
                let Ok(block) = Block::<F::Record>::decode(bytes) else { return Ok(None) };
                if !carried.end.links(&block.header, &block.seal) {
                    return Ok(None);
                }
                carried.take(&block, bytes.len());
                taken += 1;
            }
            if taken == 0 {
                return Ok(None);
            }
        }
        Ok(Some(carried).filter(|carried| carried.end == end))
    }

    fn take(&mut self, block: &Block<F::Record>, bytes: usize) {
        block.rows().for_each(|(seq, record)| self.state.apply(seq, block.header.time, record));
        self.end = Tip::after(&block.header, &block.seal);
        self.since_state += bytes as u64;
    }
}

/// A segment that takes blocks.
struct Filling<F> {
    builder: Builder,
    carried: Option<Carried<F>>,
    /// So many bytes of blocks are to lie between two states.
    apart: u64,
}

impl<F: Fold> Filling<F> {
    /// Where nothing is carried there are no states on the way, and a question about a row is folded from far away. Then
    /// it may go on to the checkpoint, whose state the next one begins with.
    fn bytes_max(&self) -> u64 {
        if self.carried.is_some() { SEALED_BYTES_MAX } else { 2 * SEALED_BYTES_MAX }
    }

    fn fill(&mut self, read: &TieredRead, until: Tip) -> Result<(), StoreError> {
        loop {
            let from = self.builder.end().seq.next().0.to_be_bytes();
            let blocks = read.scan(F::LOG, &from, GROUP_BYTES_MAX)?;
            for (_, block) in &blocks {
                let beyond = BlockHeader::peek(block).is_ok_and(|header| header.last() > until.seq);
                if beyond || self.builder.raw_bytes() >= self.bytes_max() {
                    return Ok(());
                }
                self.add(block)?;
            }
            if blocks.is_empty() {
                return Ok(());
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let block = self.builder.add::<F::Record>(bytes)?;
        let Some(carried) = &mut self.carried else { return Ok(()) };
        carried.take(&block, bytes.len());
        if carried.since_state >= self.apart {
            let state = state_of(&carried.state)?;
            self.apart = STATE_APART_MIN.max(bytes_of(&state).saturating_mul(SEGMENT_STATE_SHARE));
            if carried.since_state >= self.apart {
                self.builder.add_state(&state)?;
                carried.since_state = 0;
            }
        }
        Ok(())
    }
}
