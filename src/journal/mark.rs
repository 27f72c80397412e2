//! The mark: the last durable (sequence, block hash), outside the store, so that a store that lost its end is noticed.
//!
//! The file holds two slots, a page each, written in turn and synced: whatever a power cut does to one, the other is
//! whole. A slot: `version u32 | format u32 | count u64 | seq u64 | block hash [32] | cluster's hash [32] | BLAKE3 of
//! the above [32]`, little endian; of two whole slots the higher count is the newer. Holds: what the mark says was
//! durable before it was written. It also says the store's format and cluster, so that a directory of another one can
//! be refused without opening, hence changing, the store.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::store::StoreError;
use crate::types::{Hash, Seq};

const SLOT_VERSION: u32 = 1;
const SLOT_BYTES: usize = 4 + 4 + 8 + 8 + 32 + 32;
const SLOT_SPACING: u64 = 4096;

/// What a slot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Everything up to here was durable;
    pub seq: Seq,
    /// this is the hash of the block that ends here.
    pub hash: Hash,
    /// Format of the store.
    pub format: u32,
    /// BLAKE3 of the cluster's name.
    pub cluster: Hash,
    count: u64,
}

/// Where a mark is kept; one writer.
pub trait MarkKeeper: Send {
    /// The last sequence that was durable, and the hash of the block that ends with it; `None` if there is no mark yet.
    fn newest(&self) -> Option<(Seq, Hash)>;
    /// Sets the mark, which survives anything once this returns `Ok`. A failed write is not to be tried again.
    fn write(&mut self, seq: Seq, hash: Hash) -> Result<(), StoreError>;
}

/// The open file.
pub(crate) struct MarkFile {
    file: File,
    newest: Option<Mark>,
    format: u32,
    cluster: Hash,
}

impl MarkFile {
    /// Opens or makes the file, for a store of that format and cluster.
    pub(crate) fn open(path: &Path, format: u32, cluster: &str) -> io::Result<MarkFile> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let newest = newest(&file)?;
        Ok(MarkFile { file, newest, format, cluster: Hash::of(cluster.as_bytes()) })
    }

    /// Writes the older slot and syncs it. A failed write is not to be tried again.
    pub(crate) fn write_slot(&mut self, seq: Seq, hash: Hash) -> io::Result<()> {
        let count = self.newest.map_or(0, |mark| mark.count) + 1;
        let mark = Mark { seq, hash, format: self.format, cluster: self.cluster, count };
        self.file.write_all_at(&encode(&mark), (count % 2) * SLOT_SPACING)?;
        self.file.sync_data()?;
        self.newest = Some(mark);
        Ok(())
    }
}

impl MarkKeeper for MarkFile {
    fn newest(&self) -> Option<(Seq, Hash)> {
        self.newest.map(|mark| (mark.seq, mark.hash))
    }

    fn write(&mut self, seq: Seq, hash: Hash) -> Result<(), StoreError> {
        Ok(self.write_slot(seq, hash)?)
    }
}

/// Reads the mark of a directory that is not opened; `None` if there is no file or no whole slot.
pub(crate) fn read(path: &Path) -> io::Result<Option<Mark>> {
    match File::open(path) {
        Ok(file) => newest(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn newest(file: &File) -> io::Result<Option<Mark>> {
    let slots = [slot(file, 0)?, slot(file, SLOT_SPACING)?];
    Ok(slots.into_iter().flatten().max_by_key(|mark| mark.count))
}

fn slot(file: &File, at: u64) -> io::Result<Option<Mark>> {
    let mut bytes = [0; SLOT_BYTES + 32];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode(mark: &Mark) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES + 32);
    bytes.extend_from_slice(&SLOT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&mark.format.to_le_bytes());
    bytes.extend_from_slice(&mark.count.to_le_bytes());
    bytes.extend_from_slice(&mark.seq.0.to_le_bytes());
    bytes.extend_from_slice(&mark.hash.0);
    bytes.extend_from_slice(&mark.cluster.0);
    let check = Hash::of(&bytes);
    bytes.extend_from_slice(&check.0);
    bytes
}

/// A slot of a later version is as good as none: its format is read from the whole slot of that version, if known.
fn decode(bytes: &[u8; SLOT_BYTES + 32]) -> Option<Mark> {
    let (content, check) = bytes.split_at(SLOT_BYTES);
    let word = |at: usize| content[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let long = |at: usize| content[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    if Hash::of(content).0 != check || word(0)? != SLOT_VERSION {
        return None;
    }
    Some(Mark {
        seq: Seq(long(16)?),
        hash: Hash::from_slice(&content[24..56])?,
        format: word(4)?,
        cluster: Hash::from_slice(&content[56..88])?,
        count: long(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn hash(k: u64) -> Hash {
        Hash::of(&k.to_le_bytes())
    }

    #[test]
    fn the_newest_of_many_marks_is_read_back() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("mark");
        assert_eq!(read(&path).unwrap(), None);
        for k in 1..7 {
            let mut file = MarkFile::open(&path, 1, "c").unwrap();
            assert_eq!(file.newest().map_or(0, |(seq, _)| seq.0), k - 1);
            file.write(Seq(k), hash(k)).unwrap();
            let mark = read(&path).unwrap().unwrap();
            assert_eq!(
                (mark.seq, mark.hash, mark.format, mark.cluster),
                (Seq(k), hash(k), 1, Hash::of(b"c"))
            );
        }
    }

    /// A power cut may leave any part of the last write: then the mark before it counts.
    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("mark");
        let mut file = MarkFile::open(&path, 1, "c").unwrap();
        for k in 1..=5 {
            file.write(Seq(k), hash(k)).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        let newest_at = SLOT_SPACING as usize;
        for at in 0..SLOT_BYTES {
            let mut torn = whole.clone();
            torn[newest_at + at] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(read(&path).unwrap().unwrap().seq, Seq(4), "byte {at}");
        }
    }

    #[test]
    fn two_torn_slots_are_no_mark() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("mark");
        let mut file = MarkFile::open(&path, 1, "c").unwrap();
        file.write(Seq(1), hash(1)).unwrap();
        file.write(Seq(2), hash(2)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        bytes[SLOT_SPACING as usize + 20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
