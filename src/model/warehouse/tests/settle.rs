use super::*;
use crate::limits::{BATCH_ORDERS_MAX, MESSAGE_BYTES_MAX};
use crate::model::market::NotTaken;
use crate::model::message::outcome_weight;
use crate::model::row::OutcomeKind;

#[test]
fn a_write_needs_the_present_term_of_the_streams_process() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.settler(2, 6, 2);
    it.settler(3, 4, 1);
    let buy = || vec![order(4, 1, BUY, 0, 1)];
    for (conn, term) in [(2, 1), (3, 1), (1, 2)] {
        it.batch(conn, 1, term, buy());
    }
    let refused: Vec<_> = it.settle().iter().map(|answer| answer.refused).collect();
    assert_eq!(refused, [Some(NotTaken::Fenced); 3]);
    it.settler(4, 6, 1);
    it.batch(4, 1, 1, buy());
    assert_eq!(it.settle()[0].outcomes.len(), 1);
}

#[test]
fn after_a_batch_not_taken_no_later_one_of_that_stream_is() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.lines();
    it.at.disk_low = true;
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    it.batch(1, 2, 1, vec![order(4, 2, BUY, 0, 1)]);
    it.end();
    assert_eq!(
        it.lines(),
        [
            "before: s1 batch 1 refused=DiskFull roster",
            "before: s1 batch 2 refused=DiskFull roster",
            "before: hang up s1"
        ]
    );
    it.at.disk_low = false;
    it.batch(1, 3, 1, vec![order(4, 3, BUY, 0, 1)]);
    assert!(it.settle().is_empty(), "the stream is gone");
    it.settler(2, 6, 1);
    it.batch(2, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    assert_eq!(it.settle()[0].outcomes.len(), 1);
}

#[test]
fn above_a_number_that_was_not_taken_nothing_of_that_peer_is() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 9, 1), order(4, 2, BUY, 0, 1), order(5, 1, BUY, 0, 1)]);
    let answers = it.settle();
    let why: Vec<_> = answers[0].not_taken.iter().map(|(id, why)| (id.number.k(), *why)).collect();
    assert_eq!(why, [(1, NotTaken::UnknownProduct), (2, NotTaken::Window)]);
    assert_eq!(answers[0].outcomes.len(), 1);
    let again = vec![order(4, 1, OrderKind::Void, 0, 0), order(4, 1, BUY, 0, 1), order(4, 2, BUY, 0, 1)];
    it.batch(1, 2, 1, again);
    assert_eq!(it.settle()[0].outcomes.len(), 3);
}

#[test]
fn what_is_ready_is_decided_in_stamp_order_over_all_streams() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.settler(2, 5, 1);
    it.lines();
    it.batch(1, 1, 1, vec![order(4, 2, BUY, 0, 6), order(4, 9, BUY, 0, 1)]);
    it.batch(2, 1, 2, vec![order(5, 1, BUY, 0, 6)]);
    it.end();
    assert_eq!(
        it.lines(),
        ["recorded: s1 batch 1 4:2=sold_out 4:9=bought", "recorded: s2 batch 1 5:1=bought"]
    );
    let stamps: Vec<_> = it.records.iter().filter_map(|it| Some(it.decision()?.order.stamp.0)).collect();
    assert_eq!(stamps, [1, 2, 9]);
}

#[test]
fn a_fenced_term_is_refused_and_hung_up_behind_its_answer() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.lines();
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    it.step(Input::Asked(ReplyId(9), Ask::Fence(Box::new(hello(5, 1)), Term(1))));
    it.end();
    assert_eq!(
        it.lines(),
        [
            "recorded: r9 roster",
            "recorded: s1 batch 1 refused=Fenced roster",
            "recorded: hang up s1",
            "recorded: s401 roster",
            "recorded: s501 roster, sessions 3",
            "recorded: s601 roster",
            "recorded: happens: roster",
        ]
    );
}

#[test]
fn a_clock_too_far_ahead_spares_the_batches_before_it() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.lines();
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    let (clock, orders) = (Stamp(u64::MAX), vec![order(4, 2, BUY, 0, 1)]);
    let ask = SettleAsk { clock, term: Term(1), batch: Batch(2), orders, ..SettleAsk::default() };
    it.step(Input::Said(ConnId(1), Message::SettleAsk(ask)));
    it.end();
    assert_eq!(
        it.lines(),
        [
            "recorded: s1 batch 1 4:1=bought",
            "recorded: s1 batch 2 refused=Clock roster",
            "recorded: hang up s1"
        ]
    );
    assert!(it.it.clock() < Stamp(1_000), "{}", it.it.clock());
}

#[test]
fn a_batch_that_is_too_long_is_refused() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.batch(1, 1, 1, (1..=BATCH_ORDERS_MAX as u32 + 1).map(|k| order(4, k, BUY, 0, 1)).collect());
    assert_eq!(it.settle()[0].refused, Some(NotTaken::Busy));
}

#[test]
fn the_orders_of_a_stream_that_ended_are_not_decided() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.lines();
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    it.gone(ConnId(1));
    it.end();
    assert!(it.lines().is_empty() && it.records.is_empty());
}

#[test]
fn an_order_that_is_asked_again_has_its_first_outcome() {
    let mut it = paired();
    it.settler(1, 6, 1);
    for batch in 1..=2 {
        it.batch(1, batch, 1, vec![order(4, 1, BUY, 0, 1)]);
    }
    let answers = it.settle();
    let repeated: Vec<_> = answers.iter().map(|it| it.outcomes[0].repeated).collect();
    assert_eq!(repeated, [false, true]);
    assert_eq!((answers[1].outcomes[0].kind, it.it.duplicates), (OutcomeKind::Bought, 1));
}

/// Each buy takes one piece of each of 128 sellers, so that its outcome is long.
#[test]
fn a_heavy_answer_takes_several_messages() {
    let (sellers, buys) = (700..828_u32, 700_u32);
    let mut it = paired();
    it.settler(1, 6, 1);
    for peer in sellers.clone() {
        it.open(peer, Hash::of(&peer.to_le_bytes()), 0).unwrap();
    }
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 0, 10)]);
    let sells: Vec<Order> = (1..=buys)
        .flat_map(|k| sellers.clone().map(move |peer| order(peer, k, OrderKind::Sell, 0, 1)))
        .collect();
    sells.chunks(BATCH_ORDERS_MAX).for_each(|sells| it.batch(1, 2, 1, sells.to_vec()));
    it.settle();
    it.batch(1, 3, 1, (2..2 + buys).map(|k| order(4, k, BUY, 0, 128)).collect());
    let answers = it.settle();
    let told: Vec<u32> = answers.iter().flat_map(|it| &it.outcomes).map(|it| it.id.number.k()).collect();
    assert_eq!((answers.len(), told), (2, (2..2 + buys).collect()));
    let weight = |answer: &SettleAnswer| answer.outcomes.iter().map(outcome_weight).sum::<usize>();
    assert!(answers.iter().all(|answer| weight(answer) <= MESSAGE_BYTES_MAX / 2 + 4_096));
    assert!(answers.iter().all(|answer| (answer.batch, answer.clock > Stamp(0)) == (Batch(3), true)));
    let full = MESSAGE_BYTES_MAX / 2 / outcome_weight(&answers[0].outcomes[0]);
    assert_eq!(answers[0].outcomes.len(), full + 1, "what is half full goes");
}

fn void(peer: u32, k: u32) -> Order {
    order(peer, k, OrderKind::Void, 0, 0)
}

/// What became of the orders of the answers, as (peer, number, outcome or why not).
fn told(answers: &[SettleAnswer]) -> Vec<String> {
    answers.iter().map(settled).collect()
}

/// Otherwise nothing more of that peer is decided on the stream: the number that was not taken never comes.
#[test]
fn a_void_of_the_number_that_was_not_taken_lifts_the_wait() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.batch(1, 1, 1, vec![order(4, 2, BUY, 9, 1), order(4, 3, BUY, 0, 1)]);
    assert_eq!(told(&it.settle()), ["batch 1 4:2=UnknownProduct 4:3=Window"]);
    it.batch(1, 2, 1, vec![void(4, 1), void(4, 5), order(4, 3, BUY, 0, 1)]);
    assert_eq!(told(&it.settle()), ["batch 2 4:1=voided 4:5=voided 4:3=Window"], "of other numbers");
    it.batch(1, 3, 1, vec![void(4, 2)]);
    it.batch(1, 4, 1, vec![order(4, 3, BUY, 0, 1)]);
    assert_eq!(told(&it.settle()), ["batch 3 4:2=voided", "batch 4 4:3=bought"]);
}

/// As at the traders: a void passes the queues. Else an order that is given up in time is sold all the same.
#[test]
fn voids_are_decided_before_all_orders_of_the_turn() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.settler(2, 5, 1);
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 0, 1), order(4, 7, BUY, 0, 1)]);
    it.batch(2, 1, 2, vec![void(4, 7)]);
    assert_eq!(told(&it.settle()), ["batch 1 4:1=bought 4:7=voided", "batch 1 4:7=voided"]);
    assert_eq!(it.kinds(), ["void", "sale"]);
}

/// Otherwise the bytes of a stream that was given up are taken for the newest, and answers go where nobody reads.
#[test]
fn a_settle_stream_that_was_dialed_before_the_one_that_is_here_is_ended() {
    let mut it = paired();
    let mut dialed = |conn: u64, hello: Hello| {
        it.step(Input::Opened(ConnId(conn), Stream::Settle));
        let hello = Some(Box::new(hello));
        it.step(Input::Said(ConnId(conn), Message::SettleAsk(SettleAsk { hello, ..SettleAsk::default() })));
        it.it.conns.contains_key(&ConnId(conn))
    };
    assert!(dialed(1, Hello { stream: 2, ..hello(6, 1) }));
    assert!(!dialed(2, Hello { stream: 1, ..hello(6, 1) }), "it was given up");
    assert!(dialed(3, Hello { stream: 1, ..hello(5, 1) }), "another trader's");
    assert!(dialed(4, Hello { stream: 3, ..hello(6, 1) }), "a later one");
}

#[test]
fn watchers_are_told_what_has_changed_since_they_were_told() {
    let goods = ["fish", "salt"].map(|good| (good.to_owned(), Quantity(10), Money(100))).to_vec();
    let mut it = Driven::with(Parts { goods, ..parts(Market::default(), 1) });
    it.open(6, token(6).store_id(), 0).unwrap();
    assert!(it.up(6, 1));
    it.claim(6, Office::Primary).unwrap();
    it.settler(1, 6, 1);
    it.step(Input::Opened(ConnId(2), Stream::Watch));
    let watched = |it: &mut Driven| -> Vec<String> {
        it.end();
        it.lines().into_iter().filter(|line| line.contains("s2 stock")).collect()
    };
    watched(&mut it);
    for (k, product, left) in [(1, 0, 9), (2, 1, 9), (3, 1, 8)] {
        it.batch(1, u64::from(k), 1, vec![order(6, k, BUY, product, 1)]);
        assert_eq!(watched(&mut it), [format!("recorded: s2 stock [({product}, {left})]")]);
    }
    assert_eq!(watched(&mut it), [""; 0]);
}
