//! Moves blocks that a checkpoint covers from the trees into a segment. The segment is made by a thread of its own beside
//! the writer, or at once where there are no threads; what changes the store is the writer's, a share with each group.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::super::block::{BlockHeader, Tip};
use super::super::checkpoint::Checkpoint;
use super::super::meta;
use super::super::staging::Staging;
use super::super::store::{Store, StoreError, StoreRead as _};
use super::directory::name_of;
use super::pruner::prune;
use super::segment::bytes_of;
use super::{Builder, Keep, SealedPart, Sealing, State, TieredRead, parts_of, state_of};
use crate::limits::{
    GROUP_BYTES_MAX, SEALED_BYTES_MAX, SEALED_REMOVED_PER_GROUP, STATE_APART_MIN, STATE_APART_SHARE,
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
    phase: Phase,
    records: PhantomData<F>,
}

/// What a thread leaves for the writer.
type Slot = Arc<Mutex<Option<Result<Made, StoreError>>>>;

enum Phase {
    Idle,
    /// No further segment is begun.
    Over,
    /// A thread is at it.
    Making(Slot),
    /// The segment is durable; the next group names it.
    Name(SealedPart),
    /// The name is in the open group.
    Named(SealedPart),
    /// The name is durable; its blocks go.
    Clean,
}

/// What came of it.
enum Made {
    /// A segment of so many bytes of blocks; with it this part is sealed.
    Segment(SealedPart, u64),
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
        Mover { read, staging, least, keep, look, beside: false, bytes, phase, records: PhantomData }
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
            return self.work(tail_bytes, move || make::<F>(&read, part, until, &state, least));
        }
        match self.keep.filter(|_| std::mem::take(&mut self.look)) {
            Some(keep) => self.work(tail_bytes, move || prune::<F::Record>(&read, keep).map(Made::Pruned)),
            None => Ok(()),
        }
    }

    fn work(
        &mut self,
        tail_bytes: u64,
        work: impl FnOnce() -> Result<Made, StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        if !self.beside {
            self.phase = self.take(work(), tail_bytes)?;
            return Ok(());
        }
        let (staging, slot) = (self.staging.clone(), Slot::default());
        self.phase = Phase::Making(slot.clone());
        let thread = thread::Builder::new().name("sealing".into()).spawn(move || {
            let made = work();
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

    fn take(&mut self, made: Result<Made, StoreError>, tail_bytes: u64) -> Result<Phase, StoreError> {
        match made {
            Ok(Made::Segment(part, bytes)) => {
                self.bytes = self.bytes.saturating_sub(bytes);
                return Ok(Phase::Name(part));
            }
            Ok(Made::Nothing(bytes)) => self.bytes = bytes.saturating_add(tail_bytes),
            Ok(Made::Pruned(pruned)) => {
                self.look = pruned;
                // Others are read under other names from now on.
                self.read.seal(self.read.sealed().part())?;
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

fn lock<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that holds the lock can panic half-way.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a segment of the blocks behind `part`, up to `until`, whose state is `state`.
fn make<F: Fold>(
    read: &TieredRead,
    part: SealedPart,
    until: Tip,
    state: &State,
    least: u64,
) -> Result<Made, StoreError> {
    let mut filling = Filling::<F>::behind(read, part.end)?;
    filling.fill(read, until)?;
    let Filling { builder, folded, .. } = filling;
    let (bytes, end) = (builder.raw_bytes(), builder.end());
    if bytes < least || end == part.end {
        return Ok(Made::Nothing(bytes));
    }
    let at_end = match folded {
        _ if end == until => Cow::Borrowed(state),
        Some(folded) => Cow::Owned(state_of(&folded)?),
        None => Cow::Owned(State::new()),
    };
    let has_room = builder.has_room_for(&at_end);
    let file = builder.finish(if has_room { &at_end } else { const { &State::new() } })?;
    let begin = part.end.seq.next();
    read.files().put(&name_of(begin, end.seq, false), &file)?;
    let first = if part.first == Seq(0) { begin } else { part.first };
    Ok(Made::Segment(SealedPart { first, end }, bytes))
}

/// A segment that takes blocks, and what the log adds up to at its end.
struct Filling<F> {
    builder: Builder,
    /// None if the segment before does not have the state at its end.
    folded: Option<F>,
    /// So many bytes of blocks are to lie between two states.
    apart: u64,
}

impl<F: Fold> Filling<F> {
    fn behind(read: &TieredRead, before: Tip) -> Result<Filling<F>, StoreError> {
        let builder = Builder::new(before);
        Ok(Filling { builder, folded: state_at(read, before)?, apart: STATE_APART_MIN })
    }

    /// Without a state at its beginning it has none on its way, and a question about one of its rows is folded from far
    /// away. Then it may go on to `until`, where the state is known, and the next one has what this one lacks.
    fn bytes_max(&self) -> u64 {
        if self.folded.is_some() { SEALED_BYTES_MAX } else { 2 * SEALED_BYTES_MAX }
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

    fn add(&mut self, block: &[u8]) -> Result<(), StoreError> {
        let far = self.builder.raw_bytes_since_state() >= self.apart;
        if let Some(folded) = self.folded.as_ref().filter(|_| far) {
            let state = state_of(folded)?;
            self.apart = STATE_APART_MIN.max(bytes_of(&state).saturating_mul(STATE_APART_SHARE));
            if self.builder.raw_bytes_since_state() >= self.apart {
                self.builder.add_state(&state)?;
            }
        }
        let block = self.builder.add::<F::Record>(block)?;
        if let Some(folded) = &mut self.folded {
            block.rows().for_each(|(seq, record)| folded.apply(seq, block.header.time, record));
        }
        Ok(())
    }
}

/// What the log adds up to at `tip`, if a segment that ends there says it whole.
fn state_at<F: Fold>(read: &TieredRead, tip: Tip) -> Result<Option<F>, StoreError> {
    let mut folded = F::default();
    if tip == Tip::default() {
        return Ok(Some(folded));
    }
    let Some((_, state)) = read.sealed().state_before(tip.seq)?.filter(|(at, _)| *at == tip) else {
        return Ok(None);
    };
    parts_of::<F>(&state)?.into_iter().for_each(|(_, part)| folded.restore(part));
    Ok(Some(folded).filter(F::is_whole))
}
