//! The market: goods, lots, money, sessions and offices, as the fold of the ledger.
//!
//! `decide` reads the state and says what an order's record will be; `apply` takes a record in and is the only thing
//! that changes the state, live and at recovery alike, so that a replayed market equals the one that was killed.
//! Invariants (names of DESIGN): V01 goods are conserved, V02 nothing is negative, V03 one outcome per order,
//! V08 all accounts sum to zero.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::fold::{Fold, Tree};
use super::offices::Offices;
use super::row::{Decision, Outcome, OutcomeKind, Reason, Record, Slice, initial_lot, split};
use super::session::{Decided, Session, Standing, Window, is_lost, same_content};
use crate::limits::{QUANTITY_MAX, SALE_LOTS_MAX, STOCK_MAX};
use crate::types::{
    Batch, Epoch, Hash, Money, Number, Order, OrderId, OrderKind, PeerId, Quantity, Seq, Stamp, Term,
    WallMicros,
};

/// Pieces of one deposit that are still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// The deposit that made it; its peer is paid when a piece is sold.
    pub id: OrderId,
    /// What is left of it.
    pub quantity: Quantity,
}

/// One good: its price, its lots in the order of arrival, and its totals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// The good's name.
    pub name: String,
    /// Posted price of one piece.
    pub unit_price: Money,
    /// Sum of the lots.
    pub on_hand: Quantity,
    /// Oldest first.
    pub lots: VecDeque<Lot>,
    /// Initial goods.
    pub stocked: Quantity,
    /// Put in by sellers.
    pub deposited: Quantity,
    /// Taken by buyers.
    pub sold: Quantity,
    /// Sequence of the last row that changed the stock.
    pub changed: Seq,
}

/// Under whose grant an order is decided, and the terms of trade.
#[derive(Clone, Copy, Debug)]
pub struct Settling {
    /// Who settles.
    pub trader: PeerId,
    /// Under which grant.
    pub term: Term,
    /// In which of its batches.
    pub batch: Batch,
    /// The warehouse's clock for this decision.
    pub clock: Stamp,
    /// The trader's share in percent.
    pub commission_percent: u8,
}

/// Why a number stays open: "not by me", never an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotTaken {
    /// Queue or window of the receiver is full, or it is closing.
    #[error("busy; asking again later is safe")]
    Busy,
    /// The receiver does not decide for this peer.
    #[error("not this peer's home")]
    NotHome,
    /// Below the floor: the peer's own journal has the outcome.
    #[error("decided long ago; only the peer's own journal has the outcome")]
    Stale,
    /// The order id was used for other content.
    #[error("this order number was used for another order")]
    OtherContent,
    /// Number 0, or too far above one that is still undecided.
    #[error("too many numbers are open, or the number is 0")]
    Window,
    /// No such good in the catalogue.
    #[error("no such good in the catalogue")]
    UnknownProduct,
    /// 0, or above the limit.
    #[error("the quantity must be between 1 and {QUANTITY_MAX}")]
    Quantity,
    /// The term is not the present grant.
    #[error("the term is not the present grant")]
    Fenced,
    /// The peer has no session, or not of this epoch.
    #[error("the peer has no session with this store")]
    NoSession,
    /// The disk is below its low-water mark.
    #[error("the disk is almost full; free some space, the node recovers by itself")]
    DiskFull,
    /// The clock is too far ahead to be believed.
    #[error("the clock is too far ahead")]
    Clock,
}

/// What deciding an order comes to, in the order in which the checks are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing changes; the number stays open (or is stale).
    NotTaken(NotTaken),
    /// It was decided before: the recorded outcome.
    Known(Outcome),
    /// The record to journal and apply.
    New(Record),
}

/// The warehouse's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Market {
    /// By [`crate::types::ProductId`].
    pub shelves: Vec<Shelf>,
    /// Balances: buyers below zero, sellers, traders and the warehouse above.
    pub accounts: BTreeMap<PeerId, Money>,
    /// By peer.
    pub sessions: BTreeMap<PeerId, Session>,
    /// Grants.
    pub offices: Offices,
    /// The last record's sequence.
    pub seq: Seq,
    /// The highest clock in a record.
    pub clock: Stamp,
    /// Counts restores.
    pub generation: u64,
}

impl Market {
    /// What becomes of an order if it is decided now. Changes nothing.
    pub fn decide(&self, order: &Order, by: &Settling) -> Verdict {
        let number = order.id.number;
        let Some(session) = self.sessions.get(&order.id.peer) else {
            return Verdict::NotTaken(NotTaken::NoSession);
        };
        let window = session.window(number.epoch());
        let lost = is_lost(number.epoch(), self.generation);
        let closed = lost || number.epoch() < session.epoch;
        if window.is_none() && !closed {
            return Verdict::NotTaken(NotTaken::NoSession);
        }
        if number.k() == 0 {
            return Verdict::NotTaken(NotTaken::Window);
        }
        match window.map_or(Standing::Open, |window| window.standing(number.k())) {
            Standing::Stale => Verdict::NotTaken(NotTaken::Stale),
            Standing::Decided(found) if same_content(&found.order, order) => {
                Verdict::Known(found.outcome.clone())
            }
            Standing::Decided(_) => Verdict::NotTaken(NotTaken::OtherContent),
            // What stood below it was decided in the part that is lost.
            Standing::TooFar if lost => self.void(order, by, Reason::Closed),
            Standing::TooFar => Verdict::NotTaken(NotTaken::Window),
            Standing::Open if closed => self.void(order, by, Reason::Closed),
            Standing::Open if order.kind == OrderKind::Void => self.void(order, by, Reason::GivenUp),
            Standing::Open => self.trade(order, by),
        }
    }

    fn void(&self, order: &Order, by: &Settling, reason: Reason) -> Verdict {
        let stock_after =
            self.shelves.get(order.product.0 as usize).map_or(Quantity(0), |shelf| shelf.on_hand);
        Verdict::New(Record::Void { decision: decision(order, by, stock_after), reason })
    }

    fn trade(&self, order: &Order, by: &Settling) -> Verdict {
        let Some(shelf) = self.shelves.get(order.product.0 as usize) else {
            return Verdict::NotTaken(NotTaken::UnknownProduct);
        };
        if order.quantity.0 == 0 || order.quantity.0 > QUANTITY_MAX {
            return Verdict::NotTaken(NotTaken::Quantity);
        }
        Verdict::New(match order.kind {
            OrderKind::Buy { partial } => sale(shelf, order, by, partial),
            OrderKind::Sell | OrderKind::Void => deposit(shelf, order, by),
        })
    }

    /// The peer to whom a store belongs, if its session is its peer's last one; a restore may have closed it.
    pub fn owner(&self, store: Hash) -> Option<PeerId> {
        self.sessions.iter().find(|(_, session)| session.store == store).map(|(peer, _)| *peer)
    }

    /// Name and price of the goods, by [`crate::types::ProductId`].
    pub fn goods(&self) -> impl Iterator<Item = (&str, Money)> {
        self.shelves.iter().map(|shelf| (shelf.name.as_str(), shelf.unit_price))
    }

    /// Panics if an invariant is broken: called in tests and, cheaply, in debug builds.
    pub fn invariants(&self) {
        for shelf in &self.shelves {
            let lots: u64 = shelf.lots.iter().map(|lot| lot.quantity.0).sum();
            assert_eq!(lots, shelf.on_hand.0, "V01: lots of {} sum to what is on hand", shelf.name);
            assert_eq!(
                shelf.stocked.0 + shelf.deposited.0,
                shelf.sold.0 + shelf.on_hand.0,
                "V01: {}",
                shelf.name
            );
        }
        assert_eq!(self.accounts.values().copied().sum::<Money>(), Money(0), "V08: accounts sum to zero");
    }

    fn book_sale(&mut self, seq: Seq, decision: &Decision, unit_price: Money, percent: u8, slices: &[Slice]) {
        let shelf = &mut self.shelves[decision.order.product.0 as usize];
        for slice in slices {
            take(&mut shelf.lots, slice);
            shelf.on_hand.0 -= slice.quantity.0;
            shelf.sold.0 += slice.quantity.0;
        }
        shelf.changed = seq;
        let money = split(unit_price, percent, slices);
        *self.accounts.entry(decision.order.id.peer).or_default() += Money(-money.amount.0);
        *self.accounts.entry(decision.trader).or_default() += money.commission;
        for share in money.shares {
            *self.accounts.entry(share.peer).or_default() += share.amount;
        }
    }

    fn book_deposit(&mut self, seq: Seq, order: &Order) {
        let shelf = &mut self.shelves[order.product.0 as usize];
        shelf.lots.push_back(Lot { id: order.id, quantity: order.quantity });
        shelf.on_hand.0 += order.quantity.0;
        shelf.deposited.0 += order.quantity.0;
        shelf.changed = seq;
    }

    fn stock(&mut self, seq: Seq, name: &str, quantity: Quantity, unit_price: Money) {
        let lot = Lot { id: initial_lot(), quantity };
        self.shelves.push(Shelf {
            name: name.to_owned(),
            unit_price,
            on_hand: quantity,
            lots: (quantity.0 > 0).then_some(lot).into_iter().collect(),
            stocked: quantity,
            deposited: Quantity(0),
            sold: Quantity(0),
            changed: seq,
        });
    }

    fn open(&mut self, peer: PeerId, epoch: Epoch, store: Hash) {
        let session = self.sessions.entry(peer).or_default();
        (session.epoch, session.store) = (epoch, store);
        session.windows.entry(epoch).or_default();
    }

    fn remember(&mut self, order: &Order, outcome: Outcome) {
        let number = order.id.number;
        let lost = is_lost(number.epoch(), self.generation);
        let session = self.sessions.entry(order.id.peer).or_default();
        let window = session.windows.entry(number.epoch()).or_default();
        let decided = Decided { order: *order, outcome };
        if lost { window.decide_lost(number.k(), decided) } else { window.decide(number.k(), decided) }
    }
}

fn decision(order: &Order, by: &Settling, stock_after: Quantity) -> Decision {
    let Settling { trader, term, batch, clock, .. } = *by;
    Decision { order: *order, clock, stock_after, trader, term, batch }
}

fn deposit(shelf: &Shelf, order: &Order, by: &Settling) -> Record {
    let after = shelf.on_hand.0 + order.quantity.0;
    if after > STOCK_MAX {
        return Record::Refusal {
            decision: decision(order, by, shelf.on_hand),
            reason: Some(Reason::StockFull),
        };
    }
    Record::Deposit(decision(order, by, Quantity(after)))
}

fn sale(shelf: &Shelf, order: &Order, by: &Settling, partial: bool) -> Record {
    let wanted = order.quantity.0;
    if shelf.on_hand.0 == 0 || (shelf.on_hand.0 < wanted && !partial) {
        return Record::Refusal { decision: decision(order, by, shelf.on_hand), reason: None };
    }
    let slices = fill(&shelf.lots, wanted);
    let filled: u64 = slices.iter().map(|slice| slice.quantity.0).sum();
    if filled < wanted && !partial {
        let reason = Some(Reason::TooManyLots);
        return Record::Refusal { decision: decision(order, by, shelf.on_hand), reason };
    }
    let decision = decision(order, by, Quantity(shelf.on_hand.0 - filled));
    Record::Sale { decision, unit_price: shelf.unit_price, commission_percent: by.commission_percent, slices }
}

/// Slices of the oldest lots that make up `wanted` pieces, or as many as [`SALE_LOTS_MAX`] lots hold.
fn fill(lots: &VecDeque<Lot>, wanted: u64) -> Vec<Slice> {
    let mut left = wanted;
    let mut slices = Vec::with_capacity(1);
    for lot in lots.iter().take(SALE_LOTS_MAX) {
        let quantity = Quantity(lot.quantity.0.min(left));
        slices.push(Slice { lot: lot.id, quantity });
        left -= quantity.0;
        if left == 0 {
            break;
        }
    }
    slices
}

/// Removes a slice from its lot. Slices name the oldest lots, so the first lot is nearly always the one.
fn take(lots: &mut VecDeque<Lot>, slice: &Slice) {
    let Some(at) = lots.iter().position(|lot| lot.id == slice.lot) else {
        unreachable!("a sale row names a lot that the ledger put in");
    };
    lots[at].quantity.0 -= slice.quantity.0;
    if lots[at].quantity.0 == 0 {
        lots.remove(at);
    }
}

/// One piece of a market in a checkpoint. Persisted: append only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    /// 0: totals of a good, in catalogue order.
    Good {
        /// Name.
        name: String,
        /// Price.
        unit_price: Money,
        /// Initial goods.
        stocked: Quantity,
        /// Put in by sellers.
        deposited: Quantity,
        /// Taken by buyers.
        sold: Quantity,
        /// Last change.
        changed: Seq,
    },
    /// 1: a lot of the good that came last, oldest first.
    Lot(Lot),
    /// 2: a balance.
    Account(PeerId, Money),
    /// 3: a session's head.
    Session {
        /// Whose.
        peer: PeerId,
        /// Present epoch.
        epoch: Epoch,
        /// Present store.
        store: Hash,
    },
    /// 4: a window of the session that came last.
    Window {
        /// Whose.
        peer: PeerId,
        /// Of which epoch.
        epoch: Epoch,
        /// Lowest number kept.
        floor: u32,
        /// Numbers decided, ever.
        decided: u64,
    },
    /// 5: an outcome of the window that came last.
    Decided(Decided),
    /// 6: grants.
    Offices(Offices),
    /// 7: sequence, clock, generation.
    Head(Seq, Stamp, u64),
}

impl Fold for Market {
    type Record = Record;
    type Part = Part;
    const LOG: Tree = Tree::Ledger;

    fn apply(&mut self, seq: Seq, time: WallMicros, record: &Record) {
        self.apply_outcome(seq, time, record);
    }

    fn parts(&self) -> Vec<(Tree, Part)> {
        let mut parts = Vec::new();
        for shelf in &self.shelves {
            let Shelf { name, unit_price, stocked, deposited, sold, changed, .. } = shelf.clone();
            parts.push((Tree::Inventory, Part::Good { name, unit_price, stocked, deposited, sold, changed }));
            parts.extend(shelf.lots.iter().map(|lot| (Tree::Inventory, Part::Lot(*lot))));
        }
        parts.extend(
            self.accounts.iter().map(|(peer, balance)| (Tree::Accounts, Part::Account(*peer, *balance))),
        );
        for (&peer, session) in &self.sessions {
            parts.push((Tree::Sessions, Part::Session { peer, epoch: session.epoch, store: session.store }));
            for (&epoch, window) in &session.windows {
                let (floor, decided) = (window.floor(), window.decided());
                parts.push((Tree::Sessions, Part::Window { peer, epoch, floor, decided }));
                parts.extend(window.kept().map(|kept| (Tree::Sessions, Part::Decided(kept.clone()))));
            }
        }
        parts.push((Tree::Offices, Part::Offices(self.offices.clone())));
        parts.push((Tree::Offices, Part::Head(self.seq, self.clock, self.generation)));
        parts
    }

    fn restore(&mut self, part: Part) {
        match part {
            Part::Good { name, unit_price, stocked, deposited, sold, changed } => self.shelves.push(Shelf {
                name,
                unit_price,
                on_hand: Quantity(0),
                lots: VecDeque::new(),
                stocked,
                deposited,
                sold,
                changed,
            }),
            Part::Lot(lot) => {
                if let Some(shelf) = self.shelves.last_mut() {
                    shelf.on_hand.0 += lot.quantity.0;
                    shelf.lots.push_back(lot);
                }
            }
            Part::Account(peer, balance) => {
                self.accounts.insert(peer, balance);
            }
            Part::Session { peer, epoch, store } => {
                self.sessions.insert(peer, Session { epoch, store, windows: BTreeMap::new() });
            }
            Part::Window { peer, epoch, floor, decided } => {
                let windows = &mut self.sessions.entry(peer).or_default().windows;
                windows.insert(epoch, Window::restored(floor, decided));
            }
            Part::Decided(decided) => {
                let OrderId { peer, number } = decided.order.id;
                let windows = &mut self.sessions.entry(peer).or_default().windows;
                windows.entry(number.epoch()).or_default().restore_kept(number.k(), decided);
            }
            Part::Offices(offices) => self.offices = offices,
            Part::Head(seq, clock, generation) => {
                (self.seq, self.clock, self.generation) = (seq, clock, generation)
            }
        }
    }
}

impl Market {
    /// Takes a record in, and gives the outcome that it is for an order, if it is one.
    pub fn apply_outcome(&mut self, seq: Seq, time: WallMicros, record: &Record) -> Option<Outcome> {
        self.seq = seq;
        self.clock = self.clock.max(record.clock());
        match record {
            Record::Stocked { name, quantity, unit_price, .. } => {
                self.stock(seq, name, *quantity, *unit_price)
            }
            Record::Deposit(decision) => self.book_deposit(seq, &decision.order),
            Record::Sale { decision, unit_price, commission_percent, slices } => {
                self.book_sale(seq, decision, *unit_price, *commission_percent, slices);
            }
            Record::Session { peer, epoch, store, .. } => self.open(*peer, *epoch, *store),
            Record::Restored { generation, .. } => {
                self.generation = *generation;
                self.offices.apply(seq, record);
            }
            _ => self.offices.apply(seq, record),
        }
        let outcome = record.outcome(seq, time)?;
        debug_assert!(outcome.kind != OutcomeKind::Refused || outcome.reason.is_some());
        if let Some(decision) = record.decision() {
            self.remember(&decision.order, outcome.clone());
        }
        Some(outcome)
    }

    /// The number that a new client gets: one above the highest id, from 1001.
    pub fn next_client(&self) -> PeerId {
        let highest = self.sessions.keys().next_back().copied().unwrap_or(PeerId::PEER_MAX);
        PeerId(highest.max(PeerId::PEER_MAX).0 + 1)
    }

    /// The lowest number that a peer may still ask for, and the highest decided.
    pub fn numbers(&self, peer: PeerId) -> (Number, Number) {
        self.sessions
            .get(&peer)
            .map_or((Number(1), Number(0)), |session| (session.floor(), session.highest()))
    }
}

#[cfg(test)]
pub(in crate::model) mod tests;
