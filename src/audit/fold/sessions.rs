//! Sessions: V03's half of the ledger. An order id has at most one outcome row, and belongs to a session that was opened.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::audit::{Alarms, Check, Example};
use crate::model::row::{Place, Record};
use crate::types::{Consistency, Epoch, Generation, Hash, Number, OrderId, PeerId};

/// A set of numbers from 1 that is mostly without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    upto: u32,
    above: BTreeSet<u32>,
}

impl Numbers {
    /// Adds one; false if it was there.
    pub(crate) fn insert(&mut self, k: u32) -> bool {
        if k == self.upto.saturating_add(1) && self.above.is_empty() {
            self.upto = k;
            return true;
        }
        if k <= self.upto || !self.above.insert(k) {
            return false;
        }
        while self.above.remove(&self.upto.saturating_add(1)) {
            self.upto += 1;
        }
        true
    }

    /// Whether one is there.
    pub(crate) fn contains(&self, k: u32) -> bool {
        (1..=self.upto).contains(&k) || self.above.contains(&k)
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        u64::from(self.upto) + self.above.len() as u64
    }

    /// All up to here are there.
    pub(crate) fn floor(&self) -> u32 {
        self.upto
    }

    /// The greatest.
    pub(crate) fn highest(&self) -> u32 {
        self.above.last().copied().unwrap_or(self.upto)
    }
}

/// One store of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionState {
    /// BLAKE3 of its token.
    pub(crate) store: Hash,
    /// Its epoch as its row shows it.
    pub(crate) shown_epoch: u64,
    /// Numbers that have an outcome.
    pub(crate) decided: Numbers,
}

/// The sessions of all peers' stores.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sessions {
    /// By peer and epoch.
    pub(crate) stores: BTreeMap<(PeerId, Epoch), SessionState>,
    /// A restore closed all epochs below this one.
    first: Epoch,
    /// Epochs of this generation end before this one.
    end: Epoch,
    /// The market answered from caches, at some time, or the goods of a term were released: what was told is booked, also
    /// of a closed epoch.
    cached: bool,
}

impl Default for Sessions {
    fn default() -> Sessions {
        let first = Generation::default();
        Sessions {
            stores: BTreeMap::new(),
            first: first.first_epoch(),
            end: first.end_of_epochs(),
            cached: false,
        }
    }
}

impl Sessions {
    pub(super) fn apply(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) {
        match record {
            Record::Session { peer: PeerId::WAREHOUSE, .. } => {}
            Record::Session { peer, epoch, store, .. } => self.open(place, *peer, *epoch, *store, alarms),
            Record::Restored { generation, .. } => {
                (self.first, self.end) = (generation.first_epoch(), generation.end_of_epochs());
            }
            Record::Mode { mode, .. } => self.cached |= *mode == Consistency::Cached,
            Record::Released { .. } => self.cached = true,
            _ => {}
        }
        if let Some(decision) = record.decision() {
            let void = matches!(record, Record::Void { .. });
            let told = self.cached || decision.batch.decision().is_some();
            self.decided(place, decision.order.id, (void, void || told), alarms);
        }
    }

    /// Its orders that were undecided then stay so.
    pub(super) fn is_closed_by_restore(&self, epoch: Epoch) -> bool {
        epoch < self.first
    }

    /// A peer's epochs follow each other from 0, each with another store than the one before; after a restore from its
    /// generation, with any. A store that another one had replaced may come back: it has what was told before, and gets
    /// numbers of its own.
    fn open(&mut self, place: &Place, peer: PeerId, epoch: Epoch, store: Hash, alarms: &mut Alarms) {
        // A row of format 1 counts in what its epochs are today.
        let step = if place.version == 1 { Epoch::of_format_1(1).0 } else { 1 };
        let next = |Epoch(latest): Epoch| Epoch(latest - latest % step + step);
        let due = self.latest(peer).map_or(Epoch(0), next).max(self.first);
        alarms.check(Check::ExactlyOnce, epoch == due && epoch < self.end, || {
            Example::row(place, format!("epoch {epoch} of peer {peer} opened, {due} was next"))
        });
        let present = self.of(peer).next_back().filter(|((_, epoch), _)| *epoch >= self.first);
        let known = present.is_some_and(|(_, session)| session.store == store);
        alarms.check(Check::ExactlyOnce, !known, || {
            Example::row(place, format!("the present store of peer {peer} opened a second session"))
        });
        let state = self.stores.entry((peer, epoch)).or_default();
        (state.store, state.shown_epoch) = (store, place.epoch(epoch));
    }

    fn decided(&mut self, place: &Place, id: OrderId, (void, closed): (bool, bool), alarms: &mut Alarms) {
        let OrderId { peer, number } = id;
        let latest = self.latest(peer);
        let epoch = number.epoch();
        let lost = epoch < self.first;
        let present = |latest: Epoch| epoch == latest && !lost;
        let opened = latest
            .is_some_and(|latest| present(latest) || (void && lost) || (closed && !lost && epoch < latest));
        alarms.check(Check::ExactlyOnce, opened && number.k() > 0, || {
            Example::row(place, format!("order {id} is of no session that its peer has open"))
        });
        let shown_epoch = place.epoch(epoch);
        let unopened = || SessionState { shown_epoch, ..SessionState::default() };
        let store = self.stores.entry((peer, epoch)).or_insert_with(unopened);
        let first = store.decided.insert(number.k());
        alarms.check(Check::ExactlyOnce, first, || {
            Example::order(id, format!("has a second outcome at row {}", place.seq))
        });
    }

    /// Whether the order has an outcome row.
    pub(crate) fn has_outcome(&self, id: OrderId) -> bool {
        let session = self.stores.get(&(id.peer, id.number.epoch()));
        session.is_some_and(|session| session.decided.contains(id.number.k()))
    }

    /// Of orders whose numbers follow each other: how many have an outcome row, and those that have none.
    pub(crate) fn of_run(&self, peer: PeerId, epoch: Epoch, first: u32, last: u32) -> (u64, Vec<OrderId>) {
        let decided = self.stores.get(&(peer, epoch)).map(|session| &session.decided);
        let behind = decided.map_or(0, Numbers::floor).saturating_add(1).max(first);
        let there = |k: &u32| decided.is_some_and(|decided| decided.contains(*k));
        let missing = (behind..=last).filter(|k| !there(k));
        let missing: Vec<OrderId> =
            missing.map(|k| OrderId { peer, number: Number::new(epoch, k) }).collect();
        (u64::from(last - first) + 1 - missing.len() as u64, missing)
    }

    fn latest(&self, peer: PeerId) -> Option<Epoch> {
        self.of(peer).next_back().map(|((_, epoch), _)| *epoch)
    }

    fn of(&self, peer: PeerId) -> impl DoubleEndedIterator<Item = (&(PeerId, Epoch), &SessionState)> {
        self.stores.range((peer, Epoch(0))..=(peer, Epoch(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_close_up() {
        let mut numbers = Numbers::default();
        assert!(numbers.insert(1) && numbers.insert(3) && numbers.insert(4));
        assert_eq!((numbers.count(), numbers.floor(), numbers.highest()), (3, 1, 4));
        assert!(!numbers.insert(3) && !numbers.insert(1));
        assert!(numbers.insert(2));
        assert_eq!((numbers.count(), numbers.floor(), numbers.highest()), (4, 4, 4));
    }
}
