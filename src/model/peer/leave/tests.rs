use crate::limits::{DRAIN_MAX, FAREWELL_MAX, HAND_OVER_MAX, LEAVE_MAX, STOP_ALONE_MAX};
use crate::model::call::{Answer, Ask};
use crate::model::message::{PeerWord, TradeAnswer};
use crate::model::offices::Roster;
use crate::model::peer::testing::*;
use crate::model::step::{Input, Machine as _};
use crate::types::{Number, OrderKind, PeerId, Quantity};

fn place() -> Ask {
    Ask::Place("fish".into(), Quantity(1), OrderKind::Sell, Number(0))
}

/// The only trader with an order of peer 10.
fn in_office() -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), Some((9, 9))));
    bench.settle_up();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench
}

fn outcome_of_first(bench: &Bench) -> TradeAnswer {
    let order = bench.journal.order(PeerId(ME), &bench.journal.open[&Number(1)]);
    TradeAnswer { outcomes: vec![deposited(&order)], ..TradeAnswer::default() }
}

#[test]
fn a_peer_out_of_office_stops_at_once() {
    let mut bench = Bench::in_market(offices(2, Some((6, 3)), None));
    assert_eq!(bench.turn([Input::Stop]), [""; 0]);
    assert!(bench.peer.has_ended());
}

#[test]
fn people_who_wait_are_told_when_the_process_ends() {
    let mut bench = Bench::in_market(offices(2, Some((6, 3)), None));
    bench.ask(1, place());
    let lines = bench.turn([Input::Stop]);
    assert_eq!(lines, ["reply r1 refused: the peer is stopping; order 1 has no outcome yet (before)"]);
    assert_eq!(bench.journal.open.len(), 1, "it is asked again by the next process");
}

#[test]
fn a_trader_settles_what_it_has_gives_up_and_then_stops() {
    let mut bench = in_office();
    assert_eq!(bench.turn([Input::Stop]), [""; 0]);
    assert_eq!(bench.turn([Input::Stop]), [""; 0], "told twice");
    let lines = bench.decided(1, &[order(10, 1)]);
    assert_eq!(lines, ["send from-10 trade 10-1 deposited", "call warehouse resign term 3 to 0"]);
    bench.after(1_000);
    assert!(!bench.peer.has_ended());
    bench.granted("resign", offices(3, None, Some((9, 9))));
    assert!(bench.peer.has_ended());
}

/// Otherwise orders that it takes meanwhile are in a store that is never started again.
#[test]
fn a_leaving_trader_waits_for_the_warehouse_and_takes_nothing_meanwhile() {
    let mut bench = in_office();
    bench.ask(1, Ask::Leave);
    bench.broken("control");
    bench.after(DRAIN_MAX.as_millis() as u64 - 1);
    assert_eq!(bench.calls("resign"), 0, "it may come back");
    bench.after(1);
    let mut lines = bench.came("resign", Err(no_answer()));
    lines.extend(bench.say("from-10", trade(None, &[order(10, 2)])));
    assert!(!lines.iter().any(|line| line.contains("10-2 deposited")), "{lines:?}");
    assert!(!bench.journal.accepted.keys().any(|id| *id == order(10, 2).id), "{lines:?}");
    for _ in 0..LEAVE_MAX.as_secs() {
        lines.extend(bench.after(1_000));
    }
    assert!(bench.peer.has_ended());
    let said = lines.iter().find(|line| line.starts_with("reply r1")).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(!said.contains("primary"), "the office was not given up: {said}");
}

/// Nothing is settled without it; its orders are in the store, for the next start.
#[test]
fn a_stopping_trader_does_not_wait_for_a_warehouse_that_is_gone() {
    let alone_ms = STOP_ALONE_MAX.as_millis() as u64;
    let stopped_before = |stop_first: bool| {
        let mut bench = in_office();
        bench.forget_what_happened();
        if stop_first {
            bench.turn([Input::Stop]);
            bench.after(2 * alone_ms);
            assert_eq!(bench.calls("resign"), 0, "it answers: what is here is settled first");
            bench.broken("control");
            bench.after(alone_ms - 1);
            assert_eq!(bench.calls("resign"), 0, "it may come back");
        } else {
            bench.broken("control");
            bench.turn([Input::Stop]);
            bench.after(alone_ms - 1);
            assert_eq!(bench.calls("resign"), 0, "it may come back");
        }
        bench.after(1);
        assert_eq!(bench.calls("resign"), 1);
        assert!(!bench.peer.has_ended());
        bench.came("resign", Err(no_answer()));
        assert!(bench.peer.has_ended());
        assert_eq!(bench.journal.accepted.len(), 1);
    };
    stopped_before(false);
    stopped_before(true);
}

#[test]
fn what_is_not_settled_in_time_goes_to_the_new_home_before_the_end() {
    let mut bench = in_office();
    bench.turn([Input::Stop]);
    bench.after(DRAIN_MAX.as_millis() as u64 - 100);
    assert_eq!(bench.calls("resign"), 0);
    // Its office ends before that.
    bench.hear(offices(3, Some((6, 5)), Some((9, 9))));
    assert!(!bench.peer.has_ended(), "an order is left");
    bench.came("hand over", Ok(Answer::Taken(1)));
    assert!(bench.peer.has_ended());
}

#[test]
fn a_home_that_takes_nothing_does_not_keep_a_stopping_peer_for_ever() {
    let mut bench = in_office();
    bench.turn([Input::Stop]);
    bench.hear(offices(3, Some((6, 5)), Some((9, 9))));
    for _ in 0..30 {
        if bench.calls("hand over") > 0 {
            bench.came("hand over", Err(no_answer()));
        }
        bench.after(500);
    }
    assert!(bench.peer.has_ended());
    assert_eq!(bench.journal.accepted.len(), 1, "it stays in the store");
}

#[test]
fn a_grant_that_comes_to_a_stopping_peer_is_given_up_at_once() {
    let mut bench = in_office();
    bench.turn([Input::Stop]);
    bench.hear(offices(3, None, Some((ME, 5))));
    bench.after(DRAIN_MAX.as_millis() as u64);
    assert_eq!(bench.calls("resign term 5 to 0"), 1);
}

#[test]
fn a_leaving_peer_finishes_its_orders_tells_the_others_and_answers_last() {
    let mut bench = Bench::in_market(offices(2, Some((6, 3)), Some((8, 4))));
    bench.met(6, &[2, 8]);
    bench.say("home", told(TradeAnswer { hello: Some(hello(6)), ..TradeAnswer::default() }));
    bench.ask(1, place());
    bench.settle();
    assert_eq!(bench.ask(2, Ask::Leave), [""; 0]);
    let refusal = "peer 4 is leaving and places no more orders";
    assert_eq!(bench.ask(3, place()), [format!("reply r3 refused: {refusal} (before)")]);
    let refusal = "peer 4 is leaving or stopping already";
    assert_eq!(bench.ask(4, Ask::Leave), [format!("reply r4 refused: {refusal} (before)")]);
    let told_of_it = told(outcome_of_first(&bench));
    let lines = bench.say("home", told_of_it);
    assert_eq!(
        lines,
        [
            "reply r1 outcome 4-1 deposited",
            "send control control leaving",
            "send to-6 link members 4 (left)",
            "send to-6 link heartbeat 1",
            "dial to-8 peer-8 link hello of 4",
            "send to-8 link members 4 (left)",
            "send to-8 link heartbeat 2",
        ],
        "the warehouse, those that it keeps a link to, and the traders"
    );
    assert_eq!(bench.announced(), [""; 0]);
    assert_eq!(bench.say("to-6", word(PeerWord::HeartbeatAnswer(1))), [""; 0]);
    let lines = bench.say("to-8", word(PeerWord::HeartbeatAnswer(2)));
    assert_eq!(lines, ["reply r2 left 4: 0 handed over, 0 open, 0 pending, 2 told (before)"]);
    assert!(bench.peer.has_ended());
}

#[test]
fn a_leaving_trader_gives_its_office_up_and_hands_over() {
    let mut bench = in_office();
    assert_eq!(bench.ask(1, Ask::Leave), [""; 0]);
    let lines = bench.hear(offices(3, Some((6, 5)), Some((9, 9))));
    assert!(lines.contains(&"call peer-6 hand over of 4 10-1".to_owned()), "{lines:?}");
    let lines = bench.came("hand over", Ok(Answer::Taken(1)));
    assert_eq!(lines, ["send control control leaving"]);
    let lines = bench.announced();
    assert_eq!(lines, ["reply r1 left 4: 1 handed over, 0 open, 0 pending, 0 told (before)"]);
}

/// A peer that will not come back waits for a successor: nobody else has its orders.
#[test]
fn a_leaving_trader_waits_for_a_successor() {
    let mut bench = in_office();
    bench.ask(1, Ask::Leave);
    bench.hear(offices(3, None, None));
    bench.after(2_000);
    assert!(!bench.peer.has_ended());
    bench.hear(offices(4, Some((6, 5)), Some((9, 9))));
    bench.came("hand over", Ok(Answer::Taken(1)));
    bench.announced();
    assert!(bench.peer.has_ended());
}

#[test]
fn leaving_ends_also_in_a_market_without_traders() {
    let mut bench = Bench::in_market(Roster { passed_over: vec![PeerId(ME)], ..Roster::default() });
    bench.met(6, &[8]);
    bench.ask(1, place());
    bench.ask(2, Ask::Leave);
    let lines = bench.after(LEAVE_MAX.as_millis() as u64);
    let last = lines.last().map(String::as_str);
    assert_eq!(last, Some("reply r2 left 4: 0 handed over, 1 open, 0 pending, 0 told (before)"), "{lines:?}");
    assert!(bench.peer.has_ended());
}

#[test]
fn those_that_cannot_be_told_are_not_waited_for() {
    let mut bench = Bench::in_market(offices(2, Some((6, 3)), Some((8, 4))));
    bench.met(6, &[]);
    bench.ask(1, Ask::Leave);
    assert!(!bench.peer.has_ended());
    assert_eq!(bench.refused("to-6"), [""; 0]);
    let lines = bench.broken("control");
    assert_eq!(lines, ["reply r1 left 4: 0 handed over, 0 open, 0 pending, 0 told (before)"]);
    let mut slow = Bench::in_market(offices(2, Some((6, 3)), Some((8, 4))));
    slow.met(6, &[]);
    slow.ask(1, Ask::Leave);
    slow.after(FAREWELL_MAX.as_millis() as u64 - 1);
    assert!(!slow.peer.has_ended());
    slow.after(1);
    assert!(slow.peer.has_ended(), "nor those that do not answer");
}

/// The warehouse has no room for orders, and takes the office back: what the desk did not settle in its time has a home.
#[test]
fn what_a_desk_did_not_settle_is_handed_over_by_a_stopping_trader() {
    let drain_ms = DRAIN_MAX.as_millis() as u64;
    let resigned = || {
        let mut bench = in_office();
        bench.turn([Input::Stop]);
        bench.after(drain_ms);
        bench.granted("resign", offices(3, Some((9, 5)), None));
        bench
    };
    let mut bench = resigned();
    assert!(!bench.peer.has_ended(), "an order is left");
    assert_eq!(bench.calls("hand over of 4 10-1"), 1);
    bench.came("hand over", Ok(Answer::Taken(1)));
    assert!(bench.peer.has_ended());
    let mut bench = resigned();
    for _ in 0..HAND_OVER_MAX.as_millis() {
        if bench.calls("hand over") > 0 {
            bench.came("hand over", Err(no_answer()));
        }
        bench.after(1);
    }
    assert!(bench.peer.has_ended(), "it has its time, and no more");
    assert_eq!(bench.journal.accepted.len(), 1, "it stays in the store");
}
