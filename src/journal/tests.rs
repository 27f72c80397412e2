//! The journal as a whole, over sled and over memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::lock::try_lock;
use super::mark::MarkFile;
use super::sled_store::SledStore;
use super::store::trees_of;
use super::testing::{Count, Counts, add, birth, caught, never, step, until, wait};
use super::*;
use crate::limits::{CLOCK_RESERVE, LOW_WATER_BYTES};
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
    Setup { dir, birth: Some(birth()), expect_cluster: None, mark: None, time, fatal }
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
    assert_eq!(*said.lock().unwrap(), ["journal: the disk is full (ENOSPC)"]);
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
fn a_birth_that_was_cut_off_is_started_over() {
    let cuts: [&[(&str, &[u8])]; 7] = [
        &[],
        &[("log", b"something")],
        &[("node.json.tmp", b"{")],
        &[("node.json", b"{}")],
        &[("node.json", b"{}"), ("store.tmp/conf", b"")],
        &[("node.json", b"{}"), ("store.tmp/conf", b"seg"), ("store.tmp/db", &[0; 5000]), ("mark", b"")],
        &[("node.json", b"{}"), ("store.tmp/db", &[1; 5000]), ("mark", &[7; 300])],
    ];
    for files in cuts {
        let dir = TempDir::new().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        assert!(!exists(dir.path()).unwrap());
        let recovered = reopen(dir.path());
        assert!(recovered.recovery.fresh && exists(dir.path()).unwrap());
        assert!(!dir.path().join("store.tmp").exists());
    }
}

#[test]
fn an_absent_directory_without_a_birth_stays_absent() {
    let dir = TempDir::new().unwrap();
    let node = dir.path().join("node");
    let error = open::<Counts>(&node, None, None, "", never()).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(!node.exists());
    assert_eq!(open_copy(&node).map(drop).unwrap_err().exit_code(), 2);
}

#[test]
fn what_is_not_ours_is_refused_untouched() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let error = try_open(dir.path()).map(drop).unwrap_err();
    assert!(matches!(&error, OpenError::NotOurs { found, .. } if found == "notes.txt"), "{error}");
    assert_eq!((error.exit_code(), contents(dir.path()).len()), (7, 1));
    let error = try_open(&dir.path().join("notes.txt")).map(drop).unwrap_err();
    assert_eq!((error.exit_code(), matches!(error, OpenError::NotADirectory(_))), (2, true));
}

#[test]
fn another_cluster_is_refused_untouched() {
    let (_dir, node) = node_with(3);
    let before = contents(&node);
    let error = open::<Counts>(&node, None, Some("other"), "", never()).map(drop).unwrap_err();
    assert!(matches!(&error, OpenError::OtherCluster { found, .. } if found == "test"), "{error}");
    assert_eq!((error.exit_code(), contents(&node) == before), (7, true));
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let (_dir, node) = node_with(3);
    let (seq, hash) = MarkFile::open(&node.join("mark"), FORMAT, "test").unwrap().newest().unwrap();
    MarkFile::open(&node.join("mark"), FORMAT + 1, "test").unwrap().write(seq, hash).unwrap();
    let before = contents(&node);
    for error in [try_open(&node).map(drop).unwrap_err(), open_copy(&node).map(drop).unwrap_err()] {
        assert!(matches!(error, OpenError::Newer { found: 2, .. }), "{error}");
        assert_eq!((error.exit_code(), contents(&node) == before), (7, true));
    }
}

#[test]
fn a_newer_format_in_meta_alone_is_refused_too() {
    let disk = MemoryDisk::new();
    disk.open().put(Tree::Meta, b"format", &2_u32.to_le_bytes()).unwrap();
    let error = start::<Counts>(disk.open(), setup(never())).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, known: FORMAT, .. }), "{error}");
    assert_eq!(disk.unsynced(), 1);
}

#[test]
fn a_directory_in_use_says_by_whom() {
    let dir = TempDir::new().unwrap();
    let node = dir.path().join("node");
    let first = reopen(&node);
    let copy = open_copy(&node).map(drop).unwrap_err();
    let again = try_open(&node).map(drop).unwrap_err();
    for error in [copy, again] {
        let text = error.to_string();
        let pid = format!("warehouse (pid {}", std::process::id());
        assert!(matches!(error, OpenError::InUse { .. }) && text.contains(&pid), "{text}");
        assert_eq!(error.exit_code(), 7);
    }
    drop(first);
    reopen(&node);
}

#[test]
fn a_store_that_another_reads_is_locked() {
    let (_dir, node) = node_with(1);
    let store = node.join("store");
    let reader = fs::File::open(store.join("db")).unwrap();
    assert!(try_lock(&reader, true).unwrap());
    let open = || SledStore::open(&store, trees_of(Tree::Ledger), &mut None).map(drop);
    assert_eq!(open(), Err(StoreError::Locked));
    drop(reader);
    assert_eq!(open(), Ok(()));
}

#[test]
#[should_panic(expected = "a store's token must be drawn")]
fn a_store_without_a_token_is_not_made() {
    let birth = Some(Birth { token: Token([0; 32]), ..birth() });
    let _ = start::<Counts>(MemoryDisk::new().open(), Setup { birth, ..setup(never()) });
}

#[test]
fn a_half_written_snapshot_is_removed_before_opening() {
    let (_dir, node) = node_with(3);
    let left = node.join("store/snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(&left, [0; 100]).unwrap();
    assert_eq!(open_copy(&node).unwrap().blocks(crate::types::Seq(0)).count(), 3);
    assert!(left.exists(), "offline readers change nothing");
    assert_eq!(reopen(&node).recovery.last.0, 3);
    assert!(!left.exists());
}

#[test]
fn a_page_in_blobs_is_refused() {
    let (_dir, node) = node_with(3);
    fs::write(node.join("store/blobs/1"), [0; 100]).unwrap();
    let error = try_open(&node).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(error.exit_code(), 7);
}

#[test]
fn store_and_mark_go_together() {
    let (_dir, node) = node_with(3);
    fs::rename(node.join("mark"), node.join("store.tmp")).unwrap();
    let error = try_open(&node).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::StoreWithoutMark(_)), "{error}");
    fs::rename(node.join("store.tmp"), node.join("mark")).unwrap();
    fs::remove_dir_all(node.join("store")).unwrap();
    let error = try_open(&node).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::MarkWithoutStore { .. }), "{error}");
    assert_eq!(error.exit_code(), 7);
}

#[test]
fn an_older_copy_of_the_store_is_noticed() {
    let (dir, node) = node_with(3);
    let old = dir.path().join("old");
    fs::create_dir(&old).unwrap();
    let files = || contents(&node.join("store")).into_iter();
    let kept: Vec<_> = files().collect();
    let mut journal = reopen(&node).journal;
    journal.stage(step(vec![add(9, 9)], 1));
    journal.close().unwrap();
    until("the store is let go", || open_copy(&node).is_ok());
    files().for_each(|(path, _)| fs::remove_file(path).unwrap());
    kept.into_iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let error = try_open(&node).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::BehindMark { .. }), "{error}");
    assert_eq!(error.exit_code(), 7);
}

#[test]
fn a_lost_or_emptied_db_is_noticed() {
    for cut in [None, Some(0)] {
        let (_dir, node) = node_with(3);
        let db = node.join("store/db");
        match cut {
            None => fs::remove_file(&db).unwrap(),
            Some(length) => fs::OpenOptions::new().write(true).open(&db).unwrap().set_len(length).unwrap(),
        }
        let error = try_open(&node).map(drop).unwrap_err();
        assert!(matches!(error.exit_code(), 1 | 7), "{error}");
        assert!(open_copy(&node).is_err());
    }
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
fn a_mark_is_not_outlived_by_a_break() {
    let disk = MemoryDisk::new();
    let mut journal = on(&disk).journal;
    let tickets: Vec<Durable> = (0..6)
        .map(|k| {
            let ticket = journal.stage(step(vec![add(k, 1)], 1));
            wait(&journal, ticket)
        })
        .collect();
    drop(journal);
    let dir = TempDir::new().unwrap();
    let marked = |at: Durable, hash: Hash| {
        let mut mark = MarkFile::open(&dir.path().join("mark"), FORMAT, "test").unwrap();
        mark.write(at.seq, hash).unwrap();
        Setup { mark: Some(Box::new(mark)), ..setup(never()) }
    };
    let broken = disk.power_cut(Survive::None);
    broken.open().put(Tree::Ledger, &4_u64.to_be_bytes(), b"rot").unwrap();
    let error = start::<Counts>(broken.open(), marked(tickets[3], tickets[3].hash)).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Broken { at: crate::types::Seq(4), .. }), "{error}");
    let error = start::<Counts>(disk.open(), marked(tickets[3], Hash::of(b"else"))).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Broken { at: crate::types::Seq(4), .. }), "{error}");
    let cut = start::<Counts>(broken.open(), marked(tickets[2], tickets[2].hash)).unwrap();
    assert_eq!((cut.recovery.last.0, cut.recovery.torn_bytes > 0), (3, true));
    assert_eq!(cut.recovery.line("ledger", 3).split(" in ").next(), Some("recovered ledger 1..3"));
    assert!(cut.recovery.line("ledger", 3).contains(" ms, 3 pending replayed, torn tail "));
}

#[derive(Clone, Debug)]
enum Act {
    Step(Vec<Count>, Urgency),
    Wait,
    Checkpoint,
}

fn act() -> impl Strategy<Value = Act> {
    let count = prop_oneof![
        8 => (0..2_000_u16, any::<u64>()).prop_map(|(name, amount)| add(name, amount >> 8)),
        1 => (0..6_000_usize).prop_map(|length| Count::Note(vec![5; length])),
    ];
    let records = prop::collection::vec(count, 0..12);
    prop_oneof![
        5 => records.prop_map(|records| Act::Step(records, Urgency::Now)),
        2 => Just(Act::Wait),
        1 => Just(Act::Checkpoint),
    ]
}

/// Runs the acts and gives all records, with their step's time.
fn perform(journal: &mut Journal<Counts>, live: &mut Counts, acts: Vec<Act>) -> Vec<(u64, Count)> {
    let (mut all, mut last) = (Vec::new(), Ticket(0));
    for (time, act) in acts.into_iter().enumerate() {
        match act {
            Act::Step(records, urgency) => {
                live.take(time as u64, &records);
                all.extend(records.iter().map(|record| (time as u64, record.clone())));
                last = journal.stage(Step { urgency, ..step(records, time as u64) });
            }
            Act::Wait => drop(wait(journal, last)),
            Act::Checkpoint => journal.checkpoint(live.parts()),
        }
    }
    all
}

/// The last record that a run which ended after `events` events of the disk had published at most.
fn promised(disk: &MemoryDisk, events: usize) -> u64 {
    let synced = disk.power_cut_at(events, Survive::None);
    let last = synced.open().reader().floor(Tree::Ledger, &[0xff; 8]).unwrap();
    last.map_or(0, |(_, block)| BlockHeader::peek(&block).unwrap().last().0)
}

fn fold(records: &[(u64, Count)]) -> Counts {
    let mut state = Counts::default();
    records.iter().for_each(|(time, record)| state.take(*time, std::slice::from_ref(record)));
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Cut the power after any event of the disk, with any part of the unsynced writes left: recovery gives the fold
    /// of a prefix that holds all that was published; the same again when the recovery is cut.
    #[test]
    fn recovery_from_any_moment_is_the_fold_of_a_prefix(
        acts in prop::collection::vec(act(), 1..60),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 12),
    ) {
        let disk = MemoryDisk::new();
        drop(on(&disk));
        disk.record();
        let Recovered { mut journal, state: mut live, .. } = on(&disk);
        let all = perform(&mut journal, &mut live, acts);
        journal.close().unwrap();
        prop_assert_eq!(&fold(&all), &live);
        let events = disk.events().len();
        for (at, seed) in cuts {
            let at = at.index(events) + 1;
            let cut = disk.power_cut_at(at, Survive::Some(seed));
            cut.record();
            let promised = promised(&disk, at);
            let first = on(&cut);
            let last = first.recovery.last.0;
            prop_assert!(last >= promised, "{} of {} promised at {}", last, promised, at);
            prop_assert_eq!(&first.state, &fold(&all[..last as usize]));
            drop(first);
            let again = cut.power_cut_at((seed % 7) as usize, Survive::Some(!seed));
            let Recovered { journal, state, recovery, .. } = on(&again);
            prop_assert!(recovery.last.0 >= promised);
            prop_assert_eq!(&state, &fold(&all[..recovery.last.0 as usize]));
            prop_assert_eq!(journal.next_seq(), recovery.last.next());
        }
    }
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

#[test]
fn wall_time_is_the_steps() {
    let disk = MemoryDisk::new();
    let mut journal = on(&disk).journal;
    let first = journal.stage(Step { time: WallMicros(77), ..step(vec![add(1, 1)], 1) });
    wait(&journal, first);
    let block = journal.reader().blocks(crate::types::Seq(1), 1).unwrap();
    assert_eq!(BlockHeader::peek(&block[0]).unwrap().time, WallMicros(77));
}
