//! What a block says of itself, before its records.

use super::{BlockError, VERSION, extract, format_1, varint};
use crate::types::{Hash, PeerId, Seq, WallMicros};

/// Upper bound of an encoded header.
pub(super) const HEADER_BYTES_MAX: usize = 1 + 7 * varint::BYTES_MAX;
/// Hash and check.
pub(super) const TAIL_BYTES: usize = 32 + CHECK_BYTES;
pub(super) const CHECK_BYTES: usize = 4;

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Its layout.
    pub version: u8,
    /// Its number, from 1; of an extract that of the last block it stands for.
    pub number: u64,
    /// How many blocks it stands for: more than one only of an extract.
    pub blocks: u64,
    /// Sequence of its first record; its key.
    pub first: Seq,
    /// How many records; of an extract, how many there were.
    pub count: u32,
    /// Wall clock of the step.
    pub time: WallMicros,
    /// What its records are of; blocks of format 1 do not say.
    pub summary: Option<Summary>,
}

/// Which records a block may hold, so that a reader of some need not decode the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// One bit for each kind of record by its number; the last bit is for that one and all above.
    pub kinds: u32,
    /// The lowest and the highest peer that a record is about.
    pub peers: Option<(PeerId, PeerId)>,
}

impl Summary {
    /// The bit of a kind.
    pub fn bit(kind: u8) -> u32 {
        1 << kind.min(31)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        varint::put(u64::from(self.kinds), out);
        match self.peers {
            None => varint::put(0, out),
            Some((low, high)) => {
                varint::put(u64::from(high.0 - low.0) + 1, out);
                varint::put(u64::from(low.0), out);
            }
        }
    }

    pub(super) fn take(bytes: &mut &[u8]) -> Option<Summary> {
        let kinds = varint::take(bytes)?.try_into().ok()?;
        let peers = match varint::take(bytes)? {
            0 => None,
            span => {
                let low = varint::take(bytes)?;
                let high = low.checked_add(span - 1)?;
                Some((PeerId(low.try_into().ok()?), PeerId(high.try_into().ok()?)))
            }
        };
        Some(Summary { kinds, peers })
    }

    /// Takes a record in.
    pub(super) fn add(&mut self, kind: u8, peer: Option<PeerId>) {
        self.kinds |= Summary::bit(kind);
        if let Some(peer) = peer {
            let (low, high) = self.peers.unwrap_or((peer, peer));
            self.peers = Some((low.min(peer), high.max(peer)));
        }
    }

    /// False if no record is about this peer.
    pub fn may_be_about(&self, peer: PeerId) -> bool {
        self.peers.is_some_and(|(low, high)| (low..=high).contains(&peer))
    }

    /// False if no record is of one of these kinds, given as bits.
    pub fn may_hold(&self, kinds: u32) -> bool {
        self.kinds & kinds != 0
    }
}

/// A block taken apart, unchecked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub header: BlockHeader,
    /// All but hash and check.
    pub content: &'a [u8],
    pub records: &'a [u8],
    /// The hash that the block says it has.
    pub stored: Hash,
}

impl BlockHeader {
    /// Reads the header, without a look at the rest.
    pub(crate) fn peek(bytes: &[u8]) -> Result<BlockHeader, BlockError> {
        Ok(Head::of(bytes)?.header)
    }

    /// Sequence of the last record.
    pub fn last(&self) -> Seq {
        Seq(self.first.0.saturating_add(u64::from(self.count)).saturating_sub(1))
    }

    /// The header as it stands before the records.
    /// It stands for blocks of which not all is left.
    pub fn is_extract(&self) -> bool {
        self.version == extract::VERSION
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        varint::put(self.first.0, out);
        // A block has a record at least, so its number is no higher than its first sequence.
        varint::put(self.first.0 - self.number, out);
        varint::put(u64::from(self.count), out);
        varint::put(self.time.0, out);
        self.summary.unwrap_or_default().put(out);
    }

    /// Reads it off the front of `bytes`, behind the version.
    fn take(bytes: &mut &[u8]) -> Option<BlockHeader> {
        let first = varint::take(bytes)?;
        let number = first.checked_sub(varint::take(bytes)?)?;
        let count = varint::take(bytes)?.try_into().ok()?;
        let time = WallMicros(varint::take(bytes)?);
        let summary = Some(Summary::take(bytes)?);
        Some(BlockHeader { version: VERSION, number, blocks: 1, first: Seq(first), count, time, summary })
    }
}

impl<'a> Head<'a> {
    /// Takes a block apart by the layout of its version.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Head<'a>, BlockError> {
        let short = BlockError::Short(bytes.len());
        match bytes.first() {
            Some(&format_1::VERSION) => format_1::head(bytes),
            Some(&VERSION) => Head::take(bytes).ok_or(short),
            Some(&extract::VERSION) => extract::head(bytes).ok_or(short),
            Some(&version) => Err(BlockError::Version(version)),
            None => Err(short),
        }
    }

    fn take(bytes: &'a [u8]) -> Option<Head<'a>> {
        let (content, tail) = bytes.split_at_checked(bytes.len().checked_sub(TAIL_BYTES)?)?;
        let (hash, _) = tail.split_first_chunk()?;
        let mut records = content.get(1..)?;
        let header = BlockHeader::take(&mut records)?;
        Some(Head { header, content, records, stored: Hash(*hash) })
    }
}
