//! The desk of a peer in office: trade streams of others, their orders, and the answers.
//!
//! Journaling an accepted order and forwarding it start together: if this process dies, the warehouse has the outcome
//! or the peer asks again. An outcome is told as soon as it comes, since the warehouse has journaled it.

use std::collections::BTreeMap;

use super::door::{self, Caller, Guest};
use super::early::Coming;
use super::facts::Cx;
use super::line::Line;
use super::rooms::Rooms;
use crate::limits::ASKERS_KNOWN_MAX;
use crate::model::call::{Answer, Refusal};
use crate::model::hello::{Dialed, Hello};
use crate::model::market::NotTaken;
use crate::model::message::{Message, TradeAnswer, TradeAsk};
use crate::model::peer::entry::Entry;
use crate::model::row::Outcome;
use crate::model::step::{Because, ConnId, Effect, ReplyId};
use crate::model::tentative::{Tentative, by_order};
use crate::model::trader::{Admitted, Trader};
use crate::types::{Now, Number, Order, OrderId, OrderKind, PeerId, Seq};

/// A stream on which a peer trades here.
struct TradeStream {
    peer: PeerId,
    dialed: Dialed,
    /// Nothing above this number is taken, voids apart, before it or its void comes.
    blocked: Option<Number>,
}

/// See the module's text.
pub(super) struct Desk {
    pub(super) trader: Trader,
    streams: BTreeMap<ConnId, TradeStream>,
    /// The newest stream of each peer: where its outcomes go.
    by_peer: BTreeMap<PeerId, ConnId>,
    /// Unary calls that wait for the outcome of an order.
    submits: BTreeMap<OrderId, ReplyId>,
    /// The highest number that each peer has asked for in this term.
    highest: BTreeMap<PeerId, Number>,
    /// The office is being given up: nothing more is taken.
    closing: bool,
    /// Since when there has been something to settle.
    pub(super) busy_since: Option<Now>,
    pub(super) duplicates: u64,
    /// The settle stream, and what this peer had seen of the ledger when it dialed it.
    pub(super) settle: Line,
    pub(super) shown: Seq,
}

impl Desk {
    pub(super) fn new(trader: Trader) -> Desk {
        Desk {
            trader,
            streams: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            submits: BTreeMap::new(),
            highest: BTreeMap::new(),
            closing: false,
            busy_since: None,
            duplicates: 0,
            settle: Line::default(),
            shown: Seq(0),
        }
    }

    pub(super) fn waiting_ms(&self, now: Now) -> u64 {
        self.busy_since.map_or(0, |since| now.ms_since(since))
    }

    /// The office is being given up, or not any more.
    pub(super) fn set_closing(&mut self, closing: bool) {
        self.closing = closing;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    // ---- streams

    /// The peer has proven who it is. From here on its clock counts. False if the stream is cut.
    pub(super) fn welcome(&mut self, cx: &mut Cx<'_>, conn: ConnId, theirs: &Hello) -> bool {
        let peer = theirs.peer;
        let newest = self.by_peer.get(&peer).and_then(|conn| self.streams.get(conn));
        if newest.is_some_and(|newest| theirs.was_dialed_before(newest.dialed)) {
            cx.hang_up(conn);
            return false;
        }
        if !cx.hear_peer(peer, theirs.clock) {
            cx.hang_up(conn);
            return false;
        }
        // Anybody may become a client.
        if !peer.is_client() {
            cx.hinted_by(theirs);
        }
        self.streams.insert(conn, TradeStream { peer, dialed: theirs.dialed(), blocked: None });
        self.by_peer.insert(peer, conn);
        let (hello, roster) = (Some(Box::new(cx.hello())), Some(Box::new(cx.roster.clone())));
        let answer = TradeAnswer { hello, roster, ..TradeAnswer::default() };
        self.answer_on(cx, Because::TellsNothing, conn, answer);
        true
    }

    pub(super) fn turn_away(&mut self, cx: &mut Cx<'_>, guest: &Guest) {
        tracing::warn!(peer = %guest.hello.peer, "turned away: its token is not that of the peer's store");
        let answer = TradeAnswer { not_taken: door::not_taken(guest), ..TradeAnswer::default() };
        self.answer_on(cx, Because::TellsNothing, guest.conn, answer);
        cx.hang_up(guest.conn);
    }

    pub(super) fn ended(&mut self, conn: ConnId) -> bool {
        let was_here = self.streams.remove(&conn).is_some();
        if was_here {
            self.by_peer.retain(|_, newest| *newest != conn);
        }
        was_here
    }

    fn cut(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        self.ended(conn);
        cx.hang_up(conn);
    }

    fn answer_on(&self, cx: &mut Cx<'_>, because: Because, conn: ConnId, answer: TradeAnswer) {
        let clock = cx.clock.tick();
        cx.send(because, conn, Message::TradeAnswer(TradeAnswer { clock, ..answer }));
    }

    /// That an order stays with its peer tells nothing, unless it is that its number has other content here: that may
    /// tell of an order which is not durable yet. Without the wait: the peer gives its number up, power fails here, and
    /// neither of the two orders is anywhere.
    fn refuse_on(&self, cx: &mut Cx<'_>, conn: ConnId, answer: TradeAnswer) {
        if answer.not_taken.iter().all(|(_, why)| *why != NotTaken::OtherContent) {
            return self.answer_on(cx, Because::TellsNothing, conn, answer);
        }
        let clock = cx.clock.tick();
        cx.turn.hold(Effect::Send(conn, Message::TradeAnswer(TradeAnswer { clock, ..answer })));
    }

    // ---- admission

    /// Why nothing of this peer is taken here now.
    fn closed_to(&self, cx: &Cx<'_>, peer: PeerId) -> Option<NotTaken> {
        let home = cx.roster.home(peer).is_some_and(|seat| seat.peer == cx.me.id);
        if cx.term().is_none() || !home {
            return Some(NotTaken::NotHome);
        }
        if self.closing {
            return Some(NotTaken::Busy);
        }
        cx.at.disk_low.then_some(NotTaken::DiskFull)
    }

    /// Whether the number is above all that its peer has asked for in this term. If not, or if that is not known since too
    /// many ask, the warehouse says whether it comes too late.
    fn comes_in_turn(&mut self, id: OrderId) -> bool {
        let room = self.highest.len() < ASKERS_KNOWN_MAX;
        let before = self.highest.get(&id.peer).copied();
        if room || before.is_some() {
            self.highest.insert(id.peer, before.unwrap_or_default().max(id.number));
        }
        before.map_or(room, |before| id.number > before)
    }

    /// A number is given up: no stream of its peer waits for it.
    fn lift(&mut self, void: OrderId) {
        for stream in self.streams.values_mut().filter(|stream| stream.peer == void.peer) {
            stream.blocked.take_if(|number| *number == void.number);
        }
    }

    // ---- answers

    /// Each outcome goes to its peer's newest stream, to the unary call that waits for it, or to nobody.
    pub(super) fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        outcomes: Vec<Outcome>,
        not_taken: Vec<(OrderId, NotTaken)>,
    ) {
        let mut answers: BTreeMap<ConnId, TradeAnswer> = BTreeMap::new();
        let seen = Some(Box::new(cx.ledger_seen)).filter(|seen| seen.seq > Seq(0));
        for outcome in outcomes {
            if let Some(reply) = self.submits.remove(&outcome.id) {
                cx.reply_at_once(reply, Ok(Answer::Outcome(Box::new(outcome.clone()), seen.clone())));
            }
            if let Some(conn) = self.by_peer.get(&outcome.id.peer) {
                answers.entry(*conn).or_default().outcomes.push(outcome);
            }
        }
        for (id, why) in not_taken {
            if let Some(reply) = self.submits.remove(&id) {
                let refusal = cx.refusal(why);
                cx.reply_at_once(reply, Err(refusal));
            }
            if let Some(conn) = self.by_peer.get(&id.peer) {
                answers.entry(*conn).or_default().not_taken.push((id, why));
            }
        }
        for (conn, answer) in answers {
            let seen = seen.clone().filter(|_| !answer.outcomes.is_empty());
            self.answer_on(cx, Because::Journaled, conn, TradeAnswer { seen, ..answer });
        }
    }

    /// What is told before it is settled goes to its peers' newest streams. Callers of one order are told when it is
    /// settled.
    pub(super) fn tell_early(&mut self, cx: &mut Cx<'_>, answers: Vec<Tentative>) {
        let mut early: BTreeMap<ConnId, Vec<Tentative>> = BTreeMap::new();
        for answer in answers {
            if let Some(conn) = self.by_peer.get(&answer.id.peer) {
                early.entry(*conn).or_default().push(answer);
            }
        }
        for (conn, early) in early {
            self.answer_on(cx, Because::Mirrored, conn, TradeAnswer { early, ..TradeAnswer::default() });
        }
    }

    /// The term is over: nothing is settled here any more. Peers and callers that wait ask at the new home.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        self.settle.close(cx);
        self.trader.close();
        self.highest.clear();
        self.busy_since = None;
        for conn in self.by_peer.values() {
            let roster = Some(Box::new(cx.roster.clone()));
            let answer = TradeAnswer { roster, ..TradeAnswer::default() };
            self.answer_on(cx, Because::TellsNothing, *conn, answer);
        }
        self.refuse_submits(cx);
    }

    /// People who wait for an outcome ask at the new home.
    pub(super) fn refuse_submits(&mut self, cx: &mut Cx<'_>) {
        for reply in std::mem::take(&mut self.submits).into_values() {
            let refusal = cx.refusal(NotTaken::NotHome);
            cx.reply(reply, Err(refusal));
        }
    }

    /// # Errors
    /// Says what does not hold.
    pub(super) fn invariants(&self) -> Result<(), String> {
        self.trader.invariants()?;
        for (peer, conn) in &self.by_peer {
            if self.streams.get(conn).is_none_or(|stream| stream.peer != *peer) {
                return Err(format!("outcomes of peer {peer} go to {conn}, which is not its stream"));
            }
        }
        match self.submits.keys().find(|id| self.trader.queue().get(**id).is_none()) {
            Some(id) => Err(format!("a caller waits for order {id}, which is not queued")),
            None => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.streams.keys().copied().chain(self.settle.conn())
    }

    #[cfg(test)]
    pub(super) fn trades_with(&self, peer: PeerId) -> bool {
        self.by_peer.contains_key(&peer)
    }

    #[cfg(test)]
    pub(super) fn replies(&self) -> impl Iterator<Item = ReplyId> {
        self.submits.values().copied()
    }
}

impl Rooms {
    /// Orders on a trade stream.
    pub(super) fn asked(&mut self, cx: &mut Cx<'_>, conn: ConnId, ask: TradeAsk) {
        let Some(stream) = self.desk.streams.get(&conn) else { return };
        let peer = stream.peer;
        // A second hello, or a clock from too far ahead, ends the stream.
        if ask.hello.is_some() || !cx.hear_peer(peer, ask.clock) {
            return self.desk.cut(cx, conn);
        }
        self.admit_all(cx, conn, peer, ask);
    }

    fn admit_all(&mut self, cx: &mut Cx<'_>, conn: ConnId, peer: PeerId, ask: TradeAsk) {
        let mut blocked = self.desk.streams.get(&conn).and_then(|stream| stream.blocked);
        let mut not_taken = Vec::new();
        let told = by_order(&ask.told);
        for order in ask.orders {
            let is_void = order.kind == OrderKind::Void;
            let skipped = !is_void && blocked.is_some_and(|number| order.id.number > number);
            let taken = match order.id.peer == peer {
                false => Err(NotTaken::NoSession),
                true if skipped => Err(NotTaken::Window),
                true => {
                    let (told, first) = (told.get(&order.id).copied(), order.id.number > ask.again);
                    self.admit(cx, order, Coming { told, first })
                }
            };
            match taken {
                Ok(()) => drop(blocked.take_if(|number| !is_void || *number == order.id.number)),
                Err(why) => {
                    blocked = Some(blocked.map_or(order.id.number, |first| first.min(order.id.number)));
                    not_taken.push((order.id, why));
                }
            }
        }
        if let Some(stream) = self.desk.streams.get_mut(&conn) {
            stream.blocked = blocked;
        }
        if !not_taken.is_empty() {
            let roster = Some(Box::new(cx.roster.clone()));
            self.desk.refuse_on(cx, conn, TradeAnswer { not_taken, roster, ..TradeAnswer::default() });
        }
    }

    /// Takes an order in and journals it, unless it must stay with its sender.
    pub(super) fn admit(&mut self, cx: &mut Cx<'_>, order: Order, coming: Coming) -> Result<(), NotTaken> {
        if let Some(why) = self.desk.closed_to(cx, order.id.peer) {
            return Err(why);
        }
        let Some(term) = cx.term() else { return Err(NotTaken::NotHome) };
        // An order with a stamp from too far ahead would stand last in every queue, and its stamp would drag all clocks
        // along.
        if !cx.hear_peer(order.id.peer, order.stamp) {
            return Err(NotTaken::Clock);
        }
        let held = cx.state.accepted.get(&order.id).copied();
        // It is decided, and perhaps told: it cannot be given up any more, and its outcome answers whoever wants that.
        let given_up = order.kind == OrderKind::Void;
        let order = match held.filter(|it| given_up && it.is_drawn()) {
            Some(held) => held.order,
            None => order,
        };
        match self.desk.trader.admit(order)? {
            Admitted::New => {
                let in_turn = self.desk.comes_in_turn(order.id);
                // A void takes the place of the order that it gives up, here and in the partner's mirror.
                if let Some(given_up) = held.filter(|it| it.term == term) {
                    self.replica.left_queue(given_up.seq);
                    self.cache.left(&given_up.order);
                    self.allotment.left(&given_up.order);
                }
                cx.record(Entry::Accepted { term, order });
                self.replica.accepted(order);
                // What this term told is here, or settled: who brings it from elsewhere made it up.
                let own = |told: &Tentative| told.draw.is_some_and(|draw| draw.term == term);
                let told = coming.told.filter(|told| !own(told)).or(held.and_then(|it| it.told));
                // What no trader tells of such an order was never told.
                let told = told.filter(|told| told.fits(&order));
                if let Some(told) = told {
                    self.is_told(cx, &order, told);
                }
                // Of a term that has reported all, it is an order like any other.
                if told.and_then(|it| it.draw).is_some_and(|draw| cx.is_frozen(draw.term)) {
                    self.desk.trader.decided(order.id);
                } else {
                    self.allotment.came(&order);
                }
                if told.is_none() && coming.first && in_turn && !given_up {
                    self.early.came(order.id);
                }
            }
            Admitted::Attached => self.desk.duplicates += 1,
        }
        if given_up {
            self.desk.lift(order.id);
        }
        self.desk.busy_since.get_or_insert(cx.now());
        Ok(())
    }

    /// One order by a unary call.
    pub(super) fn submit(&mut self, cx: &mut Cx<'_>, hello: Box<Hello>, order: Order, reply: ReplyId) {
        if order.id.peer != hello.peer {
            let refusal = cx.refusal(NotTaken::NoSession);
            return cx.reply(reply, Err(refusal));
        }
        if cx.vouches(&hello) {
            return self.submit_vouched(cx, (hello, order, reply));
        }
        if !self.door.wait(cx, (hello, order, reply)) {
            let refusal = cx.refusal(NotTaken::Busy);
            cx.reply(reply, Err(refusal));
        }
    }

    /// A caller whose session has come.
    pub(super) fn caller_came(&mut self, cx: &mut Cx<'_>, caller: Caller) {
        if cx.vouches(&caller.0) {
            return self.submit_vouched(cx, caller);
        }
        let refusal = cx.refusal(NotTaken::NoSession);
        cx.reply(caller.2, Err(refusal));
    }

    fn submit_vouched(&mut self, cx: &mut Cx<'_>, (hello, order, reply): Caller) {
        let believed = order.stamp <= hello.clock && cx.hear_peer(hello.peer, hello.clock);
        let admitted = if believed { self.admit(cx, order, Coming::default()) } else { Err(NotTaken::Clock) };
        match admitted {
            // A peer has one open order this way. An earlier caller for the same order has given up.
            Ok(()) => {
                if let Some(before) = self.desk.submits.insert(order.id, reply) {
                    let text = "the same order was asked for again".to_owned();
                    cx.reply(before, Err(Refusal::Unavailable(text)));
                }
            }
            Err(why) => {
                let refusal = cx.refusal(why);
                cx.reply(reply, Err(refusal));
            }
        }
    }
}

#[cfg(test)]
mod tests;
