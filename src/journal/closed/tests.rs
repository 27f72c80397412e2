use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use tempfile::TempDir;

use super::super::testing::{Count, Counts, add, birth, never, step, until};
use super::super::{
    MemoryDisk, Offline, Recovered, Sealing, Tip, mark, open_as_closed, open_copy, open_sealing, whole,
};
use super::*;
use crate::model::fold::Fold as _;
use crate::types::{Number, OrderId, PeerId};

fn reopen(node: &Path) -> Recovered<Counts> {
    let sealing = Sealing { bytes: 2 << 10, keep: None };
    open_sealing(node, Some(birth()), Some("test"), "127.0.0.1:0", sealing, never()).unwrap()
}

/// One more life, with segments, a checkpoint, and blocks behind it; closed.
fn live(node: &Path) {
    let Recovered { mut journal, mut state, .. } = reopen(node);
    for at in 1..=6 {
        let records: Vec<Count> = (0..900).map(|k| add(k % 40, at)).collect();
        state.take(at, &records);
        journal.stage(step(records, at));
        if at < 5 {
            journal.checkpoint(state.parts());
            until("a checkpoint", || journal.stats().checkpoints >= at);
        }
    }
    journal.put_meta("home", vec![1, 2]);
    journal.close().unwrap();
    until("the store is let go", || open_copy(node).is_ok());
}

fn lived() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let node = dir.path().join("node");
    // A segment that is being made when the node is closed is not waited for.
    until("some of it is sealed", || {
        live(&node);
        open_copy(&node).unwrap().sealed_to() > Seq(0)
    });
    (dir, node)
}

/// Whether the file stands for the store.
fn stands(node: &Path) -> bool {
    let mark = mark::read(&node.join("mark")).unwrap().unwrap();
    let stands = open(&node.join("store"), (mark.seq, mark.hash)).is_some();
    // Only an index says where something may be.
    let order = OrderId { peer: PeerId(1), number: Number(1) };
    let spans = open_as_closed(node, &[]).unwrap().spans_of(order).unwrap();
    assert_eq!(stands, spans.last().is_none_or(|(_, last)| *last != Seq(u64::MAX)));
    stands
}

/// All that a reader may ask.
fn content(read: &Offline) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, Counts, Tip, String) {
    let blocks: Vec<_> = read.blocks(Seq(1)).map(Result::unwrap).collect();
    let back: Vec<_> = read.blocks_back(Seq(u64::MAX)).map(Result::unwrap).collect();
    let folded = read.folded::<Counts>(Seq(u64::MAX)).unwrap().unwrap();
    let facts = format!("{:?} {:?} {:?} {}", read.meta, read.mark, read.checkpoint, read.sealed_to());
    (blocks, back, folded.state, folded.tip, facts)
}

fn is_the_store(node: &Path) {
    let (closed, copied) = (open_as_closed(node, &[]).unwrap(), open_copy(node).unwrap());
    assert_eq!(content(&closed), content(&copied));
    for at in [1, 899, 901, 3_000] {
        let of = |read: &Offline| read.folded::<Counts>(Seq(at)).unwrap().unwrap().state;
        assert_eq!((of(&closed), of(&closed).last), (of(&copied), Seq(at)));
    }
}

#[test]
fn a_closed_store_is_read_as_it_is() {
    let (_dir, node) = lived();
    assert!(stands(&node));
    let read = open_copy(&node).unwrap();
    assert!(read.sealed_to() > Seq(0) && read.checkpoint.is_some(), "segments, a checkpoint");
    assert!(read.mark.unwrap().0 > read.checkpoint.as_ref().unwrap().seq, "and blocks behind it");
    assert_eq!(read.meta.extra["home"], [1, 2]);
    is_the_store(&node);
}

/// Each life ends with a file of its own, and none is there while one goes on, or after a kill.
#[test]
fn the_owner_removes_the_file_before_it_begins() {
    let (_dir, node) = lived();
    let before = fs::read(path(&node.join("store"))).unwrap();
    let running = reopen(&node);
    assert!(!path(&node.join("store")).exists());
    drop(running);
    until("the store is let go", || open_copy(&node).is_ok());
    assert!(!stands(&node));
    is_the_store(&node);
    live(&node);
    assert!(stands(&node));
    assert_ne!(fs::read(path(&node.join("store"))).unwrap(), before);
    is_the_store(&node);
    // An outdated one of the same node says nothing.
    fs::write(path(&node.join("store")), before).unwrap();
    assert!(!stands(&node));
    is_the_store(&node);
}

/// A file that was being written is none, and goes at the next start.
#[test]
fn a_half_written_file_is_none() {
    let (_dir, node) = lived();
    let (whole, aside) = (path(&node.join("store")), node.join("store").join("closed.generating"));
    let bytes = fs::read(&whole).unwrap();
    fs::remove_file(&whole).unwrap();
    fs::write(&aside, &bytes[..bytes.len() / 2]).unwrap();
    assert!(!stands(&node));
    is_the_store(&node);
    drop(reopen(&node));
    assert!(!aside.exists() && !whole.exists());
}

#[test]
fn a_damaged_file_is_passed_over() {
    let (_dir, node) = lived();
    let file = path(&node.join("store"));
    let bytes = fs::read(&file).unwrap();
    let mark = mark::read(&node.join("mark")).unwrap().unwrap();
    let opens = || open(&node.join("store"), (mark.seq, mark.hash)).is_some();
    for at in (0..bytes.len()).step_by(29).chain(0..HEAD_BYTES) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&file, damaged).unwrap();
        assert!(!opens(), "byte {at}");
    }
    for length in [0, 1, HEAD_BYTES - 1, HEAD_BYTES, bytes.len() - 1] {
        fs::write(&file, &bytes[..length]).unwrap();
        assert!(!opens(), "{length} bytes");
        is_the_store(&node);
    }
    fs::write(&file, [&bytes[..], &[0]].concat()).unwrap();
    assert!(!opens(), "a byte more");
    fs::write(&file, &bytes).unwrap();
    assert!(opens());
    drop(reopen(&node));
}

/// What happened to sled's file later is not hidden.
#[test]
fn a_store_that_was_touched_is_read_itself() {
    let (_dir, node) = lived();
    let db = node.join("store").join("db");
    let file = OpenOptions::new().read(true).write(true).open(&db).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 1_000).unwrap();
    let mark = mark::read(&node.join("mark")).unwrap().unwrap();
    assert!(open(&node.join("store"), (mark.seq, mark.hash)).is_none());
    let said = |read: Result<Offline, _>| match read {
        Ok(read) => read.blocks(Seq(1)).filter(Result::is_ok).count().to_string(),
        Err(error) => format!("{error}"),
    };
    assert_eq!(said(open_as_closed(&node, &[])), said(open_copy(&node)));
}

#[test]
fn a_longer_file_of_the_same_time_is_another() {
    let (_dir, node) = lived();
    let db = node.join("store").join("db");
    let file = OpenOptions::new().append(true).open(&db).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    file.set_len(file.metadata().unwrap().len() + 1).unwrap();
    file.set_modified(time).unwrap();
    let mark = mark::read(&node.join("mark")).unwrap().unwrap();
    assert!(open(&node.join("store"), (mark.seq, mark.hash)).is_none());
}

/// A copy with its times is as good; one without is read itself.
#[test]
fn a_copied_directory_is_read_with_or_without_its_times() {
    let (dir, node) = lived();
    for keeps in [true, false] {
        let copy = dir.path().join(format!("copy-{keeps}"));
        copy_dir(&node, &copy, keeps);
        assert_eq!(stands(&copy), keeps);
        is_the_store(&copy);
    }
}

fn copy_dir(from: &Path, to: &Path, keeps_times: bool) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &place, keeps_times);
            continue;
        }
        fs::copy(entry.path(), &place).unwrap();
        let time = entry.metadata().unwrap().modified().unwrap();
        let time = if keeps_times { time } else { time + Duration::from_nanos(1) };
        File::options().write(true).open(&place).unwrap().set_modified(time).unwrap();
    }
}

/// A mark that says more than the file is of another life.
#[test]
fn another_mark_needs_the_store() {
    let (_dir, node) = lived();
    let mark = mark::read(&node.join("mark")).unwrap().unwrap();
    let store = node.join("store");
    assert!(open(&store, (mark.seq, mark.hash)).is_some());
    assert!(open(&store, (mark.seq.next(), mark.hash)).is_none());
    assert!(open(&store, (mark.seq, Hash::of(b"another"))).is_none());
}

#[test]
fn what_is_too_large_is_not_written() {
    let disk = MemoryDisk::new();
    let store = whole(disk.open().reader()).unwrap();
    let made = |most| image::<Count>(&*store, Tree::Ledger, most).unwrap();
    assert!(made(0).is_some(), "there is nothing");
    disk.open().put(Tree::Inventory, &[1], &[7; 100]).unwrap();
    assert!(made(100).is_none() && made(101).is_some());
    let mut writer = super::super::ChainWriter::new(Tip::default());
    let put = |first: Seq, block: &[u8]| disk.open().put(Tree::Ledger, &first.0.to_be_bytes(), block);
    writer.write(&vec![add(1, 1); 400], crate::types::WallMicros(1), put).unwrap();
    assert!(made(101).is_none() && made(1 << 20).is_some());
}

/// Damage that changes neither length nor time is found by who reads the store itself, as `verify` does.
#[test]
fn who_checks_a_store_does_not_read_the_file() {
    let (_dir, node) = lived();
    let whole = content(&open_copy(&node).unwrap());
    let db = OpenOptions::new().write(true).open(node.join("store").join("db")).unwrap();
    let (length, time) = (db.metadata().unwrap().len(), db.metadata().unwrap().modified().unwrap());
    db.write_all_at(&vec![0; length as usize], 0).unwrap();
    db.set_modified(time).unwrap();
    assert!(stands(&node));
    assert_eq!(content(&open_as_closed(&node, &[]).unwrap()), whole);
    for read in [open_copy(&node), super::super::open_with_archives(&node, &[])] {
        assert!(read.is_err(), "sled's file is zeros");
    }
}
