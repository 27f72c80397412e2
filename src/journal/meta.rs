//! The small facts of a node's store, in its `meta` tree: identity, format, token, key, starts, clock reserve, checkpoint.
//!
//! `format` is four bytes little endian for ever, so that any version can read it. The rest is encoded by the codec,
//! one key each; what the node itself keeps (`put_meta`) stands under `x:` and its name.

use std::collections::BTreeMap;

use super::codec;
use super::sealed::SealedPart;
use super::store::{Store, StoreError, StoreRead};
use crate::model::fold::Tree;
use crate::types::{PeerId, SecretKey, Stamp, Token};

/// Format of stores that this version writes. It reads format 1 as well: a node that opens such a store goes on in this
/// one.
pub(crate) const FORMAT: u32 = 2;
/// Format of a store with segments, which earlier builds would take for one that has lost its first rows. A store is of
/// this format from its first segment on.
pub(crate) const FORMAT_SEALED: u32 = 3;

const FORMAT_KEY: &[u8] = b"format";
const IDENTITY_KEY: &[u8] = b"identity";
const STARTS_KEY: &[u8] = b"starts";
const CLOCK_KEY: &[u8] = b"clock";
/// The warehouse's secret key.
const SECRET_KEY: &[u8] = b"key";
pub(super) const SEALED_KEY: &[u8] = b"sealed";
pub(super) const CHECKPOINT_KEY: &[u8] = b"checkpoint.2";
/// Names a checkpoint of format 1, until there is a later one.
pub(super) const CHECKPOINT_KEY_OF_FORMAT_1: &[u8] = b"checkpoint";
/// What a store keeps that `backup` wrote: no node starts on it, only `restore` reads it. Otherwise a warehouse would go on
/// from there as if nothing had been lost, with terms and numbers that were used before.
pub(crate) const BACKUP: &str = "backup";
const EXTRA_PREFIX: &[u8] = b"x:";
const SCAN_BYTES: usize = 1 << 20;

/// Who the node is and what its journal keeps for it; as of when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Format of the store.
    pub format: u32,
    /// The market's name.
    pub cluster: String,
    /// The node; 0 is the warehouse.
    pub node: PeerId,
    /// What the node was made as.
    pub role: String,
    /// `ledger` or `journal`: the tree of its blocks.
    pub log: Tree,
    /// The store's secret.
    pub token: Token,
    /// What the warehouse signs with.
    pub key: Option<SecretKey>,
    /// How often a process started on this store, this one included.
    pub starts: u64,
    /// No clock value above this was used before it was raised.
    pub clock_reserve: Stamp,
    /// What the node put there.
    pub extra: BTreeMap<String, Vec<u8>>,
}

/// What a new store is to be.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The market's name.
    pub cluster: String,
    /// The node; 0 is the warehouse.
    pub node: PeerId,
    /// What the node is made as.
    pub role: String,
    /// The store's secret, drawn by the caller for this store alone.
    pub token: Token,
    /// What a warehouse signs with, drawn like the token, or that of the ledger that the store is a copy of.
    pub key: Option<SecretKey>,
    /// First values of what the node keeps.
    pub extra: BTreeMap<String, Vec<u8>>,
}

impl Birth {
    /// A store that keeps nothing of the node's own at first.
    pub fn new(cluster: &str, node: PeerId, role: &str, token: Token) -> Birth {
        let (cluster, role) = (cluster.to_owned(), role.to_owned());
        Birth { cluster, node, role, token, key: None, extra: BTreeMap::new() }
    }
}

type Identity = (String, PeerId, String, String, [u8; 32]);

/// Writes a new store's facts and syncs them. The format comes last: with it, all others are there.
///
/// # Panics
///
/// If the token is all zeros: then nobody drew it, and anyone could speak for this store.
pub(super) fn create(store: &mut dyn Store, birth: &Birth, log: Tree) -> Result<(), StoreError> {
    assert!(birth.token != Token([0; 32]), "a store's token must be drawn");
    let identity: Identity =
        (birth.cluster.clone(), birth.node, birth.role.clone(), log.name().to_owned(), birth.token.0);
    store.put(Tree::Meta, IDENTITY_KEY, &codec::encode(&identity)?)?;
    put_starts(store, 0)?;
    put_clock(store, Stamp(0))?;
    if let Some(key) = birth.key {
        put_key(store, key)?;
    }
    for (key, value) in &birth.extra {
        put_extra(store, key, value)?;
    }
    store.sync()?;
    put_format(store)?;
    store.sync()
}

/// From here on the store is of this format.
/// Names the sealed part of the log.
pub(super) fn put_sealed(store: &mut dyn Store, part: SealedPart) -> Result<(), StoreError> {
    store.put(Tree::Meta, SEALED_KEY, &codec::encode(&part)?)?;
    store.put(Tree::Meta, FORMAT_KEY, &FORMAT_SEALED.to_le_bytes())
}

pub(super) fn put_format(store: &mut dyn Store) -> Result<(), StoreError> {
    store.put(Tree::Meta, FORMAT_KEY, &FORMAT.to_le_bytes())
}

/// The store's format; `None` if it was never completed.
pub(super) fn format(store: &dyn StoreRead) -> Result<Option<u32>, StoreError> {
    let Some(bytes) = store.get(Tree::Meta, FORMAT_KEY)? else { return Ok(None) };
    let bytes =
        bytes.try_into().map_err(|_| StoreError::Damaged("meta: 'format' is not four bytes".into()))?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

/// Reads the facts of a store of a known format.
pub(super) fn load(store: &dyn StoreRead) -> Result<Meta, StoreError> {
    let missing = |what: &str| StoreError::Damaged(format!("meta: no '{what}'"));
    let format = format(store)?.ok_or_else(|| missing("format"))?;
    let bytes = store.get(Tree::Meta, IDENTITY_KEY)?.ok_or_else(|| missing("identity"))?;
    let (cluster, node, role, log, token): Identity = codec::decode(&bytes)?;
    let log = super::store::tree_named(&log).ok_or_else(|| missing("log"))?;
    let starts = number(store, STARTS_KEY)?;
    let clock_reserve = Stamp(number(store, CLOCK_KEY)?);
    let (key, extra, token) = (key(store)?, extra(store)?, Token(token));
    Ok(Meta { format, cluster, node, role, log, token, key, starts, clock_reserve, extra })
}

fn key(store: &dyn StoreRead) -> Result<Option<SecretKey>, StoreError> {
    let Some(bytes) = store.get(Tree::Meta, SECRET_KEY)? else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged("meta: 'key' is not 32 bytes".into()))?;
    Ok(Some(SecretKey(bytes)))
}

fn number(store: &dyn StoreRead, key: &[u8]) -> Result<u64, StoreError> {
    let bytes = store.get(Tree::Meta, key)?;
    Ok(bytes.map(|bytes| codec::decode(&bytes)).transpose()?.unwrap_or(0))
}

fn extra(store: &dyn StoreRead) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    let mut extra = BTreeMap::new();
    let mut from = EXTRA_PREFIX.to_vec();
    loop {
        let pairs = store.scan(Tree::Meta, &from, SCAN_BYTES)?;
        let Some((last, _)) = pairs.last() else { return Ok(extra) };
        from = [last, &[0][..]].concat();
        for (key, value) in pairs {
            let Some(name) = key.strip_prefix(EXTRA_PREFIX) else { return Ok(extra) };
            extra.insert(String::from_utf8_lossy(name).into_owned(), value);
        }
    }
}

pub(super) fn put_extra(store: &mut dyn Store, key: &str, value: &[u8]) -> Result<(), StoreError> {
    store.put(Tree::Meta, &[EXTRA_PREFIX, key.as_bytes()].concat(), value)
}

pub(super) fn put_key(store: &mut dyn Store, key: SecretKey) -> Result<(), StoreError> {
    store.put(Tree::Meta, SECRET_KEY, &key.0)
}

pub(super) fn put_starts(store: &mut dyn Store, starts: u64) -> Result<(), StoreError> {
    store.put(Tree::Meta, STARTS_KEY, &codec::encode(&starts)?)
}

pub(super) fn put_clock(store: &mut dyn Store, reserve: Stamp) -> Result<(), StoreError> {
    store.put(Tree::Meta, CLOCK_KEY, &codec::encode(&reserve.0)?)
}
