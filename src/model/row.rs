//! The ledger's records: one fact each, one row each in a dump.
//!
//! A record is a persisted contract. Variants are numbered by their place, appended and never moved or removed; the
//! test below pins the numbers. A record says all that its row shows but for the name of its good, which the catalogue
//! (the `stocked` rows) gives. The warehouse's state is the fold of these records: see [`super::market::Market`].

use serde::{Deserialize, Serialize};

use crate::types::{
    Batch, Epoch, Hash, Money, Office, Order, OrderId, PeerId, ProcessId, ProductId, Quantity, Seq, Stamp,
    Term, WallMicros,
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
    /// The deposit would bring the product above its limit.
    StockFull,
}

impl Reason {
    /// All, in the order of their codes.
    pub(crate) const ALL: [Reason; 4] =
        [Reason::GivenUp, Reason::Closed, Reason::TooManyLots, Reason::StockFull];

    /// As printed and in rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reason::GivenUp => "given up",
            Reason::Closed => "closed",
            Reason::TooManyLots => "too many lots",
            Reason::StockFull => "stock full",
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
    /// 4 (reserved): a cached answer that could not be kept.
    Reversal(Decision),
    /// 5: the number was given up, or its epoch closed.
    Void {
        /// The order or the void itself, and its circumstances.
        decision: Decision,
        /// Which of the two.
        reason: Reason,
    },
    /// 6: a store opened its session.
    Session {
        /// The peer.
        peer: PeerId,
        /// Which of its stores, counted from 0.
        epoch: Epoch,
        /// BLAKE3 of the store's token.
        store: Hash,
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
        /// Greater than any before it, those of the lost part included: unix seconds of the restore.
        generation: u64,
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
}

impl Record {
    /// The row's `kind`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Record::Stocked { .. } => "stocked",
            Record::Deposit(_) => "deposit",
            Record::Sale { .. } => "sale",
            Record::Refusal { .. } => "refusal",
            Record::Reversal(_) => "reversal",
            Record::Void { .. } => "void",
            Record::Session { .. } => "session",
            Record::Office { .. } => "office",
            Record::Fence { .. } => "fence",
            Record::Paired { .. } => "paired",
            Record::Restored { .. } => "restored",
            Record::Allotment { .. } => "allotment",
            Record::Adopt { .. } => "adopt",
            Record::Complete { .. } => "complete",
            Record::Conflict(_) => "conflict",
        }
    }

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
            | Record::Complete { clock, .. } => *clock,
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
}

/// What a seller gets of one sale, net of commission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The seller; 0 is the warehouse's own stock.
    pub peer: PeerId,
    /// Pieces sold of theirs.
    pub quantity: Quantity,
    /// What they are paid.
    pub amount: Money,
}

/// How a sale's money divides. `amount` = sum of the shares + `commission`, to the minor unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// What the buyer pays: pieces times unit price.
    pub amount: Money,
    /// What the trader keeps.
    pub commission: Money,
    /// One share per seller, in the order of their first lot.
    pub shares: Vec<Share>,
}

/// Divides a sale: pieces are summed per seller, and the commission is taken of each seller's gross, rounded down to
/// a minor unit, so that a rest stays with the seller.
pub(crate) fn split(unit_price: Money, commission_percent: u8, slices: &[Slice]) -> Split {
    let mut shares: Vec<Share> = Vec::with_capacity(1);
    for slice in slices {
        match shares.iter_mut().find(|share| share.peer == slice.lot.peer) {
            Some(share) => share.quantity.0 += slice.quantity.0,
            None => shares.push(Share { peer: slice.lot.peer, quantity: slice.quantity, amount: Money(0) }),
        }
    }
    let (mut amount, mut commission) = (Money(0), Money(0));
    for share in &mut shares {
        let gross = unit_price * share.quantity;
        let kept = gross.percent(commission_percent);
        share.amount = gross - kept;
        amount += gross;
        commission += kept;
    }
    Split { amount, commission, shares }
}

/// What became of an order, as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcomeKind {
    /// All pieces.
    Bought,
    /// Some of the pieces; the order allowed it.
    PartlyBought,
    /// The lot is in.
    Deposited,
    /// Not enough left.
    SoldOut,
    /// Decided against, with a reason.
    Refused,
    /// A cached answer taken back.
    Reversed,
    /// Given up, or of a closed epoch.
    Voided,
}

impl OutcomeKind {
    /// As printed and in rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            OutcomeKind::Bought => "bought",
            OutcomeKind::PartlyBought => "partly_bought",
            OutcomeKind::Deposited => "deposited",
            OutcomeKind::SoldOut => "sold_out",
            OutcomeKind::Refused => "refused",
            OutcomeKind::Reversed => "reversed",
            OutcomeKind::Voided => "voided",
        }
    }
}

/// An order's outcome as it is told: a function of its record and place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which order.
    pub id: OrderId,
    /// What became of it.
    pub kind: OutcomeKind,
    /// Why, for refused and voided.
    pub reason: Option<Reason>,
    /// Pieces bought or deposited.
    pub filled: Quantity,
    /// What the buyer pays; 0 for a deposit.
    pub amount: Money,
    /// What each seller gets.
    pub shares: Vec<Share>,
    /// What is left of the product.
    pub stock_after: Quantity,
    /// Its row.
    pub seq: Seq,
    /// When it was decided.
    pub time: WallMicros,
    /// The trader that settled it.
    pub trader: PeerId,
    /// It had been decided before this was asked. Not part of the recorded fact.
    #[serde(skip)]
    pub repeated: bool,
}

impl Record {
    /// The outcome that this record is, if it is one.
    pub fn outcome(&self, seq: Seq, time: WallMicros) -> Option<Outcome> {
        let decision = self.decision()?;
        let (kind, reason, split) = match self {
            Record::Deposit(_) => (OutcomeKind::Deposited, None, None),
            Record::Sale { unit_price, commission_percent, slices, .. }
            | Record::Adopt { unit_price, commission_percent, slices, .. } => {
                let filled: u64 = slices.iter().map(|slice| slice.quantity.0).sum();
                let whole = filled == decision.order.quantity.0;
                let kind = if whole { OutcomeKind::Bought } else { OutcomeKind::PartlyBought };
                (kind, None, Some((Quantity(filled), split(*unit_price, *commission_percent, slices))))
            }
            Record::Refusal { reason: None, .. } => (OutcomeKind::SoldOut, None, None),
            Record::Refusal { reason, .. } => (OutcomeKind::Refused, *reason, None),
            Record::Reversal(_) => (OutcomeKind::Reversed, None, None),
            Record::Void { reason, .. } => (OutcomeKind::Voided, Some(*reason), None),
            _ => return None,
        };
        let deposited = if kind == OutcomeKind::Deposited { decision.order.quantity } else { Quantity(0) };
        let (filled, split) = match split {
            Some((filled, split)) => (filled, split),
            None => (deposited, Split { amount: Money(0), commission: Money(0), shares: Vec::new() }),
        };
        Some(Outcome {
            id: decision.order.id,
            kind,
            reason,
            filled,
            amount: split.amount,
            shares: split.shares,
            stock_after: decision.stock_after,
            seq,
            time,
            trader: decision.trader,
            repeated: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Number;

    fn slice(peer: u32, number: u64, quantity: u64) -> Slice {
        let lot = OrderId { peer: PeerId(peer), number: Number(number) };
        Slice { lot, quantity: Quantity(quantity) }
    }

    #[test]
    fn a_sale_splits_to_the_minor_unit() {
        let split = split(Money(133), 5, &[slice(2, 1, 1), slice(3, 1, 2), slice(2, 2, 1)]);
        assert_eq!(split.amount, Money(532));
        assert_eq!(split.shares.len(), 2);
        assert_eq!(split.shares[0].amount, Money(266 - 13));
        let paid: Money = split.shares.iter().map(|share| share.amount).sum();
        assert_eq!(paid + split.commission, split.amount);
    }
}
