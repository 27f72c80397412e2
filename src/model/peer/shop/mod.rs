//! The peer's own orders: placed by the shopper or a person, journaled, sent to the home trader, told when they have an
//! outcome.
//!
//! An order is sent only when its `placed` entry is durable. A new stream starts at the lowest unanswered number and
//! goes up; after a number that was not taken the stream starts again from it, with back-off. So first arrivals are in
//! order, and asking again is harmless.

mod by_hand;
mod outcomes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::by_hand::ByHand;
use super::facts::Cx;
use super::line::Line;
use super::tally::Tally;
use crate::limits::{BATCH_ORDERS_MAX, BLOCK_BYTES_MAX, RECORD_BYTES_TYPICAL_MAX, SESSION_WINDOW};
use crate::model::call::Refusal;
use crate::model::happening::What;
use crate::model::market::NotTaken;
use crate::model::message::{Message, TradeAnswer, TradeAsk};
use crate::model::peer::entry::{Entry, Placed};
use crate::model::report::Shopping;
use crate::model::shopper::{Shopper, Wish};
use crate::model::step::{Because, ConnId, ReplyId};
use crate::model::tentative::Tentative;
use crate::types::{Now, Number, Order, OrderId, OrderKind, PeerId, Seq, Term};

/// Outcomes in one entry: an entry is never split over blocks, and a message may bring more than a block holds.
pub(super) const TOLD_PER_ENTRY: usize = 256;
/// Upper bound of one outcome in an entry: its numbers as varints.
const TOLD_BYTES_MAX: usize = 9 + 1 + 2 + 9 + 9 + 9;
const _: () = assert!(TOLD_PER_ENTRY * TOLD_BYTES_MAX + RECORD_BYTES_TYPICAL_MAX < BLOCK_BYTES_MAX);

/// An order of this peer without outcome, as this process knows it.
struct Asking {
    since_us: u64,
    /// What it took is counted already.
    timed: bool,
    /// The people who wait for it.
    replies: Vec<ReplyId>,
}

/// The way to the trader that decides this peer's orders.
#[derive(Default)]
struct Home {
    line: Line,
    /// The trader and the term that the line was dialed for.
    seat: Option<(PeerId, Term)>,
    /// Everything up to this number was sent on the line.
    sent: Number,
    /// Everything up to this number was sent at some time, perhaps by an earlier process.
    ever_sent: Number,
    /// The trader had no room: nothing more is sent on the line before this.
    not_before: Option<Now>,
    /// The lowest number that was not taken on the line and has not been sent again: the trader waits for it.
    refused: Option<Number>,
    /// A trader has served this process: shopping begins.
    served: bool,
}

/// See the module's text.
pub(super) struct Shop {
    shopper: Shopper,
    home: Home,
    /// Numbers that may be sent once the record is durable.
    placed: VecDeque<(Seq, Number)>,
    sendable: Number,
    /// Floors that count as acknowledged once the record is durable.
    answered: VecDeque<(Seq, Number)>,
    acknowledged: Number,
    asking: BTreeMap<Number, Asking>,
    /// Told before they were settled, and not durably so yet.
    early: VecDeque<(Seq, Tentative)>,
    by_hand: ByHand,
    /// Open orders that no trader will take for what they ask: a void is sent in their place. It has the content of any
    /// order with its number, so the journal need not know.
    given_up: BTreeSet<Number>,
    tally: Tally,
    done_told: bool,
}

impl Shop {
    pub(super) fn new(shopper: Shopper, last: Number, floor: Number) -> Shop {
        Shop {
            shopper,
            home: Home { ever_sent: last, ..Home::default() },
            placed: VecDeque::new(),
            sendable: last,
            answered: VecDeque::new(),
            acknowledged: floor,
            asking: BTreeMap::new(),
            early: VecDeque::new(),
            by_hand: ByHand::default(),
            given_up: BTreeSet::new(),
            tally: Tally::default(),
            done_told: false,
        }
    }

    // ---- turns

    pub(super) fn due(&self, cx: &super::facts::Facts) -> Option<Now> {
        let later = self.home.not_before.filter(|_| self.home.line.is_up());
        let timers = self.home.line.due().into_iter().chain(later);
        timers.chain(self.shopping_due(cx)).min()
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        if self.home.line.is_due(cx.now()) {
            self.go_home(cx);
        }
    }

    /// Once a turn: what the shopper wants by now, and what may be sent by now.
    pub(super) fn go_shopping(&mut self, cx: &mut Cx<'_>) {
        if self.shopping_due(cx).is_some_and(|due| due <= cx.now()) {
            let (now, used) = (cx.now(), self.window_used(cx));
            let most = BATCH_ORDERS_MAX.min(cx.state.numbers_left(cx.me.epoch) as usize);
            for wish in self.shopper.wishes(now, used, most) {
                if let Some(number) = cx.state.next_number(cx.me.epoch) {
                    self.place(cx, number, wish, Vec::new());
                }
            }
        }
        self.tell_done(cx);
        // Most of the session window waits for acknowledgement: lazy entries would stall the shopper.
        if cx.state.room(self.acknowledged) < SESSION_WINDOW / 2 {
            cx.turn.hurry();
        }
    }

    fn shopping_due(&self, cx: &super::facts::Facts) -> Option<Now> {
        let spent = cx.state.numbers_left(cx.me.epoch) == 0;
        if !self.home.served || cx.stopping || cx.at.disk_low || spent {
            return None;
        }
        self.shopper.due(cx.now(), self.window_used(cx))
    }

    /// Numbers that count against the session window: open, or answered and not yet durably so.
    fn window_used(&self, cx: &super::facts::Facts) -> usize {
        (SESSION_WINDOW - cx.state.room(self.acknowledged)) as usize
    }

    /// What became durable may be sent, or counts as acknowledged.
    pub(super) fn durable(&mut self, cx: &mut Cx<'_>, seq: Seq) {
        while let Some((_, number)) = self.placed.front().copied().filter(|(at, _)| *at <= seq) {
            self.sendable = number;
            self.placed.pop_front();
        }
        while let Some((_, floor)) = self.answered.front().copied().filter(|(at, _)| *at <= seq) {
            self.acknowledged = floor;
            self.answered.pop_front();
        }
        while let Some((_, answer)) = self.early.front().copied().filter(|(at, _)| *at <= seq) {
            self.is_told_early(cx, answer);
            self.early.pop_front();
        }
    }

    // ---- placing

    fn place(&mut self, cx: &mut Cx<'_>, number: Number, wish: Wish, replies: Vec<ReplyId>) {
        let Wish { kind, product, quantity } = wish;
        let stamp = cx.clock.tick();
        cx.record(Entry::Placed(Placed { number, stamp, kind, product, quantity }));
        self.placed.push_back((cx.state.seq, number));
        self.asking.insert(number, Asking { since_us: cx.at.micros, timed: false, replies });
        self.tally.placed(cx.at.time);
        self.done_told = false;
    }

    fn tell_done(&mut self, cx: &mut Cx<'_>) {
        let done = self.shopper.done() && cx.state.open.is_empty() && self.home.served;
        if done && !std::mem::replace(&mut self.done_told, done) {
            cx.happen(What::Done);
        }
    }

    /// In office it places nothing.
    pub(super) fn pause(&mut self) {
        self.shopper.pause();
    }

    /// Out of office it goes on where it was.
    pub(super) fn resume(&mut self) {
        self.shopper.resume();
    }

    /// It places no more in this run.
    pub(super) fn stop(&mut self) {
        self.shopper.stop();
    }

    pub(super) fn report(&self, open: usize) -> Shopping {
        self.tally.report(open, self.shopper.done())
    }

    // ---- sending

    /// Sends what is durable and was not sent on this line, in ascending numbers.
    pub(super) fn send(&mut self, cx: &mut Cx<'_>) {
        self.home.not_before.take_if(|at| *at <= cx.now());
        let ready = self.home.line.is_up() && self.home.not_before.is_none();
        if !ready || self.home.sent >= self.sendable {
            return;
        }
        let from = Number(self.home.sent.0 + 1);
        if let Some((first, _)) = cx.state.open.range(from..=self.sendable).next() {
            // The number that the trader waits for on this line has an outcome by now, so it never comes again: only a
            // new line helps.
            if self.home.refused.is_some_and(|refused| refused < *first) {
                return self.dial_again(cx);
            }
            self.home.refused = None;
        }
        let again = self.home.ever_sent;
        self.note_asked_again(cx, from);
        let open = cx.state.open.range(from..=self.sendable);
        let orders: Vec<Order> = open.map(|(_, placed)| self.order(cx, placed)).collect();
        self.home.sent = self.sendable;
        for batch in orders.chunks(BATCH_ORDERS_MAX) {
            let (clock, told) = (cx.clock.tick(), self.told_before(cx, batch));
            let ask = TradeAsk { clock, hello: None, orders: batch.to_vec(), told, again };
            self.home.line.send(cx, Because::OnItsWay, Message::TradeAsk(ask));
        }
    }

    /// As it goes over the line.
    fn order(&self, cx: &Cx<'_>, placed: &Placed) -> Order {
        let order = cx.state.order(cx.me.id, placed);
        let kind = if self.given_up.contains(&placed.number) { OrderKind::Void } else { order.kind };
        Order { kind, ..order }
    }

    /// Orders that go to a home for the second time or more.
    fn note_asked_again(&mut self, cx: &mut Cx<'_>, from: Number) {
        if from <= self.home.ever_sent {
            let mut again = cx.state.open.range(from..=self.home.ever_sent).map(|(number, _)| *number);
            if let Some(first) = again.next() {
                let last = again.next_back().unwrap_or(first);
                cx.record(Entry::AskedAgain { first, last });
            }
        }
        self.home.ever_sent = self.home.ever_sent.max(self.sendable);
    }

    // ---- the line

    pub(super) fn is(&self, conn: ConnId) -> bool {
        self.home.line.is(conn)
    }

    /// Dials the home of today's roster, unless that is where the line leads already.
    pub(super) fn go_home(&mut self, cx: &mut Cx<'_>) {
        let seat = cx.roster.home(cx.me.id);
        // A peer that stops and has no open orders has nothing to ask for.
        let may_ask = cx.session_open && !(cx.stopping && cx.state.open.is_empty());
        let seat = seat.filter(|_| may_ask).map(|seat| (seat.peer, seat.term));
        let Some((target, addr)) = seat.and_then(|seat| Some((seat, cx.at_trader(seat.0)?))) else {
            return self.leave_home(cx);
        };
        if self.home.seat == Some(target) && self.home.line.is_dialed() {
            return;
        }
        self.home.line.dial_proven(cx, &addr, |cx, hello| {
            let (clock, hello) = (cx.clock.tick(), Some(hello));
            Message::TradeAsk(TradeAsk { clock, hello, ..TradeAsk::default() })
        });
        (self.home.seat, self.home.sent) = (Some(target), Number(0));
        (self.home.not_before, self.home.refused) = (None, None);
    }

    /// The line is given up: it was dialed for another home or session.
    pub(super) fn leave_home(&mut self, cx: &mut Cx<'_>) {
        self.home.line.close(cx);
        self.home.seat = None;
    }

    pub(super) fn ended(&mut self, cx: &mut Cx<'_>, why: &str) {
        tracing::info!(why, "the line to the home trader broke");
        self.home.line.ended(cx.now());
        self.home.seat = None;
    }

    fn dial_again(&mut self, cx: &mut Cx<'_>) {
        self.home.line.cut(cx);
        self.home.seat = None;
    }

    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, answer: TradeAnswer) {
        if let Some((trader, _)) = self.home.seat {
            cx.hear_peer(trader, answer.clock);
        }
        if let Some(hello) = answer.hello {
            if !self.home.line.came_up() {
                return self.dial_again(cx);
            }
            self.home.served = true;
            cx.hinted_roster(&hello.roster);
        }
        if let Some(roster) = answer.roster {
            cx.hinted_roster(&roster);
        }
        if !answer.outcomes.is_empty() {
            self.home.line.works();
        }
        if let Some(seen) = answer.seen {
            cx.saw_ledger(*seen);
        }
        self.tell(cx, answer.outcomes);
        self.hear_early(cx, answer.early);
        self.not_taken(cx, &answer.not_taken);
    }

    /// The trader takes no higher number before the lowest one that it did not take comes again, so sending goes on
    /// from there. If the trader only had no room, the line stays: the trader has taken the lower numbers, and answers
    /// them on this line. A line dialed anew would begin with those same numbers and be refused at the same place, and
    /// no outcome would ever come.
    fn not_taken(&mut self, cx: &mut Cx<'_>, not_taken: &[(OrderId, NotTaken)]) {
        if let Some((id, why)) = not_taken.first() {
            tracing::info!(order = %id, %why, orders = not_taken.len(), "not taken");
        }
        let (known, open): (Vec<_>, Vec<_>) =
            not_taken.iter().partition(|(_, why)| matches!(why, NotTaken::Stale | NotTaken::OtherContent));
        known.into_iter().for_each(|(id, why)| self.forget(cx, id.number, why));
        let lowest = not_taken.iter().map(|(id, _)| id.number).min();
        self.home.refused = self.home.refused.into_iter().chain(lowest).min();
        let Some(first) = open.iter().map(|(id, _)| id.number).min() else { return };
        // What is asked for is not to be had anywhere: asked again it would be refused for ever, and all behind it.
        let never = |why| matches!(why, NotTaken::UnknownProduct | NotTaken::Quantity);
        let is_open = |id: &OrderId| cx.state.open.contains_key(&id.number);
        let never_taken = open.iter().filter(|(id, why)| never(*why) && is_open(id));
        self.given_up.extend(never_taken.map(|(id, _)| id.number));
        let full = |why| matches!(why, NotTaken::Busy | NotTaken::DiskFull | NotTaken::Window);
        if !open.iter().all(|(_, why)| full(*why) || never(*why)) {
            return self.dial_again(cx);
        }
        self.home.sent = self.home.sent.min(Number(first.0.saturating_sub(1)));
        self.home.not_before = Some(self.home.line.put_off(cx.now()));
    }

    /// The number has an outcome that this store, an old copy, does not hold. It is given up; otherwise it would be
    /// asked for ever.
    fn forget(&mut self, cx: &mut Cx<'_>, number: Number, why: NotTaken) {
        if !cx.state.open.contains_key(&number) {
            return;
        }
        tracing::error!(%number, %why, "an open order of this store has an outcome that it does not hold: forgotten");
        cx.record(Entry::Forgotten { number });
        self.given_up.remove(&number);
        self.floor_moved(cx);
        for reply in self.asking.remove(&number).into_iter().flat_map(|asking| asking.replies) {
            let refusal = cx.refusal(why);
            cx.reply(reply, Err(refusal));
        }
    }

    /// The process ends: people who still wait are told to ask again.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        for (number, asking) in std::mem::take(&mut self.asking) {
            for reply in asking.replies {
                let text = format!("the peer is stopping; order {number} has no outcome yet");
                cx.reply(reply, Err(Refusal::Unavailable(text)));
            }
        }
    }

    /// # Errors
    /// Says what does not hold.
    pub(super) fn invariants(&self, cx: &super::facts::Facts) -> Result<(), String> {
        match self.asking.keys().find(|number| !cx.state.open.contains_key(number)) {
            Some(number) => Err(format!("the outcome of order {number} is waited for, and it is not open")),
            None => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.home.line.conn().into_iter()
    }

    #[cfg(test)]
    pub(super) fn replies(&self) -> impl Iterator<Item = ReplyId> {
        self.asking.values().flat_map(|asking| asking.replies.iter().copied())
    }
}

#[cfg(test)]
mod tests;
