//! When traders answer: from their caches, or after settling; changed under way, while traders are killed.

use bazaar::types::Office;
use serde_json::Value;

use super::market::{Market, SOON, alone, until};

/// Scarce goods, so that two traders sell the same ones.
const SCARCE: [&str; 10] =
    ["--buyers", "8", "--sellers", "2", "--interval", "1ms", "--deposit-every", "20ms", "--deposit", "1-5"];

fn verified(market: &Market) -> Value {
    let ended = market.run(&["verify", "--json"]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    ended.object()
}

#[test]
fn a_cached_market_oversells_and_takes_each_back_by_one_row() {
    let _one = alone();
    let market = Market::new();
    let summary = market
        .up(&[&SCARCE[..], &["--consistency", "cached", "--requests", "500"]].concat())
        .expect(0)
        .object();
    let oversold = summary["oversold"].as_u64().unwrap();
    assert!(oversold > 0, "{summary}");
    let reversals =
        market.run(&["dump", "ledger", "--kind", "reversal", "--format", "jsonl"]).expect(0).stdout;
    assert_eq!(reversals.lines().count() as u64, oversold);
    let verdict = verified(&market);
    assert_eq!(verdict["price"]["oversold"], oversold);
    assert_eq!(verdict["price"]["undersold"], summary["undersold"]);
    market.every_order_is_answered_once();

    let row: Value = serde_json::from_str(reversals.lines().next().unwrap()).unwrap();
    assert_eq!((&row["filled"], &row["outcome"]), (&0.into(), &"reversed".into()));
    let life = market.run(&["dump", "--order", row["order"].as_str().unwrap()]).expect(0).stdout;
    assert!(life.contains("answered early"), "{life}");
}

#[test]
fn a_market_changes_its_mode_under_way_while_its_traders_are_killed() {
    let _one = alone();
    let market = Market::new();
    let up = market.start(&[&SCARCE[..], &["--restart", "on-crash"]].concat());
    up.wait_for_pair();
    let mut told = Vec::new();
    for (mode, before) in [("cached", "cacheless"), ("cacheless", "cached"), ("cached", "cacheless")] {
        up.wait_for_rows(up.ledger_seq() + 200);
        let changed = market.run(&["mode", mode, "--json"]).expect(0).object();
        assert_eq!(changed["before"], before);
        told.push(changed["seq"].as_u64().unwrap());
        up.wait_for_pair();
        up.wait_for_rows(up.ledger_seq() + 200);
        let primary = until("a primary", SOON, || up.holder(Office::Primary));
        up.kill(&primary);
        up.wait_for_pair();
    }
    let again = market.run(&["mode", "cached", "--json"]).expect(0).object();
    assert_eq!((&again["before"], &again["seq"]), (&"cached".into(), &Value::Null));
    up.wait_for_rows(up.ledger_seq() + 200);
    up.interrupt().expect(0);

    let rows = market.run(&["dump", "ledger", "--kind", "mode", "--format", "jsonl"]).expect(0).stdout;
    let seqs = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap()["seq"].as_u64().unwrap());
    assert_eq!(seqs.collect::<Vec<_>>(), told);
    verified(&market);
    market.every_order_is_answered_once();

    // The flag is for the birth of a market; one that has another mode says so.
    let ended =
        market.up(&[&SCARCE[..], &["--consistency", "cacheless", "--requests", "5"]].concat()).expect(0);
    assert!(ended.stderr.contains("this market is cached until that is changed: bazaar mode cacheless"));
}

#[test]
fn an_experiment_says_what_holds_and_goes_on_where_it_was() {
    let _one = alone();
    let market = Market::new();
    let run = |more: &[&str]| market.run(&[&["experiment", "oversell", "--quick", "--json"], more].concat());
    let done = run(&["--assert", "oversell(cacheless)==0"]).expect(0).object();
    super::schema::fits("experiment", &done);
    // It is all there: what does not hold is known at once.
    let broken = run(&["--assert", "oversell(cached)==0"]).expect(8);
    let object = broken.object();
    assert_eq!(object["pass"], false);
    assert!(broken.stderr.contains("'oversell(cached)==0' does not hold"), "{broken:?}");
    for file in ["index.html", "oversell.csv", "oversell.json", "oversell-oversold.svg"] {
        assert!(market.cwd().join("results").join(file).exists(), "{file}");
    }
    market.run(&["experiment", "ratio", "--quick"]).refused(7, "oversell");
    market.run(&["experiment", "oversell", "--quick", "--assert", "oversell=="]).refused(2, "no number");
    market.run(&["experiment", "speed"]).refused(2, "no such experiment");
}
