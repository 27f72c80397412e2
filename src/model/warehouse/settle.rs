//! Batches of traders: all that came in a turn are decided together, in stamp order (V06).
//!
//! A settle stream begins with a hello. Only a proven one can hold a term: peer, process and term are in every roster, so
//! whoever has seen one could settle in the trader's name.

use std::collections::BTreeMap;

use super::allotments::Parked;
use super::{Conn, Warehouse};
use crate::limits::{BATCH_ORDERS_MAX, MESSAGE_BYTES_MAX};
use crate::model::hello::{Dialed, Hello};
use crate::model::market::{NotTaken, Verdict};
use crate::model::message::{Message, SettleAnswer, SettleAsk, outcome_weight};
use crate::model::offices::Grant;
use crate::model::row::{Outcome, Record};
use crate::model::step::{At, ConnId, Effect, Turn};
use crate::model::tentative::{Draw, Tentative, by_order};
use crate::types::{Batch, Number, Order, OrderId, OrderKind, PeerId, ProcessId, QueueKey, Term, WallMicros};

/// The trader at the other end of a settle stream.
pub(super) struct Settler {
    peer: PeerId,
    process: ProcessId,
    dialed: Dialed,
    /// Its hello shows the token of the peer's store. Otherwise it holds no term, whatever it says.
    proven: bool,
    /// Why a batch of this stream was not taken. After it no later batch of the stream is taken.
    refused: Option<NotTaken>,
    /// The number of each peer that was not taken: no higher number of that peer is taken before it comes again.
    blocked: BTreeMap<PeerId, Number>,
}

/// A batch as it came in.
pub(super) struct Job {
    conn: ConnId,
    batch: Batch,
    /// The grant under which it is sent.
    term: Term,
    /// In queue order.
    orders: Vec<Order>,
    /// What was told of them before.
    told: BTreeMap<OrderId, Tentative>,
    /// Why the batch is refused without a look at its orders.
    refused: Option<NotTaken>,
}

/// Under whose grant orders are decided, and in which batch.
#[derive(Clone, Copy)]
pub(super) struct By {
    pub(super) trader: PeerId,
    pub(super) term: Term,
    pub(super) batch: Batch,
}

impl Settler {
    fn new(hello: &Hello, proven: bool) -> Settler {
        let (peer, process, dialed) = (hello.peer, hello.process, hello.dialed());
        Settler { peer, process, dialed, proven, refused: None, blocked: BTreeMap::new() }
    }

    /// A number above one that was not taken waits for it; the number itself, or one below, lifts the block. Without
    /// that a peer's rows would not be by number: a later order of its overtakes one that is asked again. A void waits
    /// for nothing, and lifts the block of its own number alone: that one is not asked again.
    fn is_blocked(&mut self, order: &Order) -> bool {
        match self.blocked.get(&order.id.peer) {
            Some(number) if order.id.number != *number && order.kind == OrderKind::Void => false,
            Some(number) if order.id.number > *number => true,
            Some(_) => {
                self.blocked.remove(&order.id.peer);
                false
            }
            None => false,
        }
    }

    fn block(&mut self, id: OrderId) {
        self.blocked.insert(id.peer, id.number);
    }
}

impl Warehouse {
    /// A batch is kept until the end of the turn. The stream's first message is a hello.
    pub(super) fn batch(&mut self, conn: ConnId, ask: SettleAsk, turn: &mut Turn<Record>) {
        let SettleAsk { clock, hello, term, batch, orders, told, wants } = ask;
        match (hello, matches!(self.conns.get(&conn), Some(Conn::Settle(Some(_))))) {
            (None, true) => {}
            (Some(hello), false) if self.has_later_settler(&hello) => {
                return self.hang_up(conn, "a stream that its process dialed later is here", turn);
            }
            (Some(hello), false) => {
                let proven = self.authenticate(&hello).is_ok();
                if proven {
                    self.end_older_settlers(&hello, turn);
                }
                self.conns.insert(conn, Conn::Settle(Some(Settler::new(&hello, proven))));
                let hello = Some(Box::new(self.hello()));
                self.tell_settled(conn, SettleAnswer { hello, ..SettleAnswer::default() }, turn);
            }
            (Some(_), true) => return self.hang_up(conn, "it says a second hello", turn),
            (None, false) => return self.hang_up(conn, "it says no hello", turn),
        }
        if batch.decision().is_some() {
            return self.hang_up(conn, "it numbers its batches like decisions", turn);
        }
        // Only the holder of a term moves the clock; a batch of anybody else is refused, since its term is not the
        // present grant.
        let leap = self.holds(conn, term) && self.clock.receive(clock).is_err();
        self.allotments.want(conn, term, wants);
        if orders.is_empty() {
            return;
        }
        let busy = (orders.len() > BATCH_ORDERS_MAX).then_some(NotTaken::Busy);
        let refused = if leap { Some(NotTaken::Clock) } else { busy };
        let told = by_order(&told);
        self.jobs.push(Job { conn, batch, term, orders, told, refused });
    }

    /// What still comes on them would give goods back that the trader has by now.
    fn end_older_settlers(&mut self, hello: &Hello, turn: &mut Turn<Record>) {
        let own = |conn: &Conn| matches!(conn, Conn::Settle(Some(it)) if it.proven && (it.peer, it.process) == (hello.peer, hello.process));
        let older: Vec<ConnId> = self.conns.iter().filter(|(_, it)| own(it)).map(|(conn, _)| *conn).collect();
        older.into_iter().for_each(|conn| self.hang_up(conn, "its process has dialed a later one", turn));
    }

    fn has_later_settler(&self, hello: &Hello) -> bool {
        let settler = |conn: &Conn| match conn {
            Conn::Settle(Some(it)) => {
                it.proven && it.peer == hello.peer && hello.was_dialed_before(it.dialed)
            }
            _ => false,
        };
        self.conns.values().any(settler)
    }

    /// Whether the term is the present grant of the stream's process.
    pub(super) fn holds(&self, conn: ConnId, term: Term) -> bool {
        let Some(Conn::Settle(Some(settler))) = self.conns.get(&conn) else { return false };
        let grant = self.market.offices.present(term);
        let is_holder = |grant: &Grant| (grant.peer, grant.process) == (settler.peer, settler.process);
        settler.proven && grant.is_some_and(is_holder)
    }

    /// Decides all batches of the turn, in queue order over all of them: voids first, then by (stamp, peer, number).
    pub(super) fn settle(&mut self, at: At, turn: &mut Turn<Record>) {
        self.decide_jobs(at, turn);
        self.allot(at, turn);
    }

    fn decide_jobs(&mut self, at: At, turn: &mut Turn<Record>) {
        if self.jobs.is_empty() {
            return;
        }
        let mut jobs = std::mem::take(&mut self.jobs);
        // A batch whose stream is gone is dropped, since nobody would hear the outcomes: its orders are asked again.
        jobs.retain(|job| self.conns.contains_key(&job.conn));
        let mut answers: Vec<SettleAnswer> = jobs.iter().map(|job| self.empty_answer(at, job)).collect();
        self.decide_all(at.time, &jobs, &mut answers, turn);
        let refused = jobs.iter().zip(&answers).filter(|(_, answer)| answer.refused.is_some());
        let refused: Vec<ConnId> = refused.map(|(job, _)| job.conn).collect();
        for (job, answer) in jobs.iter().zip(answers) {
            self.tell_batch(job.conn, answer, turn);
        }
        for conn in refused {
            self.hang_up(conn, "a batch of it was not taken", turn);
        }
        jobs.clear();
        self.jobs = jobs;
    }

    fn empty_answer(&mut self, at: At, job: &Job) -> SettleAnswer {
        let refused = self.refuse(job, at.disk_low);
        let roster = refused.map(|_| Box::new(self.roster(at.now).clone()));
        let room = if refused.is_some() { 0 } else { job.orders.len() };
        let outcomes = Vec::with_capacity(room);
        SettleAnswer { batch: job.batch, outcomes, refused, roster, ..SettleAnswer::default() }
    }

    /// Why a whole batch is not taken. After it no later batch of its stream is taken, so that a peer's numbers are
    /// decided in order.
    fn refuse(&mut self, job: &Job, disk_low: bool) -> Option<NotTaken> {
        let fenced = (!self.holds(job.conn, job.term)).then_some(NotTaken::Fenced);
        let Some(Conn::Settle(Some(settler))) = self.conns.get_mut(&job.conn) else {
            unreachable!("a batch is kept only of a stream with a trader");
        };
        let full = disk_low.then_some(NotTaken::DiskFull);
        settler.refused = settler.refused.or(job.refused).or(fenced).or(full);
        settler.refused
    }

    fn decide_all(
        &mut self,
        time: WallMicros,
        jobs: &[Job],
        answers: &mut [SettleAnswer],
        turn: &mut Turn<Record>,
    ) {
        let mut work = Vec::with_capacity(jobs.iter().map(|job| job.orders.len()).sum());
        for (at, job) in jobs.iter().enumerate().filter(|(at, _)| answers[*at].refused.is_none()) {
            let orders = job.orders.iter().enumerate();
            work.extend(orders.map(|(nth, order)| (self.turn_of((at, nth), job, order), at, order)));
        }
        work.sort_unstable_by_key(|(turn, at, _)| (*turn, *at));
        for (_, at, order) in work {
            self.decide(time, &jobs[at], order, &mut answers[at], turn);
        }
    }

    /// When an order's turn comes: voids first, then what its trader has decided, as it has, then by (stamp, peer, number).
    fn turn_of(&self, came: (usize, usize), job: &Job, order: &Order) -> (u8, (usize, usize), QueueKey) {
        match order.kind {
            OrderKind::Void => (0, (0, 0), order.place()),
            _ if self.is_decided(job.term, job.told.get(&order.id)) => (1, came, order.key()),
            _ => (2, (0, 0), order.key()),
        }
    }

    /// A trader has decided it, from goods that are still set aside for its term, which is this one or has ended.
    fn is_decided(&self, term: Term, told: Option<&Tentative>) -> bool {
        let of_term = |draw: Draw| draw.term == term || self.market.offices.present(draw.term).is_none();
        let draw = told.and_then(|it| it.draw).filter(|draw| of_term(*draw));
        draw.is_some_and(|draw| self.market.holder(draw.term).is_some())
    }

    fn decide(
        &mut self,
        time: WallMicros,
        job: &Job,
        order: &Order,
        answer: &mut SettleAnswer,
        turn: &mut Turn<Record>,
    ) {
        let (told, conn) = (job.told.get(&order.id).copied(), job.conn);
        // What its trader has decided waits for nothing that it has not.
        let decided = self.is_decided(job.term, told.as_ref());
        let Some(Conn::Settle(Some(settler))) = self.conns.get_mut(&job.conn) else {
            unreachable!("a batch is decided only of a stream with a trader");
        };
        if !decided && settler.is_blocked(order) {
            answer.not_taken.push((order.id, NotTaken::Window));
            return;
        }
        let by = By { trader: settler.peer, term: job.term, batch: job.batch };
        let behind = !decided && order.kind != OrderKind::Void && self.allotments.waits(order.product);
        if !behind && self.decide_one(time, by, order, told, answer, turn) {
            return self.block_if_refused(conn, order.id, answer);
        }
        if !self.allotments.park(Parked { conn, by, order: *order, told }) {
            answer.not_taken.push((order.id, NotTaken::Busy));
            self.block_if_refused(conn, order.id, answer);
        }
    }

    /// Numbers above one that stays open wait for it.
    fn block_if_refused(&mut self, conn: ConnId, id: OrderId, answer: &SettleAnswer) {
        let Some((_, why)) = answer.not_taken.last().filter(|(of, _)| *of == id) else { return };
        if let Some(Conn::Settle(Some(settler))) = self.conns.get_mut(&conn)
            && !matches!(why, NotTaken::Stale | NotTaken::OtherContent)
        {
            settler.block(id);
        }
    }

    /// False if it must wait for goods.
    pub(super) fn decide_one(
        &mut self,
        time: WallMicros,
        by: By,
        order: &Order,
        told: Option<Tentative>,
        answer: &mut SettleAnswer,
        turn: &mut Turn<Record>,
    ) -> bool {
        let clock = self.clock.tick();
        let by = self.settling(by, told, clock);
        match self.market.decide(order, &by) {
            Verdict::New(record) => answer.outcomes.extend(self.record(time, record, turn)),
            Verdict::Known(outcome) => answer.outcomes.push(Outcome { repeated: true, ..outcome }),
            Verdict::NotTaken(why) => answer.not_taken.push((order.id, why)),
            Verdict::Waits => return false,
        }
        true
    }

    /// Sales from many sellers are long: one batch may take several messages.
    pub(super) fn tell_batch(&mut self, conn: ConnId, mut answer: SettleAnswer, turn: &mut Turn<Record>) {
        self.duplicates += answer.outcomes.iter().filter(|outcome| outcome.repeated).count() as u64;
        while let Some(rest) = split_off_heavy(&mut answer.outcomes) {
            let outcomes = std::mem::replace(&mut answer.outcomes, rest);
            let part = SettleAnswer { batch: answer.batch, outcomes, ..SettleAnswer::default() };
            self.tell_settled(conn, part, turn);
        }
        self.tell_settled(conn, answer, turn);
    }

    pub(super) fn tell_settled(&mut self, conn: ConnId, answer: SettleAnswer, turn: &mut Turn<Record>) {
        let answer = SettleAnswer { clock: self.clock.tick(), ..answer };
        turn.hold(Effect::Send(conn, Message::SettleAnswer(answer)));
    }
}

/// Cuts outcomes where they would fill half a message, and gives what was cut off.
fn split_off_heavy(outcomes: &mut Vec<Outcome>) -> Option<Vec<Outcome>> {
    let mut weight = 0;
    let cut = outcomes.iter().skip(1).position(|outcome| {
        weight += outcome_weight(outcome);
        weight > MESSAGE_BYTES_MAX / 2
    })?;
    Some(outcomes.split_off(cut + 1))
}
