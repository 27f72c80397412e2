use super::super::testing::{Bench, bench};
use super::*;
use crate::types::Batch;

const PARTNER_TERM: Term = Term(4);

/// A primary with so many accepted orders, whose secondary has just answered its stream.
fn syncing(orders: u32) -> (Bench, Vec<Order>) {
    let mut bench = bench();
    let mut roster = bench.roster();
    (roster.primary, roster.secondary) = (roster.secondary, roster.primary);
    (roster.primary.as_mut().unwrap().term, roster.secondary.as_mut().unwrap().term) =
        (Term(3), PARTNER_TERM);
    bench.node.adopt_roster(roster);
    assert_eq!(bench.node.state.grant, Some((Office::Primary, Term(3))));
    let accepted: Vec<Order> = (0..orders).map(|k| bench.order(PeerId(10 + k % 8), 1 + k / 8)).collect();
    accepted.iter().for_each(|order| bench.node.admit(*order).unwrap());
    bench.step(0);
    let hello = Some(bench.node.hello(false));
    bench.node.replica_answered(ReplicaAnswer { hello: hello.map(Box::new), ..ReplicaAnswer::default() });
    (bench, accepted)
}

fn acknowledge_all(bench: &mut Bench) {
    while bench.node.replica.acked < bench.node.replica.sent {
        bench.node.replica_answered(ReplicaAnswer { term: PARTNER_TERM, ..ReplicaAnswer::default() });
    }
}

fn settle(bench: &mut Bench, orders: &[Order]) {
    let outcomes = orders.iter().map(|order| bench.deposited(*order)).collect();
    let answer = SettleAnswer { batch: Batch(1), outcomes, ..SettleAnswer::default() };
    let conn = bench.node.settle.dialed.as_ref().unwrap().conn;
    bench.node.settle_event(StreamEvent::Message(conn, answer));
}

/// Otherwise its chunk waits for it for ever, and with it all later ones: neither end forgets anything any more.
#[test]
fn what_was_settled_while_a_snapshot_was_under_way_holds_no_chunk_open() {
    let (mut bench, accepted) =
        syncing((REPLICA_PARTS_IN_FLIGHT_MAX as u32 + 2) * REPLICA_CHUNK_ORDERS_MAX as u32);
    assert!(!bench.node.replica.snapshot.is_empty(), "not all of it is sent at once");
    let meanwhile = [bench.order(PeerId(30), 1), bench.order(PeerId(30), 2)];
    meanwhile.iter().for_each(|order| bench.node.admit(*order).unwrap());
    bench.step(0);
    settle(&mut bench, &meanwhile[..1]);
    acknowledge_all(&mut bench);
    bench.step(0);
    assert!(bench.node.replica.snapshot.is_empty());
    settle(&mut bench, &accepted);
    settle(&mut bench, &meanwhile[1..]);
    bench.step(0);
    let open: Vec<u64> = bench.node.replica.chunks.iter().map(|chunk| chunk.open).collect();
    assert!(open.is_empty(), "{open:?}");
}
