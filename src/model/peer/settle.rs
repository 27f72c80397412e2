//! Settling what the desk has taken: batches to the warehouse, outcomes back.

use super::facts::{Cx, Facts};
use super::rooms::Rooms;
use crate::model::evidence::Seen;
use crate::model::message::{Message, SettleAnswer, SettleAsk};
use crate::model::step::Because;
use crate::model::tentative::Tentative;
use crate::types::{Consistency, Order, Term};

impl Rooms {
    /// Dials the settle stream of the present term, unless it is there.
    pub(super) fn dial_settle(&mut self, cx: &mut Cx<'_>) {
        let Some(term) = cx.term().filter(|_| !self.desk.settle.is_dialed()) else { return };
        self.desk.shown = cx.ledger_seen.seq;
        let warehouse = cx.at_warehouse();
        self.desk.settle.dial_proven(cx, &warehouse, |cx, hello| {
            let (clock, hello) = (cx.clock.tick(), Some(hello));
            Message::SettleAsk(SettleAsk { clock, hello, term, ..SettleAsk::default() })
        });
    }

    pub(super) fn settle_ended(&mut self, cx: &mut Cx<'_>, why: &str) {
        tracing::info!(why, "the settle stream broke");
        self.desk.trader.stream_lost();
        self.desk.settle.ended(cx.now());
    }

    fn cut_settle(&mut self, cx: &mut Cx<'_>) {
        self.desk.trader.stream_lost();
        self.desk.settle.cut(cx);
    }

    /// Sends what waits, in queue order, as long as the warehouse keeps up.
    pub(super) fn drain_desk(&mut self, cx: &mut Cx<'_>) {
        if self.desk.trader.depth() == 0 {
            self.desk.busy_since = None;
        }
        let Some(term) = cx.term().filter(|_| self.desk.settle.is_up()) else { return };
        while let Some((batch, orders)) = self.desk.trader.next_batch() {
            let told = told_before(cx, &orders);
            let ask = SettleAsk { term, batch, orders, told, ..SettleAsk::default() };
            self.send_settle(cx, ask);
        }
        if cx.roster.mode == Consistency::Escrow {
            self.ask_for_goods(cx, term);
        }
    }

    /// Asks for goods to be set aside, behind what was decided; one that is alone, or gives its office up, has nothing of
    /// them any more.
    fn ask_for_goods(&mut self, cx: &mut Cx<'_>, term: Term) {
        let keeps = cx.roster.paired && !self.desk.is_closing();
        if !keeps {
            self.allotment.give_all_back();
        }
        let all_sent = self.desk.trader.queue().all_decided_sent();
        let may_sell = keeps && self.may_answer_early(cx);
        let wants = self.allotment.wants(cx.now(), all_sent, may_sell);
        if !wants.is_empty() {
            self.send_settle(cx, SettleAsk { term, wants, ..SettleAsk::default() });
        }
    }

    fn send_settle(&mut self, cx: &mut Cx<'_>, ask: SettleAsk) {
        let ask = SettleAsk { clock: cx.clock.tick(), ..ask };
        self.desk.settle.send(cx, Because::OnItsWay, Message::SettleAsk(ask));
    }

    pub(super) fn heard_settle(&mut self, cx: &mut Cx<'_>, answer: SettleAnswer) {
        // The warehouse has another ledger than that of the session. What such a ledger decides is undone when it is
        // found out.
        if answer.hello.as_ref().is_some_and(|hello| !cx.trusts(hello, self.desk.shown)) {
            tracing::warn!("the settle stream leads to another ledger");
            return self.cut_settle(cx);
        }
        cx.hear_warehouse(answer.clock);
        if answer.hello.is_some() {
            if !self.desk.settle.came_up() {
                return self.cut_settle(cx);
            }
            self.allotment.stream_up();
            return self.desk.trader.stream_up();
        }
        let (generation, (seq, hash)) = (cx.ledger_seen.generation, answer.ledger);
        cx.saw_ledger(Seen { generation, seq, hash, proof: answer.proof.map(|proof| *proof) });
        if let Some(roster) = answer.roster {
            cx.told_roster(*roster);
        }
        if let Some(why) = answer.refused {
            tracing::warn!(%why, batch = %answer.batch, "a batch was not taken");
            return self.cut_settle(cx);
        }
        self.desk.settle.works();
        self.desk.duplicates += answer.outcomes.iter().filter(|outcome| outcome.repeated).count() as u64;
        self.replica.count_replayed(&answer.outcomes, &answer.not_taken);
        let settled = self.desk.trader.settled(answer.batch, answer.outcomes, answer.not_taken);
        // The copies come first: the accepted entry of an order says which chunk holds its copy, and the entries below
        // remove it.
        for outcome in &settled.outcomes {
            if let Some(accepted) = cx.state.accepted.get(&outcome.id) {
                self.replica.left_queue(accepted.seq);
                self.cache.settled(accepted.order.product, outcome);
                self.allotment.left(&accepted.order);
            }
        }
        for (id, _) in &settled.not_taken {
            if let Some(accepted) = cx.state.accepted.get(id) {
                self.replica.left_queue(accepted.seq);
                self.cache.left(&accepted.order);
                self.allotment.left(&accepted.order);
                self.allotment.is_refused(*id);
            }
        }
        settled.entries.into_iter().for_each(|entry| cx.record(entry));
        self.desk.busy_since = (self.desk.trader.depth() > 0).then_some(cx.now());
        self.takeover.worked(cx, !settled.outcomes.is_empty(), &self.replica);
        self.desk.answer(cx, settled.outcomes, settled.not_taken);
        if let Some(word) = &answer.goods {
            self.allotment.heard(word);
        }
    }
}

/// What is told of those of the orders of which something is.
pub(super) fn told_before(facts: &Facts, orders: &[Order]) -> Vec<Tentative> {
    orders.iter().filter_map(|order| facts.told_of(order.id)).collect()
}
