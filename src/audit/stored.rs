//! A node's store as a source: a copy of its directory, or a disk in memory. Nothing goes on in it while it is read.

use std::sync::Arc;

use super::refold::{Folding, Refold};
use super::{BlockSource, Blocks, Fact, Folded, SourceError, SourceMeta};
use crate::journal::{Block, NodeJson, Offline, ReadError, State, StoreRead, Tip};
use crate::model::catalogue::{Catalogue, GOODS};
use crate::model::peer::entry::Entry;
use crate::types::{Hash, OrderId, PeerId, SecretKey, Seq};

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

    fn blocks(&mut self, from: Seq) -> Blocks<'_> {
        let failed = |why| unreadable(&self.meta.origin, why);
        Box::new(self.store.blocks(from).map(move |block| block.map_err(failed)))
    }

    fn blocks_back(&mut self, until: Seq) -> Option<Blocks<'_>> {
        let failed = |why| unreadable(&self.meta.origin, why);
        Some(Box::new(self.store.blocks_back(until).map(move |block| block.map_err(failed))))
    }

    fn folded(&mut self, until: Seq) -> Result<Option<Folded>, SourceError> {
        let folded = match self.meta.node {
            PeerId::WAREHOUSE => self.store.folded(until).map(|it| it.map(Folded::Ledger)),
            _ => self.store.folded(until).map(|it| it.map(Folded::Journal)),
        };
        folded.map_err(|why| unreadable(&self.meta.origin, why))
    }

    fn spans_of(&mut self, order: OrderId) -> Result<Option<Vec<(Seq, Seq)>>, SourceError> {
        // A client's number is in its journal alone, so that its own orders cannot be told from others by it.
        if self.meta.role == CLIENT {
            return Ok(None);
        }
        self.store.spans_of(order).map(Some).map_err(|why| unreadable(&self.meta.origin, why))
    }

    fn archived_to(&self) -> Seq {
        self.store.archived_to()
    }

    fn base(&self) -> Result<Option<(Tip, State)>, SourceError> {
        self.store.base().map_err(|why| unreadable(&self.meta.origin, why))
    }

    fn pruned_to(&self) -> Seq {
        self.store.pruned_to()
    }

    fn key(&self) -> Option<SecretKey> {
        self.store.meta.key
    }

    fn refold(&mut self) -> Result<Option<Refold>, String> {
        Ok(match self.meta.node {
            PeerId::WAREHOUSE => Folding::of(&self.store)?.map(Refold::Ledger),
            _ => Folding::of(&self.store)?.map(Refold::Journal),
        })
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
    let parts = [
        ("archived_to", store.archived_to()),
        ("pruned_to", store.pruned_to()),
        ("sealed_to", store.sealed_to()),
    ];
    let there = parts.into_iter().filter(|(_, seq)| *seq > Seq(0));
    facts.extend(there.map(|(name, seq)| (name, Fact::Number(seq.0))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Check, Source, audit, fixture};
    use crate::journal::MemoryDisk;
    use crate::model::fold::Tree;
    use crate::model::market::Market;
    use crate::types::Stamp;

    #[test]
    fn a_market_in_memory_is_audited_with_its_marks_and_checkpoints() {
        let market = fixture::Market::lived();
        let disks = market.disks();
        let mut sources: Vec<Source> = disks.iter().map(fixture::stored).collect();
        assert_eq!(fixture::checkpoint(sources[0].as_mut()), Some(Ok(())));
        assert!(sources.iter().all(|source| source.meta().mark > Some((Seq(1), Hash::default()))));
        assert!(sources.iter().all(|source| source.meta().clock_reserve > Some(Stamp(1_000))));
        let found = audit(&mut sources, 5).unwrap();
        assert_eq!((found.failures(), found.failed()), (vec![], vec![]));
        assert!(found.lacks(Check::ToldIsDone).is_empty());

        let ledger = &disks[0];
        let (last, _) = ledger.open().reader().floor(Tree::Ledger, &[0xff; 8]).unwrap().unwrap();
        ledger.open().remove(Tree::Ledger, &last).unwrap();
        let found = audit(&mut disks.iter().map(fixture::stored).collect::<Vec<_>>(), 1).unwrap();
        assert!(found.failed().contains(&Check::Durable) && found.failed().contains(&Check::ToldIsDone));
        let (check, example) = &found.failures()[0];
        assert!(found.of(*check).examples.contains(example) && !example.what.is_empty());
    }

    #[test]
    fn a_checkpoint_that_is_not_the_fold_is_found() {
        let disk = fixture::disk::<Market>(0, &fixture::Market::lived().ledger);
        let reader = disk.open().reader();
        let (key, mut chunk) = reader.floor(Tree::Inventory, &[0xff; 12]).unwrap().unwrap();
        chunk[3] ^= 1;
        disk.open().put(Tree::Inventory, &key, &chunk).unwrap();
        let found = audit(&mut [fixture::stored(&disk)], 5).unwrap();
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
