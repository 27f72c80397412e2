//! Processes that die at any instruction: `kill -9` of traders, warehouse, everything, under load. Whatever was placed
//! has one outcome in the end, and every invariant holds from the records alone.

use std::time::Duration;

use bazaar::types::Office;
use fastrand::Rng;

use super::by_hand::{ByHand, WAREHOUSE};
use super::market::{Market, SOON, turn, until};

/// Load that keeps both traders and the warehouse busy.
const LOAD: [&str; 6] = ["--nodes", "6", "--interval", "2ms", "--deposit-every", "10ms"];
/// An end of a run with failovers in it.
const RUN_MAX: Duration = Duration::from_secs(80);

/// Keys that scripts rely on, in their order.
const KEYS: [&str; 19] = [
    "nodes",
    "buyers",
    "sellers",
    "traders",
    "orders",
    "bought",
    "sold_out",
    "deposits",
    "oversold",
    "undersold",
    "elapsed_s",
    "orders_per_s",
    "p50_ms",
    "p99_ms",
    "elections",
    "failovers",
    "ledger_records",
    "first_sale_s",
    "version",
];

fn load<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&LOAD[..], more].concat()
}

/// Moments of death come from a seed: the same one kills after as many rows.
fn rng() -> Rng {
    let seed =
        std::env::var("BAZAAR_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("again: BAZAAR_TEST_SEED={seed} cargo test --test all crash");
    Rng::with_seed(seed)
}

#[test]
fn a_run_to_its_end_leaves_no_order_without_outcome() {
    let _turn = turn();
    let market = Market::new();
    let summary = market.up(&load(&["--requests", "100"])).expect(0).object();

    let keys: Vec<&str> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, KEYS);
    let number = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("{key}: {summary}"));
    assert_eq!((number("nodes"), number("buyers"), number("sellers")), (6, 2, 2));
    assert_eq!(summary["traders"][0]["peer"], 6, "the highest id is primary");
    assert_eq!(summary["traders"][1]["peer"], 5);
    assert_eq!(number("bought") + number("sold_out"), 200, "two buyers, 100 orders each");
    assert!(number("deposits") > 0 && number("bought") > 0, "{summary}");
    assert_eq!(number("orders"), 200 + number("deposits"));
    assert_eq!((number("oversold"), number("undersold")), (0, 0));
    assert_eq!(number("ledger_records"), market.ledger().len() as u64);
    for figure in ["elapsed_s", "orders_per_s", "p50_ms", "p99_ms", "first_sale_s"] {
        assert!(summary[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {summary}");
    }
    market.verify();
    market.every_order_is_answered_once();
}

#[test]
fn a_killed_primary_is_replaced_and_no_order_is_lost_or_done_twice() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&load(&["--requests", "500"]));
    up.wait_for_pair();
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 100);
    let killed = up.kill("peer-6");
    until("peer 5 is primary", SOON, || (up.holder(Office::Primary)? == "peer-5").then_some(()));
    until("a new secondary", SOON, || up.holder(Office::Secondary));
    let ended = up.wait(RUN_MAX).expect(0);

    assert!(
        ended.stderr.contains(&format!("trader 6 (pid {}) killed by SIGKILL", killed.pid)),
        "{}",
        ended.stderr
    );
    let summary = ended.object();
    let failover = &summary["failovers"][0];
    assert_eq!((&failover["from"], &failover["to"]), (&6.into(), &5.into()), "{summary}");
    assert!(failover["detected_ms"].is_number() && failover["took_over_ms"].is_number(), "{summary}");
    assert_eq!(summary["traders"][0]["peer"], 5);
    market.verify();

    // Peer 1 or 4 may have been promoted with orders open: the next run finishes them first.
    market.up(&load(&["--requests", "5"])).expect(0);
    market.verify();
    market.every_order_is_answered_once();
}

#[test]
fn killed_pair_of_traders_is_replaced() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&load(&["--requests", "300"]));
    up.wait_for_pair();
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 100);
    up.kill("peer-6");
    up.kill("peer-5");
    until("peer 4 is primary", SOON, || (up.holder(Office::Primary)? == "peer-4").then_some(()));
    up.wait(RUN_MAX).expect(0);
    market.verify();
    market.up(&load(&["--requests", "5"])).expect(0);
    market.verify();
    market.every_order_is_answered_once();
}

#[test]
fn everything_killed_at_any_moment_starts_again_twice_in_a_row() {
    let _turn = turn();
    let mut rng = rng();
    let market = Market::new();
    for round in 0..2 {
        let up = market.start(&load(&[]));
        up.wait_for_pair();
        let (rows, pause) = (up.ledger_seq() + rng.u64(1..400), rng.u64(0..20));
        up.wait_for_rows(rows);
        // The injected moment: anywhere between two syncs.
        std::thread::sleep(Duration::from_millis(pause));
        up.kill_all();
        market.verify();
        let before = market.dump_text("ledger", &market.dir());

        market.up(&load(&["--requests", "30"])).expect(0);
        market.verify();
        market.every_order_is_answered_once();
        let after = market.dump_text("ledger", &market.dir());
        assert!(after.starts_with(&before), "round {round}: a row of the killed store changed");
        assert!(after.len() > before.len());
    }
}

#[test]
fn everything_killed_while_it_starts_starts_again() {
    let _turn = turn();
    let mut rng = rng();
    let market = Market::new();
    for _ in 0..4 {
        let up = market.spawn(&load(&[]));
        // The injected moment: birth of the stores, recovery, or the first election.
        std::thread::sleep(Duration::from_millis(rng.u64(0..1_500)));
        up.kill_all();
    }
    market.up(&load(&["--requests", "20"])).expect(0);
    market.verify();
    market.every_order_is_answered_once();
}

#[test]
fn a_killed_warehouse_comes_back_and_trade_goes_on() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&load(&["--requests", "400", "--restart", "on-crash"]));
    up.wait_for_pair();
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 100);
    let killed = up.kill("warehouse");
    until("another warehouse serves", SOON, || (up.node("warehouse").pid != killed.pid).then_some(()));
    let rows = until("the warehouse answers", SOON, || up.status("warehouse")).log.0.0;
    up.wait_for_rows(rows + 50);
    let ended = up.wait(RUN_MAX).expect(0);
    assert!(
        ended.stderr.contains(&format!("warehouse (pid {}) killed by SIGKILL", killed.pid)),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.object()["failovers"], serde_json::json!([]), "offices do not change");
    market.verify();
    market.every_order_is_answered_once();
}

#[test]
fn the_highest_id_is_primary_in_the_end_whatever_the_order_of_starts() {
    let mut hands = ByHand::empty(&[]);
    [WAREHOUSE, 2, 4, 3].into_iter().for_each(|id| hands.start(&[id]));
    until("4 and 3 hold the offices", SOON, || {
        let holder = |office| hands.holder(office);
        (holder(Office::Primary)? == 4 && holder(Office::Secondary)? == 3).then_some(())
    });
    hands.start(&[6]);
    // A higher id preempts after 10 s of quiet membership.
    hands.wait_for_holder(Office::Primary, 6);
    until("a living secondary", SOON, || hands.holder(Office::Secondary).filter(|peer| *peer != 6));
}
