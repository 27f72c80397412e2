//! What the journal asks of a store: ordered trees of small values, written by one thread, read by any.
//!
//! Holds for every store: what was written before a `sync` that returned `Ok` survives anything; of what came after,
//! any part may survive. A reader sees writes at once, synced or not, so it must know what is durable.

use std::sync::Arc;

use super::sealed::Files;
use crate::limits::{BLOCK_BYTES_MAX, LOW_WATER_BYTES};
use crate::model::fold::Tree;
use crate::types::{Hash, Seq};

/// Every tree there is.
pub(crate) const TREES: [Tree; 10] = [
    Tree::Ledger,
    Tree::Inventory,
    Tree::Accounts,
    Tree::Sessions,
    Tree::Offices,
    Tree::Queue,
    Tree::Journal,
    Tree::Orders,
    Tree::Mirror,
    Tree::Meta,
];

/// The trees of a store whose log is `log`: a warehouse's or a peer's.
pub(crate) fn trees_of(log: Tree) -> &'static [Tree] {
    use Tree::{Accounts, Inventory, Journal, Ledger, Meta, Mirror, Offices, Orders, Queue, Sessions};
    match log {
        Ledger => &[Ledger, Inventory, Accounts, Sessions, Offices, Queue, Meta],
        _ => &[Journal, Orders, Queue, Mirror, Sessions, Offices, Meta],
    }
}

/// The tree of that name.
pub(crate) fn tree_named(name: &str) -> Option<Tree> {
    TREES.into_iter().find(|tree| tree.name() == name)
}

/// A failed write, sync or read. After a failed write or sync the store is not used again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space left on the device, or a quota is used up.
    #[error("the disk is full ({0})")]
    Full(String),
    /// The store holds something that it cannot have written.
    #[error("the store is damaged ({0})")]
    Damaged(String),
    /// Another process owns the directory by now, though the lock should have kept it out.
    #[error(
        "{0} has taken the directory: locks do nothing on this file system, and two owners would destroy the store"
    )]
    Taken(String),
    /// Another process has the store open, or reads its files. Nothing was changed.
    #[error("another process has the store")]
    Locked,
    /// A fault in this program, caught where it would have left the store half-way.
    #[error("{0}")]
    Panicked(String),
    /// Any other failure.
    #[error("the store failed ({0})")]
    Failed(String),
    /// A value that does not encode, or is too long for the store; a bug.
    #[error("a value {0}")]
    Value(#[from] super::codec::CodecError),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => StoreError::Full(error.to_string()),
            _ => StoreError::Failed(error.to_string()),
        }
    }
}

/// The row that a key of a log stands for, or begins with.
pub(crate) fn key_seq(key: &[u8]) -> Seq {
    Seq(key.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
}

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// The reading side; shared by any number of threads.
pub trait StoreRead: Send + Sync {
    /// The value of a key.
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// The pair with the greatest key that is at most `key`.
    fn floor(&self, tree: Tree, key: &[u8]) -> Result<Option<Pair>, StoreError>;
    /// Pairs from `from` on in the order of keys, until their values make up `bytes_max`; the first always.
    fn scan(&self, tree: Tree, from: &[u8], bytes_max: usize) -> Result<Vec<Pair>, StoreError>;
    /// The files beside the trees.
    fn files(&self) -> Arc<dyn Files>;
    /// Space left for the store, in bytes.
    fn free_bytes(&self) -> Result<u64, StoreError>;
    /// With less space than this a node takes no orders.
    fn low_water_bytes(&self) -> u64 {
        LOW_WATER_BYTES
    }
}

/// The writing side; one thread has it.
pub trait Store: Send {
    /// Writes a value of at most [`BLOCK_BYTES_MAX`]; see `check_size`.
    fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
    /// Removes a key, if it is there.
    fn remove(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError>;
    /// Makes everything written so far survive a power cut.
    fn sync(&mut self) -> Result<(), StoreError>;
    /// A look at what must hold of the store's files, now and then.
    fn inspect(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// The node is closed, and nothing is written any more: what the trees hold may be kept beside them for readers, as of
    /// this mark. Says whether it was.
    fn keep_closed(&self, _mark: (Seq, Hash), _image: &Image<'_>) -> Result<bool, StoreError> {
        Ok(false)
    }
    /// The reading side.
    fn reader(&self) -> Arc<dyn StoreRead>;
}

/// Gives what the trees hold as bytes; none if that is too much.
#[allow(unreachable_pub, reason = "a door's type: `Store` is one")]
pub type Image<'a> = dyn Fn() -> Result<Option<Vec<u8>>, StoreError> + 'a;

/// Refuses a value that would make pages so large that the store no longer syncs them.
pub(crate) fn check_size(value: &[u8]) -> Result<(), StoreError> {
    match value.len() {
        length if length > BLOCK_BYTES_MAX => Err(super::codec::CodecError::TooLong(length).into()),
        _ => Ok(()),
    }
}

/// Removes every key of `tree` from `from` on, a scan at a time, and gives the bytes of their values.
pub(crate) fn remove_from(store: &mut dyn Store, tree: Tree, from: &[u8]) -> Result<u64, StoreError> {
    let reader = store.reader();
    let mut bytes = 0;
    loop {
        let pairs = reader.scan(tree, from, 1 << 20)?;
        if pairs.is_empty() {
            return Ok(bytes);
        }
        for (key, value) in pairs {
            store.remove(tree, &key)?;
            bytes += value.len() as u64;
        }
    }
}
