//! One client of a soak: its session, the orders that it has placed, and its line to the trader that decides them.
//!
//! Holds, as a peer does: numbers ascend without gap, none is placed more than the session window above the lowest one
//! without an outcome; a new line begins with the lowest, and what was sent and not answered is sent again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, BATCH_ORDERS_MAX, SESSION_WINDOW};
use crate::model::clock::Clock;
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::message::{Message, TradeAsk};
use crate::model::row::Outcome;
use crate::model::step::ConnId;
use crate::model::tentative::Tentative;
use crate::types::{Number, Order, OrderId, OrderKind, PeerId, ProductId, Quantity, Term};
use crate::wire::client::dial::{Dialed, Dialer};
use crate::wire::outbox::Outbox;

/// A client that has waited so long for an answer asks who holds the offices.
const ANSWER_MAX: Duration = Duration::from_millis(200);

/// An order without an outcome.
struct Open {
    order: Order,
    /// When it was to be placed.
    due: Instant,
    /// It was sent on a line that ended before the outcome came.
    unsure: bool,
    /// What was told of it before it was settled: pieces.
    early: Option<Tentative>,
}

/// A stream to a trader.
struct Line {
    conn: ConnId,
    seat: (PeerId, Term),
    outbox: Outbox<Message>,
    /// Ends the stream when it is dropped.
    _dialed: Dialed,
    /// The trader has greeted.
    is_up: bool,
    /// Everything up to this number was sent on it.
    sent: Number,
}

/// An outcome that came.
pub(in crate::ops) struct Answered {
    /// When the order was to be placed.
    pub due: Instant,
    /// The line had ended meanwhile.
    pub was_unsure: bool,
    /// What was told before: pieces.
    pub early: Option<Tentative>,
}

/// See the module's text.
pub(in crate::ops) struct Client {
    hello: Hello,
    last: u32,
    /// Numbers up to this one were sent before.
    sent: Number,
    open: BTreeMap<Number, Open>,
    line: Option<Line>,
    /// Lines that it has dialed.
    dialed: u64,
    pause: Duration,
    /// Nothing is dialed, and nothing sent, before this.
    not_before: Instant,
    /// The latest due time of an order that was answered.
    pub told_due: Instant,
}

impl Client {
    /// `hello` is what its session gave it.
    pub(in crate::ops) fn new(hello: Hello, now: Instant) -> Client {
        let (last, open, line, dialed, pause) = (0, BTreeMap::new(), None, 0, BACKOFF_MIN);
        let sent = Number(0);
        Client { hello, last, sent, open, line, dialed, pause, not_before: now, told_due: now }
    }

    pub(in crate::ops) fn id(&self) -> PeerId {
        self.hello.peer
    }

    pub(in crate::ops) fn open(&self) -> usize {
        self.open.len()
    }

    /// Orders whose line ended before their outcomes came.
    pub(in crate::ops) fn unsure(&self) -> usize {
        self.open.values().filter(|open| open.unsure).count()
    }

    /// Whether the session window has room for one more.
    pub(in crate::ops) fn has_room(&self) -> bool {
        let lowest = self.open.first_key_value().map_or(self.last, |(number, _)| number.k());
        self.last - lowest < SESSION_WINDOW - 1
    }

    /// Adds an order that was due at that time.
    pub(in crate::ops) fn place(
        &mut self,
        due: Instant,
        clock: &mut Clock,
        what: (OrderKind, ProductId, Quantity),
    ) {
        self.last += 1;
        let number = Number::new(self.hello.epoch, self.last);
        let (id, stamp, (kind, product, quantity)) =
            (OrderId { peer: self.id(), number }, clock.tick(), what);
        let order = Order { id, stamp, kind, product, quantity };
        self.open.insert(number, Open { order, due, unsure: false, early: None });
    }

    // ---- the line

    pub(in crate::ops) fn conn(&self) -> Option<ConnId> {
        self.line.as_ref().map(|line| line.conn)
    }

    /// It has a trader that answers: a line may be up whose other end stands still.
    pub(in crate::ops) fn is_served(&self, now: Instant) -> bool {
        let waits = self.open.first_key_value().is_some_and(|(_, open)| now >= open.due + ANSWER_MAX);
        self.line.as_ref().is_some_and(|line| line.is_up) && !waits
    }

    /// Dials the trader at `addr` unless the line leads there.
    pub(in crate::ops) fn go_to(
        &mut self,
        (seat, addr): ((PeerId, Term), &str),
        conn: ConnId,
        dialer: &Dialer,
        clock: &mut Clock,
        now: Instant,
    ) -> bool {
        if self.line.as_ref().is_some_and(|line| line.seat == seat) || now < self.not_before {
            return false;
        }
        self.lost(now);
        self.dialed += 1;
        let clock = clock.tick();
        let hello = Hello { clock, stream: self.dialed, ..self.hello.clone() };
        let first = TradeAsk { clock, hello: Some(Box::new(hello)), ..TradeAsk::default() };
        let (outbox, dialed) = dialer.dial(conn, addr.to_owned(), Message::TradeAsk(first));
        self.line = Some(Line { conn, seat, outbox, _dialed: dialed, is_up: false, sent: Number(0) });
        true
    }

    /// The line ended, or is given up: what was sent on it may have been decided.
    pub(in crate::ops) fn lost(&mut self, now: Instant) {
        let Some(line) = self.line.take() else { return };
        self.open.range_mut(..=line.sent).for_each(|(_, open)| open.unsure = true);
        self.wait(now);
    }

    fn wait(&mut self, now: Instant) {
        self.not_before = now + self.pause;
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
    }

    pub(in crate::ops) fn came_up(&mut self) {
        if let Some(line) = &mut self.line {
            line.is_up = true;
        }
    }

    /// Sends what was not sent on this line.
    pub(in crate::ops) fn send(&mut self, clock: &mut Clock, now: Instant) {
        let waits = now < self.not_before;
        let Some(line) = self.line.as_mut().filter(|line| line.is_up && !waits) else { return };
        let unsent = self.open.range(Number(line.sent.0 + 1)..).map(|(_, open)| open.order);
        let orders: Vec<Order> = unsent.collect();
        for batch in orders.chunks(BATCH_ORDERS_MAX) {
            let early = |order: &Order| self.open.get(&order.id.number)?.early;
            let (clock, told) = (clock.tick(), batch.iter().filter_map(early).collect());
            let ask = TradeAsk { clock, hello: None, orders: batch.to_vec(), told, again: self.sent };
            // A line that does not take it has ended, which is told.
            line.outbox.send(Message::TradeAsk(ask));
        }
        line.sent = orders.last().map_or(line.sent, |order| order.id.number);
        self.sent = self.sent.max(line.sent);
    }

    // ---- answers

    /// An outcome; none if this order has had one.
    pub(in crate::ops) fn told(&mut self, outcome: &Outcome) -> Option<(Order, Answered)> {
        let Open { order, due, unsure, early } = self.open.remove(&outcome.id.number)?;
        self.pause = BACKOFF_MIN;
        self.told_due = self.told_due.max(due);
        Some((order, Answered { due, was_unsure: unsure, early }))
    }

    /// A trader tells of an open order before it is settled. Gives when the order was due, the first time.
    pub(in crate::ops) fn told_early(&mut self, answer: &Tentative) -> Option<Instant> {
        let open = self.open.get_mut(&answer.id.number).filter(|open| open.early.is_none())?;
        open.early = Some(*answer);
        self.pause = BACKOFF_MIN;
        self.told_due = self.told_due.max(open.due);
        Some(open.due)
    }

    /// The trader did not take these. Gives those that can never be answered.
    pub(in crate::ops) fn not_taken(
        &mut self,
        not_taken: &[(OrderId, NotTaken)],
        now: Instant,
    ) -> Vec<OrderId> {
        let open = |id: &OrderId| self.open.contains_key(&id.number);
        let open: Vec<&(OrderId, NotTaken)> = not_taken.iter().filter(|(id, _)| open(id)).collect();
        let Some(first) = open.iter().map(|(id, _)| id.number).min() else { return Vec::new() };
        let full = |why| matches!(why, NotTaken::Busy | NotTaken::DiskFull | NotTaken::Window);
        if open.iter().all(|(_, why)| full(*why)) {
            self.line.iter_mut().for_each(|line| line.sent = line.sent.min(Number(first.0 - 1)));
            self.wait(now);
        } else {
            self.lost(now);
        }
        let never = |why| {
            matches!(
                why,
                NotTaken::Stale | NotTaken::OtherContent | NotTaken::UnknownProduct | NotTaken::Quantity
            )
        };
        open.iter().filter(|(_, why)| never(*why)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Stamp};

    fn client() -> (Client, Clock) {
        let hello = Hello { peer: PeerId(1_001), epoch: Epoch(0), ..Hello::default() };
        (Client::new(hello, Instant::now()), Clock::starting_at(Stamp(0)))
    }

    fn place(client: &mut Client, clock: &mut Clock) {
        client.place(Instant::now(), clock, (OrderKind::Sell, ProductId(0), Quantity(1)));
    }

    #[test]
    fn numbers_ascend_and_the_window_is_kept() {
        let (mut client, mut clock) = client();
        while client.has_room() {
            place(&mut client, &mut clock);
        }
        assert_eq!(client.open(), SESSION_WINDOW as usize);
        let orders: Vec<Order> = client.open.values().map(|open| open.order).collect();
        assert!(orders.is_sorted_by_key(|order| (order.id.number, order.stamp)));
        client.open.pop_first();
        assert!(client.has_room());
    }

    #[test]
    fn what_no_trader_can_answer_is_named() {
        let (mut client, mut clock) = client();
        (0..3).for_each(|_| place(&mut client, &mut clock));
        let peer = client.id();
        let id = |k| OrderId { peer, number: Number(k) };
        let not_taken = [(id(2), NotTaken::Busy), (id(3), NotTaken::Stale), (id(9), NotTaken::Stale)];
        assert_eq!(client.not_taken(&not_taken, Instant::now()), [id(3)], "9 is not open");
    }
}
