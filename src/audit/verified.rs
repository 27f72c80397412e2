//! How far an audit came: what it adds up to there, so that a later one of the same logs looks at the rows since alone.
//!
//! In: an audit that found nothing wrong. Out: bytes, and back; and whether logs go on from there, which the hash of the
//! block that each ended with says. Nothing of it is believed that does not fit: then all rows are looked at.
//!
//! ```text
//! magic [8] | BLAKE3 of what follows [32] | length u64 | LZ4 of the rest     numbers little endian
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::doubts::Doubts;
use super::fold::{JournalFold, LedgerFold};
use super::journals::LookUp;
use super::{Check, Source, SourceError};
use crate::journal::{self, CodecError, Tip};
use crate::model::fold::Fold;
use crate::types::{Generation, Hash, PeerId, Seq};

/// The last byte counts the layouts of what follows.
const MAGIC: [u8; 8] = *b"bazver\x004";
const ANY_LAYOUT: [u8; 7] = *b"bazver\x00";
const HEAD_BYTES: usize = MAGIC.len() + 32 + 8;

/// See the module's text.
#[derive(Serialize, Deserialize)]
pub(crate) struct Verified {
    cluster: String,
    /// Cases that held, by check.
    pub(super) held: Vec<(Check, u64)>,
    pub(super) ledger: LedgerVerified,
    pub(super) journals: BTreeMap<PeerId, JournalVerified>,
}

/// Of the ledger.
#[derive(Serialize, Deserialize)]
pub(super) struct LedgerVerified {
    pub tip: Tip,
    pub live: bool,
    pub fold: LedgerFold,
    /// The node's own state, in parts.
    pub state: Option<Vec<Vec<u8>>>,
}

/// Of a journal.
#[derive(Serialize, Deserialize)]
pub(super) struct JournalVerified {
    pub tip: Tip,
    pub live: bool,
    pub fold: JournalFold,
    pub seen: BTreeMap<Seq, BTreeSet<(Generation, Hash)>>,
    pub doubts: Doubts,
    pub reached: (u64, Seq),
    /// The node's own state, in parts.
    pub state: Option<Vec<Vec<u8>>>,
}

impl JournalVerified {
    /// The begin of a journal.
    pub(super) fn nothing(fold: JournalFold) -> JournalVerified {
        let (tip, live, seen, doubts, reached, state) = Default::default();
        JournalVerified { tip, live, fold, seen, doubts, reached, state }
    }
}

/// Why bytes are not what an audit left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VerifiedError {
    /// Something else.
    #[error("it is not what verify keeps")]
    Foreign,
    /// An earlier or later program keeps other things.
    #[error("it was kept by another version")]
    OtherVersion,
    /// Not as they were written.
    #[error("it is damaged")]
    Damaged,
    /// A bug.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Verified {
    pub(super) fn new(
        cluster: String,
        held: Vec<(Check, u64)>,
        ledger: LedgerVerified,
        journals: BTreeMap<PeerId, JournalVerified>,
    ) -> Verified {
        Verified { cluster, held, ledger, journals }
    }

    /// The last row of the ledger that was looked at.
    pub(crate) fn seq(&self) -> Seq {
        self.ledger.tip.seq
    }

    /// As bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, VerifiedError> {
        let raw = journal::encode(self)?;
        let mut rest = (raw.len() as u64).to_le_bytes().to_vec();
        rest.extend(lz4_flex::block::compress(&raw));
        Ok([&MAGIC[..], &Hash::of(&rest).0, &rest].concat())
    }

    /// From bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Verified, VerifiedError> {
        match bytes.starts_with(&MAGIC) {
            true => {}
            false if bytes.starts_with(&ANY_LAYOUT) => return Err(VerifiedError::OtherVersion),
            false => return Err(VerifiedError::Foreign),
        }
        let (head, packed) = bytes.split_at_checked(HEAD_BYTES).ok_or(VerifiedError::Damaged)?;
        let (hash, length) = head[MAGIC.len()..].split_at(32);
        let rest = &bytes[MAGIC.len() + 32..];
        let length = length.try_into().map(u64::from_le_bytes).map_err(|_| VerifiedError::Damaged)?;
        if Hash::of(rest).0 != hash {
            return Err(VerifiedError::Damaged);
        }
        let raw = lz4_flex::block::decompress(packed, length as usize).map_err(|_| VerifiedError::Damaged)?;
        journal::decode_whole(&raw).map_err(|_| VerifiedError::Damaged)
    }

    /// Whether these logs are the same ones, as far as they were looked at; says why not.
    ///
    /// # Errors
    /// A source cannot be read.
    pub(crate) fn fits(&self, sources: &mut [Source]) -> Result<Result<(), String>, SourceError> {
        let nodes: BTreeSet<PeerId> = sources.iter().map(|source| source.meta().node).collect();
        let known: BTreeSet<PeerId> = self.journals.keys().copied().chain([PeerId::WAREHOUSE]).collect();
        if nodes != known || sources.len() != known.len() {
            return Ok(Err("it is of other stores".into()));
        }
        for source in sources {
            let name = source.meta().name();
            let (tip, live) = match self.journals.get(&source.meta().node) {
                Some(journal) => (journal.tip, journal.live),
                None => (self.ledger.tip, self.ledger.live),
            };
            if source.meta().cluster != self.cluster {
                return Ok(Err(format!("{name} is of another market")));
            }
            if source.meta().live != live {
                return Ok(Err(format!("{name} was read in another way, running or stopped")));
            }
            if tip.seq > Seq(0) && !LookUp::new(source.as_mut()).ends_in_any(tip)? {
                return Ok(Err(format!("{name} does not go on from row {}", tip.seq)));
            }
        }
        Ok(Ok(()))
    }
}

/// A node's state, in parts.
pub(super) fn parts<F: Fold>(state: &F) -> Option<Vec<Vec<u8>>> {
    let mut parts = Some(Vec::new());
    state.each_part(&mut |_, part| match journal::encode(&part) {
        Ok(part) => parts.iter_mut().for_each(|parts| parts.push(part.clone())),
        Err(_) => parts = None,
    });
    parts
}

/// The same back.
pub(super) fn state<F: Fold>(parts: &[Vec<u8>]) -> Option<F> {
    let mut state = F::default();
    for part in parts {
        state.restore(journal::decode(part).ok()?);
    }
    Some(state)
}
