//! The warehouse's store is lost, or an older copy of it comes back: no answer is taken back unseen, no number or term is
//! used twice, peers go on without a restart, and what was lost is counted.

use std::fs;
use std::path::Path;

use bazaar::model::report::Report;
use bazaar::types::Office;
use rustix::process::Signal;
use serde_json::Value;

use super::market::{ByHand, Market, SOON, Up, alone, by_hand, copy_tree, kill, status, until};

const LOAD: [&str; 6] = ["--nodes", "6", "--interval", "2ms", "--deposit-every", "10ms"];

/// Trade that goes on until so many more rows are there.
fn trade(up: &Up<'_>, rows: u64) {
    up.wait_for_pair();
    let before = up.ledger_seq();
    up.wait_for_rows(before + rows);
}

fn started_on<'a>(market: &'a Market) -> Up<'a> {
    let up = market.start(&LOAD);
    trade(&up, 150);
    up
}

/// Takes the warehouse's directory away, as a broken disk would.
fn lose(market: &Market) {
    fs::remove_dir_all(market.node_dir("warehouse")).unwrap();
}

fn restore(market: &Market, backup: &str) -> Value {
    market.run(&["restore", "--from", backup, "--accept-loss", "--json"]).expect(0).object()
}

fn dumped(market: &Market, dir: &Path) -> String {
    market.dump_text("ledger", dir)
}

/// `verify` finds nothing wrong; how many answers a restore lost.
fn lost(market: &Market) -> u64 {
    let verdict = market.run(&["verify", "--json"]);
    assert_eq!(verdict.code, 0, "{}", verdict.stdout);
    let checks = verdict.object()["checks"].clone();
    let told = checks.as_array().unwrap().iter().find(|check| check["check"] == "V04").unwrap().clone();
    told["lost"].as_u64().unwrap()
}

/// Nothing waits for ever: every order that a peer placed has an outcome.
fn nothing_is_open(market: &Market, peers: impl Iterator<Item = u32>) {
    for peer in peers {
        let orders = market.dump("orders", &market.node_dir(&format!("peer-{peer}")));
        let open: Vec<_> = orders.iter().filter(|order| order["state"] == "placed").collect();
        assert!(open.is_empty(), "peer {peer}: {open:?}");
    }
}

#[test]
fn a_lost_store_is_mended_by_a_backup_of_the_running_market_as_often_as_it_takes() {
    let _one = alone();
    let market = Market::new();
    let up = started_on(&market);
    market.run(&["buy", "fish"]).expect(0);
    let backup = market.run(&["backup", "--out", "b", "--json"]).expect(0).object();
    let rows = backup["last_seq"].as_u64().unwrap();
    assert!(rows >= 150, "{backup}");
    market.run(&["buy", "fish"]).expect(0);
    trade(&up, 100);
    market.run(&["backup", "--out", "b"]).refused(2, "not empty");
    up.interrupt().expect(0);
    market.run(&["verify", "--data-dir", "b"]).expect(0);
    let kept = dumped(&market, &market.cwd().join("b"));
    assert!(dumped(&market, &market.dir()).starts_with(&kept), "a backup is a prefix of the ledger");

    market.run(&["restore", "--from", "b"]).refused(2, "is lost");
    market.run(&["restore", "--from", "b", "--accept-loss"]).refused(7, "has a store");
    market.run(&["restore", "--from", "bazaar-data/peer-1", "--accept-loss"]).refused(7, "peer-1");
    let mut generations = Vec::new();
    for _ in 0..2 {
        lose(&market);
        let restored = restore(&market, "b");
        assert_eq!((&restored["rows"], &restored["restored_seq"]), (&rows.into(), &(rows + 1).into()));
        generations.push(restored["generation"].as_u64().unwrap());

        let up = started_on(&market);
        let bought = market.run(&["buy", "fish"]).expect(0);
        assert!(bought.stdout.starts_with("bought 1 fish"), "{bought:?}");
        up.interrupt().expect(0);
        assert!(lost(&market) > 0, "answers behind the backup are counted");
        nothing_is_open(&market, 1..=6);
        let ledger = dumped(&market, &market.dir());
        assert!(ledger.starts_with(&kept));
        let row = ledger.lines().nth(rows as usize).unwrap();
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!((&row["kind"], &row["generation"]), (&"restored".into(), &restored["generation"]));
    }
    assert!(generations[0] < generations[1], "{generations:?}");
    let meta = market.dump("meta", &market.dir());
    assert!(meta.iter().all(|node| node["generation"] == generations[1]), "{meta:?}");
}

#[test]
fn an_older_copy_of_the_warehouse_is_refused_and_does_no_harm() {
    let _one = alone();
    let market = Market::new();
    started_on(&market).interrupt().expect(0);
    let (older, newest) = (market.cwd().join("older"), market.cwd().join("newest"));
    copy_tree(&market.node_dir("warehouse"), &older);
    started_on(&market).interrupt().expect(0);
    let peers = dumped_orders(&market);
    fs::rename(market.node_dir("warehouse"), &newest).unwrap();
    copy_tree(&older, &market.node_dir("warehouse"));

    let ended = market.up(&LOAD).expect(7);
    for named in ["error: ", "older copy", "\n  hint: ", "bazaar restore"] {
        assert!(ended.stderr.contains(named), "{named}: {}", ended.stderr);
    }
    assert_eq!(
        dumped_orders(&market)[..2],
        peers[..2],
        "sellers may have placed more, buyers asked nothing away"
    );

    fs::remove_dir_all(market.node_dir("warehouse")).unwrap();
    fs::rename(&newest, market.node_dir("warehouse")).unwrap();
    started_on(&market).interrupt().expect(0);
    assert_eq!(lost(&market), 0);
    nothing_is_open(&market, 1..=6);
}

/// How many orders each peer was answered.
fn dumped_orders(market: &Market) -> Vec<usize> {
    let answered = |peer: u32| {
        let orders = market.dump("orders", &market.node_dir(&format!("peer-{peer}")));
        orders.iter().filter(|order| order["state"] == "answered").count()
    };
    (1..=6).map(answered).collect()
}

fn report(node: &ByHand) -> Option<Report> {
    status(&node.addr)
}

#[test]
fn peers_go_on_without_a_restart_when_the_warehouse_is_restored_under_them() {
    let _one = alone();
    let market = Market::new();
    let warehouse = by_hand(&market, "warehouse", "127.0.0.1:0", &["warehouse"]);
    let mut peers: Vec<ByHand> = Vec::new();
    for (id, role) in [(4, "idle"), (3, "idle"), (2, "seller"), (1, "buyer")] {
        let id = id.to_string();
        let load = ["--interval", "2ms", "--deposit-every", "10ms", "--suspect-after", "1s"];
        let mut args = vec!["peer", "--id", &id, "--role", role, "--warehouse", &warehouse.addr];
        args.extend(load);
        if let Some(first) = peers.first() {
            args.extend(["--join", &first.addr]);
        }
        let started = by_hand(&market, &format!("peer-{id}"), "127.0.0.1:0", &args);
        peers.push(started);
    }
    let rows = |warehouse: &ByHand| report(warehouse).map_or(0, |report| report.log.0.0);
    until("trade", SOON, || (rows(&warehouse) > 200 && report(&warehouse)?.roster.paired).then_some(()));
    market.run(&["backup", "--out", "b", "--connect", &peers[0].addr]).expect(0);
    let at_backup = rows(&warehouse);
    until("more trade", SOON, || (rows(&warehouse) > at_backup + 200).then_some(()));

    let addr = warehouse.addr.clone();
    kill(warehouse.running.pid(), Signal::KILL);
    drop(warehouse);
    lose(&market);
    let generation = restore(&market, "b")["generation"].as_u64().unwrap();
    let warehouse = by_hand(&market, "warehouse", &addr, &["warehouse"]);
    until("both offices are held again", SOON, || {
        let roster = report(&warehouse)?.roster;
        let present =
            |office| roster.get(office).is_some_and(|seat| seat.present && seat.term.0 > generation);
        (roster.paired && Office::BOTH.into_iter().all(present)).then_some(())
    });
    let before = rows(&warehouse);
    until("trade goes on", SOON, || (rows(&warehouse) > before + 200).then_some(()));
    until("every peer is in the new generation", SOON, || {
        let there = peers.iter().all(|peer| report(peer).is_some_and(|it| it.generation.count == generation));
        there.then_some(())
    });
    let bought = market.run(&["buy", "fish", "--connect", &warehouse.addr]);
    assert!(matches!(bought.code, 0 | 4), "{bought:?}");

    // Shoppers first, then the traders, the warehouse last: nobody is left with an open order.
    for peer in peers.into_iter().rev() {
        peer.running.signal(Signal::TERM);
        peer.running.wait(SOON).expect(0);
    }
    warehouse.running.signal(Signal::TERM);
    warehouse.running.wait(SOON).expect(0);
    assert!(lost(&market) > 0);
}

/// A backup that is restored away from the market's nodes begins a generation that they have seen already, with other
/// rows in it. No sequence tells the two ledgers apart: they may be equally long.
#[test]
fn two_restores_of_one_backup_are_told_apart_and_the_mend_works_to_the_letter() {
    let _one = alone();
    let market = Market::new();
    started_on(&market).interrupt().expect(0);
    market.run(&["backup", "--out", "b"]).expect(0);
    lose(&market);
    assert_eq!(restore(&market, "b")["generation"], 1);
    started_on(&market).interrupt().expect(0);
    lose(&market);
    market.run(&["restore", "--from", "b", "--data-dir", "elsewhere", "--accept-loss"]).expect(0);
    fs::rename(market.cwd().join("elsewhere/warehouse"), market.node_dir("warehouse")).unwrap();

    let warehouse = by_hand(&market, "warehouse", "127.0.0.1:0", &["warehouse"]);
    let args = ["peer", "--id", "1", "--warehouse", &warehouse.addr];
    let peer = by_hand(&market, "peer-1", "127.0.0.1:0", &args);
    let mend = "bazaar restore --from DIRECTORY --accept-loss --above 1";
    until("the peer names the mend", SOON, || peer.running.stderr().contains(mend).then_some(()));
    let rows = report(&warehouse).unwrap().log.0;
    for node in [peer, warehouse] {
        node.running.signal(Signal::TERM);
        node.running.wait(SOON).expect(0);
    }
    let orders = dumped_orders(&market);

    fs::rename(market.node_dir("warehouse"), market.cwd().join("away")).unwrap();
    let line = mend.replace("DIRECTORY", "away");
    let restored =
        market.run(&line.split(' ').skip(1).chain(["--json"]).collect::<Vec<_>>()).expect(0).object();
    assert_eq!((&restored["generation"], &restored["rows"]), (&2.into(), &rows.0.into()), "{orders:?}");
    started_on(&market).interrupt().expect(0);
    assert!(lost(&market) > 0);
    nothing_is_open(&market, 1..=6);
}
