//! The trader's cache of the stock, as the warehouse pushes it. It is shown, and decides nothing.

use super::facts::Cx;
use super::line::Line;
use crate::model::message::{Message, StockPush};
use crate::model::step::ConnId;
use crate::types::{Now, Quantity, Seq};

/// See the module's text.
pub(super) struct Cache {
    line: Line,
    /// Pieces by product, and the ledger's sequence that they are of.
    levels: Vec<(Quantity, Seq)>,
    /// When the last push came.
    at: Now,
}

impl Cache {
    pub(super) fn new(products: usize, now: Now) -> Cache {
        Cache { line: Line::default(), levels: vec![(Quantity(0), Seq(0)); products], at: now }
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

    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        self.line.close(cx);
    }

    /// The ledger is another one: no level of the old one stands in the way of a push.
    pub(super) fn forget(&mut self) {
        self.levels.iter_mut().for_each(|(_, seq)| *seq = Seq(0));
    }

    /// An older push never overwrites a newer entry.
    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, push: &StockPush) {
        self.line.works();
        cx.hear_warehouse(push.clock);
        self.at = cx.now();
        for (product, quantity) in &push.levels {
            if let Some(entry) = self.levels.get_mut(product.0 as usize)
                && entry.1 <= push.seq
            {
                *entry = (*quantity, push.seq);
            }
        }
    }

    pub(super) fn age_ms(&self, now: Now) -> u64 {
        now.ms_since(self.at)
    }

    pub(super) fn stock(&self) -> Vec<Quantity> {
        self.levels.iter().map(|(quantity, _)| *quantity).collect()
    }

    pub(super) fn seq(&self) -> Seq {
        self.levels.iter().map(|(_, seq)| *seq).max().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.line.conn().into_iter()
    }
}

#[cfg(test)]
mod tests;
