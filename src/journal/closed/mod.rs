//! `store/closed`: what sled held when its node was closed, for readers.
//!
//! A store is small beside the file in which sled keeps it, most of which is garbage; whoever reads a stopped node's store
//! has to copy that file, and to let sled recover the copy, before the first answer. So a node that is closed writes down
//! once what the trees hold: the blocks that no segment has, with an index as segments have it, and all other pairs.
//!
//! ```text
//! magic [8] | db: length u64, time i64, ns u32 | mark: seq u64, hash [32] | length u64 | BLAKE3 [32] | a segment
//! ```
//!
//! The segment's state is the pairs of the other trees, key and value by turns. The BLAKE3 is of everything else.
//!
//! It is derived, and stands for the store where nothing can have changed since: the mark is the same, and `db` has the
//! length and the time that it had. The owner removes it before it changes anything. Any other file of that name is
//! passed over, and sled's is read. A byte of `db` that went bad by itself changes neither length nor time: what checks
//! a store reads sled's file.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dir::{OWNER_FILE, sync_dir};
use super::guard::panic_text;
use super::look;
use super::sealed::{Builder, DirFiles, Directory, Files, State, sealed_part};
use super::sled_store::{LEFTOVER, SEALED};
use super::store::{Pair, Store, StoreError, StoreRead, key_seq, trees_of};
use crate::limits::{CLOSED_BYTES_MAX, COPY_BYTES, GROUP_BYTES_MAX};
use crate::model::fold::{Stored, Tree};
use crate::types::{Hash, Seq};

const MAGIC: [u8; 8] = *b"bazcls\x001";
/// Without the hash.
const FACTS_BYTES: usize = 8 + 8 + 8 + 4 + 8 + 32 + 8;
const HEAD_BYTES: usize = FACTS_BYTES + 32;

/// The file in a store's directory.
pub(super) fn path(store: &Path) -> PathBuf {
    store.join("closed")
}

/// What a file must be like for `closed` to stand for it, and where its log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    db_length: u64,
    db_time: (i64, u32),
    mark: (Seq, Hash),
}

impl Facts {
    fn of(db: &Metadata, mark: (Seq, Hash)) -> Facts {
        Facts { db_length: db.len(), db_time: (db.mtime(), db.mtime_nsec() as u32), mark }
    }

    fn encode(&self, length: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.db_length.to_le_bytes());
        bytes.extend_from_slice(&self.db_time.0.to_le_bytes());
        bytes.extend_from_slice(&self.db_time.1.to_le_bytes());
        bytes.extend_from_slice(&self.mark.0.0.to_le_bytes());
        bytes.extend_from_slice(&self.mark.1.0);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes
    }
}

/// What goes into the file; none if it would be too large, when sled's file is as good.
pub(super) fn image<R: Stored>(
    store: &dyn StoreRead,
    log: Tree,
    bytes_max: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(others) = pairs_of_others(store, log, bytes_max)? else { return Ok(None) };
    let mut builder = Builder::new(sealed_part(store)?.end);
    loop {
        let blocks = store.scan(log, &builder.end().seq.next().0.to_be_bytes(), GROUP_BYTES_MAX)?;
        blocks.iter().try_for_each(|(_, block)| builder.add::<R>(block).map(drop))?;
        if builder.raw_bytes() > bytes_max {
            return Ok(None);
        }
        if blocks.is_empty() {
            return builder.finish(&others).map(Some);
        }
    }
}

fn pairs_of_others(store: &dyn StoreRead, log: Tree, bytes_max: u64) -> Result<Option<State>, StoreError> {
    let (mut others, mut bytes) = (State::new(), 0);
    for tree in trees_of(log).iter().filter(|tree| **tree != log) {
        let (mut pairs, mut from) = (Vec::new(), Vec::new());
        loop {
            let found = store.scan(*tree, &from, GROUP_BYTES_MAX)?;
            let Some((last, _)) = found.last() else { break };
            from = [&last[..], &[0]].concat();
            bytes += found.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() as u64;
            pairs.extend(found.into_iter().flat_map(|(key, value)| [key, value]));
            if bytes > bytes_max {
                return Ok(None);
            }
        }
        others.push((*tree, pairs));
    }
    Ok(Some(others))
}

/// Keeps what the store holds for readers, who do without it if that fails.
pub(super) fn keep<R: Stored>(store: &dyn Store, log: Tree, mark: (Seq, Hash)) {
    let reader = store.reader();
    let image = || image::<R>(&*reader, log, CLOSED_BYTES_MAX);
    match catch_unwind(AssertUnwindSafe(|| store.keep_closed(mark, &image))) {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!("nothing is kept beside the store for readers: {error}"),
        Err(panic) => tracing::warn!("nothing is kept beside the store: {}", panic_text(&*panic)),
    }
}

/// Writes the file of a store that nobody changes any more: aside, and by rename, so that it is whole or not there.
pub(super) fn write(store: &Path, mark: (Seq, Hash), image: &[u8]) -> io::Result<()> {
    let facts = Facts::of(&fs::metadata(store.join("db"))?, mark).encode(image.len() as u64);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&facts).update(image);
    let (closed, temporary) = (path(store), store.join(format!("closed{LEFTOVER}")));
    let written = write_aside(&temporary, &[&facts, hasher.finalize().as_bytes(), image])
        .and_then(|()| fs::rename(&temporary, &closed));
    if written.is_err() {
        // What is left of it is removed at the next start, too.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_dir(store))
}

fn write_aside(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_FILE).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

/// Removes the file before its store is changed. The caller has the store locked.
pub(super) fn remove(store: &Path) -> io::Result<()> {
    match fs::remove_file(path(store)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_dir(store)),
    }
}

/// What the trees of a store hold, if its file is whole and stands for `db` as it is now and this mark. Otherwise none,
/// whatever the reason: sled's file says the same. The caller keeps the owner out.
pub(super) fn open(store: &Path, mark: (Seq, Hash)) -> Option<ClosedRead> {
    let found = look::kind(&path(store)).ok()?;
    let read = (found == look::Kind::File).then(|| read(store, mark))?;
    read.map_err(|why| tracing::debug!("{}: {why}", path(store).display())).ok()
}

fn read(store: &Path, mark: (Seq, Hash)) -> Result<ClosedRead, StoreError> {
    let other = |what: &str| StoreError::Damaged(what.to_owned());
    let mut file = File::open(path(store))?;
    let length = file.metadata()?.len().checked_sub(HEAD_BYTES as u64).ok_or_else(|| other("it is short"))?;
    let mut head = [0; HEAD_BYTES];
    file.read_exact(&mut head)?;
    let (facts, hash) = head.split_at(FACTS_BYTES);
    if facts != Facts::of(&fs::metadata(store.join("db"))?, mark).encode(length) {
        return Err(other("it is of another state of the store"));
    }
    if hash_of(facts, &mut file)?.0 != *hash {
        return Err(other("it is not as it was written"));
    }
    ClosedRead::new(Image { file, length }, store, mark)
}

fn hash_of(facts: &[u8], file: &mut File) -> io::Result<Hash> {
    file.seek(io::SeekFrom::Start(HEAD_BYTES as u64))?;
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; COPY_BYTES]);
    hasher.update(facts);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Hash(*hasher.finalize().as_bytes())),
            read => hasher.update(&buffer[..read]),
        };
    }
}

/// The segment in the file, under any name.
struct Image {
    file: File,
    length: u64,
}

impl Files for Image {
    fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    fn length(&self, _: &str) -> Result<u64, StoreError> {
        Ok(self.length)
    }

    fn read(&self, _: &str, at: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, HEAD_BYTES as u64 + at)?;
        Ok(bytes)
    }

    fn put(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Failed("it is read only".to_owned()))
    }

    fn remove(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Failed("it is read only".to_owned()))
    }
}

/// The trees of a closed store.
pub(super) struct ClosedRead {
    log: Tree,
    blocks: Arc<Directory>,
    others: BTreeMap<Tree, BTreeMap<Vec<u8>, Vec<u8>>>,
    files: Arc<DirFiles>,
}

impl ClosedRead {
    fn new(image: Image, store: &Path, mark: (Seq, Hash)) -> Result<ClosedRead, StoreError> {
        let blocks = Directory::of_one(Arc::new(image), "closed", mark)?;
        let state = blocks.state_before(Seq(u64::MAX))?.map(|(_, state)| state).unwrap_or_default();
        let mut others = BTreeMap::<Tree, BTreeMap<Vec<u8>, Vec<u8>>>::new();
        for (tree, pairs) in state {
            let mut pairs = pairs.into_iter();
            let tree = others.entry(tree).or_default();
            while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
                tree.insert(key, value);
            }
        }
        let log = if others.contains_key(&Tree::Inventory) { Tree::Ledger } else { Tree::Journal };
        let files = Arc::new(DirFiles::new(&store.join(SEALED)));
        Ok(ClosedRead { log, blocks: Arc::new(blocks), others, files })
    }

    /// The blocks that are in no segment, with what a segment's index says of them.
    pub(super) fn blocks(&self) -> Arc<Directory> {
        self.blocks.clone()
    }
}

impl StoreRead for ClosedRead {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.floor(tree, key)?.filter(|(found, _)| found == key).map(|(_, value)| value))
    }

    fn floor(&self, tree: Tree, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        if tree == self.log {
            return self.blocks.floor(key_seq(key));
        }
        let pairs = self.others.get(&tree);
        let found = pairs.and_then(|pairs| pairs.range(..=key.to_vec()).next_back());
        Ok(found.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn scan(&self, tree: Tree, from: &[u8], bytes_max: usize) -> Result<Vec<Pair>, StoreError> {
        if tree == self.log {
            // A longer key is one behind the row that it begins with.
            let first = if from.len() > 8 { key_seq(from).next() } else { key_seq(from) };
            return self.blocks.scan(first, bytes_max);
        }
        let Some(pairs) = self.others.get(&tree) else { return Ok(Vec::new()) };
        let mut bytes = 0;
        let fits = pairs.range(from.to_vec()..).take_while(|(_, value)| {
            let first = bytes == 0;
            bytes += value.len();
            first || bytes <= bytes_max
        });
        Ok(fits.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn files(&self) -> Arc<dyn Files> {
        self.files.clone()
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests;
