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
