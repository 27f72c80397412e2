//! A restore in memory, for the simulator: what `bazaar restore` does with directories.

use super::block::{Block, ChainWriter, Tip};
use super::memory_store::MemoryDisk;
use super::meta::{self, Birth};
use super::sealed::whole;
use super::store::{StoreError, StoreRead as _};
use crate::limits::CLOCK_RESERVE;
use crate::model::fold::Tree;
use crate::model::row::Record;
use crate::types::{Generation, PeerId, Seq, Stamp, Token, WallMicros};

/// A new disk with the ledger of `from`, restored as the generation after all that it and `above` know of. Gives the
/// disk, the generation, and the row from which on what the lost ledger had is lost. None if the disk has no row of a
/// ledger, or generations are spent.
pub(crate) fn restore_by_hand(
    from: &MemoryDisk,
    above: u64,
    random: u64,
    time: WallMicros,
) -> Option<(MemoryDisk, Generation, Seq)> {
    let store = whole(from.open().reader()).ok()?;
    let old = meta::load(&*store).ok()?;
    let blocks = store.scan(Tree::Ledger, &[], usize::MAX).ok()?;
    if blocks.is_empty() {
        return None;
    }
    let (mut tip, mut seen, mut clock) = (Tip::default(), above, old.clock_reserve);
    for (_, block) in &blocks {
        let block = Block::<Record>::decode(block).ok()?;
        tip = Tip::after(&block.header, &block.seal);
        for record in block.records {
            clock = clock.max(record.clock());
            if let Record::Restored { generation, .. } = record {
                seen = seen.max(generation.count);
            }
        }
    }
    let generation = Generation { count: Generation::count_after(seen)?, random };
    let clock = Stamp(clock.0 + CLOCK_RESERVE);
    let token = Token([generation.count as u8 + 1; 32]);
    let birth = Birth { key: old.key, ..Birth::new(&old.cluster, PeerId::WAREHOUSE, &old.role, token) };
    let disk = MemoryDisk::new();
    write(&disk, &birth, &blocks, tip, &Record::Restored { generation, clock }, time).ok()?;
    Some((disk, generation, tip.seq.next()))
}

fn write(
    disk: &MemoryDisk,
    birth: &Birth,
    blocks: &[(Vec<u8>, Vec<u8>)],
    tip: Tip,
    restored: &Record,
    time: WallMicros,
) -> Result<(), StoreError> {
    let mut store = disk.open();
    meta::create(&mut *store, birth, Tree::Ledger)?;
    for (key, block) in blocks {
        store.put(Tree::Ledger, key, block)?;
    }
    let mut writer = ChainWriter::new(tip);
    writer.write(std::slice::from_ref(restored), time, |seq, block| {
        store.put(Tree::Ledger, &seq.0.to_be_bytes(), block)
    })?;
    meta::put_clock(&mut *store, restored.clock())?;
    store.sync()?;
    let tip = writer.tip();
    disk.mark().write(tip.seq, tip.hash)
}
