//! What rows are called by and chosen by: the kind of a record, its order, its trader and its product.

use super::Record;
use crate::types::{OrderId, OrderKind, PeerId, ProductId, Term};

impl Record {
    /// The names of all kinds, by their numbers.
    pub(crate) const KINDS: [&str; 18] = [
        "stocked",
        "deposit",
        "sale",
        "refusal",
        "reversal",
        "void",
        "session",
        "office",
        "fence",
        "paired",
        "restored",
        "allotment",
        "adopt",
        "complete",
        "conflict",
        "mode",
        "returned",
        "released",
    ];

    /// The row's `kind`.
    pub(crate) fn kind(&self) -> &'static str {
        Record::KINDS[self.kind_number()]
    }

    /// The number of its variant: the one that the codec writes first.
    pub(crate) fn kind_number(&self) -> usize {
        match self {
            Record::Stocked { .. } => 0,
            Record::Deposit(_) => 1,
            Record::Sale { .. } => 2,
            Record::Refusal { .. } => 3,
            Record::Reversal(_) => 4,
            Record::Void { .. } => 5,
            Record::Session { .. } => 6,
            Record::Office { .. } => 7,
            Record::Fence { .. } => 8,
            Record::Paired { .. } => 9,
            Record::Restored { .. } => 10,
            Record::Allotment { .. } => 11,
            Record::Adopt { .. } => 12,
            Record::Complete { .. } => 13,
            Record::Conflict(_) => 14,
            Record::Mode { .. } => 15,
            Record::Returned { .. } => 16,
            Record::Released { .. } => 17,
        }
    }

    /// The order that the row shows.
    pub(crate) fn order(&self) -> Option<OrderId> {
        match self {
            Record::Conflict(decision) => Some(decision.order.id),
            _ => self.decision().map(|decision| decision.order.id),
        }
    }

    /// The trader that it is of or about, and the term; none where the warehouse decided without one.
    pub(crate) fn holder(&self) -> Option<(PeerId, Term)> {
        match self {
            Record::Office { trader, term, .. }
            | Record::Fence { trader, term, .. }
            | Record::Paired { trader, term, .. }
            | Record::Allotment { trader, term, .. }
            | Record::Complete { trader, term, .. }
            | Record::Returned { trader, term, .. }
            | Record::Released { trader, term, .. } => Some((*trader, *term)),
            Record::Conflict(decision) => Some((decision.trader, decision.term)),
            _ => self.decision().map(|decision| (decision.trader, decision.term)),
        }
        .filter(|(_, term)| *term != Term(0))
    }

    /// The product that it is of; of a `void` that names no order there is none, and a `stocked` row has its name.
    pub(crate) fn product(&self) -> Option<ProductId> {
        match self {
            Record::Allotment { product, .. } | Record::Returned { product, .. } => return Some(*product),
            Record::Conflict(decision) => Some(decision.order),
            _ => self.decision().map(|decision| decision.order),
        }
        .filter(|order| order.kind != OrderKind::Void)
        .map(|order| order.product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fold::Stored as _;
    use crate::model::market::tests::order;
    use crate::model::row::{Decision, Reason};
    use crate::types::{Batch, Epoch, Hash, Office, ProcessId, Quantity, Stamp};

    fn decision(kind: OrderKind, term: u64) -> Decision {
        let (order, trader, term) = (order(5, 1, kind, 2, 1), PeerId(6), Term(term));
        Decision { order, clock: Stamp(9), stock_after: Quantity(0), trader, term, batch: Batch(1) }
    }

    #[test]
    fn rows_are_found_by_their_order_trader_and_product() {
        let (sell, void) = (decision(OrderKind::Sell, 3), decision(OrderKind::Void, 0));
        let (id, clock) = (sell.order.id, Stamp(9));
        let (office, process) = (Office::Primary, ProcessId::default());
        let session =
            Record::Session { peer: PeerId(5), epoch: Epoch(0), store: Hash::default(), key: None, clock };
        let granted = Record::Office { office, trader: PeerId(6), process, term: Term(3), clock };
        let given_up = Record::Void { decision: void, reason: Reason::GivenUp };
        let (trader, term, product, slices) = (PeerId(6), Term(3), ProductId(2), Vec::new());
        let allotted = Record::Allotment { trader, term, product, slices, clock };
        let (of_5, by_6, of_2) = (Some(PeerId(5)), Some((PeerId(6), Term(3))), Some(ProductId(2)));
        for (record, peer, order, holder, product) in [
            (Record::Deposit(sell), of_5, Some(id), by_6, of_2),
            (Record::Conflict(sell), of_5, Some(id), by_6, of_2),
            (given_up, of_5, Some(id), None, None),
            (session, of_5, None, None, None),
            (granted, None, None, by_6, None),
            (allotted, None, None, by_6, of_2),
        ] {
            assert_eq!((record.peer(), record.order()), (peer, order), "{record:?}");
            assert_eq!((record.holder(), record.product()), (holder, product), "{record:?}");
            assert_eq!(record.clock(), clock, "{record:?}");
        }
    }
}
