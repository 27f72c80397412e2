//! Allotments (`escrow` mode): what traders want set aside and give back, orders that wait until goods are back, and what
//! a term that ended had sold.
//!
//! An order that a trader's allotment cannot meet comes here like any other. If others have goods of that product, they are
//! recalled, and the order waits in stamp order, with all that come behind it; it is decided when all of them are back.
//! Traders never keep what is recalled, so no two recalls wait for each other. The term of one that does not give back in
//! time is ended, though it looks alive, and its goods come back with the report of what it sold.

use std::collections::{BTreeMap, BTreeSet};

use super::settle::By;
use super::{Conn, Denied, Warehouse};
use crate::limits::{ORDERS_WAITING_MAX, RECALL_PATIENCE};
use crate::model::call::SalesReport;
use crate::model::hello::Hello;
use crate::model::market::{Holder, NotTaken, Settling, Verdict};
use crate::model::message::{GoodsWord, SettleAnswer};
use crate::model::offices::Grant;
use crate::model::row::Record;
use crate::model::step::{At, ConnId, Turn};
use crate::model::tentative::{Tentative, by_order};
use crate::types::{Batch, Now, Order, PeerId, ProductId, Quantity, QueueKey, Term, WallMicros};

/// An order that waits for goods.
pub(super) struct Parked {
    pub(super) conn: ConnId,
    pub(super) by: By,
    pub(super) order: Order,
    pub(super) told: Option<Tentative>,
}

/// What a trader wants of goods: pieces more, or 0 to give all back.
struct Wants {
    conn: ConnId,
    term: Term,
    wants: Vec<(ProductId, Quantity)>,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Allotments {
    wants: Vec<Wants>,
    /// In the order in which they are decided. One order may wait on two streams, and is answered on both.
    parked: BTreeMap<ProductId, BTreeMap<(QueueKey, ConnId), Parked>>,
    /// Recalls that are on their way, or answered: by the stream that they went out on.
    recalled: BTreeSet<(ConnId, ProductId)>,
    /// Since when orders of a product have been waiting.
    since: BTreeMap<ProductId, Now>,
}

impl Allotments {
    /// When somebody has not given back for too long.
    pub(super) fn due(&self, patience_ms: u64) -> Option<Now> {
        self.since.values().min().map(|since| since.after_ms(patience_ms))
    }

    pub(super) fn want(&mut self, conn: ConnId, term: Term, wants: Vec<(ProductId, Quantity)>) {
        if !wants.is_empty() {
            self.wants.push(Wants { conn, term, wants });
        }
    }

    /// Whether orders of the product wait: then what comes behind them does, too.
    pub(super) fn waits(&self, product: ProductId) -> bool {
        self.parked.contains_key(&product)
    }

    /// False if too many wait. What a trader has decided is never turned away: its report must have it.
    pub(super) fn park(&mut self, parked: Parked) -> bool {
        let waiting: usize = self.parked.values().map(BTreeMap::len).sum();
        let decided = parked.told.is_some_and(|told| told.draw.is_some());
        let room = waiting < ORDERS_WAITING_MAX || decided;
        if room {
            let (product, key) = (parked.order.product, (parked.order.place(), parked.conn));
            self.parked.entry(product).or_default().insert(key, parked);
        }
        room
    }

    /// A stream is over, and what came on it is asked again.
    pub(super) fn ended(&mut self, conn: ConnId) {
        self.recalled.retain(|(on, _)| *on != conn);
        self.wants.retain(|it| it.conn != conn);
        self.parked.values_mut().for_each(|orders| orders.retain(|_, it| it.conn != conn));
        self.parked.retain(|_, orders| !orders.is_empty());
    }
}

impl Warehouse {
    /// Once a turn, when its batches are decided: what traders want, what can be decided now, and what must be recalled.
    pub(super) fn allot(&mut self, at: At, turn: &mut Turn<Record>) {
        for Wants { conn, term, wants } in std::mem::take(&mut self.allotments.wants) {
            self.answer_wants(at.time, (conn, term), &wants, turn);
        }
        let products: Vec<ProductId> = self.allotments.parked.keys().copied().collect();
        for product in products {
            self.reconsider(at.time, product, turn);
            self.recall(product, turn);
            self.end_who_keep(at, product, turn);
        }
        let Allotments { since, parked, .. } = &mut self.allotments;
        since.retain(|product, _| parked.contains_key(product));
    }

    /// A trader whose streams or disk do not let it give back what is recalled is no trader any more.
    fn end_who_keep(&mut self, at: At, product: ProductId, turn: &mut Turn<Record>) {
        let patience = self.recall_patience_ms();
        let since = self.allotments.since.entry(product).or_insert(at.now);
        if !self.allotments.parked.contains_key(&product) || at.now.ms_since(*since) < patience {
            return;
        }
        *since = at.now;
        let has_it = |grant: &&Grant| self.market.allotted(grant.term, product).is_some();
        let keep: Vec<Grant> = self.market.offices.grants().filter(has_it).copied().collect();
        for grant in keep {
            tracing::warn!(trader = %grant.peer, term = %grant.term, "goods were recalled in vain: the term ends");
            self.end_term(at.time, &grant, PeerId::WAREHOUSE, turn);
        }
    }

    pub(super) fn recall_patience_ms(&self) -> u64 {
        self.rules.suspect_after_ms * RECALL_PATIENCE
    }

    fn answer_wants(
        &mut self,
        time: WallMicros,
        (conn, term): (ConnId, Term),
        wants: &[(ProductId, Quantity)],
        turn: &mut Turn<Record>,
    ) {
        if !self.holds(conn, term) {
            return;
        }
        let Some(trader) = self.market.offices.present(term).map(|grant| grant.peer) else { return };
        for (product, wanted) in wants {
            if wanted.0 == 0 {
                self.take_back(time, (trader, term), *product, turn);
                self.allotments.recalled.remove(&(conn, *product));
            } else if !self.allotments.waits(*product)
                && let Some(slices) = self.market.allot(term, *product, *wanted)
            {
                let (product, clock) = (*product, self.clock.tick());
                self.record(time, Record::Allotment { trader, term, product, slices, clock }, turn);
            }
        }
        let has = |product: &ProductId| (*product, self.market.allotted(term, *product));
        let allotted = wants.iter().map(|(product, _)| has(product)).collect();
        let decided = self.market.holder(term).map_or(0, |holder| holder.decided);
        let full = |product: &ProductId| {
            self.market.allotted(term, *product).is_some() && !self.market.has_room(*product)
        };
        let recall = wants.iter().map(|(product, _)| *product).filter(full).collect();
        let goods = Some(Box::new(GoodsWord { allotted, decided, recall }));
        self.tell_settled(conn, SettleAnswer { goods, ..SettleAnswer::default() }, turn);
    }

    fn take_back(
        &mut self,
        time: WallMicros,
        (trader, term): (PeerId, Term),
        product: ProductId,
        turn: &mut Turn<Record>,
    ) {
        while let Some(slices) = self.market.last_of(term, product) {
            let clock = self.clock.tick();
            self.record(time, Record::Returned { trader, term, product, slices, clock }, turn);
        }
    }

    /// Decides what waits, in stamp order, up to the first order that must go on waiting.
    fn reconsider(&mut self, time: WallMicros, product: ProductId, turn: &mut Turn<Record>) {
        let mut answers: BTreeMap<(ConnId, Batch), SettleAnswer> = BTreeMap::new();
        let mut waiting = self.allotments.parked.remove(&product).unwrap_or_default();
        while let Some(first) = waiting.first_entry() {
            let Parked { conn, by, order, told } = first.get();
            let (conn, by, order, told) = (*conn, *by, *order, *told);
            if self.holds(conn, by.term) {
                let answer = answers.entry((conn, by.batch)).or_default();
                if !self.decide_one(time, by, &order, told, answer, turn) {
                    break;
                }
            }
            first.remove();
        }
        if !waiting.is_empty() {
            self.allotments.parked.insert(product, waiting);
        }
        for ((conn, batch), answer) in answers {
            if !answer.outcomes.is_empty() || !answer.not_taken.is_empty() {
                self.tell_batch(conn, SettleAnswer { batch, ..answer }, turn);
            }
        }
    }

    /// All traders that have an open allotment of what is waited for are to give it back.
    fn recall(&mut self, product: ProductId, turn: &mut Turn<Record>) {
        if !self.allotments.waits(product) {
            return;
        }
        let settling = |conn: &Conn| matches!(conn, Conn::Settle(Some(_)));
        let conns: Vec<ConnId> =
            self.conns.iter().filter(|(_, it)| settling(it)).map(|(conn, _)| *conn).collect();
        let terms: Vec<Term> = self.market.offices.grants().map(|grant| grant.term).collect();
        for (conn, term) in conns.into_iter().flat_map(|conn| terms.iter().map(move |term| (conn, *term))) {
            let open = self.market.allotted(term, product).is_some() && self.holds(conn, term);
            if open && self.allotments.recalled.insert((conn, product)) {
                let goods = Some(Box::new(GoodsWord { recall: vec![product], ..GoodsWord::default() }));
                self.tell_settled(conn, SettleAnswer { goods, ..SettleAnswer::default() }, turn);
            }
        }
    }

    // ---- terms that ended

    /// A store that has all that a term told reports it, in the order of its decisions. What the ledger has already is
    /// passed over. Behind the last part the rest of the term's goods is free.
    pub(super) fn complete_term(
        &mut self,
        at: At,
        hello: &Hello,
        report: SalesReport,
        turn: &mut Turn<Record>,
    ) -> Result<(), Denied> {
        let peer = self.authenticate(hello)?;
        let SalesReport { term, orders, told, last } = report;
        let Some(holder) = self.market.holder(term).copied() else { return Ok(()) };
        if self.market.offices.present(term).is_some() || !self.may_complete(hello, &holder) {
            return Err(Denied::NotReporter(term));
        }
        if self.clock.receive(hello.clock).is_err() {
            return Err(Denied::ClockAhead(peer));
        }
        let told = by_order(&told);
        let by = By { trader: holder.trader.0, term, batch: Batch(0) };
        for order in &orders {
            let told = told.get(&order.id).copied();
            if told.and_then(|it| it.draw).is_some_and(|draw| draw.term == term)
                && !self.adopt(at.time, by, order, told, turn)
            {
                tracing::error!(%term, order = %order.id, "what a term had sold cannot be booked");
                return Err(Denied::ReportShort(term));
            }
        }
        if last {
            let (trader, of, clock) = (peer, term, self.clock.tick());
            let term = self.market.offices.held_by(peer).map_or(Term(0), |grant| grant.term);
            self.record(at.time, Record::Complete { trader, term, of, clock }, turn);
        }
        Ok(())
    }

    /// Books what an ended term had decided, unless the ledger has it. False if that cannot be.
    fn adopt(
        &mut self,
        time: WallMicros,
        by: By,
        order: &Order,
        told: Option<Tentative>,
        turn: &mut Turn<Record>,
    ) -> bool {
        let clock = self.clock.tick();
        match self.market.decide(order, &self.settling(by, told, clock)) {
            Verdict::New(record) => drop(self.record(time, record, turn)),
            Verdict::Known(_) => {}
            // Its number has an outcome.
            Verdict::NotTaken(why) => return matches!(why, NotTaken::Stale | NotTaken::OtherContent),
            Verdict::Waits => return false,
        }
        true
    }

    /// The partner has a copy of all that was told. So has the trader's own process; a later one of its store has it, too,
    /// unless that store was put back to an older copy, so it is heard only while the partner is away.
    fn may_complete(&self, hello: &Hello, holder: &Holder) -> bool {
        let store = (hello.peer, hello.epoch);
        let (partner, epoch) = holder.partner;
        let has_it = self.market.sessions.get(&partner).is_some_and(|session| session.epoch == epoch);
        let alone = || !has_it || self.presence.process_of(partner).is_none();
        store == holder.partner || (store == holder.trader && (hello.process == holder.process || alone()))
    }

    /// A person accepts that what a term sold is lost. Gives the pieces that are free again, by product.
    pub(super) fn release(
        &mut self,
        time: WallMicros,
        term: Term,
        turn: &mut Turn<Record>,
    ) -> Result<Vec<(ProductId, Quantity)>, String> {
        if self.market.offices.present(term).is_some() {
            return Err(format!("term {term} is in office; what it holds comes back when it is recalled"));
        }
        let Some(holder) = self.market.holder(term).copied() else {
            return Err(format!("term {term} has no frozen goods"));
        };
        let products = (0..self.market.shelves.len()).map(|at| ProductId(at as u16));
        let held = products.filter_map(|product| Some((product, self.market.allotted(term, product)?)));
        let held = held.collect();
        let (trader, clock) = (holder.trader.0, self.clock.tick());
        self.record(time, Record::Released { trader, term, clock }, turn);
        Ok(held)
    }

    pub(super) fn settling(
        &self,
        By { trader, term, batch }: By,
        told: Option<Tentative>,
        clock: crate::types::Stamp,
    ) -> Settling {
        Settling { trader, term, batch, clock, commission_percent: self.rules.commission_percent, told }
    }
}
