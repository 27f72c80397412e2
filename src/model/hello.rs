//! What a node says first on every stream but Watch.

use super::evidence::Seen;
use super::offices::Roster;
use super::peer::entry::Proof;
use crate::types::{Epoch, Generation, Hash, PeerId, ProcessId, Seq, Stamp, Token};

/// Who speaks, from which life, and what it last saw of the ledger.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// The speaker; 0 is the warehouse.
    pub peer: PeerId,
    /// Epoch of its store.
    pub epoch: Epoch,
    /// Proof that the speaker is this peer. Only the side that dials or calls shows it: to the warehouse, and to a trader
    /// where the warehouse says that it listens.
    pub token: Option<Token>,
    /// This life.
    pub process: ProcessId,
    /// Its Lamport clock.
    pub clock: Stamp,
    /// The offices as it knows them.
    pub roster: Roster,
    /// The ledger's generation, as it knows.
    pub generation: Generation,
    /// Sequence and block hash that the ledger was last heard to hold durably.
    pub ledger: (Seq, Hash),
    /// The warehouse's signature of that, where it has one.
    pub ledger_proof: Option<Proof>,
    /// The market it belongs to; empty if it does not know yet.
    pub cluster: String,
    /// Where it listens; empty for a client.
    pub addr: String,
    /// Counts the streams that this process has dialed, from 1. 0: it does not count them, or this hello is an answer
    /// or comes with a call.
    pub stream: u64,
    /// Proof on a link: see [`LinkKey`](super::link::LinkKey). The default is none.
    pub proof: Hash,
}

impl Hello {
    /// What it says of the ledger.
    pub(crate) fn seen(&self) -> Seen {
        let (seq, hash) = self.ledger;
        Seen { generation: self.generation, seq, hash, proof: self.ledger_proof }
    }

    /// Has it say that of the ledger.
    pub(crate) fn show(&mut self, seen: Seen) {
        (self.generation, self.ledger, self.ledger_proof) = (seen.generation, seen.ledger(), seen.proof);
    }

    /// Upper estimate of its bytes in memory.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Hello>() + self.cluster.len() + self.addr.len() + self.roster.weight()
    }

    /// Tells streams of one peer apart by when they were dialed: the later one has the higher value.
    pub(crate) fn dialed(&self) -> Dialed {
        (self.process, self.stream)
    }

    /// Whether its stream was dialed before that other one of the same peer. Without this: the bytes of a connection
    /// that was given up arrive after those of its successor, the dead stream is taken for the newest, and answers go
    /// where nobody reads.
    pub fn was_dialed_before(&self, other: Dialed) -> bool {
        self.stream != 0 && self.dialed() < other
    }
}

/// See [`Hello::dialed`].
pub(crate) type Dialed = (ProcessId, u64);
