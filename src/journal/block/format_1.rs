//! The blocks of format 1, which are read and not written any more. All integers little endian:
//!
//! ```text
//! 1 u8 | number u64 | first seq u64 | count u32 | wall micros u64 | previous hash [32]
//! count x ( length u16 | record ) | BLAKE3 over all of the above [32]
//! ```

use super::header::{BlockHeader, Head};
use super::{BlockError, Link, Seal};
use crate::types::{Hash, Seq, WallMicros};

pub(super) const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 8 + 4 + 8 + 32;
const HASH_BYTES: usize = 32;

/// Reads the header.
pub(super) fn head(bytes: &[u8]) -> Result<Head<'_>, BlockError> {
    if bytes.len() < HEADER_BYTES + HASH_BYTES {
        return Err(BlockError::Short(bytes.len()));
    }
    let header = BlockHeader {
        version: VERSION,
        number: u64_at(bytes, 1),
        blocks: 1,
        first: Seq(u64_at(bytes, 9)),
        count: u64_at(bytes, 17) as u32,
        time: WallMicros(u64_at(bytes, 21)),
        summary: None,
    };
    let (content, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
    let mut stored = Hash::default();
    stored.0.copy_from_slice(hash);
    Ok(Head { header, content, records: &content[HEADER_BYTES..], stored })
}

/// Checks the hash.
pub(super) fn seal(head: &Head<'_>) -> Option<Seal> {
    let mut previous = Hash::default();
    previous.0.copy_from_slice(&head.content[29..HEADER_BYTES]);
    let hash = Hash::of(head.content);
    (hash == head.stored).then_some(Seal { hash, link: Link::Previous(previous) })
}

/// Takes a record off the front of `records`.
pub(super) fn record<'a>(records: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = records.split_first_chunk::<2>()?;
    let (record, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *records = after;
    Some(record)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}
