//! Records into blocks.

use serde::Serialize;

use super::header::{CHECK_BYTES, HEADER_BYTES_MAX, Summary, TAIL_BYTES};
use super::{BlockHeader, Tip, VERSION, check, linked, varint};
use crate::codec::{self, CodecError};
use crate::limits::BLOCK_BYTES_MAX;
use crate::model::fold::Stored;
use crate::types::{Hash, Seq, WallMicros};

/// Makes the blocks of a chain, one after the other.
pub struct ChainWriter {
    tip: Tip,
    block: Vec<u8>,
    records: Vec<u8>,
    /// One record.
    scratch: Vec<u8>,
}

impl ChainWriter {
    /// Goes on after `tip`.
    pub fn new(tip: Tip) -> ChainWriter {
        let buffer = || Vec::with_capacity(BLOCK_BYTES_MAX);
        ChainWriter { tip, block: buffer(), records: buffer(), scratch: Vec::new() }
    }

    /// The end of the chain.
    pub(crate) fn tip(&self) -> Tip {
        self.tip
    }

    /// Encodes a step's records into as many blocks as they need and hands each to `put` with its first sequence.
    pub fn write<R, E>(
        &mut self,
        records: &[R],
        time: WallMicros,
        mut put: impl FnMut(Seq, &[u8]) -> Result<(), E>,
    ) -> Result<(), E>
    where
        R: Stored,
        E: From<CodecError>,
    {
        let mut rest = records;
        while !rest.is_empty() {
            let (count, summary) = self.fill(rest)?;
            let first = self.tip.seq.next();
            self.seal(count, time, summary);
            put(first, &self.block)?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Encodes as many records as fit into a block; at least one.
    fn fill<R: Stored>(&mut self, records: &[R]) -> Result<(usize, Summary), CodecError> {
        self.records.clear();
        let mut summary = Summary::default();
        for (index, record) in records.iter().enumerate() {
            let start = self.records.len();
            let kind = self.append(record)?;
            if HEADER_BYTES_MAX + self.records.len() + TAIL_BYTES > BLOCK_BYTES_MAX {
                if index == 0 {
                    return Err(CodecError::TooLong(self.records.len()));
                }
                self.records.truncate(start);
                return Ok((index, summary));
            }
            summary.add(kind, record.peer());
        }
        Ok((records.len(), summary))
    }

    /// Appends a record with its length. Gives its kind: the codec puts the number of an enum's variant first.
    fn append<R: Serialize>(&mut self, record: &R) -> Result<u8, CodecError> {
        self.scratch.clear();
        codec::encode_into(record, &mut self.scratch)?;
        varint::put(self.scratch.len() as u64, &mut self.records);
        self.records.extend_from_slice(&self.scratch);
        Ok(self.scratch.first().copied().unwrap_or(u8::MAX))
    }

    /// Puts header, records, hash and check together, and moves the tip.
    fn seal(&mut self, count: usize, time: WallMicros, summary: Summary) {
        let (number, first) = (self.tip.block + 1, self.tip.seq.next());
        let header = BlockHeader {
            version: VERSION,
            number,
            blocks: 1,
            first,
            count: count as u32,
            time,
            summary: Some(summary),
        };
        self.block.clear();
        header.put(&mut self.block);
        self.block.extend_from_slice(&self.records);
        let digest = Hash::of(&self.block);
        let hash = linked(self.tip.hash, digest);
        self.block.extend_from_slice(&hash.0);
        let check: [u8; CHECK_BYTES] = check(hash, digest);
        self.block.extend_from_slice(&check);
        self.tip = Tip { seq: header.last(), block: number, hash };
    }
}
