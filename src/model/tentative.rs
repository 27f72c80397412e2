//! Tentative answers: what a trader tells from its cache before the warehouse has settled the order.
//!
//! The terms are those of Gray, Helland, O'Neil and Shasha, *The Dangers of Replication and a Solution* (1996): a tentative
//! transaction at a replica is repeated as a base transaction at the master, which may find that it cannot be. Here the
//! second one is bound to the first: the warehouse books exactly what was told, or takes all of it back by a `reversal`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::row::OutcomeKind;
use crate::types::{Order, OrderId, OrderKind, Quantity, Term};

/// On which allotment an answer draws: then it is booked as it was told, whatever else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Draw {
    /// The term that the goods were set aside for.
    pub term: Term,
    /// Counts what that term's trader has answered, from 1.
    pub nth: u64,
}

/// A tentative answer to one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tentative {
    /// Which order.
    pub id: OrderId,
    /// Pieces bought or deposited; 0: sold out.
    pub filled: Quantity,
    /// The goods that it was told of; none if it is from a cache.
    pub draw: Option<Draw>,
}

/// As an earlier version wrote it, which told from caches alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undrawn {
    /// Which order.
    pub id: OrderId,
    /// Pieces bought or deposited; 0: sold out.
    pub filled: Quantity,
}

impl From<Undrawn> for Tentative {
    fn from(Undrawn { id, filled }: Undrawn) -> Tentative {
        Tentative { id, filled, draw: None }
    }
}

impl Tentative {
    /// What the peer is told by it.
    pub(crate) fn kind(&self, order: &Order) -> OutcomeKind {
        match order.kind {
            OrderKind::Sell => OutcomeKind::Deposited,
            _ if self.filled.0 == 0 => OutcomeKind::SoldOut,
            _ if self.filled < order.quantity => OutcomeKind::PartlyBought,
            _ => OutcomeKind::Bought,
        }
    }
}

impl Tentative {
    /// Whether a trader tells such an order so: all that was asked for, or nothing, or less where that was allowed.
    pub(crate) fn fits(&self, order: &Order) -> bool {
        match order.kind {
            OrderKind::Sell => self.filled == order.quantity,
            OrderKind::Buy { partial: true } => self.filled <= order.quantity,
            OrderKind::Buy { partial: false } => self.filled.0 == 0 || self.filled == order.quantity,
            OrderKind::Void => false,
        }
    }
}

/// Whether an order's outcome is as was told tentatively, or takes that back.
pub(crate) fn agrees(told: Quantity, kind: OutcomeKind, filled: Quantity) -> bool {
    use OutcomeKind::{Bought, Deposited, PartlyBought, Refused, Reversed, SoldOut, Voided};
    match kind {
        Reversed => told.0 > 0,
        Bought | PartlyBought | Deposited => filled == told,
        // Nothing was to be had, and nothing was.
        SoldOut | Refused | Voided => told.0 == 0,
    }
}

/// Tentative answers by their orders.
pub(crate) fn by_order(told: &[Tentative]) -> BTreeMap<OrderId, Tentative> {
    told.iter().map(|it| (it.id, *it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::market::tests::order;

    #[test]
    fn what_was_told_is_kept_or_taken_back_whole() {
        use OutcomeKind::{Bought, PartlyBought, Refused, Reversed, SoldOut, Voided};
        for (told, kind, filled, holds) in [
            (3, Bought, 3, true),
            (3, PartlyBought, 3, true),
            (0, SoldOut, 0, true),
            (3, Reversed, 0, true),
            (3, PartlyBought, 2, false),
            (3, SoldOut, 0, false),
            (0, Bought, 1, false),
            (0, Reversed, 0, false),
            (3, Voided, 0, false),
            (0, Voided, 0, true),
            (3, Refused, 0, false),
        ] {
            assert_eq!(agrees(Quantity(told), kind, Quantity(filled)), holds, "{told} {kind:?} {filled}");
        }
    }

    #[test]
    fn what_is_told_follows_from_the_order_and_the_pieces() {
        let buy = order(4, 1, OrderKind::Buy { partial: true }, 0, 3);
        let kind = |filled| Tentative { id: buy.id, filled: Quantity(filled), draw: None }.kind(&buy);
        assert_eq!(
            [kind(0), kind(1), kind(3)].map(OutcomeKind::name),
            ["sold_out", "partly_bought", "bought"]
        );
        let whole = Order { kind: OrderKind::Buy { partial: false }, ..buy };
        let sell = Order { kind: OrderKind::Sell, ..buy };
        let fits = |order: &Order| {
            [0, 1, 3, 4].map(|n| Tentative { id: buy.id, filled: Quantity(n), draw: None }.fits(order))
        };
        assert_eq!(fits(&buy), [true, true, true, false]);
        assert_eq!(fits(&whole), [true, false, true, false]);
        assert_eq!(fits(&sell), [false, false, true, false]);
        assert_eq!(
            Tentative { id: sell.id, filled: Quantity(3), draw: None }.kind(&sell),
            OutcomeKind::Deposited
        );
    }
}
