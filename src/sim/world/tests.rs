use super::*;
use crate::journal::Store;
use crate::model::fold::Tree;
use crate::sim::Show;
use crate::sim::check;
use crate::sim::faults::Setting;

/// A world that has lived and passed.
fn lived() -> World {
    let setting = Setting { seed: 2, peers: 4, orders: 60, faults: &[Kind::Kill] };
    let mut world = World::new(&Schedule::draw(&setting), Trace::new(Show::default()));
    assert_eq!(world.run(), Ok(()));
    assert!(world.heard.told.len() >= 60, "{} were told", world.heard.told.len());
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
    world.heard.told[20].outcome.filled.0 += 1;
    assert!(alarm(&world).starts_with("told: "), "{}", alarm(&world));
}

#[test]
fn an_order_that_nobody_placed_is_seen() {
    let mut world = lived();
    world.placing = Placing::default();
    assert!(alarm(&world).starts_with("name: "), "{}", alarm(&world));
}

/// Otherwise nothing is left that could tell the copy from the market's ledger.
#[test]
fn traders_lose_their_disks_with_the_ledger_only_if_somebody_else_knows_what_the_copy_lacks() {
    for (lacks, lost) in [(0, 0), (20, 2)] {
        let mut world = lived();
        for _ in 0..lacks {
            alter(&world, 0, 0, |store, key, _| store.remove(Tree::Ledger, key).unwrap());
        }
        assert!(world.keep_ledger(true));
        world.put_ledger_back();
        let empty = world.nodes[1..].iter().filter(|node| check::journal(&node.disk).is_empty()).count();
        assert_eq!(empty, lost, "the copy lacks {lacks} blocks");
    }
}

/// A world with these faults, of seed 3, while it is lived in.
fn begun(kind: Kind) -> World {
    let setting = Setting { seed: 3, peers: 4, orders: 60, faults: &[kind] };
    World::new(&Schedule::draw(&setting), Trace::new(Show::default()))
}

#[test]
fn clients_have_their_answers_and_are_gone_at_the_end() {
    for kind in [Kind::Client, Kind::AskAgain] {
        let mut world = begun(kind);
        assert_eq!(world.run(), Ok(()));
        assert!(world.people_came > 0 && world.people.is_empty());
        assert!(world.marks()[&Mark::ClientAnswered] > 0);
        assert!(world.heard.told.iter().any(|told| told.peer.is_client()));
    }
}

#[test]
fn a_client_without_an_answer_is_waited_for() {
    let mut world = begun(Kind::Client);
    world.client_comes(Plan::OldNumber, 7);
    world.phase = Phase::Answers;
    assert!(!world.phase_is_over());
    assert!(world.waits_for().contains("a client"), "{}", world.waits_for());
}

#[test]
fn strangers_are_gone_when_everything_is_healed() {
    let mut world = begun(Kind::Stranger);
    let mut chance = Chance::of(1, "stranger");
    world.stranger_comes(&[0, 1], 5_000 * MS, &mut chance);
    world.client_comes(Plan::Orders, 7);
    assert_eq!(world.people.len(), 2);
    world.strangers_go();
    assert_eq!(world.people.len(), 1, "the client stays");
}
