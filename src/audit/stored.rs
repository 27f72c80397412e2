//! A node's store as a source: a copy of its directory, or a disk in memory. Nothing goes on in it while it is read.

use std::fmt::Display;
use std::sync::Arc;

use super::{BlockSource, CheckpointVerdict, Fact, SourceError, SourceMeta};
use crate::journal::{self, Block, NodeJson, Offline, ReadError, StoreRead};
use crate::model::catalogue::{Catalogue, GOODS};
use crate::model::fold::Fold;
use crate::model::market::Market;
use crate::model::peer::PeerState;
use crate::model::peer::entry::Entry;
use crate::types::{Hash, PeerId, SecretKey, Seq};

/// What the store of one-shot orders was made as.
pub(crate) const CLIENT: &str = "client";

/// See the module's text.
pub(crate) struct StoredSource {
    meta: SourceMeta,
    store: Offline,
}

impl StoredSource {
    /// The copy of a directory; `origin` is its name.
    pub(crate) fn new(store: Offline, origin: String) -> StoredSource {
        StoredSource { meta: meta(&store, origin), store }
    }

    /// A store that stands open, as a simulated disk does, with the mark that is kept beside it; `origin` is any name.
    /// Gives none for a node that was never born and for a client that never ordered: neither has anything to audit.
    ///
    /// The store is shown as it is, unsynced writes included. After a power cut its node is to recover it first: the
    /// auditor takes a torn block for damage, also where nothing of it was ever durable.
    ///
    /// # Errors
    /// The store is damaged or cannot be read.
    pub(crate) fn open(
        store: Arc<dyn StoreRead>,
        mark: Option<(Seq, Hash)>,
        origin: &str,
    ) -> Result<Option<StoredSource>, SourceError> {
        let read = Offline::reading(store, mark).map_err(|error| unreadable(origin, error.into()))?;
        let source = read.map(|store| StoredSource::new(store, origin.to_owned()));
        Ok(source.filter(|source| !source.meta.never_ordered()))
    }
}

impl BlockSource for StoredSource {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    fn blocks(&mut self, from: Seq) -> Box<dyn Iterator<Item = Result<Vec<u8>, SourceError>> + '_> {
        let failed = |why| unreadable(&self.meta.origin, why);
        Box::new(self.store.blocks(from).map(move |block| block.map_err(failed)))
    }

    fn key(&self) -> Option<SecretKey> {
        self.store.meta.key
    }

    fn checkpoint_check(&mut self) -> Result<CheckpointVerdict, SourceError> {
        let verdict = match self.meta.node {
            PeerId::WAREHOUSE => compare::<Market>(&self.store),
            _ => compare::<PeerState>(&self.store),
        };
        Ok(verdict.unwrap_or_else(CheckpointVerdict::Differs))
    }
}

fn unreadable(origin: &str, why: ReadError) -> SourceError {
    SourceError::Store { origin: origin.to_owned(), why }
}

/// What may be shown of a store: nothing of its token.
fn meta(store: &Offline, origin: String) -> SourceMeta {
    let goods = store.meta.extra.get(GOODS).map(Vec::as_slice).unwrap_or_default();
    SourceMeta {
        node: identity(store),
        role: store.meta.role.clone(),
        cluster: store.meta.cluster.clone(),
        catalogue: Catalogue::from_json(goods),
        mark: store.mark,
        clock_reserve: Some(store.meta.clock_reserve),
        origin,
        facts: facts(store),
        live: false,
    }
}

/// The node that the store belongs to. A client's store is made before the warehouse gives it a number, which only its
/// journal has.
fn identity(store: &Offline) -> PeerId {
    if store.meta.role != CLIENT {
        return store.meta.node;
    }
    let blocks = store.blocks(Seq(1)).filter_map(|bytes| Block::<Entry>::decode(&bytes.ok()?).ok());
    let opened = |entry: Entry| if let Entry::Opened { peer, .. } = entry { Some(peer) } else { None };
    // After a restore the client may have been given another number: the last one counts.
    blocks.flat_map(|block| block.records).filter_map(opened).last().unwrap_or_default()
}

fn facts(store: &Offline) -> Vec<(&'static str, Fact)> {
    let mut facts = vec![
        ("format", Fact::Number(store.meta.format.into())),
        ("log", Fact::Text(store.meta.log.name().into())),
        ("starts", Fact::Number(store.meta.starts)),
    ];
    if let Some(checkpoint) = &store.checkpoint {
        facts.push(("checkpoint_seq", Fact::Number(checkpoint.seq.0)));
    }
    if let Some(NodeJson { addr, pid, started, .. }) = &store.node_json {
        facts.push(("addr", Fact::Text(addr.clone())));
        facts.push(("pid", Fact::Number((*pid).into())));
        facts.push(("started", Fact::Text(started.clone())));
    }
    facts
}

/// Folds the log up to the checkpoint and compares part by part.
fn compare<F: Fold>(store: &Offline) -> Result<CheckpointVerdict, String> {
    let Some(checkpoint) = &store.checkpoint else { return Ok(CheckpointVerdict::Absent) };
    let parts = store.checkpoint_parts::<F>().map_err(text)?.unwrap_or_default();
    let (mut folded, mut restored) = (F::default(), F::default());
    parts.into_iter().for_each(|(_, part)| restored.restore(part));
    for bytes in store.blocks(Seq(1)) {
        let block = Block::<F::Record>::decode(&bytes.map_err(text)?).map_err(text)?;
        if block.header.first > checkpoint.seq {
            break;
        }
        block.rows().for_each(|(seq, record)| folded.apply(seq, block.header.time, record));
    }
    match encoded(&folded)? == encoded(&restored)? {
        true => Ok(CheckpointVerdict::Equal(checkpoint.seq)),
        false => Err(format!("state after row {}", checkpoint.seq)),
    }
}

fn encoded<F: Fold>(fold: &F) -> Result<Vec<Vec<u8>>, String> {
    fold.parts().iter().map(|(_, part)| journal::encode(part).map_err(text)).collect()
}

fn text(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::audit::{Check, Source, audit, fixture};
    use crate::journal::{Birth, HandTime, MemoryDisk, Setup, Step, Urgency, start_by_hand};
    use crate::model::fold::Tree;
    use crate::types::{Stamp, Token, WallMicros};

    /// The disk of a node that has lived through these steps, with a checkpoint half way.
    fn lived<F: Fold>(node: u32, steps: &[Vec<F::Record>]) -> MemoryDisk {
        let disk = MemoryDisk::new();
        let setup = Setup {
            dir: PathBuf::from("memory"),
            birth: Some(Birth::new("3f2a", PeerId(node), "", Token([7; 32]))),
            key: None,
            expect_cluster: None,
            mark: Some(disk.mark()),
            time: Arc::new(HandTime::default()),
            fatal: Arc::new(|fault| panic!("{fault}")),
        };
        let (mut node, mut pump) = start_by_hand::<F>(disk.open(), setup).unwrap();
        for (at, records) in steps.iter().enumerate() {
            let (time, clock) = (WallMicros(at as u64), Stamp(1_000));
            let seqs = node.journal.next_seq().0..;
            seqs.zip(records).for_each(|(seq, record)| node.state.apply(Seq(seq), time, record));
            node.journal.stage(Step { records: records.clone(), time, clock, urgency: Urgency::Now });
            if at == steps.len() / 2 {
                node.journal.checkpoint(node.state.parts());
            }
            while pump.write_group().unwrap() {}
        }
        pump.close().unwrap();
        disk
    }

    fn source(disk: &MemoryDisk) -> Source {
        let (store, mark) = (disk.open().reader(), disk.mark().newest());
        Box::new(StoredSource::open(store, mark, "memory").unwrap().unwrap())
    }

    #[test]
    fn a_market_in_memory_is_audited_with_its_marks_and_checkpoints() {
        let market = fixture::Market::lived();
        let mut disks = vec![lived::<Market>(0, &market.ledger)];
        disks.extend(market.journals.iter().map(|(peer, steps)| lived::<PeerState>(peer.0, steps)));
        let mut sources: Vec<Source> = disks.iter().map(source).collect();
        assert!(matches!(sources[0].checkpoint_check(), Ok(CheckpointVerdict::Equal(Seq(1..)))));
        assert!(sources.iter().all(|source| source.meta().mark > Some((Seq(1), Hash::default()))));
        assert!(sources.iter().all(|source| source.meta().clock_reserve > Some(Stamp(1_000))));
        let found = audit(&mut sources, 5).unwrap();
        assert_eq!((found.failures(), found.failed()), (vec![], vec![]));
        assert!(found.lacks(Check::ToldIsDone).is_empty());

        let ledger = &disks[0];
        let (last, _) = ledger.open().reader().floor(Tree::Ledger, &[0xff; 8]).unwrap().unwrap();
        ledger.open().remove(Tree::Ledger, &last).unwrap();
        let found = audit(&mut disks.iter().map(source).collect::<Vec<_>>(), 1).unwrap();
        assert!(found.failed().contains(&Check::Durable) && found.failed().contains(&Check::ToldIsDone));
        let (check, example) = &found.failures()[0];
        assert!(found.of(*check).examples.contains(example) && !example.what.is_empty());
    }

    #[test]
    fn a_checkpoint_that_is_not_the_fold_is_found() {
        let disk = lived::<Market>(0, &fixture::Market::lived().ledger);
        let reader = disk.open().reader();
        let (key, mut chunk) = reader.floor(Tree::Inventory, &[0xff; 12]).unwrap().unwrap();
        chunk[3] ^= 1;
        disk.open().put(Tree::Inventory, &key, &chunk).unwrap();
        let found = audit(&mut [source(&disk)], 5).unwrap();
        assert_eq!(found.failed(), [Check::Readable]);
        assert!(found.failures()[0].1.what.contains("checkpoint"), "{:?}", found.failures());
    }

    #[test]
    fn an_unborn_disk_has_nothing_to_audit_and_a_damaged_one_is_an_error() {
        let open = |disk: &MemoryDisk| StoredSource::open(disk.open().reader(), None, "disk 4");
        let disk = MemoryDisk::new();
        assert!(matches!(open(&disk), Ok(None)));
        disk.open().put(Tree::Meta, b"format", &1_u32.to_le_bytes()).unwrap();
        let error = open(&disk).err().unwrap();
        assert!(error.to_string().starts_with("disk 4: the store is damaged"), "{error}");
    }
}
