//! A client: opens a session of its own, orders, asks until it has an outcome, and then asks again.
//!
//! Like `bazaar buy` it asks the home of the newest roster that it heard of, follows referrals, and asks again under the
//! same number with the same content after whatever is no outcome and no final refusal. What it was told once it must be
//! told for ever; with other content the number must be refused. It may die at any moment, and never comes back.

use std::collections::{BTreeSet, VecDeque};

use super::{Hands, Person};
use crate::limits::SESSION_WINDOW;
use crate::model::call::{Answer, Ask, CallError, OpenAnswer, Opening};
use crate::model::clock::Clock;
use crate::model::evidence::Seen;
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::offices::Roster;
use crate::model::row::{Outcome, OutcomeKind};
use crate::model::step::{CallId, Input};
use crate::sim::chance::Chance;
use crate::sim::check::Told;
use crate::sim::marks::Mark;
use crate::sim::queue::{MS, Moment};
use crate::types::{
    Epoch, Number, Order, OrderId, OrderKind, PeerId, ProcessId, ProductId, Quantity, Seq, Stamp, Token,
};

/// Steps after which a client that dies has died.
const LIFE_MAX: u64 = 12;

/// What a client is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Plan {
    /// A few orders, some of them asked for again, some with other content.
    Orders,
    /// Two orders so far apart that the first one's outcome is forgotten; then the first one again.
    OldNumber,
}

/// Something that a client asks.
#[derive(Clone, Debug)]
enum Errand {
    /// A new order, with this count in its number.
    Order(u32),
    /// An order that is placed: until it has an outcome.
    Placed(Order),
    /// One that has an outcome: the same again.
    Again(Order, Outcome),
    /// Its number with other content.
    Other(Order, Outcome),
    /// One whose outcome may be forgotten.
    Old(Order, Outcome),
}

/// What the call that is under way was for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Session,
    Order,
}

/// See the module's text.
pub(in crate::sim) struct Client {
    chance: Chance,
    warehouse: String,
    goods: u16,
    token: Token,
    clock: Clock,
    process: ProcessId,
    /// Who it is, once it has a session.
    me: Option<(PeerId, Epoch)>,
    /// What the ledger was seen to hold, in the session's generation.
    seen: Seen,
    roster: Roster,
    /// Something went wrong since the roster came.
    outdated: bool,
    /// Traders to ask before the home of the roster.
    referrals: VecDeque<String>,
    asked: BTreeSet<String>,
    errands: VecDeque<Errand>,
    call: Option<(CallId, Purpose)>,
    not_before: Moment,
    /// Steps until it dies, if it dies.
    dies_in: Option<u64>,
}

impl Client {
    /// A client that has not begun.
    pub(crate) fn new(plan: Plan, warehouse: String, goods: u16, mut chance: Chance) -> Client {
        let errands = match plan {
            Plan::Orders => (1..=chance.between(1, 3) as u32).map(Errand::Order).collect(),
            // The window moves past the first number when a number this far above it is decided.
            Plan::OldNumber => [1, SESSION_WINDOW + 1].map(Errand::Order).into(),
        };
        let (token, random) = (Token(chance.bytes()), chance.between(0, u64::MAX));
        let dies_in = chance.one_in(4).then(|| chance.between(1, LIFE_MAX));
        Client {
            warehouse,
            goods,
            token,
            clock: Clock::starting_at(Stamp(0)),
            process: ProcessId { starts: 1, random, ..ProcessId::default() },
            me: None,
            seen: Seen::default(),
            roster: Roster::default(),
            outdated: true,
            referrals: VecDeque::new(),
            asked: BTreeSet::new(),
            errands,
            call: None,
            not_before: Moment(0),
            dies_in: dies_in.filter(|_| plan == Plan::Orders),
            chance,
        }
    }

    // ---- asking

    fn go_on(&mut self, now: Moment, hands: &mut Hands) {
        if self.outdated {
            let ask = self.opening();
            self.call = Some((hands.call(&self.warehouse, ask), Purpose::Session));
            return;
        }
        let Some(addr) = self.trader() else { return self.pause(now) };
        let Some(order) = self.order(hands) else { return };
        self.asked.insert(addr.clone());
        let hello = Box::new(self.hello());
        self.call = Some((hands.call(&addr, Ask::Submit(hello, order)), Purpose::Order));
    }

    fn opening(&self) -> Ask {
        let peer = self.me.map_or(PeerId(0), |(peer, _)| peer);
        let (store, generation) = (self.token.store_id(), self.seen.generation);
        let seen = Some(Box::new(self.seen)).filter(|seen| seen.seq > Seq(0));
        Ask::Open(Opening { peer, store, cluster: String::new(), generation, seen, licence: None })
    }

    /// Who is to be asked: whom it was referred to, else the home.
    fn trader(&mut self) -> Option<String> {
        let (me, _) = self.me?;
        let home = || self.roster.home(me).map(|seat| seat.addr.clone()).filter(|addr| !addr.is_empty());
        self.referrals.pop_front().or_else(home)
    }

    fn hello(&mut self) -> Hello {
        let (peer, epoch) = self.me.unwrap_or_default();
        Hello {
            peer,
            epoch,
            token: Some(self.token),
            process: self.process,
            clock: self.clock.tick(),
            roster: self.roster.clone(),
            generation: self.seen.generation,
            ..Hello::default()
        }
    }

    /// What the next errand asks.
    fn order(&mut self, hands: &mut Hands) -> Option<Order> {
        match self.errands.front()?.clone() {
            Errand::Order(k) => {
                let order = self.draw_order(k)?;
                hands.placed.push(order);
                self.errands[0] = Errand::Placed(order);
                Some(order)
            }
            Errand::Placed(order) | Errand::Again(order, _) | Errand::Old(order, _) => Some(order),
            Errand::Other(order, _) => Some(Order { quantity: Quantity(order.quantity.0 + 1), ..order }),
        }
    }

    fn draw_order(&mut self, k: u32) -> Option<Order> {
        let (peer, epoch) = self.me?;
        let kind = self.chance.pick(&[
            OrderKind::Buy { partial: true },
            OrderKind::Buy { partial: false },
            OrderKind::Sell,
        ]);
        let product = ProductId(self.chance.between(0, u64::from(self.goods) - 1) as u16);
        let (id, quantity) =
            (OrderId { peer, number: Number::new(epoch, k) }, Quantity(self.chance.between(1, 9)));
        Some(Order { id, stamp: self.clock.tick(), kind, product, quantity })
    }

    /// After a failure all traders may be asked again, by a new roster.
    fn pause(&mut self, now: Moment) {
        self.not_before = now.after(self.chance.between(50 * MS, 800 * MS));
        self.outdated = true;
        self.referrals.clear();
        self.asked.clear();
    }

    // ---- what comes back

    fn heard(&mut self, now: Moment, purpose: Purpose, result: Result<Answer, CallError>, hands: &mut Hands) {
        match (purpose, result) {
            (Purpose::Session, Ok(Answer::Opened(answer))) => self.enter(*answer),
            (Purpose::Order, Ok(Answer::Outcome(outcome, seen))) => {
                seen.into_iter().for_each(|seen| self.seen.learn(&seen));
                self.told(*outcome, hands);
            }
            (Purpose::Order, Err(CallError::NotTaken { why, traders })) => {
                self.not_taken(now, why, &traders, hands)
            }
            _ => self.pause(now),
        }
    }

    fn enter(&mut self, answer: OpenAnswer) {
        let me = (answer.opened.peer, answer.opened.epoch);
        // A restored warehouse may know it no more: then its numbers are another client's.
        if self.me.is_some_and(|(peer, _)| peer != me.0) {
            self.errands.clear();
        }
        // What was told under an earlier generation may be lost, and with it the numbers below a high one.
        if self.seen.generation != answer.generation {
            self.seen = Seen { generation: answer.generation, ..Seen::default() };
            let stands = |errand: &Errand| match errand {
                Errand::Order(k) => *k <= SESSION_WINDOW,
                Errand::Placed(_) => true,
                Errand::Again(..) | Errand::Other(..) | Errand::Old(..) => false,
            };
            self.errands.retain(stands);
        }
        self.clock.adopt(answer.clock);
        answer.seen.into_iter().for_each(|seen| self.seen.learn(&seen));
        (self.me, self.roster) = (Some(me), answer.roster);
        self.outdated = false;
    }

    fn told(&mut self, outcome: Outcome, hands: &mut Hands) {
        let Some(errand) = self.errands.pop_front() else { return };
        match errand {
            Errand::Order(_) => {}
            Errand::Placed(order) => {
                let told = Told {
                    peer: order.id.peer,
                    order,
                    outcome: outcome.clone(),
                    generation: self.seen.generation,
                };
                hands.told.push(told);
                hands.marks.push(Mark::ClientAnswered);
                self.plan_more(order, outcome);
            }
            Errand::Again(order, first) | Errand::Old(order, first) => match same(&first, &outcome) {
                true => hands.marks.push(Mark::ClientFromRecord),
                false => hands.wrong(format!("{} was told {first:?}, then {outcome:?}", order.id)),
            },
            // A number that was given up has the content of any order.
            Errand::Other(order, first) => {
                if first.kind != OutcomeKind::Voided || !same(&first, &outcome) {
                    hands.wrong(format!("{} got an outcome for other content: {outcome:?}", order.id));
                }
            }
        }
    }

    fn plan_more(&mut self, order: Order, outcome: Outcome) {
        if order.id.number.k() > SESSION_WINDOW {
            return;
        }
        if matches!(self.errands.front(), Some(Errand::Order(k)) if *k > SESSION_WINDOW) {
            return self.errands.push_back(Errand::Old(order, outcome));
        }
        if self.chance.one_in(2) {
            self.errands.push_front(Errand::Other(order, outcome.clone()));
        }
        if self.chance.one_in(2) {
            self.errands.push_front(Errand::Again(order, outcome));
        }
    }

    fn not_taken(&mut self, now: Moment, why: NotTaken, traders: &[String], hands: &mut Hands) {
        let fresh = |addr: &&String| !addr.is_empty() && !self.asked.contains(*addr);
        let fresh: Vec<String> = traders.iter().filter(fresh).cloned().collect();
        match (self.errands.front(), why) {
            (Some(Errand::Other(..)), NotTaken::OtherContent) => {
                self.errands.pop_front();
                hands.marks.push(Mark::OtherContent);
            }
            (Some(Errand::Old(..)), NotTaken::Stale) => drop(self.errands.pop_front()),
            (Some(errand), NotTaken::OtherContent | NotTaken::Stale) => {
                hands.wrong(format!("a client was told '{why}' of {errand:?}"));
            }
            (_, NotTaken::NotHome) if !fresh.is_empty() => self.referrals.extend(fresh),
            _ => self.pause(now),
        }
    }

    /// One step nearer to its death; true if that is now.
    fn dies(&mut self) -> bool {
        self.dies_in = self.dies_in.map(|left| left.saturating_sub(1));
        self.dies_in == Some(0)
    }
}

/// Whether it is the same outcome, apart from what is not part of the recorded fact.
fn same(one: &Outcome, other: &Outcome) -> bool {
    Outcome { repeated: one.repeated, ..other.clone() } == *one
}

impl Person for Client {
    fn act(&mut self, now: Moment, input: Option<Input>, hands: &mut Hands) {
        if let Some(Input::Came(call, result)) = input
            && let Some((_, purpose)) = self.call.take_if(|(own, _)| *own == call)
        {
            self.heard(now, purpose, result, hands);
        }
        if self.errands.is_empty() || self.dies() {
            self.errands.clear();
            hands.goes = true;
        } else if self.call.is_none() {
            if self.not_before <= now {
                self.go_on(now, hands);
            }
            hands.wakes_at = self.call.is_none().then_some(self.not_before);
        }
    }

    fn describe(&self) -> String {
        format!("a client with {} orders", self.errands.len())
    }

    fn waits_for(&self) -> Option<String> {
        let errand = self.errands.front()?;
        Some(format!("a client ({:?}) waits for the answer to {errand:?}", self.me))
    }

    fn is_welcome(&self) -> bool {
        true
    }
}

#[cfg(test)]
pub(super) mod tests;
