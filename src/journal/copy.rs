//! A store made of another's blocks: a backup, or what is restored from one.
//!
//! In: who it is, and blocks as they are, oldest first; each must follow the one before. Out: a node's directory that
//! opens like any other, once [`StoreCopy::finish`] has returned, and not before: it is born as every directory is
//! (see `dir`), so that a kill half way leaves one that was never born. An error takes away what was made.
//!
//! What is worth a segment goes into one, and the state at the end becomes a checkpoint, as if a node had written it: a
//! start need not read all of it, and who reads it needs no more memory than for the store that it was made of.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use super::block::{Block, ChainWriter, Tip};
use super::checkpoint::{Phase, Writing};
use super::dir::{NodeDir, close_to_others, make_private};
use super::lock::lock_until;
use super::meta::{self, Birth};
use super::open::{in_use, make_dir, move_in, name_node};
use super::sealed::{Builder, Carried, Filling, SealedPart, State, base_name, parts_of};
use super::sled_store::SledStore;
use super::store::{Store as _, StoreError, trees_of};
use super::{BlockError, OpenError};
use crate::limits::{GROUP_BYTES_MAX, SEAL_BYTES};
use crate::model::fold::Fold;
use crate::types::{Seq, Stamp, WallMicros};

/// Why a block was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// It is damaged.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// It is not the next one.
    #[error("block {number} does not follow block {after}")]
    NotNext {
        /// Which block came.
        number: u64,
        /// Which was the last.
        after: u64,
    },
    /// The new store failed.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// See the module's text.
pub(crate) struct StoreCopy<F: Fold> {
    node: NodeDir,
    cluster: String,
    /// Absent once it is closed.
    store: Option<SledStore>,
    sealed: SealedPart,
    /// The blocks behind that, on their way into a segment, and as they are, should they not be worth one.
    filling: Filling<F>,
    tail: Vec<(Seq, Vec<u8>)>,
    /// What was made here, to be removed if no store comes of it.
    made_dir: bool,
    named: bool,
    _lock: File,
}

impl<F: Fold> StoreCopy<F> {
    /// Takes a directory that has no store, and makes an empty store aside.
    ///
    /// # Errors
    /// A store is there, or things that are not ours; a process has the directory; the disk fails.
    pub(crate) fn begin(dir: &Path, birth: &Birth) -> Result<StoreCopy<F>, OpenError> {
        let (node, made_dir) = (NodeDir::new(dir), !dir.exists());
        make_dir(dir).map_err(OpenError::io(dir))?;
        let lock = lock_until(dir, false, Instant::now()).map_err(OpenError::io(dir))?;
        let lock = lock.ok_or_else(|| in_use(&node))?;
        if node.store().exists() {
            return Err(OpenError::Occupied(dir.to_owned()));
        }
        if let Some(found) = node.foreign().map_err(OpenError::io(dir))? {
            return Err(OpenError::NotOurs { dir: dir.to_owned(), found });
        }
        let named = node.node_json().exists();
        name_node(&node, birth, "")?;
        let (cluster, sealed, tail) = (birth.cluster.clone(), SealedPart::default(), Vec::new());
        let filling = Filling::new(Tip::default(), Some(Carried::new(F::default(), Tip::default())));
        let (store, _lock) = (None, lock);
        let mut copy = StoreCopy { node, cluster, store, sealed, filling, tail, made_dir, named, _lock };
        copy.make(birth)?;
        Ok(copy)
    }

    fn make(&mut self, birth: &Birth) -> Result<(), OpenError> {
        let path = self.node.store_tmp();
        if path.exists() {
            fs::remove_dir_all(&path).map_err(OpenError::io(&path))?;
        }
        make_private(&path).map_err(OpenError::io(&path))?;
        let mut store =
            SledStore::open(&path, trees_of(F::LOG), &mut None).map_err(OpenError::store(&path))?;
        meta::create(&mut store, birth, F::LOG).map_err(OpenError::store(&path))?;
        self.store = Some(store);
        Ok(())
    }

    /// The log begins behind `tip`, where its state was `state`: the rows before are in archives.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn begin_behind(&mut self, tip: Tip, state: &State) -> Result<(), OpenError> {
        self.put_base(tip, state).map_err(OpenError::store(&self.node.store_tmp()))
    }

    fn put_base(&mut self, tip: Tip, state: &State) -> Result<(), StoreError> {
        let first = tip.seq.next();
        self.sealed = SealedPart { first, end: tip };
        let base = Builder::new(tip).finish(state)?;
        let mut fold = F::default();
        parts_of::<F>(state)?.into_iter().for_each(|(_, part)| fold.restore(part));
        // An earlier version's state lacks something. Then the log is folded by whoever opens the copy.
        let carried = fold.is_whole().then(|| Carried::new(fold, tip));
        self.filling = Filling::new(tip, carried);
        self.store().reader().files().put(&base_name(first), &base)
    }

    fn store(&mut self) -> &mut SledStore {
        self.store.as_mut().unwrap_or_else(|| unreachable!("open until it is finished"))
    }

    /// Adds the next block as it is.
    ///
    /// # Errors
    /// See [`CopyError`]. Nothing was added.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<Block<F::Record>, CopyError> {
        let (block, tip) = (Block::<F::Record>::decode(bytes)?, self.filling.end());
        if !tip.links(&block.header, &block.seal) {
            return Err(CopyError::NotNext { number: block.header.number, after: tip.block });
        }
        self.add(block.header.first, bytes).map_err(OpenError::store(&self.node.store_tmp()))?;
        Ok(block)
    }

    fn add(&mut self, first: Seq, bytes: &[u8]) -> Result<(), StoreError> {
        self.filling.add(bytes)?;
        self.tail.push((first, bytes.to_vec()));
        if self.filling.is_full() { self.seal() } else { Ok(()) }
    }

    /// What is on its way becomes a segment.
    fn seal(&mut self) -> Result<(), StoreError> {
        let files = self.store().reader().files();
        let next = Filling::new(self.filling.end(), None);
        let full = std::mem::replace(&mut self.filling, next);
        let (sealed, carried) = full.seal(&*files, self.sealed, None)?;
        (self.sealed, self.filling) = (sealed, Filling::new(sealed.end, carried));
        self.tail.clear();
        Ok(())
    }

    /// Adds a record of its own behind the blocks.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub(crate) fn append(&mut self, record: &F::Record, time: WallMicros) -> Result<(), CopyError> {
        let mut sealed = Vec::new();
        let keep = |_, bytes: &[u8]| {
            sealed.push(bytes.to_vec());
            Ok::<(), StoreError>(())
        };
        let written = ChainWriter::new(self.filling.end()).write(std::slice::from_ref(record), time, keep);
        written.map_err(OpenError::store(&self.node.store_tmp()))?;
        sealed.iter().try_for_each(|block| self.put(block).map(drop))
    }

    /// What is left goes where a node's newest blocks are, with the state at the end.
    fn write_rest(&mut self, clock: Stamp) -> Result<Tip, StoreError> {
        if self.filling.bytes() >= SEAL_BYTES {
            self.seal()?;
        }
        let (sealed, tip, mut unsynced) = (self.sealed, self.filling.end(), 0);
        let parts = self.filling.state().map(Fold::parts);
        let tail = std::mem::take(&mut self.tail);
        let store = self.store();
        if sealed.end.seq > Seq(0) {
            meta::put_sealed(store, sealed)?;
        }
        for (first, block) in tail {
            store.put(F::LOG, &first.0.to_be_bytes(), &block)?;
            unsynced += block.len();
            if unsynced >= GROUP_BYTES_MAX {
                unsynced = 0;
                store.sync()?;
            }
        }
        if let Some(parts) = parts.filter(|_| tip.seq > Seq(0)) {
            let mut checkpoint = Writing::new(tip, parts, None);
            while checkpoint.advance(store)? != Phase::Done {
                store.sync()?;
            }
        }
        meta::put_clock(store, clock)?;
        store.sync()?;
        Ok(tip)
    }

    /// Syncs everything and puts the store in its place. No clock up to `clock` is used by whoever opens it.
    ///
    /// # Errors
    /// The disk fails; the directory is as if nothing had been begun.
    pub(crate) fn finish(mut self, clock: Stamp) -> Result<Tip, OpenError> {
        let path = self.node.store_tmp();
        let tip = self.write_rest(clock).map_err(OpenError::store(&path))?;
        drop(self.store.take());
        // It holds the key that the ledger is signed with.
        close_to_others(&path).map_err(OpenError::io(&path))?;
        move_in(&self.node, &self.cluster, tip)?;
        close_to_others(self.node.path()).map_err(OpenError::io(self.node.path()))?;
        Ok(tip)
    }
}

impl<F: Fold> Drop for StoreCopy<F> {
    fn drop(&mut self) {
        drop(self.store.take());
        if self.node.store().exists() {
            return;
        }
        // Files that cannot be removed do no harm: they are no store.
        let _ = fs::remove_dir_all(self.node.store_tmp());
        if !self.named {
            let _ = fs::remove_file(self.node.node_json());
        }
        if self.made_dir {
            let _ = fs::remove_dir(self.node.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::offline::open_copy;
    use super::super::open::open;
    use super::super::testing::{Count, Counts, add, birth, never};
    use super::*;
    use crate::limits::SEALED_BYTES_MAX;

    /// A log of so many blocks, each about 8 KiB, and what it adds up to.
    fn copied(dir: &Path, blocks: u64) -> Counts {
        let (mut state, mut log) = (Counts::default(), Vec::new());
        let mut chain = ChainWriter::new(Tip::default());
        for at in 1..=blocks {
            let records = vec![add(at as u16 % 7, at), Count::Note(vec![at as u8; 8_000])];
            state.take(at, &records);
            let keep = |_, bytes: &[u8]| {
                log.push(bytes.to_vec());
                Ok::<(), StoreError>(())
            };
            chain.write(&records, WallMicros(at), keep).unwrap();
        }
        let mut copy = StoreCopy::<Counts>::begin(dir, &birth()).unwrap();
        log.iter().for_each(|block| drop(copy.put(block).unwrap()));
        assert_eq!(copy.finish(Stamp(9)).unwrap(), chain.tip());
        state
    }

    /// Otherwise who reads a copy needs memory for all its blocks, and its first start reads all of them.
    #[test]
    fn a_copy_has_its_older_part_in_segments_and_starts_from_its_checkpoint() {
        let (small, large) = (SEAL_BYTES / 8_000 / 2, (SEALED_BYTES_MAX + 2 * SEAL_BYTES) / 8_000);
        for (blocks, segments) in [(3, 0), (small, 0), (large, 2)] {
            let dir = tempfile::tempdir().unwrap();
            let node = dir.path().join("warehouse");
            let state = copied(&node, blocks);
            let sealed = fs::read_dir(node.join("store/sealed")).map_or(0, Iterator::count);
            assert_eq!(sealed, segments, "of {blocks} blocks");
            let offline = open_copy(&node).unwrap();
            assert_eq!(offline.blocks(Seq(1)).map(Result::unwrap).count() as u64, blocks);
            assert_eq!(offline.folded::<Counts>(Seq(5)).unwrap().unwrap().state.last, Seq(5));
            drop(offline);
            let opened = open::<Counts>(&node, None, Some("test"), "", never()).unwrap();
            assert_eq!((opened.state, opened.recovery.replayed, opened.clock), (state, 0, Stamp(9)));
            opened.journal.close().unwrap();
        }
    }
}
