//! Moves blocks that a checkpoint covers from the trees into a segment. The segment is made by a thread of its own beside
//! the writer, or at once where there are no threads; what changes the store is the writer's, a share with each group.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::super::block::Tip;
use super::super::checkpoint::Checkpoint;
use super::super::guard::panic_text;
use super::super::meta;
use super::super::staging::Staging;
use super::super::store::{Store, StoreError, StoreRead as _};
use super::filling::{Carried, Filling};
use super::pruner::prune;
use super::{Keep, SealedPart, Sealing, State, TieredRead};
use crate::limits::SEALED_REMOVED_PER_GROUP;
use crate::model::fold::Fold;

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
    let mut filling = Filling::new(part.end, carried);
    filling.fill(read, until)?;
    let (bytes, end) = (filling.bytes(), filling.end());
    if bytes < least || end == part.end {
        return Ok(Made::Nothing(bytes));
    }
    let given = (end == until).then_some(state);
    let (sealed, carried) = filling.seal(&*read.files(), part, given)?;
    Ok(Made::Segment(sealed, bytes, carried.map(Box::new)))
}
