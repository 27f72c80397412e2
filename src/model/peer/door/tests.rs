use crate::limits::{DOOR_WAIT_MAX, EARLY_BYTES_MAX, EARLY_WORDS_MAX};
use crate::model::call::{Answer, Ask};
use crate::model::hello::Hello;
use crate::model::link::LinkKey;
use crate::model::message::{Message, PeerWord, ReplicaAsk};
use crate::model::peer::testing::*;
use crate::types::{Hash, Order, PeerId, Stamp, Token};

/// The only trader; of the peers from 20 on it knows no session.
fn in_office() -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    bench.settle_up();
    bench.forget_what_happened();
    bench
}

fn session_of(peer: u32) -> Answer {
    Answer::Session(Stamp(1), Some(session(peer)))
}

fn submit(peer: u32, order: Order) -> Ask {
    Ask::Submit(Box::new(Hello { clock: Stamp(50), ..*hello(peer) }), order)
}

fn copies(peer: u32) -> Message {
    Message::ReplicaAsk(ReplicaAsk { hello: Some(hello(peer)), ..ReplicaAsk::default() })
}

#[test]
fn strangers_of_every_kind_wait_for_one_answer_and_come_in_with_what_they_said() {
    let mut bench = in_office();
    assert_eq!(
        bench.greeted("trade", trade(Some(hello(20)), &[order(20, 1)])),
        ["call warehouse session 20"]
    );
    assert_eq!(bench.say("trade", trade(None, &[order(20, 2)])), [""; 0]);
    assert_eq!(bench.greeted("copies", copies(20)), [""; 0], "one call for all");
    assert_eq!(bench.ask(1, submit(20, order(20, 3))), [""; 0]);
    assert!(bench.clock() < Stamp(50), "no stranger's clock counts");
    let lines = bench.came("session", Ok(session_of(20)));
    assert_eq!(
        lines,
        [
            "send trade trade hello of 4 roster 0.2.0 4(3) -",
            "send settle settle term 3 batch 1 20-1 20-2 20-3",
        ],
        "in the order in which they came"
    );
    assert_eq!(
        bench.decided(1, &[order(20, 3)]),
        ["reply r1 outcome 20-3 deposited", "send trade trade 20-3 deposited"]
    );
}

#[test]
fn strangers_without_a_session_are_turned_away_with_their_orders() {
    let mut bench = in_office();
    bench.greeted("trade", trade(Some(hello(20)), &[order(20, 1)]));
    bench.greeted("copies", copies(20));
    bench.ask(1, submit(20, order(20, 3)));
    let lines = bench.came("session", Ok(Answer::Session(Stamp(1), None)));
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[..2], ["send trade trade 20-1 not taken (NoSession)", "hang up trade"]);
    assert_eq!(lines[2], "hang up copies");
    assert!(lines[3].starts_with("reply r1 refused") && lines[3].ends_with("(before)"), "{lines:?}");
    assert_eq!(bench.journal.accepted.len(), 0);
}

#[test]
fn a_warehouse_that_does_not_answer_keeps_nobody_waiting() {
    let mut bench = in_office();
    bench.greeted("copies", copies(20));
    assert_eq!(bench.came("session", Err(no_answer())), ["hang up copies"]);
    assert_eq!(bench.greeted("copies", copies(20)), ["call warehouse session 20"], "it is asked again");
}

/// A newcomer dials before the warehouse has told of it.
#[test]
fn a_link_waits_until_the_warehouse_has_told_of_its_peer() {
    let mut bench = in_office();
    assert_eq!(bench.greeted("link", greeting(20)), [""; 0]);
    assert_eq!(bench.say("link", word(PeerWord::Heartbeat(5))), [""; 0]);
    assert_eq!(
        bench.introduce(&[20]),
        [
            "dial to-20 peer-20 link hello of 4",
            "send to-20 link members 4 20",
            "send link link hello of 4",
            "send link link heartbeat answer 5 (before)",
        ]
    );
}

#[test]
fn a_link_whose_peer_nobody_tells_of_is_cut_in_time() {
    let mut bench = in_office();
    bench.greeted("link", greeting(20));
    let wait_ms = DOOR_WAIT_MAX.as_millis() as u64;
    assert!(!bench.after(wait_ms - 1).contains(&"hang up link".to_owned()));
    assert!(bench.after(1).contains(&"hang up link".to_owned()));
}

/// Whoever was shown a proof at another address, or on another stream, cannot use it here.
#[test]
fn a_proof_for_another_address_stream_or_peer_opens_nothing() {
    let mut bench = in_office();
    bench.introduce(&[6, 8]);
    let proven = *link_hello(6, 1);
    let key = LinkKey::new(&token(6), PeerId(ME));
    let elsewhere = key.dial((proven.process, 1), "lair");
    let others = [
        Hello { proof: elsewhere, ..proven.clone() },
        Hello { stream: 2, ..proven.clone() },
        Hello { proof: link_hello(8, 1).proof, ..proven.clone() },
        Hello { token: Some(token(6)), proof: Hash::default(), ..proven.clone() },
    ];
    for (at, hello) in others.into_iter().enumerate() {
        let name = format!("link-{at}");
        bench.greeted(&name, word(PeerWord::Hello(Box::new(hello))));
        assert_eq!(bench.say(&name, word(PeerWord::Heartbeat(5))), [""; 0], "{name}");
    }
    bench.greeted("from-6", word(PeerWord::Hello(Box::new(proven))));
    assert_eq!(bench.say("from-6", word(PeerWord::Heartbeat(5))).len(), 1);
}

/// Another store of a known peer, or somebody who does not have its token.
#[test]
fn another_token_than_the_known_one_is_asked_for_and_turned_away() {
    let mut bench = in_office();
    let forged = Box::new(Hello { token: Some(Token([66; 32])), ..*hello(10) });
    assert_eq!(bench.greeted("trade", trade(Some(forged), &[])), ["call warehouse session 10"]);
    let lines = bench.came("session", Ok(session_of(10)));
    assert_eq!(lines, ["send trade trade", "hang up trade"]);
    let nothing = Box::new(Hello { token: None, ..*hello(10) });
    assert_eq!(bench.greeted("bare", trade(Some(nothing), &[])), ["call warehouse session 10"]);
}

#[test]
fn too_much_at_the_door_is_cut() {
    let mut bench = in_office();
    bench.greeted("words", greeting(20));
    for number in 0..EARLY_WORDS_MAX as u64 {
        assert_eq!(bench.say("words", word(PeerWord::Heartbeat(number))), [""; 0]);
    }
    assert_eq!(bench.say("words", word(PeerWord::Heartbeat(99))), ["hang up words"]);
    bench.greeted("orders", trade(Some(hello(20)), &[]));
    let many: Vec<Order> = (1..=4_096).map(|k| order(20, k)).collect();
    assert_eq!(bench.say("orders", trade(None, &many)), [""; 0], "as many as a peer may have open");
    assert_eq!(bench.say("orders", trade(None, &[order(20, 4_097)])), ["hang up orders"]);
}

#[test]
fn a_stream_without_a_hello_is_cut() {
    let mut bench = in_office();
    assert_eq!(bench.greeted("trade", trade(None, &[order(10, 1)])), ["hang up trade"]);
    assert_eq!(bench.greeted("link", word(PeerWord::Heartbeat(1))), ["hang up link"]);
    assert_eq!(bench.greeted("copies", Message::ReplicaAsk(ReplicaAsk::default())), ["hang up copies"]);
}

#[test]
fn peers_of_another_market_have_no_say_in_this_one() {
    let mut bench = in_office();
    let other = Box::new(Hello { cluster: "other".into(), ..*hello(10) });
    let lines = bench.greeted("link", word(PeerWord::Hello(other)));
    assert_eq!(lines, ["hang up link"]);
}

#[test]
fn a_stranger_that_goes_leaves_nothing_behind() {
    let mut bench = in_office();
    let opened = bench.opened("mute", crate::model::message::Stream::Trade);
    bench.turn([opened]);
    assert_eq!(bench.broken("mute"), [""; 0]);
    bench.greeted("trade", trade(Some(hello(20)), &[order(20, 1)]));
    bench.broken("trade");
    assert_eq!(bench.came("session", Ok(session_of(20))), [""; 0]);
}

/// Otherwise it is asked again and again while the warehouse is slow, or waits for ever behind another one's call.
#[test]
fn each_peer_is_asked_for_by_itself() {
    let mut bench = in_office();
    bench.greeted("20", trade(Some(hello(20)), &[]));
    assert_eq!(bench.greeted("21", trade(Some(hello(21)), &[])), ["call warehouse session 21"]);
    assert_eq!(
        bench.came("session 21", Ok(session_of(21))),
        ["send 21 trade hello of 4 roster 0.2.0 4(3) -"]
    );
    assert!(bench.has("20"));
}

/// A hello twice behind the door: the guest is cut when that is heard, and what came behind it is nobody's.
#[test]
fn a_second_hello_that_waited_cuts_the_guest_once() {
    let mut bench = in_office();
    bench.greeted("trade", trade(Some(hello(20)), &[]));
    bench.say("trade", trade(Some(hello(20)), &[]));
    bench.say("trade", trade(None, &[order(20, 1)]));
    let lines = bench.came("session", Ok(session_of(20)));
    assert_eq!(lines, ["send trade trade hello of 4 roster 0.2.0 4(3) -", "hang up trade"]);
}

/// Otherwise they wait for an answer that nobody gives any more.
#[test]
fn callers_at_the_door_are_answered_when_the_process_ends() {
    let mut bench = Bench::in_market(offices(2, Some((6, 3)), None));
    bench.ask(1, submit(20, order(20, 1)));
    let lines = bench.turn([crate::model::step::Input::Stop]);
    assert_eq!(lines, ["reply r1 refused: not this peer's home (before)"]);
    assert!(crate::model::step::Machine::has_ended(&bench.peer));
}

/// Otherwise anybody fills this process's memory: a message may have megabytes, and any number of streams may wait.
#[test]
fn what_waits_at_the_door_is_bounded_by_bytes() {
    let mut bench = in_office();
    let part = |bytes: usize| ReplicaAsk { orders: vec![7; bytes], ..ReplicaAsk::default() };
    bench.greeted("copies", copies(20));
    for _ in 0..4 {
        assert_eq!(bench.say("copies", Message::ReplicaAsk(part(EARLY_BYTES_MAX / 5))), [""; 0]);
    }
    assert_eq!(bench.say("copies", Message::ReplicaAsk(part(EARLY_BYTES_MAX / 5))), ["hang up copies"]);
    bench.greeted("link", greeting(20));
    let far = crate::model::membership::Member { addr: "x".repeat(EARLY_BYTES_MAX), ..member(20) };
    assert_eq!(bench.say("link", word(PeerWord::Members(vec![far]))), ["hang up link"]);
}
