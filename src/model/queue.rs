//! A trader's orders from acceptance to settlement.
//!
//! In: accepted orders, what the settle stream has room for, and the ids that are settled. Out: batches for the
//! warehouse, smallest (stamp, peer, number) first. Invariants:
//! - an order is held once, by its id, and either waits or is in flight;
//! - `take` never gives an order while one with a smaller key waits, whatever its product. One index over all products
//!   is therefore enough: what it gives is also in order per product, and no product waits behind another's head;
//! - void orders pass the queues: they are taken first. A void takes the place of the order that it gives up, for both
//!   have one id, hence one outcome.
//!
//! The queue is memory only; the journal's accepted and settled entries are its truth. It does not bound itself: its
//! owner refuses orders at [`crate::limits::TRADER_QUEUE_ORDERS_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Order, OrderId, OrderKind, QueueKey, Stamp};

/// What became of an order that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits now, and is to be journaled. Also said of a void that takes the place of its order.
    New,
    /// It is here already, waiting or in flight, or its void is: there will be one outcome for both.
    Same,
    /// Another order has its id; that one, unchanged.
    OtherContent(Order),
}

/// Accepted orders that are not settled yet. All operations are O(log n) per order unless they say otherwise.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    orders: BTreeMap<OrderId, Order>,
    waiting: BTreeSet<QueueKey>,
    in_flight: BTreeSet<QueueKey>,
}

/// Where an order stands. Clocks stamp from 1, so 0 puts voids in front of everything else.
fn place(order: &Order) -> QueueKey {
    match order.kind {
        OrderKind::Void => QueueKey { stamp: Stamp(0), id: order.id },
        OrderKind::Buy { .. } | OrderKind::Sell => order.key(),
    }
}

impl Queue {
    /// Takes an accepted order in, to wait for its turn.
    ///
    /// A void replaces its order even in flight and then waits itself: decided by then, the warehouse gives the order's
    /// recorded outcome.
    pub fn push(&mut self, order: Order) -> Pushed {
        match self.orders.get(&order.id).copied() {
            None => {}
            Some(held) if held == order || held.kind == OrderKind::Void => return Pushed::Same,
            Some(held) if order.kind == OrderKind::Void => self.unplace(&held),
            Some(held) => return Pushed::OtherContent(held),
        }
        self.orders.insert(order.id, order);
        self.waiting.insert(place(&order));
        Pushed::New
    }

    /// The first `max` waiting orders, voids first, then smallest (stamp, peer, number) first. They are in flight now.
    pub fn take(&mut self, max: usize) -> Vec<Order> {
        let mut taken = Vec::with_capacity(max.min(self.waiting.len()));
        while taken.len() < max
            && let Some(key) = self.waiting.pop_first()
        {
            self.in_flight.insert(key);
            taken.push(self.orders[&key.id]);
        }
        taken
    }

    /// The order is settled, stale or handed over: it leaves the queue, waiting or in flight. `None` if it is not here.
    pub fn done(&mut self, id: OrderId) -> Option<Order> {
        let order = self.orders.remove(&id)?;
        self.unplace(&order);
        Some(order)
    }

    /// The order of this id, waiting or in flight.
    pub fn get(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// A new settle stream begins: everything unsettled waits again and is repeated in queue order. Otherwise the
    /// warehouse could take an order from the new stream before a smaller one that was lost with the old.
    pub fn requeue_in_flight(&mut self) {
        self.waiting.extend(std::mem::take(&mut self.in_flight));
    }

    /// Orders, waiting and in flight.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Orders that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// The first in queue order, waiting or in flight.
    pub fn oldest(&self) -> Option<&Order> {
        self.iter().next()
    }

    /// How many orders, waiting or in flight, stand before this one: 0 for the first. O(n), for `status`.
    pub fn rank(&self, id: OrderId) -> Option<usize> {
        let key = place(self.get(id)?);
        Some(self.waiting.range(..key).count() + self.in_flight.range(..key).count())
    }

    /// All orders in queue order, waiting and in flight.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        self.waiting.union(&self.in_flight).map(|key| &self.orders[&key.id])
    }

    fn unplace(&mut self, order: &Order) {
        let key = place(order);
        let was_placed = self.in_flight.remove(&key) || self.waiting.remove(&key);
        assert!(was_placed, "{} was held but neither waited nor was in flight", order.id);
    }
}
