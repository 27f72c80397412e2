//! Stores as released versions wrote them, kept in `data/golden/format-N`, must open for ever.
//!
//! A golden store is a directory whose files are kept as `NAME.runs`: sled fills its segments up with zeros, which a
//! repository should not hold. The scheme: per run of content `offset u64 | length u32 | bytes`, little endian, at the end
//! `length of the file u64 | 0 u32`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

use super::samples::{entries, records};
use super::testing::{never, until, wait};
use super::*;
use crate::model::fold::{Fold, Tree};
use crate::model::peer::entry::Entry;
use crate::model::row::Record;
use crate::types::{PeerId, Stamp, Token, WallMicros};

const GAP: usize = 64;
/// Kinds of entries that there were when the golden stores of format 1 were written.
const ENTRIES_OF_FORMAT_1: usize = 13;

fn golden(node: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/golden/format-1").join(node)
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
            fn parts(&self) -> Vec<(Tree, $record)> {
                self.0.iter().map(|record| ($tree, record.clone())).collect()
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
    name: &str,
    node: u32,
    role: &str,
    records: Vec<F::Record>,
    state: impl Fn(usize) -> F,
) {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join(name);
    let extra = [("home".to_owned(), vec![6])].into();
    let birth = Birth { extra, ..Birth::new("golden", PeerId(node), role, Token([7; 32])) };
    let mut journal = open::<F>(&place, Some(birth), None, "127.0.0.1:7700", never()).unwrap().journal;
    let half = records.len() / 2;
    for (index, record) in records.into_iter().enumerate() {
        let time = WallMicros(1_795_341_600_000_000 + index as u64);
        let step =
            Step { records: vec![record], time, clock: Stamp(index as u64 + 1), urgency: Urgency::Now };
        let ticket = journal.stage(step);
        wait(&journal, ticket);
        if index + 1 == half {
            journal.checkpoint(state(half).parts());
        }
    }
    journal.close().unwrap();
    until("the store is let go", || open_copy(&place).is_ok());
    let _ = fs::remove_dir_all(golden(name));
    translate(&place, &golden(name), |name| format!("{name}.runs"), pack);
}

/// Writes the golden stores of the present format; run once for each format, never again for a released one.
#[test]
#[ignore = "writes into the source tree"]
fn write_golden_stores() {
    write_golden::<Kept<Record, false>>("warehouse", 0, "warehouse", records(), |n| {
        Kept(records()[..n].to_vec())
    });
    write_golden::<Kept<Entry, true>>("peer", 4, "buyer", entries(), |n| Kept(entries()[..n].to_vec()));
}

fn check_golden<F, R>(name: &str, expected: &[R], kept: impl Fn(F) -> Vec<R>)
where
    F: Fold<Record = R>,
    R: Clone + PartialEq + std::fmt::Debug + Serialize + serde::de::DeserializeOwned,
{
    let dir = TempDir::new().unwrap();
    let node = dir.path().join(name);
    translate(&golden(name), &node, |name| name.trim_end_matches(".runs").to_owned(), unpack);
    let offline = open_copy(&node).unwrap();
    assert_eq!((offline.meta.format, &offline.meta.cluster[..], offline.meta.starts), (1, "golden", 1));
    assert_eq!(offline.meta.extra["home"], [6]);
    let (mut tip, mut rows) = (Tip::default(), Vec::new());
    for bytes in offline.blocks(Seq(1)).map(Result::unwrap) {
        let block = Block::<R>::decode(&bytes).unwrap();
        assert!(tip.links(&block.header));
        assert_eq!(block.header.time, WallMicros(1_795_341_600_000_000 + block.header.number - 1));
        tip = Tip { seq: block.header.last(), block: block.header.number, hash: block.hash };
        rows.extend(block.records);
    }
    assert_eq!(rows, expected);
    assert_eq!(offline.mark, Some((tip.seq, tip.hash)));
    assert_eq!(offline.checkpoint.as_ref().unwrap().tip().seq.0, expected.len() as u64 / 2);
    let recovered = open::<F>(&node, None, Some("golden"), "", never()).unwrap();
    assert_eq!(recovered.recovery.replayed, expected.len().div_ceil(2) as u64);
    assert_eq!(kept(recovered.state), expected);
}

#[test]
fn stores_of_format_1_open() {
    check_golden::<Kept<Record, false>, _>("warehouse", &records(), |state| state.0);
    check_golden::<Kept<Entry, true>, _>("peer", &entries()[..ENTRIES_OF_FORMAT_1], |state| state.0);
}
