//! A peer's journal: its own orders, what it was told, what it accepted for others, and what it saw of the ledger.

use std::collections::BTreeMap;

use super::{Queue, Taken};
use crate::audit::{Alarms, Check, Example};
use crate::model::peer::entry::{Entry, Placed, Told};
use crate::model::row::Place;
use crate::types::{
    Epoch, Generation, Hash, Number, Office, Order, OrderId, OrderKind, PeerId, Seq, Stamp, Term, WallMicros,
};

/// What a peer was told, through whom and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The outcome.
    pub(crate) told: Told,
    /// The trader that told.
    pub(crate) via: PeerId,
    /// By the peer's wall clock.
    pub(crate) told_at: WallMicros,
    /// Generation of the ledger that the peer's session was of.
    pub(crate) generation: Generation,
}

/// An order of the peer's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnOrder {
    /// As placed.
    pub(crate) placed: Placed,
    /// Absent while open.
    pub(crate) answer: Option<Answer>,
    /// The order was given up: the ledger has an outcome of its number that this store never held.
    pub(crate) forgotten: bool,
}

/// A journal's state after some entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct JournalFold {
    /// The node, as its source says.
    pub(crate) node: PeerId,
    /// Own orders by number.
    pub(crate) orders: BTreeMap<Number, OwnOrder>,
    /// Accepted and neither settled nor handed over, in queue order.
    pub(crate) queue: Queue,
    /// Everything ever accepted.
    pub(crate) accepted: Taken,
    /// Other peers' sessions: the store, and the epoch as its entry says it.
    pub(crate) known: BTreeMap<(PeerId, Epoch), (Hash, u64)>,
    /// The last own session.
    pub(crate) opened: Option<(PeerId, Epoch)>,
    /// Own grants that have not ended, with their rows.
    pub(crate) terms: BTreeMap<Term, (Office, Seq)>,
    /// What it saw of the ledger: (generation, sequence, block hash).
    pub(crate) seen: Vec<(Generation, Seq, Hash)>,
    /// Generation of the ledger that the own session is of.
    pub(crate) generation: Generation,
    stamp_seen: Stamp,
}

impl JournalFold {
    /// The empty state of a node.
    pub(crate) fn new(node: PeerId) -> JournalFold {
        JournalFold { node, ..JournalFold::default() }
    }

    /// The greatest stamp so far.
    pub(crate) fn clock(&self) -> Stamp {
        self.stamp_seen
    }

    /// Takes one entry in and raises an alarm for each invariant that it breaks.
    pub(crate) fn apply(&mut self, place: &Place, entry: &Entry, alarms: &mut Alarms) {
        match entry {
            Entry::Placed(placed) => self.placed(*placed, alarms),
            Entry::Answered { via, told, seen } => {
                self.seen.extend(seen.map(|seen| (seen.generation, seen.seq, seen.hash)));
                let (via, told_at, generation) = (*via, place.time, self.generation);
                told.iter()
                    .for_each(|told| self.answered(Answer { told: *told, via, told_at, generation }, alarms));
            }
            Entry::Opened { peer, epoch } => self.opened = Some((*peer, *epoch)),
            Entry::Known { peer, epoch, store } => {
                self.known.insert((*peer, *epoch), (*store, place.epoch(*epoch)));
            }
            Entry::Granted { office, term } => drop(self.terms.insert(*term, (*office, place.seq))),
            Entry::Ended { term } => drop(self.terms.remove(term)),
            Entry::Accepted { term, order } => self.accepted(*term, *order),
            Entry::Settled { peer, first, last } | Entry::HandedOver { peer, first, last } => {
                self.queue.left(*peer, *first, *last);
            }
            Entry::LedgerSeen { generation, seq, hash, .. } => {
                self.generation = *generation;
                self.seen.push((*generation, *seq, *hash));
            }
            Entry::Forgotten { number } => {
                if let Some(order) = self.orders.get_mut(number) {
                    order.forgotten = true;
                }
            }
            // A mirror is a copy: what it holds counts where it was accepted, or once it is adopted.
            Entry::Mirrored { .. }
            | Entry::Adopted { .. }
            | Entry::Trimmed { .. }
            | Entry::AskedAgain { .. }
            | Entry::Licensed(_) => {}
        }
    }

    /// Stamps go beyond every stamp seen. A `void` names an order that was placed before.
    fn placed(&mut self, placed: Placed, alarms: &mut Alarms) {
        let (Placed { number, stamp, .. }, seen) = (placed, self.stamp_seen);
        let id = OrderId { peer: self.node, number };
        alarms.check(Check::Clock, stamp > seen, || {
            Example::order(id, format!("stamped {stamp} by a peer that had seen {seen}"))
        });
        self.stamp_seen = seen.max(stamp);
        let gives_up = placed.kind == OrderKind::Void && self.orders.contains_key(&number);
        if gives_up {
            return;
        }
        let again = self.orders.insert(number, OwnOrder { placed, answer: None, forgotten: false }).is_some();
        alarms.check(Check::ExactlyOnce, !again, || Example::order(id, "was placed twice by its peer"));
    }

    fn answered(&mut self, answer: Answer, alarms: &mut Alarms) {
        let id = OrderId { peer: self.node, number: answer.told.number };
        let order = self.orders.get_mut(&answer.told.number);
        alarms.check(Check::ToldIsDone, order.is_some(), || {
            Example::order(id, "was answered and never placed")
        });
        let Some(order) = order else { return };
        let before = order.answer.map(|before| before.told);
        alarms.check(Check::ToldIsDone, before.is_none_or(|before| before == answer.told), || {
            Example::order(id, "was told two different outcomes")
        });
        order.answer.get_or_insert(answer);
    }

    fn accepted(&mut self, term: Term, order: Order) {
        self.stamp_seen = self.stamp_seen.max(order.stamp);
        self.accepted.insert(order.id);
        self.queue.accept(term, order);
    }
}
