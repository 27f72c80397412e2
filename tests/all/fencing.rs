//! Fencing: a trader that is silent for too long and then goes on as if nothing had happened. Its term is over by then,
//! whatever it believes; it steps down, hands over what it holds, and trades as a peer.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::by_hand::{ByHand, QUICK, WAREHOUSE};
use super::market::{SOON, until};

const PAUSES_MAX: usize = 5;

/// Pauses the primary until its term is over, then lets it go on; gives its id and how long trade stood still.
fn pause_the_primary(hands: &ByHand) -> (u32, Duration) {
    let (paused, _) = hands.wait_for_pair();
    let term = hands.roster().unwrap().primary.unwrap().term;
    let silent = Instant::now();
    hands.signal(paused, Signal::STOP);
    until("the paused trader's term is over", SOON, || {
        hands.roster()?.primary.is_none_or(|seat| seat.term != term).then_some(())
    });
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
    let mut paused = Vec::new();
    // Who hears of the fence before it has anything to write has nothing refused: until one has, but twice at least.
    let (refused, took) = loop {
        let (peer, took) = pause_the_primary(&hands);
        eprintln!(
            "worst day: primary {peer} paused beyond suspect-after (1 s): trade went on after {} ms",
            took.as_millis()
        );
        assert_ne!(paused.last(), Some(&peer));
        paused.push(peer);
        let refused =
            paused.iter().filter(|id| hands.log(**id).contains("a batch was not taken why=")).count();
        if paused.len() >= 2 && refused > 0 {
            break (refused, took);
        }
        assert!(paused.len() < PAUSES_MAX, "a fenced trader never tried to write: {paused:?}");
    };
    hands.wait_for_pair();
    let what = format!("primaries {paused:?} paused in a row, {refused} had writes refused");
    let market = hands.ends_well(&what, took);
    let fences = ByHand::rows(&market, "fence");
    assert!(paused.iter().all(|peer| fences.iter().any(|row| row["trader"] == *peer)), "{fences:?}");
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
