//! Stores as released versions wrote them, kept in `data/golden/format-N`, must open for ever.
//!
//! A golden store is a directory whose files are kept as `NAME.runs`: sled fills its segments up with zeros, which a
//! repository should not hold. The scheme: per run of content `offset u64 | length u32 | bytes`, little endian, at the end
//! `length of the file u64 | 0 u32`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::meta::{FORMAT, FORMAT_SEALED};
use super::samples::{entries, entries_of_format_1, entries_of_format_2, records, records_of_format_1};
use super::testing::{never, until, wait};
use super::*;
use crate::model::fold::{Fold, Stored, Tree};
use crate::model::peer::entry::Entry;
use crate::model::row::Record;
use crate::types::{PeerId, Stamp, Token, WallMicros};

const GAP: usize = 64;

fn golden(format: u32, node: &str) -> PathBuf {
    let dir = format!("data/golden/format-{format}");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(dir).join(node)
}

/// Everything between long runs of zeros.
fn pack(bytes: &[u8]) -> Vec<u8> {
    let (mut packed, mut at) = (Vec::new(), 0);
    while let Some(start) = bytes[at..].iter().position(|byte| *byte != 0).map(|skip| at + skip) {
        let zeros = bytes[start..].windows(GAP).position(|window| window.iter().all(|byte| *byte == 0));
        let end = zeros.map_or(bytes.len(), |length| start + length);
        packed.extend_from_slice(&(start as u64).to_le_bytes());
        packed.extend_from_slice(&((end - start) as u32).to_le_bytes());
        packed.extend_from_slice(&bytes[start..end]);
        at = end;
    }
    packed.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    packed.extend_from_slice(&0_u32.to_le_bytes());
    packed
}

fn unpack(mut packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !packed.is_empty() {
        let offset = u64::from_le_bytes(packed[..8].try_into().unwrap()) as usize;
        let length = u32::from_le_bytes(packed[8..12].try_into().unwrap()) as usize;
        bytes.resize(offset, 0);
        bytes.extend_from_slice(&packed[12..12 + length]);
        packed = &packed[12 + length..];
    }
    bytes
}

fn translate(
    from: &Path,
    to: &Path,
    name: impl Fn(&str) -> String + Copy,
    bytes: impl Fn(&[u8]) -> Vec<u8> + Copy,
) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let file = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => translate(&entry.path(), &to.join(file), name, bytes),
            false if file == "ballast" => {}
            false => fs::write(to.join(name(&file)), bytes(&fs::read(entry.path()).unwrap())).unwrap(),
        }
    }
}

/// Keeps its records: the folds of the real nodes may change, the records not.
struct Kept<R, const PEER: bool>(Vec<R>);

impl<R, const PEER: bool> Default for Kept<R, PEER> {
    fn default() -> Self {
        Kept(Vec::new())
    }
}

macro_rules! keeps {
    ($record:ty, $peer:literal, $log:expr, $tree:expr) => {
        impl Fold for Kept<$record, $peer> {
            type Record = $record;
            type Part = $record;
            const LOG: Tree = $log;
            fn apply(&mut self, _: Seq, _: WallMicros, record: &$record) {
                self.0.push(record.clone());
            }
            fn each_part(&self, give: &mut dyn FnMut(Tree, $record)) {
                self.0.iter().for_each(|record| give($tree, record.clone()));
            }
            fn restore(&mut self, part: $record) {
                self.0.push(part);
            }
        }
    };
}
keeps!(Record, false, Tree::Ledger, Tree::Inventory);
keeps!(Entry, true, Tree::Journal, Tree::Orders);

fn write_golden<F: Fold>(
    (format, name): (u32, &str),
    node: u32,
    role: &str,
    records: Vec<F::Record>,
    state: impl Fn(usize) -> F,
) {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join(name);
    let extra = [("home".to_owned(), vec![6])].into();
    let birth = Birth { extra, ..Birth::new("golden", PeerId(node), role, Token([7; 32])) };
    // Whatever is old enough is pruned, which is all that is in a segment.
    let keep = (F::LOG == Tree::Journal).then_some(Keep { age: Duration::from_secs(3_600), bytes: 1 });
    let sealing = if format == FORMAT { Sealing::never() } else { Sealing { bytes: 1, keep } };
    let addr = "127.0.0.1:7700";
    let mut journal = open_sealing::<F>(&place, Some(birth), None, addr, sealing, never()).unwrap().journal;
    let half = records.len() / 2;
    for (index, record) in records.into_iter().enumerate() {
        let time = WallMicros(1_795_341_600_000_000 + index as u64);
        let step =
            Step { records: vec![record], time, clock: Stamp(index as u64 + 1), urgency: Urgency::Now };
        let ticket = journal.stage(step);
        wait(&journal, ticket);
        if index + 1 == half {
            journal.checkpoint(state(half).parts());
            until("the checkpoint is written", || journal.stats().checkpoints > 0);
            let is_last = |name: &str| keep.is_none() != name.ends_with("pruned");
            let names = || fs::read_dir(place.join("store/sealed")).into_iter().flatten().flatten();
            until("the log is sealed", || {
                format == FORMAT || names().any(|entry| is_last(&entry.file_name().to_string_lossy()))
            });
        }
    }
    journal.close().unwrap();
    until("the store is let go", || open_copy(&place).is_ok());
    let _ = fs::remove_dir_all(golden(format, name));
    translate(&place, &golden(format, name), |name| format!("{name}.runs"), pack);
}

/// Writes the golden stores of the present format; run once for each format, never again for a released one.
#[test]
#[ignore = "writes into the source tree"]
fn write_golden_stores() {
    let format = FORMAT_SEALED;
    write_golden::<Kept<Record, false>>((format, "warehouse"), 0, "warehouse", records(), |n| {
        Kept(records()[..n].to_vec())
    });
    write_golden::<Kept<Entry, true>>((format, "peer"), 4, "buyer", entries(), |n| {
        Kept(entries()[..n].to_vec())
    });
}

/// A golden store under its name in a directory.
pub(crate) fn unpacked(format: u32, name: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let unpacked = dir.path().join(name);
    translate(&golden(format, name), &unpacked, |name| name.trim_end_matches(".runs").to_owned(), unpack);
    dir
}

/// Gives the directory, in which the store has been opened.
fn check_golden<F, R>(format: u32, name: &str, expected: &[R], kept: impl Fn(F) -> Vec<R>) -> TempDir
where
    F: Fold<Record = R>,
    R: Stored + Clone + PartialEq + std::fmt::Debug,
{
    let dir = unpacked(format, name);
    let node = dir.path().join(name);
    let offline = open_copy(&node).unwrap();
    assert_eq!((offline.meta.format, &offline.meta.cluster[..], offline.meta.starts), (format, "golden", 1));
    assert_eq!(offline.meta.extra["home"], [6]);
    let (mut tip, mut rows) = (Tip::default(), Vec::new());
    for bytes in offline.blocks(Seq(1)).map(Result::unwrap) {
        let block = Block::<R>::decode(&bytes).unwrap();
        assert!(tip.links(&block.header, &block.seal));
        assert_eq!(block.header.time, WallMicros(1_795_341_600_000_000 + block.header.number - 1));
        tip = Tip::after(&block.header, &block.seal);
        rows.extend(block.records);
    }
    let half = expected.len() / 2;
    let pruned = format == FORMAT_SEALED && F::LOG == Tree::Journal;
    let stays = |record: &R| R::clone(record).pruned().is_some();
    let left = expected.iter().enumerate().filter(|(at, record)| *at >= half || !pruned || stays(record));
    assert_eq!(rows, left.map(|(_, record)| record.clone()).collect::<Vec<_>>());
    assert_eq!(offline.sealed_to().0, if format == FORMAT_SEALED { half as u64 } else { 0 });
    assert_eq!(offline.mark, Some((tip.seq, tip.hash)));
    assert_eq!(offline.checkpoint.as_ref().unwrap().tip().seq.0, expected.len() as u64 / 2);
    let recovered = open::<F>(&node, None, Some("golden"), "", never()).unwrap();
    assert_eq!(recovered.recovery.replayed, expected.len().div_ceil(2) as u64);
    assert_eq!(recovered.journal.meta().format, format.max(FORMAT));
    recovered.journal.close().unwrap();
    assert_eq!(kept(recovered.state), expected);
    dir
}

fn warehouse_of(format: u32, records: &[Record]) -> TempDir {
    check_golden::<Kept<Record, false>, _>(format, "warehouse", records, |state| state.0)
}

fn peer_of(format: u32, entries: &[Entry]) -> TempDir {
    check_golden::<Kept<Entry, true>, _>(format, "peer", entries, |state| state.0)
}

#[test]
fn stores_of_format_1_open() {
    warehouse_of(1, &records_of_format_1());
    peer_of(1, &entries_of_format_1());
}

#[test]
fn stores_of_format_2_open() {
    warehouse_of(2, &records());
    peer_of(2, &entries_of_format_2());
}

/// The first half is in a segment, and of the peer's only what stays.
#[test]
fn stores_of_format_3_open() {
    warehouse_of(3, &records());
    peer_of(3, &entries_of_format_2());
}

/// A build of format 1 refuses a directory by its mark, before it opens the store; by the store's `meta`, if the mark was
/// not written any more. Without either it would take the first block of format 2 for a torn end and cut it off.
#[test]
fn a_store_of_format_1_goes_on_in_format_2() {
    let dir = warehouse_of(1, &records_of_format_1());
    let node = dir.path().join("warehouse");
    assert_eq!(super::mark::read(&node.join("mark")).unwrap().unwrap().format, 2);
    until("the store is let go", || open_copy(&node).is_ok());
    assert_eq!(open_copy(&node).unwrap().meta.format, 2);

    let mut recovered = open::<Kept<Record, false>>(&node, None, Some("golden"), "", never()).unwrap();
    let (records, before) = (records(), recovered.state.0.len());
    for record in &records {
        let (time, clock) = (WallMicros(5), Stamp(99));
        let step = Step { records: vec![record.clone()], time, clock, urgency: Urgency::Now };
        let ticket = recovered.journal.stage(step);
        wait(&recovered.journal, ticket);
        recovered.state.0.push(record.clone());
    }
    recovered.journal.checkpoint(recovered.state.parts());
    recovered.journal.close().unwrap();
    until("the store is let go", || open_copy(&node).is_ok());
    let offline = open_copy(&node).unwrap();
    let mut tip = Tip::default();
    for bytes in offline.blocks(Seq(1)).map(Result::unwrap) {
        let block = Block::<Record>::decode(&bytes).unwrap();
        assert!(tip.links(&block.header, &block.seal), "one chain over both formats");
        tip = Tip::after(&block.header, &block.seal);
    }
    assert_eq!(tip.seq.0 as usize, before + records.len());
    drop(offline);
    let again = open::<Kept<Record, false>>(&node, None, Some("golden"), "", never()).unwrap();
    assert_eq!((again.state.0, again.recovery.replayed), (recovered.state.0, 0), "a checkpoint of format 2");
}
