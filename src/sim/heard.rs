//! What shoppers were told in a run, and that it is what was done.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Failure, Told, told_is_done};
use crate::model::row::{Outcome, OutcomeKind};
use crate::model::tentative::{Tentative, agrees};
use crate::types::{Generation, OrderId, PeerId, Seq, Term, node_name};

/// An answer that came before its order was settled.
pub(super) struct ToldEarly {
    pub peer: PeerId,
    pub answer: Tentative,
    /// Of the ledger, as the peer knew it then.
    pub generation: Generation,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) told: Vec<Told>,
    early: Vec<ToldEarly>,
    of: BTreeSet<OrderId>,
}

impl Heard {
    /// A shopper was told an outcome; whether it was told of that order before.
    pub(super) fn told(&mut self, told: Told) -> bool {
        let again = !self.of.insert(told.order.id);
        self.told.push(told);
        again
    }

    /// Somebody who is no node was told.
    pub(super) fn told_all(&mut self, told: Vec<Told>) {
        self.told.extend(told);
    }

    /// A shopper was told before its order was settled.
    pub(super) fn told_early(&mut self, early: ToldEarly) {
        self.early.push(early);
    }

    /// Whatever was told is what the ledger has; what was told early is so, or was taken back. What a restore lost is not
    /// there any more, and a store that was put back to an older copy may have forgotten what it was told.
    pub(super) fn is_done(
        &self,
        done: &BTreeMap<OrderId, Outcome>,
        is_lost: impl Fn(Generation, Seq) -> bool,
        is_forgotten: impl Fn(OrderId) -> bool,
        is_released: impl Fn(Term) -> bool,
    ) -> Result<(), Failure> {
        told_is_done(&self.told, done, &is_lost)?;
        for ToldEarly { peer, answer: Tentative { id, filled, draw }, generation } in &self.early {
            let row = done.get(id);
            let firm = draw.is_some_and(|draw| !is_released(draw.term));
            let holds = |row: &Outcome| agrees(*filled, row.kind, row.filled);
            let kept = row.is_some_and(|row| holds(row) && !(firm && row.kind == OutcomeKind::Reversed));
            if kept || is_lost(*generation, Seq(u64::MAX)) || is_forgotten(*id) {
                continue;
            }
            let row = row.map_or("nothing".to_owned(), |row| format!("{} {}", row.kind.name(), row.filled));
            let why = format!("{} was told early of {filled} pieces of order {id}: {row}", node_name(*peer));
            return Err(Failure::new("told", why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::row::{Decision, Record};
    use crate::types::{Batch, Number, Order, OrderKind, ProductId, Quantity, Stamp, WallMicros};

    #[test]
    fn what_is_told_early_binds() {
        let id = OrderId { peer: PeerId(4), number: Number(1) };
        let (stamp, kind, product, quantity) = (Stamp(1), OrderKind::Sell, ProductId(0), Quantity(5));
        let order = Order { id, stamp, kind, product, quantity };
        let (clock, term, batch) = (Stamp(1), Term(1), Batch(1));
        let deposit = Decision { order, clock, stock_after: order.quantity, trader: PeerId(6), term, batch };
        let outcome = Record::Deposit(deposit).outcome(Seq(9), WallMicros(1)).unwrap();
        let done = BTreeMap::from([(order.id, outcome)]);
        let check = |filled, lost, forgotten| {
            let mut heard = Heard::default();
            let answer = Tentative { id: order.id, filled: Quantity(filled), draw: None };
            heard.told_early(ToldEarly { peer: order.id.peer, answer, generation: Generation::default() });
            heard.is_done(&done, |_, _| lost, |_| forgotten, |_| false).map_err(|failure| failure.check)
        };
        let filled = order.quantity.0;
        assert_eq!(check(filled, false, false), Ok(()));
        assert_eq!(check(filled + 1, false, false), Err("told"));
        assert_eq!([check(filled + 1, true, false), check(filled + 1, false, true)], [Ok(()), Ok(())]);
    }
}
