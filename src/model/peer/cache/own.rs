//! What a trader has told of one product, as far as the pushed level does not show it yet.

use std::collections::BTreeMap;

use crate::limits::CACHE_BEHIND_MAX;
use crate::model::row::{Outcome, OutcomeKind};
use crate::types::{OrderId, Seq};

/// See the module's text. The sum is kept, so that an answer costs the same however much is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// Told and not settled: pieces, less than 0 if they were sold.
    unsettled: BTreeMap<OrderId, i64>,
    /// Settled by rows behind the pushed level, by row.
    behind: BTreeMap<Seq, i64>,
    sum: i64,
}

impl Own {
    /// What is to be added to the pushed level.
    pub(super) fn sum(&self) -> i64 {
        self.sum
    }

    pub(super) fn told(&mut self, id: OrderId, pieces: i64) {
        self.left(id);
        self.unsettled.insert(id, pieces);
        self.sum += pieces;
    }

    pub(super) fn left(&mut self, id: OrderId) {
        self.sum -= self.unsettled.remove(&id).unwrap_or_default();
    }

    /// What an order did to the stock counts until a push shows its row. Of an order of which nothing was told nothing is
    /// counted: the next push shows it, and it was answered after it was settled.
    pub(super) fn settled(&mut self, outcome: &Outcome, shown: Seq) {
        if !self.unsettled.contains_key(&outcome.id) {
            return;
        }
        self.left(outcome.id);
        let pieces = moved(outcome);
        if outcome.seq > shown && pieces != 0 {
            *self.behind.entry(outcome.seq).or_default() += pieces;
            self.sum += pieces;
        }
        // No push comes: the last ones count together, until one shows all of them.
        if self.behind.len() > CACHE_BEHIND_MAX
            && let Some((last, pieces)) = self.behind.pop_last()
            && let Some((_, before)) = self.behind.pop_last()
        {
            self.behind.insert(last, pieces + before);
        }
    }

    /// The pushed level is of this row now.
    pub(super) fn pushed(&mut self, seq: Seq) {
        let behind = self.behind.split_off(&seq.next());
        self.sum -= std::mem::replace(&mut self.behind, behind).values().sum::<i64>();
    }
}

/// How an outcome changed the stock.
fn moved(outcome: &Outcome) -> i64 {
    let pieces = outcome.filled.0.min(i64::MAX as u64) as i64;
    match outcome.kind {
        OutcomeKind::Deposited => pieces,
        OutcomeKind::Bought | OutcomeKind::PartlyBought => -pieces,
        OutcomeKind::SoldOut | OutcomeKind::Refused | OutcomeKind::Reversed | OutcomeKind::Voided => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::peer::testing::{deposited, order};
    use crate::types::Quantity;

    fn sold(k: u32, pieces: u64, seq: u64) -> Outcome {
        let (kind, filled) = (OutcomeKind::Bought, Quantity(pieces));
        Outcome { kind, filled, seq: Seq(seq), ..deposited(&order(10, k)) }
    }

    proptest! {
        /// The sum is that over what is told and not shown, whatever comes in which order.
        #[test]
        fn the_sum_is_kept(steps in proptest::collection::vec((0u8..4, 1u32..20, 1u64..5, 1u64..40), 1..200)) {
            let (mut own, mut shown) = (Own::default(), Seq(0));
            for (what, k, pieces, seq) in steps {
                match what {
                    0 => own.told(order(10, k).id, -(pieces as i64)),
                    1 => own.settled(&sold(k, pieces, seq), shown),
                    2 => own.left(order(10, k).id),
                    _ => {
                        shown = shown.max(Seq(seq));
                        own.pushed(shown);
                    }
                }
                let all = own.unsettled.values().chain(own.behind.values()).sum::<i64>();
                prop_assert_eq!(own.sum(), all);
                prop_assert!(own.behind.keys().all(|seq| *seq > shown));
            }
        }
    }

    #[test]
    fn what_no_push_shows_has_a_bound() {
        let mut own = Own::default();
        let sales = CACHE_BEHIND_MAX as u32 + 100;
        for k in 1..=sales {
            own.told(order(10, k).id, -1);
            own.settled(&sold(k, 1, u64::from(k)), Seq(0));
        }
        assert_eq!((own.behind.len(), own.sum()), (CACHE_BEHIND_MAX, -i64::from(sales)));
        own.pushed(Seq(u64::from(sales)));
        assert_eq!(own.sum(), 0);
    }
}
