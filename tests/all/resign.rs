//! An office given up by a person's word, under load: another takes over, nothing is left unanswered, and the trader
//! that resigned is not elected again at once although it has the highest id.

use bazaar::types::Office;

use super::market::{Market, SOON, turn, until};

const LOAD: [&str; 6] = ["--nodes", "6", "--interval", "2ms", "--deposit-every", "10ms"];

#[test]
fn who_resigns_is_followed_by_another_and_passed_over() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&LOAD);
    up.wait_for_pair();
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 100);

    let said = market.run(&["resign", "--peer", "6"]).expect(0).stdout;
    assert_eq!(said, "peer 6 has given up the primary office (term 1)\n");
    until("peer 5 is primary", SOON, || (up.holder(Office::Primary)? == "peer-5").then_some(()));
    let secondary = until("a new secondary", SOON, || up.holder(Office::Secondary));
    assert_ne!(secondary, "peer-6", "it is passed over");
    up.wait_for_pair();
    market.run(&["resign", "--peer", "6"]).refused(4, "peer 6 holds no office");

    let said = market.run(&["resign", "--peer", "5", "--to", "3"]).expect(0).stdout;
    assert!(said.starts_with("peer 5 has given up the primary office"), "{said}");
    until("peer 3 follows", SOON, || (up.holder(Office::Primary)? == "peer-3").then_some(()));
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 100);
    let summary = up.interrupt().expect(0).object();
    assert_eq!(summary["failovers"], serde_json::json!([]), "nobody died");
    market.verify();
    market.up(&[&LOAD[..], &["--requests", "5"]].concat()).expect(0);
    market.every_order_is_answered_once();
}

#[test]
fn resigning_without_a_name_or_of_a_stranger_is_refused() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&LOAD);
    market.run(&["resign"]).refused(2, "which peer?");
    market.run(&["resign", "--peer", "99"]).refused(2, "there is no peer 99");
    market.run(&["resign", "--peer", "6", "--to", "6"]).refused(2, "cannot follow itself");
    let warehouse = up.node("warehouse").addr;
    market.run(&["resign", "--connect", &warehouse]).refused(4, "the warehouse holds no office");
}
