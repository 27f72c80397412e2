//! A market that cannot trade says so, with the command that helps; and `up` says what it does not heed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::market::{Market, Running, SOON, bazaar, by_hand, copy_tree, until};

/// In which a stopping node settles what it has.
const DRAIN: Duration = Duration::from_secs(10);

/// Silence looks like a market that is well.
#[test]
fn a_dead_warehouse_is_said_with_the_command_that_starts_it() {
    let market = Market::new();
    let up = market.start(&[]);
    up.wait_for_pair();
    up.kill("warehouse");
    let said = until("it is said that there is no warehouse", SOON, || {
        let stderr = up.stderr();
        stderr.lines().find(|line| line.contains("no warehouse for")).map(str::to_owned)
    });
    assert!(said.contains("orders wait"), "{said}");
    let bought = market.run(&["buy", "fish", "--deadline", "1s"]);
    assert_eq!(bought.code, 3, "{}", bought.stderr);
    assert!(bought.stderr.contains("the market is up without its warehouse"), "{}", bought.stderr);
    let of_up = said.split_once("start it with: ").unwrap().1;
    let of_buy = bought.stderr.split_once("start that again: ").unwrap().1.trim_end();
    for command in [of_up, of_buy] {
        let program = Path::new(env!("CARGO_BIN_EXE_bazaar")).parent().unwrap().display().to_string();
        let mut warehouse = Command::new("sh");
        warehouse.args(["-c", &format!("exec {command}")]).current_dir(market.cwd());
        warehouse.env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap()));
        let mut warehouse = warehouse.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("it is bought again", SOON, || {
            (market.run(&["buy", "fish", "--deadline", "2s"]).code == 0).then_some(())
        });
        warehouse.kill().unwrap();
        warehouse.wait().unwrap();
    }
}

#[test]
fn a_quiet_run_has_its_summary_and_other_goods_than_the_market_s_are_said_not_to_count() {
    let market = Market::new();
    let quiet = market.run(&["up", "--base-port", "0", "--requests", "1", "--quiet"]).expect(0);
    assert!(quiet.stdout.lines().any(|line| line.starts_with("orders ")), "{}", quiet.stdout);
    assert_eq!(quiet.stderr, "");
    let config = market.cwd().join("other");
    copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data"), &config);
    fs::write(config.join("stock.json"), r#"{"gold": {"quantity": 5, "price": 9}}"#).unwrap();
    let other = ["up", "--base-port", "0", "--requests", "1", "--config-dir", config.to_str().unwrap()];
    let said = market.run(&other).expect(0);
    assert!(said.stderr.contains("keeps its own goods and prices"), "{}", said.stderr);
}

/// Nobody settles anything any more; what is open is in the stores, and goes on with the next start.
#[test]
fn a_market_without_its_warehouse_ends_at_once() {
    let market = Market::new();
    let up = market.start(&["--interval", "10ms"]);
    up.wait_for_pair();
    up.kill("warehouse");
    until("its death is noticed", SOON, || up.stderr().contains("killed by SIGKILL").then_some(()));
    let began = Instant::now();
    let ended = up.interrupt().expect(0);
    assert!(began.elapsed() < DRAIN / 2, "{:?} for what nobody can settle", began.elapsed());
    assert!(ended.stderr.contains("Ctrl-C once more ends at once"), "{}", ended.stderr);
    market.up(&["--requests", "1"]).expect(0);
    market.verify();
}

/// A trader does not shop, so that the run has fewer orders than were asked for.
#[test]
fn a_buyer_that_is_elected_is_said_to_place_none_of_its_requests() {
    let market = Market::new();
    let up = market.start(&["--requests", "100000", "--interval", "20ms"]);
    up.wait_for_pair();
    up.kill("peer-6");
    until("it is said of peer 4, the next in line", SOON, || {
        up.stderr()
            .contains("buyer 4 is elected: in office it places no more of its 100000 requests")
            .then_some(())
    });
    let ended = up.interrupt().expect(0);
    assert_eq!(ended.stderr.matches("buyer 4 is elected").count(), 1, "{}", ended.stderr);
}

/// Twenty seconds of nothing look like a program that hangs.
#[test]
fn a_peer_that_finds_nobody_says_at_once_whom_it_waits_for() {
    let market = Market::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    drop(taken);
    let peer = |name: &str, way_in: [&str; 2]| {
        let mut command = bazaar(market.cwd());
        command.args(["peer", "--id", "4", "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(market.cwd().join(name)).args(way_in);
        Running::start(command)
    };
    let (served, joined) = (peer("served", ["--warehouse", &addr]), peer("joined", ["--join", &addr]));
    for (running, says) in
        [(&served, "waiting for the warehouse at"), (&joined, "waiting for a node to join at")]
    {
        until(says, Duration::from_secs(3), || running.stderr().contains(says).then_some(()));
    }
    let _warehouse = by_hand(&market, "warehouse", &addr, &["warehouse"]);
    until("it is found", SOON, || served.stderr().contains("the warehouse serves at").then_some(()));
    for mut running in [served, joined] {
        running.signal(Signal::KILL);
        until("it ends", SOON, || running.has_ended().then_some(()));
    }
}
