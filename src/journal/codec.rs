//! Values to bytes and back: the only file that names bincode, so that it can be replaced.
//!
//! Format 1 is bincode 2 through serde: integers as varints, enum variants by their position, sequences with a length
//! in front. Decoding has a limit, and a value that leaves bytes over is refused: it was not written as this type.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Serialize, de::DeserializeOwned};

use crate::limits::BLOCK_BYTES_MAX;

type Format = Configuration<LittleEndian, Varint, Limit<BLOCK_BYTES_MAX>>;
const FORMAT: Format = bincode::config::standard().with_limit::<BLOCK_BYTES_MAX>();

/// A value that does not encode, or bytes that do not decode as what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The type holds something that the format cannot express; a bug.
    #[error("cannot be encoded: {0}")]
    Encode(String),
    /// The bytes are not of this type, or of a later version of it.
    #[error("cannot be decoded: {0}")]
    Decode(String),
    /// The value ended before its bytes did.
    #[error("cannot be decoded: {0} bytes are left over")]
    LeftOver(usize),
    /// A value that must fit a block does not; a bug.
    #[error("takes {0} bytes, more than a block holds")]
    TooLong(usize),
}

/// Appends the value's bytes.
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, out, FORMAT)
        .map(drop)
        .map_err(|error| CodecError::Encode(error.to_string()))
}

/// The value's bytes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Reads a value that takes up all of `bytes`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut rest = bytes;
    let value = decode_first(&mut rest)?;
    match rest.len() {
        0 => Ok(value),
        left => Err(CodecError::LeftOver(left)),
    }
}

/// Reads one value off the front of `bytes`, which moves on.
pub fn decode_first<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, FORMAT)
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    *bytes = &bytes[read..];
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::samples::{entries, records};
    use crate::model::{entry::Entry, row::Record};

    /// The numbers are written in stores: a new kind takes the next one, none is ever given twice. A kind that is missing
    /// here does not compile.
    fn record_number(record: &Record) -> u8 {
        match record {
            Record::Stocked { .. } => 0,
            Record::Deposit(_) => 1,
            Record::Sale { .. } => 2,
            Record::Refusal { .. } => 3,
            Record::Reversal(_) => 4,
            Record::Void { .. } => 5,
            Record::Session { .. } => 6,
            Record::Office { .. } => 7,
            Record::Fence { .. } => 8,
            Record::Paired { .. } => 9,
            Record::Restored { .. } => 10,
            Record::Allotment { .. } => 11,
            Record::Adopt { .. } => 12,
            Record::Complete { .. } => 13,
            Record::Conflict(_) => 14,
        }
    }

    fn entry_number(entry: &Entry) -> u8 {
        match entry {
            Entry::Placed(_) => 0,
            Entry::Answered { .. } => 1,
            Entry::Opened { .. } => 2,
            Entry::Known { .. } => 3,
            Entry::Granted { .. } => 4,
            Entry::Ended { .. } => 5,
            Entry::Accepted { .. } => 6,
            Entry::Settled { .. } => 7,
            Entry::HandedOver { .. } => 8,
            Entry::LedgerSeen { .. } => 9,
            Entry::Mirrored { .. } => 10,
            Entry::Adopted { .. } => 11,
            Entry::Trimmed { .. } => 12,
            Entry::Forgotten { .. } => 13,
            Entry::AskedAgain { .. } => 14,
        }
    }

    #[test]
    fn kinds_of_rows_and_entries_keep_their_numbers() {
        let rows: Vec<u8> = records().iter().map(|record| encode(record).unwrap()[0]).collect();
        assert_eq!(rows, (0..15).collect::<Vec<u8>>());
        assert_eq!(rows, records().iter().map(record_number).collect::<Vec<u8>>());
        let kinds: Vec<u8> = entries().iter().map(|entry| encode(entry).unwrap()[0]).collect();
        assert_eq!(kinds, (0..15).collect::<Vec<u8>>());
        assert_eq!(kinds, entries().iter().map(entry_number).collect::<Vec<u8>>());
    }

    #[test]
    fn every_kind_reads_back() {
        for record in records() {
            assert_eq!(decode::<Record>(&encode(&record).unwrap()), Ok(record));
        }
        for entry in entries() {
            assert_eq!(decode::<Entry>(&encode(&entry).unwrap()), Ok(entry));
        }
    }

    #[test]
    fn bytes_left_over_or_missing_are_refused() {
        let mut bytes = encode(&records()[2]).unwrap();
        assert!(decode::<Record>(&bytes[..bytes.len() - 1]).is_err());
        bytes.push(0);
        assert_eq!(decode::<Record>(&bytes), Err(CodecError::LeftOver(1)));
    }

    #[test]
    fn a_length_beyond_the_limit_allocates_nothing() {
        let bytes = [&[2_u8][..], &[253], &u64::MAX.to_le_bytes()].concat();
        assert!(decode::<(u8, Vec<u64>)>(&bytes).is_err());
    }
}
