//! The clients whose outcomes are kept, by their last decision: who has been quiet for longest is forgotten first.
//!
//! Peers are few and clients are not: a market that lives for a month has served a million one-shot orders, and the
//! outcome of each would be in every checkpoint. Which clients are forgotten follows from the rows of the ledger and their
//! times alone, so that each replay forgets the same ones.

use std::collections::BTreeMap;

use crate::limits::{CLIENT_IDLE_MS, CLIENT_OUTCOMES_MAX};
use crate::model::session::Session;
use crate::types::{PeerId, Seq, WallMicros};

/// What is kept of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    seq: Seq,
    time: WallMicros,
    outcomes: usize,
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remembered {
    clients: BTreeMap<PeerId, Last>,
    by_last: BTreeMap<Seq, PeerId>,
    /// Of all of them.
    outcomes: usize,
}

impl Remembered {
    /// An outcome of a client was decided in this row, and it has so many outcomes now more, or fewer.
    pub(super) fn decided(&mut self, client: PeerId, seq: Seq, time: WallMicros, more: isize) {
        let before = self.clients.get(&client).map_or(0, |last| last.outcomes);
        self.set(client, Last { seq, time, outcomes: before.saturating_add_signed(more) });
    }

    /// Looks at all outcomes of a client anew.
    pub(super) fn recount(&mut self, client: PeerId, session: &Session) {
        self.remove(client);
        let outcomes = session.kept_count();
        let last = session.kept().map(|kept| (kept.outcome.seq, kept.outcome.time)).max();
        if let Some((seq, time)) = last {
            self.set(client, Last { seq, time, outcomes });
        }
    }

    /// Takes an outcome back from a checkpoint.
    pub(super) fn restore(&mut self, client: PeerId, seq: Seq, time: WallMicros) {
        let before = self.clients.get(&client).copied();
        let (seq, time) = before.map_or((seq, time), |last| (last.seq, last.time).max((seq, time)));
        self.set(client, Last { seq, time, outcomes: before.map_or(0, |last| last.outcomes) + 1 });
    }

    /// The client to forget now, if there is one: it is taken out.
    pub(super) fn too_many(&mut self, now: WallMicros) -> Option<PeerId> {
        let client = self.idle(now)?;
        self.remove(client);
        Some(client)
    }

    /// Whether a client is kept that should have been forgotten with the last decision: an earlier version kept all.
    pub(super) fn has_idle(&self) -> bool {
        let newest = self.by_last.values().next_back().and_then(|client| self.clients.get(client));
        newest.is_some_and(|last| self.idle(last.time).is_some())
    }

    /// The client that has been quiet for longest, if that is long and too many outcomes are kept.
    fn idle(&self, now: WallMicros) -> Option<PeerId> {
        let oldest = self.by_last.values().next().filter(|_| self.outcomes > CLIENT_OUTCOMES_MAX)?;
        let last = self.clients.get(oldest)?;
        (now.0.saturating_sub(last.time.0) >= CLIENT_IDLE_MS * 1_000).then_some(*oldest)
    }

    /// Outcomes of all clients that are kept.
    pub(super) fn outcomes(&self) -> usize {
        self.outcomes
    }

    fn set(&mut self, client: PeerId, last: Last) {
        self.remove(client);
        self.outcomes += last.outcomes;
        self.by_last.insert(last.seq, client);
        self.clients.insert(client, last);
    }

    fn remove(&mut self, client: PeerId) {
        if let Some(last) = self.clients.remove(&client) {
            self.by_last.remove(&last.seq);
            self.outcomes -= last.outcomes;
        }
    }
}
