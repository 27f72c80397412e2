//! The trader's cache of the stock: the levels that the warehouse pushed, and what this trader has told since.
//!
//! In `cached` mode orders are answered from it before they are settled. The levels are of some row of the ledger; on top
//! come this trader's own tentative answers as long as they are behind that row, or not settled at all: what it sold
//! itself it does not sell twice. What the other trader sells meanwhile it cannot know: that is how a market oversells.
//! In the other modes the cache is shown, and decides nothing.

mod own;

use self::own::Own;
use super::facts::Cx;
use super::line::Line;
use crate::model::message::{Message, StockPush};
use crate::model::row::Outcome;
use crate::model::step::ConnId;
use crate::model::tentative::Tentative;
use crate::types::{Now, Order, OrderKind, ProductId, Quantity, Seq};

/// One product.
#[derive(Clone, Debug, Default)]
struct Level {
    /// As it was pushed last.
    pushed: Quantity,
    /// The ledger's sequence that it is of; 0: nothing was pushed yet.
    seq: Seq,
    own: Own,
}

impl Level {
    /// Pieces that this trader takes to be there.
    fn there(&self) -> u64 {
        self.pushed.0.saturating_add_signed(self.own.sum())
    }
}

/// See the module's text.
pub(super) struct Cache {
    line: Line,
    /// By product.
    levels: Vec<Level>,
    /// When the last push came.
    at: Now,
}

impl Cache {
    pub(super) fn new(products: usize, now: Now) -> Cache {
        Cache { line: Line::default(), levels: vec![Level::default(); products], at: now }
    }

    pub(super) fn due(&self) -> Option<Now> {
        self.line.due()
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        if self.line.is_due(cx.now()) {
            self.dial(cx);
        }
    }

    pub(super) fn is(&self, conn: ConnId) -> bool {
        self.line.is(conn)
    }

    pub(super) fn dial(&mut self, cx: &mut Cx<'_>) {
        if cx.term().is_some() && !self.line.is_dialed() {
            let addr = cx.warehouse.clone();
            self.line.dial(cx, &addr, Message::Watch);
        }
    }

    pub(super) fn ended(&mut self, cx: &mut Cx<'_>) {
        self.line.ended(cx.now());
    }

    /// The term is over, and with it what was told in it here.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        self.line.close(cx);
        self.levels.iter_mut().for_each(|level| level.own = Own::default());
    }

    /// The ledger is another one: no level of the old one stands in the way of a push.
    pub(super) fn forget(&mut self) {
        self.levels.iter_mut().for_each(|level| level.seq = Seq(0));
    }

    /// An older push never overwrites a newer entry.
    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, push: &StockPush) {
        self.line.works();
        cx.hear_warehouse(push.clock);
        self.at = cx.now();
        for (product, quantity) in &push.levels {
            if let Some(level) = self.levels.get_mut(product.0 as usize)
                && level.seq <= push.seq
            {
                (level.pushed, level.seq) = (*quantity, push.seq);
                level.own.pushed(push.seq);
            }
        }
    }

    // ---- tentative answers

    /// What this trader would tell of an order; none if it knows nothing of the product, or nothing is told early of
    /// such an order.
    pub(super) fn answer(&self, order: &Order) -> Option<Tentative> {
        let level = self.levels.get(order.product.0 as usize).filter(|level| level.seq > Seq(0))?;
        let (there, wanted) = (level.there(), order.quantity.0);
        let filled = match order.kind {
            OrderKind::Void => return None,
            OrderKind::Sell => wanted,
            OrderKind::Buy { partial: true } => wanted.min(there),
            OrderKind::Buy { partial: false } => {
                if wanted <= there {
                    wanted
                } else {
                    0
                }
            }
        };
        Some(Tentative { id: order.id, filled: Quantity(filled), draw: None })
    }

    /// An order is here of which its peer is told so: it counts until the pushes show what became of it.
    pub(super) fn told(&mut self, order: &Order, filled: Quantity) {
        let pieces = filled.0.min(i64::MAX as u64) as i64;
        if let Some(level) = self.levels.get_mut(order.product.0 as usize) {
            level.own.told(order.id, if order.kind == OrderKind::Sell { pieces } else { -pieces });
        }
    }

    /// It is settled.
    pub(super) fn settled(&mut self, product: ProductId, outcome: &Outcome) {
        if let Some(level) = self.levels.get_mut(product.0 as usize) {
            level.own.settled(outcome, level.seq);
        }
    }

    /// It left without an outcome.
    pub(super) fn left(&mut self, order: &Order) {
        if let Some(level) = self.levels.get_mut(order.product.0 as usize) {
            level.own.left(order.id);
        }
    }

    // ---- for people

    pub(super) fn age_ms(&self, now: Now) -> u64 {
        now.ms_since(self.at)
    }

    /// As pushed.
    pub(super) fn stock(&self) -> Vec<Quantity> {
        self.levels.iter().map(|level| level.pushed).collect()
    }

    pub(super) fn seq(&self) -> Seq {
        self.levels.iter().map(|level| level.seq).max().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.line.conn().into_iter()
    }
}

#[cfg(test)]
mod tests;
