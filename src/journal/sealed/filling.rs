//! A segment on its way: it takes blocks, and with them the state goes on that stands in it at its end and, where that is
//! far, on the way there.

use std::borrow::Cow;

use super::super::block::{Block, BlockHeader, Tip};
use super::super::store::{StoreError, StoreRead as _, key_seq};
use super::directory::name_of;
use super::segment::bytes_of;
use super::{Builder, Files, SealedPart, State, TieredRead, parts_of, state_of};
use crate::limits::{
    CARRIED_BYTES_MAX, GROUP_BYTES_MAX, SEALED_BYTES_MAX, SEGMENT_STATE_SHARE, STATE_APART_MIN,
};
use crate::model::fold::Fold;
use crate::types::Seq;

/// What the log adds up to where its sealed part ends: it goes on with each segment, and gives the states in it.
pub(crate) struct Carried<F> {
    pub(crate) state: F,
    pub(crate) end: Tip,
    /// Bytes of the blocks behind the last state that is in a segment.
    since_state: u64,
}

impl<F: Fold> Carried<F> {
    /// That state, which a segment or a checkpoint has.
    pub(crate) fn new(state: F, end: Tip) -> Carried<F> {
        Carried { state, end, since_state: 0 }
    }

    /// From the newest state that a segment has. None if that is far away, or something behind it is pruned.
    pub(super) fn at(read: &TieredRead, end: Tip) -> Result<Option<Carried<F>>, StoreError> {
        let (tip, state) = read.sealed().state_before(end.seq)?.unwrap_or_default();
        let mut carried = Carried::new(F::default(), tip);
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
pub(crate) struct Filling<F> {
    builder: Builder,
    carried: Option<Carried<F>>,
    /// So many bytes of blocks are to lie between two states.
    apart: u64,
}

impl<F: Fold> Filling<F> {
    /// Of the blocks behind `end`, where the log adds up to what is carried, if that is known.
    pub(crate) fn new(end: Tip, carried: Option<Carried<F>>) -> Filling<F> {
        Filling { builder: Builder::new(end), carried, apart: STATE_APART_MIN }
    }

    /// Bytes of the blocks in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.builder.raw_bytes()
    }

    /// Where it ends so far.
    pub(crate) fn end(&self) -> Tip {
        self.builder.end()
    }

    /// What the log adds up to there, if that is known.
    pub(crate) fn state(&self) -> Option<&F> {
        self.carried.as_ref().map(|carried| &carried.state)
    }

    /// It takes no more blocks.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.bytes_max()
    }

    /// Writes the segment that follows `part`. `given` is the state at its end, where somebody has it already. Gives what
    /// is sealed with it, and what the next one begins with.
    pub(crate) fn seal(
        self,
        files: &dyn Files,
        part: SealedPart,
        given: Option<&State>,
    ) -> Result<(SealedPart, Option<Carried<F>>), StoreError> {
        let Filling { builder, mut carried, .. } = self;
        let (begin, end) = (part.end.seq.next(), builder.end());
        let at_end = match (given, &carried) {
            (Some(state), _) => Cow::Borrowed(state),
            (None, Some(carried)) => Cow::Owned(state_of(&carried.state)?),
            (None, None) => Cow::Owned(State::new()),
        };
        let has_room = builder.has_room_for(&at_end);
        if let Some(carried) = carried.as_mut().filter(|_| has_room) {
            carried.since_state = 0;
        }
        let file = builder.finish(if has_room { &at_end } else { const { &State::new() } })?;
        files.put(&name_of(begin, end.seq, false), &file)?;
        let first = if part.first == Seq(0) { begin } else { part.first };
        Ok((SealedPart { first, end }, carried))
    }

    /// Where nothing is carried there are no states on the way, and a question about a row is folded from far away. Then
    /// it may go on to the checkpoint, whose state the next one begins with.
    fn bytes_max(&self) -> u64 {
        if self.carried.is_some() { SEALED_BYTES_MAX } else { 2 * SEALED_BYTES_MAX }
    }

    pub(super) fn fill(&mut self, read: &TieredRead, until: Tip) -> Result<(), StoreError> {
        loop {
            let from = self.builder.end().seq.next().0.to_be_bytes();
            let blocks = read.scan(F::LOG, &from, GROUP_BYTES_MAX)?;
            for (_, block) in &blocks {
                let beyond = BlockHeader::peek(block).is_ok_and(|header| header.last() > until.seq);
                if beyond || self.is_full() {
                    return Ok(());
                }
                self.add(block)?;
            }
            if blocks.is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes the next block.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
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
