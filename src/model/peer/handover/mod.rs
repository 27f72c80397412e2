//! Orders of terms that ended. What this store took under such a term goes to its present home: to this peer's desk, or
//! to another trader by a call.

use super::early::Coming;
use super::facts::{Cx, Purpose};
use super::rooms::Rooms;
use super::sales::is_to_be_reported;
use super::settle::told_before;
use super::state::Accepted;
use crate::limits::BATCH_ORDERS_MAX;
use crate::model::backoff::Backoff;
use crate::model::call::{Answer, Ask, CallError};
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::peer::entry::Entry;
use crate::model::step::ReplyId;
use crate::model::tentative::{Tentative, by_order};
use crate::types::{Now, Order, OrderId, PeerId};

/// See the module's text.
#[derive(Default)]
pub(super) struct HandOver {
    /// A call is under way.
    calling: bool,
    backoff: Backoff,
    due: Option<Now>,
}

impl HandOver {
    pub(super) fn due(&self) -> Option<Now> {
        self.due
    }

    /// Looks for such orders in this turn.
    pub(super) fn soon(&mut self, now: Now) {
        self.due = Some(now);
    }

    fn later(&mut self, now: Now) {
        self.due = Some(now.after_ms(self.backoff.next_ms()));
    }

    pub(super) fn is_calling(&self) -> bool {
        self.calling
    }
}

impl Rooms {
    pub(super) fn hand_over_when_due(&mut self, cx: &mut Cx<'_>) {
        if self.handover.due.take_if(|at| *at <= cx.now()).is_some() {
            self.hand_over(cx);
        }
    }

    fn hand_over(&mut self, cx: &mut Cx<'_>) {
        if self.handover.calling || !cx.session_open {
            return;
        }
        let term = cx.term();
        let goes = |it: &&Accepted| Some(it.term) != term && !is_to_be_reported(cx, it.told);
        let mut left = cx.state.accepted.values().filter(goes);
        let Some(first) = left.next() else { return };
        let home = cx.roster.home(first.order.id.peer).filter(|seat| !seat.addr.is_empty());
        let Some(home) = home.map(|seat| seat.peer) else {
            return self.handover.later(cx.now());
        };
        let same_home = |order: &Order| cx.roster.home(order.id.peer).is_some_and(|seat| seat.peer == home);
        let left = cx.state.accepted.values().filter(goes).filter(|it| same_home(&it.order));
        let mut orders: Vec<Order> = left.map(|it| it.order).take(BATCH_ORDERS_MAX).collect();
        orders.sort_unstable_by_key(Order::place);
        if home == cx.me.id { self.keep(cx, orders) } else { self.send_over(cx, home, orders) }
    }

    /// This peer's desk is their home.
    fn keep(&mut self, cx: &mut Cx<'_>, orders: Vec<Order>) {
        tracing::info!(orders = orders.len(), "pending orders of an earlier term are queued again");
        let kept = orders
            .into_iter()
            .map(|order| self.admit(cx, order, Coming::default()))
            .filter(Result::is_ok)
            .count();
        if kept == 0 { self.handover.later(cx.now()) } else { self.handover.soon(cx.now()) }
    }

    fn send_over(&mut self, cx: &mut Cx<'_>, home: PeerId, orders: Vec<Order>) {
        let Some(addr) = cx.at_trader(home) else { return self.handover.later(cx.now()) };
        self.handover.calling = true;
        let ids = orders.iter().map(|order| order.id).collect();
        let told = told_before(cx, &orders);
        cx.call_proven(Purpose::HandOver(ids), addr, |hello| Ask::HandOver(hello, orders, told));
    }

    pub(super) fn handed_over(
        &mut self,
        cx: &mut Cx<'_>,
        ids: &[OrderId],
        result: Result<Answer, CallError>,
    ) {
        self.handover.calling = false;
        match result {
            Ok(Answer::Taken(taken)) if taken > 0 => {
                self.are_at_home(cx, &ids[..ids.len().min(taken as usize)])
            }
            Ok(_) => self.handover.later(cx.now()),
            Err(error) => {
                tracing::info!(%error, "hand-over not taken");
                self.handover.later(cx.now());
            }
        }
    }

    fn are_at_home(&mut self, cx: &mut Cx<'_>, ids: &[OrderId]) {
        tracing::info!(orders = ids.len(), "pending orders of an earlier term are at their home");
        let term = cx.term();
        for id in ids {
            // This desk has taken it again meanwhile, and settles it.
            if cx.state.accepted.get(id).is_none_or(|it| Some(it.term) == term) {
                continue;
            }
            cx.record(Entry::HandedOver { peer: id.peer, first: id.number, last: id.number });
            self.leave.note_handed_over();
            self.replica.adopted_left(*id);
        }
        self.takeover.tell_replayed(cx, &self.replica);
        self.handover.backoff.reset();
        self.handover.soon(cx.now());
    }

    /// Another peer hands over what it took under an ended term: accepted here like any order, answered when durable.
    pub(super) fn take_over(
        &mut self,
        cx: &mut Cx<'_>,
        hello: &Hello,
        (orders, told): (Vec<Order>, Vec<Tentative>),
        reply: ReplyId,
    ) {
        // Otherwise anybody who joins brings orders in everybody's name.
        if !cx.is_of_a_holder(hello) {
            self.door.fetch_session(cx, hello.peer);
            let refusal = cx.refusal(NotTaken::NoSession);
            return cx.reply(reply, Err(refusal));
        }
        cx.hear_peer(hello.peer, hello.clock);
        let (mut taken, told) = (0, by_order(&told));
        for order in orders {
            let told = told.get(&order.id).copied();
            match self.admit(cx, order, Coming { told, first: false }) {
                // With other content: another order of this number is here, and settling it shows what became of the
                // number. So the order may leave its sender.
                Ok(()) | Err(NotTaken::OtherContent) => taken += 1,
                Err(_) => break,
            }
        }
        cx.reply(reply, Ok(Answer::Taken(taken)));
    }
}

#[cfg(test)]
mod tests;
