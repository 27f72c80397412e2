//! Blocks: the records of (a part of) one step, linked by hashes to a chain.
//!
//! In: records, their wall time and the chain's tip. Out: bytes, and back. All integers little endian:
//!
//! ```text
//! version u8 | number u64 | first seq u64 | count u32 | wall micros u64 | previous hash [32]
//! count x ( length u16 | record ) | BLAKE3 over all of the above [32]
//! ```
//!
//! Holds: a block is at most [`BLOCK_BYTES_MAX`]; its sequences follow those of the block before without gap; its
//! number is one more; a record is never split. Records carry their length so that one which does not decode, or
//! which a later version wrote, costs no other row.

use serde::{Serialize, de::DeserializeOwned};

use super::codec::{self, CodecError};
use crate::limits::BLOCK_BYTES_MAX;
use crate::types::{Hash, Seq, WallMicros};

/// The layout above.
pub(crate) const BLOCK_VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 8 + 4 + 8 + 32;
const HASH_BYTES: usize = 32;
const LENGTH_BYTES: usize = 2;
const COUNT_AT: usize = 17;

const _: () = assert!(BLOCK_BYTES_MAX <= u16::MAX as usize, "a record's length fits its field");

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

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Its number, from 1.
    pub number: u64,
    /// Sequence of its first record; its key.
    pub first: Seq,
    /// How many records.
    pub count: u32,
    /// Wall clock of the step.
    pub time: WallMicros,
    /// Hash of the block before; zeros in the first.
    pub previous: Hash,
}

impl BlockHeader {
    /// Reads the header, without a look at the rest.
    pub(crate) fn peek(bytes: &[u8]) -> Result<BlockHeader, BlockError> {
        if bytes.len() < HEADER_BYTES + HASH_BYTES {
            return Err(BlockError::Short(bytes.len()));
        }
        if bytes[0] != BLOCK_VERSION {
            return Err(BlockError::Version(bytes[0]));
        }
        let mut previous = [0; HASH_BYTES];
        previous.copy_from_slice(&bytes[29..HEADER_BYTES]);
        Ok(BlockHeader {
            number: u64_at(bytes, 1),
            first: Seq(u64_at(bytes, 9)),
            count: u64_at(bytes, COUNT_AT) as u32,
            time: WallMicros(u64_at(bytes, 21)),
            previous: Hash(previous),
        })
    }

    /// Sequence of the last record.
    pub fn last(&self) -> Seq {
        Seq((self.first.0 + u64::from(self.count)).saturating_sub(1))
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

/// A block whose hash was found right; its records are still bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a> {
    /// What the block says of itself.
    pub header: BlockHeader,
    /// Its hash.
    pub hash: Hash,
    records: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Checks version and hash.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Sealed<'a>, BlockError> {
        let header = BlockHeader::peek(bytes)?;
        let (content, stored) = bytes.split_at(bytes.len() - HASH_BYTES);
        let hash = Hash::of(content);
        if hash.0 != stored {
            return Err(BlockError::Hash { number: header.number, first: header.first });
        }
        Ok(Sealed { header, hash, records: &content[HEADER_BYTES..] })
    }

    /// The records one by one: one that does not decode leaves the others readable.
    pub(crate) fn rows<R: DeserializeOwned>(self) -> impl Iterator<Item = (Seq, Result<R, CodecError>)> + 'a {
        self.slices().map(|(seq, bytes)| (seq, codec::decode(bytes)))
    }

    /// The records' own bytes. Ends early if lengths and content do not match, which [`Block::decode`] reports.
    fn slices(self) -> impl Iterator<Item = (Seq, &'a [u8])> {
        let mut rest = self.records;
        (0..u64::from(self.header.count)).map_while(move |index| {
            let (length, after) = rest.split_first_chunk::<LENGTH_BYTES>()?;
            let (record, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            rest = after;
            Some((Seq(self.header.first.0 + index), record))
        })
    }
}

/// A block taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<R> {
    /// What it says of itself.
    pub header: BlockHeader,
    /// Its records, from `header.first`.
    pub records: Vec<R>,
    /// Its hash.
    pub hash: Hash,
}

impl<R: DeserializeOwned> Block<R> {
    /// Checks the hash and reads all records.
    pub fn decode(bytes: &[u8]) -> Result<Block<R>, BlockError> {
        let sealed = Sealed::open(bytes)?;
        let BlockHeader { number, count, .. } = sealed.header;
        let records = sealed
            .rows()
            .map(|(seq, record)| record.map_err(|error| BlockError::Record { seq, error }))
            .collect::<Result<Vec<R>, BlockError>>()?;
        let length: usize = sealed.slices().map(|(_, record)| record.len() + LENGTH_BYTES).sum();
        if records.len() != count as usize || length != sealed.records.len() || count == 0 {
            return Err(BlockError::Count { number, count });
        }
        Ok(Block { header: sealed.header, records, hash: sealed.hash })
    }
}

impl<R> Block<R> {
    /// The records with their sequences.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Seq, &R)> {
        self.records.iter().zip(self.header.first.0..).map(|(record, seq)| (Seq(seq), record))
    }
}

/// The end of a chain: what the next block follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    pub(crate) fn after(sealed: &Sealed<'_>) -> Tip {
        Tip { seq: sealed.header.last(), block: sealed.header.number, hash: sealed.hash }
    }

    /// The block follows this tip: sequence, number and hash.
    pub fn links(&self, header: &BlockHeader) -> bool {
        header.first == self.seq.next() && header.number == self.block + 1 && header.previous == self.hash
    }
}

/// Makes the blocks of a chain, one after the other.
pub struct ChainWriter {
    tip: Tip,
    buffer: Vec<u8>,
}

impl ChainWriter {
    /// Goes on after `tip`.
    pub fn new(tip: Tip) -> ChainWriter {
        ChainWriter { tip, buffer: Vec::with_capacity(BLOCK_BYTES_MAX) }
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
        R: Serialize,
        E: From<CodecError>,
    {
        let mut rest = records;
        while !rest.is_empty() {
            let count = self.fill(rest, time)?;
            let first = self.tip.seq.next();
            self.seal(count);
            put(first, &self.buffer)?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Puts a header and as many records as fit into the buffer; at least one.
    fn fill<R: Serialize>(&mut self, records: &[R], time: WallMicros) -> Result<usize, CodecError> {
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.push(BLOCK_VERSION);
        buffer.extend_from_slice(&(self.tip.block + 1).to_le_bytes());
        buffer.extend_from_slice(&self.tip.seq.next().0.to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&time.0.to_le_bytes());
        buffer.extend_from_slice(&self.tip.hash.0);
        for (index, record) in records.iter().enumerate() {
            let start = buffer.len();
            append_record(record, buffer)?;
            if buffer.len() + HASH_BYTES > BLOCK_BYTES_MAX {
                if index == 0 {
                    return Err(CodecError::TooLong(buffer.len() - start));
                }
                buffer.truncate(start);
                return Ok(index);
            }
        }
        Ok(records.len())
    }

    /// Writes count and hash, and moves the tip.
    fn seal(&mut self, count: usize) {
        self.buffer[COUNT_AT..COUNT_AT + 4].copy_from_slice(&(count as u32).to_le_bytes());
        let hash = Hash::of(&self.buffer);
        self.buffer.extend_from_slice(&hash.0);
        self.tip = Tip { seq: Seq(self.tip.seq.0 + count as u64), block: self.tip.block + 1, hash };
    }
}

fn append_record<R: Serialize>(record: &R, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; LENGTH_BYTES]);
    codec::encode_into(record, buffer)?;
    let length = buffer.len() - start - LENGTH_BYTES;
    let field = u16::try_from(length).map_err(|_| CodecError::TooLong(length))?;
    buffer[start..start + LENGTH_BYTES].copy_from_slice(&field.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::{Count, add};

    fn blocks(records: &[Count]) -> Vec<Vec<u8>> {
        let (mut chain, mut blocks) = (ChainWriter::new(Tip::default()), Vec::new());
        chain
            .write(records, WallMicros(7), |first, block| {
                assert_eq!(BlockHeader::peek(block).unwrap().first, first);
                blocks.push(block.to_vec());
                Ok::<(), CodecError>(())
            })
            .unwrap();
        assert_eq!(chain.tip().seq, Seq(records.len() as u64));
        blocks
    }

    #[test]
    fn a_block_reads_back_as_it_was_written() {
        let records = vec![add(1, 2), Count::Note(vec![9; 300]), add(3, u64::MAX)];
        let block = Block::<Count>::decode(&blocks(&records)[0]).unwrap();
        assert_eq!(block.records, records);
        let BlockHeader { number, first, count, time, previous } = block.header;
        assert_eq!((number, first, count, time), (1, Seq(1), 3, WallMicros(7)));
        assert_eq!(previous, Hash::default());
        assert_eq!(block.rows().map(|(seq, _)| seq.0).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn a_long_step_becomes_several_linked_blocks_and_no_record_is_split() {
        let records: Vec<Count> = (0..200).map(|k| Count::Note(vec![k as u8; 700])).collect();
        let blocks = blocks(&records);
        assert!(blocks.len() > 8 && blocks.iter().all(|block| block.len() <= BLOCK_BYTES_MAX));
        let (mut tip, mut read) = (Tip::default(), Vec::new());
        for bytes in &blocks {
            let sealed = Sealed::open(bytes).unwrap();
            assert!(tip.links(&sealed.header));
            tip = Tip::after(&sealed);
            read.extend(Block::<Count>::decode(bytes).unwrap().records);
        }
        assert_eq!(read, records);
    }

    #[test]
    fn a_record_longer_than_a_block_is_refused() {
        let mut chain = ChainWriter::new(Tip::default());
        let note = Count::Note(vec![0; BLOCK_BYTES_MAX]);
        let put = |_: Seq, _: &[u8]| Ok::<(), CodecError>(());
        assert!(matches!(chain.write(&[note], WallMicros(0), put), Err(CodecError::TooLong(_))));
    }

    #[test]
    fn every_altered_or_missing_byte_is_seen() {
        let block = &blocks(&[add(1, 2), add(3, 4)])[0];
        for at in 0..block.len() {
            let mut altered = block.clone();
            altered[at] ^= 0x10;
            assert!(Block::<Count>::decode(&altered).is_err(), "byte {at}");
            assert!(Block::<Count>::decode(&block[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_record_that_does_not_decode_costs_no_other_row() {
        #[derive(serde::Serialize)]
        #[allow(dead_code)]
        enum Later {
            Add { name: u16, amount: u64 },
            Note(Vec<u8>),
            New(u8),
        }
        let records = [Later::Add { name: 1, amount: 2 }, Later::New(3), Later::Note(vec![4])];
        let mut bytes = Vec::new();
        let put = |_: Seq, block: &[u8]| {
            bytes = block.to_vec();
            Ok::<(), CodecError>(())
        };
        ChainWriter::new(Tip::default()).write(&records, WallMicros(0), put).unwrap();
        let rows: Vec<_> = Sealed::open(&bytes).unwrap().rows::<Count>().collect();
        assert_eq!(rows[0], (Seq(1), Ok(add(1, 2))));
        assert!(rows[1].1.is_err());
        assert_eq!(rows[2], (Seq(3), Ok(Count::Note(vec![4]))));
        assert!(matches!(Block::<Count>::decode(&bytes), Err(BlockError::Record { seq: Seq(2), .. })));
    }
}
