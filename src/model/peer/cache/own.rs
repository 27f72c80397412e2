//! What a trader has told of one product, as far as the pushed level does not show it yet.

use std::collections::BTreeMap;

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
            self.behind.insert(outcome.seq, pieces);
            self.sum += pieces;
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
