//! Files that are missing, damaged, or older than their mark.

use super::super::offline::Offline;
use super::super::sealed::Files;
use super::super::store::{Pair, StoreError, StoreRead};
use super::*;

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

/// Files of a store by name.
fn snapshot(node: &Path) -> PathBuf {
    super::super::look::snapshots(&node.join("store")).unwrap().pop().expect("a snapshot")
}

fn copied(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for (path, bytes) in contents(from) {
        let place = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
}

/// A store of several lives, each with checkpoints, whose segments were used again.
fn lived() -> (TempDir, PathBuf, Counts) {
    let dir = TempDir::new().unwrap();
    let node = dir.path().join("node");
    let mut live = Counts::default();
    for life in 0..3_u64 {
        let mut journal = reopen(&node).journal;
        for k in 0..200_u16 {
            let records = vec![Count::Note(vec![life as u8; 12_000]), add(k, 1)];
            live.take(life, &records);
            let ticket = journal.stage(step(records, life));
            if k % 40 == 39 {
                wait(&journal, ticket);
                journal.checkpoint(live.parts());
            }
        }
        journal.close().unwrap();
        until("the store is let go", || open_copy(&node).is_ok());
    }
    (dir, node, live)
}

/// sled opens no store whose snapshot is damaged, and makes it from the log if it is not there.
#[test]
fn a_snapshot_or_conf_that_is_damaged_anywhere_is_made_anew_and_costs_nothing() {
    let (dir, node, live) = lived();
    let (again, before) = (dir.path().join("again"), open_copy(&node).unwrap().meta);
    let length = fs::metadata(snapshot(&node)).unwrap().len() as usize;
    let flips = (0..length).step_by(length.div_ceil(24)).map(|at| (Some(at), length));
    let cuts = [0, 1, 12, 13, length / 2, length - 1].map(|cut| (None, cut));
    for (flip, cut) in flips.chain(cuts) {
        copied(&node, &again);
        let path = snapshot(&again);
        let mut bytes = fs::read(&path).unwrap()[..cut].to_vec();
        flip.into_iter().for_each(|at: usize| bytes[at] ^= 0x40);
        fs::write(&path, &bytes).unwrap();
        let untouched = contents(&again);
        let read = open_copy(&again).unwrap();
        assert_eq!((read.meta, read.mark.unwrap().0), (before.clone(), live.last), "{flip:?} {cut}");
        assert!(contents(&again) == untouched, "a reader changed the directory");
        let found = reopen(&again);
        assert_eq!((found.state, found.recovery.torn_bytes), (live.clone(), 0), "{flip:?} {cut}");
        assert_eq!(found.journal.meta().starts, before.starts + 1);
        assert!(found.clock >= before.clock_reserve, "no clock value is used again");
        assert!(!again.join("store.tmp").exists());
    }
    for damage in [&b""[..], b"segment_size: 1\n", b"\xff\xfe\x00garbage that is no conf"] {
        copied(&node, &again);
        fs::write(again.join("store/conf"), damage).unwrap();
        assert_eq!(reopen(&again).state, live);
    }
}

/// Were the snapshot removed first, sled would go through the log, and write over what it cannot read.
#[test]
fn a_snapshot_and_a_log_that_are_both_damaged_lose_nothing_or_are_left_as_they_are() {
    let (dir, node, live) = lived();
    let again = dir.path().join("again");
    let length = fs::metadata(node.join("store/db")).unwrap().len() as usize;
    let (mut refused, whole) = (0, open_copy(&node).unwrap().blocks(Seq(1)).count());
    for part in 0..24 {
        copied(&node, &again);
        fs::write(snapshot(&again), "").unwrap();
        let db = again.join("store/db");
        let mut bytes = fs::read(&db).unwrap();
        let from = part * length / 24;
        bytes[from..(from + 100_000).min(length)].fill(0);
        fs::write(&db, bytes).unwrap();
        let before = contents(&again.join("store"));
        match try_open(&again) {
            Ok(found) => {
                assert_eq!(found.state, live, "part {part} is not needed");
                drop(found);
                until("the store is let go", || open_copy(&again).is_ok());
                let blocks: Result<Vec<_>, _> = open_copy(&again).unwrap().blocks(Seq(1)).collect();
                assert_eq!(
                    blocks.map(|blocks| blocks.len()).map_err(|it| it.to_string()),
                    Ok(whole),
                    "part {part}"
                );
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.exit_code(), 7, "{error}");
                assert!(contents(&again.join("store")) == before, "part {part}: {error}");
            }
        }
        assert!(!again.join("store.tmp").exists());
    }
    assert!((4..24).contains(&refused), "{refused} parts are needed: this proves little");
}

/// A store one page of which is older than its neighbours: reading on from below that row ends there.
struct OldPage(Arc<dyn StoreRead>, Seq);

impl StoreRead for OldPage {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(tree, key)
    }

    fn floor(&self, tree: Tree, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.0.floor(tree, key)
    }

    fn scan(&self, tree: Tree, from: &[u8], bytes_max: usize) -> Result<Vec<Pair>, StoreError> {
        let (found, end) = (self.0.scan(tree, from, bytes_max)?, self.1.0.to_be_bytes());
        let is_cut = tree == Counts::LOG && *from < end[..];
        Ok(found.into_iter().filter(|(key, _)| !is_cut || key[..] < end[..]).collect())
    }

    fn files(&self) -> Arc<dyn Files> {
        self.0.files()
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        self.0.free_bytes()
    }
}

#[test]
fn what_is_behind_a_page_that_is_older_than_others_is_read() {
    let disk = MemoryDisk::new();
    let mut journal = on(&disk).journal;
    for k in 0..20 {
        let ticket = journal.stage(step(vec![add(k, 1), add(k, 2)], 1));
        wait(&journal, ticket);
    }
    journal.close().unwrap();
    let blocks = |store| Offline::reading(store, None).unwrap().unwrap().blocks(Seq(1)).count();
    let store = || disk.open().reader();
    let (all, key) = (blocks(store()), disk.open().reader().scan(Counts::LOG, &[], usize::MAX).unwrap());
    let middle = Seq(u64::from_be_bytes(key[key.len() / 2].0.clone().try_into().unwrap()));
    assert!(
        all > 5 && OldPage(store(), middle).scan(Counts::LOG, &[], usize::MAX).unwrap().len() < key.len()
    );
    assert_eq!(blocks(Arc::new(OldPage(store(), middle))), all);
}

#[test]
fn a_store_in_another_nodes_place_is_refused() {
    let (dir, node) = node_with(3);
    let place = dir.path().join("peer-4");
    copied(&node, &place);
    for error in [try_open(&place).map(drop).unwrap_err(), open_copy(&place).map(drop).unwrap_err()] {
        let said = error.to_string();
        assert!(said.ends_with("has the store of warehouse, and the directory's name says peer-4"), "{said}");
        assert_eq!(error.exit_code(), 7);
    }
    // A store alone, with its mark, under the name of a node of the same id.
    let (other, kept) = (dir.path().join("other"), fs::read(node.join("node.json")).unwrap());
    let birth = Birth { token: Token([8; 32]), ..birth() };
    drop(open::<Counts>(&other, Some(birth), Some("test"), "", never()).unwrap());
    until("the store is let go", || open_copy(&other).is_ok());
    fs::write(other.join("node.json"), kept).unwrap();
    for error in [try_open(&other).map(drop).unwrap_err(), open_copy(&other).map(drop).unwrap_err()] {
        assert!(matches!(error, OpenError::OtherNode { by: "node.json", .. }), "{error}");
    }
}
