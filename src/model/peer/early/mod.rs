//! Answers before settling: what a trader tells from its cache (`cached` mode) or its allotment (`escrow` mode), once the
//! answer is durable on both disks of the pair.
//!
//! An order is answered like this when it is asked for the first time ever, and by one of a pair. One that may have been
//! asked before may have an outcome, or another trader's answer: it is told what the warehouse settles. So an order has
//! at most one tentative answer, and all copies of the order carry it: here, at the partner, at its later homes, and at
//! the peer that was told. Whoever sends it to the warehouse says so, and the warehouse books that or takes it back.
//!
//! Answers that wait for the partner are dropped when the stream to it breaks: those orders are told when they are settled.

use std::collections::{BTreeSet, VecDeque};

use super::facts::Cx;
use super::rooms::Rooms;
use super::shop::TOLD_PER_ENTRY;
use crate::model::peer::entry::Entry;
use crate::model::tentative::Tentative;
use crate::types::{Consistency, Now, Order, OrderId, OrderKind, Seq, Term};

/// How an order comes to a desk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Coming {
    /// What its peer was told of it before, or another trader was about to tell.
    pub(super) told: Option<Tentative>,
    /// It was never asked for before.
    pub(super) first: bool,
}

/// Answers on their way to being durable.
struct Waiting {
    /// Their place in this journal.
    at: Seq,
    /// The message to the partner that has them, and on which of the streams to it.
    sent: (u64, u64),
    answers: Vec<Tentative>,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Early {
    /// Orders that came for the first time in this turn.
    fresh: Vec<OrderId>,
    /// Answers of this turn, which the partner has not been sent.
    decided: Vec<Tentative>,
    waiting: VecDeque<Waiting>,
    /// This journal is durable up to here.
    durable: Seq,
}

impl Early {
    /// An order came in that may be answered.
    pub(super) fn came(&mut self, id: OrderId) {
        self.fresh.push(id);
    }

    pub(super) fn durable(&mut self, seq: Seq) {
        self.durable = seq;
    }

    /// The term is over.
    pub(super) fn close(&mut self) {
        let durable = self.durable;
        *self = Early { durable, ..Early::default() };
    }
}

impl Rooms {
    /// Answers what came in this turn, in queue order.
    pub(super) fn answer_early(&mut self, cx: &mut Cx<'_>) {
        let fresh = std::mem::take(&mut self.early.fresh);
        let Some(term) = cx.term().filter(|_| !fresh.is_empty() && self.may_answer_early(cx)) else { return };
        // An order of which a copy is on its way already, with the rest of a snapshot, would be there without its answer.
        let unsent: BTreeSet<OrderId> = self.replica.unsent().map(|order| order.id).collect();
        let queue = self.desk.trader.queue();
        let orders = fresh.iter().filter(|id| unsent.contains(id)).filter_map(|id| queue.get(*id));
        let mut orders: Vec<Order> = orders.copied().filter(|order| order.kind != OrderKind::Void).collect();
        orders.sort_unstable_by_key(Order::place);
        match cx.roster.mode {
            Consistency::Cached => self.answer_from_cache(&orders),
            _ => self.answer_from_allotment(cx.now(), term, &orders),
        }
        for answers in self.early.decided.chunks(TOLD_PER_ENTRY) {
            cx.record(Entry::Tentative(answers.to_vec()));
        }
    }

    /// One of a pair, whose partner has what it accepts at once.
    pub(super) fn may_answer_early(&self, cx: &Cx<'_>) -> bool {
        cx.roster.mode != Consistency::Cacheless && cx.roster.paired && self.replica.follows()
    }

    fn answer_from_cache(&mut self, orders: &[Order]) {
        for order in orders {
            if let Some(answer) = self.cache.answer(order) {
                self.cache.told(order, answer.filled);
                self.early.decided.push(answer);
            }
        }
    }

    /// Orders of this turn do not wait for each other at the warehouse until it is known that one of them must go there.
    fn answer_from_allotment(&mut self, now: Now, term: Term, orders: &[Order]) {
        orders.iter().for_each(|order| self.allotment.left(order));
        for order in orders {
            match self.allotment.answer(now, term, order) {
                Some(answer) => {
                    self.desk.trader.decided(order.id);
                    self.early.decided.push(answer);
                }
                None => self.allotment.came(order),
            }
        }
    }

    /// The partner was sent what was answered in this turn.
    pub(super) fn sent_early(&mut self, cx: &Cx<'_>) {
        let answers = std::mem::take(&mut self.early.decided);
        if !answers.is_empty() {
            let waiting = Waiting { at: cx.state.seq, sent: self.replica.sent(), answers };
            self.early.waiting.push_back(waiting);
        }
    }

    /// Tells what is durable at both. What was settled meanwhile was told already, and who gave an order up is told that.
    pub(super) fn tell_early(&mut self, cx: &mut Cx<'_>) {
        while let Some(waiting) = self.early.waiting.front() {
            let (at, (stream, nth)) = (waiting.at, waiting.sent);
            let (now, acked) = self.replica.acked();
            if stream == now && (at > self.early.durable || nth > acked) {
                return;
            }
            let Some(Waiting { mut answers, .. }) = self.early.waiting.pop_front() else { return };
            let queue = self.desk.trader.queue();
            answers.retain(|it| queue.get(it.id).is_some_and(|order| order.kind != OrderKind::Void));
            if stream == now {
                self.desk.tell_early(cx, answers);
            }
        }
    }

    /// An order is here of which something is told: it is journaled, and counts in the cache.
    pub(super) fn is_told(&mut self, cx: &mut Cx<'_>, order: &Order, told: Tentative) {
        cx.record(Entry::Tentative(vec![told]));
        self.cache.told(order, told.filled);
    }
}

#[cfg(test)]
mod tests;
