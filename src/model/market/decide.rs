//! What becomes of an order. The state is read and not changed.
//!
//! In: an order, and under whose grant it is decided. Out: a [`Verdict`], whose variants stand in the order of the checks.

use std::collections::VecDeque;

use super::{Lot, Market, Shelf};
use crate::limits::{QUANTITY_MAX, SALE_LOTS_MAX, STOCK_MAX};
use crate::model::row::{Decision, Outcome, Reason, Record, Slice};
use crate::model::session::{Standing, is_lost, same_content};
use crate::model::tentative::{Draw, Tentative};
use crate::types::{Batch, Money, Order, OrderKind, PeerId, Quantity, Stamp, Term};

/// The grant under which an order is decided, and the terms of trade.
#[derive(Clone, Copy, Debug)]
pub struct Settling {
    /// The trader that settles.
    pub trader: PeerId,
    /// The number of its grant.
    pub term: Term,
    /// The batch that the order came in, counted within the grant.
    pub batch: Batch,
    /// The warehouse's clock for this decision.
    pub clock: Stamp,
    /// The trader's share in percent.
    pub commission_percent: u8,
    /// What its peer was told of the order before. That is booked, or taken back.
    pub told: Option<Tentative>,
}

/// Why an order was not taken. Its number stays open; this is never an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotTaken {
    /// The receiver's queue or window is full, or it is closing.
    #[error("busy; asking again later is safe")]
    Busy,
    /// The receiver does not decide for this peer.
    #[error("not this peer's home")]
    NotHome,
    /// The number is below the floor: only the peer's own journal has the outcome.
    #[error("decided long ago; only the peer's own journal has the outcome")]
    Stale,
    /// The order id was used for other content.
    #[error("this order number was used for another order")]
    OtherContent,
    /// The number is 0, or too far above one that is still undecided.
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
    /// Others have goods that must come back first, or must report what they sold.
    Waits,
}

impl Market {
    /// Says what becomes of an order if it is decided now. Changes nothing.
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
        // Of a void, too: its row has to be one that the audit can read.
        if order.quantity.0 > QUANTITY_MAX {
            return Verdict::NotTaken(NotTaken::Quantity);
        }
        let told = by.told.filter(|_| order.kind != OrderKind::Void);
        let told = told.and_then(|told| self.heeded(told, by.term));
        match window.map_or(Standing::Open, |window| window.standing(number.k())) {
            Standing::Stale => Verdict::NotTaken(NotTaken::Stale),
            Standing::Decided(found) if same_content(&found.order, order) => {
                Verdict::Known(found.outcome.clone())
            }
            Standing::Decided(_) => Verdict::NotTaken(NotTaken::OtherContent),
            // The numbers below it were decided in the part of the ledger that is lost.
            Standing::TooFar if lost => self.void(order, by, Reason::Closed),
            Standing::TooFar => Verdict::NotTaken(NotTaken::Window),
            Standing::Open if lost => self.void(order, by, Reason::Closed),
            // What was told is done, though the store that was told is gone.
            Standing::Open if closed && told.is_none() && self.any_frozen() => Verdict::Waits,
            Standing::Open if closed && told.is_none() => self.void(order, by, Reason::Closed),
            Standing::Open => {
                let overtaken = window.is_some_and(|it| it.is_overtaken(number.k(), order.product));
                self.decide_open(order, by, told, overtaken)
            }
        }
    }

    /// The number is undecided, and may be decided now.
    fn decide_open(&self, order: &Order, by: &Settling, told: Option<Tentative>, overtaken: bool) -> Verdict {
        if let Some((filled, draw)) = told.and_then(|it| Some((it.filled, it.draw?))) {
            return self.as_drawn(order, by, filled, draw);
        }
        if self.must_wait(order) {
            return Verdict::Waits;
        }
        if order.kind == OrderKind::Void {
            return self.void(order, by, Reason::GivenUp);
        }
        match told.map(|it| it.filled).filter(|told| !overtaken || told.0 > 0) {
            None if overtaken => self.void(order, by, Reason::Overtaken),
            None => self.trade(order, by),
            Some(told) => self.as_told(order, by, told, overtaken),
        }
    }

    /// What counts of what was told. An answer of a term that has reported all that it told was told nobody. One of a term
    /// whose report was given up counts like an answer from a cache.
    fn heeded(&self, told: Tentative, by: Term) -> Option<Tentative> {
        match told.draw {
            None => Some(told).filter(|_| self.was_cached),
            // Who brings what another trader is deciding now has made it up.
            Some(draw) if self.offices.present(draw.term).is_some() && draw.term != by => None,
            Some(draw) if self.holder(draw.term).is_some() => Some(told),
            Some(draw) => self.is_released(draw.term).then_some(Tentative { draw: None, ..told }),
        }
    }

    /// Another row of what an ended term may have taken in would take its pieces away from what it sold of them. What a
    /// void says of goods counts for nothing.
    fn must_wait(&self, order: &Order) -> bool {
        match order.kind {
            OrderKind::Buy { .. } => false,
            OrderKind::Void => self.any_frozen(),
            OrderKind::Sell => {
                self.shelves.get(usize::from(order.product.0)).is_some_and(|shelf| self.is_frozen(shelf))
            }
        }
    }

    fn any_frozen(&self) -> bool {
        !self.holders.is_empty() && self.frozen().next().is_some()
    }

    /// A trader has decided it, from what was set aside for its term: exactly that is booked. Of an ended term its report
    /// says so, in the order of its decisions, and nobody else.
    fn as_drawn(&self, order: &Order, by: &Settling, told: Quantity, draw: Draw) -> Verdict {
        let (Some(shelf), Some(holder)) =
            (self.shelves.get(usize::from(order.product.0)), self.holder(draw.term))
        else {
            return Verdict::NotTaken(NotTaken::UnknownProduct);
        };
        let (trader, of, ended) = (holder.trader.0, draw.term, self.offices.present(draw.term).is_none());
        if told.0 == 0 {
            return Verdict::NotTaken(NotTaken::Quantity);
        }
        if ended && by.term != of {
            return Verdict::Waits;
        }
        let by = Settling { trader, term: of, batch: Batch::of_decision(draw.nth), ..*by };
        let here = decision(order, &by, shelf.on_hand);
        if !(Tentative { id: order.id, filled: told, draw: Some(draw) }).fits(order) {
            return Verdict::New(Record::Reversal(here));
        }
        let (unit_price, commission_percent) = (shelf.unit_price, by.commission_percent);
        if order.kind == OrderKind::Sell {
            let decision = decision(order, &by, Quantity(shelf.on_hand.0 + told.0));
            let (unit_price, slices) = (Money(0), Vec::new());
            return Verdict::New(match ended {
                true => Record::Adopt { decision, of, unit_price, commission_percent, slices },
                false => Record::Deposit(decision),
            });
        }
        let slices =
            shelf.held.get(&of).map_or_else(Vec::new, |held| fill(&held.lots, told.0, SALE_LOTS_MAX));
        if pieces(&slices) < told.0 {
            return if ended { Verdict::Waits } else { Verdict::New(Record::Reversal(here)) };
        }
        let decision = decision(order, &by, Quantity(shelf.on_hand.0 - told.0));
        Verdict::New(match ended {
            true => Record::Adopt { decision, of, unit_price, commission_percent, slices },
            false => Record::Sale { decision, unit_price, commission_percent, slices },
        })
    }

    /// Its peer was told already: exactly that is booked. What cannot be booked is taken back, and moves nothing.
    fn as_told(&self, order: &Order, by: &Settling, told: Quantity, overtaken: bool) -> Verdict {
        let Some(shelf) = self.shelves.get(order.product.0 as usize) else {
            return Verdict::NotTaken(NotTaken::UnknownProduct);
        };
        let here = decision(order, by, shelf.on_hand);
        let record = match order.kind {
            _ if overtaken && told.0 > 0 => None,
            OrderKind::Sell if told != order.quantity => None,
            OrderKind::Sell | OrderKind::Void => {
                Some(deposit(shelf, order, by, self.lots_max())).filter(|it| matches!(it, Record::Deposit(_)))
            }
            OrderKind::Buy { .. } if told.0 == 0 => Some(Record::Refusal { decision: here, reason: None }),
            OrderKind::Buy { .. } => sold(shelf, order, by, told.0),
        };
        Verdict::New(record.unwrap_or(Record::Reversal(here)))
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
        if order.quantity.0 == 0 {
            return Verdict::NotTaken(NotTaken::Quantity);
        }
        Verdict::New(match order.kind {
            OrderKind::Buy { .. } if !shelf.held.is_empty() && shelf.free() < order.quantity.0 => {
                return Verdict::Waits;
            }
            OrderKind::Buy { partial } => sale(shelf, order, by, partial),
            OrderKind::Sell | OrderKind::Void => deposit(shelf, order, by, self.lots_max()),
        })
    }
}

fn decision(order: &Order, by: &Settling, stock_after: Quantity) -> Decision {
    let Settling { trader, term, batch, clock, .. } = *by;
    Decision { order: *order, clock, stock_after, trader, term, batch }
}

fn deposit(shelf: &Shelf, order: &Order, by: &Settling, lots_max: usize) -> Record {
    let after = shelf.on_hand.0 + order.quantity.0;
    // What nobody buys must not fill memory and each checkpoint with lots.
    if after > STOCK_MAX || shelf.lot_count() >= lots_max {
        return Record::Refusal {
            decision: decision(order, by, shelf.on_hand),
            reason: Some(Reason::StockFull),
        };
    }
    Record::Deposit(decision(order, by, Quantity(after)))
}

fn sale(shelf: &Shelf, order: &Order, by: &Settling, partial: bool) -> Record {
    let wanted = order.quantity.0;
    let free = shelf.free();
    if free == 0 || (free < wanted && !partial) {
        return Record::Refusal { decision: decision(order, by, shelf.on_hand), reason: None };
    }
    let slices = fill(&shelf.lots, wanted, SALE_LOTS_MAX);
    if pieces(&slices) < wanted && !partial {
        let reason = Some(Reason::TooManyLots);
        return Record::Refusal { decision: decision(order, by, shelf.on_hand), reason };
    }
    sale_of(shelf, order, by, slices)
}

/// A sale of exactly so many pieces, if they are there in few enough lots.
fn sold(shelf: &Shelf, order: &Order, by: &Settling, told: u64) -> Option<Record> {
    let slices = fill(&shelf.lots, told, SALE_LOTS_MAX);
    let fits = Tentative { id: order.id, filled: Quantity(told), draw: None }.fits(order);
    (fits && pieces(&slices) == told).then(|| sale_of(shelf, order, by, slices))
}

fn pieces(slices: &[Slice]) -> u64 {
    slices.iter().map(|slice| slice.quantity.0).sum()
}

fn sale_of(shelf: &Shelf, order: &Order, by: &Settling, slices: Vec<Slice>) -> Record {
    let decision = decision(order, by, Quantity(shelf.on_hand.0 - pieces(&slices)));
    Record::Sale { decision, unit_price: shelf.unit_price, commission_percent: by.commission_percent, slices }
}

/// Slices of the oldest lots that make up `wanted` pieces, or as many as so many lots hold.
pub(super) fn fill(lots: &VecDeque<Lot>, wanted: u64, most: usize) -> Vec<Slice> {
    let mut left = wanted;
    let mut slices = Vec::with_capacity(1);
    for lot in lots.iter().take(if wanted == 0 { 0 } else { most }) {
        let quantity = Quantity(lot.quantity.0.min(left));
        slices.push(Slice { lot: lot.id, quantity });
        left -= quantity.0;
        if left == 0 {
            break;
        }
    }
    slices
}
