use crate::model::message::{Message, PeerWord, ReplicaAnswer};
use crate::model::peer::testing::*;
use crate::types::{Stamp, Term};

/// A pair of which this is the primary; the other one, 6, has answered everything so far.
fn pair() -> Bench {
    let mut bench = Bench::in_market(paired(2, (ME, 3), (6, 4)));
    bench.say("to-6", word(PeerWord::HeartbeatAnswer(1)));
    let answer = ReplicaAnswer { clock: Stamp(1), hello: Some(hello(6)), ..ReplicaAnswer::default() };
    bench.say("replicate", Message::ReplicaAnswer(answer));
    bench.say("replicate", durable());
    bench.settle();
    bench.forget_what_happened();
    bench
}

fn durable() -> Message {
    Message::ReplicaAnswer(ReplicaAnswer { clock: Stamp(1), term: Term(4), ..ReplicaAnswer::default() })
}

fn answer(number: u64) -> Message {
    word(PeerWord::HeartbeatAnswer(number))
}

#[test]
fn the_other_trader_of_a_pair_is_asked_for_a_sign_of_life_at_once() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), Some((6, 4))));
    assert!(!bench.has("to-6"), "no pair yet");
    let lines = bench.hear(paired(3, (ME, 3), (6, 4)));
    assert!(
        lines.ends_with(&[
            "dial to-6 peer-6 link hello of 4".to_owned(),
            "send to-6 link heartbeat 1".to_owned()
        ]),
        "{lines:?}"
    );
}

#[test]
fn every_heartbeat_is_answered_or_its_sender_is_fenced_after_suspect_after() {
    let mut bench = pair();
    assert_eq!(bench.after(4_999), [""; 0]);
    assert_eq!(bench.after(1), ["send to-6 link heartbeat 2"]);
    assert_eq!(bench.after(4_000), [""; 0]);
    assert_eq!(bench.say("to-6", answer(2)), [""; 0]);
    assert_eq!(bench.after(1_000), [""; 0], "it was heard within the heartbeat");
    assert_eq!(bench.after(5_000), ["send to-6 link heartbeat 3"]);
    assert_eq!(bench.after(4_999), [""; 0]);
    assert_eq!(bench.after(1), ["call warehouse fence term 4 by 4"]);
    assert_eq!(bench.happened, ["suspected 6"]);
}

#[test]
fn any_word_of_the_partner_is_a_sign_of_life_and_nobody_elses() {
    let mut bench = pair();
    bench.met(6, &[]);
    bench.met(8, &[]);
    bench.after(5_000);
    for _ in 0..4 {
        bench.after(4_000);
        bench.say("from-6", word(PeerWord::Heartbeat(1)));
    }
    assert_eq!(bench.calls("fence"), 0);
    for _ in 0..4 {
        bench.after(4_000);
        bench.say("from-8", word(PeerWord::Heartbeat(1)));
    }
    assert_eq!(bench.calls("fence"), 1);
}

/// What the partner has answered meanwhile waits unread: it is not silent because this process was.
#[test]
fn a_process_that_was_stopped_does_not_take_its_partner_for_dead() {
    let mut bench = pair();
    bench.after(5_000);
    bench.after(3_000);
    bench.stopped_for(60_000);
    bench.settle();
    assert_eq!(bench.calls("fence"), 0);
    assert_eq!(bench.after(4_999), [""; 0]);
    assert_eq!(bench.after(1), ["call warehouse fence term 4 by 4"], "but for its own silence from then on");
}

#[test]
fn a_copy_that_is_not_acknowledged_is_overdue_like_a_heartbeat() {
    let mut bench = pair();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.met(6, &[]);
    bench.after(2_500);
    bench.say("from-6", word(PeerWord::Heartbeat(1)));
    bench.after(2_499);
    assert_eq!(bench.calls("fence"), 0, "links may be well when a disk is not");
    bench.after(1);
    assert_eq!(bench.calls("fence"), 1);
}

#[test]
fn an_acknowledgement_of_one_copy_is_none_of_the_next() {
    let mut bench = pair();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.met(6, &[]);
    (1..=2).for_each(|k| drop(bench.say("from-10", trade(None, &[order(10, k)]))));
    bench.after(1_000);
    bench.say("replicate", durable());
    bench.after(2_500);
    bench.say("from-6", word(PeerWord::Heartbeat(1)));
    bench.after(2_499);
    assert_eq!(bench.calls("fence"), 0);
    bench.after(1);
    assert_eq!(bench.calls("fence"), 1);
}

#[test]
fn a_process_that_was_stopped_does_not_miss_its_partners_acknowledgement() {
    let mut bench = pair();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.met(6, &[]);
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.after(3_000);
    bench.stopped_for(60_000);
    bench.settle();
    bench.after(2_500);
    bench.say("from-6", word(PeerWord::Heartbeat(1)));
    bench.after(2_499);
    assert_eq!(bench.calls("fence"), 0);
    bench.after(1);
    assert_eq!(bench.calls("fence"), 1);
}

#[test]
fn an_acknowledged_copy_is_not_overdue() {
    let mut bench = pair();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.met(6, &[]);
    for k in 1..=5 {
        bench.say("from-10", trade(None, &[order(10, k)]));
        bench.after(2_400);
        bench.say("replicate", durable());
        bench.say("from-6", word(PeerWord::Heartbeat(1)));
    }
    assert_eq!(bench.calls("fence"), 0);
}

#[test]
fn a_partner_of_a_pair_that_is_over_is_watched_no_more() {
    let mut bench = pair();
    bench.after(5_000);
    bench.hear(offices(3, Some((ME, 3)), Some((9, 9))));
    bench.after(4_900);
    assert_eq!(bench.peer.rooms.partner.who(), None);
    assert_eq!(bench.calls("fence term 4"), 0);
}

/// The pause ends before the time at which this process meant to run again.
#[test]
fn a_pause_that_is_shorter_than_the_next_wait_is_noticed_too() {
    let mut bench = pair();
    bench.after(5_000);
    bench.stopped_for(4_900);
    bench.met(8, &[]);
    bench.after(4_900);
    assert_eq!(bench.calls("fence"), 0);
    bench.after(100);
    assert_eq!(bench.calls("fence"), 1);
}

/// Heartbeats may be far apart: an answer that is overdue is not looked for with the next one only.
#[test]
fn a_silent_partner_is_fenced_after_suspect_after_between_two_heartbeats() {
    let mut bench = Bench::with(|parts| parts.me.suspect_after_ms = 2_000).enter(paired(2, (ME, 3), (6, 4)));
    bench.after(1_999);
    assert_eq!(bench.calls("fence"), 0);
    bench.after(1);
    assert_eq!(bench.calls("fence"), 1);
}

/// The answer to a probe may come late. A secondary that is not up to date yet is no partner.
#[test]
fn a_trader_of_a_pair_that_is_over_is_not_fenced_for_its_death() {
    let mut bench = pair();
    bench.broken("to-6");
    bench.hear(offices(4, Some((ME, 3)), Some((6, 5))));
    bench.came("probe", Err(nobody_there()));
    assert_eq!(bench.calls("fence"), 0);
}

#[test]
fn only_the_partner_is_probed_when_a_link_breaks() {
    let mut bench = Bench::in_market(paired(2, (ME, 3), (9, 4)));
    bench.met(6, &[]);
    bench.answers("to-6");
    bench.broken("to-6");
    assert_eq!(bench.calls("probe"), 0);
    bench.answers("to-9");
    bench.broken("to-9");
    assert_eq!(bench.calls("probe"), 1);
}
