//! Money: V08, every sale balances and all accounts sum to zero. The division is computed here anew.

use std::collections::BTreeMap;

use crate::audit::{Alarms, Check, Example};
use crate::model::catalogue::Catalogue;
use crate::model::row::{Place, Record, Slice};
use crate::types::{Money, PeerId};

/// What one peer paid and got, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// For what it bought.
    pub(crate) paid: i64,
    /// For what was sold of its lots.
    pub(crate) received: i64,
    /// For settling.
    pub(crate) commission: i64,
}

impl Account {
    /// received + commission - paid.
    pub(crate) fn balance(&self) -> i64 {
        self.received + self.commission - self.paid
    }
}

/// All accounts, by peer; 0 is the warehouse's, for its initial stock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts(pub(crate) BTreeMap<PeerId, Account>);

impl Accounts {
    pub(super) fn apply(
        &mut self,
        place: &Place,
        record: &Record,
        catalogue: &Catalogue,
        alarms: &mut Alarms,
    ) {
        let Record::Sale { decision, unit_price, commission_percent, slices } = record else { return };
        let posted = catalogue.0.get(usize::from(decision.order.product.0)).map(|good| good.unit_price);
        alarms.check(Check::Money, posted == Some(*unit_price), || {
            let posted = posted.map_or("no price".into(), |price| price.to_string());
            Example::row(place, format!("sold at {unit_price}, posted is {posted}"))
        });
        let gross = gross(*unit_price, slices);
        let (mut amount, mut commission) = (0, 0);
        for (seller, gross) in &gross {
            let kept = gross * i64::from(*commission_percent) / 100;
            self.account(*seller).received += gross - kept;
            amount += gross;
            commission += kept;
        }
        self.account(decision.order.id.peer).paid += amount;
        self.account(decision.trader).commission += commission;
        let balances = told_balances(place, record, amount, commission, &gross);
        alarms.check(Check::Money, balances, || {
            Example::row(place, "the buyer pays other than sellers and trader get")
        });
    }

    pub(super) fn finish(&self, alarms: &mut Alarms) {
        let sum: i64 = self.0.values().map(Account::balance).sum();
        alarms.check(Check::Money, sum == 0, || {
            let what = format!("all accounts together are {}, not 0", Money(sum));
            Example::shown(what, "accounts".into())
        });
    }

    fn account(&mut self, peer: PeerId) -> &mut Account {
        self.0.entry(peer).or_default()
    }
}

fn gross(unit_price: Money, slices: &[Slice]) -> BTreeMap<PeerId, i64> {
    let mut gross = BTreeMap::new();
    for slice in slices {
        *gross.entry(slice.lot.peer).or_default() += unit_price.0 * slice.quantity.0 as i64;
    }
    gross
}

/// What the buyer is told, and each seller's share, are these figures.
fn told_balances(
    place: &Place,
    record: &Record,
    amount: i64,
    commission: i64,
    gross: &BTreeMap<PeerId, i64>,
) -> bool {
    let Some(outcome) = record.outcome(place.seq, place.time) else { return false };
    let shares: i64 = outcome.shares.iter().map(|share| share.amount.0).sum();
    let sellers_agree = outcome.shares.len() == gross.len()
        && outcome
            .shares
            .iter()
            .all(|share| gross.get(&share.peer).is_some_and(|gross| share.amount.0 <= *gross));
    outcome.amount.0 == amount && shares + commission == amount && sellers_agree
}
