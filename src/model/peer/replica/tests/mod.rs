mod adopted;

use crate::codec::encode;
use crate::limits::{ORDER_BYTES_MAX, REPLICA_CHUNK_ORDERS_MAX, REPLICA_PARTS_IN_FLIGHT_MAX};
use crate::model::call::{Answer, CallError};
use crate::model::message::*;
use crate::model::peer::entry::Entry;
use crate::model::peer::rooms::Rooms;
use crate::model::peer::testing::*;
use crate::model::step::{ConnId, Input};
use crate::types::{Order, OrderKind, PeerId, ProductId, Quantity, Seq, Stamp, Term};

const THEIRS: Term = Term(4);

fn answer(answer: ReplicaAnswer) -> Message {
    Message::ReplicaAnswer(ReplicaAnswer { clock: Stamp(1), ..answer })
}

fn greeted() -> Message {
    answer(ReplicaAnswer { hello: Some(hello(6)), ..ReplicaAnswer::default() })
}

fn durable() -> Message {
    answer(ReplicaAnswer { term: THEIRS, ..ReplicaAnswer::default() })
}

fn chunk(term: Term, chunk: u64, orders: &[Order], below: u64) -> Message {
    let orders = if orders.is_empty() { Vec::new() } else { encode(&orders.to_vec()).unwrap() };
    let (chunk, settled_below) = (Seq(chunk), Seq(below));
    Message::ReplicaAsk(ReplicaAsk { clock: Stamp(1), hello: None, term, chunk, orders, settled_below })
}

/// A primary, whose secondary 6 is not up to date yet.
fn syncing() -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), Some((6, 4))));
    bench.settle_up();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.forget_what_happened();
    bench
}

/// A pair of which this is the primary; the secondary's stream to this one is there, too.
fn pair() -> Bench {
    let mut bench = syncing();
    bench.say("replicate", greeted());
    bench.say("replicate", durable());
    bench.granted("pair", paired(3, (ME, 3), (6, 4)));
    let hello = ReplicaAsk { hello: Some(hello(6)), term: THEIRS, ..ReplicaAsk::default() };
    bench.greeted("from-6", Message::ReplicaAsk(hello));
    bench.forget_what_happened();
    bench
}

/// With less the secondary would answer for orders that it does not have.
#[test]
fn the_pair_is_asked_for_when_the_last_part_of_the_snapshot_is_acknowledged() {
    let mut bench = syncing();
    bench.say("from-10", trade(None, &[order(10, 1), order(10, 2)]));
    let at = bench.journal.seq;
    let lines = bench.say("replicate", greeted());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&format!("send replicate replicate term 3 chunk {at} (")), "{lines:?}");
    assert_eq!(lines[1], format!("send replicate replicate term 3 empty chunk {at} settled below {at}"));
    assert_eq!(bench.say("replicate", durable()), [""; 0], "one of two parts");
    assert_eq!(bench.say("replicate", durable()), ["call warehouse pair terms 3 4"]);
    assert_eq!(bench.say("replicate", durable()), [""; 0], "one acknowledgement too many");
}

#[test]
fn a_refused_pair_is_asked_for_again_with_back_off() {
    let mut bench = syncing();
    bench.say("replicate", greeted());
    assert_eq!(bench.say("replicate", durable()), ["call warehouse pair terms 3 4"]);
    for wait_ms in [10, 20] {
        assert_eq!(bench.came("pair", Err(no_answer())), [""; 0]);
        assert_eq!(bench.after(wait_ms - 1), [""; 0]);
        assert_eq!(bench.after(1), ["call warehouse pair terms 3 4"]);
    }
}

#[test]
fn an_order_is_replicated_and_forwarded_in_one_turn_and_answered_after_its_outcome() {
    let mut bench = pair();
    let one = order(10, 1);
    let lines = bench.say("from-10", trade(None, &[one]));
    let at = bench.journal.seq;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "send settle settle term 3 batch 1 10-1");
    assert!(lines[1].starts_with(&format!("send replicate replicate term 3 chunk {at} (")), "{lines:?}");
    assert_eq!(bench.say("replicate", durable()), [""; 0], "the partner's copy is no outcome");
    let lines = bench.decided(1, &[one]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "send from-10 trade 10-1 deposited");
    assert!(lines[1].contains("settled below"), "and the partner may forget it: {lines:?}");
}

/// Otherwise the partner's disk is lost together with the trader's, and an order that was told to be safe is nowhere.
#[test]
fn a_copy_is_acknowledged_when_it_is_durable() {
    let mut bench = pair();
    bench.disk_works = false;
    let copy = chunk(THEIRS, 7, &[order(11, 1)], 0);
    let lines = bench.say("from-6", copy);
    assert_eq!(lines, ["send from-6 replicate term 3 durable 7 (this turn)"]);
    assert!(matches!(bench.recorded()[..], [Entry::Mirrored { chunk: Seq(7), .. }]));
    let lines = bench.say("from-6", chunk(THEIRS, 8, &[], 0));
    assert_eq!(lines, ["send from-6 replicate term 3 durable 8 (before)"], "after what stands before it");
}

#[test]
fn a_copy_of_another_term_counts_nothing() {
    let mut bench = pair();
    assert_eq!(bench.say("from-6", chunk(Term(2), 7, &[order(11, 1)], 0)), [""; 0]);
    assert_eq!(bench.recorded(), []);
}

#[test]
fn settled_chunks_of_a_mirror_are_forgotten() {
    let mut bench = pair();
    bench.say("from-6", chunk(THEIRS, 7, &[order(11, 1)], 0));
    bench.say("from-6", chunk(THEIRS, 9, &[order(11, 2)], 8));
    let mirror = &bench.journal.mirrors[&(PeerId(6), THEIRS)];
    assert_eq!(mirror.iter().map(|(at, _)| at.0).collect::<Vec<_>>(), [9]);
    bench.recorded();
    bench.say("from-6", chunk(THEIRS, 10, &[], 9));
    assert_eq!(bench.recorded(), [], "there is nothing below it");
}

#[test]
fn a_second_hello_or_too_many_bytes_cut_the_stream() {
    let mut bench = pair();
    let again = ReplicaAsk { hello: Some(hello(6)), ..ReplicaAsk::default() };
    assert_eq!(bench.say("from-6", Message::ReplicaAsk(again.clone())), ["hang up from-6"]);
    bench.greeted("from-6", Message::ReplicaAsk(again));
    let most = REPLICA_CHUNK_ORDERS_MAX * ORDER_BYTES_MAX;
    let copy = |bytes| {
        let clock = Stamp(1);
        Message::ReplicaAsk(ReplicaAsk {
            clock,
            term: THEIRS,
            orders: vec![0; bytes],
            ..ReplicaAsk::default()
        })
    };
    assert_eq!(bench.say("from-6", copy(most)), ["send from-6 replicate term 3 durable 0 (this turn)"]);
    assert_eq!(bench.say("from-6", copy(most + 1)), ["hang up from-6"]);
}

/// Otherwise the first copies come before the grant is known, and are never acknowledged.
#[test]
fn the_primary_is_answered_when_the_warehouse_has_said_the_grant() {
    let mut bench = Bench::in_market(offices(2, Some((26, 4)), None));
    let mut theirs = hello(26);
    theirs.roster = offices(3, Some((26, 4)), Some((ME, 5)));
    let first = ReplicaAsk { hello: Some(theirs), term: THEIRS, ..ReplicaAsk::default() };
    bench.greeted("from-26", Message::ReplicaAsk(first));
    let lines = bench.came("session", Ok(Answer::Session(Stamp(1), Some(session(26)))));
    assert_eq!(lines, ["call warehouse open 4 generation 0"], "is it true?");
    let lines = bench.came("open", Ok(opened(0, offices(3, Some((26, 4)), Some((ME, 5))))));
    assert!(lines.contains(&"send from-26 replicate hello of 4".to_owned()), "{lines:?}");
    let lines = bench.say("from-26", chunk(THEIRS, 7, &[order(10, 1)], 0));
    assert!(lines.contains(&"send from-26 replicate term 5 durable 7 (this turn)".to_owned()), "{lines:?}");
}

/// Otherwise its chunk waits for it for ever, and with it all later ones: neither end forgets anything any more.
#[test]
fn what_was_settled_while_a_snapshot_was_under_way_holds_no_chunk_open() {
    let mut bench = syncing();
    let count = (REPLICA_PARTS_IN_FLIGHT_MAX as u32 + 2) * REPLICA_CHUNK_ORDERS_MAX as u32 / 4;
    for peer in 7..=10 {
        let all: Vec<Order> = (1..=count).map(|k| order(peer, k)).collect();
        let name = format!("of-{peer}");
        bench.greeted(&name, trade(Some(hello(peer)), &[]));
        bench.say(&name, trade(None, &all));
    }
    bench.say("replicate", greeted());
    assert!(!bench.peer.rooms.replica.snapshot.is_empty(), "not all of it is sent at once");
    assert_eq!(bench.peer.rooms.replica.sent, REPLICA_PARTS_IN_FLIGHT_MAX);
    let meanwhile = [order(12, 1), order(12, 2)];
    let lines = bench.greeted("of-12", trade(Some(hello(12)), &meanwhile));
    assert!(!lines.iter().any(|line| line.contains("chunk")), "it waits for the snapshot: {lines:?}");
    bench.decided(5, &meanwhile[..1]);
    while bench.peer.rooms.replica.acked < bench.peer.rooms.replica.sent {
        bench.say("replicate", durable());
    }
    assert!(bench.peer.rooms.replica.snapshot.is_empty());
    let accepted: Vec<Order> = bench.journal.accepted.values().map(|it| it.order).collect();
    assert_eq!(accepted.len(), 4 * count as usize + 1);
    bench.decided(6, &accepted);
    let open: Vec<u64> = bench.peer.rooms.replica.chunks.iter().map(|chunk| chunk.open).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_stream_that_breaks_is_dialed_again_and_begins_with_all_that_is_unsettled() {
    let mut bench = pair();
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.say("replicate", durable());
    assert_eq!(bench.broken("replicate"), [""; 0]);
    assert_eq!(bench.after(10), ["dial replicate peer-6 replicate term 3 hello of 4"]);
    let lines = bench.say("replicate", greeted());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("bytes"), "the order, and the end of the snapshot: {lines:?}");
}

#[test]
fn the_end_of_the_pair_closes_the_stream() {
    let mut bench = pair();
    let lines = bench.hear(offices(5, Some((ME, 3)), None));
    assert!(lines.contains(&"hang up replicate".to_owned()), "{lines:?}");
}

/// A secondary that does not come up to date would keep the primary without a partner for ever.
#[test]
fn a_stuck_secondary_is_passed_over_after_suspect_after_and_not_before() {
    let mut bench = syncing();
    bench.say("replicate", greeted());
    assert!(!bench.after(4_999).iter().any(|line| line.starts_with("call")));
    let lines = bench.after(1);
    assert!(lines.contains(&"call warehouse fence term 4 by 4".to_owned()), "{lines:?}");
    let lines = bench.granted("fence", offices(3, Some((ME, 3)), None));
    assert!(lines.contains(&"hang up replicate".to_owned()), "{lines:?}");
}

#[test]
fn a_secondary_that_goes_on_is_not_passed_over_and_nor_is_one_whose_pair_is_not_journaled() {
    let mut bench = syncing();
    bench.after(4_000);
    bench.say("replicate", greeted());
    bench.after(900);
    assert_eq!(bench.say("replicate", durable()), ["call warehouse pair terms 3 4"]);
    bench.after(20_000);
    assert_eq!(bench.calls("fence"), 0, "that is the warehouse's affair");
}

/// Until its stream broke it was up to date: the wait for the warehouse was not its own.
#[test]
fn a_secondary_that_was_up_to_date_has_suspect_after_from_the_break_of_its_stream_on() {
    let mut bench = syncing();
    bench.say("replicate", greeted());
    assert_eq!(bench.say("replicate", durable()), ["call warehouse pair terms 3 4"]);
    // A heartbeat, with which it is looked for who is overdue, comes 3 s after the break.
    bench.after(22_000);
    bench.broken("replicate");
    bench.after(4_999);
    assert_eq!(bench.calls("fence"), 0);
    bench.after(1);
    assert_eq!(bench.calls("fence term 4 by 4"), 1, "it does not come back");
}

#[test]
fn a_secondary_that_owes_something_has_no_new_time_when_its_stream_breaks() {
    for acknowledges in [false, true] {
        let mut bench = syncing();
        bench.say("from-10", trade(None, &[order(10, 1)]));
        bench.say("replicate", greeted());
        if acknowledges {
            bench.say("replicate", durable());
        }
        bench.after(3_000);
        bench.broken("replicate");
        bench.after(1_999);
        assert_eq!(bench.calls("fence"), 0);
        bench.after(1);
        assert_eq!(bench.calls("fence term 4 by 4"), 1, "{acknowledges}");
    }
}

#[test]
fn a_pair_of_an_ended_term_is_not_asked_for() {
    let mut bench = syncing();
    bench.say("replicate", greeted());
    bench.say("replicate", durable());
    bench.came("pair", Err(CallError::Unknown("busy".into())));
    bench.hear(offices(3, Some((6, 5)), None));
    bench.after(5_000);
    assert_eq!(bench.calls("pair"), 0);
}

/// What was under way when a stream was hung up still comes in.
#[test]
fn what_comes_on_a_stream_that_is_here_no_more_is_not_heard() {
    let mut bench = pair();
    bench.say("from-10", trade(None, &[order(10, 1)]));
    let waits = |bench: &Bench| bench.peer.rooms.replica.waiting_since();
    let (since, roster) = (waits(&bench), Some(Box::new(paired(9, (ME, 3), (6, 4)))));
    assert!(since.is_some(), "a copy is not acknowledged yet");
    let stock = StockPush { seq: Seq(5), levels: vec![(ProductId(0), Quantity(3))], ..StockPush::default() };
    for message in [
        told(TradeAnswer { roster, ..TradeAnswer::default() }),
        settled(SettleAnswer { outcomes: vec![deposited(&order(10, 1))], ..SettleAnswer::default() }),
        down(ControlDown { roster: Some(Box::new(offices(9, None, None))), ..ControlDown::default() }),
        Message::Stock(stock),
        answer(ReplicaAnswer { term: THEIRS, chunk: bench.journal.seq, ..ReplicaAnswer::default() }),
    ] {
        assert_eq!(bench.turn([Input::Said(ConnId(u64::MAX), message)]), [""; 0]);
    }
    let Rooms { cache, desk, .. } = &bench.peer.rooms;
    assert_eq!((waits(&bench), cache.seq(), desk.trader.depth()), (since, Seq(0), 1));
}

#[test]
fn of_the_partner_s_streams_the_one_that_it_dialed_last_counts() {
    let mut bench = Bench::in_market(paired(2, (ME, 3), (6, 4)));
    let greets = |stream| {
        let hello = Some(Box::new(crate::model::hello::Hello { stream, ..*hello(6) }));
        Message::ReplicaAsk(ReplicaAsk { hello, term: THEIRS, ..ReplicaAsk::default() })
    };
    bench.greeted("second", greets(2));
    assert_eq!(bench.greeted("first", greets(1)), ["hang up first"]);
    assert_eq!(bench.greeted("third", greets(3)), ["hang up second", "send third replicate hello of 4"]);
}

#[test]
fn copies_go_to_a_present_secondary_and_to_the_primary_of_a_pair() {
    let mut absent = offices(2, Some((ME, 3)), Some((6, 4)));
    absent.secondary.as_mut().unwrap().present = false;
    assert!(!Bench::in_market(absent).has("replicate"));
    let mut secondary = Bench::in_market(offices(2, Some((6, 3)), Some((ME, 4))));
    assert!(!secondary.has("replicate"), "no pair yet");
    secondary.hear(paired(3, (6, 3), (ME, 4)));
    assert!(secondary.has("replicate"));
}

/// Otherwise the partner keeps every chunk, and adopts what was settled long ago.
#[test]
fn each_chunk_says_below_which_one_all_is_settled() {
    let mut bench = pair();
    let mut takes = |k: u32| {
        let lines = bench.say("from-10", trade(None, &[order(10, k)]));
        let settled = lines[1].split_once(" settled below ").unwrap().1.parse::<u64>().unwrap();
        bench.say("replicate", durable());
        let taken = bench.journal.accepted[&order(10, k).id].seq.0;
        if k == 2 {
            bench.decided(1, &[order(10, 1)]);
        }
        (taken, settled)
    };
    let [one, two, three] = [1, 2, 3].map(&mut takes);
    assert!([one.1, two.1].iter().all(|below| (1..=one.0).contains(below)), "{one:?} {two:?}");
    assert_eq!(three.1, two.0, "the first one has its outcome");
}

/// Otherwise its chunk waits for the outcome of an order that nobody asks for any more.
#[test]
fn an_order_that_a_void_gives_up_holds_no_chunk_open() {
    let mut bench = pair();
    bench.say("from-10", trade(None, &[order(10, 1)]));
    let void = Order { kind: OrderKind::Void, ..order(10, 1) };
    bench.say("from-10", trade(None, &[void]));
    let lines = bench.decided(2, &[void]);
    assert!(lines.iter().any(|line| line.contains("settled below")), "{lines:?}");
}

/// Otherwise it keeps the last orders for as long as the market rests.
#[test]
fn the_partner_is_told_each_time_that_all_is_settled_and_once() {
    let mut bench = pair();
    for k in 1..=3 {
        bench.say("from-10", trade(None, &[order(10, k)]));
        let lines = bench.decided(u64::from(k), &[order(10, k)]);
        assert!(lines.iter().any(|line| line.contains("empty chunk")), "{k}: {lines:?}");
        assert_eq!(bench.idle(), [""; 0]);
    }
}

#[test]
fn another_secondary_has_a_stream_and_a_time_of_its_own() {
    let mut bench = syncing();
    bench.after(4_000);
    let lines = bench.hear(offices(3, Some((ME, 3)), Some((7, 5))));
    let dial = "dial replicate peer-7 replicate term 3 hello of 4".to_owned();
    assert!(lines.contains(&"hang up replicate".to_owned()) && lines.contains(&dial), "{lines:?}");
    bench.after(4_999);
    assert_eq!(bench.calls("fence"), 0);
    bench.after(1);
    assert_eq!(bench.calls("fence term 5 by 4"), 1);
}

#[test]
fn a_secondary_whose_stream_never_comes_up_is_passed_over() {
    let mut bench = syncing();
    for _ in 0..4 {
        bench.refused("replicate");
        bench.after(1_200);
    }
    assert_eq!(bench.calls("fence"), 0);
    bench.after(200);
    assert_eq!(bench.calls("fence term 4 by 4"), 1, "that it was dialed again is no sign of it");
}

#[test]
fn a_secondary_that_stops_in_the_middle_of_a_snapshot_is_passed_over() {
    let mut bench = syncing();
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.say("replicate", greeted());
    bench.after(1_000);
    bench.say("replicate", durable());
    bench.after(4_999);
    assert_eq!(bench.calls("fence"), 0);
    bench.after(1);
    assert_eq!(bench.calls("fence term 4 by 4"), 1);
}

/// An absent one is the warehouse's affair, and that of another primary is its own.
#[test]
fn nobody_is_passed_over_who_is_absent_or_anothers_secondary() {
    let mut absent = offices(3, Some((ME, 3)), Some((6, 4)));
    absent.secondary.as_mut().unwrap().present = false;
    for offices in [absent, offices(3, Some((8, 5)), Some((6, 4)))] {
        let mut bench = syncing();
        bench.hear(offices);
        bench.after(20_000);
        assert_eq!(bench.calls("fence"), 0);
    }
}

/// What it has acknowledged meanwhile waits unread.
#[test]
fn a_process_that_was_stopped_does_not_blame_its_secondary() {
    let mut bench = syncing();
    bench.say("replicate", greeted());
    bench.after(3_000);
    bench.stopped_for(60_000);
    bench.settle();
    bench.after(4_999);
    assert_eq!(bench.calls("fence"), 0);
    bench.after(1);
    assert_eq!(bench.calls("fence"), 1);
}
