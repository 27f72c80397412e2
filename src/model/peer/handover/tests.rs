use crate::codec::encode;
use crate::limits::BATCH_ORDERS_MAX;
use crate::model::call::{Answer, Ask, SessionInfo};
use crate::model::message::{ControlDown, Message, ReplicaAsk};
use crate::model::offices::Roster;
use crate::model::peer::entry::Entry;
use crate::model::peer::testing::*;
use crate::model::step::{Input, Machine as _};
use crate::types::{Order, PeerId, Seq, Stamp, Term};

/// A peer that was the only trader, with these orders of peers 10 and 11 left; trader 6 has its office now.
fn replaced(orders: &[Order]) -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), Some((9, 9))));
    for peer in [10, 11] {
        let own: Vec<Order> = orders.iter().copied().filter(|it| it.id.peer == PeerId(peer)).collect();
        let name = format!("from-{peer}");
        bench.greeted(&name, trade(Some(hello(peer)), &[]));
        bench.say(&name, trade(None, &own));
    }
    bench.hear(offices(3, Some((6, 5)), Some((9, 9))));
    bench.forget_what_happened();
    bench
}

fn hand_over(peer: u32, orders: &[Order]) -> Ask {
    Ask::HandOver(hello(peer), orders.to_vec(), Vec::new())
}

fn taken(count: u32) -> Answer {
    Answer::Taken(count)
}

#[test]
fn orders_of_an_ended_term_go_to_their_home_and_leave_when_they_are_durable_there() {
    let (one, two) = (order(10, 1), order(11, 1));
    let mut bench = replaced(&[one, two]);
    assert_eq!(bench.calls("hand over of 4 10-1 11-1"), 1);
    assert_eq!(bench.journal.accepted.len(), 2, "until the answer");
    bench.came("hand over", Ok(taken(2)));
    let gone = |it: Order| Entry::HandedOver { peer: it.id.peer, first: it.id.number, last: it.id.number };
    assert_eq!(bench.recorded(), [gone(one), gone(two)]);
    bench.after(5_000);
    assert_eq!(bench.calls("hand over"), 0);
}

#[test]
fn a_refused_hand_over_is_tried_again_with_back_off() {
    let mut bench = replaced(&[order(10, 1)]);
    for wait_ms in [10, 20, 40] {
        bench.came("hand over", Err(no_answer()));
        assert_eq!(bench.after(wait_ms - 1), [""; 0]);
        assert_eq!(bench.after(1), ["call peer-6 hand over of 4 10-1"]);
    }
    bench.came("hand over", Ok(taken(0)));
    assert_eq!(bench.after(80), ["call peer-6 hand over of 4 10-1"], "nothing taken is a refusal, too");
}

#[test]
fn what_was_not_taken_is_handed_over_again() {
    let mut bench = replaced(&[order(10, 1), order(10, 2)]);
    assert_eq!(bench.came("hand over", Ok(taken(1))), ["call peer-6 hand over of 4 10-2"]);
    assert_eq!(bench.journal.accepted.len(), 1);
    bench.came("hand over", Ok(taken(900)));
    assert_eq!(bench.journal.accepted.len(), 0, "no more than was sent");
}

#[test]
fn orders_whose_home_is_unknown_wait_for_one() {
    let mut bench = replaced(&[order(10, 1)]);
    bench.came("hand over", Err(no_answer()));
    bench.hear(offices(4, None, None));
    assert_eq!(bench.calls("hand over"), 0);
    bench.hear(offices(5, Some((8, 7)), Some((9, 9))));
    assert_eq!(bench.calls("hand over of 4 10-1"), 1);
}

#[test]
fn each_home_gets_its_own_orders() {
    let mut bench = replaced(&[order(10, 1), order(11, 1)]);
    bench.came("hand over", Err(no_answer()));
    let lines = bench.hear(paired(4, (6, 5), (9, 9)));
    assert!(lines.contains(&"call peer-6 hand over of 4 10-1".to_owned()), "{lines:?}");
    assert_eq!(bench.came("hand over", Ok(taken(1))), ["call peer-9 hand over of 4 11-1"]);
}

#[test]
fn a_store_full_of_orders_goes_in_batches() {
    let many: Vec<Order> = (1..=4_000).flat_map(|k| [order(10, k), order(11, k)]).collect();
    let mut bench = replaced(&many);
    let mut calls = 0;
    while bench.calls("hand over") > 0 {
        bench.came("hand over", Ok(taken(BATCH_ORDERS_MAX as u32)));
        calls += 1;
    }
    assert_eq!((calls, bench.journal.accepted.len()), (2, 0));
}

/// The same peer takes the office again: what it has left is queued here, under the new term.
#[test]
fn a_desk_that_is_their_home_keeps_them() {
    let one = order(10, 1);
    let mut bench = replaced(&[one]);
    bench.came("hand over", Err(no_answer()));
    bench.hear(offices(4, Some((ME, 6)), Some((9, 9))));
    assert_eq!(bench.journal.accepted[&one.id].term, Term(6));
    assert_eq!(bench.settle_up(), ["send settle settle term 6 batch 1 10-1"]);
    bench.decided(1, &[one]);
    assert_eq!(bench.journal.accepted.len(), 0);
}

/// The answer is late: the order is settled here, and must not be forgotten here.
#[test]
fn an_order_that_came_back_meanwhile_is_not_dropped_by_a_late_answer() {
    let one = order(10, 1);
    let mut bench = replaced(&[one]);
    bench.hear(offices(4, Some((ME, 6)), Some((9, 9))));
    bench.say("from-10", trade(None, &[one]));
    bench.came("hand over", Ok(taken(1)));
    assert_eq!(bench.journal.accepted[&one.id].term, Term(6));
}

/// A trader that knows that peer 6 held an office.
fn successor_of_6(roster: Roster) -> Bench {
    let mut bench = Bench::in_market(roster);
    let sessions = vec![SessionInfo { held_office: true, ..session(6) }];
    bench.say("control", down(ControlDown { sessions, ..ControlDown::default() }));
    bench
}

/// Otherwise the sender forgets what no disk has.
#[test]
fn what_another_trader_hands_over_is_answered_when_it_is_durable() {
    let mut bench = successor_of_6(offices(2, Some((ME, 3)), Some((9, 9))));
    bench.settle_up();
    let orders = [order(10, 1), order(11, 1)];
    let lines = bench.ask(1, hand_over(6, &orders));
    assert_eq!(lines, ["reply r1 taken 2 (this turn)", "send settle settle term 3 batch 1 10-1 11-1"]);
    assert_eq!(bench.ask(2, hand_over(6, &orders)), ["reply r2 taken 2 (before)"], "they are here already");
}

#[test]
fn a_home_takes_the_first_that_it_can_and_only_of_proven_peers() {
    let mut bench = successor_of_6(paired(2, (ME, 3), (9, 9)));
    let lines = bench.ask(1, hand_over(6, &[order(10, 1), order(11, 1), order(10, 2)]));
    assert_eq!(lines[0], "reply r1 taken 1 (this turn)", "11 is the secondary's");
    let lines = bench.ask(2, hand_over(20, &[order(10, 3)]));
    assert_eq!(lines[0], "call warehouse session 20");
    assert!(lines[1].starts_with("reply r2 refused"), "{lines:?}");
    let lines = bench.ask(3, hand_over(CLIENT, &[order(10, 3)]));
    assert!(lines.iter().any(|line| line.starts_with("reply r3 refused")), "{lines:?}");
}

/// Otherwise a member under an id that nobody uses, which never traded, buys in everybody's name.
#[test]
fn only_who_held_an_office_has_orders_of_others() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), Some((9, 9))));
    let one = order(10, 1);
    let lines = bench.ask(1, hand_over(6, &[one]));
    assert_eq!(lines[0], "call warehouse session 6", "it may have held one before this process began");
    assert!(lines[1].starts_with("reply r1 refused"), "{lines:?}");
    bench.came("session", Ok(Answer::Session(Stamp(1), Some(session(6)))));
    assert!(bench.ask(2, hand_over(6, &[one])).iter().any(|line| line.starts_with("reply r2 refused")));
    let held = SessionInfo { held_office: true, ..session(6) };
    bench.came("session", Ok(Answer::Session(Stamp(1), Some(held))));
    assert_eq!(bench.ask(3, hand_over(6, &[one])), ["reply r3 taken 1 (this turn)"]);
    assert_eq!(
        bench.ask(4, hand_over(9, &[order(11, 1)])),
        ["reply r4 taken 1 (this turn)"],
        "in office now"
    );
}

/// After a restart, both of what was accepted and of what was mirrored.
#[test]
fn a_restarted_trader_hands_over_its_queue_and_its_mirror() {
    let mut bench = Bench::in_market(paired(2, (ME, 3), (9, 9)));
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.greeted(
        "from-9",
        Message::ReplicaAsk(ReplicaAsk { hello: Some(hello(9)), ..ReplicaAsk::default() }),
    );
    let orders = encode(&vec![order(11, 1)]).unwrap();
    let (clock, term, chunk) = (Stamp(1), Term(9), Seq(5));
    let copy = ReplicaAsk { clock, term, chunk, orders, ..ReplicaAsk::default() };
    bench.say("from-9", Message::ReplicaAsk(copy));
    let state = bench.journal;
    let mut restarted = Bench::with(|parts| {
        parts.state = state;
        parts.me.process.starts = 2;
    });
    restarted.idle();
    restarted.came("open", Ok(opened(0, offices(5, Some((6, 10)), None))));
    assert_eq!(restarted.calls("hand over of 4 10-1 11-1"), 1);
}

/// Otherwise a market whose offices change while orders are stuck is flooded with calls.
#[test]
fn roster_changes_add_no_calls_while_orders_are_stuck() {
    let mut bench = replaced(&[order(10, 1)]);
    bench.came("hand over", Err(no_answer()));
    for seq in 4..40 {
        bench.hear(offices(seq, None, Some((9, 9))));
        bench.hear(offices(seq, Some((6, 5)), Some((9, 9))));
    }
    let mut calls = 0;
    for _ in 0..10_000 {
        bench.after(1);
        if bench.calls("hand over") > 0 {
            calls += 1;
            bench.came("hand over", Err(no_answer()));
        }
    }
    assert!(calls < 20, "{calls} calls in ten seconds");
}

/// The answer says which orders have another home. Otherwise they stay in this store, too, which nobody may start again.
#[test]
fn a_trader_that_stops_waits_for_the_answer_to_a_hand_over() {
    let mut bench = replaced(&[order(10, 1)]);
    bench.hear(offices(4, None, None));
    bench.turn([Input::Stop]);
    bench.idle();
    assert!(!bench.peer.has_ended());
    bench.came("hand over", Ok(taken(1)));
    assert_eq!((bench.peer.has_ended(), bench.journal.accepted.len()), (true, 0));
}
