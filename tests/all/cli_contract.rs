//! Scripts that rely on the command line: refusals that name what was typed and start nothing, exit codes, `--json`,
//! directories that are in use, foreign or newer, and processes that outlive nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bazaar::types::{Hash, Office};
use rustix::process::Signal;

use super::market::{Market, Running, SOON, Up, bazaar, children, kill, lives, parent, run, turn, until};

/// All files below a directory with their bytes.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut dirs) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => {
                    found.insert(path.clone(), Vec::new());
                    dirs.push(path);
                }
                false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    found
}

/// Runs a command that must be refused, and looks that it left its directory alone.
#[track_caller]
fn refused(cwd: &Path, line: &str, code: i32, named: &[&str]) {
    let before = snapshot(cwd);
    let began = Instant::now();
    let mut ended = run(cwd, &line.split(' ').collect::<Vec<_>>());
    assert!(began.elapsed() < Duration::from_secs(20), "{line}: a refusal comes at once");
    for named in named {
        ended = ended.refused(code, named);
    }
    assert!(snapshot(cwd) == before, "{line}: something was written");
}

// ---- exit 2: nothing starts, nothing is sent

#[test]
fn what_was_typed_wrong_is_named() {
    let cwd = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str]); 44] = [
        ("buy fish=0", &["'fish=0'", "at least 1"]),
        ("buy fish=-3", &["'fish=-3'"]),
        ("buy fish=1000001", &["'fish=1000001'", "limit of 1000000"]),
        ("buy =3", &["'=3'"]),
        ("sell salt=0", &["'salt=0'"]),
        ("sell salt", &["'salt'", "salt=10"]),
        ("sell salt=1000001", &["'salt=1000001'"]),
        ("buy fish --number 0", &["'0'", "--number"]),
        ("buy fish --as 0", &["'0'", "--as"]),
        ("up --quantity 0", &["'0'", "--quantity"]),
        ("up --quantity -1", &["'-1'", "--quantity"]),
        ("up --quantity 3-1", &["'3-1'", "--quantity", "upside down"]),
        ("up --quantity 1-1000001", &["'1-1000001'", "--quantity"]),
        ("up --deposit 0-3", &["'0-3'", "--deposit"]),
        ("up --deposit 20-5", &["'20-5'", "--deposit", "write 5-20"]),
        ("up --nodes 1", &["--nodes 1", "more traders than peers"]),
        ("up --nodes 0", &["--nodes 0", "more traders than peers"]),
        ("up --nodes -1", &["'-1'", "--nodes"]),
        ("up --nodes 9", &["9 nodes", "6, 7, 8"]),
        ("up --buyers 999 --sellers 2", &["--buyers 999", "1000"]),
        ("up --requests 0", &["'0'", "--requests"]),
        ("up --requests -1", &["'-1'", "--requests"]),
        ("up --heartbeat 0s", &["'0s'", "--heartbeat"]),
        ("up --suspect-after 0", &["'0'", "--suspect-after"]),
        ("peer --id 1 --heartbeat 0ms", &["'0ms'", "--heartbeat"]),
        ("up --heartbeat 1s --suspect-after 10ms", &["'10ms'", "--suspect-after", "use 200ms"]),
        ("warehouse --suspect-after 2days", &["'2days'", "--suspect-after", "24h"]),
        ("peer --id 1 --heartbeat 100us", &["'100us'", "--heartbeat", "use 50ms"]),
        ("peer --id 1 --advertise 0.0.0.0:7701", &["'0.0.0.0:7701'", "--advertise", "10.0.0.7:7707"]),
        ("release --term 3", &["is lost", "--accept-loss"]),
        ("release --accept-loss", &["--term"]),
        ("release --term three --accept-loss", &["'three'", "--term"]),
        ("mode strict", &["'strict'", "cached", "escrow"]),
        ("mode", &["<MODE>"]),
        ("warehouse --consistency strict", &["'strict'", "cacheless"]),
        ("up --consistency eventual", &["'eventual'", "cacheless"]),
        ("up --commission-percent 101", &["'101'", "--commission-percent"]),
        ("up --base-port 70000", &["'70000'", "--base-port"]),
        ("peer --id 1001", &["'1001'", "1 to 1000"]),
        ("verify --check V13", &["'V13'", "V01 to V12"]),
        ("up --frsh", &["'--frsh'", "--fresh"]),
        ("backup", &["--out"]),
        ("restore --from b", &["is lost", "--accept-loss"]),
        ("restore --accept-loss", &["--from"]),
    ];
    for (line, named) in cases {
        refused(cwd.path(), line, 2, named);
    }
}

#[test]
fn what_is_wrong_in_the_configuration_is_named() {
    let ring = r#"{"6": {"1": [2, 6], "2": [1, 3], "3": [2, 4], "4": [3, 5], "5": [4, 6], "6": [5, 1]}}"#;
    let lists = r#"{"6": {"buyers": [1, 4], "sellers": [2, 3]}}"#;
    let stock = r#"{"fish": {"quantity": 43, "price": 1}}"#;
    let cases = [
        (ring, r#"{"6": {"buyers": [1, 4], "sellers": [4, 3]}}"#, stock, &["peer 4 is on both lists"][..]),
        (
            ring,
            r#"{"6": {"buyers": [1, 9], "sellers": [2]}}"#,
            stock,
            &["buyer 9", "absent from topology.json"],
        ),
        (&ring.replace("[5, 1]", "[5, 8]"), lists, stock, &["neighbour 8 of peer 6", "does not exist"]),
        (&ring.replace("[5, 1]}}", "[5, 1]}"), lists, stock, &["topology.json:1:"]),
        (ring, "{\n  \"6\": {\"buyers\": [1,, 4]}\n}", stock, &["config_buyers_sellers.json:2:22"]),
        (ring, lists, "{\"fish\": {\"quantity\": -1, \"price\": 1}}", &["stock.json:1:", "-1"]),
        (ring, lists, r#"{"fish": {"quantity": 1, "price": 1.005}}"#, &["1.005", "fish"]),
        (ring, lists, "{}", &["stock.json", "0 goods"]),
    ];
    for (topology, lists, stock, named) in cases {
        let cwd = tempfile::tempdir().unwrap();
        let config = cwd.path().join("config");
        fs::create_dir(&config).unwrap();
        fs::write(config.join("topology.json"), topology).unwrap();
        fs::write(config.join("config_buyers_sellers.json"), lists).unwrap();
        fs::write(config.join("stock.json"), stock).unwrap();
        refused(cwd.path(), "up --config-dir config --base-port 0", 2, named);
    }
    let cwd = tempfile::tempdir().unwrap();
    refused(cwd.path(), "up --config-dir nowhere", 2, &["nowhere"]);
}

#[test]
fn a_directory_that_is_a_file_absent_or_not_ours_is_left_alone() {
    let cwd = tempfile::tempdir().unwrap();
    fs::write(cwd.path().join("file"), "x").unwrap();
    fs::create_dir(cwd.path().join("strange")).unwrap();
    fs::write(cwd.path().join("strange/notes.txt"), "x").unwrap();
    for command in ["up", "up --fresh", "warehouse --listen :0", "dump", "verify"] {
        refused(cwd.path(), &format!("{command} --data-dir file"), 2, &["file is a file"]);
        refused(cwd.path(), &format!("{command} --data-dir strange"), 7, &["strange", "notes.txt"]);
    }
    refused(cwd.path(), "peer --id 1 --listen :0 --data-dir file", 2, &["file is a file"]);
    refused(cwd.path(), "peer --id 1 --listen :0 --data-dir strange", 7, &["notes.txt"]);
    refused(cwd.path(), "backup --out new --data-dir strange", 7, &["notes.txt"]);
    refused(cwd.path(), "backup --out strange --data-dir nowhere", 2, &["strange", "notes.txt"]);
    refused(cwd.path(), "backup --out file", 2, &["file is a file"]);
    refused(cwd.path(), "backup --out new --data-dir nowhere", 2, &["nowhere"]);
    refused(cwd.path(), "restore --from nowhere --accept-loss", 2, &["nowhere"]);
    refused(cwd.path(), "restore --from strange --accept-loss", 7, &["notes.txt"]);
    for command in ["dump", "verify"] {
        refused(cwd.path(), &format!("{command} --data-dir nowhere"), 2, &["nowhere"]);
    }
}

// ---- a market's life

const QUICK: [&str; 6] = ["--requests", "5", "--interval", "2ms", "--deposit-every", "10ms"];

/// The slot of a mark that says another format, with its checksum right.
fn of_a_newer_format(mark: &Path) {
    let mut bytes = fs::read(mark).unwrap();
    for at in (0..bytes.len()).step_by(4096) {
        let content = at..at + 88;
        if bytes.len() >= at + 120 && bytes[content.clone()].iter().any(|byte| *byte != 0) {
            bytes[at + 4..at + 8].copy_from_slice(&3_u32.to_le_bytes());
            let check = Hash::of(&bytes[content]);
            bytes[at + 88..at + 120].copy_from_slice(&check.0);
        }
    }
    fs::write(mark, bytes).unwrap();
}

#[test]
fn a_second_run_goes_on_and_only_fresh_begins_anew() {
    let _turn = turn();
    let market = Market::new();
    let first = market.up(&QUICK).expect(0).object();
    let (cluster, rows) = (market.cluster_id(), market.ledger().len());
    assert_eq!(first["ledger_records"], rows, "{first}");
    let addrs: BTreeSet<String> = market.nodes().into_iter().map(|node| node.addr).collect();
    assert_eq!(addrs.len(), 7, "each node has a port of its own: {addrs:?}");
    assert!(!addrs.iter().any(|addr| addr.ends_with(":0")), "{addrs:?}");

    let second = market.up(&QUICK).expect(0).object();
    assert_eq!(market.cluster_id(), cluster, "the same market");
    assert!(second["ledger_records"].as_u64() > first["ledger_records"].as_u64(), "{second}");
    let orders = second["bought"].as_u64().unwrap() + second["sold_out"].as_u64().unwrap();
    // A buyer that is the first to come up may be elected, and a trader places nothing.
    let grants = market.ledger().split_off(rows);
    let traded = |peer: u64| grants.iter().any(|row| row["kind"] == "office" && row["trader"] == peer);
    let at_least = 5 * [1, 4].into_iter().filter(|buyer| !traded(*buyer)).count() as u64;
    assert!((at_least..=10).contains(&orders), "orders of this run: {orders} of {at_least} to 10");
    market.verify();

    refused(
        market.cwd(),
        "up --buyers 1 --sellers 1 --base-port 0",
        2,
        &["6 peers", "4 were asked for", "--fresh"],
    );

    let more = market.up(&[&QUICK[..], &["--nodes", "7"]].concat()).expect(0).object();
    assert_eq!((&more["nodes"], market.cluster_id()), (&7.into(), cluster.clone()), "more nodes join");
    market.verify();

    market.up(&[&QUICK[..], &["--fresh", "--buyers", "1", "--sellers", "1"]].concat()).expect(0);
    assert_ne!(market.cluster_id(), cluster);
    assert!(!market.node_dir("peer-6").exists(), "the earlier market is gone");
    market.verify();

    foreign_and_newer_stores_are_refused(&market);
}

fn foreign_and_newer_stores_are_refused(market: &Market) {
    let cluster = market.cluster_id();
    let warehouse = market.node_dir("warehouse");
    let dir = warehouse.to_str().unwrap();
    refused(
        market.cwd(),
        &format!("warehouse --cluster other --listen :0 --data-dir {dir}"),
        7,
        &[&cluster, "'other'"],
    );
    let peer = market.node_dir("peer-1");
    let line = format!("peer --id 2 --listen :0 --warehouse :1 --data-dir {}", peer.display());
    let ended = run(market.cwd(), &line.split(' ').collect::<Vec<_>>());
    ended.refused(7, "peer 1");

    of_a_newer_format(&warehouse.join("mark"));
    for command in ["warehouse --listen :0", "dump", "verify"] {
        refused(market.cwd(), &format!("{command} --data-dir {dir}"), 7, &["format 3", "newer"]);
    }
    run(market.cwd(), &["up", "--base-port", "0", "--buyers", "1", "--sellers", "1"]).refused(7, "format 3");
}

#[test]
fn a_peer_of_another_market_is_refused() {
    let _turn = turn();
    let (market, other) = (Market::new(), Market::new());
    for market in [&market, &other] {
        market.up(&[&QUICK[..], &["--buyers", "1", "--sellers", "1"]].concat()).expect(0);
    }
    fs::remove_dir_all(market.node_dir("peer-4")).unwrap();
    fs::rename(other.node_dir("peer-4"), market.node_dir("peer-4")).unwrap();
    let ended = market.run(&["up", "--base-port", "0", "--buyers", "1", "--sellers", "1", "--requests", "1"]);
    ended.refused(7, &other.cluster_id());

    // Nor are honest stores held against another market's ledger.
    for command in ["verify", "dump"] {
        let (dir, peer) = (market.node_dir("warehouse"), market.node_dir("peer-4"));
        let line = [command, "--data-dir", dir.to_str().unwrap(), "--data-dir", peer.to_str().unwrap()];
        let ended =
            market.run(&line).refused(7, &format!("{} is of cluster {}", dir.display(), market.cluster_id()));
        ended.refused(7, &format!("{} of cluster {}", peer.display(), other.cluster_id()));
    }

    // By hand nobody told it which market it is in: the warehouse does.
    let up = other.start(&["--buyers", "0", "--sellers", "0", "--fresh"]);
    let dir = market.node_dir("peer-1");
    let warehouse = up.node("warehouse").addr;
    let args = [
        "peer",
        "--id",
        "1",
        "--listen",
        ":0",
        "--warehouse",
        &warehouse,
        "--data-dir",
        dir.to_str().unwrap(),
    ];
    let ended = market.run(&args).expect(7);
    for named in ["error: ", &market.cluster_id(), &other.cluster_id(), "\n  hint: "] {
        assert!(ended.stderr.contains(named), "{named}: {ended:?}");
    }
}

#[test]
fn orders_from_the_shell_end_as_the_contract_says() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&["--buyers", "0", "--sellers", "0"]);
    up.wait_for_pair();
    let rows = up.ledger_seq();
    for (line, named) in [
        ("buy fsh", &["fsh", "fish"][..]),
        ("sell sallt=3", &["sallt", "salt"]),
        ("buy xylophone", &["xylophone"]),
        ("buy fish=0", &["fish=0"]),
    ] {
        let ended = market.run(&line.split(' ').collect::<Vec<_>>());
        let ended = named.iter().fold(ended, |ended, named| ended.refused(2, named));
        drop(ended);
    }
    // A client's session may be there by now; nothing was ordered.
    let orders = |market: &Market| {
        let dumped = market
            .run(&["dump", "ledger", "--format", "jsonl", "--kind", "sale,deposit,refusal,void"])
            .expect(0);
        assert!(!dumped.stderr.is_empty(), "a running node's owner is asked, which is said");
        dumped.stdout.lines().count()
    };
    assert!(up.ledger_seq() <= rows + 1);
    assert_eq!(orders(&market), 0);

    let bought = market.run(&["buy", "fish=3"]).expect(0);
    assert!(bought.stdout.starts_with("bought 3 fish for 3.00 from "), "{bought:?}");
    assert!(bought.stdout.contains(", 40 left (order 1001-1)"), "{bought:?}");
    let again = market.run(&["buy", "fish=3", "--number", "1"]).expect(0);
    assert!(
        again.stdout.contains("already done at ") && again.stdout.contains("not bought twice"),
        "{again:?}"
    );
    market.run(&["buy", "fish", "--number", "9"]).refused(2, "9");
    let short = market.run(&["buy", "salt=29"]).expect(4);
    assert!(short.stdout.contains("sold out: 29 salt wanted, 28 left"), "{short:?}");
    let partly = market.run(&["buy", "salt=29", "--partial"]).expect(0);
    assert!(partly.stdout.starts_with("bought 28 of 29 salt for 112.00"), "{partly:?}");
    market.run(&["sell", "salt=5", "--json"]).expect(0).object();
    assert_eq!(orders(&market), 4, "one row each");

    let status = market.run(&["status", "--json"]).expect(0).object();
    assert!(status.to_string().contains("salt"), "{status}");
    market.verify();
    up.interrupt().expect(0);
    market.verify();
    for line in ["buy fish", "sell fish=1", "status"] {
        market.run(&line.split(' ').collect::<Vec<_>>()).expect(3);
    }
}

#[test]
fn a_directory_in_use_says_by_whom() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&["--buyers", "1", "--sellers", "1"]);
    up.wait_for_pair();
    let undisturbed = |up: &Up<'_>| {
        let named: BTreeSet<u32> = market.nodes().iter().map(|node| node.pid).collect();
        named == children(up.pid()).into_iter().collect()
    };
    assert!(undisturbed(&up));

    market.run(&["up", "--base-port", "0"]).refused(7, &format!("pid {}", up.pid()));
    market.run(&["up", "--base-port", "0", "--fresh"]).refused(7, &format!("pid {}", up.pid()));
    let node = up.node("warehouse");
    let dir = market.node_dir("warehouse");
    let args = ["warehouse", "--listen", ":0", "--data-dir", dir.to_str().unwrap()];
    market.run(&args).refused(7, &format!("pid {}", node.pid));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    if port <= 64_535 {
        let elsewhere = tempfile::tempdir().unwrap();
        let ended = run(elsewhere.path(), &["up", "--base-port", &port.to_string()]);
        ended.refused(1, &format!("port {port} is taken by pid {}", std::process::id()));
        assert!(!elsewhere.path().join("bazaar-data/warehouse").exists(), "nothing was started");
    }

    assert!(undisturbed(&up), "the running market was left alone");
    let rows = up.ledger_seq();
    up.wait_for_rows(rows + 1);
    up.interrupt().expect(0).object();
    market.verify();
}

#[test]
fn nodes_outlive_no_up() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&["--buyers", "1", "--sellers", "1"]);
    up.wait_for_pair();
    let nodes: Vec<u32> = market.nodes().iter().map(|node| node.pid).collect();
    kill(up.pid(), Signal::KILL);
    let began = Instant::now();
    until("no node lives after its up", SOON, || (!nodes.iter().any(|node| lives(*node))).then_some(()));
    // Within 1 s on a quiet machine.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop(up);
    market.verify();

    let up = market.start(&["--buyers", "1", "--sellers", "1"]);
    until("a primary", SOON, || up.holder(Office::Primary));
    let nodes: Vec<u32> = market.nodes().iter().map(|node| node.pid).collect();
    let ended = up.interrupt().expect(0);
    assert!(ended.object()["orders"].is_number(), "Ctrl-C ends with the summary");
    assert!(!nodes.iter().any(|node| lives(*node)), "up left a node behind");
    market.verify();
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let _turn = turn();
    let market = Market::new();
    let mut command = bazaar(market.cwd());
    command.args(["up", "--base-port", "0", "--buyers", "1", "--sellers", "1"]);
    let mut running = Running::start(command);
    let nodes = until("its nodes", SOON, || {
        let nodes = market.nodes();
        (!nodes.is_empty() && nodes.iter().all(|node| parent(node.pid) == Some(running.pid())))
            .then_some(nodes)
    });
    // A warehouse that says nothing holds the orderly end up.
    let warehouse = nodes.iter().find(|node| node.name == "warehouse").unwrap().pid;
    until("the header", SOON, || running.stderr().contains("try:").then_some(()));
    kill(warehouse, Signal::STOP);
    until("its end", Duration::from_secs(5), || {
        running.signal(Signal::INT);
        running.has_ended().then_some(())
    });
    let ended = running.wait(SOON);
    kill(warehouse, Signal::KILL);
    assert_eq!(ended.code, 130, "{ended:?}");
    until("no node lives after it", SOON, || (!nodes.iter().any(|node| lives(node.pid))).then_some(()));
}

#[test]
fn a_lost_warehouse_and_a_stranger_in_the_market_are_told_apart() {
    let _turn = turn();
    let market = Market::new();
    market.up(&["--nodes", "6", "--requests", "2"]).expect(0);
    // A peer that joined by hand and kept its store with the others.
    let joined = market.node_dir("peer-9");
    std::fs::create_dir_all(joined.join("store")).unwrap();
    market.up(&["--nodes", "6", "--requests", "2"]).expect(0);
    market.up(&["--buyers", "2", "--sellers", "1"]).refused(2, "6 peers, 5 were asked for");
    std::fs::remove_dir_all(joined).unwrap();
    std::fs::remove_dir_all(market.node_dir("warehouse")).unwrap();
    market.up(&["--nodes", "6", "--requests", "2"]).refused(7, "the warehouse's is gone");
    assert!(!market.node_dir("warehouse").exists(), "no new ledger among old stores");
    market.up(&["--nodes", "6", "--requests", "2", "--fresh"]).expect(0);
}
