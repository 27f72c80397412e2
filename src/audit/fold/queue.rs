//! The orders that wait at a trader, and the numbers that it ever took.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Epoch, Number, Order, OrderId, PeerId, QueueKey, Stamp, Term};

/// Stands before every key.
const LOWEST: QueueKey = QueueKey { stamp: Stamp(0), id: OrderId { peer: PeerId(0), number: Number(0) } };

/// An order that waits at a trader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Under which grant it was accepted.
    pub(crate) term: Term,
    /// The order.
    pub(crate) order: Order,
}

/// Accepted and neither settled nor handed over, in queue order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<QueueKey, Waiting>,
    /// The same by order; an order and its `void` may both wait.
    by_id: BTreeSet<(OrderId, QueueKey)>,
}

impl Queue {
    /// An order comes to wait.
    pub(crate) fn accept(&mut self, term: Term, order: Order) {
        self.by_id.insert((order.id, order.key()));
        self.waiting.insert(order.key(), Waiting { term, order });
    }

    /// A peer's orders with these numbers wait no more.
    pub(crate) fn left(&mut self, peer: PeerId, first: Number, last: Number) {
        let from = (OrderId { peer, number: first }, LOWEST);
        let to = OrderId { peer, number: last };
        let gone: Vec<_> = self.by_id.range(from..).take_while(|(id, _)| *id <= to).copied().collect();
        for (id, key) in gone {
            self.by_id.remove(&(id, key));
            self.waiting.remove(&key);
        }
    }

    /// Orders of the same product that stand before this one, and itself.
    pub(crate) fn rank(&self, order: &Order) -> usize {
        let before = self.waiting.range(..order.key());
        before.filter(|(_, waiting)| waiting.order.product == order.product).count() + 1
    }

    /// Whether the order, or its `void`, waits.
    pub(crate) fn waits(&self, id: OrderId) -> bool {
        self.by_id.range((id, LOWEST)..).next().is_some_and(|(waiting, _)| *waiting == id)
    }

    /// Those that wait, in queue order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values()
    }
}

/// Orders by peer and epoch. Numbers come in order but for few, so that runs of them take little room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken(BTreeMap<(PeerId, Epoch), BTreeMap<u32, u32>>);

impl Taken {
    /// Takes an order in.
    pub(crate) fn insert(&mut self, id: OrderId) {
        let (runs, k) = (self.0.entry((id.peer, id.number.epoch())).or_default(), id.number.k());
        let (mut first, mut last) = (k, k);
        if let Some((&start, &end)) =
            runs.range(..=k).next_back().filter(|(_, end)| **end >= k.saturating_sub(1))
        {
            (first, last) = (start, end.max(k));
        }
        if let Some(end) = last.checked_add(1).and_then(|next| runs.remove(&next)) {
            last = end;
        }
        runs.insert(first, last);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.0.iter().flat_map(|(&(peer, epoch), runs)| {
            let numbers = runs.iter().flat_map(|(&first, &last)| first..=last);
            numbers.map(move |k| OrderId { peer, number: Number::new(epoch, k) })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn taken_orders_are_a_set(orders in prop::collection::vec((1_u32..4, 0_u64..2, 1_u32..40), 0..120)) {
            let (mut taken, mut model) = (Taken::default(), BTreeSet::new());
            for (peer, epoch, k) in orders {
                let id = OrderId { peer: PeerId(peer), number: Number::new(Epoch(epoch), k) };
                taken.insert(id);
                model.insert(id);
            }
            prop_assert_eq!(taken.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
            for runs in taken.0.values() {
                let gaps = runs.values().zip(runs.keys().skip(1));
                prop_assert!(gaps.clone().all(|(end, next)| end + 1 < *next), "runs are as long as they can be");
            }
        }
    }
}
