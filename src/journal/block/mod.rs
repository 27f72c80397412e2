//! Blocks: the records of (a part of) one step, linked by hashes to a chain.
//!
//! In: records, their wall time and the chain's tip. Out: bytes, and back. Numbers are varints:
//!
//! ```text
//! 2 u8 | first seq | first seq - number | count | wall micros | kinds | peers
//! count x ( length | record ) | hash [32] | check [4]
//! ```
//!
//! `kinds` is one bit for each kind of record; `peers` is 0 if no record is about a peer, else the highest less the lowest
//! plus 1, then the lowest. The *digest* is BLAKE3 over all before the hash, the *hash* BLAKE3 over the hash of the block
//! before (zeros in the first) and the digest, the *check* the start of BLAKE3 over hash and digest.
//!
//! The hash of the block before is not stored; who has it ([`Tip::links`]) sees by the hash that the block follows it.
//! The check is for readers that begin somewhere: without it they would take damage for content up to the next link.
//!
//! Holds: a block is at most [`crate::limits::BLOCK_BYTES_MAX`]; its sequences follow those of the block before without
//! gap; its number is one more; a record is never split. Records carry their length so that one which does not decode,
//! or which a later version wrote, costs no other row. Blocks of format 1 are read as well: see `format_1`.

mod extract;
mod format_1;
mod header;
#[cfg(test)]
mod tests;
mod varint;
mod writer;

pub(crate) use self::extract::Extractor;
pub use self::header::{BlockHeader, Summary};
pub use self::writer::ChainWriter;

use serde::{Deserialize, Serialize};

use self::header::{CHECK_BYTES, Head};
use super::codec::{self, CodecError};
use crate::model::fold::Stored;
use crate::types::{Hash, Seq};

/// The layout above.
pub(crate) const VERSION: u8 = 2;

/// Why bytes are no block. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Cut off.
    #[error("{0} bytes are too few for a block")]
    Short(usize),
    /// Written by a later version.
    #[error("block version {0} is not known here")]
    Version(u8),
    /// The content is not what was written.
    #[error("the hash of block {number} (from sequence {first}) is wrong")]
    Hash {
        /// As the damaged header says.
        number: u64,
        /// As the damaged header says.
        first: Seq,
    },
    /// The hash is right, but the records do not fill the block: written wrongly.
    #[error("block {number} does not hold the {count} records that it says")]
    Count {
        /// Which block.
        number: u64,
        /// What it says.
        count: u32,
    },
    /// The hash is right and a record is not of the known kinds: written by a later version, or wrongly.
    #[error("record {seq} {error}")]
    Record {
        /// Which record.
        seq: Seq,
        /// What is wrong with it.
        error: CodecError,
    },
}

/// The hash of a block behind that other one.
fn linked(previous: Hash, digest: Hash) -> Hash {
    Hash::of(&[previous.0, digest.0].concat())
}

fn check(hash: Hash, digest: Hash) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&linked(hash, digest).0[..CHECK_BYTES]);
    check
}

/// A block's hash, and what ties it to the block before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Its hash.
    pub hash: Hash,
    link: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// The hash of the block before stands in this one (format 1).
    Previous(Hash),
    /// The digest, from which and the hash before follows the hash of this one.
    Digest(Hash),
}

impl Seal {
    fn follows(&self, before: Hash) -> bool {
        match self.link {
            Link::Previous(previous) => previous == before,
            Link::Digest(digest) => linked(before, digest) == self.hash,
        }
    }

    fn of(head: &Head<'_>, bytes: &[u8]) -> Option<Seal> {
        match head.header.version {
            format_1::VERSION => return format_1::seal(head),
            extract::VERSION => return extract::seal(head, bytes),
            _ => {}
        }
        let digest = Hash::of(head.content);
        let right = bytes.ends_with(&check(head.stored, digest));
        right.then_some(Seal { hash: head.stored, link: Link::Digest(digest) })
    }
}

/// The hash that a block says it has, unchecked.
pub(crate) fn stored_hash(bytes: &[u8]) -> Result<Hash, BlockError> {
    Ok(Head::of(bytes)?.stored)
}

/// A block whose content was found whole; its records are still bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a> {
    /// What the block says of itself.
    pub header: BlockHeader,
    /// Its hash.
    pub seal: Seal,
    records: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Checks version and content. That it follows a certain block is for [`Tip::links`] to say.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Sealed<'a>, BlockError> {
        let head = Head::of(bytes)?;
        let Head { header, records, .. } = head;
        let wrong = BlockError::Hash { number: header.number, first: header.first };
        let seal = Seal::of(&head, bytes).ok_or(wrong)?;
        Ok(Sealed { header, seal, records })
    }

    /// The records one by one: one that does not decode leaves the others readable.
    pub(crate) fn rows<R: Stored>(self) -> impl Iterator<Item = (Seq, Result<R, CodecError>)> + 'a {
        let version = self.header.version;
        self.slices().map(move |(seq, bytes)| (seq, decode(version, bytes)))
    }

    /// The records' own bytes. Ends early if lengths and content do not match, which [`Block::decode`] reports.
    fn slices(self) -> Slices<'a> {
        let BlockHeader { version, first, count, .. } = self.header;
        Slices { version, rest: self.records, next: first.0, left: count }
    }
}

fn decode<R: Stored>(version: u8, bytes: &[u8]) -> Result<R, CodecError> {
    if version != format_1::VERSION {
        return codec::decode(bytes);
    }
    let mut rest = bytes;
    let record = R::first_of_format_1(&mut rest)?;
    if rest.is_empty() { Ok(record) } else { Err(CodecError::LeftOver(rest.len())) }
}

struct Slices<'a> {
    version: u8,
    rest: &'a [u8],
    next: u64,
    left: u32,
}

impl<'a> Iterator for Slices<'a> {
    type Item = (Seq, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = match self.version {
            format_1::VERSION => format_1::record(&mut self.rest)?,
            extract::VERSION => {
                let (behind_first, record) = extract::record(&mut self.rest)?;
                return Some((Seq(self.next.saturating_add(behind_first)), record));
            }
            _ => {
                let length = varint::take(&mut self.rest)?.try_into().ok()?;
                let (record, after) = self.rest.split_at_checked(length)?;
                self.rest = after;
                record
            }
        };
        let seq = Seq(self.next);
        self.next = self.next.saturating_add(1);
        Some((seq, record))
    }
}

/// A block taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<R> {
    /// What it says of itself.
    pub header: BlockHeader,
    /// Its records, from `header.first`; of an extract those that are left.
    pub records: Vec<R>,
    /// Where the records of an extract stand.
    seqs: Vec<Seq>,
    /// Its hash.
    pub seal: Seal,
}

impl<R: Stored> Block<R> {
    /// Checks the content and reads all records.
    pub fn decode(bytes: &[u8]) -> Result<Block<R>, BlockError> {
        let sealed = Sealed::open(bytes)?;
        let Sealed { header, seal, .. } = sealed;
        let (BlockHeader { number, count, version, .. }, mut slices) = (header, sealed.slices());
        let records = slices
            .by_ref()
            .map(|(seq, bytes)| decode(version, bytes).map_err(|error| BlockError::Record { seq, error }))
            .collect::<Result<Vec<R>, BlockError>>()?;
        let whole = records.len() == count as usize || header.is_extract();
        if !whole || !slices.rest.is_empty() || count == 0 {
            return Err(BlockError::Count { number, count });
        }
        let seqs =
            if header.is_extract() { sealed.slices().map(|(seq, _)| seq).collect() } else { Vec::new() };
        Ok(Block { header, records, seqs, seal })
    }
}

impl<R> Block<R> {
    /// The records with their sequences.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Seq, &R)> {
        let place = |at: usize| self.seqs.get(at).copied().unwrap_or(Seq(self.header.first.0 + at as u64));
        self.records.iter().enumerate().map(move |(at, record)| (place(at), record))
    }

    /// The same, taken out.
    fn into_rows(self) -> impl Iterator<Item = (Seq, R)> {
        let Block { header, records, seqs, .. } = self;
        let place = move |at: usize| seqs.get(at).copied().unwrap_or(Seq(header.first.0 + at as u64));
        records.into_iter().enumerate().map(move |(at, record)| (place(at), record))
    }
}

/// The end of a chain: what the next block follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// Last sequence.
    pub seq: Seq,
    /// Number of the last block.
    pub block: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Tip {
    /// The end of the chain after a block.
    pub(crate) fn after(header: &BlockHeader, seal: &Seal) -> Tip {
        Tip { seq: header.last(), block: header.number, hash: seal.hash }
    }

    /// The block follows this tip: sequence, number and hash.
    pub fn links(&self, header: &BlockHeader, seal: &Seal) -> bool {
        let begins = header.first == self.seq.next() && header.number == self.block + header.blocks;
        begins && seal.follows(self.hash)
    }
}
