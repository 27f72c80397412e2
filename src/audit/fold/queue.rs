//! The orders that wait at a trader.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{Number, Order, OrderId, PeerId, QueueKey, Stamp, Term};

/// Stands before every key.
const LOWEST: QueueKey = QueueKey { stamp: Stamp(0), id: OrderId { peer: PeerId(0), number: Number(0) } };

/// An order that waits at a trader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// Under which grant it was accepted.
    pub(crate) term: Term,
    /// The order.
    pub(crate) order: Order,
}

/// Accepted and neither settled nor handed over: by order, of which also its `void` may wait, and then in queue order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Queue(BTreeMap<(OrderId, QueueKey), Waiting>);

impl Queue {
    /// An order comes to wait.
    pub(crate) fn accept(&mut self, term: Term, order: Order) {
        self.0.insert((order.id, order.key()), Waiting { term, order });
    }

    /// A peer's orders with these numbers wait no more.
    pub(crate) fn left(&mut self, peer: PeerId, first: Number, last: Number) {
        let from = (OrderId { peer, number: first }, LOWEST);
        let to = OrderId { peer, number: last };
        while let Some((key, _)) = self.0.range(from..).next().filter(|((id, _), _)| *id <= to) {
            let key = *key;
            self.0.remove(&key);
        }
    }

    /// Orders of the same product that stand before this one, and itself.
    pub(crate) fn rank(&self, order: &Order) -> usize {
        let waiting = self.0.values().map(|waiting| &waiting.order);
        waiting.filter(|other| other.product == order.product && other.key() < order.key()).count() + 1
    }

    /// Whether the order, or its `void`, waits.
    pub(crate) fn waits(&self, id: OrderId) -> bool {
        self.0.range((id, LOWEST)..).next().is_some_and(|((waiting, _), _)| *waiting == id)
    }

    /// Those that wait, in queue order.
    pub(crate) fn waiting(&self) -> Vec<&Waiting> {
        let mut waiting: Vec<&Waiting> = self.0.values().collect();
        waiting.sort_unstable_by_key(|waiting| waiting.order.key());
        waiting
    }
}
