//! A store made of another's blocks: a backup, or what is restored from one.
//!
//! In: who it is, and blocks as they are, oldest first; each must follow the one before. Out: a node's directory that
//! opens like any other, once [`StoreCopy::finish`] has returned, and not before: it is born as every directory is
//! (see `dir`), so that a kill half way leaves one that was never born. An error takes away what was made.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use super::block::{ChainWriter, Sealed, Tip};
use super::dir::{NodeDir, close_to_others, make_private};
use super::lock::lock_until;
use super::meta::{self, Birth};
use super::open::{in_use, make_dir, move_in, name_node};
use super::sealed::{Builder, SealedPart, State, base_name};
use super::sled_store::SledStore;
use super::store::{Store as _, StoreError, trees_of};
use super::{BlockError, OpenError};
use crate::limits::GROUP_BYTES_MAX;
use crate::model::fold::{Stored, Tree};
use crate::types::{Stamp, WallMicros};

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
pub(crate) struct StoreCopy {
    node: NodeDir,
    cluster: String,
    /// Absent once it is closed.
    store: Option<SledStore>,
    log: Tree,
    tip: Tip,
    unsynced_bytes: usize,
    /// What was made here, to be removed if no store comes of it.
    made_dir: bool,
    named: bool,
    _lock: File,
}

impl StoreCopy {
    /// Takes a directory that has no store, and makes an empty store aside.
    ///
    /// # Errors
    /// A store is there, or things that are not ours; a process has the directory; the disk fails.
    pub(crate) fn begin(dir: &Path, birth: &Birth, log: Tree) -> Result<StoreCopy, OpenError> {
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
        let (tip, unsynced_bytes, cluster) = (Tip::default(), 0, birth.cluster.clone());
        let mut copy =
            StoreCopy { node, cluster, store: None, log, tip, unsynced_bytes, made_dir, named, _lock: lock };
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
            SledStore::open(&path, trees_of(self.log), &mut None).map_err(OpenError::store(&path))?;
        meta::create(&mut store, birth, self.log).map_err(OpenError::store(&path))?;
        self.store = Some(store);
        Ok(())
    }

    /// The log begins behind `tip`, where its state was `state`: the rows before are in archives.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn begin_behind(&mut self, tip: Tip, state: &State) -> Result<(), OpenError> {
        let path = self.node.store_tmp();
        let Some(store) = self.store.as_mut() else { unreachable!("open until it is finished") };
        let first = tip.seq.next();
        let written = Builder::new(tip).finish(state).and_then(|base| {
            store.reader().files().put(&base_name(first), &base)?;
            meta::put_sealed(store, SealedPart { first, end: tip })
        });
        written.map_err(OpenError::store(&path))?;
        self.tip = tip;
        Ok(())
    }

    /// Adds the next block as it is.
    ///
    /// # Errors
    /// See [`CopyError`]. Nothing was added.
    pub(crate) fn put(&mut self, block: &[u8]) -> Result<(), CopyError> {
        let sealed = Sealed::open(block)?;
        if !self.tip.links(&sealed.header, &sealed.seal) {
            return Err(CopyError::NotNext { number: sealed.header.number, after: self.tip.block });
        }
        self.write(&sealed, block).map_err(OpenError::store(&self.node.store_tmp()))?;
        Ok(())
    }

    /// Adds a record of its own behind the blocks.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub(crate) fn append<R: Stored>(&mut self, record: &R, time: WallMicros) -> Result<(), CopyError> {
        let mut sealed = Vec::new();
        let keep = |_, bytes: &[u8]| {
            sealed.push(bytes.to_vec());
            Ok::<(), StoreError>(())
        };
        let written = ChainWriter::new(self.tip).write(std::slice::from_ref(record), time, keep);
        written.map_err(OpenError::store(&self.node.store_tmp()))?;
        sealed.iter().try_for_each(|block| self.put(block))
    }

    fn write(&mut self, sealed: &Sealed<'_>, block: &[u8]) -> Result<(), StoreError> {
        let Some(store) = self.store.as_mut() else { unreachable!("open until it is finished") };
        store.put(self.log, &sealed.header.first.0.to_be_bytes(), block)?;
        self.tip = Tip::after(&sealed.header, &sealed.seal);
        self.unsynced_bytes += block.len();
        if self.unsynced_bytes >= GROUP_BYTES_MAX {
            self.unsynced_bytes = 0;
            store.sync()?;
        }
        Ok(())
    }

    /// Syncs everything and puts the store in its place. No clock up to `clock` is used by whoever opens it.
    ///
    /// # Errors
    /// The disk fails; the directory is as if nothing had been begun.
    pub(crate) fn finish(mut self, clock: Stamp) -> Result<Tip, OpenError> {
        let path = self.node.store_tmp();
        let Some(mut store) = self.store.take() else { unreachable!("open until it is finished") };
        let closed = meta::put_clock(&mut store, clock).and_then(|()| store.sync());
        closed.map_err(OpenError::store(&path))?;
        drop(store);
        // It holds the key that the ledger is signed with.
        close_to_others(&path).map_err(OpenError::io(&path))?;
        move_in(&self.node, &self.cluster, self.tip)?;
        close_to_others(self.node.path()).map_err(OpenError::io(self.node.path()))?;
        Ok(self.tip)
    }
}

impl Drop for StoreCopy {
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
