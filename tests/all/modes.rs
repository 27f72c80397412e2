//! When traders answer: from their caches, from goods set aside for them, or after settling; changed under way, while
//! traders are killed.

use bazaar::types::Office;
use rustix::process::Signal;
use serde_json::Value;

use super::market::{Market, SOON, kill, turn, until};

/// Scarce goods, so that two traders sell the same ones.
const SCARCE: [&str; 10] =
    ["--buyers", "8", "--sellers", "2", "--interval", "1ms", "--deposit-every", "20ms", "--deposit", "1-5"];

/// More comes in than goes out, and a busy machine keeps up with it, too: where orders of a good are with the warehouse all
/// the time, none of it is set aside.
const PLENTY: [&str; 10] =
    ["--buyers", "4", "--sellers", "4", "--interval", "8ms", "--deposit-every", "16ms", "--deposit", "5-20"];

fn verified(market: &Market) -> Value {
    let ended = market.run(&["verify", "--json"]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    ended.object()
}

#[test]
fn a_cached_market_oversells_and_takes_each_back_by_one_row() {
    let _turn = turn();
    let market = Market::new();
    let summary = market
        .up(&[&SCARCE[..], &["--consistency", "cached", "--requests", "500"]].concat())
        .expect(0)
        .object();
    let oversold = summary["oversold"].as_u64().unwrap();
    assert!(oversold > 0, "{summary}");
    let reversals = rows(&market, "reversal");
    assert_eq!(reversals.len() as u64, oversold);
    let verdict = verified(&market);
    assert_eq!(verdict["price"]["oversold"], oversold);
    assert_eq!(verdict["price"]["undersold"], summary["undersold"]);
    market.every_order_is_answered_once();

    let row = &reversals[0];
    assert_eq!((&row["filled"], &row["outcome"]), (&0.into(), &"reversed".into()));
    let life = market.run(&["dump", "--order", row["order"].as_str().unwrap()]).expect(0).stdout;
    assert!(life.contains("answered early"), "{life}");
}

fn dumped(market: &Market, what: &[&str]) -> Vec<Value> {
    let lines = market.run(&[&["dump", "--format", "jsonl"], what].concat()).expect(0).stdout;
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(market: &Market, kind: &str) -> Vec<Value> {
    dumped(market, &["ledger", "--kind", kind])
}

/// What is set aside lasts, where more comes in than goes out: the traders sell that, too.
fn until_goods_are_set_aside(market: &Market) {
    let is_set_aside = |good: &Value| good["allotted"].as_u64() > Some(0);
    until("goods are set aside", SOON, || {
        dumped(market, &["inventory"]).iter().any(is_set_aside).then_some(())
    });
}

/// The same orders as in the cached market, and as fast.
#[test]
fn an_escrow_market_takes_nothing_back_when_goods_are_scarce() {
    let _turn = turn();
    let market = Market::new();
    let summary = market
        .up(&[&SCARCE[..], &["--consistency", "escrow", "--requests", "500"]].concat())
        .expect(0)
        .object();
    assert_eq!((&summary["oversold"], &summary["undersold"]), (&0.into(), &0.into()), "{summary}");
    assert!(rows(&market, "reversal").is_empty() && !rows(&market, "allotment").is_empty());
    verified(&market);
    market.every_order_is_answered_once();
}

/// Scarce goods are mostly sold by the warehouse, for there an order waits for each deposit; plentiful ones are not.
#[test]
fn an_escrow_market_tells_early_when_there_is_enough() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&[&PLENTY[..], &["--consistency", "escrow"]].concat());
    until_goods_are_set_aside(&market);
    let began = up.ledger_seq();
    up.wait_for_rows(began + 2_000);
    up.interrupt().expect(0);
    let sales = dumped(&market, &["ledger", "--kind", "sale", "--from", &began.to_string()]);
    let decided = |row: &&Value| row["decision"].is_u64() && row["batch"].is_null();
    let early: Vec<_> = sales.iter().filter(decided).collect();
    assert!(early.len() > sales.len() / 4, "{} of {}", early.len(), sales.len());
    let life = market.run(&["dump", "--order", early[0]["order"].as_str().unwrap()]).expect(0).stdout;
    assert!(life.contains("answered early"), "{life}");
    verified(&market);
    market.every_order_is_answered_once();
}

/// Both traders die with goods set aside for them, over and over, and report what they had sold.
#[test]
fn goods_of_dead_traders_are_reported_when_they_are_back() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&[&PLENTY[..], &["--consistency", "escrow", "--restart", "on-crash"]].concat());
    up.wait_for_pair();
    for round in 0..3 {
        until_goods_are_set_aside(&market);
        up.wait_for_rows(up.ledger_seq() + 400);
        let (primary, secondary) = (
            until("a primary", SOON, || up.holder(Office::Primary)),
            until("a secondary", SOON, || up.holder(Office::Secondary)),
        );
        up.kill(&primary);
        if round > 0 {
            up.kill(&secondary);
        }
        up.wait_for_pair();
        let frozen = || market.run(&["status", "--json"]).object()["frozen"].as_array().cloned();
        until("no goods are frozen", SOON, || frozen().filter(|frozen| frozen.is_empty()));
    }
    let status = market.run(&["status", "--json"]).object();
    let in_office = status["nodes"].as_array().unwrap().iter();
    let term = in_office.filter_map(|node| node["term"].as_u64()).max().unwrap().to_string();
    market.run(&["release", "--term", &term, "--accept-loss"]).refused(2, "in office");
    market.run(&["release", "--term", "1", "--accept-loss"]).refused(2, "no frozen goods");
    up.interrupt().expect(0);
    assert!(!rows(&market, "complete").is_empty(), "every term that ended with goods was reported");
    let verdict = verified(&market);
    assert_eq!(verdict["price"], Value::Null);
    market.every_order_is_answered_once();
}

/// Both traders die at once, and their disks are gone: nobody knows all that they had told.
#[test]
fn goods_that_nobody_can_report_are_released() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&[&PLENTY[..], &["--consistency", "escrow"]].concat());
    up.wait_for_pair();
    until_goods_are_set_aside(&market);
    up.wait_for_rows(up.ledger_seq() + 1_000);
    let traders = [Office::Primary, Office::Secondary].map(|office| up.seat(office).unwrap());
    let names = traders.each_ref().map(|seat| format!("peer-{}", seat.peer));
    // Neither lives long enough to report for the other.
    names.iter().for_each(|name| kill(up.node(name).pid, Signal::STOP));
    names.iter().for_each(|name| drop(up.kill(name)));
    let frozen = || {
        let status = market.run(&["status", "--json"]).object();
        let frozen = status["frozen"].as_array().cloned().unwrap_or_default();
        frozen.iter().map(|it| it["term"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let last = traders.iter().map(|seat| seat.term).max().unwrap();
    until("two others are in office", SOON, || {
        let later = |office| up.seat(office).filter(|seat| seat.term > last);
        later(Office::Primary).and(later(Office::Secondary)).map(drop)
    });
    // What one of them had given back a moment ago is not frozen.
    let terms = until("goods are frozen", SOON, || Some(frozen()).filter(|found| !found.is_empty()));
    for name in &names {
        std::fs::remove_dir_all(market.node_dir(name)).unwrap();
    }
    assert!(market.run(&["status"]).stdout.contains(&format!("bazaar release --term {}", terms[0])));
    for term in terms.iter().map(u64::to_string) {
        market.run(&["release", "--term", &term]).refused(2, "--accept-loss");
        let freed = market.run(&["release", "--term", &term, "--accept-loss", "--json"]).expect(0).object();
        assert_eq!(freed["term"].to_string(), term);
        super::schema::fits("release", &freed);
    }
    until("no goods are frozen", SOON, || frozen().is_empty().then_some(()));
    up.wait_for_rows(up.ledger_seq() + 400);
    drop(up.interrupt());
    verified(&market);
    let lost = traders.each_ref().map(|seat| (u64::from(seat.peer.0), 1));
    market.every_order_is_answered_once_but(&lost);
}

#[test]
fn a_market_changes_its_mode_under_way_while_its_traders_are_killed() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&[&SCARCE[..], &["--restart", "on-crash"]].concat());
    up.wait_for_pair();
    let mut told = Vec::new();
    for (mode, before) in
        [("cached", "cacheless"), ("escrow", "cached"), ("cacheless", "escrow"), ("cached", "cacheless")]
    {
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
    let _turn = turn();
    let market = Market::new();
    let run = |more: &[&str]| market.run(&[&["experiment", "oversell", "--quick", "--json"], more].concat());
    let done =
        run(&["--assert", "oversell(cacheless)==0", "--assert", "oversell(escrow)==0"]).expect(0).object();
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
