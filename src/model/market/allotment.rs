//! Goods that are set aside for one trader's term (`escrow` mode): what it sells from them it can tell at once, since
//! nobody else sells them (O'Neil, *The Escrow Transactional Method*, 1986).
//!
//! A trader is given pieces, and tells pieces; which lots those are the warehouse says when it books them. An allotment of
//! a good is open from its first `allotment` row to the `returned` row that takes all of it back. When its term ends it is
//! frozen: what the term had sold is booked against it, and the rest is free again with the `complete` row, or with the
//! `released` row by which a person accepts that what was sold is lost.
//!
//! While a good has an open or frozen allotment nobody is told that it is sold out. While it has a frozen one, nothing is
//! put in and no number given up but by who decided it: the ended term may have sold pieces of a deposit that the ledger
//! does not have yet, and another row of that deposit would take those pieces away from it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Lot, Market, Shelf};
use crate::limits::{ALLOTMENT_LOTS_MAX, SALE_LOTS_MAX, STOCK_MAX};
use crate::model::offices::Grant;
use crate::model::row::{Decision, Record, Slice};
use crate::types::{Consistency, Epoch, PeerId, ProcessId, ProductId, Quantity, Term};

/// Pieces of one good for one term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Sum of the lots.
    pub pieces: Quantity,
    /// Where they are from.
    pub lots: VecDeque<Lot>,
}

impl Held {
    pub(super) fn put(&mut self, lot: Lot) {
        self.pieces.0 += lot.quantity.0;
        self.lots.push_back(lot);
    }
}

/// Whose word completes a term: the stores that have all that its trader told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who held the term, with the epoch of its store.
    pub trader: (PeerId, Epoch),
    /// In which life.
    pub process: ProcessId,
    /// The partner of the term's last `paired` row, with the epoch of its store.
    pub partner: (PeerId, Epoch),
    /// The highest decision of the term that is in the ledger.
    pub decided: u64,
}

impl Shelf {
    /// Pieces that are set aside for nobody.
    pub(crate) fn free(&self) -> u64 {
        self.on_hand.0 - self.held.values().map(|held| held.pieces.0).sum::<u64>()
    }

    /// Lots, those of allotments too.
    pub(crate) fn lot_count(&self) -> usize {
        self.lots.len() + self.held.values().map(|held| held.lots.len()).sum::<usize>()
    }

    /// Pieces go from the free lots to a term's.
    fn set_aside(&mut self, term: Term, slices: &[Slice]) {
        for slice in slices {
            super::apply::take(&mut self.lots, slice);
            self.held.entry(term).or_default().put(Lot { id: slice.lot, quantity: slice.quantity });
        }
        self.held.entry(term).or_default();
    }

    /// The last of a term's lots are free again. When none is left the allotment is closed.
    fn take_back(&mut self, term: Term, slices: &[Slice]) {
        let Some(held) = self.held.get_mut(&term) else { return };
        held.pieces.0 -= slices.iter().map(|slice| slice.quantity.0).sum::<u64>();
        let left = held.lots.len() - slices.len();
        let back = held.lots.split_off(left);
        if held.lots.is_empty() {
            self.held.remove(&term);
        }
        self.free_lots(back);
    }

    /// All of a term's pieces are free again.
    fn free_all(&mut self, term: Term) {
        let held = self.held.remove(&term).unwrap_or_default();
        self.free_lots(held.lots);
    }

    /// They were the oldest when they were set aside, and stand first.
    fn free_lots(&mut self, lots: VecDeque<Lot>) {
        for lot in lots.into_iter().rev() {
            match self.lots.front_mut() {
                Some(first) if first.id == lot.id => first.quantity.0 += lot.quantity.0,
                _ => self.lots.push_front(lot),
            }
        }
    }
}

impl Market {
    /// Whether a term has, or had when it ended, goods set aside.
    pub(crate) fn holder(&self, term: Term) -> Option<&Holder> {
        self.holders.get(&term)
    }

    /// Terms that ended with goods set aside.
    pub(crate) fn frozen(&self) -> impl Iterator<Item = (Term, &Holder)> {
        let ended = self.holders.iter().filter(|(term, _)| self.offices.present(**term).is_none());
        ended.map(|(term, holder)| (*term, holder))
    }

    /// What was sold in such a term may be lost: a person has accepted that.
    pub(crate) fn is_released(&self, term: Term) -> bool {
        self.released.contains(&term)
    }

    /// A good has an allotment of a term that ended.
    pub(super) fn is_frozen(&self, shelf: &Shelf) -> bool {
        shelf.held.keys().any(|term| self.offices.present(*term).is_none())
    }

    /// Pieces that a present term may have, up to `wanted` and up to half of what is free: the other trader sells, too.
    /// None if there are none, or no room for what it might put in.
    pub(crate) fn allot(&self, term: Term, product: ProductId, wanted: Quantity) -> Option<Vec<Slice>> {
        let shelf = self.shelves.get(usize::from(product.0))?;
        let pair = self.mode == Consistency::Escrow && self.offices.paired;
        let pieces = wanted.0.min(shelf.free().div_ceil(2));
        let most = ALLOTMENT_LOTS_MAX.saturating_sub(shelf.held.get(&term).map_or(0, |held| held.lots.len()));
        let may =
            pair && self.has_room(product) && !self.is_frozen(shelf) && self.offices.present(term).is_some();
        let slices = super::decide::fill(&shelf.lots, pieces, most.min(SALE_LOTS_MAX));
        (may && !slices.is_empty()).then_some(slices)
    }

    /// What traders may put in before the warehouse hears of it has room.
    pub(crate) fn has_room(&self, product: ProductId) -> bool {
        let shelf = self.shelves.get(usize::from(product.0));
        shelf.is_some_and(|it| it.on_hand.0 <= STOCK_MAX / 2 && it.lot_count() <= self.lots_max() / 2)
    }

    /// The last lots of an allotment, as many as a row names: what is given back next. None if it is closed.
    pub(crate) fn last_of(&self, term: Term, product: ProductId) -> Option<Vec<Slice>> {
        let held = self.shelves.get(usize::from(product.0))?.held.get(&term)?;
        let last = held.lots.iter().skip(held.lots.len().saturating_sub(SALE_LOTS_MAX));
        Some(last.map(|lot| Slice { lot: lot.id, quantity: lot.quantity }).collect())
    }

    /// Pieces of an allotment; none if it is closed.
    pub(crate) fn allotted(&self, term: Term, product: ProductId) -> Option<Quantity> {
        Some(self.shelves.get(usize::from(product.0))?.held.get(&term)?.pieces)
    }

    /// Takes rows of allotments in, and what ends them.
    pub(super) fn apply_allotment(&mut self, record: &Record) {
        match record {
            Record::Allotment { term, product, slices, .. } => {
                self.hold(*term);
                self.shelves[usize::from(product.0)].set_aside(*term, slices);
            }
            Record::Returned { term, product, slices, .. } => {
                self.shelves[usize::from(product.0)].take_back(*term, slices);
            }
            Record::Complete { of, .. } => self.end_allotments(*of),
            Record::Released { term, .. } => {
                self.end_allotments(*term);
                self.released.insert(*term);
            }
            // Whatever was told by then is of sessions that are closed.
            Record::Restored { .. } => {
                let held: Vec<Term> = self.holders.keys().copied().collect();
                held.into_iter().for_each(|term| self.end_allotments(term));
            }
            Record::Paired { trader, term, partner, partner_term, .. } => {
                self.are_partners(*term, *partner);
                self.are_partners(*partner_term, *trader);
            }
            Record::Fence { .. } | Record::Office { .. } => self.forget_empty_handed(),
            _ => {}
        }
    }

    /// A decision of a trader is in the ledger.
    pub(super) fn count_decided(&mut self, decision: &Decision) {
        if let (Some(nth), Some(holder)) = (decision.batch.decision(), self.holders.get_mut(&decision.term)) {
            holder.decided = holder.decided.max(nth);
        }
    }

    fn hold(&mut self, term: Term) {
        let (Some(grant), false) = (self.offices.present(term).copied(), self.holders.contains_key(&term))
        else {
            return;
        };
        let Grant { office, peer, process, .. } = grant;
        let partner = self.offices.get(office.other()).map_or(PeerId::WAREHOUSE, |other| other.peer);
        let (trader, partner) = (self.store_of(peer), self.store_of(partner));
        self.holders.insert(term, Holder { trader, process, partner, decided: 0 });
    }

    fn store_of(&self, peer: PeerId) -> (PeerId, Epoch) {
        (peer, self.sessions.get(&peer).map_or(Epoch(0), |session| session.epoch))
    }

    fn are_partners(&mut self, term: Term, partner: PeerId) {
        let partner = self.store_of(partner);
        if let Some(holder) = self.holders.get_mut(&term) {
            holder.partner = partner;
        }
    }

    fn end_allotments(&mut self, term: Term) {
        self.shelves.iter_mut().for_each(|shelf| shelf.free_all(term));
        self.holders.remove(&term);
    }

    /// A term that gave all back before it ended has nothing to report.
    fn forget_empty_handed(&mut self) {
        let holds = |term: &Term| self.shelves.iter().any(|shelf| shelf.held.contains_key(term));
        let ended: Vec<Term> = self.frozen().map(|(term, _)| term).filter(|term| !holds(term)).collect();
        self.holders.retain(|term, _| !ended.contains(term));
    }
}
