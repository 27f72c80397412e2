//! How a record changes the state: the only place that does.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use super::{Lot, Market, Shelf};
use crate::model::row::{Decision, Outcome, OutcomeKind, Record, Slice, initial_lot, split};
use crate::model::session::{Decided, is_lost};
use crate::types::{
    Consistency, Epoch, Hash, Money, Order, OrderId, OrderKind, PeerId, Quantity, Seq, WallMicros,
};

impl Market {
    /// Takes a record in. If it decides an order, gives the outcome.
    pub fn apply_outcome(&mut self, seq: Seq, time: WallMicros, record: &Record) -> Option<Outcome> {
        self.seq = seq;
        self.clock = self.clock.max(record.clock());
        self.totals.count(record.kind_number(), time);
        match record {
            Record::Stocked { name, quantity, unit_price, .. } => {
                self.stock(seq, name, *quantity, *unit_price)
            }
            Record::Deposit(decision) => self.book_deposit(seq, decision),
            Record::Sale { decision, unit_price, commission_percent, slices } => {
                self.book_sale(seq, decision, *unit_price, *commission_percent, slices);
            }
            Record::Session { peer: PeerId::WAREHOUSE, key, .. } => self.keys.extend(*key),
            Record::Session { peer, epoch, store, .. } => self.open(*peer, *epoch, *store),
            Record::Adopt { decision, slices, .. } if decision.order.kind == OrderKind::Sell => {
                debug_assert!(slices.is_empty());
                self.book_deposit(seq, decision);
            }
            Record::Adopt { decision, unit_price, commission_percent, slices, .. } => {
                self.book_sale(seq, decision, *unit_price, *commission_percent, slices);
            }
            Record::Restored { generation, .. } => {
                self.generation = *generation;
                self.offices.apply(seq, record);
                self.apply_allotment(record);
            }
            Record::Mode { mode, .. } => {
                self.mode = *mode;
                self.was_cached |= *mode == Consistency::Cached;
                self.offices.apply(seq, record);
            }
            _ => {
                self.offices.apply(seq, record);
                self.apply_allotment(record);
            }
        }
        let outcome = record.outcome(seq, time)?;
        self.totals.outcomes += 1;
        self.totals.amount += outcome.amount;
        debug_assert!(outcome.kind != OutcomeKind::Refused || outcome.reason.is_some());
        if let Some(decision) = record.decision() {
            self.remember(&decision.order, outcome.clone());
        }
        Some(outcome)
    }

    fn book_sale(&mut self, seq: Seq, decision: &Decision, unit_price: Money, percent: u8, slices: &[Slice]) {
        self.count_decided(decision);
        let shelf = &mut self.shelves[decision.order.product.0 as usize];
        let pieces: u64 = slices.iter().map(|slice| slice.quantity.0).sum();
        let lots = match decision.batch.decision() {
            None => &mut shelf.lots,
            Some(_) => {
                let held = shelf.held.entry(decision.term).or_default();
                held.pieces.0 -= pieces;
                &mut held.lots
            }
        };
        slices.iter().for_each(|slice| take(lots, slice));
        shelf.on_hand.0 -= pieces;
        shelf.sold.0 += pieces;
        shelf.changed = seq;
        let money = split(unit_price, percent, slices);
        self.accounts.entry(decision.order.id.peer).or_default().paid += money.amount;
        self.accounts.entry(decision.trader).or_default().commission += money.commission;
        for share in money.shares {
            self.accounts.entry(share.peer).or_default().received += share.amount;
        }
    }

    /// What a trader has decided goes to its allotment.
    fn book_deposit(&mut self, seq: Seq, decision: &Decision) {
        self.count_decided(decision);
        let (order, shelf) = (&decision.order, &mut self.shelves[decision.order.product.0 as usize]);
        let lot = Lot { id: order.id, quantity: order.quantity };
        match decision.batch.decision() {
            None => shelf.lots.push_back(lot),
            Some(_) => shelf.held.entry(decision.term).or_default().put(lot),
        }
        shelf.on_hand.0 += order.quantity.0;
        shelf.deposited.0 += order.quantity.0;
        shelf.changed = seq;
    }

    fn stock(&mut self, seq: Seq, name: &str, quantity: Quantity, unit_price: Money) {
        let lot = Lot { id: initial_lot(), quantity };
        self.shelves.push(Shelf {
            name: name.to_owned(),
            unit_price,
            on_hand: quantity,
            lots: (quantity.0 > 0).then_some(lot).into_iter().collect(),
            held: BTreeMap::new(),
            stocked: quantity,
            deposited: Quantity(0),
            sold: Quantity(0),
            changed: seq,
        });
    }

    fn open(&mut self, peer: PeerId, epoch: Epoch, store: Hash) {
        let session = self.sessions.entry(peer).or_default();
        if let Entry::Occupied(mut owners) = self.owners.entry(session.store) {
            owners.get_mut().remove(&peer);
            if owners.get().is_empty() {
                owners.remove();
            }
        }
        session.open(epoch, store);
        if peer.is_client() {
            self.remembered.recount(peer, session);
        }
        self.owners.entry(store).or_default().insert(peer);
    }

    fn remember(&mut self, order: &Order, outcome: Outcome) {
        let (OrderId { peer, number }, seq, time) = (order.id, outcome.seq, outcome.time);
        let lost = is_lost(number.epoch(), self.generation);
        let session = self.sessions.entry(peer).or_default();
        let window = session.windows.entry(number.epoch()).or_default();
        let before = window.kept_count();
        let decided = Decided { order: *order, outcome };
        if lost {
            window.decide_lost(number.k(), decided)
        } else {
            window.decide(number.k(), decided)
        }
        if peer.is_client() {
            let more = window.kept_count() as isize - before as isize;
            self.remembered.decided(peer, seq, time, more);
            self.forget_idle(time);
        }
    }

    /// Forgets outcomes of the clients that have been quiet for longest, while too many are kept. Their numbers stay
    /// decided: asked for again, such an order is stale.
    fn forget_idle(&mut self, now: WallMicros) {
        while let Some(client) = self.remembered.too_many(now) {
            if let Some(session) = self.sessions.get_mut(&client) {
                session.forget();
            }
        }
    }
}

/// Removes a slice from its lot. Slices name the oldest lots, so the first lot is nearly always the one.
pub(super) fn take(lots: &mut VecDeque<Lot>, slice: &Slice) {
    let Some(at) = lots.iter().position(|lot| lot.id == slice.lot) else {
        unreachable!("a sale row names a lot that the ledger put in");
    };
    lots[at].quantity.0 -= slice.quantity.0;
    if lots[at].quantity.0 == 0 {
        lots.remove(at);
    }
}
