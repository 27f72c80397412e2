//! Fencing: a trader that is silent for too long and then goes on as if nothing had happened. Its term is over by then,
//! whatever it believes; it steps down, hands over what it holds, and trades as a peer.

use std::time::{Duration, Instant};

use bazaar::model::hello::Hello;
use bazaar::model::market::NotTaken;
use bazaar::model::message::SettleAnswer;
use bazaar::model::offices::Seat;
use bazaar::types::{Number, Order, OrderId, OrderKind, PeerId, ProductId, Quantity, Stamp};
use rustix::process::Signal;

use super::by_hand::{ByHand, QUICK, WAREHOUSE};
use super::hostile::settle_under;
use super::market::{SOON, until};

/// What the silent holder of this seat would write if it went on now.
fn write_of(hands: &ByHand, seat: &Seat) -> SettleAnswer {
    let hello = Hello { peer: seat.peer, process: seat.process, addr: seat.addr.clone(), ..Hello::default() };
    let id = OrderId { peer: PeerId(3), number: Number(1_000_000) };
    let order =
        Order { id, stamp: Stamp(1), kind: OrderKind::Sell, product: ProductId(0), quantity: Quantity(1) };
    settle_under(&hands.addr(WAREHOUSE), &hello, seat.term, order)
}

/// Pauses the primary until its term is over, then lets it go on; gives its id and how long trade stood still.
fn pause_the_primary(hands: &ByHand) -> (u32, Duration) {
    hands.wait_for_pair();
    let seat = hands.roster().unwrap().primary.unwrap();
    let (paused, term) = (seat.peer.0, seat.term);
    let silent = Instant::now();
    hands.signal(paused, Signal::STOP);
    until("the paused trader's term is over", SOON, || {
        hands.roster()?.primary.is_none_or(|seat| seat.term != term).then_some(())
    });
    assert_eq!(write_of(hands, &seat).refused, Some(NotTaken::Fenced));
    hands.signal(paused, Signal::CONT);
    let took = hands.trade_goes_on("a pause of the primary", silent);
    until("it has stepped down", SOON, || {
        hands.log(paused).contains(&format!("term ended office=primary term={term}")).then_some(())
    });
    (paused, took)
}

#[test]
fn a_paused_primary_is_fenced_and_steps_down_twice_in_a_row() {
    let hands = ByHand::trading(&QUICK);
    let (first, took) = pause_the_primary(&hands);
    eprintln!(
        "worst day: primary paused beyond suspect-after (1 s): trade went on after {} ms",
        took.as_millis()
    );
    let (second, took) = pause_the_primary(&hands);
    assert_ne!(first, second);
    hands.wait_for_pair();
    let refused =
        [first, second].iter().filter(|id| hands.log(**id).contains("a batch was not taken")).count();
    let what = format!("two primaries paused in a row, {refused} tried to write when they went on");
    let market = hands.ends_well(&what, took);
    let fences = ByHand::rows(&market, "fence");
    assert!([first, second].iter().all(|peer| fences.iter().any(|row| row["trader"] == *peer)), "{fences:?}");
}

#[test]
fn a_pause_below_the_suspicion_time_changes_nothing() {
    let hands = ByHand::trading(&["--heartbeat", "1s", "--suspect-after", "2s"]);
    let before = hands.roster().unwrap();
    let silent = Instant::now();
    hands.signal(6, Signal::STOP);
    std::thread::sleep(Duration::from_secs(1));
    hands.signal(6, Signal::CONT);
    let took = hands.trade_goes_on("a short pause", silent);
    assert_eq!(before.seq, hands.status(WAREHOUSE).unwrap().roster.seq);
    hands.ends_well("primary paused for half of suspect-after", took);
}
