//! Counts of what this process placed and was told.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};

use crate::model::report::Shopping;
use crate::model::row::{Outcome, OutcomeKind};
use crate::types::WallMicros;

/// Longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;

/// See the module's text.
pub(super) struct Tally {
    shopping: Shopping,
    latency_us: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let mut latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
            .unwrap_or_else(|error| unreachable!("constant bounds are valid: {error}"));
        latency_us.auto(false);
        Tally { shopping: Shopping::default(), latency_us }
    }
}

impl Tally {
    pub(super) fn placed(&mut self, at: WallMicros) {
        self.shopping.placed += 1;
        if self.shopping.first_at == 0 {
            self.shopping.first_at = at.0;
        }
    }

    pub(super) fn told(&mut self, outcome: &Outcome, at: WallMicros) {
        let shopping = &mut self.shopping;
        shopping.answered += 1;
        shopping.last_at = at.0;
        *match outcome.kind {
            OutcomeKind::Bought | OutcomeKind::PartlyBought => &mut shopping.bought,
            OutcomeKind::SoldOut => &mut shopping.sold_out,
            OutcomeKind::Deposited => &mut shopping.deposits,
            OutcomeKind::Refused | OutcomeKind::Reversed | OutcomeKind::Voided => &mut shopping.refused,
        } += 1;
    }

    pub(super) fn took(&mut self, micros: u64) {
        self.latency_us.saturating_record(micros.max(1));
    }

    pub(super) fn report(&self, open: usize, done: bool) -> Shopping {
        let mut bytes = Vec::new();
        if let Err(error) = V2Serializer::new().serialize(&self.latency_us, &mut bytes) {
            tracing::error!(?error, "latencies cannot be reported");
        }
        Shopping { open: open as u64, done, latency_us: bytes, ..self.shopping.clone() }
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;

    use super::*;
    use crate::model::peer::testing::{deposited, order};

    #[test]
    fn orders_are_counted_by_what_became_of_them() {
        use OutcomeKind::{Bought, Deposited, PartlyBought, Refused, Reversed, SoldOut, Voided};
        let mut tally = Tally::default();
        [10, 20].into_iter().for_each(|at| tally.placed(WallMicros(at)));
        let kinds =
            [Bought, PartlyBought, SoldOut, SoldOut, SoldOut, Deposited, Refused, Reversed, Voided, Voided];
        for (kind, at) in kinds.into_iter().zip(30..) {
            tally.told(&Outcome { kind, ..deposited(&order(4, 1)) }, WallMicros(at));
        }
        tally.took(0);
        tally.took(500);
        let report = tally.report(7, true);
        assert_eq!((report.placed, report.answered, report.open, report.done), (2, 10, 7, true));
        assert_eq!((report.first_at, report.last_at), (10, 39));
        assert_eq!((report.bought, report.sold_out, report.deposits, report.refused), (2, 3, 1, 4));
        let latencies: Histogram<u64> = Deserializer::new().deserialize(&mut &report.latency_us[..]).unwrap();
        assert_eq!((latencies.len(), latencies.min(), latencies.max()), (2, 1, 500));
    }
}
