//! The journal as a whole, over sled and over memory.

mod damage;
mod opening;
mod power_cuts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::lock::try_lock;
use super::mark::MarkFile;
use super::meta::{FORMAT, FORMAT_SEALED};
use super::sled_store::SledStore;
use super::store::trees_of;
use super::testing::{Count, Counts, add, birth, caught, never, step, until, wait};
use super::*;
use crate::limits::{BLOCK_BYTES_MAX, CHECKPOINT_BYTES_MIN, CLOCK_RESERVE, LOW_WATER_BYTES};
use crate::model::fold::{Fold as _, Tree};
use crate::types::{Hash, Stamp, Token, WallMicros};

fn reopen(node: &Path) -> Recovered<Counts> {
    try_open(node).unwrap()
}

fn try_open(node: &Path) -> Result<Recovered<Counts>, OpenError> {
    open::<Counts>(node, Some(birth()), Some("test"), "127.0.0.1:0", never())
}

fn setup(fatal: Fatal) -> Setup {
    let (dir, time) = ("memory".into(), Arc::<RealTime>::default());
    let (birth, sealing) = (Some(birth()), Sealing { bytes: 16 << 10, keep: None });
    Setup { dir, birth, key: None, expect_cluster: None, mark: None, sealing, time, fatal }
}

fn on(disk: &MemoryDisk) -> Recovered<Counts> {
    start::<Counts>(disk.open(), setup(never())).unwrap()
}

/// A closed node with `count` records.
fn node_with(count: u16) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let node = dir.path().join("node");
    let mut journal = reopen(&node).journal;
    for k in 1..=count {
        journal.stage(step(vec![add(k, 1)], 1));
    }
    journal.close().unwrap();
    until("the store is let go", || open_copy(&node).is_ok());
    (dir, node)
}

/// Every file's content, to see that nothing was touched.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(contents(&entry.path())),
            false => drop(files.insert(entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    files
}

#[test]
fn what_was_durable_is_there_after_close_and_after_a_drop() {
    let dir = TempDir::new().unwrap();
    let node = dir.path().join("node");
    let mut live = Counts::default();
    for round in 0..4_u64 {
        let Recovered { mut journal, state, recovery, .. } = reopen(&node);
        assert_eq!(state, live);
        assert_eq!((recovery.fresh, journal.meta().starts), (round == 0, round + 1));
        assert_eq!(recovery.last, live.last);
        for k in 0..50 {
            let records = vec![add(k, u64::from(k)), add(1, 1)];
            live.take(round, &records);
            let ticket = journal.stage(step(records, round));
            if k % 10 == 0 {
                wait(&journal, ticket);
            }
            if k == 25 && round != 1 {
                journal.checkpoint(live.parts());
            }
        }
        let ticket = journal.stage(step(Vec::new(), round));
        wait(&journal, ticket);
        match round % 2 {
            0 => assert_eq!(journal.close().unwrap().seq, live.last),
            _ => drop(journal),
        }
    }
}

#[test]
fn meta_keeps_token_starts_and_the_nodes_own_facts() {
    let disk = MemoryDisk::new();
    let mut first = on(&disk).journal;
    let ticket = first.put_meta("home", vec![1, 2]);
    wait(&first, ticket);
    first.put_meta("later", vec![3]);
    first.close().unwrap();
    let second = on(&disk.power_cut(Survive::None)).journal;
    assert_eq!(second.meta().extra, [("home".into(), vec![1, 2]), ("later".into(), vec![3])].into());
    assert_eq!(
        (second.meta().starts, second.meta().node, &second.meta().cluster[..]),
        (2, birth().node, "test")
    );
}

#[test]
fn a_lazy_step_rides_along_or_is_written_after_its_time() {
    let disk = MemoryDisk::new();
    let mut journal = on(&disk).journal;
    let lazy = |k| Step { urgency: Urgency::Lazy, ..step(vec![add(k, 1)], 1) };
    let began = Instant::now();
    let alone = journal.stage(lazy(1));
    assert_eq!(wait(&journal, alone).seq, crate::types::Seq(1));
    assert!(began.elapsed() >= Duration::from_millis(90), "it did wait");
    // On a busy machine one attempt may be slow.
    let soon = (0..5).any(|_| {
        journal.stage(lazy(2));
        let began = Instant::now();
        let urgent = journal.stage(step(Vec::new(), 1));
        wait(&journal, urgent);
        began.elapsed() < Duration::from_millis(90)
    });
    assert!(soon, "an urgent step takes the lazy ones along");
}

#[test]
fn a_simulation_says_when_the_disk_gets_on() {
    let disk = MemoryDisk::new();
    let (recovered, mut pump) = start_by_hand::<Counts>(disk.open(), setup(never())).unwrap();
    let mut journal = recovered.journal;
    let staged = [1, 2, 3].map(|k| journal.stage(step(vec![add(k, 1)], 1)));
    assert_eq!((journal.staged_records(), journal.durable().borrow().ticket), (3, Ticket(0)));
    assert!(pump.write_group().unwrap());
    assert_eq!((journal.staged_records(), journal.durable().borrow().ticket), (0, staged[2]));
    assert!(!pump.write_group().unwrap());
    assert_eq!(on(&disk.power_cut(Survive::None)).recovery.last.0, 3);
}

#[test]
fn the_clock_never_starts_below_a_durable_step() {
    let disk = MemoryDisk::new();
    let mut last = 0;
    for clock in [5, 3, CLOCK_RESERVE, 10 * CLOCK_RESERVE, 10 * CLOCK_RESERVE + 1] {
        let Recovered { mut journal, clock: start, .. } = on(&disk);
        assert!(start.0 >= last, "starts at {start}, used {last}");
        let ticket = journal.stage(Step { clock: Stamp(clock), ..step(Vec::new(), 0) });
        wait(&journal, ticket);
        last = last.max(clock);
        drop(journal);
        assert_eq!(disk.unsynced(), 0);
    }
}

#[test]
fn a_full_disk_is_told_and_recovers_by_itself() {
    let disk = MemoryDisk::new();
    let mut journal = on(&disk).journal;
    disk.set_free_bytes(LOW_WATER_BYTES - 1);
    until("the journal notices", || {
        journal.stage(step(vec![add(1, 1)], 1));
        journal.disk_low()
    });
    disk.set_free_bytes(LOW_WATER_BYTES);
    until("the journal notices, though idle", || !journal.disk_low());
}

#[test]
fn a_failed_write_ends_the_journal_and_is_not_tried_again() {
    let (disk, (fatal, said)) = (MemoryDisk::new(), caught());
    let mut journal = start::<Counts>(disk.open(), setup(fatal)).unwrap().journal;
    let durable = wait(&journal, Ticket(0));
    disk.fail(StoreError::Full("ENOSPC".into()));
    journal.stage(step(vec![add(1, 1)], 1));
    until("the failure is told", || !said.lock().unwrap().is_empty());
    journal.stage(step(vec![add(1, 1)], 1));
    assert_eq!(
        *said.lock().unwrap(),
        ["journal: the disk is full (ENOSPC): this node ends, so that nothing is said that is not stored"]
    );
    assert_eq!(*journal.durable().borrow(), durable, "nothing more became durable");
    assert_eq!(journal.close(), Err(CloseError));
}

#[test]
fn a_reader_gives_durable_blocks_from_the_one_that_contains_a_sequence() {
    let mut journal = on(&MemoryDisk::new()).journal;
    for k in 0..10 {
        let ticket = journal.stage(step(vec![add(k, 1), add(k, 2), add(k, 3)], 1));
        wait(&journal, ticket);
    }
    let reader = journal.reader();
    let firsts = |from, bytes| -> Vec<u64> {
        let blocks = reader.blocks(crate::types::Seq(from), bytes).unwrap();
        blocks.iter().map(|block| BlockHeader::peek(block).unwrap().first.0).collect()
    };
    assert_eq!(firsts(0, 1 << 20), (0..10).map(|k| 3 * k + 1).collect::<Vec<_>>());
    assert_eq!(firsts(6, 1), [4]);
    assert_eq!(firsts(28, 1 << 20), [28]);
    assert_eq!(firsts(31, 1 << 20), [0; 0]);
}

#[test]
fn an_offline_reader_sees_blocks_meta_mark_and_checkpoint() {
    let dir = TempDir::new().unwrap();
    let node = dir.path().join("node");
    let Recovered { mut journal, state: mut live, .. } = reopen(&node);
    for k in 0..300 {
        live.take(1, &[add(k, 1)]);
        journal.stage(step(vec![add(k, 1)], 1));
    }
    journal.checkpoint(live.parts());
    let durable = journal.close().unwrap();
    let mut offline = None;
    until("the store is let go", || {
        offline = open_copy(&node).ok();
        offline.is_some()
    });
    let offline = offline.unwrap();
    assert_eq!(offline.mark, Some((durable.seq, durable.hash)));
    assert_eq!((offline.meta.starts, offline.node_json.as_ref().unwrap().cluster.as_str()), (1, "test"));
    let blocks: Vec<Vec<u8>> = offline.blocks(crate::types::Seq(250)).map(Result::unwrap).collect();
    assert_eq!(BlockHeader::peek(&blocks[0]).unwrap().first.0, 250);
    assert_eq!((blocks.len(), offline.blocks(crate::types::Seq(301)).count()), (51, 0));
    assert_eq!(offline.checkpoint.as_ref().unwrap().tip().hash, durable.hash);
    let mut state = Counts::default();
    offline
        .checkpoint_parts::<Counts>()
        .unwrap()
        .unwrap()
        .into_iter()
        .for_each(|(_, part)| state.restore(part));
    assert_eq!(state, live);
}

#[test]
fn checkpoints_leave_one_set_of_chunks() {
    let disk = MemoryDisk::new();
    let Recovered { mut journal, state: mut live, .. } = on(&disk);
    for round in 0..5_u16 {
        for k in 0..3_000 {
            let records = [add(round * 3_000 + k, 1)];
            live.take(u64::from(round), &records);
            journal.stage(step(records.to_vec(), u64::from(round)));
        }
        journal.checkpoint(live.parts());
        until("the checkpoint is written", || journal.stats().checkpoints == u64::from(round) + 1);
    }
    journal.close().unwrap();
    let store = disk.open().reader();
    let chunks = |tree| store.scan(tree, &[], usize::MAX).unwrap();
    let seqs: Vec<_> = [Tree::Inventory, Tree::Accounts].into_iter().flat_map(chunks).collect();
    assert!(seqs.len() >= 3, "several chunks");
    assert!(seqs.iter().all(|(key, _)| key[..8] == live.last.0.to_be_bytes()), "of one checkpoint only");
    let recovered = on(&disk);
    assert_eq!((recovered.recovery.replayed, recovered.state), (0, live));
}

/// Otherwise each of many short lives would replay what all before it have written.
#[test]
fn a_checkpoint_is_due_by_what_all_lives_since_the_last_one_have_written() {
    const NOTES: usize = 50;
    let (disk, note) = (MemoryDisk::new(), BLOCK_BYTES_MAX * 3 / 4);
    let more_than_half = CHECKPOINT_BYTES_MIN as usize / (NOTES * note) * 6 / 10;
    let live = || {
        let mut journal = on(&disk).journal;
        for _ in 0..more_than_half {
            let noted = journal.stage(step(vec![Count::Note(vec![1; note]); NOTES], 1));
            wait(&journal, noted);
        }
        // What is due is said behind the group.
        let behind = journal.stage(step(vec![add(1, 1)], 1));
        wait(&journal, behind);
        journal.checkpoint_due()
    };
    assert_eq!([live(), live()], [false, true]);
}

#[test]
fn wall_time_is_the_steps() {
    let disk = MemoryDisk::new();
    let mut journal = on(&disk).journal;
    let first = journal.stage(Step { time: WallMicros(77), ..step(vec![add(1, 1)], 1) });
    wait(&journal, first);
    let block = journal.reader().blocks(crate::types::Seq(1), 1).unwrap();
    assert_eq!(BlockHeader::peek(&block[0]).unwrap().time, WallMicros(77));
}
