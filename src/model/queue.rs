//! A trader's orders from acceptance to settlement.
//!
//! In: accepted orders, what the settle stream has room for, and the ids that are settled. Out: batches for the
//! warehouse, smallest (stamp, peer, number) first. Invariants:
//! - an order is held once, by its id, and either waits or is in flight;
//! - `take` never gives an order while one with a smaller key waits, whatever its product. One index over all products
//!   is therefore enough: what it gives is also in order per product, and no product waits behind another's head;
//! - orders that this trader has decided go before those that the warehouse decides, in the order of the decisions;
//! - void orders pass the queues: they are taken first. A void takes the place of the order that it gives up, for both
//!   have one id, hence one outcome.
//!
//! The queue is memory only; the journal's accepted and settled entries are its truth. It does not bound itself: its
//! owner refuses orders at [`crate::limits::TRADER_QUEUE_ORDERS_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Order, OrderId, OrderKind, QueueKey};

/// What became of an order that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits now, and is to be journaled. Also said of a void that takes the place of its order.
    New,
    /// It is here already, waiting or in flight, or its void is: there will be one outcome for both.
    Same,
    /// Another order has its id. It is given here, and stays as it is.
    OtherContent(Order),
}

/// Accepted orders that are not settled yet. All operations are O(log n) per order unless they say otherwise.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    orders: BTreeMap<OrderId, Order>,
    waiting: BTreeSet<Place>,
    in_flight: BTreeSet<Place>,
    /// Decided here, with when.
    decided: BTreeMap<OrderId, u64>,
    decisions: u64,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Void(OrderId),
    Decided(u64, OrderId),
    Undecided(QueueKey),
}

impl Place {
    fn id(&self) -> OrderId {
        match self {
            Place::Void(id) | Place::Decided(_, id) => *id,
            Place::Undecided(key) => key.id,
        }
    }
}

impl Queue {
    /// Takes an accepted order in, to wait for its turn.
    ///
    /// A void replaces its order, even in flight, and waits in its place. If the order is decided by then, the
    /// warehouse answers the void with its recorded outcome.
    pub fn push(&mut self, order: Order) -> Pushed {
        match self.orders.get(&order.id).copied() {
            None => {}
            Some(held) if held == order || held.kind == OrderKind::Void => return Pushed::Same,
            Some(held) if order.kind == OrderKind::Void => self.unplace(&held),
            Some(held) => return Pushed::OtherContent(held),
        }
        self.orders.insert(order.id, order);
        self.waiting.insert(self.place(&order));
        Pushed::New
    }

    /// An order that waits is decided: it goes behind those that were decided before.
    pub(crate) fn decided(&mut self, id: OrderId) {
        let Some(order) = self.orders.get(&id).copied().filter(|order| order.kind != OrderKind::Void) else {
            return;
        };
        self.unplace(&order);
        self.decisions += 1;
        self.decided.insert(id, self.decisions);
        self.waiting.insert(self.place(&order));
    }

    /// Nothing that is decided waits for its turn.
    pub(crate) fn all_decided_sent(&self) -> bool {
        !self
            .waiting
            .iter()
            .find(|place| !matches!(place, Place::Void(_)))
            .is_some_and(|place| matches!(place, Place::Decided(..)))
    }

    fn place(&self, order: &Order) -> Place {
        match (order.kind, self.decided.get(&order.id)) {
            (OrderKind::Void, _) => Place::Void(order.id),
            (_, Some(nth)) => Place::Decided(*nth, order.id),
            (_, None) => Place::Undecided(order.key()),
        }
    }

    /// The first `max` waiting orders, voids first, then smallest (stamp, peer, number) first. They are in flight now.
    pub fn take(&mut self, max: usize) -> Vec<Order> {
        let mut taken = Vec::with_capacity(max.min(self.waiting.len()));
        while taken.len() < max
            && let Some(key) = self.waiting.pop_first()
        {
            self.in_flight.insert(key);
            taken.push(self.orders[&key.id()]);
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
    pub(crate) fn get(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// A new settle stream begins: everything unsettled waits again and is repeated in queue order. Otherwise the
    /// warehouse could take an order from the new stream before a smaller one that was lost with the old.
    pub(crate) fn requeue_in_flight(&mut self) {
        self.waiting.extend(std::mem::take(&mut self.in_flight));
    }

    /// Orders, waiting and in flight.
    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    /// Orders that wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// The first in queue order, waiting or in flight.
    pub(crate) fn oldest(&self) -> Option<&Order> {
        self.iter().next()
    }

    /// How many orders, waiting or in flight, stand before this one: 0 for the first. O(n), for `status`.
    #[cfg(test)]
    pub(crate) fn rank(&self, id: OrderId) -> Option<usize> {
        let key = self.place(self.get(id)?);
        Some(self.waiting.range(..key).count() + self.in_flight.range(..key).count())
    }

    /// All orders in queue order, waiting and in flight.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.waiting.union(&self.in_flight).map(|key| &self.orders[&key.id()])
    }

    /// Each order stands in one place, at its key.
    ///
    /// # Errors
    /// Says what does not hold.
    pub(crate) fn invariants(&self) -> Result<(), String> {
        let stands = |order: &Order| {
            let key = self.place(order);
            self.waiting.contains(&key) != self.in_flight.contains(&key)
        };
        match self.orders.values().find(|order| !stands(order)) {
            Some(order) => Err(format!("{order:?} neither waits nor is in flight, or both")),
            None if self.waiting.len() + self.in_flight.len() != self.orders.len() => Err(format!(
                "{} orders have {} places",
                self.orders.len(),
                self.waiting.len() + self.in_flight.len()
            )),
            None => Ok(()),
        }
    }

    fn unplace(&mut self, order: &Order) {
        let key = self.place(order);
        let was_placed = self.in_flight.remove(&key) || self.waiting.remove(&key);
        self.decided.remove(&order.id);
        assert!(was_placed, "{} was held but neither waited nor was in flight", order.id);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Number, PeerId, ProductId, Quantity, Stamp};

    fn order(stamp: u64, peer: u32, number: u64) -> Order {
        let kind = OrderKind::Buy { partial: false };
        let id = OrderId { peer: PeerId(peer), number: Number(number) };
        Order { id, stamp: Stamp(stamp), kind, product: ProductId(0), quantity: Quantity(1) }
    }

    fn void(of: Order) -> Order {
        Order { kind: OrderKind::Void, ..of }
    }

    fn queue_of(orders: &[Order]) -> Queue {
        let mut queue = Queue::default();
        orders.iter().for_each(|&order| assert_eq!(queue.push(order), Pushed::New));
        queue
    }

    #[test]
    fn late_comers_with_small_stamps_go_first_whatever_their_product() {
        let (first, second, third) = (order(1, 9, 4), order(2, 1, 7), order(2, 2, 1));
        let other_good = Order { product: ProductId(1), ..first };
        let mut queue = queue_of(&[third, second, other_good]);
        assert_eq!(queue.take(2), [other_good, second]);
        assert_eq!(queue.take(2), [third]);
        assert_eq!(queue.take(2), []);
    }

    #[test]
    fn an_order_asked_again_is_not_queued_again() {
        let mut queue = queue_of(&[order(1, 1, 1)]);
        assert_eq!(queue.push(order(1, 1, 1)), Pushed::Same);
        queue.take(1);
        assert_eq!(queue.push(order(1, 1, 1)), Pushed::Same, "in flight");
        assert_eq!((queue.len(), queue.waiting()), (1, 0));
    }

    #[test]
    fn one_id_is_not_two_orders() {
        let mut queue = queue_of(&[order(1, 1, 1)]);
        let other = Order { quantity: Quantity(2), ..order(1, 1, 1) };
        assert_eq!(queue.push(other), Pushed::OtherContent(order(1, 1, 1)));
        assert_eq!(queue.push(order(2, 1, 1)), Pushed::OtherContent(order(1, 1, 1)), "the stamp is content");
        assert_eq!(queue.take(9), [order(1, 1, 1)]);
    }

    #[test]
    fn a_new_stream_repeats_everything_unsettled_in_order() {
        let orders = [order(1, 1, 1), order(2, 2, 1), order(3, 1, 2)];
        let mut queue = queue_of(&orders);
        queue.take(2);
        queue.done(orders[0].id);
        queue.requeue_in_flight();
        assert_eq!(queue.take(9), orders[1..]);
    }

    #[test]
    fn a_void_passes_the_queue_and_its_order_is_not_sold_after_it() {
        let (first, given_up) = (order(1, 1, 1), order(2, 2, 1));
        let mut queue = queue_of(&[first, given_up]);
        assert_eq!(queue.push(void(given_up)), Pushed::New);
        assert_eq!(queue.push(given_up), Pushed::Same, "answered by the void's outcome");
        assert_eq!(queue.rank(first.id), Some(1));
        assert_eq!(queue.take(9), [void(given_up), first]);
    }

    #[test]
    fn a_void_of_an_order_in_flight_is_sent_too() {
        let mut queue = queue_of(&[order(2, 2, 1)]);
        queue.take(1);
        assert_eq!(queue.push(void(order(2, 2, 1))), Pushed::New);
        assert_eq!(queue.take(9), [void(order(2, 2, 1))]);
        assert_eq!(queue.done(order(2, 2, 1).id), Some(void(order(2, 2, 1))));
        assert_eq!(queue.done(order(2, 2, 1).id), None, "one outcome settles both");
        assert!(queue.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(Order),
        Take(usize),
        Done(OrderId),
        Requeue,
    }

    /// Few peers, numbers and stamps, so that ids, contents and stamps collide.
    fn small_order() -> impl Strategy<Value = Order> {
        (1..5_u64, 1..4_u32, 1..5_u64, 0..8_u8, 0..3_u16).prop_map(|(stamp, peer, number, kind, product)| {
            let kind = match kind {
                0 => OrderKind::Void,
                1 => OrderKind::Sell,
                _ => OrderKind::Buy { partial: false },
            };
            Order { kind, product: ProductId(product), ..order(stamp, peer, number) }
        })
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => small_order().prop_map(Step::Push),
            2 => (0..4_usize).prop_map(Step::Take),
            2 => small_order().prop_map(|order| Step::Done(order.id)),
            1 => Just(Step::Requeue),
        ]
    }

    /// The same queue as a list that is sorted after every step: (order, in flight).
    #[derive(Default)]
    struct List(Vec<(Order, bool)>);

    impl List {
        fn find(&self, id: OrderId) -> Option<usize> {
            self.0.iter().position(|(order, _)| order.id == id)
        }

        fn push(&mut self, order: Order) -> Pushed {
            let held = self.find(order.id);
            let pushed = match held.map(|at| self.0[at].0) {
                None => Pushed::New,
                Some(held) if held == order || held.kind == OrderKind::Void => Pushed::Same,
                Some(_) if order.kind == OrderKind::Void => Pushed::New,
                Some(held) => Pushed::OtherContent(held),
            };
            if pushed == Pushed::New {
                self.0.retain(|(other, _)| other.id != order.id);
                self.0.push((order, false));
                self.0.sort_by_key(|(order, _)| match order.kind {
                    OrderKind::Void => (0, Stamp(0), order.id),
                    _ => (1, order.stamp, order.id),
                });
            }
            pushed
        }

        fn take(&mut self, max: usize) -> Vec<Order> {
            let waiting = self.0.iter_mut().filter(|(_, in_flight)| !in_flight).take(max);
            waiting.map(|entry| (entry.1 = true, entry.0).1).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn behaves_like_a_sorted_list(steps in prop::collection::vec(step(), 0..80)) {
            let (mut queue, mut list) = (Queue::default(), List::default());
            for step in steps {
                match step {
                    Step::Push(order) => prop_assert_eq!(queue.push(order), list.push(order)),
                    Step::Take(max) => prop_assert_eq!(queue.take(max), list.take(max)),
                    Step::Done(id) => {
                        let expected = list.find(id).map(|at| list.0.remove(at).0);
                        prop_assert_eq!(queue.done(id), expected);
                    }
                    Step::Requeue => {
                        queue.requeue_in_flight();
                        list.0.iter_mut().for_each(|entry| entry.1 = false);
                    }
                }
                prop_assert!(queue.iter().eq(list.0.iter().map(|(order, _)| order)));
                prop_assert_eq!(queue.waiting(), list.0.iter().filter(|(_, in_flight)| !in_flight).count());
                prop_assert_eq!(queue.len(), list.0.len());
                prop_assert_eq!(queue.oldest(), list.0.first().map(|(order, _)| order));
                for (rank, (order, _)) in list.0.iter().enumerate() {
                    prop_assert_eq!(queue.rank(order.id), Some(rank));
                    prop_assert_eq!(queue.get(order.id), Some(order));
                }
            }
        }
    }
}
