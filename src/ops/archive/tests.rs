use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::audit::Source;
use crate::audit::{Check, audit, fixture};
use crate::cli::{BackupArgs, RestoreArgs};
use crate::journal::{
    Birth, ChainWriter, CodecError, Sealing, Step, StoreCopy, Tip, Urgency, exit_on_failure, open,
    open_sealing,
};
use crate::limits::SEALED_BYTES_MAX;
use crate::model::fold::Fold as _;
use crate::model::row::Record;
use crate::ops::backup::{backup, restore};
use crate::ops::source::{open_archives, open_stores};
use crate::types::{Office, PeerId, Seq, Stamp, Term, Token, WallMicros};

/// A stopped warehouse whose ledger is in several segments, and the last rows. They are made beside trade, so a busy
/// machine makes fewer.
fn warehouse(dir: &Path) -> Seq {
    for _ in 0..50 {
        let last = traded(dir);
        if fs::read_dir(dir.join("store/sealed")).is_ok_and(|segments| segments.count() >= 4) {
            return last;
        }
        fs::remove_dir_all(dir).unwrap();
    }
    panic!("never four segments");
}

fn traded(dir: &Path) -> Seq {
    let birth = Birth::new("3f2a", PeerId::WAREHOUSE, "warehouse", Token([7; 32]));
    let sealing = Sealing { bytes: 200, keep: None };
    let mut node = open_sealing::<Market>(dir, Some(birth), None, "", sealing, exit_on_failure()).unwrap();
    for (at, records) in fixture::Market::lived().ledger.into_iter().enumerate() {
        let time = WallMicros(at as u64);
        records.iter().for_each(|record| node.state.apply(node.journal.next_seq(), time, record));
        let step = Step { records, time, clock: Stamp(1_000), urgency: Urgency::Now };
        let ticket = node.journal.stage(step);
        node.journal.checkpoint(node.state.parts());
        let durable = node.journal.reader();
        while durable.durable().ticket < ticket || node.journal.stats().checkpoints <= at as u64 {
            std::thread::yield_now();
        }
    }
    node.journal.close().unwrap().seq
}

fn global() -> Global {
    crate::cli::Cli::parse_from_args(["bazaar", "-q", "dump"].map(Into::into)).unwrap().global
}

fn opened(dir: &Path, archives: &[PathBuf]) -> Result<Source, Failure> {
    let archives = open_archives(archives)?;
    let mut sources = open_stores(&[dir.to_owned()], &archives, &mut |_, error| Err(error.into()))?;
    Ok(sources.pop().unwrap())
}

fn archive_to(dir: &Path, before: u64, out: &Path) -> Result<u8, Failure> {
    let (out, data_dir) = (out.to_owned(), dir.to_owned());
    archive(&ArchiveArgs { before: Seq(before), out, data_dir }, &global())
}

fn rows(source: &mut Source) -> Vec<Vec<u8>> {
    source.blocks(Seq(1)).map(Result::unwrap).collect()
}

/// The lowest row that the hint of a refusal names. How long segments are depends on when their writer had time.
fn lowest(dir: &Path) -> u64 {
    let early = archive_to(dir, 1, &dir.join("none")).unwrap_err();
    assert_eq!(early.exit, exit::NO);
    let hint = early.hint.unwrap();
    hint.split_once("--before ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap()
}

#[test]
fn an_archived_ledger_is_whole_with_its_archives_and_says_what_it_lacks_without() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (node, last) = (at("m/warehouse"), warehouse(&at("m/warehouse")));
    let mut before = opened(&node, &[]).unwrap();
    let all = rows(&mut before);
    assert!(audit(std::slice::from_mut(&mut before), 5).unwrap().failed().is_empty());
    drop(before);
    let segments = || fs::read_dir(node.join("store/sealed")).unwrap().count();
    let row = lowest(&at("m"));
    assert!(row > 1 && row < last.0, "{row}");
    assert_eq!(
        archive_to(&at("m"), row - 1, &at("none")).unwrap_err().exit,
        exit::NO,
        "the lowest that works"
    );
    assert_eq!(archive_to(&at("m"), row, &at("zeroth")), Ok(exit::DONE), "{row}");
    assert_eq!(archive_to(&at("m"), lowest(&at("m")), &at("first")), Ok(exit::DONE));
    assert_eq!(archive_to(&at("m"), last.0, &at("first")).unwrap_err().exit, exit::USAGE, "it is there");
    assert_eq!(archive_to(&at("m"), last.0, &at("second")), Ok(exit::DONE));
    assert_eq!(segments(), 1, "the state before what is left");

    let both = [at("second"), at("first"), at("zeroth")];
    let mut whole = opened(&node, &both).unwrap();
    assert_eq!((rows(&mut whole), whole.archived_to()), (all.clone(), Seq(0)));
    let found = audit(std::slice::from_mut(&mut whole), 5).unwrap();
    assert_eq!((found.failed(), found.lacks(Check::Goods)), (vec![], vec![]));
    drop(whole);
    let mut rest = opened(&node, &[]).unwrap();
    let lacks = rest.archived_to();
    assert!(lacks > Seq(0) && lacks < last);
    assert_eq!(rows(&mut rest), all[all.len() - rows(&mut rest).len()..]);
    let found = audit(std::slice::from_mut(&mut rest), 5).unwrap();
    assert_eq!(found.failed(), []);
    assert_eq!(found.lacks(Check::Goods), [format!("archive up to {lacks}")]);
    assert!(found.unchecked(Check::Money) && !found.unchecked(Check::Chain));
    drop(rest);
    for (wrong, code) in [
        (&both[1..2], exit::DIRECTORY),
        (&[at("m/warehouse/mark")], exit::DIRECTORY),
        (&[at("absent")], exit::USAGE),
    ] {
        let error = opened(&node, wrong).err().unwrap();
        assert_eq!(error.exit, code, "{error:?}");
    }
    // The node goes on behind it.
    let node = open::<Market>(&node, None, Some("3f2a"), "", exit_on_failure()).unwrap();
    assert_eq!((node.recovery.last, node.recovery.first), (last, lacks.next()));
}

#[test]
fn a_backup_of_an_archived_ledger_restores() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let last = warehouse(&at("m/warehouse"));
    let state = {
        let node = open::<Market>(&at("m/warehouse"), None, None, "", exit_on_failure()).unwrap();
        node.state
    };
    until_free(&at("m/warehouse"));
    assert_eq!(archive_to(&at("m"), last.0 * 2 / 3, &at("old")), Ok(exit::DONE));
    for (name, archive) in [("rest", vec![]), ("whole", vec![at("old")])] {
        let args = BackupArgs { out: at(name), data_dir: at("m"), connect: None, archive };
        assert_eq!(backup(&args, &global()), Ok(exit::DONE));
        let args = RestoreArgs {
            from: at(name),
            data_dir: at(&format!("{name}-m")),
            accept_loss: true,
            above: None,
        };
        assert_eq!(restore(&args, &global()), Ok(exit::DONE));
        let restored = at(&format!("{name}-m")).join("warehouse");
        assert_eq!(opened(&restored, &[]).unwrap().archived_to() > Seq(0), name == "rest");
        let node = open::<Market>(&restored, None, None, "", exit_on_failure()).unwrap();
        assert_eq!(node.recovery.last, last.next());
        assert_eq!((&node.state.shelves, &node.state.accounts), (&state.shelves, &state.accounts));
    }
}

/// A start looks for the blocks that checkpoint and mark name, which may end the newest segment.
#[test]
fn a_ledger_that_is_all_in_segments_starts_after_it_was_archived() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let node = at("warehouse");
    let birth = Birth::new("3f2a", PeerId::WAREHOUSE, "warehouse", Token([7; 32]));
    let mut copy = StoreCopy::<Market>::begin(&node, &birth).unwrap();
    let (office, trader, term, by, clock) = (Office::Primary, PeerId(6), Term(1), PeerId(6), Stamp(1));
    let (records, mut chain) =
        (vec![Record::Fence { office, trader, term, by, clock }; 1_000], ChainWriter::new(Tip::default()));
    let mut bytes = 0;
    while bytes < SEALED_BYTES_MAX + 2 * SEAL_BYTES {
        let put = |_, block: &[u8]| {
            bytes += block.len() as u64;
            copy.put(block).unwrap();
            Ok::<(), CodecError>(())
        };
        chain.write(&records, WallMicros(1), put).unwrap();
    }
    let last = copy.finish(Stamp(9)).unwrap().seq;
    assert_eq!(archive_to(&node, last.0 + 1, &at("old")), Ok(exit::DONE));
    let opened = open::<Market>(&node, None, Some("3f2a"), "", exit_on_failure()).unwrap();
    assert!(opened.recovery.first > Seq(1) && opened.recovery.last == last, "{:?}", opened.recovery);
    opened.journal.close().unwrap();
    let refused = archive_to(&node, last.0 + 1, &at("more")).unwrap_err();
    assert_eq!((refused.exit, refused.what.contains("may go yet")), (exit::NO, true), "{refused:?}");
}

fn until_free(dir: &Path) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while opened(dir, &[]).is_err() {
        assert!(std::time::Instant::now() < end, "the store is let go");
        std::thread::yield_now();
    }
}
