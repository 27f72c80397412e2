use crate::model::message::{Message, StockPush};
use crate::model::peer::testing::*;
use crate::types::{ProductId, Quantity, Seq, Stamp};

fn push(seq: u64, levels: &[(u16, u64)]) -> Message {
    let levels = levels.iter().map(|(product, pieces)| (ProductId(*product), Quantity(*pieces))).collect();
    Message::Stock(StockPush { clock: Stamp(1), seq: Seq(seq), levels })
}

fn in_office() -> Bench {
    Bench::in_market(offices(2, Some((ME, 3)), Some((9, 9))))
}

fn stock(bench: &Bench) -> Vec<u64> {
    bench.peer.rooms.cache.stock().iter().map(|pieces| pieces.0).collect()
}

#[test]
fn an_older_push_does_not_overwrite_a_newer_one() {
    let mut bench = in_office();
    bench.say("watch", push(9, &[(0, 5), (1, 6)]));
    bench.say("watch", push(8, &[(0, 99)]));
    bench.say("watch", push(10, &[(1, 4), (77, 1)]));
    assert_eq!(stock(&bench), [5, 4], "and a good of another catalogue is no good");
    assert_eq!(bench.peer.rooms.cache.seq(), Seq(10));
}

/// The sequences of a restored ledger begin lower.
#[test]
fn after_a_restore_any_push_counts() {
    let mut bench = in_office();
    bench.say("watch", push(900, &[(0, 5)]));
    bench.peer.rooms.cache.forget();
    bench.say("watch", push(20, &[(0, 3)]));
    assert_eq!(stock(&bench), [3, 0]);
}

#[test]
fn the_stream_is_dialed_again_while_in_office_and_not_afterwards() {
    let mut bench = in_office();
    bench.broken("watch");
    assert_eq!(bench.after(10), ["dial watch warehouse watch"]);
    bench.broken("watch");
    bench.hear(offices(3, Some((6, 5)), Some((9, 9))));
    bench.after(60_000);
    assert!(!bench.has("watch"));
}

#[test]
fn the_warehouse_s_clock_is_taken_in() {
    let mut bench = in_office();
    let Message::Stock(stock) = push(9, &[]) else { panic!("a push") };
    bench.say("watch", Message::Stock(StockPush { clock: Stamp(500), ..stock }));
    assert!(bench.clock() > Stamp(500));
}
