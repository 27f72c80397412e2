use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::block::{Block, Tip};
use super::super::store::{Pair, StoreError, StoreRead};
use super::super::testing::{Count, Counts, Part, add, birth, caught, never, step, until};
use super::super::{HandTime, MemoryDisk, Pump, RealTime, Recovered, Setup, Survive, start, start_by_hand};
use super::*;
use crate::model::fold::{Fold, Stored as _, Tree};
use crate::types::{Seq, WallMicros};

fn open(disk: &MemoryDisk) -> (Recovered<Counts>, Pump<Counts>) {
    open_and_keep(disk, None)
}

fn open_and_keep(disk: &MemoryDisk, keep: Option<Keep>) -> (Recovered<Counts>, Pump<Counts>) {
    let (dir, birth, mark, time) = ("memory".into(), Some(birth()), Some(disk.mark()), HandTime::default());
    let (sealing, time) = (Sealing { bytes: 2 << 10, keep }, Arc::new(time));
    let setup = Setup { dir, birth, key: None, expect_cluster: None, mark, sealing, time, fatal: never() };
    start_by_hand(disk.open(), setup).unwrap()
}

fn counts(rows: u16, at: u64) -> Vec<Count> {
    (0..rows).map(|k| add(k % 20, at)).collect()
}

/// Writes `steps` steps of `rows` rows with a checkpoint after each.
fn write(disk: &MemoryDisk, steps: u64, rows: u16) -> Counts {
    let (Recovered { mut journal, state: mut live, .. }, mut pump) = open(disk);
    for at in 1..=steps {
        let records = counts(rows, at);
        live.take(at, &records);
        journal.stage(step(records, at));
        journal.checkpoint(live.parts());
        while pump.write_group().unwrap() {}
    }
    pump.close().unwrap();
    live
}

fn sealed(disk: &MemoryDisk) -> Arc<Directory> {
    whole(disk.open().reader()).unwrap().sealed()
}

fn rows_of(disk: &MemoryDisk, bytes_max: usize) -> Vec<(Seq, Vec<u8>)> {
    let (store, mut rows, mut from) = (whole(disk.open().reader()).unwrap(), Vec::new(), Seq(1));
    loop {
        let blocks = store.scan(Tree::Ledger, &from.0.to_be_bytes(), bytes_max).unwrap();
        let Some((_, last)) = blocks.last() else { return rows };
        from = super::super::BlockHeader::peek(last).unwrap().last().next();
        rows.extend(blocks.into_iter().map(|(key, block)| (super::super::store::key_seq(&key), block)));
    }
}

#[test]
fn the_older_part_goes_into_segments_and_the_log_stays_whole() {
    let (moved, kept) = (MemoryDisk::new(), MemoryDisk::new());
    let live = write(&moved, 12, 300);
    let part = sealed(&moved).part();
    assert!(part.first == Seq(1) && part.end.seq >= Seq(9 * 300), "{part:?}");
    let in_trees = moved.open().reader().scan(Tree::Ledger, &[], usize::MAX).unwrap();
    assert_eq!(in_trees.len() as u64, 12 - part.end.block);
    let (Recovered { state, recovery, .. }, _) = open(&moved);
    assert_eq!((state, recovery.first, recovery.last), (live, Seq(1), Seq(3_600)));
    // The same steps without segments give the same blocks.
    let (Recovered { mut journal, .. }, mut pump) = open(&kept);
    for at in 1..=12 {
        journal.stage(step(counts(300, at), at));
        while pump.write_group().unwrap() {}
    }
    pump.close().unwrap();
    assert_eq!(sealed(&kept).last(), Seq(0));
    for bytes_max in [1, 3_000, 1 << 20] {
        assert_eq!(rows_of(&moved, bytes_max), rows_of(&kept, bytes_max));
    }
    let (moved, kept) = (whole(moved.open().reader()).unwrap(), whole(kept.open().reader()).unwrap());
    for seq in (0..3_700_u64).step_by(7) {
        let key = seq.to_be_bytes();
        assert_eq!(moved.floor(Tree::Ledger, &key), kept.floor(Tree::Ledger, &key), "{seq}");
        assert_eq!(moved.get(Tree::Ledger, &key), kept.get(Tree::Ledger, &key), "{seq}");
        let behind = [&key[..], &[0]].concat();
        let (one, other) = (moved.scan(Tree::Ledger, &behind, 1), kept.scan(Tree::Ledger, &behind, 1));
        assert_eq!(one.unwrap().first(), other.unwrap().first(), "{seq}");
    }
}

#[test]
fn a_segment_has_the_state_at_its_end() {
    let disk = MemoryDisk::new();
    write(&disk, 12, 900);
    let directory = sealed(&disk);
    assert_eq!(directory.state_before(Seq(899)).unwrap(), None);
    let (tip, state) = directory.state_before(Seq(9_999)).unwrap().unwrap();
    let mut folded = Counts::default();
    for (_, chunks) in state {
        for chunk in chunks {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                folded.restore(super::super::codec::decode_first(&mut rest).unwrap());
            }
        }
    }
    let mut expected = Counts::default();
    (1..=tip.seq.0 / 900).for_each(|at| expected.take(at, &counts(900, at)));
    assert_eq!(folded, expected);
    assert!(tip.seq.0 > 900 && tip.seq.0 % 900 == 0, "{tip:?}");
}

/// A question about a row in the midst of a long segment is folded from near by.
#[test]
fn a_long_segment_has_states_on_its_way() {
    let (disk, mut live) = (MemoryDisk::new(), Counts::default());
    let (Recovered { mut journal, .. }, mut pump) = open(&disk);
    let long = || Count::Note(vec![7; 12 << 10]);
    let mut expected = Vec::new();
    for at in 1..=10 {
        let records: Vec<Count> = (0..100).map(|_| long()).collect();
        for record in &records {
            live.take(at, std::slice::from_ref(record));
            expected.push(live.clone());
        }
        journal.stage(step(records, at));
        while pump.write_group().unwrap() {}
    }
    journal.checkpoint(live.parts());
    while pump.write_group().unwrap() {}
    pump.close().unwrap();
    let directory = sealed(&disk);
    assert_eq!(disk.open().reader().files().names().unwrap().len(), 1);
    let mut tips = Vec::new();
    for at in 1..=live.last.0 {
        let Some((tip, state)) = directory.state_before(Seq(at)).unwrap() else { continue };
        let mut folded = Counts::default();
        parts_of::<Counts>(&state).unwrap().into_iter().for_each(|(_, part)| folded.restore(part));
        assert_eq!(folded, expected[tip.seq.0 as usize - 1], "{at}");
        assert!(tip.seq <= Seq(at));
        tips.push(tip.seq.0);
    }
    tips.dedup();
    assert!(tips.len() >= 3 && tips.last() == Some(&live.last.0), "{tips:?}");
    assert!(tips.windows(2).all(|pair| pair[1] - pair[0] < 400), "{tips:?}");
    directory.read_all().unwrap();
}

/// What the next segment begins with is known: the one before has the state at its end, wherever it was cut.
#[test]
fn a_segment_that_does_not_reach_the_checkpoint_has_its_state() {
    let (disk, mut live) = (MemoryDisk::new(), Counts::default());
    let (Recovered { mut journal, .. }, mut pump) = open(&disk);
    for at in 1..=30 {
        let records: Vec<Count> = (0..100).map(|_| Count::Note(vec![7; 14 << 10])).collect();
        live.take(at, &records);
        journal.stage(step(records, at));
        while pump.write_group().unwrap() {}
    }
    journal.checkpoint(live.parts());
    while pump.write_group().unwrap() {}
    pump.close().unwrap();
    let directory = sealed(&disk);
    let names = disk.open().reader().files().names().unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
    let first: u64 = names[0].split('-').nth(1).unwrap().parse().unwrap();
    let (tip, state) = directory.state_before(Seq(first)).unwrap().unwrap();
    assert_eq!(tip.seq, Seq(first));
    let mut folded = Counts::default();
    parts_of::<Counts>(&state).unwrap().into_iter().for_each(|(_, part)| folded.restore(part));
    assert_eq!(folded.notes, first);
}

/// At each event of a life with segments: the power goes, or the process is killed, and all that was published is there.
#[test]
fn a_cut_at_any_moment_leaves_the_log_whole() {
    let disk = MemoryDisk::new();
    disk.record();
    write(&disk, 6, 200);
    let events = disk.events();
    assert!(events.contains(&super::super::DiskEvent::File));
    let mut marked = Seq(0);
    for at in 0..=events.len() {
        if let Some(super::super::DiskEvent::Mark(seq)) = at.checked_sub(1).map(|at| &events[at]) {
            marked = *seq;
        }
        for survive in [Survive::None, Survive::First(1), Survive::Some(at as u64)] {
            let cut = disk.power_cut_at(at, survive);
            let (Recovered { state, recovery, .. }, pump) = open(&cut);
            drop(pump);
            assert!(recovery.last >= marked);
            let mut expected = Counts::default();
            let mut left = recovery.last.0;
            for at in 1.. {
                let take = left.min(200);
                if take == 0 {
                    break;
                }
                expected.take(at, &counts(take as u16, at));
                left -= take;
            }
            assert_eq!(state, expected, "after event {at} of {}, {survive:?}", events.len());
            let rows: Vec<Seq> = rows_of(&cut, 1 << 20).into_iter().map(|(seq, _)| seq).collect();
            assert!(rows.is_sorted() && rows.first().is_none_or(|first| *first == Seq(1)));
            // What the start left is the same after the next one.
            assert_eq!(open(&cut.power_cut(Survive::None)).0.recovery.last, recovery.last);
        }
    }
}

#[test]
fn a_segment_that_is_gone_or_damaged_is_named() {
    let disk = MemoryDisk::new();
    write(&disk, 12, 300);
    let files = disk.open().reader().files();
    let names = files.names().unwrap();
    let whole_file = files.read(&names[1], 0, files.length(&names[1]).unwrap() as usize).unwrap();
    for at in (0..whole_file.len()).step_by(61) {
        let mut bytes = whole_file.clone();
        bytes[at] ^= 1;
        files.put(&names[1], &bytes).unwrap();
        let store = whole(disk.open().reader()).unwrap();
        let read = store.scan(Tree::Ledger, &[], usize::MAX);
        let state = store.sealed().state_before(Seq(u64::MAX));
        let damaged = matches!(&read, Err(StoreError::Damaged(why)) if why.contains(&names[1]));
        assert!(at < 8 || damaged || state.is_err() || read.is_ok(), "byte {at}: {read:?}");
        let frames_end = whole_file.len() / 2;
        assert!(at < 8 || at > frames_end || damaged, "byte {at}");
    }
    files.remove(&names[1]).unwrap();
    let error = whole(disk.open().reader()).err().unwrap();
    assert!(error.to_string().contains("is gone"), "{error}");
}

#[test]
fn a_file_that_was_never_named_goes() {
    let disk = MemoryDisk::new();
    write(&disk, 12, 300);
    let files = disk.open().reader().files();
    let before = files.names().unwrap();
    files.put("00000000000000099999-00000000000000100000", b"half").unwrap();
    files.put("other", b"").unwrap();
    drop(open(&disk));
    assert_eq!(files.names().unwrap(), before);
}

#[test]
fn a_frame_says_which_orders_it_may_show() {
    let mut builder = Builder::new(Default::default());
    assert_eq!((builder.raw_bytes(), builder.end().seq), (0, Seq(0)));
    let error = builder.add::<Count>(b"no block").unwrap_err();
    assert!(error.to_string().contains("a block that was to be sealed"), "{error}");
    let _ = WallMicros(0);
}

/// A store whose files are counted when they are listed.
struct Counted(Arc<dyn StoreRead>, Arc<AtomicUsize>);

impl StoreRead for Counted {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(tree, key)
    }

    fn floor(&self, tree: Tree, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.0.floor(tree, key)
    }

    fn scan(&self, tree: Tree, from: &[u8], bytes_max: usize) -> Result<Vec<Pair>, StoreError> {
        self.0.scan(tree, from, bytes_max)
    }

    fn files(&self) -> Arc<dyn Files> {
        Arc::new(Counted(self.0.clone(), self.1.clone()))
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        self.0.free_bytes()
    }
}

impl Files for Counted {
    fn names(&self) -> Result<Vec<String>, StoreError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.files().names()
    }

    fn length(&self, name: &str) -> Result<u64, StoreError> {
        self.0.files().length(name)
    }

    fn read(&self, name: &str, at: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.0.files().read(name, at, length)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.files().put(name, bytes)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.files().remove(name)
    }
}

/// Otherwise the work for one more segment grows with their number.
#[test]
fn one_more_segment_is_taken_in_without_a_list_of_all() {
    let (disk, other) = (MemoryDisk::new(), MemoryDisk::new());
    write(&disk, 12, 300);
    let (from, to) = (disk.open().reader().files(), other.open().reader().files());
    let listed = Arc::<AtomicUsize>::default();
    let read = whole(Arc::new(Counted(other.open().reader(), listed.clone()))).unwrap();
    let names = from.names().unwrap();
    assert!(names.len() > 3, "{names:?}");
    for name in &names {
        let end = segment::Index::read(&*from, name).unwrap().end;
        let part = SealedPart { first: Seq(1), end };
        let error = read.seal(part).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "it is not there: {error}");
        to.put(name, &from.read(name, 0, from.length(name).unwrap() as usize).unwrap()).unwrap();
        listed.store(0, Ordering::Relaxed);
        read.seal(part).unwrap();
        assert_eq!(listed.load(Ordering::Relaxed), 0);
        assert_eq!((read.sealed().part(), read.sealed().whole_from()), (part, Seq(1)));
        let whole = Directory::open(to.clone(), part).unwrap().scan(Seq(1), usize::MAX);
        assert_eq!(read.sealed().scan(Seq(1), usize::MAX), whole);
    }
}

/// A fold with a fault in it, which shows when a record is taken.
#[derive(Default)]
struct Faulty;

impl Fold for Faulty {
    type Record = Count;
    type Part = Part;
    const LOG: Tree = Tree::Ledger;

    fn apply(&mut self, _: Seq, _: WallMicros, _: &Count) {
        panic!("a fault in the fold");
    }

    fn each_part(&self, give: &mut dyn FnMut(Tree, Part)) {
        Counts::default().each_part(give);
    }

    fn restore(&mut self, _: Part) {}
}

/// Otherwise the log stays in the trees from then on, and nobody is told.
#[test]
fn a_panic_while_a_segment_is_made_ends_the_node() {
    let (disk, (fatal, said)) = (MemoryDisk::new(), caught());
    let (dir, birth, time) = ("memory".into(), Some(birth()), Arc::<RealTime>::default());
    let sealing = Sealing { bytes: 2 << 10, keep: None };
    let setup = Setup { dir, birth, key: None, expect_cluster: None, mark: None, sealing, time, fatal };
    let mut journal = start::<Faulty>(disk.open(), setup).unwrap().journal;
    journal.stage(step(counts(900, 1), 1));
    journal.checkpoint(Faulty.parts());
    until("the fault is told", || !said.lock().unwrap().is_empty());
    let fault = "journal: the work on a segment panicked: a fault in the fold: this node ends, so that nothing is said \
                 that is not stored";
    assert_eq!(*said.lock().unwrap(), [fault]);
    assert_eq!(disk.open().reader().files().names().unwrap(), [""; 0]);
}

/// Notes stay, all else goes; what is left reads as rows of their own places, and the chain goes on behind it.
#[test]
fn a_pruned_log_keeps_what_stays_and_its_chain() {
    let (pruned, whole_log) = (MemoryDisk::new(), MemoryDisk::new());
    let keep = Some(Keep { age: Duration::from_secs(3_600), bytes: 1_000 });
    let (one, other) = (write_notes(&pruned, keep), write_notes(&whole_log, None));
    assert_eq!(one, other, "the state is the same");
    assert_eq!(open(&pruned).0.state, one);
    let directory = sealed(&pruned);
    let (from, end) = (directory.whole_from(), directory.last());
    assert!(from > Seq(1_000) && from <= end.next(), "{from} of {end}");
    let files = pruned.open().reader().files();
    assert!(files.names().unwrap().iter().any(|name| name.ends_with("-pruned")));
    let (mut tip, mut left, mut there) = (Tip::default(), Vec::new(), Vec::new());
    for (_, bytes) in rows_of(&pruned, 1 << 20) {
        let block = Block::<Count>::decode(&bytes).unwrap();
        assert!(tip.links(&block.header, &block.seal), "{:?} after {tip:?}", block.header);
        tip = Tip::after(&block.header, &block.seal);
        left.extend(block.rows().map(|(seq, count)| (seq, block.header.time, count.clone())));
    }
    for (_, bytes) in rows_of(&whole_log, 1 << 20) {
        let block = Block::<Count>::decode(&bytes).unwrap();
        there.extend(block.rows().map(|(seq, count)| (seq, block.header.time, count.clone())));
    }
    assert_eq!(tip, super::super::whole(whole_log.open().reader()).map(|store| last_of(&store)).unwrap());
    there.retain(|(seq, _, count)| *seq >= from || count.clone().pruned().is_some());
    assert_eq!(left, there);
}

fn last_of(store: &TieredRead) -> Tip {
    let (_, bytes) = store.floor(Tree::Ledger, &[0xff; 8]).unwrap().unwrap();
    let block = Block::<Count>::decode(&bytes).unwrap();
    Tip::after(&block.header, &block.seal)
}

fn write_notes(disk: &MemoryDisk, keep: Option<Keep>) -> Counts {
    let (Recovered { mut journal, state: mut live, .. }, mut pump) = open_and_keep(disk, keep);
    for at in 1..=40 {
        let mut records = counts(150, at);
        records.extend((at % 3 == 0).then(|| Count::Note(vec![at as u8; 9])));
        live.take(at, &records);
        journal.stage(step(records, at));
        journal.checkpoint(live.parts());
        while pump.write_group().unwrap() {}
    }
    pump.close().unwrap();
    live
}
