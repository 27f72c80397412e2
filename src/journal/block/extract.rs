//! What a pruned journal keeps of a run of blocks: the records that stay, and what the chain needs to go on behind it.
//! Numbers are varints:
//!
//! ```text
//! 3 u8 | first seq | rows | number of the last block | blocks | wall micros | kinds | peers | hash before [32]
//! ( seq - first seq | length | record ) ... | hash [32] | check [4]
//! ```
//!
//! Rows, blocks and hashes are those of the run, kinds and peers those of what stays. All records of an extract are from
//! the run's last block, whose time it has.
//!
//! Extracts are made of a whole segment at a time. Its hashes stand at both ends; between two of its extracts stand zeros.
//! No hash of blocks that are gone can be computed again, so that one there would show nothing, and takes more room than
//! what stays.

use super::header::{BlockHeader, CHECK_BYTES, Head, Summary};
use super::{Block, Link, Seal, Tip, check, varint};
use crate::codec::{self, CodecError};
use crate::model::fold::Stored;
use crate::types::{Hash, Seq, WallMicros};

pub(super) const VERSION: u8 = 3;

/// Reads the header.
pub(super) fn head(bytes: &[u8]) -> Option<Head<'_>> {
    let (content, tail) = bytes.split_at_checked(bytes.len().checked_sub(32 + CHECK_BYTES)?)?;
    let (stored, _) = tail.split_first_chunk()?;
    let mut rest = content.get(1..)?;
    let mut number = || varint::take(&mut rest);
    let (first, count, number, blocks, time) = (number()?, number()?, number()?, number()?, number()?);
    let summary = Some(Summary::take(&mut rest)?);
    let header = BlockHeader {
        version: VERSION,
        number,
        blocks,
        first: Seq(first),
        count: count.try_into().ok()?,
        time: WallMicros(time),
        summary,
    };
    let (_, records) = rest.split_at_checked(32)?;
    Some(Head { header, content, records, stored: Hash(*stored) })
}

/// Checks that it is as it was written.
pub(super) fn seal(head: &Head<'_>, bytes: &[u8]) -> Option<Seal> {
    let mut rest = head.content.get(1..)?;
    (0..5).try_for_each(|_| varint::take(&mut rest).map(drop))?;
    Summary::take(&mut rest)?;
    let (previous, _) = rest.split_first_chunk()?;
    let right = bytes.ends_with(&check(head.stored, Hash::of(head.content)));
    right.then_some(Seal { hash: head.stored, link: Link::Previous(Hash(*previous)) })
}

/// Takes a record off the front of `records`, with its place behind the first row.
pub(super) fn record<'a>(records: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let offset = varint::take(records)?;
    let length = varint::take(records)?.try_into().ok()?;
    let (record, after) = records.split_at_checked(length)?;
    *records = after;
    Some((offset, record))
}

/// Makes extracts of blocks that follow one another.
pub(crate) struct Extractor {
    /// What the last extract said that it ends with.
    before: Tip,
    end: Tip,
    time: WallMicros,
    upto: Tip,
}

impl Extractor {
    /// Of the blocks behind `before`, of which the last one ends at `upto`.
    pub(crate) fn new(before: Tip, upto: Tip) -> Extractor {
        Extractor { before, end: before, time: WallMicros::default(), upto }
    }

    /// Takes the next block; gives an extract if a record of it stays, for it and all before it since the last one.
    pub(crate) fn add<R: Stored>(&mut self, block: Block<R>) -> Result<Option<Vec<u8>>, CodecError> {
        self.end = Tip::after(&block.header, &block.seal);
        self.time = block.header.time;
        let kept = block.into_rows().filter_map(|(seq, record)| Some((seq, record.pruned()?)));
        let kept: Vec<(Seq, R)> = kept.collect();
        if kept.is_empty() { Ok(None) } else { self.close(&kept).map(Some) }
    }

    /// An extract of the blocks since the last one, of which nothing stays; none if there are none.
    pub(crate) fn finish<R: Stored>(&mut self) -> Result<Option<Vec<u8>>, CodecError> {
        if self.end.seq == self.before.seq { Ok(None) } else { self.close::<R>(&[]).map(Some) }
    }

    fn close<R: Stored>(&mut self, kept: &[(Seq, R)]) -> Result<Vec<u8>, CodecError> {
        let first = self.before.seq.next();
        let (mut records, mut summary) = (Vec::new(), Summary::default());
        for (seq, record) in kept {
            let bytes = codec::encode(record)?;
            summary.add(bytes.first().copied().unwrap_or(u8::MAX), record.peer());
            varint::put(seq.0 - first.0, &mut records);
            varint::put(bytes.len() as u64, &mut records);
            records.extend_from_slice(&bytes);
        }
        let mut out = vec![VERSION];
        let (rows, blocks) = (self.end.seq.0 - self.before.seq.0, self.end.block - self.before.block);
        for number in [first.0, rows, self.end.block, blocks, self.time.0] {
            varint::put(number, &mut out);
        }
        summary.put(&mut out);
        out.extend_from_slice(&self.before.hash.0);
        out.extend_from_slice(&records);
        let hash = if self.end == self.upto { self.end.hash } else { Hash::default() };
        let digest = Hash::of(&out);
        out.extend_from_slice(&hash.0);
        out.extend_from_slice(&check(hash, digest));
        self.before = Tip { hash, ..self.end };
        Ok(out)
    }
}
