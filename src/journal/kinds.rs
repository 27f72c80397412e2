//! The bytes of every kind of record are a contract with every store ever written.

use super::samples::{entries, records};
use crate::codec::{CodecError, decode, encode};
use crate::model::peer::entry::Entry;
use crate::model::row::Record;

/// The numbers are written in stores: a new kind takes the next one, and none is ever given twice. If a kind is missing
/// here the tests do not compile.
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
        Record::Mode { .. } => 15,
        Record::Returned { .. } => 16,
        Record::Released { .. } => 17,
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
        Entry::Licensed(_) => 15,
    }
}

#[test]
fn kinds_of_rows_and_entries_keep_their_numbers() {
    let rows: Vec<u8> = records().iter().map(|record| encode(record).unwrap()[0]).collect();
    assert_eq!(rows, (0..18).collect::<Vec<u8>>());
    assert_eq!(rows, records().iter().map(record_number).collect::<Vec<u8>>());
    let kinds: Vec<u8> = entries().iter().map(|entry| encode(entry).unwrap()[0]).collect();
    assert_eq!(kinds, (0..16).collect::<Vec<u8>>());
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
