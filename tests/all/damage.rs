//! A stopped node's directory in which something is damaged, gone, or not what it should be.
//!
//! For each name and each damage: the node, `dump` and `verify` say the same, at once; what can be had anew is made anew;
//! for the rest the exit code is 7, one line says what is damaged, and the hint mends it when it is followed to the letter.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::market::{ByHand, Ended, Market, Running, SOON, bazaar, by_hand, copy_tree, shell, turn, until};

/// Damage is found within this: nothing waits for a pipe or reads a device to its end.
const AT_ONCE: Duration = Duration::from_secs(10);

/// What happens to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Missing,
    Empty,
    Cut,
    Flipped,
    Directory,
    Dangling,
    Pipe,
    Device,
}
use Damage::{Cut, Dangling, Device, Directory, Empty, Flipped, Missing, Pipe};

const ALL: [Damage; 8] = [Missing, Empty, Cut, Flipped, Directory, Dangling, Pipe, Device];

/// What a program makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It goes on.
    Fine,
    /// Exit 7, and the hint names a command that begins so.
    Refused(&'static str),
    /// Either, by what the damage hits: a byte of the log may be one that nobody needs.
    Any,
}
use Verdict::{Any, Fine, Refused};

/// What the node makes of it, and what readers do.
fn expected(name: &str, damage: Damage) -> (Verdict, Verdict) {
    let kind = matches!(damage, Directory | Dangling | Pipe | Device);
    let both = |verdict| (verdict, verdict);
    match (name, damage) {
        // The whole directory is replaced.
        ("mark", Cut) => both(Any),
        ("mark", _) => both(Refused("mv bazaar-data/")),
        // What the half that is gone held may not have been needed.
        ("store/db", Flipped | Cut) => both(Any),
        ("store" | "store/db", _) => both(Refused("mv bazaar-data/")),
        // A directory in the place of one.
        ("store/blobs", Directory | Missing) => both(Fine),
        ("store/blobs", _) => both(Refused("mv ")),
        // Only the owner has a use for these.
        ("key" | "ballast", _) if kind => (Refused("mv "), Fine),
        // What is derived moves away alone if it is no file, and is made anew in any case.
        (_, _) if kind => both(Refused("mv ")),
        (_, _) => both(Fine),
    }
}

fn strike(path: &Path, damage: Damage) {
    let is_dir = path.is_dir();
    if matches!(damage, Missing | Directory | Dangling | Pipe | Device) || is_dir {
        let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.unwrap();
    }
    let file = || OpenOptions::new().read(true).write(true).open(path).unwrap();
    match damage {
        Missing => {}
        Empty | Cut | Flipped if is_dir => fs::write(path, "").unwrap(),
        Empty => file().set_len(0).unwrap(),
        Cut => file().set_len(file().metadata().unwrap().len() / 2).unwrap(),
        Flipped => flip(path),
        Directory => fs::create_dir(path).unwrap(),
        Dangling => symlink("nothing-here", path).unwrap(),
        Pipe => {
            let fifo = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path, fifo, 0o600.into(), 0).unwrap();
        }
        Device => symlink("/dev/zero", path).unwrap(),
    }
}

/// In both slots of a mark, in the middle of anything else.
fn flip(path: &Path) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let at = if path.ends_with("mark") { vec![20, 4096 + 20] } else { vec![length / 2] };
    for at in at.into_iter().filter(|at| *at < length) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }
}

/// A market that was killed in the middle of its trade, with a backup of it.
struct Killed {
    market: Market,
    saved: PathBuf,
}

impl Killed {
    fn new() -> Killed {
        let market = Market::new();
        let up = market.start(&["--buyers", "1", "--sellers", "1", "--interval", "2ms"]);
        up.wait_for_pair();
        let rows = up.ledger_seq();
        up.wait_for_rows(rows + 100);
        // Both slots of each mark are there: a store that is gone is missed.
        for node in ["warehouse", "peer-1"] {
            let marked =
                || fs::read(market.node_dir(node).join("mark")).ok().filter(|mark| mark.starts_with(&[1]));
            until("a second mark", SOON, marked);
        }
        market.run(&["backup", "--out", "b"]).expect(0);
        up.kill_all();
        let saved = market.cwd().join("saved");
        copy_tree(&market.dir(), &saved);
        Killed { market, saved }
    }

    /// As it was right after the kill, and nothing else there.
    fn back(&self) {
        for entry in fs::read_dir(self.market.cwd()).unwrap().map(Result::unwrap) {
            let (name, path) = (entry.file_name(), entry.path());
            if name == "b" || name == "saved" {
                continue;
            }
            let is_dir = path.symlink_metadata().unwrap().is_dir();
            let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.unwrap();
        }
        copy_tree(&self.saved, &self.market.dir());
    }

    fn place(&self, node: &str, name: &str) -> PathBuf {
        let dir = self.market.node_dir(node);
        if name != "store/snap" {
            return dir.join(name);
        }
        let names = fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
        let snap = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("snap.");
        names.filter(snap).max().expect("a snapshot")
    }

    /// Starts a node and says how that went: it serves, or it ended.
    fn start(&self, node: &str, warehouse: Option<&str>) -> Option<Ended> {
        let ready = self.market.cwd().join("ready");
        let _ = fs::remove_file(&ready);
        let mut command = bazaar(self.market.cwd());
        let id = node.strip_prefix("peer-").unwrap_or_default();
        match warehouse {
            None => command.arg("warehouse"),
            Some(addr) => command.args(["peer", "--id", id, "--warehouse", addr]),
        };
        command.arg("--data-dir").arg(format!("bazaar-data/{node}"));
        command.args(["--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready);
        let mut running = Running::start(command);
        let ended = until("it serves or ends", AT_ONCE, || match running.has_ended() {
            true => Some(true),
            false => ready.exists().then_some(false),
        });
        if ended {
            return Some(running.wait(AT_ONCE));
        }
        running.signal(Signal::KILL);
        running.wait(AT_ONCE);
        None
    }
}

/// In words for people, and within the time that they wait.
#[track_caller]
fn is_said_well(case: &str, ended: &Ended) {
    for word in ["backtrace", "panicked", "Os {", "[0,", "sled", "mend rights"] {
        assert!(!ended.stderr.contains(word), "{case}: {word:?} in\n{}", ended.stderr);
    }
    let errors = ended.said().lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{case}:\n{}", ended.stderr);
}

#[track_caller]
fn judge(case: &str, expected: Verdict, ended: Option<&Ended>) {
    match (expected, ended) {
        (Any | Fine, None) => {}
        (Any | Refused(_), Some(ended)) => {
            assert_eq!(ended.code, 7, "{case}:\n{}", ended.stderr);
            is_said_well(case, ended);
            let begins = if let Refused(begins) = expected { begins } else { "" };
            assert!(ended.hinted().starts_with(begins), "{case}:\n{}", ended.stderr);
        }
        (Fine, Some(ended)) => panic!("{case}: exit {}\n{}", ended.code, ended.stderr),
        (Refused(_), None) => panic!("{case}: went on"),
    }
}

fn table(killed: &Killed, node: &str, names: &[&str], damages: &[Damage], warehouse: Option<&str>) {
    for (name, damage) in names.iter().flat_map(|name| damages.iter().map(move |damage| (*name, *damage))) {
        let case = format!("{node}/{name} {damage:?}");
        killed.back();
        strike(&killed.place(node, name), damage);
        let (of_node, of_readers) = expected(name, damage);
        for reader in [&["dump", "meta"][..], &["verify"]] {
            let began = Instant::now();
            let dir = format!("bazaar-data/{node}");
            let ended = killed.market.run(&[reader, &["--data-dir", &dir]].concat());
            assert!(began.elapsed() < AT_ONCE, "{case}: {reader:?} took {:?}", began.elapsed());
            let refused = (ended.code == 7).then_some(&ended);
            // Over a damaged log a reader may say what it found instead.
            let found = of_readers == Any && [5, 6].contains(&ended.code);
            assert!(ended.code == 0 || refused.is_some() || found, "{case}: {reader:?} {ended:?}");
            judge(&format!("{case}: {reader:?}"), of_readers, refused);
        }
        let began = killed.start(node, warehouse);
        judge(&format!("{case}: its start"), of_node, began.as_ref());
        mended(killed, &case, node, began, warehouse);
    }
}

/// Follows the hints to the letter until the node serves.
fn mended(killed: &Killed, case: &str, node: &str, mut refused: Option<Ended>, warehouse: Option<&str>) {
    let mut typed = Vec::new();
    while let Some(ended) = refused {
        typed.push(ended.hinted());
        assert!(typed.len() < 4, "{case}: hints that do not mend: {typed:?}\n{}", ended.stderr);
        let done = shell(killed.market.cwd(), &typed[typed.len() - 1]);
        assert_eq!(done.code, 0, "{case}: {typed:?}\n{}", done.stderr);
        refused = killed.start(node, warehouse);
    }
    let dir = format!("bazaar-data/{node}");
    let verified = killed.market.run(&["verify", "--data-dir", &dir]);
    assert_eq!(verified.code, 0, "{case}: {typed:?}\n{}{}", verified.stdout, verified.stderr);
}

#[test]
fn a_warehouses_directory_with_any_name_damaged_is_mended_by_itself_or_by_its_hint() {
    let _turn = turn();
    let killed = Killed::new();
    let names = [
        "node.json",
        "mark",
        "key",
        "ballast",
        "store",
        "store/db",
        "store/conf",
        "store/snap",
        "store/blobs",
    ];
    table(&killed, "warehouse", &names, &ALL, None);
}

#[test]
fn up_says_what_is_no_file_or_no_store_and_its_hint_mends_it() {
    let _turn = turn();
    let killed = Killed::new();
    let up = ["--buyers", "1", "--sellers", "1", "--requests", "1"];
    for (name, damage, said) in [
        ("warehouse/log", Pipe, "warehouse/log is no file"),
        ("peer-1/log", Directory, "peer-1/log is no file"),
        ("warehouse/store", Dangling, "the warehouse's is gone"),
        ("warehouse/store", Empty, "the warehouse's is gone"),
        ("warehouse/store/db", Missing, "store/db: it is gone"),
        ("peer-1/store/db", Pipe, "store/db is a pipe, not a file"),
    ] {
        killed.back();
        strike(&killed.market.dir().join(name), damage);
        let began = Instant::now();
        let refused = killed.market.up(&up).refused(7, said);
        assert!(began.elapsed() < AT_ONCE, "{name}: {:?}", began.elapsed());
        is_said_well(name, &refused);
        shell(killed.market.cwd(), &refused.hinted()).expect(0);
        killed.market.up(&up).expect(0);
    }
}

/// What a killed warehouse had stored is in its log, whatever happens to the snapshot of it.
#[test]
fn a_killed_markets_snapshots_damaged_anywhere_cost_no_row() {
    let _turn = turn();
    let killed = Killed::new();
    let whole = |killed: &Killed, node: &str, view: &str| {
        killed.market.dump_text(view, &killed.market.node_dir(node))
    };
    for (node, view) in [("warehouse", "ledger"), ("peer-1", "orders"), ("peer-4", "queue")] {
        killed.back();
        let before = whole(&killed, node, view);
        let length = fs::metadata(killed.place(node, "store/snap")).unwrap().len();
        for at in (0..length).step_by(length.div_ceil(12) as usize) {
            killed.back();
            let file =
                OpenOptions::new().read(true).write(true).open(killed.place(node, "store/snap")).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[!byte[0]], at).unwrap();
            assert_eq!(whole(&killed, node, view), before, "{node} {at}");
            assert!(node != "warehouse" || killed.start(node, None).is_none(), "it starts on it");
            assert!(node == "peer-4" || whole(&killed, node, view).starts_with(&before), "{node} {at}");
        }
        killed.market.run(&["verify"]).expect(0);
    }
}

#[test]
fn a_peers_directory_with_any_name_damaged_is_mended_by_itself_or_by_its_hint() {
    let _turn = turn();
    let killed = Killed::new();
    let names = ["node.json", "mark", "store", "store/db", "store/conf", "store/snap"];
    // It serves from elsewhere, so that the peer's market can be put back as it was.
    let elsewhere = Market::new();
    copy_tree(&killed.saved.join("warehouse"), &elsewhere.node_dir("warehouse"));
    let ByHand { addr, running } = by_hand(&elsewhere, "warehouse", "127.0.0.1:0", &["warehouse"]);
    table(&killed, "peer-1", &names, &[Missing, Empty, Flipped, Directory, Pipe], Some(&addr));
    running.signal(Signal::TERM);
    running.wait(SOON).expect(0);
}
