//! A store whose log is whole to its readers: the sealed part from segments, the rest from the trees.

use std::sync::{Arc, PoisonError, RwLock};

use super::super::codec;
use super::super::meta::{self, Meta, SEALED_KEY};
use super::super::store::{Image, Pair, Store, StoreError, StoreRead, key_seq};
use super::archive::{Archive, Joined};
use super::{Directory, Files, SealedPart};
use crate::limits::SEALED_REMOVED_PER_GROUP;
use crate::model::fold::Tree;
use crate::types::{Hash, Seq};

/// The reading side.
pub(crate) struct TieredRead {
    inner: Arc<dyn StoreRead>,
    log: Tree,
    sealed: RwLock<Arc<Directory>>,
}

/// The writing side. What is written and removed goes to the trees.
pub(crate) struct Tiered {
    inner: Box<dyn Store>,
    read: Arc<TieredRead>,
}

impl Tiered {
    /// The store with the segments that its `meta` names.
    ///
    /// # Errors
    /// See [`Directory::open`].
    pub(crate) fn open(inner: Box<dyn Store>, log: Tree) -> Result<Tiered, StoreError> {
        let read = Arc::new(TieredRead::open(inner.reader(), log)?);
        Ok(Tiered { inner, read })
    }

    /// Removes what a crash left: files that are not named, and blocks that a segment has.
    pub(crate) fn sweep(&mut self, log: Tree) -> Result<(), StoreError> {
        self.read.sealed().sweep()?;
        loop {
            let doubled = self.read.doubled(SEALED_REMOVED_PER_GROUP)?;
            if doubled.is_empty() {
                return Ok(());
            }
            doubled.iter().try_for_each(|key| self.inner.remove(log, key))?;
        }
    }

    /// The reading side, which learns of new segments by [`TieredRead::seal`].
    pub(crate) fn read(&self) -> Arc<TieredRead> {
        self.read.clone()
    }
}

impl TieredRead {
    fn open(inner: Arc<dyn StoreRead>, log: Tree) -> Result<TieredRead, StoreError> {
        let sealed = Directory::open(inner.files(), sealed_part(&*inner)?)?;
        Ok(TieredRead { inner, log, sealed: RwLock::new(Arc::new(sealed)) })
    }

    /// The segments there are.
    pub(crate) fn sealed(&self) -> Arc<Directory> {
        self.sealed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this much of the log is read from segments: one more than before.
    pub(crate) fn seal(&self, part: SealedPart) -> Result<(), StoreError> {
        self.read_from(self.sealed().with_next(part)?);
        Ok(())
    }

    /// Segments have other names by now.
    pub(super) fn look_again(&self) -> Result<(), StoreError> {
        self.read_from(Directory::open(self.inner.files(), self.sealed().part())?);
        Ok(())
    }

    fn read_from(&self, sealed: Directory) {
        *self.sealed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sealed);
    }

    /// The first blocks of the trees that a segment has, too.
    pub(crate) fn doubled(&self, most: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let last = self.sealed().last();
        let (mut keys, mut from) = (Vec::new(), Vec::new());
        while keys.len() < most {
            let Some((key, _)) = self.inner.scan(self.log, &from, 1)?.into_iter().next() else { break };
            if key_seq(&key) > last {
                break;
            }
            from = [&key[..], &[0]].concat();
            keys.push(key);
        }
        Ok(keys)
    }
}

/// Which part of the log the store names as sealed.
pub(crate) fn sealed_part(store: &dyn StoreRead) -> Result<SealedPart, StoreError> {
    let bytes = store.get(Tree::Meta, SEALED_KEY)?;
    Ok(bytes.map(|bytes| codec::decode(&bytes)).transpose()?.unwrap_or_default())
}

/// The store as its owner reads it; as it stands if it is none yet.
///
/// # Errors
/// See [`Directory::open`].
pub(crate) fn whole(inner: Arc<dyn StoreRead>) -> Result<Arc<TieredRead>, StoreError> {
    let log = match meta::format(&*inner)? {
        Some(_) => meta::load(&*inner)?.log,
        None => Tree::Ledger,
    };
    Ok(Arc::new(TieredRead::open(inner, log)?))
}

/// The store with archives before it, in any order.
///
/// # Errors
/// See [`Directory::open`]; an archive is of another log, or does not lead up to the log's first row.
pub(crate) fn join(
    inner: Arc<dyn StoreRead>,
    meta: &Meta,
    archives: &[Arc<Archive>],
) -> Result<Arc<TieredRead>, StoreError> {
    let mut part = sealed_part(&*inner)?;
    let base = Directory::open(inner.files(), part)?.base()?.map(|(tip, _)| tip);
    let (mut left, mut before) = (archives.to_vec(), base.unwrap_or_default());
    let mut taken = Vec::new();
    while let Some(at) = left.iter().position(|it| it.cluster() == meta.cluster && it.part().end == before) {
        let archive = left.remove(at);
        (part.first, before) = (archive.part().first, archive.before()?);
        taken.push(archive);
    }
    if let Some(archive) = left.first() {
        let why = format!(
            "the archive {} has rows {} to {} of cluster {}, and the log here has row {} of {} next before it",
            archive.path().display(),
            archive.part().first,
            archive.part().end.seq,
            archive.cluster(),
            before.seq,
            meta.cluster
        );
        return Err(StoreError::Damaged(why));
    }
    let files: Arc<dyn Files> = Arc::new(Joined { archives: taken, rest: inner.files() });
    let sealed = Directory::open(files, part)?;
    Ok(Arc::new(TieredRead { inner, log: meta.log, sealed: RwLock::new(Arc::new(sealed)) }))
}

impl StoreRead for TieredRead {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if tree != self.log || key_seq(key) > self.sealed().last() {
            return self.inner.get(tree, key);
        }
        Ok(self.floor(tree, key)?.filter(|(found, _)| found == key).map(|(_, block)| block))
    }

    fn floor(&self, tree: Tree, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        let sealed = self.sealed();
        if tree != self.log || sealed.last() == Seq(0) {
            return self.inner.floor(tree, key);
        }
        if key_seq(key) > sealed.last()
            && let Some((found, block)) = self.inner.floor(tree, key)?
            && key_seq(&found) > sealed.last()
        {
            return Ok(Some((found, block)));
        }
        sealed.floor(key_seq(key))
    }

    fn scan(&self, tree: Tree, from: &[u8], bytes_max: usize) -> Result<Vec<Pair>, StoreError> {
        let sealed = self.sealed();
        let last = sealed.last();
        // A longer key is one behind the row that it begins with.
        let begin = if from.len() > 8 { key_seq(from).next() } else { key_seq(from) };
        if tree != self.log || last == Seq(0) || begin > last {
            return self.inner.scan(tree, from, bytes_max);
        }
        let mut pairs = sealed.scan(begin, bytes_max)?;
        let bytes: usize = pairs.iter().map(|(_, block)| block.len()).sum();
        let reached = pairs.last().is_none_or(|(_, block)| ends_with(block, last));
        if let (true, Some(left)) = (reached, bytes_max.checked_sub(bytes)) {
            pairs.extend(self.inner.scan(tree, &last.next().0.to_be_bytes(), left)?);
        }
        Ok(pairs)
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        self.inner.free_bytes()
    }

    fn low_water_bytes(&self) -> u64 {
        self.inner.low_water_bytes()
    }

    fn files(&self) -> Arc<dyn Files> {
        self.inner.files()
    }
}

fn ends_with(block: &[u8], last: Seq) -> bool {
    super::super::block::BlockHeader::peek(block).is_ok_and(|header| header.last() == last)
}

impl Store for Tiered {
    fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.inner.put(tree, key, value)
    }

    fn remove(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        self.inner.remove(tree, key)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    fn inspect(&self) -> Result<(), StoreError> {
        self.inner.inspect()
    }

    fn keep_closed(&self, mark: (Seq, Hash), image: &Image<'_>) -> Result<bool, StoreError> {
        self.inner.keep_closed(mark, image)
    }

    fn reader(&self) -> Arc<dyn StoreRead> {
        self.read.clone()
    }
}
