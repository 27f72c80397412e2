//! Replication between the two traders: what one has accepted stands on the other's disk, too.
//!
//! A trader sends what it accepts in chunks, one per turn, encoded once; the partner stores the bytes as they are and
//! acknowledges what is durable. A new stream begins with all that is unsettled, so that the mirror is whole; when the
//! secondary has acknowledged that, the primary has the warehouse journal the pair. A chunk is forgotten when all its
//! orders are settled. When the partner's term is over its mirror is adopted: the orders become accepted ones of that
//! term here, and go the way of all orders of ended terms ([`super::handover`]), duplicates being harmless.

mod mirror;
mod send;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::line::Line;
use crate::model::backoff::Backoff;
use crate::model::happening::Replayed;
use crate::model::hello::Dialed;
use crate::model::market::NotTaken;
use crate::model::row::Outcome;
use crate::model::step::ConnId;
use crate::types::{Now, Order, OrderId, PeerId, Seq, Term};

/// Orders of one chunk that are not settled yet.
struct Chunk {
    last: Seq,
    open: u64,
}

/// A proven stream of another peer to this one.
struct Incoming {
    peer: PeerId,
    dialed: Dialed,
    /// It was answered; nothing may be said on it before.
    greeted: bool,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Replica {
    line: Line,
    /// The trader and term that the line was dialed for.
    seat: Option<(PeerId, Term)>,
    /// Accepted in this turn.
    fresh: Vec<Order>,
    chunks: VecDeque<Chunk>,
    trimmed: Seq,
    /// The place right above the last chunk that held orders.
    chunk_end: Seq,
    /// Counts the streams that were dialed.
    streams: u64,
    /// Messages sent on this line and acknowledged there, each once and in order.
    sent: u64,
    acked: u64,
    /// Since when an acknowledgement is owed.
    asked: Option<Now>,
    /// What of the snapshot is still to be sent, a part after each acknowledgement.
    snapshot: VecDeque<Vec<Order>>,
    /// The warehouse is being asked to journal the pair.
    pairing: bool,
    pair_backoff: Backoff,
    pair_at: Option<Now>,
    /// The secondary's term that is being brought up to date, and when that last went on, or a stream ended on which it
    /// was.
    syncing: Option<(Term, Now)>,
    /// Streams of the other trader to this one.
    incoming: BTreeMap<ConnId, Incoming>,
    /// Orders of a dead trader that are not settled here yet, and what became of the others.
    adopted: BTreeSet<OrderId>,
    counted: Replayed,
}

impl Replica {
    /// Counts what was adopted as it is settled, for the failover's figures.
    pub(super) fn count_replayed(&mut self, outcomes: &[Outcome], not_taken: &[(OrderId, NotTaken)]) {
        if self.adopted.is_empty() {
            return;
        }
        for outcome in outcomes.iter().filter(|outcome| self.adopted.remove(&outcome.id)) {
            self.counted.settled += 1;
            self.counted.duplicates += u64::from(outcome.repeated);
        }
        for (_, why) in not_taken.iter().filter(|(id, _)| self.adopted.remove(id)) {
            // A stale order was decided long ago, and its peer has the outcome.
            self.counted.lost += u64::from(*why != NotTaken::Stale);
        }
    }

    /// An adopted order went to another home.
    pub(super) fn adopted_left(&mut self, id: OrderId) {
        self.adopted.remove(&id);
    }

    /// What became of the adopted orders, once all of them are settled.
    pub(super) fn replayed(&self) -> Option<Replayed> {
        self.adopted.is_empty().then_some(self.counted)
    }

    /// Since when the other trader owes an acknowledgement.
    pub(super) fn waiting_since(&self) -> Option<Now> {
        self.asked.filter(|_| self.line.is_up())
    }

    /// What the other trader owes an answer to counts from now.
    pub(super) fn restart_waiting(&mut self, now: Now) {
        self.asked = self.asked.map(|_| now);
        self.syncing = self.syncing.map(|(term, _)| (term, now));
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.incoming.keys().copied().chain(self.line.conn())
    }
}

#[cfg(test)]
mod tests;
