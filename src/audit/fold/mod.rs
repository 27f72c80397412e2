//! The auditor's own fold of a ledger and of a journal: small, separate from the nodes' machines, with checks built in.
//!
//! In: rows in their order. Out: state at that row, and an alarm for each broken invariant. It shares only records and
//! their decoding with what it audits, so that one mistake cannot hide in both.

mod frozen;
mod goods;
mod journal;
mod kept;
mod money;
mod offices;
mod own;
mod queue;
mod restores;
mod sequence;
mod sessions;

pub(crate) use goods::{Goods, Price};
pub(crate) use journal::{Answer, JournalFold};
pub(crate) use money::Accounts;
pub(crate) use offices::Offices;
pub(crate) use own::{Keep, Own, OwnOrder, Settled};
pub(crate) use queue::Queue;
pub(crate) use restores::Restores;
pub(crate) use sequence::Sequence;
pub(crate) use sessions::Sessions;

use super::{Alarms, Check, Example};
use serde::{Deserialize, Serialize};

use crate::model::catalogue::{Catalogue, Good};
use crate::model::row::{Outcome, Place, Record};

/// A ledger's state after some row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LedgerFold {
    /// Goods by product index.
    pub(crate) catalogue: Catalogue,
    /// Stock and lots.
    pub(crate) goods: Goods,
    /// Balances.
    pub(crate) accounts: Accounts,
    /// Sessions and the numbers decided in them.
    pub(crate) sessions: Sessions,
    /// Grants.
    pub(crate) offices: Offices,
    /// Order of rows, and clocks.
    pub(crate) sequence: Sequence,
    /// Where a backup was put in place of a lost store.
    pub(crate) restores: Restores,
}

impl LedgerFold {
    /// Takes one row in and raises an alarm for each invariant that it breaks. Gives the outcome that the row is, if it is one.
    pub(crate) fn apply(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) -> Option<Outcome> {
        let outcome = record.outcome(place.seq, place.time);
        if let Record::Stocked { name, unit_price, .. } = record {
            self.catalogue.0.push(Good { name: name.clone(), unit_price: *unit_price });
        }
        let overtaken = record.decision().is_some_and(|it| self.sequence.is_overtaken(&it.order));
        frozen::check(self, place, record, alarms);
        self.goods.apply(place, record, overtaken, alarms);
        self.accounts.apply(place, record, outcome.as_ref(), &self.catalogue, alarms);
        self.sessions.apply(place, record, alarms);
        self.offices.apply(place, record, alarms);
        if matches!(record, Record::Office { .. } | Record::Fence { .. }) {
            self.offices.forget_empty_handed(|term| self.goods.holds(term));
        }
        self.sequence.apply(place, record, alarms);
        self.restores.apply(place, record, alarms);
        unwritten(place, record, alarms);
        outcome
    }

    /// What holds for the whole and not for a single row.
    pub(crate) fn finish(&self, alarms: &mut Alarms) {
        self.accounts.finish(alarms);
    }
}

/// A kind that no node writes: whatever wrote it, its effect cannot be judged.
fn unwritten(place: &Place, record: &Record, alarms: &mut Alarms) {
    alarms.check(Check::Readable, !matches!(record, Record::Conflict(_)), || {
        Example::row(place, format!("a {} row, which no node of this version writes", record.kind()))
    });
}
