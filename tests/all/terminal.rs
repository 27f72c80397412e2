//! Terminals and pipes: each order is one line whatever was restarted meanwhile; readers that go away, and disks that are
//! full, end a command in order.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::market::{Ended, Market, Running, SOON, bazaar, kill, parent, run, shell, turn, until};

const QUICK: [&str; 8] = ["up", "--base-port", "0", "--buyers", "1", "--sellers", "1", "--interval=20ms"];

/// Lines of a peer's orders.
fn lines_of(ended: &Ended, who: &str) -> usize {
    ended.stdout.lines().filter(|line| line[6..].starts_with(who)).count()
}

/// Outcomes in the ledger of a peer's orders.
fn rows_of(market: &Market, peer: u64) -> usize {
    market.ledger().iter().filter(|row| row["peer"] == peer && row["outcome"].is_string()).count()
}

/// Once its first watcher had waited for its dead stream it found the new process, and watched that, too: 701 lines of 479
/// orders.
#[test]
fn a_restarted_node_tells_each_order_once() {
    let _turn = turn();
    let market = Market::new();
    let mut command = bazaar(market.cwd());
    command.args(QUICK).args(["-v", "--restart", "on-crash", "--requests", "150", "--deposit-every", "50ms"]);
    let mut running = Running::start(command);
    until("orders of the buyer", SOON, || {
        assert!(!running.has_ended(), "{}", running.stderr());
        (running.stdout().matches("buyer   1").count() > 20).then_some(())
    });
    let buyer = market.nodes().into_iter().find(|node| node.name == "peer-1").unwrap();
    assert_eq!(parent(buyer.pid), Some(running.pid()));
    kill(buyer.pid, Signal::KILL);
    let ended = running.wait(SOON * 2).expect(0);
    assert!(ended.stderr.contains("peer-1 started again"), "{ended:?}");
    for (who, peer) in [("buyer   1", 1), ("seller  2", 2)] {
        let (lines, rows) = (lines_of(&ended, who), rows_of(&market, peer));
        // What a node tells in the moment before it is watched, or is killed, is heard by nobody.
        assert!(lines <= rows && lines * 10 >= rows * 9, "{who}: {lines} lines of {rows} orders");
    }
}

/// A command whose stdout is on a full disk.
fn on_a_full_disk(mut command: Command) -> Ended {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    Ended { code: ended.status.code().unwrap_or(-1), stdout: String::new(), stderr }
}

/// It ended with 101 and a backtrace, and took its nodes with it.
#[test]
fn a_market_ends_in_order_when_nobody_can_read_what_it_tells() {
    let _turn = turn();
    let market = Market::new();
    let mut command = bazaar(market.cwd());
    command.args(QUICK).arg("-v").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut up = command.spawn().unwrap();
    let mut told = BufReader::new(up.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    drop(told);
    let status = until("its end", SOON, || up.try_wait().unwrap());
    let ended = up.wait_with_output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(status.code(), Some(0), "{line}{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{stderr}");
    market.verify();

    let mut command = bazaar(market.cwd());
    command.args(QUICK).args(["-v", "--requests", "10"]);
    let ended = on_a_full_disk(command);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("error: cannot write to stdout: No space left"), "{ended:?}");
    market.verify();
}

#[test]
fn an_order_is_what_became_of_it_though_it_cannot_be_printed() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&["--buyers", "0", "--sellers", "0"]);
    up.wait_for_pair();
    for (order, code, said) in [("fish=3", 0, "bought 3 fish"), ("salt=29", 4, "sold out: 29 salt wanted")] {
        let mut command = bazaar(market.cwd());
        command.args(["buy", order]);
        let ended = on_a_full_disk(command);
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.stderr.contains("cannot write to stdout") && ended.stderr.contains(said), "{ended:?}");
        // Nobody reads any more.
        let ended = shell(market.cwd(), &format!("{{ bazaar buy {order}; echo $? >&2; }} | true"));
        assert_eq!(ended.stderr.lines().last(), Some(code.to_string().as_str()), "{ended:?}");
    }
}

#[test]
fn what_cannot_be_written_to_a_full_disk_is_a_failure() {
    let cwd = tempfile::tempdir().unwrap();
    for line in ["--help", "--version", "completions bash", "dump --help", "simulate --seed 1 --orders 5"] {
        let mut command = bazaar(cwd.path());
        command.args(line.split(' '));
        let ended = on_a_full_disk(command);
        assert_eq!(ended.code, 1, "{line}: {ended:?}");
        assert!(ended.stderr.contains("error: cannot write to stdout"), "{line}: {ended:?}");
        let ended = shell(cwd.path(), &format!("{{ bazaar {line}; echo $? >&2; }} | true"));
        assert_eq!(ended.stderr.trim(), "0", "{line}: {ended:?}");
    }
    // Remarks are no results.
    let mut command = bazaar(cwd.path());
    command.args(["buy", "fish=0"]).stdout(Stdio::null());
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(command.stderr(full).status().unwrap().code(), Some(2));
}

// ---- errors

/// The one object on stderr.
#[track_caller]
fn error_of(ended: &Ended) -> Value {
    let object: Value = serde_json::from_str(&ended.stderr).unwrap_or_else(|why| panic!("{why}: {ended:?}"));
    assert_eq!(ended.stdout, "");
    assert_eq!(object["error"]["exit"], ended.code);
    object["error"].clone()
}

#[test]
fn with_json_an_error_is_one_object() {
    let cwd = tempfile::tempdir().unwrap();
    let error =
        |line: &str, code| error_of(&run(cwd.path(), &line.split(' ').collect::<Vec<_>>()).expect(code));
    let typed = error("buy fish=0 --json", 2);
    assert_eq!(typed["why"], "an order has at least 1 piece");
    assert!(typed["what"].as_str().unwrap().contains("'fish=0'"), "{typed}");
    assert_eq!(error("--json up --nodes 1", 2)["what"], "--nodes 1");
    let absent = error("verify --json --data-dir nowhere", 2);
    assert_eq!((&absent["what"], &absent["why"]), (&"nowhere holds no data".into(), &Value::Null));
    assert!(absent["hint"].as_str().unwrap().contains("--data-dir"), "{absent}");
    assert!(error("status --json --connect 127.0.0.1:1", 3)["why"].is_string());
    error("--json stop", 2);
}

/// Scripts and units of supervisors leave variables empty that they have no value for.
#[test]
fn a_variable_that_is_empty_is_not_set() {
    let cwd = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let found = text.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
        names.extend(found.map(str::to_owned));
    }
    assert!(names.len() > 20 && names.contains(&"BAZAAR_SEED".to_owned()), "{names:?}");
    for line in ["up --nodes 1", "buy =3", "dump --from 2 --to 1", "peer --id 0"] {
        let mut command = bazaar(cwd.path());
        command.args(line.split(' ')).envs(names.iter().map(|name| (name, "")));
        let ended = Running::start(command).wait(SOON);
        assert_eq!(ended.stderr, run(cwd.path(), &line.split(' ').collect::<Vec<_>>()).stderr, "{line}");
    }
}

#[test]
fn an_error_names_the_variable_that_its_value_came_from() {
    let cwd = tempfile::tempdir().unwrap();
    for (name, value, line, named) in [
        ("BAZAAR_QUANTITY", "3-1", "up", "'3-1' for '--quantity <RANGE>' from BAZAAR_QUANTITY: "),
        ("BAZAAR_TIMEOUT", "0s", "status", "'0s' for '--timeout <TIME>' from BAZAAR_TIMEOUT: "),
        ("BAZAAR_DATA_DIR", "nowhere", "dump", "nowhere (from BAZAAR_DATA_DIR) holds no data"),
        ("BAZAAR_CONFIG_DIR", "absent", "up --base-port 0", "absent/stock.json (from BAZAAR_CONFIG_DIR): "),
        ("BAZAAR_CONNECT", "127.0.0.1:1", "status", "127.0.0.1:1 (from BAZAAR_CONNECT)"),
    ] {
        let mut command = bazaar(cwd.path());
        command.args(line.split(' ')).env(name, value);
        let ended = Running::start(command).wait(SOON);
        assert!(ended.stderr.contains(named), "{name}: {ended:?}");
    }
    let typed =
        bazaar(cwd.path()).args(["up", "--quantity=2-1"]).env("BAZAAR_QUANTITY", "3-1").output().unwrap();
    assert!(
        !String::from_utf8(typed.stderr).unwrap().contains("BAZAAR_QUANTITY"),
        "what was typed is at fault"
    );
}

/// A hint that does not help is worse than none.
#[test]
fn hints_of_what_is_not_there_yet_say_so() {
    let market = Market::new();
    market.up(&["--requests", "2"]).expect(0);
    let archive = ["archive", "--data-dir", "bazaar-data", "--before", "5", "--out", "old"];
    market.run(&archive).refused(4, "no segment of the ledger may go yet");
    market.run(&["verify", "--archive", "nope"]).refused(2, "--archive nope: there is no such file");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let up = ["up", "--data-dir", "not-begun", "--base-port", &port, "--requests", "1"];
    market.run(&up).refused(1, "is taken");
    assert!(!market.cwd().join("not-begun").exists(), "nothing was begun");
    let one = market.run(&["dump", "ledger", "--limit", "1"]).expect(0);
    assert!(one.stderr.contains("the first row; more with --limit"), "{}", one.stderr);
    let orders = ["dump", "orders", "--data-dir", "bazaar-data/peer-1", "--limit", "1", "--json"];
    assert_eq!(market.run(&orders).expect(0).stderr, "", "only people are told that there is more");
}

/// Goods, nodes and orders of the market, also of one that is stopped.
#[test]
fn a_shell_is_offered_what_the_market_has() {
    let market = Market::new();
    market.up(&["--requests", "3"]).expect(0);
    let offered = |words: &[&str]| -> Vec<String> {
        let mut asked = bazaar(market.cwd());
        asked.env("BAZAAR_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        let output = asked.env("_CLAP_IFS", "\n").args(["--", "bazaar"]).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(offered(&["buy", "f"]), ["fish="]);
    assert_eq!(offered(&["leave", "--peer", ""]), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(offered(&["verify", "--check", "V02,V1"]), ["V02,V10", "V02,V11", "V02,V12"]);
    assert_eq!(offered(&["dump", "ledger", "--kind", "sess"]), ["session"]);
    assert_eq!(offered(&["dump", "ledger", "--product", "s"]), ["salt"]);
    assert!(offered(&["dump", "--order", "1-"]).contains(&"1-1".to_owned()));
    assert!(offered(&["sta"]).contains(&"status".to_owned()));
    for shell in ["bash", "zsh", "fish"] {
        let script = market.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("BAZAAR_COMPLETE"), "{script}");
    }
}
