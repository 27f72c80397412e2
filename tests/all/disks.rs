//! Bad disks: full with and without a warning, syncs that fail, syncs that do not come back. A node refuses in time, or
//! ends and says why; whatever it had said before is there when it starts again.
//!
//! Full disks are small ones (tmpfs), mounted in a mount namespace of their own, which needs root; syncs are failed and
//! delayed by strace. Where either cannot be had a test says that it was skipped, and fails where `CI` is set.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bazaar::types::{Generation, Hash, PeerId};
use bazaar::wire::client::Node;
use tempfile::TempDir;

use super::by_hand::{ByHand, PEERS, QUICK, WAREHOUSE, name};
use super::market::{SOON, block_on, until};

/// Ballast, low-water mark, and some room above them.
const DISK_MIB: u64 = 96;

fn skipped(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}: bad disks cannot be tested");
    eprintln!("SKIPPED disks: {what}");
}

/// A small disk, which its mount namespace keeps; gone with the process that holds that.
struct Disk {
    holder: Child,
    _place: TempDir,
    path: PathBuf,
}

impl Disk {
    fn new() -> Option<Disk> {
        let place = tempfile::tempdir().unwrap();
        let mount = format!("mount -t tmpfs -o size={DISK_MIB}m tmpfs \"$0\" && echo mounted && exec cat");
        let holder = Command::new("unshare")
            .args(["-m", "sh", "-c", &mount])
            .arg(place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut holder) = holder else {
            skipped("there is no unshare");
            return None;
        };
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let path = PathBuf::from(format!("/proc/{}/root{}", holder.id(), place.path().display()));
        let disk = Disk { holder, _place: place, path };
        if line.trim() == "mounted" {
            return Some(disk);
        }
        skipped("a disk cannot be mounted without root");
        None
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.path).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Fills it until this much is left.
    fn fill(&self, left: u64) {
        let mut filler = File::options().append(true).create(true).open(self.path.join("filler")).unwrap();
        while self.free() > left {
            let bytes = (self.free() - left).min(1 << 20) as usize;
            if filler.write_all(&vec![1; bytes.max(1)]).is_err() {
                break;
            }
        }
    }

    fn clear(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It ends when its input does, too, however this process ends.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A market under load, one node of which has its store on a small disk.
fn on_a_small_disk(id: u32) -> Option<(ByHand, Disk)> {
    let disk = Disk::new()?;
    let mut hands = ByHand::empty(&[]);
    let store = disk.path.join("node");
    fs::create_dir(&store).unwrap();
    fs::create_dir_all(hands.market.dir()).unwrap();
    std::os::unix::fs::symlink(store, hands.dir(id)).unwrap();
    hands.start_in_order();
    Some((hands, disk))
}

/// Fills a node's disk to below the low-water mark, and frees it again.
fn full_and_freed(id: u32, refused: &str) {
    let Some((hands, disk)) = on_a_small_disk(id) else { return };
    let what = format!("disk of {} full and freed", name(id));
    disk.fill(20 << 20);
    until("it says that its disk is almost full", SOON, || {
        let report = hands.status(id)?;
        (report.disk_low && report.health.contains("disk almost full")).then_some(())
    });
    // Peer 2 trades with 6, which settles with the warehouse: if either disk is full, the peer is refused.
    until("orders are refused", SOON, || {
        PEERS.iter().any(|peer| hands.log(*peer).contains(refused)).then_some(())
    });
    let answered = hands.status(2).unwrap().shopping.answered;
    let dir = hands.dir(id);
    hands.market.run(&["dump", "--data-dir", dir.to_str().unwrap()]).expect(0);
    let late = hands.status(2).unwrap().shopping.answered;
    assert!(late - answered < 5, "peer 2 trades on a full disk: {answered} {late}");
    let freed = Instant::now();
    disk.clear();
    let took = hands.trade_goes_on(&what, freed);
    assert!(!hands.status(id).unwrap().disk_low);
    hands.ends_well(&what, took);
}

#[test]
fn a_traders_disk_is_full_and_freed() {
    full_and_freed(6, "not taken");
}

#[test]
fn the_warehouses_disk_is_full_and_freed() {
    full_and_freed(WAREHOUSE, "a batch was not taken");
}

/// Rows for a warehouse that takes no orders. What its store had room for already must be full, too.
async fn open_sessions(warehouse: &str) {
    let Ok(node) = Node::connect(warehouse, SOON).await else { return };
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let (node, store) = (node.clone(), Hash::of(&fastrand::u64(..).to_be_bytes()));
        opening.spawn(async move { node.open(PeerId(0), store, "", Generation::default()).await.is_ok() });
    }
    opening.join_all().await;
}

/// Fills a node's disk to the last byte, so that its store cannot write: it ends; comes back on its ballast; and trades
/// when there is room.
fn full_to_the_last_byte(id: u32) {
    let Some((mut hands, disk)) = on_a_small_disk(id) else { return };
    let what = format!("disk of {} full to the last byte", name(id));
    disk.fill(0);
    let addr = hands.addr(WAREHOUSE);
    until("the node ends", SOON, || {
        if id == WAREHOUSE {
            block_on(open_sessions(&addr));
        }
        hands.has_ended(id).then_some(())
    });
    let ended = hands.end_of(id).expect(1);
    // After a failed write sled's flush may never come back: then the watchdog ends the process.
    let why =
        ["No space left on device", "the disk does not answer: a write or sync takes over 10s; it is full"];
    assert!(why.iter().any(|why| ended.stderr.contains(why)), "{}", ended.stderr);
    assert!(hands.dir(id).join("ballast").exists());
    hands.start(&[id]);
    assert!(!hands.dir(id).join("ballast").exists(), "it lives on what it had set aside");
    assert!(hands.status(id).unwrap().disk_low);
    let freed = Instant::now();
    disk.clear();
    let took = hands.trade_goes_on(&what, freed);
    hands.wait_for_pair();
    hands.ends_well(&what, took);
}

#[test]
fn a_traders_disk_is_full_to_the_last_byte() {
    full_to_the_last_byte(6);
}

#[test]
fn the_warehouses_disk_is_full_to_the_last_byte() {
    full_to_the_last_byte(WAREHOUSE);
}

/// strace at a running process, doing `inject` to its syncs; its trace is in the file.
fn inject(hands: &ByHand, id: u32, inject: &str) -> Option<(Child, PathBuf)> {
    let trace = hands.market.cwd().join(format!("{}.trace", name(id)));
    let strace = Command::new("strace")
        .args(["-f", "-e", "trace=fsync,fdatasync", "-e", &format!("inject=fsync,fdatasync:{inject}"), "-p"])
        .arg(hands.pid(id).to_string())
        .arg("-o")
        .arg(&trace)
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut strace) = strace else {
        skipped("strace is not installed");
        return None;
    };
    let mut line = String::new();
    BufReader::new(strace.stderr.take().unwrap()).read_line(&mut line).unwrap();
    if line.contains("attached") {
        return Some((strace, trace));
    }
    strace.wait().unwrap();
    skipped(&format!("strace may not attach: {line}"));
    None
}

#[test]
fn a_node_whose_sync_fails_ends_and_never_tries_again() {
    let mut hands = ByHand::trading(&[]);
    for id in [6, WAREHOUSE] {
        let failed = Instant::now();
        let Some((mut strace, trace)) = inject(&hands, id, "error=EIO:when=1") else { return };
        let ended = hands.end_of(id).expect(1);
        strace.wait().unwrap();
        assert!(ended.stderr.contains("Input/output error"), "{}", ended.stderr);
        let trace = fs::read_to_string(trace).unwrap();
        let syncs: Vec<&str> = trace.lines().filter(|line| line.contains("sync(")).collect();
        assert!(
            syncs.len() == 1 && syncs[0].contains("INJECTED"),
            "no sync after the one that failed: {trace}"
        );
        hands.start(&[id]);
        let took = hands.trade_goes_on("a failed sync", failed);
        eprintln!("worst day: a sync of {} failed: trade went on after {} ms", name(id), took.as_millis());
        hands.wait_for_pair();
    }
    let took = hands.trade_goes_on("two failed syncs", Instant::now());
    hands.ends_well("a sync of a trader and one of the warehouse failed", took);
}

#[test]
fn a_trader_whose_sync_hangs_falls_silent_and_is_fenced() {
    let mut hands = ByHand::trading(&QUICK);
    let hung = Instant::now();
    let Some((mut strace, _)) = inject(&hands, 6, "delay_enter=40000000") else { return };
    until("the hung trader is fenced", SOON, || (hands.roster()?.primary?.peer == PeerId(5)).then_some(()));
    assert!(!hands.has_ended(6), "it is fenced while it hangs");
    let took = hands.trade_goes_on("a hung disk", hung);
    until("it says why it ends", SOON, || hands.log(6).contains("the disk does not answer").then_some(()));
    // A thread that strace delays is not gone before strace is.
    strace.kill().unwrap();
    strace.wait().unwrap();
    hands.end_of(6).expect(1);
    let end = hung.elapsed().as_secs();
    assert!((10..20).contains(&end), "it ended after {end} s");
    hands.start(&[6]);
    hands.wait_for_pair();
    let market = hands.ends_well(&format!("a sync of the primary hung, it ended itself after {end} s"), took);
    assert!(ByHand::rows(&market, "fence").iter().any(|row| row["trader"] == 6 && row["by"] != 6));
}
