use crate::limits::GOSSIP_EVERY_MS;
use crate::model::message::PeerWord;
use crate::model::peer::testing::*;
use crate::model::step::Machine as _;

/// A peer that keeps a link to 6, and has two that gossip with it: 2 and 3.
fn peer() -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((8, 3)), Some((9, 4))));
    bench.met(6, &[]);
    bench.met(2, &[]);
    bench.met(3, &[]);
    bench.after(1_000);
    bench
}

fn news(of: u32) -> crate::model::message::Message {
    word(PeerWord::Members(vec![member(of)]))
}

fn sent(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).filter(|line| line.contains("link members")).collect()
}

#[test]
fn news_goes_to_all_but_to_whom_it_came_from() {
    let mut bench = peer();
    let lines = bench.say("from-2", news(11));
    assert_eq!(sent(&lines), ["send to-6 link members 11", "send from-3 link members 11"]);
    assert_eq!(bench.say("from-3", news(11)), [""; 0], "it is no news any more");
}

#[test]
fn what_comes_in_quick_succession_goes_together() {
    let mut bench = peer();
    assert_eq!(sent(&bench.say("from-2", news(10))).len(), 2, "the first at once");
    bench.after(5);
    assert_eq!(sent(&bench.say("from-2", news(11))), [""; 0]);
    assert_eq!(sent(&bench.say("from-3", news(12))), [""; 0]);
    assert_eq!(sent(&bench.after(GOSSIP_EVERY_MS - 6)), [""; 0]);
    assert_eq!(
        sent(&bench.after(1)),
        ["send to-6 link members 11 12", "send from-2 link members 12", "send from-3 link members 11"]
    );
}

#[test]
fn a_peer_that_tells_what_it_knows_is_told_what_it_does_not_know() {
    let mut bench = peer();
    bench.greeted("from-5", greeting(5));
    let lines = bench.say("from-5", word(PeerWord::Members(vec![member(5), member(6)])));
    assert_eq!(sent(&lines), ["send from-5 link members 2 3 4"]);
    let lines = bench.say("from-5", word(PeerWord::Members(vec![member(5)])));
    assert_eq!(lines, [""; 0], "once: from then on it is told news");
}

#[test]
fn a_link_that_does_not_gossip_is_told_no_news() {
    let mut bench = peer();
    bench.greeted("quiet-5", greeting(5));
    let lines = bench.say("from-2", news(11));
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
    );
    let inputs = [
        crate::model::step::Input::Asked(crate::model::step::ReplyId(1), place),
        bench.said("from-2", heartbeat(4)),
    ];
    assert_eq!(bench.turn(inputs), ["send from-2 link heartbeat answer 4 (this turn)"]);
}

#[test]
fn a_newer_roster_of_a_peer_counts_and_an_older_does_not() {
    let mut bench = peer();
    bench.say("from-2", word(PeerWord::Roster(Box::new(offices(5, Some((2, 7)), Some((9, 4)))))));
    assert_eq!(bench.peer.roster().seq.0, 5);
    bench.say("from-3", word(PeerWord::Roster(Box::new(offices(4, Some((3, 6)), Some((9, 4)))))));
    assert_eq!(bench.peer.roster().seq.0, 5);
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
