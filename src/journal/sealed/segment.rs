//! One segment: a run of blocks as they were written, compressed in frames, and an index of what is where.
//!
//! ```text
//! magic [8] | frame or state ... | state? | index | length of the index u32 | BLAKE3 of the index [32] | magic [8]
//! frame: LZ4 of ( length u32 | block ) ...      state: LZ4 of a checkpoint's chunks       numbers little endian
//! ```
//!
//! The last state is that at the end; those before stand between two frames, each at the end of the first one. The index
//! names these behind everything else, where builds before they came do not look.
//!
//! The index says of each frame which rows it holds, when they were written, which kinds and orders are among them, so
//! that a reader takes from the disk what may answer its question. Each piece has the hash of its compressed bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::block::{Block, Summary, Tip};
use super::super::codec;
use super::super::store::StoreError;
use super::Files;
use crate::limits::{BLOCK_BYTES_MAX, FRAME_BYTES, FRAME_PEERS_MAX, SEGMENT_STATE_SHARE};
use crate::model::fold::{Fold, Stored, Tree};
use crate::types::{Hash, Number, PeerId, Seq, WallMicros};

const MAGIC: [u8; 8] = *b"bazseg\x001";
const TAIL_BYTES: usize = 4 + 32 + MAGIC.len();
/// A frame ends with the block that fills it, and a state is a share of a segment; more is damage.
const RAW_BYTES_MAX: usize = 256 << 20;

/// Chunks of a checkpoint, by tree.
pub(crate) type State = Vec<(Tree, Vec<Vec<u8>>)>;

/// Where compressed bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    at: u64,
    stored: u32,
    raw: u32,
    check: Hash,
}

/// What the index says of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    pub piece: Piece,
    /// Its rows.
    pub first: Seq,
    pub last: Seq,
    /// Wall clock of the earliest and the latest block; clocks jump, so it need not be the first or last.
    pub times: (WallMicros, WallMicros),
    /// Of all its rows, see [`Summary`].
    pub kinds: u32,
    /// For each peer the lowest and highest number of its orders in it; none if there are too many peers to say.
    pub orders: Option<Vec<(PeerId, Number, Number)>>,
}

impl Frame {
    /// Whether a row about that order may be in it.
    pub(crate) fn may_show(&self, peer: PeerId, number: Number) -> bool {
        let shows =
            |(of, low, high): &(PeerId, Number, Number)| *of == peer && (*low..=*high).contains(&number);
        self.orders.as_ref().is_none_or(|orders| orders.iter().any(shows))
    }
}

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    /// The log's end before its first block, and with its last.
    pub before: Tip,
    pub end: Tip,
    pub frames: Vec<Frame>,
    /// The state at its end.
    pub state: Option<Piece>,
    /// States on the way there, and where the log stood at each.
    pub within: Vec<(Tip, Piece)>,
}

/// The rows before the frames, so that the index is read value by value: a frame may have many peers.
#[derive(Serialize, Deserialize)]
struct IndexHead {
    before: Tip,
    end: Tip,
    frames: u32,
    state: Option<Piece>,
}

impl Index {
    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let Index { before, end, state, .. } = *self;
        let mut bytes = codec::encode(&IndexHead { before, end, frames: self.frames.len() as u32, state })?;
        self.frames.iter().try_for_each(|frame| codec::encode_into(frame, &mut bytes))?;
        if !self.within.is_empty() {
            codec::encode_into(&self.within, &mut bytes)?;
        }
        Ok(bytes)
    }

    fn decode(mut bytes: &[u8]) -> Result<Index, StoreError> {
        let IndexHead { before, end, frames, state } = codec::decode_first(&mut bytes)?;
        let frames = (0..frames).map(|_| codec::decode_first(&mut bytes)).collect::<Result<_, _>>()?;
        let within = if bytes.is_empty() { Vec::new() } else { codec::decode_first(&mut bytes)? };
        Ok(Index { before, end, frames, state, within })
    }

    /// Reads the index of a segment.
    pub(crate) fn read(files: &dyn Files, name: &str) -> Result<Index, StoreError> {
        let damaged = || StoreError::Damaged(format!("the segment {name} is not as it was written"));
        let end = files.length(name)?.checked_sub(TAIL_BYTES as u64).ok_or_else(damaged)?;
        let tail = files.read(name, end, TAIL_BYTES)?;
        let (length, rest) = tail.split_first_chunk().ok_or_else(damaged)?;
        let (hash, magic) = rest.split_at(32);
        let length = u32::from_le_bytes(*length);
        let at = end.checked_sub(length.into()).filter(|_| magic == MAGIC).ok_or_else(damaged)?;
        let bytes = files.read(name, at, length as usize)?;
        if Hash::of(&bytes).0 != *hash {
            return Err(damaged());
        }
        Index::decode(&bytes).map_err(|_| damaged())
    }

    /// Wall clock of its latest block.
    pub(crate) fn latest(&self) -> WallMicros {
        self.frames.iter().map(|frame| frame.times.1).max().unwrap_or_default()
    }

    /// Everything that is compressed.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let within = self.within.iter().map(|(_, piece)| piece);
        self.frames.iter().map(|frame| &frame.piece).chain(within).chain(&self.state)
    }

    /// The newest state at or before `seq`, and where the log stood then.
    pub(crate) fn state_before(&self, seq: Seq) -> Option<(Tip, &Piece)> {
        let at_end = self.state.as_ref().map(|piece| (self.end, piece));
        let within = self.within.iter().rev().map(|(tip, piece)| (*tip, piece));
        at_end.into_iter().chain(within).find(|(tip, _)| tip.seq <= seq)
    }

    /// The frame that holds the row, or the first one behind it.
    pub(crate) fn frame_at(&self, seq: Seq) -> usize {
        self.frames.partition_point(|frame| frame.last < seq)
    }
}

/// Reads and unpacks a piece.
pub(crate) fn unpack(files: &dyn Files, name: &str, piece: &Piece) -> Result<Vec<u8>, StoreError> {
    let damaged = || StoreError::Damaged(format!("the segment {name} is not as it was written"));
    let bytes = files.read(name, piece.at, piece.stored as usize)?;
    if Hash::of(&bytes) != piece.check || piece.raw as usize > RAW_BYTES_MAX {
        return Err(damaged());
    }
    lz4_flex::block::decompress(&bytes, piece.raw as usize).map_err(|_| damaged())
}

/// What stands in an unpacked piece, each behind its length: the blocks of a frame, the chunks of a state.
pub(crate) fn parts(raw: &[u8]) -> Parts<'_> {
    Parts(raw)
}

/// See [`parts`].
pub(crate) struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(part)
    }
}

fn put_part(part: &[u8], raw: &mut Vec<u8>) {
    raw.extend_from_slice(&(part.len() as u32).to_le_bytes());
    raw.extend_from_slice(part);
}

/// The chunks of an unpacked state.
pub(crate) fn state(mut raw: &[u8]) -> Result<State, StoreError> {
    let mut state = State::new();
    while !raw.is_empty() {
        let (tree, count): (String, u32) = codec::decode_first(&mut raw)?;
        let tree = super::super::store::tree_named(&tree)
            .ok_or_else(|| StoreError::Damaged(format!("a segment's state: {tree} is not a tree")))?;
        let mut chunks = parts(raw);
        let taken: Vec<Vec<u8>> = chunks.by_ref().take(count as usize).map(<[u8]>::to_vec).collect();
        raw = chunks.rest();
        state.push((tree, taken));
    }
    Ok(state)
}

/// The pieces of a fold's state, of its chunks.
pub(crate) fn parts_of<F: Fold>(state: &State) -> Result<Vec<(Tree, F::Part)>, StoreError> {
    let mut pieces = Vec::new();
    for (tree, chunks) in state {
        for chunk in chunks {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                pieces.push((*tree, codec::decode_first(&mut rest)?));
            }
        }
    }
    Ok(pieces)
}

/// A fold's state in chunks, as a checkpoint has it.
pub(crate) fn state_of<F: Fold>(fold: &F) -> Result<State, StoreError> {
    let (mut state, mut failed) = (State::new(), None);
    fold.each_part(&mut |tree, part| match codec::encode(&part) {
        Ok(bytes) => add_to(&mut state, tree, bytes),
        Err(error) => failed = Some(error),
    });
    failed.map_or(Ok(state), |error| Err(error.into()))
}

fn add_to(state: &mut State, tree: Tree, bytes: Vec<u8>) {
    let at = state.iter().position(|(found, _)| *found == tree).unwrap_or_else(|| {
        state.push((tree, Vec::new()));
        state.len() - 1
    });
    let chunks = &mut state[at].1;
    match chunks.last_mut().filter(|chunk| chunk.len() + bytes.len() <= BLOCK_BYTES_MAX) {
        Some(chunk) => chunk.extend_from_slice(&bytes),
        None => chunks.push(bytes),
    }
}

/// Bytes of a state's chunks.
pub(crate) fn bytes_of(state: &State) -> u64 {
    state.iter().flat_map(|(_, chunks)| chunks).map(|chunk| chunk.len() as u64).sum()
}

/// A segment that is being made, in memory.
pub(crate) struct Builder {
    bytes: Vec<u8>,
    raw: Vec<u8>,
    open: Option<Open>,
    index: Index,
    raw_bytes: u64,
}

/// What is known of the frame that is being filled.
struct Open {
    first: Seq,
    times: (WallMicros, WallMicros),
    kinds: u32,
    orders: BTreeMap<PeerId, (Number, Number)>,
}

impl Builder {
    /// Of the blocks behind `before`.
    pub(crate) fn new(before: Tip) -> Builder {
        let index = Index { before, end: before, frames: Vec::new(), state: None, within: Vec::new() };
        Builder { bytes: MAGIC.to_vec(), raw: Vec::new(), open: None, index, raw_bytes: 0 }
    }

    /// Bytes of the blocks in it.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> Tip {
        self.index.end
    }

    /// Takes the next block, and gives it as it was read.
    ///
    /// # Errors
    /// It is damaged, or does not follow the one before: nothing leaves the store that cannot be read.
    pub(crate) fn add<R: Stored>(&mut self, bytes: &[u8]) -> Result<Block<R>, StoreError> {
        let damaged = |why: String| StoreError::Damaged(format!("a block that was to be sealed: {why}"));
        let block = Block::<R>::decode(bytes).map_err(|error| damaged(error.to_string()))?;
        if !self.index.end.links(&block.header, &block.seal) {
            return Err(damaged(format!("block {} does not follow the one before", block.header.number)));
        }
        self.index.end = Tip::after(&block.header, &block.seal);
        self.open.get_or_insert_with(|| Open::at(block.header.first, block.header.time)).note(&block);
        put_part(bytes, &mut self.raw);
        self.raw_bytes += bytes.len() as u64;
        if self.raw.len() >= FRAME_BYTES {
            self.close_frame()?;
        }
        Ok(block)
    }

    fn close_frame(&mut self) -> Result<(), StoreError> {
        let Some(Open { first, times, kinds, orders }) = self.open.take() else { return Ok(()) };
        let piece = self.pack()?;
        let orders = orders.into_iter().map(|(peer, (low, high))| (peer, low, high));
        let orders = Some(orders.collect::<Vec<_>>()).filter(|orders| orders.len() <= FRAME_PEERS_MAX);
        self.index.frames.push(Frame { piece, first, last: self.index.end.seq, times, kinds, orders });
        Ok(())
    }

    /// Compresses what is in `raw`, and looks whether it can be had back.
    fn pack(&mut self) -> Result<Piece, StoreError> {
        let packed = lz4_flex::block::compress(&self.raw);
        let back = lz4_flex::block::decompress(&packed, self.raw.len());
        if back.ok().as_ref() != Some(&self.raw) {
            return Err(StoreError::Failed("what was compressed cannot be had back".to_owned()));
        }
        let (at, check) = (self.bytes.len() as u64, Hash::of(&packed));
        let piece = Piece { at, stored: packed.len() as u32, raw: self.raw.len() as u32, check };
        self.bytes.extend_from_slice(&packed);
        self.raw.clear();
        Ok(piece)
    }

    /// Whether a state of so many bytes is worth its place in a segment of this size.
    pub(crate) fn has_room_for(&self, state: &State) -> bool {
        bytes_of(state) <= self.raw_bytes / SEGMENT_STATE_SHARE
    }

    /// Takes the state as of the last block.
    pub(crate) fn add_state(&mut self, state: &State) -> Result<(), StoreError> {
        self.close_frame()?;
        let piece = self.pack_state(state)?;
        self.index.within.push((self.index.end, piece));
        Ok(())
    }

    fn pack_state(&mut self, state: &State) -> Result<Piece, StoreError> {
        for (tree, chunks) in state {
            codec::encode_into(&(tree.name(), chunks.len() as u32), &mut self.raw)?;
            chunks.iter().for_each(|chunk| put_part(chunk, &mut self.raw));
        }
        self.pack()
    }

    /// The whole file. `state` is that at the end, if it is to be in it.
    pub(crate) fn finish(mut self, state: &State) -> Result<Vec<u8>, StoreError> {
        self.close_frame()?;
        if !state.is_empty() {
            self.index.state = Some(self.pack_state(state)?);
        }
        let index = self.index.encode()?;
        self.bytes.extend_from_slice(&index);
        self.bytes.extend_from_slice(&(index.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&Hash::of(&index).0);
        self.bytes.extend_from_slice(&MAGIC);
        Ok(self.bytes)
    }
}

impl Open {
    fn at(first: Seq, time: WallMicros) -> Open {
        Open { first, times: (time, time), kinds: 0, orders: BTreeMap::new() }
    }

    fn note<R: Stored>(&mut self, block: &Block<R>) {
        let time = block.header.time;
        self.times = (self.times.0.min(time), self.times.1.max(time));
        // A block of format 1 says nothing of its kinds.
        self.kinds |= block.header.summary.map_or(u32::MAX, |Summary { kinds, .. }| kinds);
        for record in &block.records {
            record.orders(&mut |peer, low, high| {
                let (least, most) = self.orders.entry(peer).or_insert((low, high));
                (*least, *most) = ((*least).min(low), (*most).max(high));
            });
        }
    }
}

const _: () = assert!(FRAME_BYTES + BLOCK_BYTES_MAX < RAW_BYTES_MAX);
