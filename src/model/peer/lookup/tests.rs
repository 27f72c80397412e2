use crate::limits::LOOKUP_HOP_MS;
use crate::model::call::Ask;
use crate::model::lookup::{Found, Lookup, LookupAnswer};
use crate::model::message::PeerWord;
use crate::model::offices::Roster;
use crate::model::peer::testing::*;
use crate::types::{PeerId, ProductId, Role};

fn ids(peers: &[u32]) -> Vec<PeerId> {
    peers.iter().map(|peer| PeerId(*peer)).collect()
}

/// A peer with the neighbours 5 and 6, both of which answer.
fn between(role: Role) -> Bench {
    let change = |parts: &mut crate::model::peer::Parts| {
        parts.me.role = role;
        parts.neighbours = [5, 6].map(|peer| (PeerId(peer), addr(peer))).to_vec();
    };
    let mut bench = Bench::with(change).enter(Roster::default());
    bench.introduce(&[5, 6]);
    for peer in [5, 6] {
        bench.answers(&format!("to-{peer}"));
        bench.met(peer, &[peer]);
    }
    bench.settle();
    bench.forget_what_happened();
    bench
}

fn lookup(token: u64, hops: u32, path: &[u32]) -> PeerWord {
    let (nonce, product, path) = (7, ProductId(0), ids(path));
    PeerWord::Lookup(Box::new(Lookup { token, nonce, product, hops, path }))
}

fn answer(token: u64, sellers: &[&[u32]], lookups: u64) -> PeerWord {
    let sellers = sellers.iter().map(|way| ids(way)).collect();
    let found = Found { sellers, reached: ids(&[9]), lookups };
    PeerWord::LookupAnswer(Box::new(LookupAnswer { token, found }))
}

/// The lines of lookups and their answers.
fn lookups(lines: &[String]) -> Vec<&str> {
    let of = |line: &&String| line.contains("link lookup") || line.contains("link found");
    lines.iter().filter(of).map(String::as_str).collect()
}

#[test]
fn a_lookup_goes_on_and_its_answer_goes_the_way_back() {
    let mut bench = between(Role::Seller);
    let lines = bench.say("from-5", word(lookup(3, 2, &[1, 5])));
    assert_eq!(lookups(&lines), ["send to-6 link lookup 7 of 0, 1 hops"], "not to the one that asks");
    let lines = bench.say("from-6", word(answer(1, &[&[1, 5, ME, 6]], 4)));
    assert_eq!(lookups(&lines), ["send to-5 link found 2 by 5 lookups"], "its own, and that of 6");
    assert_eq!(lookups(&bench.say("from-6", word(answer(1, &[], 4)))), [""; 0], "once");
}

/// One that came a longer way must not end what comes by a shorter one.
#[test]
fn a_lookup_goes_on_again_only_with_more_hops_left() {
    let mut bench = between(Role::Buyer);
    assert_eq!(lookups(&bench.say("from-5", word(lookup(3, 1, &[1, 5])))).len(), 1);
    bench.say("from-6", word(answer(1, &[], 0)));
    assert_eq!(
        lookups(&bench.say("from-5", word(lookup(4, 1, &[1, 5])))),
        ["send to-5 link found 0 by 0 lookups"]
    );
    assert_eq!(
        lookups(&bench.say("from-5", word(lookup(5, 2, &[1, 5])))),
        ["send to-6 link lookup 7 of 0, 1 hops"]
    );
    let back = bench.say("from-6", word(lookup(6, 9, &[1, 5, ME, 6])));
    assert_eq!(lookups(&back), ["send to-6 link found 0 by 0 lookups"], "it came by here");
}

#[test]
fn the_last_hop_asks_nobody() {
    let mut bench = between(Role::Seller);
    let lines = bench.say("from-5", word(lookup(3, 0, &[1, 5])));
    assert_eq!(lookups(&lines), ["send to-5 link found 1 by 0 lookups"]);
}

#[test]
fn a_neighbour_that_dies_or_is_silent_ends_no_lookup() {
    for dies in [true, false] {
        let mut bench = between(Role::Buyer);
        let find = Ask::Find("fish".into(), 2);
        assert_eq!(lookups(&bench.ask(1, find)).len(), 2);
        bench.say("from-5", word(answer(2, &[&[ME, 5]], 1)));
        let lines = match dies {
            true => bench.broken("to-6"),
            false => bench.after(3 * LOOKUP_HOP_MS),
        };
        assert!(lines.iter().any(|line| line.starts_with("reply r1 found 1 by 3 lookups")), "{lines:?}");
    }
}

#[test]
fn nonsense_is_refused_or_not_heard() {
    let mut bench = between(Role::Seller);
    let lines = bench.ask(1, Ask::Find("gold".into(), 2));
    assert!(lines[0].contains("no such good: gold"), "{lines:?}");
    let lines = bench.ask(2, Ask::Find("fish".into(), 65));
    assert!(lines[0].contains("at most 64 hops"), "{lines:?}");
    for path in [&[1, 6][..], &[]] {
        let lines = bench.say("from-5", word(lookup(3, 2, path)));
        assert_eq!(lookups(&lines), [""; 0], "its path does not end with who sends it");
    }
    assert_eq!(lookups(&bench.say("from-5", word(lookup(3, 64, &[5])))), [""; 0]);
    assert_eq!(lookups(&bench.say("from-6", word(answer(1, &[&[9]], 1)))), [""; 0], "nobody asked");
}
