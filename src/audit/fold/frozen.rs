//! Goods of a term that ended (V01): until all that it had sold is known nothing is put in or set aside of them but by
//! its report, and no number is given up: that may be of a deposit whose pieces the term has sold.

use super::LedgerFold;
use crate::audit::{Alarms, Check, Example};
use crate::model::row::{Decision, Place, Reason, Record};
use crate::types::{OrderKind, ProductId};

/// Looks at a row before it is taken in.
pub(super) fn check(fold: &LedgerFold, place: &Place, record: &Record, alarms: &mut Alarms) {
    let may = match record {
        Record::Deposit(decision) if decision.batch.decision().is_none() => {
            !fold.is_frozen(decision.order.product)
        }
        Record::Allotment { product, .. } => !fold.is_frozen(*product),
        Record::Void { decision, reason } => fold.may_be_void(decision, *reason),
        _ => return,
    };
    alarms.check(Check::Goods, may, || {
        Example::row(place, "written while goods of a term that ended were not reported")
    });
}

impl LedgerFold {
    fn is_frozen(&self, product: ProductId) -> bool {
        let product = self.goods.0.get(usize::from(product.0));
        product.is_some_and(|it| it.held_by().any(|term| !self.offices.is_present_term(term)))
    }

    /// What a restore closed no term has sold since. What came too late to be bought was never put in.
    fn may_be_void(&self, decision: &Decision, reason: Reason) -> bool {
        let product = decision.order.product;
        match (reason, decision.order.kind) {
            _ if self.sessions.is_closed_by_restore(decision.order.id.number.epoch()) => true,
            (Reason::Overtaken, OrderKind::Buy { .. }) => true,
            (Reason::Overtaken, _) => !self.is_frozen(product),
            _ => !(0..self.goods.0.len()).any(|product| self.is_frozen(ProductId(product as u16))),
        }
    }
}
