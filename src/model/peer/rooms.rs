//! The rooms of a peer, and which of them an input is for.
//!
//! A room owns its fields; it reads [`Facts`] and no other room's fields. What crosses rooms is a method of [`Rooms`]
//! that is named for what it means, or follows from a change at the end of the step ([`super::follow`]).

use super::allotment::Allotment;
use super::cache::Cache;
use super::desk::Desk;
use super::door::{Door, Guest};
use super::early::Early;
use super::facts::{Cx, Facts, Purpose};
use super::gossip::Gossip;
use super::handover::HandOver;
use super::leave::Leave;
use super::links::Links;
use super::lookup::Lookups;
use super::offices::Offices;
use super::partner::Partner;
use super::replica::Replica;
use super::sales::Sales;
use super::secret::Secret;
use super::session::Session;
use super::shop::Shop;
use super::takeover::Takeover;
use crate::limits::LEDGER_SEEN_EVERY_MS;
use crate::model::call::{Answer, Ask, CallError, Refusal};
use crate::model::message::{Message, Stream};
use crate::model::step::{CallId, ConnId, Input, Lost, ReplyId};
use crate::types::Now;

/// See the module's text.
pub(super) struct Rooms {
    pub(super) door: Door,
    pub(super) session: Session,
    pub(super) shop: Shop,
    pub(super) desk: Desk,
    pub(super) early: Early,
    pub(super) allotment: Allotment,
    pub(super) sales: Sales,
    pub(super) cache: Cache,
    pub(super) replica: Replica,
    pub(super) offices: Offices,
    pub(super) takeover: Takeover,
    pub(super) handover: HandOver,
    pub(super) partner: Partner,
    pub(super) links: Links,
    pub(super) gossip: Gossip,
    pub(super) lookups: Lookups,
    pub(super) leave: Leave,
}

impl Rooms {
    // ---- inputs

    pub(super) fn take(&mut self, cx: &mut Cx<'_>, input: Input) {
        match input {
            Input::Durable(seq) => {
                self.early.durable(seq);
                self.shop.durable(cx, seq);
            }
            Input::Opened(conn, stream) => self.door.opened(conn, stream),
            Input::Said(conn, message) => self.said(cx, conn, message),
            Input::Ended(conn, lost) => self.ended(cx, conn, &lost),
            Input::Asked(reply, ask) => self.asked_by(cx, reply, ask),
            Input::Came(call, result) => self.came(cx, call, result),
            Input::Token(token) => {
                cx.me.secret = Secret::new(token);
                self.session.token_came(cx);
            }
            Input::Stop => self.begin_stop(cx),
        }
    }

    fn said(&mut self, cx: &mut Cx<'_>, conn: ConnId, message: Message) {
        if self.door.has(conn) {
            if let Some(guest) = self.door.said(cx, conn, message) {
                self.come_in(cx, guest);
            }
            return;
        }
        match message {
            Message::TradeAsk(ask) => self.asked(cx, conn, ask),
            Message::TradeAnswer(answer) if self.shop.is(conn) => self.shop.heard(cx, answer),
            Message::SettleAnswer(answer) if self.desk.settle.is(conn) => self.heard_settle(cx, answer),
            Message::ControlDown(down) if self.session.is(conn) => self.session.heard(cx, down),
            Message::Stock(push) if self.cache.is(conn) => self.cache.heard(cx, &push),
            Message::ReplicaAsk(ask) => self.replica.mirror(cx, conn, ask),
            Message::ReplicaAnswer(answer) if self.replica.is(conn) => self.replica.answered(cx, answer),
            Message::Peer(message) => self.heard_link(cx, conn, message),
            _ => {}
        }
    }

    /// A stranger's hello is proven: its stream goes to its room.
    pub(super) fn come_in(&mut self, cx: &mut Cx<'_>, guest: Guest) {
        let Guest { conn, stream, hello, early } = guest;
        match stream {
            Stream::Trade if self.desk.welcome(cx, conn, &hello) => {}
            Stream::Trade => return,
            Stream::Replicate => self.replica.greeted(cx, conn, &hello),
            _ => self.met(cx, conn, *hello),
        }
        for message in early {
            // Each message is heard as if it came now: it may rest on the roster that the hello brought.
            self.follow(cx);
            self.said(cx, conn, message);
        }
    }

    fn ended(&mut self, cx: &mut Cx<'_>, conn: ConnId, lost: &Lost) {
        if self.shop.is(conn) {
            self.shop.ended(cx, &lost.why);
        } else if self.desk.settle.is(conn) {
            self.settle_ended(cx, &lost.why);
        } else if self.session.is(conn) {
            self.session.ended(cx, &lost.why);
            self.leave.cannot_be_told(crate::types::PeerId::WAREHOUSE);
        } else if self.cache.is(conn) {
            self.cache.ended(cx);
        } else {
            let _ = self.desk.ended(conn)
                || self.replica.ended(cx, conn, &lost.why)
                || self.link_ended(cx, conn, lost)
                || self.door.ended(conn);
        }
    }

    fn asked_by(&mut self, cx: &mut Cx<'_>, reply: ReplyId, ask: Ask) {
        match ask {
            Ask::Submit(hello, order) => self.submit(cx, hello, order, reply),
            Ask::HandOver(hello, orders, told) => self.take_over(cx, &hello, (orders, told), reply),
            Ask::Probe => cx.reply(reply, Ok(Answer::Alive(cx.me.process))),
            Ask::Status => cx.reply(reply, Ok(Answer::Status(Box::new(self.report(cx))))),
            Ask::Place(good, quantity, kind, number) => {
                self.shop.place_for(cx, (&good, quantity, kind), number, reply);
            }
            Ask::Find(good, hops) => self.find(cx, &good, hops, reply),
            Ask::Leave => self.leave(cx, reply),
            Ask::ResignByHand(to) => {
                self.offices.resign_by_hand(cx, to, reply);
                self.desk.set_closing(self.offices.is_giving_up());
            }
            Ask::Quiesce => {
                self.shop.stop();
                cx.reply(reply, Ok(Answer::Open(cx.state.open.len() as u64)));
            }
            _ => {
                let text = "this is a peer; ask the warehouse".to_owned();
                cx.reply(reply, Err(Refusal::Invalid(text)));
            }
        }
    }

    fn came(&mut self, cx: &mut Cx<'_>, call: CallId, result: Result<Answer, CallError>) {
        let Some(purpose) = cx.called_for(call) else { return };
        match purpose {
            Purpose::Open => self.session.opened(cx, result),
            Purpose::Claim(office) => {
                if let Some(silent) = self.offices.claimed(cx, office, result) {
                    self.takeover.granted(cx, silent);
                }
            }
            Purpose::Fence(peer) => {
                self.offices.partner_fenced();
                self.takeover.fenced(cx, peer, result);
            }
            Purpose::DropSecondary => self.takeover.secondary_dropped(cx, result),
            Purpose::Resign(term) => {
                self.offices.resigned(cx, term, result);
                self.desk.set_closing(self.offices.is_giving_up());
            }
            Purpose::Session(peer) => self.session_came(cx, peer, result),
            Purpose::Pair => self.replica.paired(cx, result),
            Purpose::HandOver(ids) => self.handed_over(cx, &ids, result),
            Purpose::Probe(peer) => self.probed(cx, peer, &result),
            Purpose::Complete(term) => self.sales.reported(cx, term, result),
        }
    }

    /// Every stream and order that waits for this peer's session comes in, or goes.
    fn session_came(
        &mut self,
        cx: &mut Cx<'_>,
        peer: crate::types::PeerId,
        result: Result<Answer, CallError>,
    ) {
        let opened = self.door.session_came(cx, peer, result);
        opened.guests.into_iter().for_each(|guest| self.come_in(cx, guest));
        for guest in opened.turned_away {
            match guest.stream {
                Stream::Trade => self.desk.turn_away(cx, &guest),
                _ => cx.hang_up(guest.conn),
            }
        }
        opened.callers.into_iter().for_each(|caller| self.caller_came(cx, caller));
    }

    // ---- turns

    /// What is due by now, in a fixed order.
    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        self.session.wake(cx);
        self.door.wake(cx);
        self.shop.wake(cx);
        if self.desk.settle.is_due(cx.now()) {
            self.dial_settle(cx);
        }
        self.cache.wake(cx);
        self.allotment.wake(cx.now());
        self.replica.wake(cx);
        self.links.wake(cx);
        self.spread_news(cx);
        self.watch_partner_when_due(cx);
        self.offices.wake(cx);
        self.sales.wake(cx);
        self.hand_over_when_due(cx);
        self.answer_lookups(cx);
    }

    /// Once a turn, when all its inputs are in.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        self.session.renew_when_spent(cx);
        self.shop.go_shopping(cx);
        self.answer_early(cx);
        self.drain_desk(cx);
        self.stop_when_finished(cx);
        let desk_is_empty = self.desk.trader.depth() == 0;
        self.offices.resign_when_drained(cx, desk_is_empty && self.allotment.is_back());
        self.replica.send(cx, desk_is_empty);
        self.sent_early(cx);
        self.tell_early(cx);
        self.shop.send(cx);
        self.end_when_done(cx);
        self.deliver_words(cx);
        // Kept with entries that are written anyway, so that a market which was killed and started again still finds
        // out an older copy of the ledger.
        if !cx.turn.is_quiet() && cx.now().ms_since(cx.ledger_kept) >= LEDGER_SEEN_EVERY_MS {
            cx.keep_ledger_seen();
        }
        let Rooms { partner, replica, .. } = self;
        partner.expect(cx, replica);
    }

    pub(super) fn due(&self, facts: &Facts) -> Option<Now> {
        let rooms = [
            self.session.due(),
            self.door.due(),
            self.shop.due(facts),
            self.desk.settle.due(),
            self.cache.due(),
            self.allotment.due(),
            self.sales.due(),
            self.replica.due(),
            self.links.due(),
            self.gossip.due(),
            self.lookups.due(),
            self.partner.due(),
            self.offices.due(),
            self.handover.due(),
            self.leave.due(facts.now()),
        ];
        rooms.into_iter().flatten().min()
    }

    /// This process was stopped for a while. Answers of others wait unread, so nobody may be taken for silent.
    pub(super) fn was_away(&mut self, now: Now) {
        self.partner.restart_waiting(now);
        self.replica.restart_waiting(now);
    }
}
