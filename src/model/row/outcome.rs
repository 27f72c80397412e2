//! What became of an order, as a function of its record: the outcome that is told, and how a sale's money divides.

use serde::{Deserialize, Serialize};

use super::{Reason, Record, Slice};
use crate::types::{Money, OrderId, OrderKind, PeerId, Quantity, Seq, WallMicros};

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
    /// How many there are.
    pub(crate) const COUNT: usize = 7;

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

fn pieces(slices: &[Slice]) -> Quantity {
    Quantity(slices.iter().map(|slice| slice.quantity.0).sum())
}

impl Record {
    /// What becomes of the order that the record decides, if it decides one.
    pub(crate) fn outcome_kind(&self) -> Option<OutcomeKind> {
        Some(match self {
            Record::Deposit(_) => OutcomeKind::Deposited,
            Record::Adopt { decision, .. } if decision.order.kind == OrderKind::Sell => {
                OutcomeKind::Deposited
            }
            Record::Sale { decision, slices, .. } | Record::Adopt { decision, slices, .. } => {
                let whole = pieces(slices) == decision.order.quantity;
                if whole { OutcomeKind::Bought } else { OutcomeKind::PartlyBought }
            }
            Record::Refusal { reason: None, .. } => OutcomeKind::SoldOut,
            Record::Refusal { .. } => OutcomeKind::Refused,
            Record::Reversal(_) => OutcomeKind::Reversed,
            Record::Void { .. } => OutcomeKind::Voided,
            _ => return None,
        })
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Record::Refusal { reason, .. } => *reason,
            Record::Void { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// The outcome that this record is, if it is one.
    pub fn outcome(&self, seq: Seq, time: WallMicros) -> Option<Outcome> {
        let (decision, kind, reason) = (self.decision()?, self.outcome_kind()?, self.reason());
        let nothing = || Split { amount: Money(0), commission: Money(0), shares: Vec::new() };
        let (filled, split) = match self {
            _ if kind == OutcomeKind::Deposited => (decision.order.quantity, nothing()),
            Record::Sale { unit_price, commission_percent, slices, .. }
            | Record::Adopt { unit_price, commission_percent, slices, .. } => {
                (pieces(slices), split(*unit_price, *commission_percent, slices))
            }
            _ => (Quantity(0), nothing()),
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
    use crate::model::market::tests::order;
    use crate::model::row::Decision;
    use crate::types::{Batch, Number, OrderKind, Stamp, Term};

    fn slice(peer: u32, number: u64, quantity: u64) -> Slice {
        let lot = OrderId { peer: PeerId(peer), number: Number(number) };
        Slice { lot, quantity: Quantity(quantity) }
    }

    /// What was brought, sold, or neither.
    #[test]
    fn only_a_deposit_and_a_sale_fill_an_order() {
        let order = order(5, 1, OrderKind::Sell, 2, 7);
        let (trader, term) = (PeerId(6), Term(3));
        let (clock, stock_after, batch) = (Stamp(9), Quantity(0), Batch(1));
        let decision = Decision { order, clock, stock_after, trader, term, batch };
        for (record, kind, filled) in [
            (Record::Deposit(decision), OutcomeKind::Deposited, 7),
            (Record::Reversal(decision), OutcomeKind::Reversed, 0),
            (Record::Void { decision, reason: Reason::GivenUp }, OutcomeKind::Voided, 0),
        ] {
            let outcome = record.outcome(Seq(1), WallMicros(1)).unwrap();
            assert_eq!((outcome.kind, outcome.filled), (kind, Quantity(filled)));
        }
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
