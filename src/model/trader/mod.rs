//! A trader's desk: what it admitted, what is on its way to the warehouse, and what came back.
//!
//! Orders go out in queue order, several batches in flight. A new settle stream first repeats everything unsettled in
//! that order; a batch that was not taken ends the stream, so that no later batch is taken before it. So first
//! arrivals at the warehouse are in order and duplicates harmless.

use std::collections::{BTreeMap, btree_map};

use super::market::NotTaken;
use super::peer::entry::Entry;
use super::queue::{Pushed, Queue};
use super::row::Outcome;
use crate::limits::{BATCH_ORDERS_MAX, QUANTITY_MAX, SESSION_WINDOW, SETTLE_BATCHES_IN_FLIGHT_MAX};
use crate::types::{Batch, Number, Order, OrderId, OrderKind, PeerId, Quantity};

/// What became of an order at the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// To be journaled as accepted; it is queued.
    New,
    /// It is here already: its peer gets the answer when it comes.
    Attached,
}

/// A batch that came back, as entries to journal (lazily) and answers to give.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Orders that leave the queue.
    pub entries: Vec<Entry>,
    /// Outcomes of orders that are here.
    pub outcomes: Vec<Outcome>,
    /// Orders that the warehouse left open, or that are stale there.
    pub not_taken: Vec<(OrderId, NotTaken)>,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Trader {
    queue: Queue,
    in_flight: BTreeMap<Batch, usize>,
    last_batch: Batch,
    stream_up: bool,
    products: u16,
    queue_max: usize,
    /// How many orders of each peer are here: no peer may fill the queue for all.
    by_peer: BTreeMap<PeerId, u32>,
}

impl Trader {
    /// An empty desk for a catalogue of so many goods, that takes up to `queue_max` orders.
    pub(crate) fn new(products: u16, queue_max: usize) -> Trader {
        Trader { products, queue_max, ..Trader::default() }
    }

    /// The term is over: nothing is here any more.
    pub(crate) fn close(&mut self) {
        *self = Trader::new(self.products, self.queue_max);
    }

    /// No more orders are taken until some are settled.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.queue_max
    }

    /// Takes an order in, unless it makes no sense or there is no room.
    ///
    /// # Errors
    /// The order stays with its sender; nothing changed.
    pub(crate) fn admit(&mut self, order: Order) -> Result<Admitted, NotTaken> {
        if order.id.number.k() == 0 {
            return Err(NotTaken::Window);
        }
        match order.kind {
            // Its row has to be one that the audit can read; what else it says of goods counts for nothing.
            OrderKind::Void if order.quantity.0 > QUANTITY_MAX => return Err(NotTaken::Quantity),
            OrderKind::Void => {}
            _ => check(&order, self.products)?,
        }
        if self.is_full() && self.queue.get(order.id).is_none() {
            return Err(NotTaken::Busy);
        }
        let known = self.queue.get(order.id).is_some();
        let held = self.by_peer.entry(order.id.peer).or_default();
        if *held >= SESSION_WINDOW && !known {
            return Err(NotTaken::Window);
        }
        *held += u32::from(!known);
        match self.queue.push(order) {
            Pushed::New => Ok(Admitted::New),
            Pushed::Same => Ok(Admitted::Attached),
            Pushed::OtherContent(_) => Err(NotTaken::OtherContent),
        }
    }

    /// An order is decided here: it goes out in the order of the decisions, before those that the warehouse decides.
    pub(crate) fn decided(&mut self, id: OrderId) {
        self.queue.decided(id);
    }

    /// A settle stream is up: everything unsettled goes again, smallest first.
    pub(crate) fn stream_up(&mut self) {
        self.queue.requeue_in_flight();
        self.in_flight.clear();
        self.stream_up = true;
    }

    /// The settle stream is gone: nothing is sent until the next one is up.
    pub(crate) fn stream_lost(&mut self) {
        self.stream_up = false;
    }

    /// The next batch to send, if there is one and not too many are unanswered.
    pub(crate) fn next_batch(&mut self) -> Option<(Batch, Vec<Order>)> {
        if !self.stream_up
            || self.in_flight.len() >= SETTLE_BATCHES_IN_FLIGHT_MAX
            || self.queue.waiting() == 0
        {
            return None;
        }
        let orders = self.queue.take(BATCH_ORDERS_MAX);
        self.last_batch.0 += 1;
        self.in_flight.insert(self.last_batch, orders.len());
        Some((self.last_batch, orders))
    }

    /// A batch came back. An outcome of an order that is not here any more is dropped: it was told already.
    pub(crate) fn settled(
        &mut self,
        batch: Batch,
        outcomes: Vec<Outcome>,
        not_taken: Vec<(OrderId, NotTaken)>,
    ) -> Settled {
        self.in_flight.remove(&batch);
        let mut settled = Settled::default();
        let mut ranges = Ranges::default();
        for outcome in outcomes {
            if self.leave(outcome.id) {
                ranges.add(outcome.id);
                settled.outcomes.push(outcome);
            }
        }
        for (id, why) in not_taken {
            if self.leave(id) {
                ranges.add(id);
                settled.not_taken.push((id, why));
            }
        }
        settled.entries = ranges.entries();
        settled
    }

    fn leave(&mut self, id: OrderId) -> bool {
        let was_here = self.queue.done(id).is_some();
        if was_here && let btree_map::Entry::Occupied(mut held) = self.by_peer.entry(id.peer) {
            *held.get_mut() -= 1;
            // Clients come once: without this all of a term would stay.
            if *held.get() == 0 {
                held.remove();
            }
        }
        was_here
    }

    /// A term begins: its batches are numbered from 1.
    pub(crate) fn begin(&mut self) {
        self.last_batch = Batch(0);
        self.in_flight.clear();
        self.queue.requeue_in_flight();
    }

    /// All orders that are here.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// # Errors
    /// Says what does not hold.
    pub(crate) fn invariants(&self) -> Result<(), String> {
        let (counted, queued) =
            (self.by_peer.values().map(|held| *held as usize).sum::<usize>(), self.queue.len());
        if counted != queued {
            return Err(format!("{queued} orders are queued, and {counted} are counted by peer"));
        }
        self.queue.invariants()
    }

    /// How many orders are here, waiting and in flight.
    pub(crate) fn depth(&self) -> usize {
        self.queue.len()
    }

    /// The order that has waited longest by stamp.
    pub(crate) fn oldest(&self) -> Option<&Order> {
        self.queue.oldest()
    }
}

fn check(order: &Order, products: u16) -> Result<(), NotTaken> {
    if order.product.0 >= products {
        return Err(NotTaken::UnknownProduct);
    }
    match order.quantity {
        Quantity(1..=QUANTITY_MAX) => Ok(()),
        _ => Err(NotTaken::Quantity),
    }
}

/// Numbers that leave the queue, as ranges per peer: a number between two of them may still be waiting, so only
/// neighbours are joined.
#[derive(Default)]
struct Ranges {
    open: BTreeMap<PeerId, (Number, Number)>,
    closed: Vec<Entry>,
}

impl Ranges {
    fn add(&mut self, id: OrderId) {
        match self.open.get_mut(&id.peer) {
            Some((_, last)) if id.number.0 == last.0 + 1 => *last = id.number,
            Some(range) => {
                self.closed.push(Entry::Settled { peer: id.peer, first: range.0, last: range.1 });
                *range = (id.number, id.number);
            }
            None => {
                self.open.insert(id.peer, (id.number, id.number));
            }
        }
    }

    fn entries(self) -> Vec<Entry> {
        let open = self.open.into_iter().map(|(peer, (first, last))| Entry::Settled { peer, first, last });
        self.closed.into_iter().chain(open).collect()
    }
}

#[cfg(test)]
mod tests;
