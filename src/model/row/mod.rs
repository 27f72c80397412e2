//! The ledger's records: one fact each, one row each in a dump.
//!
//! A record is a persisted contract. Variants are numbered by their place, appended and never moved or removed; the
//! test below pins the numbers. A record says all that its row shows but for the name of its good, which the catalogue
//! (the `stocked` rows) gives. The warehouse's state is the fold of these records: see [`super::market::Market`].

mod facts;
mod outcome;

pub(crate) use self::outcome::split;
pub use self::outcome::{Outcome, OutcomeKind, Share};

use serde::{Deserialize, Serialize};

use super::fold::{Counted, Stored};
use crate::types::{
    Batch, Consistency, Epoch, Generation, Hash, Money, Number, Office, Order, OrderId, PeerId, ProcessId,
    ProductId, PublicKey, Quantity, Seq, Stamp, Term, WallMicros,
};

/// Pieces taken from one lot. A lot is named by the order that deposited it; see [`initial_lot`] for the first ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The deposit that the pieces came in by; its peer is the seller.
    pub lot: OrderId,
    /// How many.
    pub quantity: Quantity,
}

/// The lot of a product's initial stock, which belongs to the warehouse.
pub fn initial_lot() -> OrderId {
    OrderId { peer: PeerId::WAREHOUSE, number: crate::types::Number(0) }
}

/// An order as decided: what was asked, when by the warehouse's clock, and under whose grant it was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The order, whole: asked again with other content it is refused.
    pub order: Order,
    /// The warehouse's Lamport clock.
    pub clock: Stamp,
    /// All of the product after this decision, allotted and frozen pieces included.
    pub stock_after: Quantity,
    /// The trader that settled it.
    pub trader: PeerId,
    /// Under which grant.
    pub term: Term,
    /// In which of its batches.
    pub batch: Batch,
}

/// Why an order was refused or voided. Codes are persisted: appended, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The peer gave the number up before it was decided.
    GivenUp,
    /// The order belongs to an epoch of the peer's store that was closed by a later one.
    Closed,
    /// The sale would fill from more lots than one sale may.
    TooManyLots,
    /// The deposit would bring the product above its limit of pieces, or of lots.
    StockFull,
    /// A higher number of its peer has traded in the same good before: a peer's rows of a good are by number.
    Overtaken,
}

impl Reason {
    /// All, in the order of their codes.
    pub(crate) const ALL: [Reason; 5] =
        [Reason::GivenUp, Reason::Closed, Reason::TooManyLots, Reason::StockFull, Reason::Overtaken];

    /// As printed and in rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reason::GivenUp => "given up",
            Reason::Closed => "closed",
            Reason::TooManyLots => "too many lots",
            Reason::StockFull => "stock full",
            Reason::Overtaken => "overtaken",
        }
    }
}

/// One fact of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// 0: initial goods. The n-th such record, from 0, makes product n.
    Stocked {
        /// The good's name.
        name: String,
        /// Pieces.
        quantity: Quantity,
        /// Posted price of one piece.
        unit_price: Money,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 1: a sell order put its lot in.
    Deposit(Decision),
    /// 2: a buy order was filled, wholly or partly.
    Sale {
        /// The order and its circumstances.
        decision: Decision,
        /// Posted price at the decision.
        unit_price: Money,
        /// The trader's share, in percent of each seller's gross, rounded down.
        commission_percent: u8,
        /// Where the pieces came from, oldest lot first.
        slices: Vec<Slice>,
    },
    /// 3: decided with nothing filled; without a reason: sold out.
    Refusal {
        /// The order and its circumstances.
        decision: Decision,
        /// Why, if it was not just sold out.
        reason: Option<Reason>,
    },
    /// 4: what was told of the order before cannot be booked, and is taken back: nothing is filled.
    Reversal(Decision),
    /// 5: the number was given up, or its epoch closed.
    Void {
        /// The order or the void itself, and its circumstances.
        decision: Decision,
        /// Which of the two.
        reason: Reason,
    },
    /// 6: a store opened its session. Of peer 0 it is the warehouse's own: what is signed with that key it has said.
    Session {
        /// The peer.
        peer: PeerId,
        /// Which of its stores.
        epoch: Epoch,
        /// BLAKE3 of the store's token.
        store: Hash,
        /// The public half of the store's key, if it has one. The warehouse's own row, of peer 0, always has it.
        key: Option<PublicKey>,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 7: a grant. The holder's other office, if any, is vacated by it.
    Office {
        /// Which post.
        office: Office,
        /// The peer that holds it from now on.
        trader: PeerId,
        /// The holder's process.
        process: ProcessId,
        /// The number of the grant.
        term: Term,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 8: a term ended; nothing is written under it any more.
    Fence {
        /// Which post it was.
        office: Office,
        /// The trader that held it.
        trader: PeerId,
        /// The term that ended.
        term: Term,
        /// On whose word: the other trader, the holder itself, a claimant, or the warehouse.
        by: PeerId,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 9: primary and secondary are partners.
    Paired {
        /// The primary.
        trader: PeerId,
        /// Its term.
        term: Term,
        /// The secondary.
        partner: PeerId,
        /// Its term.
        partner_term: Term,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 10: a backup was put in place of a lost store. Offices are vacant and sessions closed from here on.
    Restored {
        /// Its count is greater than any before it.
        generation: Generation,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 11 (reserved): slices set aside for a trader's term.
    Allotment {
        /// For whom.
        trader: PeerId,
        /// For which term.
        term: Term,
        /// Of which good.
        product: ProductId,
        /// What.
        slices: Vec<Slice>,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 12 (reserved): a sale of an ended term, reported by another store.
    Adopt {
        /// The order and its circumstances.
        decision: Decision,
        /// The term that decided it.
        of: Term,
        /// Posted price at the decision.
        unit_price: Money,
        /// The trader's share in percent.
        commission_percent: u8,
        /// What it sold.
        slices: Vec<Slice>,
    },
    /// 13 (reserved): all sales of an ended term are reported.
    Complete {
        /// The trader that reported.
        trader: PeerId,
        /// Under which term.
        term: Term,
        /// The term that is complete.
        of: Term,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 14 (reserved): a settlement that the warehouse could not book.
    Conflict(Decision),
    /// 15: when traders answer from here on. The terms before it are fenced in its block.
    Mode {
        /// Which way.
        mode: Consistency,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 16 (reserved): slices of an allotment that its trader gave back.
    Returned {
        /// By whom.
        trader: PeerId,
        /// Of which term.
        term: Term,
        /// Of which good.
        product: ProductId,
        /// What.
        slices: Vec<Slice>,
        /// The warehouse's clock.
        clock: Stamp,
    },
    /// 17 (reserved): the goods of an ended term are free again, and what its stores sold is lost.
    Released {
        /// The trader that held it.
        trader: PeerId,
        /// The term.
        term: Term,
        /// The warehouse's clock.
        clock: Stamp,
    },
}

impl Stored for Record {
    fn peer(&self) -> Option<PeerId> {
        match self {
            Record::Session { peer, .. } => Some(*peer),
            Record::Conflict(decision) => Some(decision.order.id.peer),
            _ => self.decision().map(|decision| decision.order.id.peer),
        }
    }

    fn counted(&self) -> Option<Counted> {
        let decided = self.decision().zip(self.outcome_kind());
        let decided = decided.map(|(decision, outcome)| (decision.order.kind, outcome));
        Some(Counted { row: self.kind_number(), decided })
    }

    fn orders(&self, seen: &mut dyn FnMut(PeerId, Number, Number)) {
        if let Some(OrderId { peer, number }) = self.order() {
            seen(peer, number, number);
        }
    }
}

impl Record {
    /// The warehouse's Lamport clock at the decision.
    pub(crate) fn clock(&self) -> Stamp {
        match self {
            Record::Stocked { clock, .. }
            | Record::Session { clock, .. }
            | Record::Office { clock, .. }
            | Record::Fence { clock, .. }
            | Record::Paired { clock, .. }
            | Record::Restored { clock, .. }
            | Record::Allotment { clock, .. }
            | Record::Complete { clock, .. }
            | Record::Mode { clock, .. }
            | Record::Returned { clock, .. }
            | Record::Released { clock, .. } => *clock,
            Record::Deposit(decision)
            | Record::Sale { decision, .. }
            | Record::Refusal { decision, .. }
            | Record::Reversal(decision)
            | Record::Void { decision, .. }
            | Record::Adopt { decision, .. }
            | Record::Conflict(decision) => decision.clock,
        }
    }

    /// The decided order, if the record is an order's outcome.
    pub(crate) fn decision(&self) -> Option<&Decision> {
        match self {
            Record::Deposit(decision)
            | Record::Sale { decision, .. }
            | Record::Refusal { decision, .. }
            | Record::Reversal(decision)
            | Record::Void { decision, .. }
            | Record::Adopt { decision, .. } => Some(decision),
            _ => None,
        }
    }
}

/// A record with its place: what a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The record's sequence.
    pub seq: Seq,
    /// The block's number, from 1.
    pub block: u64,
    /// Wall clock at the decision, stored in the block.
    pub time: WallMicros,
    /// Hash of the block.
    pub block_hash: Hash,
    /// Layout of the block: records of the first one show their epochs as they said them.
    pub version: u8,
}

impl Place {
    /// An epoch as its row shows it.
    pub(crate) fn epoch(&self, epoch: Epoch) -> u64 {
        if self.version == 1 { epoch.in_format_1() } else { epoch.0 }
    }
}
