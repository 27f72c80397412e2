//! What members of the market may say, and what it does not change.

use super::testing::*;
use super::*;
use crate::limits::CLOCK_LEAD_MAX;
use crate::model::hello::Hello;
use crate::model::message::*;
use crate::model::offices::Roster;
use crate::types::{Generation, Order, ProcessId, Quantity, Seq};

const MAD: Stamp = Stamp(u64::MAX / 2);

/// Both offices are held; peer 2 links to this one.
fn peer() -> Bench {
    let mut bench = Bench::in_market(paired(2, (8, 3), (9, 4)));
    bench.met(2, &[]);
    bench
}

/// Offices that the warehouse never said, newer than what it said.
fn lie() -> Roster {
    Roster { generation: Generation::of_test(7), ..offices(90, Some((2, 70)), Some((20, 71))) }
}

fn lying(peer: u32) -> Box<Hello> {
    Box::new(Hello { roster: lie(), ..*hello(peer) })
}

#[track_caller]
fn unmoved(bench: &Bench) {
    assert_eq!(bench.peer.roster().seq, Seq(2), "only the warehouse says who holds the offices");
    assert!(!bench.shown.contains(&addr(2)) && !bench.shown.contains(&addr(20)), "{:?}", bench.shown);
}

#[test]
fn a_members_word_on_the_offices_does_not_count() {
    let mut bench = peer();
    bench.say("from-2", word(PeerWord::Roster(Box::new(lie()))));
    unmoved(&bench);
    bench.greeted("again", word(PeerWord::Hello(Box::new(Hello { roster: lie(), ..*link_hello(2, 2) }))));
    unmoved(&bench);
    bench.greeted("trade", trade(Some(lying(2)), &[]));
    unmoved(&bench);
    let copies = ReplicaAsk { hello: Some(lying(2)), ..ReplicaAsk::default() };
    bench.greeted("copies", Message::ReplicaAsk(copies));
    unmoved(&bench);
    bench.say("home", told(TradeAnswer { hello: Some(lying(8)), ..TradeAnswer::default() }));
    unmoved(&bench);
    bench.say("home", told(TradeAnswer { roster: Some(Box::new(lie())), ..TradeAnswer::default() }));
    unmoved(&bench);
}

#[test]
fn a_mad_clock_is_taken_from_nobody() {
    let mut bench = peer();
    let before = bench.clock();
    let mad = |peer| Box::new(Hello { clock: MAD, ..*hello(peer) });
    bench.greeted("again", word(PeerWord::Hello(Box::new(Hello { clock: MAD, ..*link_hello(2, 2) }))));
    bench.say("from-2", Message::Peer(PeerMessage { clock: MAD, word: PeerWord::Heartbeat(1) }));
    bench.greeted("trade", trade(Some(mad(10)), &[]));
    bench.say("home", Message::TradeAnswer(TradeAnswer { clock: MAD, ..TradeAnswer::default() }));
    assert!(bench.clock().0 < before.0 + 100, "from {before} to {}", bench.clock());
}

#[test]
fn a_peers_clock_counts_less_far_than_that_of_a_terms_holder() {
    let mut bench = peer();
    let before = bench.clock();
    let ahead = Stamp(before.0 + 2 * CLOCK_LEAD_MAX);
    bench.say("from-2", Message::Peer(PeerMessage { clock: ahead, word: PeerWord::Heartbeat(1) }));
    bench.greeted("trade", trade(Some(Box::new(Hello { clock: ahead, ..*hello(10) })), &[]));
    assert!(bench.clock().0 < before.0 + 100, "from {before} to {}", bench.clock());
    bench.say("home", Message::TradeAnswer(TradeAnswer { clock: ahead, ..TradeAnswer::default() }));
    assert!(bench.clock() > ahead, "peer 8 is the primary");
}

/// Small steps add up: what a peer may add to is what the warehouse said, not what others have added before.
#[test]
fn peers_do_not_drag_the_clock_along_by_turns() {
    let mut bench = peer();
    let before = bench.clock();
    for _ in 0..8 {
        let clock = Stamp(bench.clock().0 + CLOCK_LEAD_MAX / 2);
        bench.say("from-2", Message::Peer(PeerMessage { clock, word: PeerWord::Heartbeat(1) }));
    }
    assert!(bench.clock().0 <= before.0 + CLOCK_LEAD_MAX + 100, "from {before} to {}", bench.clock());
}

/// Otherwise a member that says "6 has a newer process, over there" has everybody ask there, and tell it what is meant
/// for 6.
#[test]
fn a_member_says_nothing_of_the_process_and_address_of_another() {
    let mut bench = peer();
    bench.met(6, &[]);
    let newer = ProcessId { starts: 99, ..process(6) };
    let lie = Member { addr: "lair".into(), process: newer, ..member(6) };
    let lines = bench.say("from-2", word(PeerWord::Members(vec![lie])));
    assert!(!lines.iter().any(|line| line.contains("lair")), "{lines:?}");
    let gone = Member { left: true, ..member(6) };
    bench.say("from-2", word(PeerWord::Members(vec![gone])));
    let known = bench.peer.facts.membership.get(PeerId(6)).unwrap();
    assert_eq!(known, &member(6));
}

/// Each stream has one hello. A second one would make the stream speak for somebody else.
#[test]
fn a_second_hello_cuts_every_stream() {
    let mut bench = Bench::in_market(paired(2, (ME, 3), (6, 4)));
    bench.settle_up();
    bench.met(6, &[]);
    bench.answers("to-6");
    assert!(bench.say("to-6", greeting(6)).contains(&"hang up to-6".to_owned()), "the answer on a link");
    assert_eq!(bench.say("from-6", greeting(6)), ["hang up from-6"], "a link");
    bench.greeted("trade", trade(Some(hello(10)), &[]));
    let theirs = Hello { token: None, peer: PeerId(12), ..*hello(12) };
    assert_eq!(bench.say("trade", trade(Some(Box::new(theirs)), &[order(12, 1)])), ["hang up trade"]);
    let again = SettleAnswer { hello: Some(hello(0)), ..SettleAnswer::default() };
    assert_eq!(bench.say("settle", settled(again)), ["hang up settle"]);
    let again = ReplicaAnswer { hello: Some(hello(6)), ..ReplicaAnswer::default() };
    bench.say("replicate", Message::ReplicaAnswer(again.clone()));
    assert_eq!(bench.say("replicate", Message::ReplicaAnswer(again)), ["hang up replicate"]);
    let again = ControlDown { hello: Some(hello(0)), ..ControlDown::default() };
    assert_eq!(bench.say("control", down(again)), ["hang up control"]);
    let mut bench = peer();
    let again = TradeAnswer { hello: Some(hello(8)), ..TradeAnswer::default() };
    bench.say("home", told(again.clone()));
    assert_eq!(bench.say("home", told(again)), ["hang up home"]);
}

/// It tells of an order that may not be on disk yet: the peer would give its number up, power fails here, and neither of
/// the two orders is anywhere.
#[test]
fn that_a_number_has_other_content_waits_for_the_order_that_it_tells_of() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    bench.greeted("trade", trade(Some(hello(10)), &[]));
    bench.disk_works = false;
    let other = Order { quantity: Quantity(9), ..order(10, 1) };
    let inputs =
        [bench.said("trade", trade(None, &[order(10, 1)])), bench.said("trade", trade(None, &[other]))];
    let lines = bench.turn(inputs);
    assert!(
        lines.iter().any(|line| line.contains("OtherContent") && line.ends_with("(this turn)")),
        "{lines:?}"
    );
    let lines = bench.say("trade", trade(None, &[other]));
    assert!(
        lines.iter().any(|line| line.contains("OtherContent") && line.ends_with("(before)")),
        "{lines:?}"
    );
}

/// A token is shown to the warehouse, and to a trader where the warehouse says that it listens.
#[test]
fn a_token_is_shown_where_the_warehouse_named_the_trader_and_nowhere_else() {
    let neighbours = |parts: &mut Parts| {
        parts.neighbours = vec![(PeerId(2), "configured".into())];
        parts.join = vec!["somewhere".into()];
    };
    let mut bench = Bench::with(neighbours).enter(paired(2, (8, 3), (ME, 4)));
    bench.met(2, &[6, 7, 10]);
    bench.say("from-2", word(PeerWord::Members(vec![Member { addr: "lair".into(), ..member(8) }])));
    bench.say("from-2", word(PeerWord::Election(crate::types::Office::Primary)));
    bench.after(20_000);
    bench.hear(offices(3, Some((8, 3)), None));
    bench.after(20_000);
    let shown: Vec<&str> = bench.shown.iter().map(String::as_str).collect();
    assert_eq!(shown, ["peer-8", "warehouse"]);
}
