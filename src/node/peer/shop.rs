//! Own orders: placed by the shopper or a person, journaled, sent to the home trader, told when they have an outcome.
//!
//! An order is sent only when its `placed` entry is durable. A new stream starts at the lowest unanswered number and
//! goes up; after a number that was not taken the stream starts again from it, with back-off. So first arrivals are in
//! order, and asking again is harmless.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};

use super::*;
use crate::limits::{BATCH_ORDERS_MAX, BLOCK_BYTES_MAX, QUANTITY_MAX, RECORD_BYTES_TYPICAL_MAX};
use crate::model::entry::{Placed, Told};
use crate::model::market::NotTaken;
use crate::model::row::OutcomeKind;
use crate::model::shopper::Wish;
use crate::types::{OrderKind, ProductId};
use crate::wire::report::Shopping;

/// Outcomes in one entry: an entry is never split over blocks, and a message may bring more than a block holds.
const TOLD_PER_ENTRY: usize = 256;
/// Upper bound of one outcome in an entry: its numbers as varints.
const TOLD_BYTES_MAX: usize = 9 + 1 + 2 + 9 + 9 + 9;
const _: () = assert!(TOLD_PER_ENTRY * TOLD_BYTES_MAX + RECORD_BYTES_TYPICAL_MAX < BLOCK_BYTES_MAX);

/// The way to the trader that decides this peer's orders.
#[derive(Default)]
pub(super) struct Home {
    line: Line<TradeAsk>,
    /// The trader and the term that the line was dialed for.
    seat: Option<(PeerId, Term)>,
    /// Everything up to this number was sent on the line.
    sent: Number,
    /// Everything up to this number was sent at some time, perhaps by an earlier process.
    ever_sent: Number,
    /// The trader had no room: nothing more is sent on the line before this.
    not_before: Now,
    /// The lowest number that was not taken on the line and has not been sent again: the trader waits for it.
    refused: Option<Number>,
    /// A trader has served this process: shopping begins.
    served: bool,
}

/// An own order without outcome, as this process knows it.
pub(super) struct Asking {
    since_us: u64,
    reply: Option<Reply<Outcome>>,
}

/// Counts of this process's own orders.
pub(super) struct Tally {
    shopping: Shopping,
    latency_us: Histogram<u64>,
    done_told: bool,
}

impl Default for Tally {
    fn default() -> Self {
        let mut latency_us = Histogram::new_with_bounds(1, 600_000_000, 3)
            .unwrap_or_else(|error| unreachable!("constant bounds are valid: {error}"));
        latency_us.auto(false);
        Tally { shopping: Shopping::default(), latency_us, done_told: false }
    }
}

impl Tally {
    fn count(&mut self, outcome: &Outcome, told_at: u64) {
        let shopping = &mut self.shopping;
        shopping.answered += 1;
        shopping.last_at = told_at;
        *match outcome.kind {
            OutcomeKind::Bought | OutcomeKind::PartlyBought => &mut shopping.bought,
            OutcomeKind::SoldOut => &mut shopping.sold_out,
            OutcomeKind::Deposited => &mut shopping.deposits,
            OutcomeKind::Refused | OutcomeKind::Reversed | OutcomeKind::Voided => &mut shopping.refused,
        } += 1;
    }

    pub(super) fn report(&self, open: usize, done: bool) -> Shopping {
        let mut bytes = Vec::new();
        if let Err(error) = V2Serializer::new().serialize(&self.latency_us, &mut bytes) {
            tracing::error!(?error, "latencies cannot be reported");
        }
        Shopping { open: open as u64, done, latency_us: bytes, ..self.shopping.clone() }
    }
}

impl Home {
    /// A way home of a process whose store has placed orders up to this one.
    pub(super) fn new(last: Number) -> Home {
        Home { ever_sent: last, ..Home::default() }
    }
}

impl Loop {
    // ---- placing

    pub(super) fn shopping_due(&self) -> Option<Now> {
        if !self.home.served || self.stopping || self.journal.disk_low() {
            return None;
        }
        self.shopper.due(self.now, self.window_used())
    }

    /// Numbers that count against the session window: open, or answered and not yet durably so.
    fn window_used(&self) -> usize {
        (SESSION_WINDOW - self.state.room(self.acknowledged)) as usize
    }

    pub(super) fn go_shopping(&mut self) {
        if self.shopping_due().is_some_and(|due| due <= self.now) {
            for wish in self.shopper.wishes(self.now, self.window_used(), BATCH_ORDERS_MAX) {
                self.place(wish, None);
            }
        }
        self.tell_done();
    }

    fn place(&mut self, wish: Wish, reply: Option<Reply<Outcome>>) {
        let Wish { kind, product, quantity } = wish;
        let number = self.state.next_number(self.me.epoch);
        let stamp = self.clock.tick();
        self.record(Entry::Placed(Placed { number, stamp, kind, product, quantity }));
        let since_us = self.stopwatch.micros();
        self.asking.insert(number, Asking { since_us, reply });
        self.tally.shopping.placed += 1;
        if self.tally.shopping.first_at == 0 {
            self.tally.shopping.first_at = self.time.0;
        }
        let ticket = self.step_ticket();
        match self.placed.back_mut() {
            Some((last, up_to)) if *last == ticket => *up_to = number,
            _ => self.placed.push_back((ticket, number)),
        }
        self.tally.done_told = false;
    }

    /// A person's order in this peer's name.
    pub(super) fn place_for(
        &mut self,
        good: &str,
        quantity: Quantity,
        kind: OrderKind,
        reply: Reply<Outcome>,
    ) {
        let Some(product) = self.goods.iter().position(|(name, _)| name == good) else {
            return self.reply(reply, Err(Refusal::Invalid(format!("no such good: {good}"))));
        };
        if quantity.0 == 0 || quantity.0 > QUANTITY_MAX || kind == OrderKind::Void {
            let text = format!("the quantity must be between 1 and {QUANTITY_MAX}, not {quantity}");
            return self.reply(reply, Err(Refusal::Invalid(text)));
        }
        if self.is_going() {
            let text = format!("peer {} is leaving and places no more orders", self.me.id);
            return self.reply(reply, Err(Refusal::Unavailable(text)));
        }
        if !self.session_open || self.state.room(self.acknowledged) == 0 {
            let text = "no session yet, or too many orders are open; ask again".to_owned();
            return self.reply(reply, Err(Refusal::Unavailable(text)));
        }
        self.place(Wish { kind, product: ProductId(product as u16), quantity }, Some(reply));
    }

    fn tell_done(&mut self) {
        let done = self.shopper.done() && self.state.open.is_empty() && self.home.served;
        if done && !self.tally.done_told {
            self.tally.done_told = true;
            self.happen(What::Done);
        }
    }

    // ---- sending

    /// What became durable may be sent, or counts as acknowledged.
    pub(super) fn acknowledge(&mut self, durable: Ticket) {
        while let Some((ticket, number)) = self.placed.front().copied()
            && ticket <= durable
        {
            self.sendable = number;
            self.placed.pop_front();
        }
        while let Some((ticket, floor)) = self.answered.front().copied()
            && ticket <= durable
        {
            self.acknowledged = floor;
            self.answered.pop_front();
        }
    }

    /// Sends what is durable and was not sent on this line, in ascending numbers.
    pub(super) fn send_home(&mut self) {
        if !self.home.line.up || self.home.sent >= self.sendable || self.now < self.home.not_before {
            return;
        }
        let from = Number(self.home.sent.0 + 1);
        if let Some((first, _)) = self.state.open.range(from..=self.sendable).next() {
            // The number that the trader waits for on this line has an outcome by now, and never comes again.
            if self.home.refused.is_some_and(|refused| refused < *first) {
                return self.dial_home_again();
            }
            self.home.refused = None;
        }
        self.note_asked_again(from);
        let open = self.state.open.range(from..=self.sendable);
        let orders: Vec<_> = open.map(|(_, placed)| self.state.order(self.me.id, placed)).collect();
        self.home.sent = self.sendable;
        for batch in orders.chunks(BATCH_ORDERS_MAX) {
            let clock = self.clock.tick();
            let ask = TradeAsk { clock, hello: None, orders: batch.to_vec() };
            self.sent += 1;
            if let Some(outbox) = self.home.line.outbox() {
                outbox.send(ask);
            }
        }
    }

    /// Orders that go to a home for the second time or more.
    fn note_asked_again(&mut self, from: Number) {
        if from <= self.home.ever_sent {
            let mut again = self.state.open.range(from..=self.home.ever_sent).map(|(number, _)| *number);
            if let Some(first) = again.next() {
                let last = again.next_back().unwrap_or(first);
                self.record(Entry::AskedAgain { first, last });
            }
        }
        self.home.ever_sent = self.home.ever_sent.max(self.sendable);
    }

    // ---- the line

    /// Dials the home of today's roster, unless that is where the line leads already.
    pub(super) fn go_home(&mut self) {
        let seat = self.roster.home(self.me.id).filter(|seat| !seat.addr.is_empty());
        let Some(seat) = seat.filter(|_| self.session_open && !self.may_not_ask()) else {
            return self.leave_home();
        };
        let target = (seat.peer, seat.term);
        if self.home.seat == Some(target) && self.home.line.dialed.is_some() {
            return;
        }
        let addr = seat.addr.clone();
        let first = TradeAsk {
            clock: self.clock.tick(),
            hello: Some(Box::new(self.hello(true))),
            orders: Vec::new(),
        };
        self.home.line.set(self.dialer.trade(&addr, first));
        (self.home.seat, self.home.sent) = (Some(target), Number(0));
        (self.home.not_before, self.home.refused) = (Now(0), None);
    }

    /// The line is not what it was dialed for any more.
    pub(super) fn leave_home(&mut self) {
        self.home.line = Line::default();
        self.home.seat = None;
    }

    /// A trader, or a peer that leaves, has no orders of its own to ask for.
    fn may_not_ask(&self) -> bool {
        self.stopping && self.state.open.is_empty()
    }

    pub(super) fn home_event(&mut self, event: StreamEvent<TradeAnswer>) {
        match event {
            StreamEvent::Up(_) => {}
            StreamEvent::Message(conn, answer) if self.home.line.is(conn) => self.heard_home(answer),
            StreamEvent::Lost { conn, why, .. } if self.home.line.is(conn) => self.lost_home(&why),
            StreamEvent::Message(..) | StreamEvent::Lost { .. } => {}
        }
    }

    fn lost_home(&mut self, why: &str) {
        tracing::info!(why, "the line to the home trader broke");
        self.dial_home_again();
    }

    fn dial_home_again(&mut self) {
        let wait = self.home.line.lost();
        self.home.seat = None;
        self.timer(wait, Timer::Home);
    }

    fn heard_home(&mut self, answer: TradeAnswer) {
        self.hear(answer.clock);
        if let Some(hello) = answer.hello {
            self.home.line.came_up();
            self.home.served = true;
            self.adopt_roster(hello.roster);
        }
        if let Some(roster) = answer.roster {
            self.adopt_roster(*roster);
        }
        if !answer.outcomes.is_empty() {
            self.home.line.works();
        }
        self.tell(answer.outcomes);
        self.not_taken(&answer.not_taken);
    }

    /// The first number that was not taken: the trader takes no later one before it, so all start again from there. Who
    /// has no room now has taken the numbers before it and answers them on this line, which stays: dialed anew, it would
    /// begin with those same numbers, be refused at the same place, and bring no outcome ever.
    fn not_taken(&mut self, not_taken: &[(OrderId, NotTaken)]) {
        if let Some((id, why)) = not_taken.first() {
            tracing::info!(order = %id, %why, orders = not_taken.len(), "not taken");
        }
        let (known, open): (Vec<_>, Vec<_>) =
            not_taken.iter().partition(|(_, why)| matches!(why, NotTaken::Stale | NotTaken::OtherContent));
        known.into_iter().for_each(|(id, why)| self.forget(id.number, why));
        let lowest = not_taken.iter().map(|(id, _)| id.number).min();
        self.home.refused = self.home.refused.into_iter().chain(lowest).min();
        let Some(first) = open.iter().map(|(id, _)| id.number).min() else { return };
        let full = |why| matches!(why, NotTaken::Busy | NotTaken::DiskFull | NotTaken::Window);
        if !open.iter().all(|(_, why)| full(*why)) {
            return self.dial_home_again();
        }
        let wait = self.home.line.put_off();
        self.home.sent = self.home.sent.min(Number(first.0 - 1));
        self.home.not_before = self.now.after_ms(wait);
        self.timer(wait, Timer::Home);
    }

    /// The number has an outcome that this store, an old copy, does not hold: it is given up, or it would be asked for
    /// ever.
    fn forget(&mut self, number: Number, why: NotTaken) {
        if !self.state.open.contains_key(&number) {
            return;
        }
        tracing::error!(%number, %why, "an open order of this store has an outcome that it does not hold: forgotten");
        self.record(Entry::Forgotten { number });
        self.floor_moved();
        if let Some(reply) = self.asking.remove(&number).and_then(|asking| asking.reply) {
            // An asker that has gone needs no answer.
            drop(reply.send(Err(Refusal::NotTaken(why, Box::new(self.roster.clone())))));
        }
    }

    // ---- outcomes

    fn tell(&mut self, outcomes: Vec<Outcome>) {
        if outcomes.is_empty() {
            return;
        }
        let via = self.home.seat.map_or(outcomes[0].trader, |(peer, _)| peer);
        let told_at = self.stopwatch.micros();
        let news: Vec<Outcome> =
            outcomes.into_iter().filter(|outcome| self.state.open.contains_key(&outcome.id.number)).collect();
        let watched = self.happenings.receiver_count() > 0;
        for outcome in &news {
            self.tally.count(outcome, self.time.0);
            self.outcome_line(outcome);
            if watched && let Some(placed) = self.state.open.get(&outcome.id.number) {
                self.happen(What::Told(self.state.order(self.me.id, placed), outcome.clone()));
            }
            self.answer_asking(outcome, told_at);
        }
        if news.is_empty() {
            return;
        }
        for told in news.chunks(TOLD_PER_ENTRY) {
            self.record(Entry::Answered { via, told: told.iter().map(as_told).collect() });
        }
        self.floor_moved();
    }

    /// What has no outcome begins elsewhere now: it counts once this step is durable.
    fn floor_moved(&mut self) {
        let (ticket, floor) = (self.step_ticket(), self.state.floor());
        match self.answered.back_mut() {
            Some((last, up_to)) if *last == ticket => *up_to = floor,
            _ => self.answered.push_back((ticket, floor)),
        }
    }

    /// A person is told at once; only the acknowledgement waits for this journal.
    fn answer_asking(&mut self, outcome: &Outcome, told_at: u64) {
        let Some(asking) = self.asking.remove(&outcome.id.number) else { return };
        let latency = told_at.saturating_sub(asking.since_us).max(1);
        self.tally.latency_us.saturating_record(latency);
        if let Some(reply) = asking.reply {
            // An asker that has gone needs no answer.
            drop(reply.send(Ok(outcome.clone())));
        }
    }
}

fn as_told(outcome: &Outcome) -> Told {
    let Outcome { id, kind, reason, filled, amount, seq, .. } = *outcome;
    Told { number: id.number, kind, reason, filled, amount, seq }
}

#[cfg(test)]
mod tests;
