//! The warehouse's store is lost, or an older copy of it comes back: no answer is taken back unseen, no number or term is
//! used twice, peers go on without a restart, and what was lost is counted.

use std::fs;
use std::path::Path;

use bazaar::model::report::Report;
use bazaar::types::Office;
use rustix::process::Signal;
use serde_json::Value;

use super::market::{ByHand, Ended, Market, SOON, Up, by_hand, copy_tree, shell, status, turn, until};

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

/// A person's order is done: a deposit, since the market's buyers may have bought all that there is of any good.
fn ordered_by_hand(market: &Market) {
    let sold = market.run(&["sell", "fish=1"]).expect(0);
    assert!(sold.stdout.starts_with("deposited 1 fish"), "{sold:?}");
}

/// A market that starts and stops quickly.
const SMALL: [&str; 8] = ["--buyers", "1", "--sellers", "1", "--interval", "2ms", "--deposit-every", "10ms"];
const SMALL_PEERS: std::ops::RangeInclusive<u32> = 1..=4;

/// It trades, and stops in order with every order answered.
#[track_caller]
fn trades(market: &Market) {
    let up = market.start(&SMALL);
    trade(&up, 60);
    up.interrupt().expect(0);
    nothing_is_open(market, SMALL_PEERS);
}

/// It trades; if it is refused, then after the hints were followed to the letter, which name these commands.
#[track_caller]
fn trades_once_mended(market: &Market) -> Vec<String> {
    let mut typed = Vec::new();
    while let Some(refused) = refusal(market) {
        typed.push(mended(market, &refused));
        assert!(typed.len() < 6, "hints that do not mend: {typed:?}");
    }
    nothing_is_open(market, SMALL_PEERS);
    typed
}

/// How a market that does not trade was refused.
fn refusal(market: &Market) -> Option<Ended> {
    let mut up = market.spawn(&SMALL);
    let ended = until("it trades or ends", SOON, || {
        if up.has_ended() {
            return Some(true);
        }
        let warehouse = market.nodes().into_iter().find(|node| node.name == "warehouse")?;
        let report =
            status(&warehouse.addr).filter(|_| super::market::parent(warehouse.pid) == Some(up.pid()))?;
        (report.roster.paired && report.log.0.0 > 60).then_some(false)
    });
    if ended {
        let ended = up.wait(SOON).expect(7);
        assert!(ended.said().contains("error: "), "{}", ended.stderr);
        return Some(ended);
    }
    trade(&up, 60);
    up.interrupt().expect(0);
    None
}

/// Types what the hint names, and what the hints of its own refusals name, until one is done. Gives the last line typed.
#[track_caller]
fn mended(market: &Market, refused: &Ended) -> String {
    let mut line = refused.hinted();
    for _ in 0..4 {
        let ended = shell(market.cwd(), &line.replace("BACKUP", "b"));
        if ended.code == 0 {
            return line;
        }
        assert_ne!(ended.hinted(), line, "a hint that leads to itself: {ended:?}");
        line = ended.hinted();
    }
    panic!("hints that do not mend: {line}");
}

/// Copies that were moved away.
fn kept_aside(market: &Market) -> usize {
    let names = fs::read_dir(market.cwd()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("lost-")).count()
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
    let _turn = turn();
    let market = Market::new();
    let up = started_on(&market);
    ordered_by_hand(&market);
    let backup = market.run(&["backup", "--out", "b", "--json"]).expect(0).object();
    let rows = backup["last_seq"].as_u64().unwrap();
    assert!(rows >= 150, "{backup}");
    ordered_by_hand(&market);
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
        ordered_by_hand(&market);
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
    let _turn = turn();
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
        assert!(ended.said().contains(named), "{named}: {}", ended.stderr);
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

    // There is no newer one: it goes on from the older copy, as the hint says.
    fs::rename(market.node_dir("warehouse"), &newest).unwrap();
    copy_tree(&older, &market.node_dir("warehouse"));
    mended(&market, &market.up(&LOAD).expect(7));
    assert_eq!(kept_aside(&market), 1);
    started_on(&market).interrupt().expect(0);
    assert!(lost(&market) > 0);
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
    let _turn = turn();
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
    let refused = market.run(&["restore", "--from", "b", "--accept-loss"]).refused(7, "in use");
    assert_eq!(refused.hinted(), format!("kill {}", warehouse.running.pid()));
    shell(market.cwd(), &refused.hinted()).expect(0);
    warehouse.running.wait(SOON).expect(0);
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

/// What came after the backup is lost: a node that went on from it as if nothing were would use terms and numbers twice.
#[test]
fn no_node_starts_on_a_backup_and_the_hint_restores_it() {
    let _turn = turn();
    let market = Market::new();
    trades(&market);
    market.run(&["backup", "--out", "b"]).expect(0);
    let warehouse = ["warehouse", "--data-dir", "b", "--listen", ":0"];
    let peer = ["peer", "--id", "1", "--warehouse", "127.0.0.1:9", "--data-dir", "b", "--listen", ":0"];
    for node in [&warehouse[..], &peer[..]] {
        let refused = market.run(node).refused(7, "b is a backup");
        assert_eq!(refused.hinted(), "bazaar restore --from b --data-dir bazaar-data --accept-loss");
    }
    // The market has its warehouse still: the next hint moves that away.
    mended(&market, &market.run(&warehouse).expect(7));
    assert_eq!(kept_aside(&market), 1);
    trades(&market);

    // Somebody copies it to the place of the lost one.
    lose(&market);
    copy_tree(&market.cwd().join("b"), &market.node_dir("warehouse"));
    assert_eq!(trades_once_mended(&market).len(), 1);
    market.run(&["verify", "--data-dir", "b"]).expect(0);
    lost(&market);
}

/// From one backup again and again, from newer ones, with the other stores at hand and without.
#[test]
fn ten_restores_and_after_each_the_market_trades_or_says_what_to_type() {
    let _turn = turn();
    let market = Market::new();
    trades(&market);
    market.run(&["backup", "--out", "b"]).expect(0);
    trades(&market);
    let mut generations = Vec::new();
    for round in 0..10 {
        lose(&market);
        if round % 3 == 2 {
            // Where no other store is at hand, then put where the others are.
            let away = format!("away-{round}");
            market.run(&["restore", "--from", "b", "--data-dir", &away, "--accept-loss"]).expect(0);
            fs::rename(market.cwd().join(&away).join("warehouse"), market.node_dir("warehouse")).unwrap();
        } else {
            restore(&market, "b");
        }
        trades_once_mended(&market);
        let meta = market.dump("meta", &market.dir());
        let generation = meta[0]["generation"].clone();
        assert!(meta.iter().all(|node| node["generation"] == generation), "{meta:?}");
        generations.push(generation.as_u64().unwrap());
        if round == 5 {
            fs::rename(market.cwd().join("b"), market.cwd().join("b-before")).unwrap();
            market.run(&["backup", "--out", "b"]).expect(0);
        }
    }
    assert!(generations.is_sorted_by(|one, next| one < next), "{generations:?}");
    assert!(lost(&market) > 0);
}

/// Each refusal of `backup` and `restore` names a command that does what was meant.
#[test]
fn what_backup_and_restore_refuse_they_say_how_to_do() {
    let _turn = turn();
    let market = Market::new();
    trades(&market);
    let run = |args: &[&str]| market.run(args);
    fs::write(market.cwd().join("file"), "").unwrap();
    let typed = mended(&market, &run(&["backup", "--out", "file"]).refused(2, "is a file"));
    assert_eq!(typed, "bazaar backup --out file-2 --data-dir bazaar-data");
    mended(&market, &run(&["backup", "--out", "file-2"]).refused(2, "not empty"));
    let refused = run(&["restore", "--from", "file-2-2"]).refused(2, "is lost");
    let typed = mended(&market, &refused);
    assert!(typed.starts_with("mv bazaar-data/warehouse lost-warehouse && "), "{typed}");
    trades(&market);
    // A market's own ledger as its own backup.
    let own = ["restore", "--from", "bazaar-data", "--accept-loss"];
    mended(&market, &run(&own).refused(7, "has a store"));
    trades(&market);
    assert_eq!(kept_aside(&market), 2);
    // Cut off: the copy that is there stays.
    copy_tree(&market.cwd().join("file-2-2"), &market.cwd().join("cut"));
    fs::rename(market.cwd().join("cut/store"), market.cwd().join("cut/store.tmp")).unwrap();
    let cut = run(&["restore", "--from", "cut", "--accept-loss"]).refused(7, "cut off");
    assert_eq!(mended(&market, &cut), "bazaar backup --out cut-2");
    // Damaged: another one is named.
    fs::write(market.cwd().join("cut-2/mark"), "").unwrap();
    let damaged =
        run(&["restore", "--from", "cut-2", "--data-dir", "m", "--accept-loss"]).refused(7, "cut-2");
    assert!(!market.cwd().join("m").exists());
    let typed = mended(&market, &damaged);
    assert_eq!(typed, "bazaar restore --from file-2-2 --data-dir m --accept-loss");
    assert!(market.cwd().join("cut/store.tmp").exists() && market.cwd().join("m/warehouse").exists());
}

/// What a node's directory may come to.
#[derive(Clone, Copy, Debug)]
enum Harm {
    NoMark,
    NoStore,
    OlderStore,
    Garbage,
}

const HARMS: [Harm; 4] = [Harm::NoMark, Harm::NoStore, Harm::OlderStore, Harm::Garbage];

fn harm(dir: &Path, older: &Path, harm: Harm) {
    match harm {
        Harm::NoMark => fs::remove_file(dir.join("mark")).unwrap(),
        Harm::NoStore => fs::remove_dir_all(dir.join("store")).unwrap(),
        Harm::OlderStore => {
            fs::remove_dir_all(dir.join("store")).unwrap();
            copy_tree(&older.join("store"), &dir.join("store"));
        }
        Harm::Garbage => fs::write(dir.join("store/db"), [7; 100_000]).unwrap(),
    }
}

/// Otherwise the hint is of no use, or has the only copy removed.
#[test]
fn a_peer_whose_store_is_harmed_says_how_to_go_on_and_its_old_copy_is_no_harm() {
    let _turn = turn();
    let market = Market::new();
    trades(&market);
    let older = market.cwd().join("older");
    copy_tree(&market.dir(), &older);
    trades(&market);
    // To each peer another one.
    for (peer, kind) in SMALL_PEERS.zip(HARMS) {
        let name = format!("peer-{peer}");
        harm(&market.node_dir(&name), &older.join(&name), kind);
    }
    let typed = trades_once_mended(&market);
    let moved = |peer: u32| {
        typed.iter().any(|line| line.starts_with(&format!("mv bazaar-data/peer-{peer} lost-peer-{peer}")))
    };
    assert!(typed.len() == 4 && SMALL_PEERS.into_iter().all(moved), "{typed:?}");
    assert_eq!(kept_aside(&market), 4, "nothing is removed");
    // All of it, and an old copy of it: nothing is to be mended.
    fs::remove_dir_all(market.node_dir("peer-1")).unwrap();
    trades(&market);
    fs::remove_dir_all(market.node_dir("peer-1")).unwrap();
    copy_tree(&older.join("peer-1"), &market.node_dir("peer-1"));
    trades(&market);
    assert_eq!(lost(&market), 0, "the ledger has it all");
}

#[test]
fn a_warehouse_whose_store_is_harmed_says_how_to_go_on() {
    let _turn = turn();
    let market = Market::new();
    trades(&market);
    market.run(&["backup", "--out", "b"]).expect(0);
    let older = market.cwd().join("older");
    copy_tree(&market.node_dir("warehouse"), &older);
    trades(&market);
    let mut moved = 0;
    for kind in HARMS {
        harm(&market.node_dir("warehouse"), &older, kind);
        let refused = market.up(&SMALL).expect(7);
        assert!(refused.hinted().contains("--from b "), "{kind:?}: {refused:?}");
        moved += usize::from(mended(&market, &refused).starts_with("mv "));
        assert_eq!(kept_aside(&market), moved, "{kind:?}: nothing is removed");
    }
    trades(&market);
    assert!(lost(&market) > 0);
}
