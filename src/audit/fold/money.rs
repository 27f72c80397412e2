//! Money: V08, every sale balances and all accounts sum to zero. The division is computed here anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::audit::{Alarms, Check, Example};
use crate::model::catalogue::Catalogue;
use crate::model::row::{Outcome, Place, Record, Slice};
use crate::types::{Money, PeerId};

/// What one peer paid and got, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Accounts(pub(crate) BTreeMap<PeerId, Account>);

impl Accounts {
    pub(super) fn apply(
        &mut self,
        place: &Place,
        record: &Record,
        outcome: Option<&Outcome>,
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
        let balances = outcome.is_some_and(|outcome| told_balances(outcome, amount, commission, &gross));
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

/// By seller: mostly one.
fn gross(unit_price: Money, slices: &[Slice]) -> Vec<(PeerId, i64)> {
    let mut gross: Vec<(PeerId, i64)> = Vec::new();
    for slice in slices {
        let (seller, price) = (slice.lot.peer, unit_price.0 * slice.quantity.0 as i64);
        match gross.iter_mut().find(|(peer, _)| *peer == seller) {
            Some((_, sum)) => *sum += price,
            None => gross.push((seller, price)),
        }
    }
    gross
}

/// What the buyer is told, and each seller's share, are these figures.
fn told_balances(outcome: &Outcome, amount: i64, commission: i64, gross: &[(PeerId, i64)]) -> bool {
    let shares: i64 = outcome.shares.iter().map(|share| share.amount.0).sum();
    let sellers_agree = outcome.shares.len() == gross.len()
        && outcome
            .shares
            .iter()
            .all(|share| gross.iter().any(|(peer, gross)| *peer == share.peer && share.amount.0 <= *gross));
    outcome.amount.0 == amount && shares + commission == amount && sellers_agree
}
