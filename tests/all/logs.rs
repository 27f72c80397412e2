//! A log that grows without end, one that nobody can write, and a node that would end for it.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

use super::market::{Market, SOON, bazaar, kill, status, turn, until};

/// Every file of a node's log, the oldest first.
fn files(dir: &Path) -> Vec<String> {
    let older = (1..10).rev().map(|number| format!("log.{number}"));
    let names = older.chain(["log".to_owned()]).map(|name| dir.join(name));
    names.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

#[test]
fn a_market_rotates_its_logs_and_starts_again_among_them() {
    let _turn = turn();
    let market = Market::new();
    let args =
        ["--buyers", "2", "--sellers", "1", "--interval", "1ms", "--log-size", "64KiB", "--log-files", "3"];
    let dir = market.node_dir("peer-5");
    // What each order did is said at this level.
    let up = market.start_logging("warn,bazaar=debug,h2=trace", &args);
    until("the log of a trader was rotated twice", SOON, || (files(&dir).len() == 3).then_some(()));
    up.wait_for_rows(up.ledger_seq() + 100);
    up.interrupt().expect(0);
    let kept = files(&dir);
    assert!(kept.len() == 3 && kept.iter().all(|text| text.len() <= 64 << 10 && text.ends_with('\n')));
    for line in kept.iter().flat_map(|text| text.lines()) {
        assert!(line.starts_with("20") && line.contains("Z "), "not a whole line: {line:?}");
    }
    let ends = |text: &String| {
        [text.lines().next().unwrap(), text.lines().last().unwrap()].map(|line| line[..27].to_owned())
    };
    let times: Vec<String> = kept.iter().flat_map(ends).collect();
    assert!(times.is_sorted(), "each file goes on where the one before it ends: {times:?}");
    // With these names it is a node's directory still, to readers and to the next start.
    market.run(&["verify"]).expect(0);
    market.up(&["--buyers", "2", "--sellers", "1", "--requests", "1"]).expect(0);
}

#[test]
fn a_node_that_does_not_start_says_why_though_its_log_was_rotated() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&["--buyers", "1", "--sellers", "1"]);
    up.interrupt().expect(0);
    let dir = market.node_dir("warehouse");
    // Full: the first line of the next start is the first of another file.
    fs::write(dir.join("log"), "x".repeat(70_000)).unwrap();
    fs::write(dir.join("store/blobs/1"), "x")
        .or_else(|_| {
            fs::create_dir_all(dir.join("store/blobs"))
                .and_then(|()| fs::write(dir.join("store/blobs/1"), "x"))
        })
        .unwrap();
    let ended = market.up(&["--buyers", "1", "--sellers", "1", "--log-size", "64KiB"]).refused(7, "blobs");
    assert!(!ended.stderr.contains("does not say why"), "{}", ended.stderr);
}

/// On a full disk its log cannot be written, and what it stands on is another disk, or has its ballast.
#[test]
fn a_node_whose_log_cannot_be_written_goes_on() {
    let market = Market::new();
    let mut command = bazaar(market.cwd());
    command.args(["warehouse", "--listen", "127.0.0.1:0", "--data-dir", "w", "--ready-file", "ready"]);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut node = command.stdout(Stdio::null()).stderr(full).spawn().unwrap();
    let ready = market.cwd().join("ready");
    let serves = || match node.try_wait().unwrap() {
        Some(status) => panic!("it ended: {status}"),
        None => fs::read_to_string(&ready).ok(),
    };
    let addr = until("it serves", SOON, serves);
    // What it says of that is lost, too.
    assert!(status(addr.trim()).is_some(), "it answers");
    kill(node.id(), Signal::TERM);
    let status = until("it has ended", SOON, || node.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{status}");
}

/// A first failure that nobody can be told must not become another exit code.
#[test]
fn a_refusal_that_cannot_be_written_keeps_its_exit_code() {
    let market = Market::new();
    for (args, code) in [(&["verify"][..], 2), (&["warehouse", "--log-size", "1"], 2)] {
        let mut command = bazaar(market.cwd());
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = command.args(args).stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

/// By hand, with a shell's `2>`, which does not append.
#[test]
fn a_node_started_by_hand_rotates_the_log_that_its_stderr_is() {
    let market = Market::new();
    let dir = market.cwd().join("w");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("log"), "x".repeat(70_000)).unwrap();
    let stderr = OpenOptions::new().write(true).open(dir.join("log")).unwrap();
    let mut command = bazaar(market.cwd());
    command.args(["warehouse", "--listen", "127.0.0.1:0", "--data-dir", "w", "--log-size", "64KiB"]);
    let mut node =
        command.stdout(File::create(market.cwd().join("out")).unwrap()).stderr(stderr).spawn().unwrap();
    until("it serves", SOON, || {
        fs::read_to_string(market.cwd().join("out")).unwrap().contains("recovered").then_some(())
    });
    kill(node.id(), Signal::TERM);
    let status = until("it has ended", SOON, || node.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{status}");
    let kept = files(&dir);
    assert_eq!((kept.len(), kept[0].len()), (2, 70_000), "what was there is whole, in a file of its own");
    assert!(kept[1].contains("recovered ledger"), "{}", kept[1]);
}
