use super::*;
use crate::journal::Store;
use crate::model::fold::Tree;
use crate::sim::Show;
use crate::sim::faults::Setting;

/// A world that has lived and passed.
fn lived() -> World {
    let setting = Setting { seed: 2, peers: 4, orders: 60, faults: &[Kind::Kill] };
    let mut world = World::new(&Schedule::draw(&setting), Trace::new(Show::default()));
    assert_eq!(world.run(), Ok(()));
    assert!(world.told.len() >= 60, "{} were told", world.told.len());
    world
}

/// Changes the `nth` block from the end of a node's log.
fn alter(world: &World, node: usize, nth: usize, change: impl FnOnce(&mut dyn Store, &[u8], Vec<u8>)) {
    let mut store = world.nodes[node].disk.store();
    let log = if node == 0 { Tree::Ledger } else { Tree::Journal };
    let mut blocks = store.reader().scan(log, &[], usize::MAX).unwrap();
    let (key, block) = blocks.remove(blocks.len() - 1 - nth);
    change(&mut *store, &key, block);
}

fn alarm(world: &World) -> String {
    let Failure { check, why } = world.check().unwrap_err();
    format!("{check}: {why}")
}

#[test]
fn a_flipped_bit_of_the_ledger_is_seen() {
    let world = lived();
    alter(&world, 0, 3, |store, key, mut block| {
        let at = block.len() / 2;
        block[at] ^= 4;
        store.put(Tree::Ledger, key, &block).unwrap();
    });
    assert!(alarm(&world).contains("V05 chain"), "{}", alarm(&world));
}

#[test]
fn a_lost_end_of_the_ledger_is_seen() {
    let world = lived();
    for _ in 0..20 {
        alter(&world, 0, 0, |store, key, _| store.remove(Tree::Ledger, key).unwrap());
    }
    assert!(alarm(&world).contains("V12 durable"), "{}", alarm(&world));
}

#[test]
fn a_lost_block_of_a_journal_is_seen() {
    let world = lived();
    let shopper =
        (1..world.nodes.len()).max_by_key(|at| world.placed.get(&(PeerId(*at as u32), Epoch(0)))).unwrap();
    alter(&world, shopper, 2, |store, key, _| store.remove(Tree::Journal, key).unwrap());
    assert!(alarm(&world).contains("V05 chain"), "{}", alarm(&world));
}

#[test]
fn what_was_told_otherwise_is_seen() {
    let mut world = lived();
    world.told[20].outcome.filled.0 += 1;
    assert!(alarm(&world).starts_with("told: "), "{}", alarm(&world));
}
