//! What a hello must prove, and what a bare word does not change.

use super::*;
use crate::limits::{CLOCK_LEAD_MAX, CLOCK_LEAP_MAX};
use crate::model::market::NotTaken;

/// A settle stream begins with this hello. Whether it stays.
fn settles(it: &mut Driven, conn: u64, hello: Hello) -> bool {
    it.step(Input::Opened(ConnId(conn), Stream::Settle));
    let hello = Some(Box::new(hello));
    it.step(Input::Said(ConnId(conn), Message::SettleAsk(SettleAsk { hello, ..SettleAsk::default() })));
    it.it.conns.contains_key(&ConnId(conn))
}

/// Whoever has seen a roster knows the trader's peer, process and term.
#[test]
fn who_has_only_seen_the_roster_does_not_settle() {
    let mut it = paired();
    let trader = hello(6, 1);
    let posing = [
        ("no token", Hello { token: None, ..trader.clone() }),
        ("a token of nobody", Hello { token: Some(token(9)), ..trader.clone() }),
        ("another peer's valid token", Hello { token: Some(token(4)), ..trader.clone() }),
        ("another epoch", Hello { epoch: Epoch(1), ..trader.clone() }),
    ];
    for (conn, (what, hello)) in (1..).zip(posing) {
        settles(&mut it, conn, Hello { stream: u64::MAX, clock: Stamp(u64::MAX), ..hello });
        it.batch(conn, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
        assert_eq!(it.settle()[0].refused, Some(NotTaken::Fenced), "{what}");
    }
    settles(&mut it, 10, Hello { token: None, stream: u64::MAX, ..trader.clone() });
    assert_eq!(it.kinds(), [""; 0]);
    // The right token of an older process of the holder, and of a peer that holds nothing.
    for (conn, hello) in [(11, hello(6, 0)), (12, hello(4, 1))] {
        settles(&mut it, conn, hello);
        it.batch(conn, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
        assert_eq!(it.settle()[0].refused, Some(NotTaken::Fenced));
    }
    assert!(
        settles(&mut it, 21, Hello { stream: 1, ..trader }),
        "a stranger's later stream is no later one of the trader"
    );
    it.batch(21, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    assert_eq!(it.settle()[0].outcomes.len(), 1);
}

/// Otherwise a hello that is turned away for its clock has ended the term of an earlier process, or moved the market's
/// clock to the end of time.
#[test]
fn a_hello_with_a_mad_clock_changes_nothing() {
    let mut it = paired();
    let (before, roster) = (it.it.clock.now(), it.roster(1));
    assert!(!it.up_with_clock(6, 2, u64::MAX));
    assert!(!it.up_with_clock(5, 1, before.0 + CLOCK_LEAP_MAX + 1_000));
    assert_eq!(it.kinds(), [""; 0]);
    assert!(it.it.clock.now() < Stamp(before.0 + 100));
    assert_eq!(it.roster(1), roster);
}

#[test]
fn a_peers_clock_counts_less_far_than_that_of_a_terms_holder() {
    let mut it = paired();
    let start = it.it.clock.now();
    it.up_with_clock(4, 1, start.0 + 2 * CLOCK_LEAD_MAX);
    assert!(it.it.clock.now() < Stamp(start.0 + 100), "peer 4 holds no term");
    it.up_with_clock(4, 1, start.0 + CLOCK_LEAD_MAX);
    assert!(it.it.clock.now() >= Stamp(start.0 + CLOCK_LEAD_MAX));
    let now = it.it.clock.now();
    it.up_with_clock(6, 1, now.0 + 2 * CLOCK_LEAD_MAX);
    assert!(it.it.clock.now() >= Stamp(now.0 + 2 * CLOCK_LEAD_MAX), "peer 6 does");
}

/// Anybody can open a session under an id that nobody uses, and then claim anything.
#[test]
fn an_id_that_nobody_used_ends_no_warehouse() {
    let mut it = paired();
    it.open(77, token(77).store_id(), 0).unwrap();
    it.lines();
    for (starts, count, seq) in [(1, 0, u64::MAX), (2, u64::MAX, 5)] {
        let generation = Generation { count, random: count };
        let ledger = (Seq(seq), Hash::default());
        assert!(!it.come(Hello { ledger, generation, ..hello(77, starts) }, starts), "it is not served");
        let lines = it.lines();
        assert!(!lines.iter().any(|line| line.contains("exit")), "{lines:?}");
    }
    assert!(it.up(77, 3), "it may come with what it has seen here");
}
