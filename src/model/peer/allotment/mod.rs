//! A trader's allotment (`escrow` mode): pieces that the warehouse has set aside for its term, and that it sells at once.
//!
//! The warehouse's word of how many those are comes with the last decision of this trader's that it knew by then. What was
//! decided since is counted on top of it, so that every answer puts the account right, whatever was lost with a stream.
//! What a peer puts in is the trader's to sell at once.
//!
//! A good is open from the first answer that sets some of it aside. When an order comes that cannot be met, or the
//! warehouse recalls the good, it closes: all that is left goes back. While orders of the good are with the warehouse those
//! that come behind them go there too, so that a peer's orders of a good are decided in the order of their numbers.

mod demand;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::demand::Demand;
use crate::limits::{ALLOTMENT_DEPOSITS_MAX, SALE_LOTS_MAX};
use crate::model::message::GoodsWord;
use crate::model::tentative::{Draw, Tentative};
use crate::types::{Now, Order, OrderId, OrderKind, ProductId, Quantity, Term};

/// One good.
#[derive(Default)]
struct Good {
    /// Pieces that may be sold; none while the good is closed.
    free: Option<u64>,
    /// Decisions that the warehouse's last word has not come about by: their numbers and pieces, less than 0 if sold.
    since: VecDeque<(u64, OrderId, i64)>,
    /// Deposits told since that word.
    deposits: usize,
    /// Pieces were asked for, and the answer has not come.
    asked: bool,
    /// It is to be given back, and the warehouse has not confirmed that.
    closing: bool,
    /// Orders of it here that the warehouse is to decide.
    undecided: BTreeSet<OrderId>,
    demand: Demand,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Allotment {
    goods: BTreeMap<ProductId, Good>,
    /// Goods that are looked at when the turn ends.
    stirred: BTreeSet<ProductId>,
    /// The number of the last decision.
    decided: u64,
    /// When goods are looked at for which nobody asks any more.
    idle_at: Option<Now>,
}

impl Allotment {
    /// The term is over, and with it what was set aside for it.
    pub(super) fn close(&mut self) {
        *self = Allotment::default();
    }

    fn good(&mut self, product: ProductId) -> &mut Good {
        self.stirred.insert(product);
        self.goods.entry(product).or_default()
    }

    // ---- orders

    /// An order is here that the warehouse is to decide: nothing of the good is sold before that.
    pub(super) fn came(&mut self, order: &Order) {
        if order.kind != OrderKind::Void {
            self.good(order.product).undecided.insert(order.id);
        }
    }

    /// It left, or it is decided here after all.
    pub(super) fn left(&mut self, order: &Order) {
        if order.kind != OrderKind::Void {
            self.good(order.product).undecided.remove(&order.id);
        }
    }

    /// The warehouse does not take it, though it was decided here: its number is none that may be decided now.
    pub(super) fn is_refused(&mut self, id: OrderId) {
        self.goods.values_mut().for_each(|good| good.forget(id));
    }

    /// Nothing is sold here any more.
    pub(super) fn give_all_back(&mut self) {
        for (product, good) in self.goods.iter_mut().filter(|(_, good)| good.free.is_some()) {
            good.give_back();
            self.stirred.insert(*product);
        }
    }

    /// Nothing is set aside for this trader, or may be.
    pub(super) fn is_back(&self) -> bool {
        self.goods.values().all(|good| good.free.is_none() && !good.closing && !good.asked)
    }

    /// Sells, or takes in, if that is this trader's to do. Otherwise the good is given back, and the warehouse decides.
    pub(super) fn answer(&mut self, now: Now, term: Term, order: &Order) -> Option<Tentative> {
        let nth = self.decided + 1;
        let good = self.good(order.product);
        good.demand.add(now, order.quantity.0);
        let Some(pieces) = good.pieces(order) else {
            good.give_back();
            return None;
        };
        good.free = good.free.map(|free| free.saturating_add_signed(pieces));
        good.since.push_back((nth, order.id, pieces));
        good.deposits += usize::from(order.kind == OrderKind::Sell);
        self.decided = nth;
        Some(Tentative { id: order.id, filled: order.quantity, draw: Some(Draw { term, nth }) })
    }

    // ---- the warehouse

    /// A settle stream is up: what was asked on the one before is asked again.
    pub(super) fn stream_up(&mut self) {
        for (product, good) in &mut self.goods {
            good.asked = false;
            self.stirred.insert(*product);
        }
    }

    pub(super) fn heard(&mut self, word: &GoodsWord) {
        for (product, pieces) in &word.allotted {
            let good = self.goods.entry(*product).or_default();
            good.asked = false;
            good.heard(*pieces, word.decided);
            // What could not be had is asked for again with the next order of the good.
            if good.closing {
                self.stirred.insert(*product);
            }
        }
        for product in &word.recall {
            // The word that it was set aside may be lost.
            let good = self.good(*product);
            (good.free, good.closing) = (None, true);
        }
    }

    /// What is to be asked of the warehouse: pieces more, or 0 where all is given back. That goes behind all that was
    /// decided here, so while anything of that was not sent nothing is given back.
    pub(super) fn wants(&mut self, now: Now, all_sent: bool, may_sell: bool) -> Vec<(ProductId, Quantity)> {
        let mut wants = Vec::new();
        for product in std::mem::take(&mut self.stirred) {
            let Some(good) = self.goods.get_mut(&product) else { continue };
            let wanted = good.wants(now, may_sell);
            if wanted == Some(0) && !all_sent {
                self.stirred.insert(product);
            } else if let Some(wanted) = wanted {
                good.asked = true;
                wants.push((product, Quantity(wanted)));
            }
        }
        self.goods.retain(|_, good| !good.is_idle(now));
        self.idle_at =
            self.goods.values().filter(|good| good.free.is_some()).map(|good| good.demand.halves_at()).min();
        wants
    }

    pub(super) fn due(&self) -> Option<Now> {
        self.idle_at
    }

    /// Goods that nobody asks for are given back.
    pub(super) fn wake(&mut self, now: Now) {
        if self.idle_at.take_if(|at| *at <= now).is_some() {
            for (product, good) in &mut self.goods {
                if good.demand.now(now) == 0 {
                    good.give_back();
                }
                self.stirred.insert(*product);
            }
        }
    }

    // ---- for people

    /// Pieces that may be sold, of each good that is open.
    #[cfg(test)]
    pub(super) fn free(&self, product: ProductId) -> Option<u64> {
        self.goods.get(&product)?.free
    }
}

impl Good {
    /// How the order changes what may be sold; none if it is not this trader's to decide.
    fn pieces(&self, order: &Order) -> Option<i64> {
        let free = self.free.filter(|_| self.undecided.is_empty())?;
        let wanted = order.quantity.0;
        match order.kind {
            OrderKind::Void => None,
            // Anybody may become a client: what it puts in is sold when it is in the ledger.
            OrderKind::Sell if self.deposits >= ALLOTMENT_DEPOSITS_MAX => None,
            OrderKind::Sell => Some(if order.id.peer.is_client() { 0 } else { wanted as i64 }),
            // A piece is of some lot, and a sale names so many lots at most.
            OrderKind::Buy { .. } => {
                (wanted <= free && wanted <= SALE_LOTS_MAX as u64).then_some(-(wanted as i64))
            }
        }
    }

    fn give_back(&mut self) {
        self.closing |= self.free.take().is_some();
    }

    fn forget(&mut self, id: OrderId) {
        let Some(at) = self.since.iter().position(|(_, of, _)| *of == id) else { return };
        if let Some((.., pieces)) = self.since.remove(at) {
            self.free = self.free.map(|free| free.saturating_add_signed(-pieces));
        }
    }

    fn heard(&mut self, pieces: Option<Quantity>, decided: u64) {
        while self.since.front().is_some_and(|(nth, ..)| *nth <= decided) {
            self.since.pop_front();
        }
        self.deposits = self.since.iter().filter(|(.., pieces)| *pieces >= 0).count();
        match pieces {
            None => (self.closing, self.free) = (false, None),
            // It is on its way back: what is said of it is old.
            Some(_) if self.closing => {}
            Some(pieces) => {
                let since: i64 = self.since.iter().map(|(.., pieces)| pieces).sum();
                self.free = Some(pieces.0.saturating_add_signed(since));
            }
        }
    }

    /// See [`Allotment::wants`].
    fn wants(&mut self, now: Now, may_sell: bool) -> Option<u64> {
        if self.asked {
            return None;
        }
        if self.closing {
            return Some(0);
        }
        let target = self.demand.target(now);
        let there = self.free.unwrap_or(0);
        let refresh = self.deposits >= ALLOTMENT_DEPOSITS_MAX;
        let wanted = may_sell && self.undecided.is_empty() && (there < target / 2 || refresh);
        wanted.then_some(target.saturating_sub(there).max(1)).filter(|_| target > 0)
    }

    fn is_idle(&mut self, now: Now) -> bool {
        let busy = self.asked || self.closing || self.free.is_some() || !self.undecided.is_empty();
        !busy && self.since.is_empty() && self.demand.now(now) == 0
    }
}

#[cfg(test)]
mod tests;
