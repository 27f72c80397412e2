//! A peer's own state, as the fold of its journal: its orders, its session, and what it accepted for others.
//!
//! What is in `open` was journaled and has no outcome yet: it is asked again, under the same number, until it has one.
//! What is in `accepted` was taken under a term and is neither settled nor handed over: it is settled by this process
//! while the term lasts, and goes to its present home afterwards. `mirrors` hold what partners accepted, as bytes.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::limits::{KNOWN_MAX, SESSION_WINDOW};
use crate::model::evidence::{Licence, Seen};
use crate::model::fold::{Fold, Stored, Tree};
use crate::model::peer::entry::{Entry, Placed, Proof};
use crate::model::tentative::{Tentative, Undrawn};
use crate::model::totals::Totals;
use crate::types::{
    Epoch, Generation, Hash, Number, Office, Order, OrderId, PeerId, Quantity, Seq, Stamp, Term, WallMicros,
};

/// A mirror: chunks of encoded orders with their place in the journal that they are from, ascending.
pub(crate) type Chunks = VecDeque<(Seq, Vec<u8>)>;

/// An order taken for another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Under which term.
    pub term: Term,
    /// Where its entry stands in the journal.
    pub seq: Seq,
    /// The order.
    pub order: Order,
    /// What its peer is told before it is settled, if anything.
    pub told: Option<Tentative>,
}

impl Accepted {
    /// It is decided by a trader, from goods that were set aside.
    pub(crate) fn is_drawn(&self) -> bool {
        self.told.is_some_and(|told| told.draw.is_some())
    }
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerState {
    /// This store's session at the warehouse, once opened.
    pub opened: Option<(PeerId, Epoch)>,
    /// The last number placed; 0 if none.
    pub last: Number,
    /// Placed and not answered.
    pub open: BTreeMap<Number, Placed>,
    /// What was told of open orders before they were settled.
    pub told_early: BTreeMap<Number, Tentative>,
    /// How many were answered, ever.
    pub answered: u64,
    /// Other peers' sessions, as the warehouse told them.
    pub known: BTreeMap<PeerId, (Epoch, Hash)>,
    /// The grant held, if any.
    pub grant: Option<(Office, Term)>,
    /// Of the last grant.
    pub licence: Option<Licence>,
    /// Taken for others and not yet settled or handed over, with the term it was taken under.
    pub accepted: BTreeMap<OrderId, Accepted>,
    /// What other traders accepted under a term: chunks as they came, with their place in that trader's journal.
    pub mirrors: BTreeMap<(PeerId, Term), Chunks>,
    /// The ledger as last heard of.
    pub ledger_seen: Seen,
    /// The highest stamp in the journal.
    pub stamp: Stamp,
    /// The last entry's sequence.
    pub seq: Seq,
    /// What all entries add up to.
    pub totals: Totals,
}

impl PeerState {
    /// The lowest number of the present epoch without an outcome: everything below it is answered.
    pub(crate) fn floor(&self) -> Number {
        // Orders of an earlier epoch do not count: that epoch's window is closed.
        let present = self.open.range(Number::new(self.last.epoch(), 0)..).next();
        // Behind the last number of an epoch this is one of the next, before the first that is given there.
        present.map_or(Number(self.last.0 + 1), |(number, _)| *number)
    }

    /// The number of the next order. It is above all that this store gave before, whatever epoch the warehouse tells,
    /// so that none is given twice.
    /// None if the count of the last epoch is spent: then a new token is due, hence a new epoch.
    pub(crate) fn next_number(&self, epoch: Epoch) -> Option<Number> {
        if epoch > self.last.epoch() {
            return Some(Number::new(epoch, 1));
        }
        self.last.next()
    }

    /// How many orders may be given a number before the count of the epoch is spent.
    pub(crate) fn numbers_left(&self, epoch: Epoch) -> u32 {
        let given = if epoch > self.last.epoch() { 0 } else { self.last.k() };
        Number::K_MAX - given
    }

    /// How many more orders may be placed while everything below `acknowledged` is durably answered: placing number
    /// `k` tells the warehouse to forget what lies [`SESSION_WINDOW`] below it.
    pub(crate) fn room(&self, acknowledged: Number) -> u32 {
        // All are acknowledged, also if the number behind the last one is of the next epoch.
        if acknowledged > self.last {
            return SESSION_WINDOW;
        }
        let from = if acknowledged.epoch() == self.last.epoch() { acknowledged.k() } else { 1 };
        let used = self.last.k().saturating_add(1).saturating_sub(from);
        SESSION_WINDOW.saturating_sub(used)
    }

    /// An open order as it goes over the wire.
    pub(crate) fn order(&self, me: PeerId, placed: &Placed) -> Order {
        let Placed { number, stamp, kind, product, quantity } = *placed;
        Order { id: OrderId { peer: me, number }, stamp, kind, product, quantity }
    }

    /// Of too many the oldest client is forgotten, but never the one that was just told: it waits for that.
    fn know(&mut self, peer: PeerId, epoch: Epoch, store: Hash) {
        self.known.insert(peer, (epoch, store));
        while self.known.len() > KNOWN_MAX {
            let mut clients = self.known.range(PeerId(PeerId::PEER_MAX.0 + 1)..).map(|(client, _)| *client);
            let Some(oldest) = clients.find(|client| *client != peer) else { return };
            self.known.remove(&oldest);
        }
    }

    /// A trader's own word of an order that it holds.
    fn tell(&mut self, answer: &Tentative) {
        if let Some(accepted) = self.accepted.get_mut(&answer.id) {
            accepted.told = Some(*answer);
        }
    }

    /// A trader's word of an order of this peer's.
    fn is_told(&mut self, answer: &Tentative) {
        if self.open.contains_key(&answer.id.number) {
            self.told_early.insert(answer.id.number, *answer);
        }
    }

    fn trim(&mut self, trader: PeerId, term: Term, below: Seq) {
        if let Some(chunks) = self.mirrors.get_mut(&(trader, term)) {
            while chunks.front().is_some_and(|(chunk, _)| *chunk < below) {
                chunks.pop_front();
            }
        }
    }

    fn drop_accepted(&mut self, peer: PeerId, first: Number, last: Number) {
        let range = OrderId { peer, number: first }..=OrderId { peer, number: last };
        if first == last {
            self.accepted.remove(&OrderId { peer, number: first });
            return;
        }
        let gone: Vec<OrderId> = self.accepted.range(range).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| {
            self.accepted.remove(id);
        });
    }
}

/// One piece of a peer's state in a checkpoint. Persisted: append only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    /// 0: counters and the session.
    Head {
        /// Session.
        opened: Option<(PeerId, Epoch)>,
        /// Last number placed.
        last: Number,
        /// Orders answered.
        answered: u64,
        /// The grant held.
        grant: Option<(Office, Term)>,
        /// Ledger as last heard of.
        ledger_seen: (Generation, Seq, Hash),
        /// That the warehouse said so.
        proof: Option<Proof>,
        /// Highest stamp.
        stamp: Stamp,
        /// Last sequence.
        seq: Seq,
    },
    /// 1: an open order.
    Open(Placed),
    /// 2: another peer's session.
    Known(PeerId, Epoch, Hash),
    /// 3: an accepted order; parts come in queue order.
    Accepted(Term, Seq, Order),
    /// 4: a chunk of a mirror, in the order of the chunks.
    Mirror(PeerId, Term, Seq, Vec<u8>),
    /// 5: of the last grant.
    Licence(Licence),
    /// 6: what all entries add up to.
    Totals(Totals),
    /// 7: what is told of an accepted order, which came before, as an earlier version wrote it.
    TentativeUndrawn(Undrawn),
    /// 8: what was told of an open order, as an earlier version wrote it.
    ToldEarlyUndrawn(Number, Quantity),
    /// 9: what is told of an accepted order, which came before.
    Tentative(Tentative),
    /// 10: what was told of an open order.
    ToldEarly(Tentative),
}

impl Stored for Part {}

impl Fold for PeerState {
    type Record = Entry;
    type Part = Part;
    const LOG: Tree = Tree::Journal;

    fn apply(&mut self, seq: Seq, time: WallMicros, entry: &Entry) {
        self.seq = seq;
        self.totals.count(entry.kind_number(), time);
        match entry {
            Entry::Placed(placed) => {
                self.last = self.last.max(placed.number);
                self.stamp = self.stamp.max(placed.stamp);
                self.open.insert(placed.number, *placed);
            }
            Entry::Answered { told, seen, .. } => {
                self.ledger_seen = seen.as_deref().copied().unwrap_or(self.ledger_seen);
                self.totals.outcomes += told.len() as u64;
                for told in told {
                    self.answered += u64::from(self.open.remove(&told.number).is_some());
                    self.told_early.remove(&told.number);
                }
            }
            Entry::Opened { peer, epoch } => self.opened = Some((*peer, *epoch)),
            Entry::Known { peer, epoch, store } => self.know(*peer, *epoch, *store),
            Entry::Granted { office, term } => self.grant = Some((*office, *term)),
            Entry::Ended { term } => self.grant = self.grant.filter(|(_, held)| held != term),
            Entry::Accepted { term, order } => {
                self.stamp = self.stamp.max(order.stamp);
                // Taken once more, under another term, it stays what was told.
                let held = self.accepted.get(&order.id).filter(|it| it.order == *order);
                let told = held.and_then(|it| it.told);
                self.accepted.insert(order.id, Accepted { term: *term, seq, order: *order, told });
            }
            Entry::Settled { peer, first, last } | Entry::HandedOver { peer, first, last } => {
                self.drop_accepted(*peer, *first, *last);
            }
            Entry::LedgerSeen { generation, seq, hash, proof } => {
                let proof = proof.as_deref().copied();
                self.ledger_seen = Seen { generation: *generation, seq: *seq, hash: *hash, proof };
            }
            Entry::Mirrored { trader, term, chunk, orders } => {
                self.mirrors.entry((*trader, *term)).or_default().push_back((*chunk, orders.clone()));
            }
            Entry::Adopted { trader, from } => {
                self.mirrors.remove(&(*trader, *from));
            }
            Entry::Trimmed { trader, term, below } => self.trim(*trader, *term, *below),
            Entry::Forgotten { number } => {
                self.open.remove(number);
                self.told_early.remove(number);
            }
            Entry::Tentative(told) => told.iter().for_each(|answer| self.tell(answer)),
            Entry::ToldEarly { told, .. } => told.iter().for_each(|answer| self.is_told(answer)),
            Entry::TentativeUndrawn(told) => told.iter().for_each(|it| self.tell(&(*it).into())),
            Entry::ToldEarlyUndrawn { told, .. } => told.iter().for_each(|it| self.is_told(&(*it).into())),
            Entry::AskedAgain { .. } => {}
            Entry::Licensed(licence) => self.licence = Some(*licence),
        }
    }

    fn each_part(&self, give: &mut dyn FnMut(Tree, Part)) {
        let PeerState { opened, last, answered, grant, ledger_seen: seen, stamp, seq, .. } = *self;
        let (ledger_seen, proof) = ((seen.generation, seen.seq, seen.hash), seen.proof);
        give(Tree::Orders, Part::Head { opened, last, answered, grant, ledger_seen, proof, stamp, seq });
        give(Tree::Orders, Part::Totals(self.totals.clone()));
        self.licence.iter().for_each(|licence| give(Tree::Orders, Part::Licence(*licence)));
        self.open.values().for_each(|placed| give(Tree::Orders, Part::Open(*placed)));
        self.told_early.values().for_each(|answer| give(Tree::Orders, Part::ToldEarly(*answer)));
        for (peer, (epoch, store)) in &self.known {
            give(Tree::Sessions, Part::Known(*peer, *epoch, *store));
        }
        let mut queue: Vec<_> = self.accepted.values().collect();
        queue.sort_unstable_by_key(|accepted| accepted.order.key());
        for Accepted { term, seq, order, told } in queue {
            give(Tree::Queue, Part::Accepted(*term, *seq, *order));
            if let Some(answer) = *told {
                give(Tree::Queue, Part::Tentative(answer));
            }
        }
        for ((trader, term), chunks) in &self.mirrors {
            for (chunk, orders) in chunks {
                give(Tree::Mirror, Part::Mirror(*trader, *term, *chunk, orders.clone()));
            }
        }
    }

    fn restore(&mut self, part: Part) {
        match part {
            Part::Head { opened, last, answered, grant, ledger_seen, proof, stamp, seq } => {
                let (maps, (generation, of, hash)) = (std::mem::take(self), ledger_seen);
                let ledger_seen = Seen { generation, seq: of, hash, proof };
                *self = PeerState { opened, last, answered, grant, ledger_seen, stamp, seq, ..maps };
            }
            Part::Open(placed) => {
                self.open.insert(placed.number, placed);
            }
            Part::Known(peer, epoch, store) => {
                self.known.insert(peer, (epoch, store));
            }
            Part::Mirror(trader, term, chunk, orders) => {
                self.mirrors.entry((trader, term)).or_default().push_back((chunk, orders));
            }
            Part::Licence(licence) => self.licence = Some(licence),
            Part::Totals(totals) => self.totals = totals,
            Part::TentativeUndrawn(answer) => self.tell(&answer.into()),
            Part::ToldEarlyUndrawn(number, filled) => {
                let id = OrderId { peer: PeerId::default(), number };
                self.told_early.insert(number, Tentative { id, filled, draw: None });
            }
            Part::Tentative(answer) => self.tell(&answer),
            Part::ToldEarly(answer) => drop(self.told_early.insert(answer.id.number, answer)),
            Part::Accepted(term, seq, order) => {
                self.accepted.insert(order.id, Accepted { term, seq, order, told: None });
            }
        }
    }

    /// Earlier versions counted nothing, and forgot no client.
    fn is_whole(&self) -> bool {
        self.totals.records() == self.seq.0 && self.known.len() <= KNOWN_MAX
    }
}

#[cfg(test)]
mod tests;
