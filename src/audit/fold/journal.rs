//! A peer's journal: its own orders, what it was told, and what it accepted for others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Keep, Own, Queue};
use crate::audit::runs::Taken;
use crate::audit::{Alarms, Check, Example};
use crate::model::peer::entry::{Entry, Placed, Told};
use crate::model::row::Place;
use crate::types::{Epoch, Generation, Hash, Office, Order, OrderId, PeerId, Seq, Stamp, Term, WallMicros};

/// What a peer was told, through whom and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A journal's state after some entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JournalFold {
    /// The node, as its source says.
    pub(crate) node: PeerId,
    /// Own orders.
    pub(crate) own: Own,
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
    /// Generation of the ledger that the own session is of.
    pub(crate) generation: Generation,
    stamp_seen: Stamp,
}

impl JournalFold {
    /// The empty state of a node.
    pub(crate) fn new(node: PeerId, keep: Keep) -> JournalFold {
        JournalFold {
            node,
            own: Own::new(node, keep),
            queue: Queue::default(),
            accepted: Taken::default(),
            known: BTreeMap::new(),
            opened: None,
            terms: BTreeMap::new(),
            generation: Generation::default(),
            stamp_seen: Stamp::default(),
        }
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
                // Where the log was pruned, what the ledger was heard to be stands here alone.
                self.generation = seen.as_ref().map_or(self.generation, |seen| seen.generation);
                let (via, told_at, generation) = (*via, place.time, self.generation);
                for told in told {
                    self.own.answered(Answer { told: *told, via, told_at, generation }, alarms);
                }
            }
            Entry::Opened { peer, epoch } => {
                self.opened = Some((*peer, *epoch));
                self.own.opened(*epoch);
            }
            Entry::Known { peer, epoch, store } => {
                self.known.insert((*peer, *epoch), (*store, place.epoch(*epoch)));
            }
            Entry::Granted { office, term } => drop(self.terms.insert(*term, (*office, place.seq))),
            Entry::Ended { term } => drop(self.terms.remove(term)),
            Entry::Accepted { term, order } => self.accepted(*term, *order),
            Entry::Settled { peer, first, last } | Entry::HandedOver { peer, first, last } => {
                self.queue.left(*peer, *first, *last);
            }
            Entry::LedgerSeen { generation, .. } => self.generation = *generation,
            Entry::Forgotten { number } => self.own.forgotten(*number, alarms),
            Entry::ToldEarly { told, .. } => {
                let generation = self.generation;
                told.iter().for_each(|it| self.own.told_early(it.id.number, it.filled, generation));
            }
            Entry::ToldEarlyUndrawn { told, .. } => {
                let generation = self.generation;
                told.iter().for_each(|it| self.own.told_early(it.id.number, it.filled, generation));
            }
            // A mirror is a copy: what it holds counts where it was accepted, or once it is adopted.
            Entry::Mirrored { .. }
            | Entry::Adopted { .. }
            | Entry::Trimmed { .. }
            | Entry::AskedAgain { .. }
            | Entry::TentativeUndrawn(_)
            | Entry::Tentative(_)
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
        self.own.placed(placed, alarms);
    }

    fn accepted(&mut self, term: Term, order: Order) {
        self.stamp_seen = self.stamp_seen.max(order.stamp);
        self.accepted.insert(order.id);
        self.queue.accept(term, order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::Seen;
    use crate::model::row::OutcomeKind;
    use crate::types::{Money, Number, OrderKind, ProductId, Quantity};

    /// What a peer heard of the ledger goes when its log is pruned. Its answers say themselves which ledger they are of: of
    /// an earlier one a restore might have lost the row.
    #[test]
    fn an_answer_is_of_the_ledger_that_it_showed() {
        let (mut fold, mut alarms) = (JournalFold::new(PeerId(4), Keep::All), Alarms::new(5));
        let (number, quantity) = (Number(1), Quantity(2));
        let (stamp, kind, product) = (Stamp(1), OrderKind::Buy { partial: false }, ProductId(0));
        let (outcome, reason, filled, amount) = (OutcomeKind::Bought, None, quantity, Money(200));
        let told = Told { number, kind: outcome, reason, filled, amount, seq: Seq(9) };
        let generation = Generation { count: 1, random: 7 };
        let seen = Some(Box::new(Seen { generation, ..Seen::default() }));
        let (seq, block, time, block_hash, version) = Default::default();
        let place = Place { seq, block, time, block_hash, version };
        for entry in [
            Entry::Placed(Placed { number, stamp, kind, product, quantity }),
            Entry::Answered { via: PeerId(6), told: vec![told], seen },
        ] {
            fold.apply(&place, &entry, &mut alarms);
        }
        let answers: Vec<_> = fold.own.values().iter().map(|order| order.answer).collect();
        assert_eq!(
            answers.into_iter().flatten().map(|answer| answer.generation).collect::<Vec<_>>(),
            [generation]
        );
    }
}
