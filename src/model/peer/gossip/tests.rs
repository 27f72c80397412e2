use crate::limits::GOSSIP_EVERY_MS;
use crate::model::membership::Member;
use crate::model::message::PeerWord;
use crate::model::peer::testing::*;
use crate::model::step::Machine as _;
use crate::types::{PeerId, ProcessId};

/// A peer that keeps a link to 6, and has two that gossip with it: 2 and 3.
fn peer() -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((8, 3)), Some((9, 4))));
    bench.met(6, &[]);
    bench.met(2, &[]);
    bench.met(3, &[]);
    bench.after(1_000);
    bench
}

/// A peer tells of itself that it has started once more.
fn news(of: u32, starts: u64) -> crate::model::message::Message {
    let process = ProcessId { starts, ..process(of) };
    word(PeerWord::Members(vec![Member { process, ..member(of) }]))
}

fn sent(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).filter(|line| line.contains("link members")).collect()
}

#[test]
fn what_a_peer_says_of_itself_goes_to_all_but_to_whom_it_came_from() {
    let mut bench = peer();
    let lines = bench.say("from-2", news(2, 2));
    assert_eq!(sent(&lines), ["send to-6 link members 2", "send from-3 link members 2"]);
    assert_eq!(sent(&bench.say("from-2", news(2, 2))), [""; 0], "it is no news any more");
    assert_eq!(sent(&bench.say("from-3", news(2, 3))), [""; 0], "what it says of others is none");
}

/// They are told themselves.
#[test]
fn what_the_warehouse_tells_does_not_go_on() {
    let mut bench = peer();
    assert_eq!(sent(&bench.introduce(&[7, 10])), [""; 0]);
    assert!(bench.peer.facts.membership.get(PeerId(10)).is_some());
}

#[test]
fn what_comes_in_quick_succession_goes_together() {
    let mut bench = peer();
    assert_eq!(sent(&bench.say("from-2", news(2, 2))).len(), 2, "the first at once");
    bench.after(5);
    assert_eq!(sent(&bench.say("from-2", news(2, 3))), [""; 0]);
    assert_eq!(sent(&bench.say("from-3", news(3, 2))), [""; 0]);
    assert_eq!(sent(&bench.after(GOSSIP_EVERY_MS - 6)), [""; 0]);
    assert_eq!(
        sent(&bench.after(1)),
        ["send to-6 link members 2 3", "send from-2 link members 3", "send from-3 link members 2"]
    );
}

/// Without the warehouse a restarted neighbour of a neighbour is asked itself, where it is said to be.
#[test]
fn a_hint_is_followed_when_the_warehouse_is_away() {
    let mut bench = peer();
    bench.introduce(&[7]);
    let hint = |starts, addr: &str| {
        let process = ProcessId { starts, ..process(7) };
        word(PeerWord::Members(vec![Member { process, addr: addr.into(), ..member(7) }]))
    };
    assert_eq!(bench.say("from-2", hint(2, "elsewhere")), [""; 0], "the warehouse would say it");
    bench.broken("control");
    let lines = bench.say("from-2", hint(2, "elsewhere"));
    assert_eq!(lines, ["dial elsewhere elsewhere link hello of 4"]);
    assert_eq!(bench.say("from-2", hint(3, "lair")), [""; 0], "once");
    let member = |bench: &Bench| bench.peer.facts.membership.get(PeerId(7)).unwrap().process.starts;
    assert_eq!(member(&bench), 1, "hearsay");
}

#[test]
fn a_peer_that_tells_what_it_knows_is_told_what_it_does_not_know() {
    let mut bench = peer();
    bench.introduce(&[5]);
    bench.greeted("from-5", greeting(5));
    let lines = bench.say("from-5", word(PeerWord::Members(vec![member(5), member(6)])));
    assert_eq!(sent(&lines), ["send from-5 link members 2 3 4"]);
    let lines = bench.say("from-5", word(PeerWord::Members(vec![member(5)])));
    assert_eq!(lines, [""; 0], "once: from then on it is told news");
}

#[test]
fn a_link_that_does_not_gossip_is_told_no_news() {
    let mut bench = peer();
    bench.introduce(&[5]);
    bench.greeted("quiet-5", greeting(5));
    let lines = bench.say("from-2", news(2, 2));
    assert!(!lines.iter().any(|line| line.contains("quiet-5")), "{lines:?}");
}

/// Without it a stuck disk goes on answering, and nobody takes its office over.
#[test]
fn a_heartbeat_of_a_peer_is_answered_when_what_was_recorded_is_durable() {
    let mut bench = peer();
    bench.disk_works = false;
    let heartbeat = |number| word(PeerWord::Heartbeat(number));
    assert_eq!(bench.say("from-2", heartbeat(3)), ["send from-2 link heartbeat answer 3 (before)"]);
    let place = crate::model::call::Ask::Place(
        "fish".into(),
        crate::types::Quantity(1),
        crate::types::OrderKind::Sell,
        crate::types::Number(0),
    );
    let inputs = [
        crate::model::step::Input::Asked(crate::model::step::ReplyId(1), place),
        bench.said("from-2", heartbeat(4)),
    ];
    assert_eq!(bench.turn(inputs), ["send from-2 link heartbeat answer 4 (this turn)"]);
}

/// The warehouse is asked at once, and a liar does not make it be asked without end.
#[test]
fn a_newer_roster_of_a_peer_is_a_reason_to_ask_the_warehouse() {
    let mut bench = peer();
    let shows = |seq| word(PeerWord::Roster(Box::new(offices(seq, Some((2, 7)), Some((9, 4))))));
    assert_eq!(bench.say("from-3", shows(1)), [""; 0], "an older one");
    assert_eq!(bench.say("from-2", shows(5)), ["call warehouse open 4 generation 0"]);
    assert_eq!(bench.peer.roster().seq.0, 2);
    bench.came("open", Ok(opened(0, offices(2, Some((8, 3)), Some((9, 4))))));
    for wait_ms in [10, 20, 40] {
        assert_eq!(bench.say("from-2", shows(5)), [""; 0], "not yet");
        assert_eq!(bench.say("from-2", shows(6)), [""; 0]);
        assert!(bench.after(wait_ms - 1).is_empty());
        assert_eq!(bench.after(1), ["call warehouse open 4 generation 0"]);
        bench.came("open", Ok(opened(0, offices(2, Some((8, 3)), Some((9, 4))))));
        assert_eq!(bench.peer.roster().seq.0, 2);
    }
    bench.say("from-2", shows(5));
    bench.after(1_000);
    bench.came("open", Ok(opened(0, offices(5, Some((8, 7)), Some((9, 4))))));
    assert_eq!(bench.peer.roster().seq.0, 5, "the warehouse says so, too");
    let lines = bench.say("from-2", shows(6));
    assert_eq!(lines, ["call warehouse open 4 generation 0"], "the first one again");
}

/// Otherwise everybody goes on asking for the lost store's process at its address.
#[test]
fn a_store_of_a_new_epoch_is_told_to_all() {
    let mut bench = peer();
    bench.broken("control");
    bench.after(10);
    let lines = bench.came("open", Ok(opened(1, crate::model::offices::Roster::default())));
    assert_eq!(
        sent(&lines),
        ["send to-6 link members 4", "send from-2 link members 4", "send from-3 link members 4"]
    );
    assert!(!bench.peer.has_ended());
}
