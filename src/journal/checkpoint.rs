//! Checkpoints: the state written out, so that recovery replays only later blocks.
//!
//! In: the fold's parts as of some sequence. They are packed into chunks of at most a block's size, under (sequence,
//! index) big endian in their tree, a few with each group, so that no acknowledgement waits for a big write. Order of
//! syncs: chunks; then the one `meta` value that names them; then the old chunks go. A crash anywhere leaves a whole
//! checkpoint named, and left-over chunks that the next recovery removes.

use std::collections::BTreeMap;
use std::vec;

use serde::{Deserialize, Serialize};

use super::block::Tip;
use super::codec::{self, CodecError};
use super::meta::{CHECKPOINT_KEY, CHECKPOINT_KEY_OF_FORMAT_1};
use super::sealed::State;
use super::store::{Store, StoreError, StoreRead, remove_from, tree_named, trees_of};
use crate::limits::{
    BLOCK_BYTES_MAX, CHECKPOINT_BYTES, CHECKPOINT_BYTES_MIN, CHECKPOINT_CHUNKS_PER_GROUP,
    CHECKPOINT_REMOVED_PER_GROUP, CHECKPOINT_STATE_SHARE,
};
use crate::model::fold::{Fold, Tree};
use crate::model::format_1::OfFormat1 as _;
use crate::types::{Hash, Seq};

/// A fold's parts, each with its tree.
pub(crate) type Parts<F> = Vec<(Tree, <F as Fold>::Part)>;

/// Which checkpoint there is: the `meta` value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// State as of this record;
    pub seq: Seq,
    /// the block that ends there,
    pub block: u64,
    /// and its hash.
    pub hash: Hash,
    trees: Vec<(String, Chunks)>,
    /// Its parts are as that format wrote them.
    #[serde(skip)]
    of_format_1: bool,
}

/// What one tree holds of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Chunks {
    count: u32,
    /// Each chunk's hash, hashed with the one before.
    hash: Hash,
}

impl Chunks {
    fn add(&mut self, chunk: &[u8]) {
        self.count += 1;
        self.hash = chain(self.hash, chunk);
    }
}

fn chain(before: Hash, chunk: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0).update(chunk);
    Hash(*hasher.finalize().as_bytes())
}

fn key(seq: Seq, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&seq.0.to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

impl Checkpoint {
    /// The end of the chain that the state stands for.
    pub(crate) fn tip(&self) -> Tip {
        Tip { seq: self.seq, block: self.block, hash: self.hash }
    }

    /// About its size. The last chunk of each tree is not counted: it may be small.
    fn bytes(&self) -> u64 {
        let chunks = self.trees.iter().map(|(_, chunks)| u64::from(chunks.count.saturating_sub(1)));
        chunks.sum::<u64>() * BLOCK_BYTES_MAX as u64
    }

    /// The checkpoint that the store names.
    pub(super) fn load(store: &dyn StoreRead) -> Result<Option<Checkpoint>, StoreError> {
        if let Some(bytes) = store.get(Tree::Meta, CHECKPOINT_KEY)? {
            return Ok(Some(codec::decode(&bytes)?));
        }
        let Some(bytes) = store.get(Tree::Meta, CHECKPOINT_KEY_OF_FORMAT_1)? else { return Ok(None) };
        Ok(Some(Checkpoint { of_format_1: true, ..codec::decode(&bytes)? }))
    }

    /// The chunks as they are.
    pub(super) fn chunks(&self, store: &dyn StoreRead) -> Result<State, StoreError> {
        let mut state = State::new();
        for (name, chunks) in self.trees.iter().filter(|_| !self.of_format_1) {
            let tree = tree_named(name).ok_or_else(|| damaged(name, "is not a tree"))?;
            let chunk = |index| match store.get(tree, &key(self.seq, index))? {
                Some(chunk) => Ok(chunk),
                None => Err(damaged(name, "lacks a chunk")),
            };
            state.push((tree, (0..chunks.count).map(chunk).collect::<Result<_, StoreError>>()?));
        }
        Ok(state)
    }

    /// Reads all parts: by tree, within it in the order they were given.
    pub(super) fn parts<F: Fold>(&self, store: &dyn StoreRead) -> Result<Parts<F>, StoreError> {
        let decode = if self.of_format_1 { F::Part::first_of_format_1 } else { codec::decode_first };
        let mut parts = Vec::new();
        for (name, chunks) in &self.trees {
            let tree = tree_named(name).ok_or_else(|| damaged(name, "is not a tree"))?;
            let mut hash = Hash::default();
            for index in 0..chunks.count {
                let chunk = store.get(tree, &key(self.seq, index))?;
                let chunk = chunk.ok_or_else(|| damaged(name, "lacks a chunk"))?;
                hash = chain(hash, &chunk);
                let mut rest = &chunk[..];
                while !rest.is_empty() {
                    parts.push((tree, decode(&mut rest)?));
                }
            }
            if hash != chunks.hash {
                return Err(damaged(name, "is not as it was written"));
            }
        }
        Ok(parts)
    }
}

/// Whether so many bytes of blocks behind `old` are worth another one. `late`: it was long ago.
pub(super) fn is_due(old: Option<&Checkpoint>, bytes: u64, late: bool) -> bool {
    let state = old.map_or(0, Checkpoint::bytes);
    let most = state.saturating_mul(CHECKPOINT_STATE_SHARE).clamp(CHECKPOINT_BYTES_MIN, CHECKPOINT_BYTES);
    bytes >= most || late && bytes >= state
}

fn damaged(tree: &str, what: &str) -> StoreError {
    StoreError::Damaged(format!("checkpoint: {tree} {what}"))
}

/// Removes chunks that no checkpoint names: of one that was being written, or of one that was being removed.
pub(super) fn sweep(store: &mut dyn Store, log: Tree, named: Seq) -> Result<(), StoreError> {
    let reader = store.reader();
    for tree in trees_of(log).iter().filter(|tree| **tree != log && **tree != Tree::Meta) {
        remove_from(store, *tree, &key(named.next(), 0))?;
        while let Some((first, _)) = reader.scan(*tree, &[], 1)?.pop() {
            if first[..] >= key(named, 0)[..] {
                break;
            }
            store.remove(*tree, &first)?;
        }
    }
    Ok(())
}

/// A checkpoint on its way to the store. Each call of [`Writing::advance`] is one group's share; a sync follows it.
pub(super) struct Writing<P> {
    named: Checkpoint,
    parts: vec::IntoIter<(Tree, P)>,
    open: BTreeMap<Tree, Open>,
    old: Vec<(Tree, u32)>,
    old_seq: Seq,
    phase: Phase,
}

#[derive(Default)]
struct Open {
    buffer: Vec<u8>,
    chunks: Chunks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Chunks are being written.
    Chunks,
    /// All chunks are synced with this group; the next one names them.
    Name,
    /// The name is synced with this group; the old chunks go.
    Clean,
    /// Nothing is left to do.
    Done,
}

impl<P: Serialize> Writing<P> {
    /// Begins to write `parts`, the state as of `tip`, in place of `old`.
    pub(crate) fn new(tip: Tip, parts: Vec<(Tree, P)>, old: Option<&Checkpoint>) -> Writing<P> {
        let Tip { seq, block, hash } = tip;
        let named = Checkpoint { seq, block, hash, ..Checkpoint::default() };
        let trees = old.map(|old| old.trees.as_slice()).unwrap_or_default();
        Writing {
            named,
            parts: parts.into_iter(),
            open: BTreeMap::new(),
            old: trees.iter().filter_map(|(name, chunks)| Some((tree_named(name)?, chunks.count))).collect(),
            old_seq: old.map_or(Seq(0), |old| old.seq),
            phase: Phase::Chunks,
        }
    }

    /// Does the next share of the work.
    pub(crate) fn advance(&mut self, store: &mut dyn Store) -> Result<Phase, StoreError> {
        self.phase = match self.phase {
            Phase::Chunks => self.write_chunks(store)?,
            Phase::Name => {
                store.put(Tree::Meta, CHECKPOINT_KEY, &codec::encode(&self.named)?)?;
                store.remove(Tree::Meta, CHECKPOINT_KEY_OF_FORMAT_1)?;
                Phase::Clean
            }
            Phase::Clean | Phase::Done => self.clean(store)?,
        };
        Ok(self.phase)
    }

    /// What the store names from the moment that the group of [`Phase::Clean`] is synced.
    pub(crate) fn into_named(self) -> Checkpoint {
        self.named
    }

    fn write_chunks(&mut self, store: &mut dyn Store) -> Result<Phase, StoreError> {
        for _ in 0..CHECKPOINT_CHUNKS_PER_GROUP {
            if !self.write_chunk(store)? {
                let close = |(tree, open): (Tree, Open)| (tree.name().to_owned(), open.chunks);
                self.named.trees = std::mem::take(&mut self.open).into_iter().map(close).collect();
                return Ok(Phase::Name);
            }
        }
        Ok(Phase::Chunks)
    }

    /// Fills and writes one chunk; false when none is left.
    fn write_chunk(&mut self, store: &mut dyn Store) -> Result<bool, StoreError> {
        let seq = self.named.seq;
        for (tree, part) in self.parts.by_ref() {
            let open = self.open.entry(tree).or_default();
            let start = open.buffer.len();
            codec::encode_into(&part, &mut open.buffer)?;
            if open.buffer.len() - start > BLOCK_BYTES_MAX {
                return Err(CodecError::TooLong(open.buffer.len() - start).into());
            }
            if open.buffer.len() > BLOCK_BYTES_MAX {
                let next = open.buffer.split_off(start);
                open.write(store, tree, seq)?;
                open.buffer = next;
                return Ok(true);
            }
        }
        match self.open.iter_mut().find(|(_, open)| !open.buffer.is_empty()) {
            Some((tree, open)) => open.write(store, *tree, seq).map(|()| true),
            None => Ok(false),
        }
    }

    fn clean(&mut self, store: &mut dyn Store) -> Result<Phase, StoreError> {
        for _ in 0..CHECKPOINT_REMOVED_PER_GROUP {
            while self.old.last().is_some_and(|(_, left)| *left == 0) {
                self.old.pop();
            }
            let Some((tree, left)) = self.old.last_mut() else { return Ok(Phase::Done) };
            *left -= 1;
            store.remove(*tree, &key(self.old_seq, *left))?;
        }
        Ok(Phase::Clean)
    }
}

impl Open {
    fn write(&mut self, store: &mut dyn Store, tree: Tree, seq: Seq) -> Result<(), StoreError> {
        store.put(tree, &key(seq, self.chunks.count), &self.buffer)?;
        self.chunks.add(&self.buffer);
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunks: u32) -> Checkpoint {
        let chunks = Chunks { count: chunks + 1, hash: Hash::default() };
        Checkpoint { trees: vec![("inventory".into(), chunks)], ..Checkpoint::default() }
    }

    /// A large state is not written anew for a few rows, however long ago it was written.
    #[test]
    fn a_checkpoint_is_due_when_it_is_worth_its_size() {
        let mib = |n: u64| n << 20;
        let large = |size: u64| of((mib(size) / BLOCK_BYTES_MAX as u64) as u32);
        assert!(is_due(None, 0, true) && is_due(Some(&of(0)), 1, true));
        assert!(!is_due(None, mib(16) - 1, false) && is_due(None, mib(16), false));
        let five = large(5);
        assert!(!is_due(Some(&five), mib(5) - 1, true) && is_due(Some(&five), mib(5), true));
        assert!(!is_due(Some(&five), mib(15), false) && is_due(Some(&five), mib(16), false));
        assert!(!is_due(Some(&large(8)), mib(23), false) && is_due(Some(&large(8)), mib(24), false));
        let huge = large(40);
        assert!(!is_due(Some(&huge), mib(31), true) && is_due(Some(&huge), mib(32), false));
    }
}
