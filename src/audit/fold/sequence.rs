//! Order of rows (V06) and clocks (V07).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::audit::{Alarms, Check, Example};
use crate::model::row::{Decision, Place, Record};
use crate::types::{Batch, Epoch, Number, Order, PeerId, ProductId, QueueKey, Stamp, Term};

/// Batches of one term whose rows may still come: a step takes several, and a new one may begin before another ends.
const BATCHES_KEPT: u64 = 64;

const BY_NUMBER: &str = "the order of its peer's numbers";
const BY_DECISION: &str = "the order of its trader's decisions";

/// What the next row is compared with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sequence {
    block: u64,
    in_block: BTreeMap<ProductId, QueueKey>,
    in_batch: BTreeMap<(PeerId, Term), BTreeMap<(Batch, ProductId), QueueKey>>,
    numbers: BTreeMap<(PeerId, Epoch, ProductId), Number>,
    clock: Stamp,
    stamp_seen: Stamp,
    /// The last decision of each trader's term.
    decisions: BTreeMap<(PeerId, Term), u64>,
}

impl Sequence {
    /// The greatest clock or stamp so far.
    pub(crate) fn clock(&self) -> Stamp {
        self.clock.max(self.stamp_seen)
    }

    /// A higher number of its peer has a row of the good already.
    pub(super) fn is_overtaken(&self, order: &Order) -> bool {
        let place_of = (order.id.peer, order.id.number.epoch(), order.product);
        self.numbers.get(&place_of).is_some_and(|last| *last > order.id.number)
    }

    pub(super) fn apply(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) {
        self.clocks(place, record, alarms);
        match (record, record.decision()) {
            // What moves nothing may come late.
            (Record::Void { .. } | Record::Reversal(_), _) | (_, None) => {}
            // What an ended term had decided comes late, but in the order of its decisions.
            (Record::Adopt { .. }, Some(decision)) => {
                let counts = decision.batch.decision().is_none_or(|nth| self.counts(decision, nth));
                alarms.check(Check::Order, counts, || {
                    Example::row(place, format!("order {} breaks {BY_DECISION}", decision.order.id))
                });
            }
            (_, Some(decision)) => match decision.batch.decision() {
                Some(nth) => self.decided(place, decision, nth, alarms),
                None => self.ordered(place, decision, alarms),
            },
        }
    }

    /// What a trader has decided is by its decisions, whatever its product, and by its peer's numbers.
    fn decided(&mut self, place: &Place, decision: &Decision, nth: u64, alarms: &mut Alarms) {
        let counts = self.counts(decision, nth);
        let by_number = self.by_number(&decision.order);
        alarms.check(Check::Order, counts && by_number, || {
            let rule = if by_number { BY_DECISION } else { BY_NUMBER };
            Example::row(place, format!("order {} breaks {rule}", decision.order.id))
        });
    }

    /// A decision comes behind those of its term that it was made after.
    fn counts(&mut self, decision: &Decision, nth: u64) -> bool {
        let before = self.decisions.insert((decision.trader, decision.term), nth);
        before.is_none_or(|before| before < nth)
    }

    /// A peer's orders of a good come by their numbers.
    fn by_number(&mut self, order: &Order) -> bool {
        let place_of = (order.id.peer, order.id.number.epoch(), order.product);
        self.numbers.insert(place_of, order.id.number).is_none_or(|before| before < order.id.number)
    }

    fn clocks(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) {
        let clock = record.clock();
        self.stamp_seen =
            self.stamp_seen.max(record.decision().map_or(Stamp(0), |decision| decision.order.stamp));
        let (before, seen) = (self.clock, self.stamp_seen);
        alarms.check(Check::Clock, clock >= before && clock >= seen, || {
            Example::row(place, format!("clock {clock} after clock {before} and stamp {seen}"))
        });
        self.clock = before.max(clock);
    }

    fn ordered(&mut self, place: &Place, decision: &Decision, alarms: &mut Alarms) {
        if place.block != self.block {
            (self.block, self.in_block) = (place.block, BTreeMap::new());
        }
        let (order, key) = (&decision.order, decision.order.key());
        let after = |before: Option<QueueKey>| before.is_none_or(|before| before < key);
        let in_block = after(self.in_block.insert(order.product, key));
        let batches = self.in_batch.entry((decision.trader, decision.term)).or_default();
        let in_batch = after(batches.insert((decision.batch, order.product), key));
        let oldest = Batch(decision.batch.0.saturating_sub(BATCHES_KEPT));
        while batches.first_key_value().is_some_and(|((batch, _), _)| *batch < oldest) {
            batches.pop_first();
        }
        let by_number = self.by_number(order);
        alarms.check(Check::Order, in_block && in_batch && by_number, || {
            let rule = match (in_block, in_batch) {
                (false, _) => "stamp order within its block",
                (_, false) => "stamp order within its batch",
                _ => BY_NUMBER,
            };
            Example::row(place, format!("order {} breaks {rule}", order.id))
        });
    }
}
