//! A trader's copies when its term is over.

use super::*;
use crate::model::chunk as copies;
use crate::model::peer::shop::TOLD_PER_ENTRY;
use crate::model::tentative::Tentative;

#[test]
fn what_a_trader_has_copied_is_adopted_when_its_term_is_over_and_not_before() {
    let mut bench = pair();
    bench.say("from-6", chunk(THEIRS, 7, &[order(11, 1)], 0));
    bench.recorded();
    let adopted = Entry::Adopted { trader: PeerId(6), from: THEIRS };
    bench.hear(paired(8, (ME, 3), (6, 4)));
    assert!(!bench.recorded().contains(&adopted));
    bench.hear(offices(9, Some((ME, 3)), Some((6, 8))));
    assert!(bench.recorded().contains(&adopted));
}

/// An entry is never split over the blocks of a journal, and a mirror may hold more than one block does.
#[test]
fn what_a_trader_told_early_is_adopted_in_entries_that_fit_a_block() {
    let mut bench = pair();
    for at in 0..3 {
        let k = |n: u32| at * REPLICA_CHUNK_ORDERS_MAX as u32 + n;
        let orders: Vec<Order> = (0..REPLICA_CHUNK_ORDERS_MAX as u32).map(|n| order(11, k(n))).collect();
        let Message::ReplicaAsk(mut ask) = chunk(THEIRS, 7 + u64::from(at), &orders, 0) else {
            unreachable!()
        };
        ask.orders = copies::encode(&orders, |id| Some(Tentative { id, filled: Quantity(1), draw: None }));
        bench.say("from-6", Message::ReplicaAsk(ask));
    }
    bench.recorded();
    bench.hear(offices(9, Some((ME, 3)), Some((6, 8))));
    let told: Vec<usize> = bench.recorded().iter().filter_map(told_early).collect();
    let rest = 3 * REPLICA_CHUNK_ORDERS_MAX - 2 * TOLD_PER_ENTRY;
    assert_eq!(told[..3], [TOLD_PER_ENTRY, TOLD_PER_ENTRY, rest], "then each is queued again");
}

fn told_early(entry: &Entry) -> Option<usize> {
    match entry {
        Entry::Tentative(told) => Some(told.len()),
        _ => None,
    }
}
