//! Marks of goods that are set aside: who held what when, so that a report can be told by who sends it, and how late.
//!
//! In: rows of the ledger in their order, and what nodes want done. Out: [`Mark`]s.

use std::collections::BTreeMap;

use super::marks::Mark;
use crate::model::call::Ask;
use crate::model::message::Message;
use crate::model::row::Record;
use crate::model::step::Effect;
use crate::types::{Epoch, PeerId, ProcessId, Term};

/// Terms that were granted after one that reports as late as this.
const LATE_TERMS: u64 = 3;

/// A term, its trader, and the trader's partner.
#[derive(Clone, Copy, Default)]
struct Held {
    trader: (PeerId, Epoch),
    partner: (PeerId, Epoch),
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Frozen {
    epochs: BTreeMap<PeerId, Epoch>,
    processes: BTreeMap<Term, ProcessId>,
    /// Terms of pairs.
    pairs: BTreeMap<Term, Held>,
    last: Term,
}

impl Frozen {
    /// A row of the ledger.
    pub(super) fn row(&mut self, record: &Record) -> Vec<Mark> {
        match record {
            Record::Session { peer, epoch, .. } => drop(self.epochs.insert(*peer, *epoch)),
            Record::Office { term, process, .. } => {
                self.processes.insert(*term, *process);
                self.last = *term;
            }
            Record::Paired { trader, term, partner, partner_term, .. } => {
                let (one, other) = (self.store(*trader), self.store(*partner));
                self.pairs.insert(*term, Held { trader: one, partner: other });
                self.pairs.insert(*partner_term, Held { trader: other, partner: one });
            }
            Record::Allotment { .. } => return vec![Mark::Allotted],
            Record::Returned { .. } => return vec![Mark::GivenBack],
            Record::Adopt { .. } => return vec![Mark::SaleAdopted],
            Record::Released { .. } => return vec![Mark::Released],
            Record::Complete { trader, of, .. } => return self.complete(*trader, *of),
            _ => {}
        }
        Vec::new()
    }

    fn store(&self, peer: PeerId) -> (PeerId, Epoch) {
        (peer, self.epochs.get(&peer).copied().unwrap_or_default())
    }

    fn complete(&self, by: PeerId, of: Term) -> Vec<Mark> {
        let held = self.pairs.get(&of).copied().unwrap_or_default();
        let own = by == held.trader.0;
        let other = if own { held.partner } else { held.trader };
        let marks = [
            (own, Mark::ReportedByTrader),
            (!own, Mark::ReportedByPartner),
            (self.last.0 >= of.0 + LATE_TERMS, Mark::ReportedLate),
            (self.store(other.0) != other, Mark::ReportedWithOneStore),
        ];
        marks.into_iter().filter(|(seen, _)| *seen).map(|(_, mark)| mark).collect()
    }

    /// What a node wants done.
    pub(super) fn effect(&self, effect: &Effect) -> Option<Mark> {
        match effect {
            Effect::Send(_, Message::SettleAnswer(answer)) => {
                answer.goods.as_ref().filter(|word| !word.recall.is_empty()).map(|_| Mark::Recalled)
            }
            Effect::Send(_, Message::TradeAnswer(answer))
                if answer.early.iter().any(|it| it.draw.is_some()) =>
            {
                Some(Mark::ToldFromAllotment)
            }
            // The other one of the pair, and this one's own process, are gone.
            Effect::Call { ask: Ask::Complete(hello, report), .. } if !report.orders.is_empty() => {
                let known = self.processes.values().any(|process| *process == hello.process);
                (!known).then_some(Mark::ReportedByRestarted)
            }
            _ => None,
        }
    }
}
