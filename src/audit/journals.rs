//! The peers' journals against the ledger: V03 (accepted orders), V04 (told = done) and V12 (durable).
//!
//! Journals are read before the ledger. What one of them expects and the ledger lacks is a doubt until all restores are
//! known, since a restore may have lost it.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::Chain;
use super::fold::{Answer, JournalFold, LedgerFold, Restores, Sessions};
use super::{Alarms, BlockSource, Check, Example, SourceError, pages, reserved};
use crate::model::peer::entry::{Entry, Placed};
use crate::model::row::{Outcome, Place, Record};
use crate::types::{Epoch, Generation, Hash, Order, OrderId, OrderKind, PeerId, Seq, node_name};

/// The peers' journals, and what they expect of the ledger.
#[derive(Default)]
pub(super) struct Journals {
    folds: BTreeMap<PeerId, JournalFold>,
    live: bool,
    /// What they saw of the ledger, and has not been compared with it yet.
    seen: BTreeMap<Seq, BTreeSet<(PeerId, Generation, Hash)>>,
    /// What the ledger does not have, until all its restores are known.
    doubts: Vec<Doubt>,
}

/// Something that a journal holds and the ledger lacks: a violation, unless a restore lost it.
struct Doubt {
    checks: &'static [Check],
    /// The generation of the ledger that the journal's session was of.
    generation: Generation,
    /// Where in it.
    seq: Seq,
    /// The order's epoch, if the doubt is about an order: nothing of an open epoch can be lost.
    epoch: Option<Epoch>,
    example: Example,
}

impl Doubt {
    fn of_answer(checks: &'static [Check], answer: &Answer, example: Example) -> Doubt {
        let (generation, seq, epoch) = (answer.generation, answer.told.seq, answer.told.number.epoch());
        Doubt { checks, generation, seq, epoch: Some(epoch), example }
    }

    fn of_mark(node: PeerId, generation: Generation, seq: Seq, what: String) -> Doubt {
        let (checks, example) = (&[Check::Durable], Example::node(&node_name(node), what));
        Doubt { checks, generation, seq, epoch: None, example }
    }

    fn judge(&self, restores: &Restores, alarms: &mut Alarms) {
        let lost = restores.lost_at(self.generation, self.seq);
        let lost = lost.filter(|_| self.epoch.is_none_or(|epoch| restores.closed_by(epoch).is_some()));
        for check in self.checks {
            match lost {
                Some(row) => alarms.lost(*check, row),
                None => alarms.check(*check, false, || self.example.clone()),
            }
        }
    }
}

impl Journals {
    pub(super) fn read(
        &mut self,
        source: &mut dyn BlockSource,
        alarms: &mut Alarms,
    ) -> Result<(), SourceError> {
        let meta = source.meta();
        let (node, name, reserve) = (meta.node, meta.name(), meta.clock_reserve);
        let (mut fold, mut chain) = (JournalFold::new(node), Chain::new(meta));
        self.live |= meta.live;
        for page in pages::<Entry>(source, Seq(1)) {
            let page = page?;
            chain.page(&page, alarms);
            for (place, entry) in page.into_rows() {
                if let Ok(entry) = entry {
                    fold.apply(&place, &entry, alarms);
                }
            }
        }
        chain.finish(alarms);
        reserved(&name, reserve, fold.clock(), alarms);
        for (generation, seq, hash) in fold.seen.drain(..).filter(|(_, seq, _)| *seq > Seq(0)) {
            self.seen.entry(seq).or_default().insert((node, generation, hash));
        }
        self.folds.insert(node, fold);
        Ok(())
    }

    /// Peers with a session whose stores were not among those read.
    pub(super) fn absent(&self, sessions: &Sessions) -> BTreeSet<PeerId> {
        let peers = sessions.stores.keys().map(|(peer, _)| *peer);
        peers.filter(|peer| !peer.is_client() && !self.folds.contains_key(peer)).collect()
    }

    /// The ledger has a block that ends at `last`. Judges what journals saw of it, or of a sequence inside the block.
    pub(super) fn seen_at(&mut self, last: Seq, hash: Hash, alarms: &mut Alarms) {
        while let Some(entry) = self.seen.first_entry().filter(|entry| *entry.key() <= last) {
            let (seq, seen) = entry.remove_entry();
            for (node, generation, expected) in seen {
                if seq == last && hash == expected {
                    alarms.check(Check::Durable, true, || Example::at(seq, ""));
                    continue;
                }
                let what = format!("saw another block at {seq} of the ledger");
                self.doubts.push(Doubt::of_mark(node, generation, seq, what));
            }
        }
    }

    /// V04: an outcome row against what its peer placed and was told.
    pub(super) fn row(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) {
        let Some(outcome) = record.outcome(place.seq, place.time) else { return };
        let Some(decision) = record.decision() else { return };
        let Some(fold) = self.folds.get(&outcome.id.peer) else { return };
        match fold.orders.get(&outcome.id.number) {
            // The store gave this number up, since the ledger has an outcome of it that the store does not hold. That is
            // an outcome of this very order, or somebody has ordered in the peer's name.
            Some(own) if own.forgotten => {
                alarms.check(Check::ToldIsDone, same_order(&own.placed, &decision.order), || {
                    Example::order(outcome.id, "was given up, and its number was settled with other content: by a copy of its store, or in its name")
                });
            }
            Some(own) => {
                alarms.check(Check::ToldIsDone, same_order(&own.placed, &decision.order), || {
                    Example::order(outcome.id, "was placed with other content than was settled")
                });
                match &own.answer {
                    Some(answer) if !told_is(answer, &outcome) => {
                        let example = Example::order(outcome.id, told_other(answer, &outcome));
                        self.doubts.push(Doubt::of_answer(&[Check::ToldIsDone], answer, example));
                    }
                    Some(_) => alarms.check(Check::ToldIsDone, true, || Example::order(outcome.id, "")),
                    None => {}
                }
            }
            None => self.unplaced(fold, outcome.id, alarms),
        }
    }

    /// A peer journals an order before it sends it; one that its present store lacks was never placed. A store that has
    /// opened no session yet took the place of a lost one, which is where the peer's orders are from.
    fn unplaced(&self, fold: &JournalFold, id: OrderId, alarms: &mut Alarms) {
        let Some((_, own_epoch)) = fold.opened else { return };
        let highest = fold.orders.keys().next_back().copied().unwrap_or_default();
        if id.number.epoch() == own_epoch && (!self.live || id.number <= highest) {
            alarms.check(Check::ToldIsDone, false, || {
                Example::order(id, "has an outcome and was never placed")
            });
        }
    }

    /// V03, V04 and V12: what the journals hold and the ledger must have too.
    pub(super) fn against(&mut self, ledger: &LedgerFold, all_there: bool, alarms: &mut Alarms) {
        for (node, fold) in &self.folds {
            for answer in fold.orders.values().filter_map(|own| own.answer.as_ref()) {
                let id = OrderId { peer: *node, number: answer.told.number };
                if ledger.sessions.has_outcome(id) {
                    alarms.check(Check::Durable, true, || Example::order(id, ""));
                    continue;
                }
                let example = Example::order(id, "was answered, and the ledger has no outcome");
                let checks = &[Check::ToldIsDone, Check::Durable];
                self.doubts.push(Doubt::of_answer(checks, answer, example));
            }
            let how = format!("was accepted by {node}");
            for id in fold.accepted.iter() {
                self.accounted_for(id, &how, ledger, all_there, alarms);
            }
            // A number is given up only since the ledger has an outcome of it.
            for (number, _) in fold.orders.iter().filter(|(_, own)| own.forgotten) {
                let id = OrderId { peer: *node, number: *number };
                self.accounted_for(id, "was given up by its store", ledger, all_there, alarms);
            }
        }
        let ends_before = |seq: Seq| format!("saw {seq} of the ledger, which ends before");
        for (seq, nodes) in &self.seen {
            let doubt = |(node, generation, _): &(PeerId, Generation, Hash)| {
                Doubt::of_mark(*node, *generation, *seq, ends_before(*seq))
            };
            self.doubts.extend(nodes.iter().map(doubt));
        }
        self.doubts.iter().for_each(|doubt| doubt.judge(&ledger.restores, alarms));
    }

    /// An order that some store relies on has an outcome or waits in some store.
    fn accounted_for(
        &self,
        id: OrderId,
        how: &str,
        ledger: &LedgerFold,
        all_there: bool,
        alarms: &mut Alarms,
    ) {
        let held = ledger.sessions.has_outcome(id) || self.folds.values().any(|other| other.queue.waits(id));
        let closed = ledger.restores.closed_by(id.number.epoch());
        // Handed over to a store that was not read, or still open at a client whose store was not: nothing can be said.
        let placer = !id.peer.is_client() || self.folds.contains_key(&id.peer);
        match closed {
            Some(row) if !held => alarms.lost(Check::ExactlyOnce, row),
            _ if held || (all_there && placer) => alarms.check(Check::ExactlyOnce, held, || {
                Example::order(id, format!("{how}, has no outcome and waits nowhere"))
            }),
            _ => {}
        }
    }
}

/// The content agrees, as far as the row has it: of a `void` only the number.
fn same_order(placed: &Placed, order: &Order) -> bool {
    order.kind == OrderKind::Void
        || placed.kind == OrderKind::Void
        || (placed.stamp, placed.kind, placed.product, placed.quantity)
            == (order.stamp, order.kind, order.product, order.quantity)
}

fn told_is(answer: &Answer, outcome: &Outcome) -> bool {
    let told = &answer.told;
    (told.kind, told.reason, told.filled, told.amount, told.seq)
        == (outcome.kind, outcome.reason, outcome.filled, outcome.amount, outcome.seq)
}

fn told_other(answer: &Answer, outcome: &Outcome) -> String {
    let told = &answer.told;
    format!(
        "was told {} {} for {} (row {}), the ledger has {} {} for {} (row {})",
        told.kind.name(),
        told.filled,
        told.amount,
        told.seq,
        outcome.kind.name(),
        outcome.filled,
        outcome.amount,
        outcome.seq
    )
}
