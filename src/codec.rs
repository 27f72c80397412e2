//! Values to bytes and back: the only file that names bincode, so that it can be replaced.
//!
//! Formats 1 and 2 are bincode 2 through serde: integers as varints, enum variants by their position, sequences with a length
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
pub(crate) fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, out, FORMAT)
        .map(drop)
        .map_err(|error| CodecError::Encode(error.to_string()))
}

/// The value's bytes.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Reads a value that takes up all of `bytes`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut rest = bytes;
    let value = decode_first(&mut rest)?;
    match rest.len() {
        0 => Ok(value),
        left => Err(CodecError::LeftOver(left)),
    }
}

/// The same of bytes that were found to be as they were written, of any length.
pub(crate) fn decode_whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, bincode::config::standard())
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    if read == bytes.len() { Ok(value) } else { Err(CodecError::LeftOver(bytes.len() - read)) }
}

/// Reads one value off the front of `bytes`, which moves on.
pub(crate) fn decode_first<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, FORMAT)
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    *bytes = &bytes[read..];
    Ok(value)
}
