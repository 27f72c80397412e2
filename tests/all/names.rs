//! Names that are not what they seem: addresses to listen on that nobody can dial, hosts that move, and files whose names
//! are no text.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bazaar::types::Office;
use rustix::process::Signal;

use super::market::{
    Ended, Market, Running, SOON, bazaar, by_hand, copy_tree, run, shell, status, turn, until,
};

#[test]
fn nodes_that_listen_on_all_addresses_find_each_other() {
    let _turn = turn();
    let market = Market::new();
    let everywhere = "0.0.0.0:0";
    let port = |addr: &str| addr.rsplit_once(':').unwrap().1.to_owned();
    let warehouse = by_hand(&market, "warehouse", everywhere, &["warehouse"]);
    let at = format!("127.0.0.1:{}", port(&warehouse.addr));
    let peer = |id: &str, role: &str| {
        let args = ["peer", "--id", id, "--role", role, "--warehouse", &at, "--interval", "5ms"];
        by_hand(&market, &format!("peer-{id}"), everywhere, &args)
    };
    let peers = [peer("6", "idle"), peer("5", "idle"), peer("1", "buyer")];
    until("they trade", SOON, || {
        let report = status(&format!("127.0.0.1:{}", port(&peers[2].addr)))?;
        (report.shopping.bought > 3).then_some(())
    });
    until("both offices are held", SOON, || status(&at)?.roster.paired.then_some(()));
    for addr in [&warehouse.addr, &peers[0].addr, &peers[2].addr] {
        let report = status(&format!("127.0.0.1:{}", port(addr))).unwrap();
        let seats = Office::BOTH.map(|office| report.roster.get(office).unwrap().addr.clone());
        let told: Vec<String> = report.members.into_iter().map(|it| it.addr).chain(seats).collect();
        assert!(told.iter().all(|addr| addr.starts_with("127.0.0.1:")), "{told:?}");
    }
    run(market.cwd(), &["status", "--connect", &at]).expect(0);
}

/// The command, on a machine whose hosts are those of this file. It needs root.
fn with_hosts(hosts: &Path, command: &Command) -> Command {
    let mut elsewhere = Command::new("unshare");
    let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    elsewhere.args(["-m", "sh", "-c", mount]).arg(hosts).arg(command.get_program()).args(command.get_args());
    elsewhere.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    elsewhere
}

/// Otherwise a peer goes on dialing where the warehouse was when the peer was started.
#[test]
fn a_warehouse_that_moves_is_found_under_its_name() {
    let _turn = turn();
    let market = Market::new();
    let (hosts, ready) = (market.cwd().join("hosts"), market.cwd().join("ready"));
    let [a, b] = [fastrand::u8(1..255), fastrand::u8(1..255)];
    let [first, second] = [1, 2].map(|c| format!("127.{a}.{b}.{c}"));
    let moves = |to: &str| fs::write(&hosts, format!("127.0.0.1 localhost\n{to} warehouse.market.invalid\n"));
    moves(&first).unwrap();
    let sees_peer = |at: &str| status(at)?.members.iter().any(|it| it.id.0 == 4).then_some(());

    let warehouse = by_hand(&market, "warehouse", &format!("{first}:9300"), &["warehouse"]);
    let mut peer = bazaar(market.cwd());
    peer.args(["peer", "--id", "4", "--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready);
    peer.args(["--warehouse", "warehouse.market.invalid:9300"]);
    let mut peer = Running::start(with_hosts(&hosts, &peer));
    until("the peer serves", SOON, || {
        assert!(!peer.has_ended() || std::env::var_os("CI").is_none(), "{}", peer.stderr());
        (ready.exists() || peer.has_ended()).then_some(())
    });
    if peer.has_ended() {
        eprintln!("SKIPPED names: hosts cannot be changed without root: {}", peer.stderr());
        return;
    }
    until("the warehouse sees the peer", SOON, || sees_peer(&warehouse.addr));
    warehouse.running.signal(Signal::TERM);
    warehouse.running.wait(SOON).expect(0);
    moves(&second).unwrap();
    let warehouse = by_hand(&market, "warehouse", &format!("{second}:9300"), &["warehouse"]);
    until("the warehouse sees the peer again", SOON, || sees_peer(&warehouse.addr));
}

/// A file name that is no text.
fn odd(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

/// What is in a directory.
fn names(dir: &Path) -> Vec<Vec<u8>> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().as_bytes().to_vec());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// It ended with "invalid URI", and a second directory whose name was text.
#[test]
fn a_market_whose_files_have_names_that_are_no_text_is_like_any_other() {
    let _turn = turn();
    let market = Market::new();
    let cwd = market.cwd();
    copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data"), &cwd.join(odd(b"data\xff")));
    let run = |args: &[&OsStr]| -> Ended {
        let mut command = bazaar(cwd);
        command.args(args);
        Running::start(command).wait(SOON * 2)
    };
    let os = OsStr::new;
    let dir = odd(b"m\xfe arket");
    let up = [
        os("up"),
        os("--base-port"),
        os("0"),
        os("--requests"),
        os("5"),
        os("--json"),
        os("--data-dir"),
        dir,
    ];
    let up = [&up[..], &[os("--config-dir"), odd(b"data\xff")]].concat();
    assert_eq!(run(&up).expect(0).object()["oversold"], 0);
    run(&[os("verify"), os("--data-dir"), dir]).expect(0);
    assert!(run(&[os("dump"), os("ledger"), os("--data-dir"), dir]).expect(0).stdout.contains("sale"));
    run(&[os("backup"), os("--data-dir"), dir, os("--out"), odd(b"b\xff")]).expect(0);
    assert_eq!(names(cwd), [b"b\xff".to_vec(), b"data\xff".to_vec(), b"m\xfe arket".to_vec()]);

    // A hint names such files as a shell takes them.
    let there =
        run(&[os("restore"), os("--from"), odd(b"b\xff"), os("--data-dir"), dir, os("--accept-loss")]);
    let there = there.expect(7);
    shell(cwd, &there.hinted()).expect(0);
    assert_eq!(run(&up).expect(0).object()["oversold"], 0);
    run(&[os("verify"), os("--data-dir"), dir]).expect(0);

    // One node, with a ready file.
    let ready = cwd.join(odd(b"ready\xff"));
    let mut node = bazaar(cwd);
    node.args(["warehouse", "--listen", "127.0.0.1:0", "--data-dir"]).arg(Path::new(dir).join("warehouse"));
    node.arg("--ready-file").arg(&ready).env("BAZAAR_CONFIG_DIR", odd(b"data\xff"));
    let node = Running::start(node);
    until("it serves", SOON, || ready.exists().then_some(()));
    node.signal(Signal::TERM);
    node.wait(SOON).expect(0);
}
