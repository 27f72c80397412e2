//! An order: what a peer asks for, and where that stands in a queue.

use serde::{Deserialize, Serialize};

use super::{OrderId, ProductId, Quantity, Stamp};

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OrderKind {
    /// Buy; all or nothing, or (`partial`) whatever is there.
    Buy {
        /// Take fewer pieces than asked when the stock is short.
        partial: bool,
    },
    /// Deposit goods for sale.
    Sell,
    /// Give the number up: its outcome if it has one, else `voided` for ever.
    Void,
}

impl OrderKind {
    /// How many there are; a buyer's wish for a part is no kind of its own.
    pub(crate) const COUNT: usize = 3;

    /// Its place among them.
    pub(crate) fn number(self) -> usize {
        match self {
            OrderKind::Buy { .. } => 0,
            OrderKind::Sell => 1,
            OrderKind::Void => 2,
        }
    }

    /// As printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            OrderKind::Buy { .. } => "buy",
            OrderKind::Sell => "sell",
            OrderKind::Void => "void",
        }
    }
}

/// An order: immutable content, numbered, stamped and journaled by its peer before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The peer that placed it, and its number there.
    pub id: OrderId,
    /// The placing peer's clock.
    pub stamp: Stamp,
    /// Buy, sell or void.
    pub kind: OrderKind,
    /// The good, by its place in the catalogue.
    pub product: ProductId,
    /// Pieces asked for or deposited.
    pub quantity: Quantity,
}

impl Order {
    /// Where the order stands in a queue: by stamp, then peer, then number.
    pub(crate) fn key(&self) -> QueueKey {
        QueueKey { stamp: self.stamp, id: self.id }
    }

    /// Where it stands among orders that are ready: a void passes all others, whatever its stamp, both at a trader and at
    /// the warehouse. Otherwise an order that was given up in time is sold all the same. Clocks stamp from 1.
    pub(crate) fn place(&self) -> QueueKey {
        match self.kind {
            OrderKind::Void => QueueKey { stamp: Stamp(0), id: self.id },
            OrderKind::Buy { .. } | OrderKind::Sell => self.key(),
        }
    }
}

/// Queue order: (stamp, peer, number). It extends happens-before, since stamps are Lamport times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct QueueKey {
    /// Lamport time of placing.
    pub stamp: Stamp,
    /// Breaks ties.
    pub id: OrderId,
}
