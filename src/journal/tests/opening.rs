//! What may be opened, and what is refused and left untouched.

use std::sync::Mutex;

use super::*;

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
        assert!(matches!(error, OpenError::Newer { found: 3, .. }), "{error}");
        assert_eq!((error.exit_code(), contents(&node) == before), (7, true));
    }
}

#[test]
fn a_newer_format_in_meta_alone_is_refused_too() {
    let disk = MemoryDisk::new();
    disk.open().put(Tree::Meta, b"format", &4_u32.to_le_bytes()).unwrap();
    let error = start::<Counts>(disk.open(), setup(never())).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 4, known: FORMAT_SEALED, .. }), "{error}");
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

/// A mark that looks at what the disk would keep whenever it is written.
struct Watched {
    disk: MemoryDisk,
    formats: Arc<Mutex<Vec<u32>>>,
}

impl MarkKeeper for Watched {
    fn newest(&self) -> Option<(Seq, Hash)> {
        None
    }

    fn write(&mut self, _: Seq, _: Hash) -> Result<(), StoreError> {
        let kept = self.disk.power_cut(Survive::None).open().reader();
        self.formats.lock().unwrap().extend(meta::format(&*kept)?);
        Ok(())
    }
}

/// Were the mark first, a power cut would leave a store that has nothing new, and that its own build refuses. Were it
/// not written, that build would open the store before it refuses it, hence change it.
#[test]
fn a_store_of_format_1_says_that_it_is_of_this_one_before_its_mark_does_and_both_before_any_block() {
    let disk = MemoryDisk::new();
    drop(on(&disk));
    let mut store = disk.open();
    store.put(Tree::Meta, b"format", &1_u32.to_le_bytes()).unwrap();
    store.sync().unwrap();
    drop(store);
    let formats = Arc::<Mutex<Vec<u32>>>::default();
    let mark = Watched { disk: disk.clone(), formats: Arc::clone(&formats) };
    let opened = start_by_hand::<Counts>(disk.open(), Setup { mark: Some(Box::new(mark)), ..setup(never()) });
    let (recovered, _pump) = opened.unwrap();
    assert_eq!(*formats.lock().unwrap(), [FORMAT], "once, when the disk has it");
    assert_eq!((recovered.journal.meta().format, recovered.recovery.last), (FORMAT, Seq(0)));
}
