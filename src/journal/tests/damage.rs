//! Files that are missing, damaged, or older than their mark.

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
