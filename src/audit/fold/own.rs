//! One peer's own orders: V04, what its journal says of them, and that against what the ledger decided.
//!
//! Journal and ledger are read in step, so that an order comes up in both within a short stretch. It is kept until it was
//! found placed, decided and told, and is compared then; of those that were compared only the numbers are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::kept::Kept;
use crate::audit::doubts::{Doubt, Doubts};
use crate::audit::runs::Taken;
use crate::audit::{Alarms, Check, Example};
use crate::model::peer::entry::{Placed, Told};
use crate::model::row::Outcome;
use crate::model::tentative::agrees;
use crate::types::{Epoch, Generation, Number, Order, OrderId, OrderKind, PeerId, Quantity};

/// When an order may be let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Keep {
    /// Never: somebody wants to see all of them.
    All,
    /// When it was compared with the ledger.
    Uncompared,
    /// When it was answered: there is no ledger.
    Unanswered,
}

/// What became of an order, as its row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// The order.
    pub(crate) order: Order,
    /// As its peer is to be told.
    pub(crate) told: Told,
}

impl Settled {
    /// An order and its outcome.
    pub(crate) fn new(order: &Order, outcome: &Outcome) -> Settled {
        let Outcome { kind, reason, filled, amount, seq, .. } = *outcome;
        Settled { order: *order, told: Told { number: outcome.id.number, kind, reason, filled, amount, seq } }
    }
}

/// An order that was placed, and is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnOrder {
    /// As placed.
    pub(crate) placed: Placed,
    /// Absent while open.
    pub(crate) answer: Option<Answer>,
    /// The store gave it up: the ledger has an outcome of its number that the store never held.
    pub(crate) forgotten: bool,
    /// What was told of it before it was settled: pieces, and the generation of the ledger then.
    early: Option<(Quantity, Generation)>,
    /// Decided before it was told.
    settled: Option<Box<Settled>>,
    /// The ledger has an outcome, and where is not known.
    settled_somewhere: bool,
}

impl OwnOrder {
    pub(super) fn new(placed: Placed) -> OwnOrder {
        let (answer, early, settled) = Default::default();
        OwnOrder { placed, answer, early, forgotten: false, settled, settled_somewhere: false }
    }
}

/// See the module's text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Own {
    peer: PeerId,
    keep: Keep,
    /// Epoch of the store's last session, as far as its journal was read.
    opened: Option<Epoch>,
    highest: Number,
    kept: Kept,
    /// Let go of.
    compared: Taken,
    /// Decided, and not placed yet: an older copy of the store may place such a number once more.
    early: BTreeMap<Number, Settled>,
    /// The same of epochs that the journal has not opened so far: only that there is an outcome.
    later: Taken,
    /// The journal was read to its end.
    ended: bool,
    /// Answers to orders that were let go of: they are to be looked up in the ledger.
    late: Vec<Answer>,
    doubts: Doubts,
}

impl Own {
    pub(super) fn new(peer: PeerId, keep: Keep) -> Own {
        let (kept, compared, early, later, late, doubts) = Default::default();
        let (opened, highest, ended) = (None, Number(0), false);
        Own { peer, keep, opened, highest, kept, compared, early, later, ended, late, doubts }
    }

    fn id(&self, number: Number) -> OrderId {
        OrderId { peer: self.peer, number }
    }

    fn is_compared(&self, number: Number) -> bool {
        self.compared.contains(self.id(number))
    }

    /// Those that are kept, by number.
    pub(crate) fn values(&self) -> Vec<&OwnOrder> {
        self.kept.values()
    }

    /// Lets go of the order with the lowest number, if that is final.
    pub(crate) fn pass_first(&mut self, is_final: impl Fn(&OwnOrder) -> bool) -> Option<OwnOrder> {
        let first = self.kept.first().filter(|order| is_final(order))?.clone();
        self.passes(first.placed.number);
        Some(first)
    }

    /// A new session: the store's numbers are of that epoch from now on.
    pub(super) fn opened(&mut self, epoch: Epoch) {
        if self.opened != Some(epoch) {
            self.opened = Some(epoch);
            self.early.clear();
            self.later.retain_from(epoch);
        }
    }

    /// The journal says that an order was placed. A `void` may name one that was placed before.
    pub(super) fn placed(&mut self, placed: Placed, alarms: &mut Alarms) {
        let number = placed.number;
        let known = self.kept.get(number).is_some() || self.is_compared(number);
        if known && placed.kind == OrderKind::Void {
            return;
        }
        alarms.check(Check::ExactlyOnce, !known, || {
            Example::order(self.id(number), "was placed twice by its peer")
        });
        if known {
            return;
        }
        self.highest = self.highest.max(number);
        let (settled, settled_somewhere) = (self.early.remove(&number), self.later.contains(self.id(number)));
        let settled = settled.map(Box::new);
        self.kept.insert(OwnOrder { settled, settled_somewhere, ..OwnOrder::new(placed) });
    }

    /// The peer was told of one of its orders.
    pub(super) fn answered(&mut self, answer: Answer, alarms: &mut Alarms) {
        let (number, keep) = (answer.told.number, self.keep);
        let Some(order) = self.kept.get_mut(number) else { return self.answered_late(answer, alarms) };
        let early = order.early;
        let first = *order.answer.get_or_insert(answer);
        alarms.holds(Check::ToldIsDone, 1);
        alarms.check(Check::ToldIsDone, first.told == answer.told, || {
            Example::order(OrderId { peer: self.peer, number }, "was told two different outcomes")
        });
        let (settled, settled_somewhere) = (order.settled.take(), order.settled_somewhere);
        if let Some(early) = early {
            self.is_kept(early, &answer.told, alarms);
        }
        if let Some(settled) = settled {
            self.compare(&settled, alarms);
        } else if settled_somewhere {
            self.late.push(answer);
            self.passes(number);
        } else if keep == Keep::Unanswered {
            self.passes(number);
        }
    }

    /// The peer was told before its order was settled.
    pub(super) fn told_early(&mut self, number: Number, filled: Quantity, generation: Generation) {
        if let Some(order) = self.kept.get_mut(number) {
            order.early.get_or_insert((filled, generation));
        }
    }

    /// An answer long after the first one can be compared with the ledger alone.
    fn answered_late(&mut self, answer: Answer, alarms: &mut Alarms) {
        let number = answer.told.number;
        let placed = self.is_compared(number);
        alarms.check(Check::ToldIsDone, placed, || {
            Example::order(self.id(number), "was answered and never placed")
        });
        if placed && self.keep == Keep::Uncompared {
            self.late.push(answer);
        }
    }

    /// The store gave an order up.
    pub(super) fn forgotten(&mut self, number: Number, alarms: &mut Alarms) {
        let Some(order) = self.kept.get_mut(number) else { return };
        order.forgotten = true;
        if let Some(settled) = order.settled.take() {
            self.compare(&settled, alarms);
        } else if order.settled_somewhere {
            self.passes(number);
            alarms.holds(Check::ExactlyOnce, 1);
        }
    }

    fn passes(&mut self, number: Number) {
        self.kept.remove(number);
        self.compared.insert(self.id(number));
    }

    /// The ledger decided an order of this peer's.
    pub(crate) fn settled(&mut self, settled: &Settled, live: bool, alarms: &mut Alarms) {
        let number = settled.told.number;
        if let Some(order) = self.kept.get_mut(number) {
            if order.answer.is_some() || order.forgotten || self.ended {
                self.compare(settled, alarms);
            } else {
                order.settled.get_or_insert_with(|| Box::new(*settled));
            }
        } else if !self.is_compared(number) {
            self.unplaced(settled, live, alarms);
        }
    }

    fn unplaced(&mut self, settled: &Settled, live: bool, alarms: &mut Alarms) {
        let (number, id) = (settled.told.number, self.id(settled.told.number));
        match self.opened {
            Some(opened) if number.epoch() == opened && self.ended => self.never_placed(number, live, alarms),
            Some(opened) if number.epoch() == opened => drop(self.early.insert(number, *settled)),
            Some(opened) if number.epoch() < opened => {}
            _ => drop(self.later.insert(id)),
        }
    }

    /// A peer journals an order before it sends it; one that its present store lacks was never placed. A store that has
    /// opened no session yet took the place of a lost one, which is where the peer's orders are from.
    fn never_placed(&self, number: Number, live: bool, alarms: &mut Alarms) {
        if self.opened == Some(number.epoch()) && (!live || number <= self.highest) {
            alarms.check(Check::ToldIsDone, false, || {
                Example::order(self.id(number), "has an outcome and was never placed")
            });
        }
    }

    fn compare(&mut self, settled: &Settled, alarms: &mut Alarms) {
        let (number, id) = (settled.told.number, self.id(settled.told.number));
        let Some(OwnOrder { placed, answer, early, forgotten, .. }) = self.kept.get(number).cloned() else {
            return;
        };
        self.passes(number);
        alarms.check(Check::ToldIsDone, same_order(&placed, &settled.order), || {
            // An outcome of a number that was given up is one of this very order, or somebody has ordered in the peer's
            // name.
            Example::order(id, match forgotten {
                true => "was given up, and its number was settled with other content: by a copy of its store, or in its name",
                false => "was placed with other content than was settled",
            })
        });
        if let Some(early) = early.filter(|_| answer.is_none() && !forgotten) {
            self.is_kept(early, &settled.told, alarms);
        }
        if let Some(answer) = answer {
            alarms.holds(Check::Durable, 1);
            if !forgotten {
                self.told_is(&answer, Some(&settled.told), alarms);
            }
        }
        if forgotten {
            alarms.holds(Check::ExactlyOnce, 1);
        }
    }

    /// What was told before settling is booked as told, or taken back.
    fn is_kept(&mut self, (early, generation): (Quantity, Generation), there: &Told, alarms: &mut Alarms) {
        if agrees(early, there.kind, there.filled) {
            return alarms.holds(Check::ToldIsDone, 1);
        }
        let (id, kind, filled) = (self.id(there.number), there.kind.name(), there.filled);
        let example =
            Example::order(id, format!("was told early of {early} pieces, and then: {kind} {filled}"));
        self.doubts.push(Doubt::of_early(id.number.epoch(), (generation, there.seq), example));
    }

    /// What the peer was told is what the ledger has.
    pub(crate) fn told_is(&mut self, answer: &Answer, there: Option<&Told>, alarms: &mut Alarms) {
        if there == Some(&answer.told) {
            return alarms.holds(Check::ToldIsDone, 1);
        }
        let what = match there {
            Some(there) => told_other(&answer.told, there),
            None => format!("was told of row {}, which is none of it", answer.told.seq),
        };
        let example = Example::order(self.id(answer.told.number), what);
        self.doubts.push(Doubt::of_answer(&[Check::ToldIsDone], answer, example));
    }

    /// Nothing more comes of the journal.
    pub(crate) fn finish(&mut self, live: bool, alarms: &mut Alarms) {
        self.ended = true;
        let settled = self.values().into_iter().filter_map(|order| order.settled.clone());
        let settled: Vec<Box<Settled>> = settled.collect();
        settled.iter().for_each(|settled| self.compare(settled, alarms));
        let placed = |number: Number| self.kept.get(number).is_some() || self.is_compared(number);
        let later = self.later.iter().map(|id| id.number).filter(|number| !placed(*number));
        let unplaced: Vec<Number> = self.early.keys().copied().chain(later).collect();
        unplaced.into_iter().for_each(|number| self.never_placed(number, live, alarms));
    }

    /// The journal goes on, after all.
    pub(crate) fn go_on(&mut self) {
        self.ended = false;
    }

    /// Answers that are to be looked up in the ledger.
    pub(crate) fn take_late(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.late)
    }

    /// What is in doubt: of answers, and of orders that were answered and that the ledger was not found to have decided.
    pub(crate) fn doubts(&self) -> impl Iterator<Item = Doubt> + '_ {
        let undecided = self.values().into_iter().filter_map(|order| order.answer.as_ref());
        let doubt = |answer: &Answer| {
            let what = "was answered, and the ledger has no outcome";
            let example = Example::order(self.id(answer.told.number), what);
            Doubt::of_answer(&[Check::ToldIsDone, Check::Durable], answer, example)
        };
        self.doubts.iter().cloned().chain(undecided.map(doubt))
    }

    /// Numbers that were given up, and of which the ledger was found to have no outcome.
    pub(crate) fn given_up(&self) -> impl Iterator<Item = OrderId> + '_ {
        let given_up = self.values().into_iter().filter(|order| order.forgotten);
        given_up.map(|order| self.id(order.placed.number))
    }
}

fn told_other(told: &Told, there: &Told) -> String {
    format!(
        "was told {} {} for {} (row {}), the ledger has {} {} for {} (row {})",
        told.kind.name(),
        told.filled,
        told.amount,
        told.seq,
        there.kind.name(),
        there.filled,
        there.amount,
        there.seq
    )
}

/// The content agrees, as far as the row has it: of a `void` only the number.
fn same_order(placed: &Placed, order: &Order) -> bool {
    order.kind == OrderKind::Void
        || placed.kind == OrderKind::Void
        || (placed.stamp, placed.kind, placed.product, placed.quantity)
            == (order.stamp, order.kind, order.product, order.quantity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::row::OutcomeKind;
    use crate::types::{Money, ProductId, Seq, Stamp, WallMicros};

    fn placed(number: Number) -> Placed {
        let (kind, product) = (OrderKind::Buy { partial: false }, ProductId(0));
        Placed { number, stamp: Stamp(1), kind, product, quantity: Quantity(2) }
    }

    fn told(number: Number) -> Told {
        let (kind, filled, amount) = (OutcomeKind::Bought, Quantity(2), Money(200));
        Told { number, kind, reason: None, filled, amount, seq: Seq(9) }
    }

    fn answer(number: Number) -> Answer {
        let (told_at, generation) = (WallMicros(0), Generation::default());
        Answer { told: told(number), via: PeerId(6), told_at, generation }
    }

    fn settled(number: Number) -> Settled {
        let Placed { stamp, kind, product, quantity, .. } = placed(number);
        let id = OrderId { peer: PeerId(4), number };
        Settled { order: Order { id, stamp, kind, product, quantity }, told: told(number) }
    }

    /// The ledger may have been read far beyond what the journal was read to: over several restores at once.
    #[test]
    fn an_outcome_of_an_epoch_that_is_opened_after_others_is_not_missed() {
        let (mut own, mut alarms) = (Own::new(PeerId(4), Keep::Uncompared), Alarms::new(5));
        let number = Number::new(Epoch(3), 1);
        own.opened(Epoch(0));
        own.settled(&settled(number), false, &mut alarms);
        (1..=3).for_each(|epoch| own.opened(Epoch(epoch)));
        own.placed(placed(number), &mut alarms);
        own.answered(answer(number), &mut alarms);
        own.finish(false, &mut alarms);
        assert_eq!((own.doubts().count(), own.take_late()), (0, vec![answer(number)]), "it is looked up");
        assert!(alarms.is_clean());
    }

    /// In whatever order journal and ledger are read, an order is compared once, and then only its number is kept.
    #[test]
    fn an_order_is_compared_when_it_was_placed_decided_and_told() {
        let number = Number::new(Epoch(0), 1);
        for decided_at in 0..3 {
            let (mut own, mut alarms) = (Own::new(PeerId(4), Keep::Uncompared), Alarms::new(5));
            own.opened(Epoch(0));
            for at in 0..3 {
                if at == decided_at {
                    own.settled(&settled(number), false, &mut alarms);
                }
                match at {
                    0 => own.placed(placed(number), &mut alarms),
                    1 => own.answered(answer(number), &mut alarms),
                    _ => {}
                }
            }
            assert!(own.values().is_empty() && alarms.is_clean(), "decided at {decided_at}");
            assert_eq!((own.doubts().count(), own.take_late().len()), (0, 0));
            assert_eq!(alarms.of(Check::Durable).checked, 1);
        }
    }

    #[test]
    fn an_outcome_that_the_journal_never_placed_is_an_alarm_at_its_end() {
        let (mut own, mut alarms) = (Own::new(PeerId(4), Keep::Uncompared), Alarms::new(5));
        own.opened(Epoch(1));
        for epoch in [0, 1, 2] {
            own.settled(&settled(Number::new(Epoch(epoch), 7)), false, &mut alarms);
        }
        own.finish(false, &mut alarms);
        assert_eq!(alarms.of(Check::ToldIsDone).failed, 1, "of its own epoch, not of another store's");
    }
}
