//! The bytes of every kind of record are a contract with every store ever written.

use super::samples::{entries, records};
use crate::codec::{CodecError, decode, encode};
use crate::model::peer::entry::Entry;
use crate::model::row::Record;

/// The numbers are written in stores: a new kind takes the next one, and none is ever given twice.
#[test]
fn kinds_of_rows_and_entries_keep_their_numbers() {
    let (records, entries) = (records(), entries());
    let rows: Vec<usize> = records.iter().map(|record| encode(record).unwrap()[0].into()).collect();
    assert_eq!(rows, (0..Record::KINDS.len()).collect::<Vec<_>>());
    assert_eq!(rows, records.iter().map(Record::kind_number).collect::<Vec<_>>());
    let kinds: Vec<usize> = entries.iter().map(|entry| encode(entry).unwrap()[0].into()).collect();
    assert_eq!(kinds, (0..Entry::KINDS.len()).collect::<Vec<_>>());
    assert_eq!(kinds, entries.iter().map(Entry::kind_number).collect::<Vec<_>>());
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
