//! What a node says first on every stream.

use super::offices::Roster;
use crate::types::{Epoch, Hash, PeerId, ProcessId, Seq, Stamp, Token};

/// Who speaks, from which life, and what it last saw of the ledger.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// The speaker; 0 is the warehouse.
    pub peer: PeerId,
    /// Epoch of its store.
    pub epoch: Epoch,
    /// Proof that it is the one: shown once per stream, by the client side only.
    pub token: Option<Token>,
    /// This life.
    pub process: ProcessId,
    /// Its Lamport clock.
    pub clock: Stamp,
    /// The offices as it knows them.
    pub roster: Roster,
    /// How often the warehouse was restored from a backup, as it knows.
    pub generation: u64,
    /// Sequence and block hash that the ledger was last heard to hold durably.
    pub ledger: (Seq, Hash),
    /// The market it belongs to; empty if it does not know yet.
    pub cluster: String,
    /// Where it listens; empty for a client.
    pub addr: String,
    /// Counts the streams that this process has dialed, from 1; 0: it does not count them.
    pub stream: u64,
}

impl Hello {
    /// Which of two streams of one peer was dialed later: the one with the higher value. Without it: a connection that
    /// was given up arrives after its successor, is taken for the newest, and answers go where nobody reads.
    pub(crate) fn dialed(&self) -> Dialed {
        (self.process, self.stream)
    }
}

/// See [`Hello::dialed`].
pub(crate) type Dialed = (ProcessId, u64);
