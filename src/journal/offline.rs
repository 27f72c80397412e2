//! Reading a store from outside its node, whether it stands open (a disk in memory) or in a stopped node's directory.
//!
//! A directory is read from a copy, since sled locks, has no read-only open, and changes what it opens.
//! Under a shared lock, which keeps the owner out: make the page cache true (what a killed process left in it must not be
//! shown and then lost), read the mark, copy, unlock; then open the copy. The directory itself is not changed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;

use super::block::{Block, BlockHeader, Tip};
use super::checkpoint::{Checkpoint, Parts};
use super::closed::{self, ClosedRead};
use super::derived;
use super::dir::{Life, NodeDir, NodeJson};
use super::guard::guarded;
use super::identity;
use super::lock::lock_until;
use super::look;
use super::meta::{self, FORMAT, Meta};
use super::page_cache::agree_with_disk_or_warn;
use super::reader::ReadError;
use super::sealed::{Archive, Directory, State, TieredRead, join, parts_of, whole};
use super::sled_store::{SEALED, SledStore, remove_leftovers};
use super::store::{Pair, Store as _, StoreError, StoreRead, TREES};
use super::{Mark, OpenError, mark};
use crate::limits::{GROUP_BYTES_MAX, OPEN_STALL_MAX};
use crate::model::fold::{Fold, Tree};
use crate::types::{Hash, OrderId, PeerId, Seq, WallMicros};

/// A node's store, open for reading. A copy goes with this value.
pub(crate) struct Offline {
    /// Who the node says it was at its last start; none of a store without a directory.
    pub node_json: Option<NodeJson>,
    /// Who it is.
    pub meta: Meta,
    /// What was durable at least.
    pub mark: Option<(Seq, Hash)>,
    /// The checkpoint that the store names.
    pub checkpoint: Option<Checkpoint>,
    store: Arc<TieredRead>,
    /// What is not in segments yet, where there is an index of it.
    tail: Option<Arc<Directory>>,
    /// Dropped last: the store in it is still open until then.
    _copy: Option<TempDir>,
}

/// Copies the directory and opens the copy.
pub(crate) fn open_copy(dir: &Path) -> Result<Offline, OpenError> {
    open_with_archives(dir, &[])
}

/// The same; a ledger goes on from the end of these archives of it.
pub(crate) fn open_with_archives(dir: &Path, archives: &[Arc<Archive>]) -> Result<Offline, OpenError> {
    copy_and_open(&born(dir)?, archives)
}

/// The same, from what the node wrote down of its store when it was closed, if that still holds. Damage to sled's file that
/// came later by itself is not seen.
pub(crate) fn open_as_closed(dir: &Path, archives: &[Arc<Archive>]) -> Result<Offline, OpenError> {
    let node = born(dir)?;
    match closed_of(&node)? {
        Some((mark, closed)) => open_closed(&node, mark, closed, archives),
        None => copy_and_open(&node, archives),
    }
}

fn born(dir: &Path) -> Result<NodeDir, OpenError> {
    let node = NodeDir::new(dir);
    match node.life()? {
        Life::Unborn => return Err(OpenError::Absent(dir.to_owned())),
        Life::Born(mark) => refuse_newer(dir, mark)?,
    }
    look::in_store(&node)?;
    Ok(node)
}

/// The mark, and what stands for the store. Both are read under the lock; neither can differ from what the disk has, since
/// the process that wrote them synced them, saw no failure, and wrote nothing after that.
fn closed_of(node: &NodeDir) -> Result<Option<(Mark, ClosedRead)>, OpenError> {
    let _lock = lock_shared(node)?;
    let mark = mark::read(&node.mark()).map_err(OpenError::io(&node.mark()))?;
    Ok(mark.and_then(|mark| Some((mark, closed::open(&node.store(), (mark.seq, mark.hash))?))))
}

fn open_closed(
    node: &NodeDir,
    mark: Mark,
    closed: ClosedRead,
    archives: &[Arc<Archive>],
) -> Result<Offline, OpenError> {
    let tail = closed.blocks();
    let (store, meta, checkpoint) =
        read(Arc::new(closed), archives).map_err(OpenError::store(&node.store()))?;
    let (node_json, mark) = (node.read_node_json(), Some((mark.seq, mark.hash)));
    identity::agrees(node, node_json.as_ref(), &meta)?;
    Ok(Offline { node_json, meta, mark, checkpoint, store, tail: Some(tail), _copy: None })
}

/// The log as a whole, who it is of, and its checkpoint.
type Read = (Arc<TieredRead>, Meta, Option<Checkpoint>);

fn read(store: Arc<dyn StoreRead>, archives: &[Arc<Archive>]) -> Result<Read, StoreError> {
    let meta = meta::load(&*store)?;
    let archives = if meta.log == Tree::Ledger { archives } else { &[] };
    let store = join(store, &meta, archives)?;
    let checkpoint = Checkpoint::load(&*store)?;
    Ok((store, meta, checkpoint))
}

fn copy_and_open(node: &NodeDir, archives: &[Arc<Archive>]) -> Result<Offline, OpenError> {
    let dir = node.path();
    let copy = TempDir::with_prefix("bazaar-").map_err(OpenError::io(&std::env::temp_dir()))?;
    let store = copy.path().join("store");
    let mark = copy_locked(node, &store)?.ok_or_else(|| OpenError::StoreWithoutMark(dir.to_owned()))?;
    let (path, shown, archives) = (store, node.store(), archives.to_vec());
    let (store, meta, checkpoint) = guarded(&node.db(), OPEN_STALL_MAX, move || {
        let at = OpenError::store(&shown);
        let store = SledStore::open_copy(&path, &shown, &TREES).map_err(&at)?.reader();
        read(store, &archives).map_err(&at)
    })?;
    let (node_json, mark) = (node.read_node_json(), Some((mark.seq, mark.hash)));
    identity::agrees(node, node_json.as_ref(), &meta)?;
    Ok(Offline { node_json, meta, mark, checkpoint, store, tail: None, _copy: Some(copy) })
}

fn refuse_newer(dir: &Path, mark: Mark) -> Result<(), OpenError> {
    match mark.format {
        found if found > FORMAT => Err(OpenError::Newer { dir: dir.to_owned(), found, known: FORMAT }),
        _ => Ok(()),
    }
}

fn lock_shared(node: &NodeDir) -> Result<File, OpenError> {
    let db = node.db();
    let lock = lock_until(&db, true, Instant::now()).map_err(OpenError::io(&db))?;
    lock.ok_or_else(|| OpenError::InUse { dir: node.path().to_owned(), by: node.owner() })
}

/// Gives the mark as the disk has it: what the kernel showed of it before may be more than that.
fn copy_locked(node: &NodeDir, to: &Path) -> Result<Option<Mark>, OpenError> {
    let lock = lock_shared(node)?;
    agree_with_disk_or_warn(node)?;
    let mark = mark::read(&node.mark()).map_err(OpenError::io(&node.mark()))?;
    copy_trees(&node.store(), to).map_err(OpenError::io(&node.store()))?;
    drop(lock);
    remove_leftovers(to).map_err(OpenError::io(to))?;
    // The copy is for reading: what it lacks up to the mark is for the reader to find.
    derived::damaged(to).and_then(|damaged| derived::remove(to, &damaged)).map_err(OpenError::io(to))?;
    Ok(mark)
}

/// The store's files are read where they are: they do not change.
fn copy_trees(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place: PathBuf = to.join(entry.file_name());
        match look::kind(&entry.path())? {
            look::Kind::Directory if entry.file_name() == SEALED => {}
            look::Kind::File if entry.path() == closed::path(from) => {}
            look::Kind::Directory => copy_trees(&entry.path(), &place)?,
            look::Kind::File => drop(fs::copy(entry.path(), place)?),
            // What is not the store's is no loss to a reader.
            look::Kind::Absent | look::Kind::Other(_) => {}
        }
    }
    Ok(())
}

impl Offline {
    /// Reads a store that stands open, and the mark that is kept beside it; none if it was never completed.
    ///
    /// # Errors
    /// It is damaged or cannot be read.
    pub(crate) fn reading(
        store: Arc<dyn StoreRead>,
        mark: Option<(Seq, Hash)>,
    ) -> Result<Option<Offline>, StoreError> {
        if meta::format(&*store)?.is_none() {
            return Ok(None);
        }
        let store = whole(store)?;
        let (meta, checkpoint) = (meta::load(&*store)?, Checkpoint::load(&*store)?);
        Ok(Some(Offline { node_json: None, meta, mark, checkpoint, store, tail: None, _copy: None }))
    }

    /// Raw blocks in order, from the one that contains `from`. They are not checked but for their headers: what is
    /// wrong with them is the caller's to find.
    pub(crate) fn blocks(&self, from: Seq) -> Blocks<'_> {
        let from = Seq(from.0.max(1)).0.to_be_bytes();
        Blocks { offline: self, next: Some(Position::Containing(from.to_vec())), buffer: Vec::new() }
    }

    /// Raw blocks against their order, from the one that contains `until`, or the last one before it.
    pub(crate) fn blocks_back(&self, until: Seq) -> impl Iterator<Item = Result<Vec<u8>, ReadError>> + '_ {
        let (store, log) = (&self.store, self.meta.log);
        let mut below = Some(until.0);
        std::iter::from_fn(move || {
            let found = store.floor(log, &below?.to_be_bytes()).transpose()?;
            below = match &found {
                Ok((key, _)) => {
                    key.as_slice().try_into().map(u64::from_be_bytes).ok().and_then(|key| key.checked_sub(1))
                }
                Err(_) => None,
            };
            Some(found.map(|(_, block)| block).map_err(ReadError::from))
        })
    }

    /// What the log adds up to after the row `until`, or at its end: the newest state before that, and the blocks behind
    /// it. `None` if that does not fit together, or a block cannot be read: then the rows are to be looked at one by one.
    pub(crate) fn folded<F: Fold>(&self, until: Seq) -> Result<Option<Folded<F>>, ReadError> {
        let Ok(mut folded) = self.state_before::<F>(until) else { return Ok(None) };
        for bytes in self.blocks(folded.tip.seq) {
            let block = Block::<F::Record>::decode(&bytes?);
            if !block.is_ok_and(|block| folded.take(&block, until)) {
                return Ok(None);
            }
            if folded.tip.seq >= until {
                break;
            }
        }
        Ok(Some(folded))
    }

    /// From where on all records are there, and the state before that row; none if that state is gone with what was pruned.
    pub(crate) fn start<F: Fold>(&self) -> Result<Option<(Seq, F)>, ReadError> {
        let from = self.whole_from();
        if from == Seq(1) {
            return Ok(Some((from, F::default())));
        }
        let (tip, parts) = self.sealed_state::<F>(Seq(from.0 - 1))?;
        let mut state = F::default();
        parts.into_iter().for_each(|(_, part)| state.restore(part));
        Ok((tip.seq.next() == from && state.is_whole()).then_some((from, state)))
    }

    /// The first row from which on no record is pruned.
    fn whole_from(&self) -> Seq {
        Seq(self.store.sealed().whole_from().0.max(1))
    }

    /// The newest state that the store has of a row up to `until`; that of no row, if it has none.
    fn state_before<F: Fold>(&self, until: Seq) -> Result<Folded<F>, StoreError> {
        let (tip, parts) = match &self.checkpoint {
            Some(checkpoint) if checkpoint.seq <= until => {
                (checkpoint.tip(), checkpoint.parts::<F>(&*self.store)?)
            }
            _ => self.sealed_state::<F>(until)?,
        };
        let mut folded = Folded { state: F::default(), tip, time: WallMicros::default() };
        parts.into_iter().for_each(|(_, part)| folded.state.restore(part));
        if !folded.state.is_whole() {
            (folded.state, folded.tip) = Default::default();
        }
        Ok(folded)
    }

    fn sealed_state<F: Fold>(&self, until: Seq) -> Result<(Tip, Parts<F>), StoreError> {
        let Some((tip, state)) = self.store.sealed().state_before(until)? else {
            return Ok(Default::default());
        };
        Ok((tip, parts_of::<F>(&state)?))
    }

    /// Of the rows up to this one some records are gone; 0: none are.
    pub(crate) fn pruned_to(&self) -> Seq {
        let to = Seq(self.whole_from().0 - 1);
        if to > self.archived_to() { to } else { Seq(0) }
    }

    /// The rows up to this one are in segments; 0: none are.
    pub(crate) fn sealed_to(&self) -> Seq {
        self.store.sealed().last()
    }

    /// The rows up to this one are in archives that were not named; 0: none are.
    pub(crate) fn archived_to(&self) -> Seq {
        Seq(self.store.sealed().part().first.0.saturating_sub(1))
    }

    /// The state before the first row, and where the log stood then, if rows before it are in archives.
    pub(crate) fn base(&self) -> Result<Option<(Tip, State)>, ReadError> {
        Ok(self.store.sealed().base()?)
    }

    /// Runs of rows among which an order may show, oldest first; what is not in segments yet is one more.
    pub(crate) fn spans_of(&self, order: OrderId) -> Result<Vec<(Seq, Seq)>, ReadError> {
        let sealed = self.store.sealed();
        // A peer's own orders stand in its journal without its number.
        let mut names = vec![(order.peer, order.number)];
        names.extend((order.peer == self.meta.node).then_some((PeerId::default(), order.number)));
        let mut spans = sealed.spans_of(&names)?;
        match &self.tail {
            Some(tail) => spans.extend(tail.spans_of(&names)?),
            None => spans.push((sealed.last().next(), Seq(u64::MAX))),
        }
        Ok(spans)
    }

    /// The state that the checkpoint holds, in parts; `None` if there is no checkpoint.
    pub(crate) fn checkpoint_parts<F: Fold>(&self) -> Result<Option<Parts<F>>, ReadError> {
        let parts = self.checkpoint.as_ref().map(|checkpoint| checkpoint.parts::<F>(&*self.store));
        Ok(parts.transpose()?)
    }
}

/// What a log adds up to.
pub struct Folded<F> {
    /// The state.
    pub state: F,
    /// The end of the log.
    pub tip: Tip,
    /// Wall clock of the last block; 0 if there is none.
    pub time: WallMicros,
}

impl<F: Fold> Folded<F> {
    /// Takes the rows up to `until` of the next block, or of the one that the state ends with. False if it is neither.
    fn take(&mut self, block: &Block<F::Record>, until: Seq) -> bool {
        let (header, seal) = (&block.header, &block.seal);
        self.time = header.time;
        if Tip::after(header, seal) == self.tip {
            return true;
        }
        if !self.tip.links(header, seal) {
            return false;
        }
        let rows = block.rows().take_while(|(seq, _)| *seq <= until);
        rows.for_each(|(seq, record)| self.state.apply(seq, header.time, record));
        self.tip = Tip::after(header, seal);
        true
    }
}

enum Position {
    Containing(Vec<u8>),
    After(Pair),
}

/// See [`Offline::blocks`]. Ends after an error.
pub(crate) struct Blocks<'a> {
    offline: &'a Offline,
    next: Option<Position>,
    buffer: Vec<Pair>,
}

impl Blocks<'_> {
    /// Reads the next blocks, last one first.
    fn fill(&mut self) -> Result<(), ReadError> {
        let (store, log) = (&self.offline.store, self.offline.meta.log);
        self.buffer = match self.next.take() {
            None => return Ok(()),
            Some(Position::After((key, block))) => {
                let found = store.scan(log, &[&key[..], &[0]].concat(), GROUP_BYTES_MAX)?;
                // In a damaged store reading on may end where asking for the next row does not.
                let next = BlockHeader::peek(&block).ok().map(|header| header.last().next().0.to_be_bytes());
                match next.filter(|next| found.is_empty() && next[..] > key[..]) {
                    Some(next) => store.scan(log, &next, GROUP_BYTES_MAX)?,
                    None => found,
                }
            }
            Some(Position::Containing(key)) => {
                let found = store.floor(log, &key)?.filter(|(_, block)| reaches(block, &key));
                let start = found.map_or(key, |(first, _)| first);
                store.scan(log, &start, GROUP_BYTES_MAX)?
            }
        };
        self.next = self.buffer.last().cloned().map(Position::After);
        self.buffer.reverse();
        Ok(())
    }
}

/// A block whose header cannot be read is shown rather than skipped.
fn reaches(block: &[u8], key: &[u8]) -> bool {
    BlockHeader::peek(block).map_or(true, |header| header.last().0.to_be_bytes()[..] >= *key)
}

impl Iterator for Blocks<'_> {
    type Item = Result<Vec<u8>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.buffer.is_empty()
            && let Err(error) = self.fill()
        {
            return Some(Err(error));
        }
        self.buffer.pop().map(|(_, block)| Ok(block))
    }
}
