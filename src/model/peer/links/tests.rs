use crate::model::link::LinkKey;
use crate::model::membership::Member;
use crate::model::message::{ControlDown, Introduction, PeerWord};
use crate::model::peer::testing::*;
use crate::types::{Hash, PeerId, ProcessId, Seq};

/// A peer of a market with both traders, 8 and 9, which it knows by name only.
fn peer() -> Bench {
    Bench::in_market(offices(2, Some((8, 3)), Some((9, 4))))
}

fn kept(bench: &Bench) -> Vec<u32> {
    bench.peer.rooms.links.kept().iter().map(|peer| peer.0).collect()
}

fn dialed(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("dial to-")?.split(' ').next()).collect()
}

/// Nobody could vouch for a peer without a session.
#[test]
fn neighbours_are_dialed_when_there_is_a_session() {
    let neighbours = |parts: &mut crate::model::peer::Parts| {
        parts.neighbours = vec![(PeerId(2), addr(2)), (PeerId(6), addr(6))];
        parts.join = vec!["somewhere".into()];
    };
    let mut bench = Bench::with(neighbours);
    assert_eq!(dialed(&bench.after(5_000)), [""; 0]);
    let lines = bench.came("open", Ok(opened(0, offices(2, None, None))));
    assert_eq!(
        lines[1..],
        [
            "dial to-2 peer-2 link hello of 4",
            "send to-2 link members 4",
            "dial to-6 peer-6 link hello of 4",
            "send to-6 link members 4"
        ]
    );
}

#[test]
fn a_link_that_is_kept_up_is_dialed_again_with_back_off() {
    let mut bench = peer();
    bench.met(6, &[]);
    for wait_ms in [10, 20, 40] {
        bench.refused("to-6");
        assert_eq!(dialed(&bench.after(wait_ms - 1)), [""; 0]);
        assert_eq!(dialed(&bench.after(1)), ["6"]);
    }
    bench.answers("to-6");
    bench.broken("to-6");
    assert_eq!(dialed(&bench.after(10)), ["6"], "it had answered");
}

/// So the links join all living peers to one another, whoever dies.
#[test]
fn the_ring_passes_over_those_that_do_not_answer() {
    let mut bench = peer();
    bench.met(2, &[5, 7, 10]);
    assert_eq!(kept(&bench), [5]);
    assert_eq!(dialed(&bench.refused("to-5")), ["7"]);
    assert_eq!(kept(&bench), [5, 7]);
    assert_eq!(dialed(&bench.refused("to-7")), ["10"]);
    bench.after(10);
    bench.answers("to-5");
    assert_eq!(kept(&bench), [5], "it answers again");
}

/// The warehouse says which peer listens where this one joined.
#[test]
fn a_node_that_is_joined_by_address_becomes_a_neighbour() {
    let join = |parts: &mut crate::model::peer::Parts| parts.join = vec![addr(7)];
    let mut bench = Bench::with(join).enter(offices(2, Some((8, 3)), Some((9, 4))));
    bench.introduce(&[6]);
    assert_eq!(kept(&bench), [6], "the next in the ring");
    assert_eq!(dialed(&bench.introduce(&[7])), ["7"]);
    assert_eq!(kept(&bench), [6, 7]);
}

/// Otherwise who listens where a peer was seems to be that peer.
#[test]
fn what_comes_back_on_a_link_counts_if_its_end_has_proven_itself() {
    let mut bench = Bench::in_market(paired(2, (ME, 3), (6, 4)));
    bench.introduce(&[6]);
    let said = bench.clock();
    let stranger = crate::model::hello::Hello { clock: crate::types::Stamp(5_000), ..*hello(6) };
    let conn = bench.conn("to-6");
    let say = |word: PeerWord| crate::model::step::Input::Said(conn, super::super::testing::word(word));
    bench.turn([say(PeerWord::Hello(Box::new(stranger)))]);
    bench.turn([say(PeerWord::HeartbeatAnswer(1))]);
    assert!(bench.clock().0 < said.0 + 100);
    let lines = bench.after(10_000);
    assert!(lines.contains(&"call warehouse fence term 4 by 4".to_owned()), "no sign of life: {lines:?}");
}

#[test]
fn a_restarted_peer_is_dialed_where_it_listens_now() {
    let mut bench = peer();
    bench.met(6, &[]);
    let process = ProcessId { starts: 2, ..process(6) };
    let moved = Member { addr: "elsewhere".into(), process, ..member(6) };
    let lines = bench.say("from-6", word(PeerWord::Members(vec![moved])));
    assert_eq!(
        lines,
        ["hang up to-6", "dial elsewhere elsewhere link hello of 4", "send elsewhere link members 4 6"],
        "it says so itself"
    );
}

#[test]
fn a_peer_that_left_is_told_nothing() {
    let mut bench = peer();
    bench.met(6, &[2]);
    let left = Member { left: true, ..member(6) };
    let lines = bench.say("from-6", word(PeerWord::Members(vec![left])));
    assert!(lines.contains(&"hang up to-6".to_owned()), "{lines:?}");
    assert_eq!(kept(&bench), [2]);
    assert_eq!(dialed(&bench.after(60_000)), [""; 0]);
}

/// An election leaves a link to everybody.
#[test]
fn links_over_which_nothing_is_said_are_ended() {
    let mut bench = Bench::in_market(offices(2, None, None));
    bench.met(2, &[5, 7, 10]);
    bench.after(1_000);
    let before = ["to-5", "to-7", "to-10"].map(|name| bench.has(name));
    assert_eq!(before, [true; 3]);
    bench.granted("claim", offices(3, Some((8, 3)), Some((9, 4))));
    bench.after(10_000);
    let after = ["to-5", "to-7", "to-10"].map(|name| bench.has(name));
    assert_eq!(after, [true, false, false], "but for the next in the ring");
}

#[test]
fn two_links_of_one_peer_are_two_streams() {
    let mut bench = peer();
    bench.met(6, &[]);
    bench.greeted("again", greeting(6));
    bench.broken("from-6");
    assert_eq!(
        bench.say("again", word(PeerWord::Heartbeat(3))),
        ["send again link heartbeat answer 3 (before)"]
    );
}

/// So nobody takes what a dead stream still brings for what its successor said.
#[test]
fn each_stream_is_dialed_later_than_the_one_before() {
    let mut bench = peer();
    let facts = &mut bench.peer.facts;
    let hellos = [facts.first_hello(), facts.first_hello(), *facts.link_hello(PeerId(6), "there")];
    assert!(hellos[0].stream > 0 && hellos.is_sorted_by_key(|hello| hello.dialed()), "{hellos:?}");
    assert!(hellos[0].was_dialed_before(hellos[1].dialed()));
}

#[test]
fn both_ends_of_a_link_prove_themselves() {
    let mut bench = peer();
    let key = LinkKey::new(&token(ME), PeerId(6));
    let dialed = bench.peer.facts.link_hello(PeerId(6), "there");
    assert_eq!(dialed.proof, key.dial(dialed.dialed(), "there"));
    let theirs = link_hello(6, 1);
    assert_eq!(bench.peer.facts.link_answer(&theirs).proof, key.answer(theirs.dialed()));
}

#[test]
fn a_link_that_was_dialed_before_the_one_that_is_here_is_ended() {
    let mut bench = peer();
    bench.introduce(&[6]);
    bench.greeted("later", word(PeerWord::Hello(link_hello(6, 2))));
    let earlier = bench.greeted("earlier", word(PeerWord::Hello(link_hello(6, 1))));
    assert_eq!(earlier, ["hang up earlier"]);
    assert!(bench.has("later"));
}

#[test]
fn a_peer_says_in_which_life_it_is() {
    let lines = peer().ask(1, crate::model::call::Ask::Probe);
    assert_eq!(lines, ["reply r1 alive 0.1.4 (before)"]);
}

#[test]
fn a_link_that_proves_nothing_does_not_come_in_when_its_peer_is_told_of() {
    let mut bench = peer();
    let forged = crate::model::hello::Hello { proof: Default::default(), ..*link_hello(6, 1) };
    bench.greeted("forged", word(PeerWord::Hello(Box::new(forged))));
    bench.greeted("from-6", greeting(6));
    let lines = bench.introduce(&[6]);
    assert!(lines.iter().any(|line| line.starts_with("send from-6 link hello")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("send forged")), "{lines:?}");
}

/// The hello that a peer dials with is its first word of its new process.
#[test]
fn a_hello_on_a_link_says_in_which_life_its_peer_is_and_where() {
    let mut bench = peer();
    bench.introduce(&[6]);
    let process = ProcessId { starts: 2, ..process(6) };
    let proof = LinkKey::new(&token(6), PeerId(ME)).dial((process, 1), &addr(ME));
    let hello = crate::model::hello::Hello { process, proof, addr: "elsewhere".into(), ..*link_hello(6, 1) };
    bench.greeted("from-6", word(PeerWord::Hello(Box::new(hello))));
    let known = bench.peer.facts.membership.get(PeerId(6)).unwrap();
    assert_eq!((known.process, known.addr.as_str()), (process, "elsewhere"));
}

/// A peer that listens on all addresses does not know by which it is seen.
#[test]
fn a_peer_listens_where_the_warehouse_says() {
    let mut bench = peer();
    let mut seen = introduction(ME);
    seen.member.addr = "192.0.2.4:7704".into();
    let introduced = vec![seen.clone()];
    bench.say("control", down(ControlDown { introduced, ..ControlDown::default() }));
    let facts = &bench.peer.facts;
    assert_eq!((&facts.me.addr, facts.membership.own()), (&seen.member.addr, &seen.member));
}

#[test]
fn news_does_not_cut_the_back_off_of_a_link_short() {
    let mut bench = peer();
    bench.met(2, &[]);
    bench.met(6, &[]);
    bench.refused("to-6");
    bench.after(9);
    let news = Member { process: ProcessId { starts: 2, ..process(2) }, ..member(2) };
    let lines = bench.say("from-2", word(PeerWord::Members(vec![news])));
    assert!(!dialed(&lines).contains(&"6"), "{lines:?}");
    assert_eq!(dialed(&bench.after(1)), ["6"]);
}

#[test]
fn a_leaving_peer_dials_nobody_new_and_a_neighbour_that_left_is_kept_no_more() {
    let neighbour = |parts: &mut crate::model::peer::Parts| parts.neighbours = vec![(PeerId(2), addr(2))];
    let mut bench = Bench::with(neighbour).enter(offices(2, Some((8, 3)), Some((9, 4))));
    bench.introduce(&[2, 7]);
    assert_eq!(kept(&bench), [2, 7]);
    let mut gone = introduction(2);
    gone.member.left = true;
    bench.say("control", down(ControlDown { introduced: vec![gone], ..ControlDown::default() }));
    assert_eq!(kept(&bench), [7]);
    bench.ask(1, crate::model::call::Ask::Leave);
    assert_eq!(dialed(&bench.introduce(&[5])), [""; 0]);
}

/// Anybody could say so.
#[test]
fn what_a_link_says_of_the_ledger_without_proof_is_no_reason_to_ask() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    bench.introduce(&[6]);
    let hello = crate::model::hello::Hello { ledger: (Seq(99), Hash::default()), ..*link_hello(6, 1) };
    let lines = bench.greeted("from-6", word(PeerWord::Hello(Box::new(hello))));
    assert!(!lines.iter().any(|line| line.starts_with("call warehouse")), "{lines:?}");
}

/// Its partner, say, while its office has no other holder.
#[test]
fn who_has_left_is_not_dialed() {
    let mut bench = Bench::in_market(paired(2, (ME, 3), (6, 4)));
    let member = Member { left: true, ..member(6) };
    let introduced = vec![Introduction { member, ..introduction(6) }];
    bench.say("control", down(ControlDown { introduced, ..ControlDown::default() }));
    bench.peer.facts.tell(PeerId(6), PeerWord::Heartbeat(1));
    assert_eq!(dialed(&bench.idle()), [""; 0]);
}

/// Only the links that spread the membership are dialed again, so the others tell nothing of who answers.
#[test]
fn a_link_that_is_not_kept_up_may_end_without_harm() {
    let mut bench = peer();
    bench.met(2, &[6, 7]);
    assert_eq!(kept(&bench), [6]);
    bench.peer.facts.tell(PeerId(7), PeerWord::Heartbeat(1));
    bench.idle();
    bench.broken("to-7");
    assert_eq!(dialed(&bench.refused("to-6")), ["7"]);
}
