//! The audit: peers' journals first, the warehouse's ledger last, then what only both together can tell.
//!
//! Holds: a live market read in this order can only be further on in the ledger than in the journals, so that what a
//! journal has and the ledger lacks is a finding, not a race (a hand-over under way apart, hence the second look).

use std::collections::{BTreeMap, BTreeSet};

use super::caches::Caches;
use super::chain::Chain;
use crate::model::entry::{Entry, Placed};
use crate::model::row::{Outcome, Place, Record};
use crate::ops::dump::Source;
use crate::ops::fold::{Alarms, Answer, Check, Example, JournalFold, LedgerFold, Restores};
use crate::ops::log::{self, Page};
use crate::ops::output::Failure;
use crate::ops::source::{BlockSource, CheckpointVerdict, node_name};
use crate::types::{Epoch, Hash, Order, OrderId, OrderKind, PeerId, Seq, Stamp};

/// Checks that need the ledger.
const OF_LEDGER: [Check; 8] = [
    Check::Goods,
    Check::NeverNegative,
    Check::ExactlyOnce,
    Check::ToldIsDone,
    Check::Order,
    Check::Money,
    Check::Fencing,
    Check::Durable,
];
/// Checks that compare journals with the ledger: a hand-over or an answer may be under way while they read.
const OF_BOTH: [Check; 3] = [Check::ExactlyOnce, Check::ToldIsDone, Check::Durable];

/// What was found.
pub struct Audit {
    /// Cases and failures per check.
    pub alarms: Alarms,
    warehouse: bool,
    /// Peers with a session whose stores were not among those read.
    absent: BTreeSet<PeerId>,
}

impl Audit {
    /// What a check would have needed and did not have.
    pub fn lacks(&self, check: Check) -> Vec<String> {
        match check {
            Check::Caches if self.alarms.of(check).checked == 0 => {
                vec!["a running warehouse and trader".into()]
            }
            check if OF_LEDGER.contains(&check) && !self.warehouse => vec![node_name(PeerId::WAREHOUSE)],
            check if OF_BOTH.contains(&check) => self.absent.iter().map(|peer| node_name(*peer)).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the check could not be made at all.
    pub fn unchecked(&self, check: Check) -> bool {
        let lacks_ledger = OF_LEDGER.contains(&check) && !self.warehouse;
        let tally = self.alarms.of(check);
        tally.failed == 0 && (lacks_ledger || (tally.checked == 0 && !self.lacks(check).is_empty()))
    }

    /// Whether a second look could clear a failure.
    pub(super) fn may_be_underway(&self) -> bool {
        OF_BOTH.iter().any(|check| self.alarms.of(*check).failed > 0)
    }

    /// Keeps the failures that a second look found again.
    pub(super) fn confirm(&mut self, again: &Audit) {
        OF_BOTH.iter().for_each(|check| self.alarms.confirm(*check, &again.alarms));
    }
}

/// Reads all sources once and checks them.
pub fn audit(sources: &mut [Source], examples_max: usize) -> Result<Audit, Failure> {
    let mut alarms = Alarms::new(examples_max);
    let mut journals = Journals::default();
    for source in sources.iter_mut().filter(|source| !source.meta().is_ledger()) {
        journals.read(source.as_mut(), &mut alarms)?;
    }
    let mut caches = Caches::ask(sources);
    let mut ledger = None;
    for source in sources.iter_mut().filter(|source| source.meta().is_ledger()).take(1) {
        ledger = Some(read_ledger(source.as_mut(), &mut journals, &mut caches, &mut alarms)?);
    }
    let mut absent = BTreeSet::new();
    if let Some(ledger) = &ledger {
        absent = ledger.sessions.stores.keys().map(|(peer, _)| *peer).collect();
        absent.retain(|peer| !peer.is_client() && !journals.folds.contains_key(peer));
        journals.against(ledger, absent.is_empty(), &mut alarms);
    }
    // The nodes' own folds trust the rows: they are asked only when nothing is wrong with those.
    if alarms.failed().is_empty() {
        sources.iter_mut().try_for_each(|source| checkpoint(source.as_mut(), &mut alarms))?;
    }
    Ok(Audit { alarms, warehouse: ledger.is_some(), absent })
}

fn read_ledger(
    source: &mut dyn BlockSource,
    journals: &mut Journals,
    caches: &mut Caches,
    alarms: &mut Alarms,
) -> Result<LedgerFold, Failure> {
    let mut fold = LedgerFold::default();
    let (mut chain, reserve) = (Chain::new(source.meta()), source.meta().clock_reserve);
    let mut last = Seq(0);
    for page in log::pages::<Record>(source, Seq(1)) {
        let page = page?;
        chain.page(&page, alarms);
        if let Page::Sealed { header, hash, .. } = &page {
            journals.seen_at(header.last(), *hash, alarms);
        }
        for (place, record) in page.into_rows() {
            if let Ok(record) = record {
                fold.apply(&place, &record, alarms);
                journals.row(&place, &record, alarms);
                caches.row(&place, &record, &fold.goods, alarms);
                last = place.seq;
            }
        }
    }
    chain.finish(alarms);
    fold.finish(alarms);
    caches.finish(last, alarms);
    reserved(&node_name(PeerId::WAREHOUSE), reserve, fold.sequence.clock(), alarms);
    Ok(fold)
}

fn reserved(name: &str, reserve: Option<Stamp>, clock: Stamp, alarms: &mut Alarms) {
    if let Some(reserve) = reserve {
        alarms.check(Check::Clock, reserve >= clock, || {
            Example::node(name, format!("clock {clock} was used, {reserve} was reserved"))
        });
    }
}

fn checkpoint(source: &mut dyn BlockSource, alarms: &mut Alarms) -> Result<(), Failure> {
    let name = source.meta().name();
    match source.checkpoint_check()? {
        CheckpointVerdict::Absent => {}
        CheckpointVerdict::Equal(_) => alarms.check(Check::Readable, true, || Example::node(&name, "")),
        CheckpointVerdict::Differs(what) => alarms.check(Check::Readable, false, || {
            Example::node(&name, format!("the checkpoint is not the fold of the log: {what}"))
        }),
    }
    Ok(())
}

/// The peers' journals, and what they expect of the ledger.
#[derive(Default)]
struct Journals {
    folds: BTreeMap<PeerId, JournalFold>,
    live: bool,
    /// What they saw of the ledger and it was not asked for yet.
    seen: BTreeMap<Seq, BTreeSet<(PeerId, u64, Hash)>>,
    /// What the ledger does not have, until all its restores are known.
    doubts: Vec<Doubt>,
}

/// Something that a journal holds and the ledger lacks: a violation, unless a restore lost it.
struct Doubt {
    checks: &'static [Check],
    /// Of which ledger the journal's session was.
    generation: u64,
    /// Where in it.
    seq: Seq,
    /// The order's, if it is one: of an epoch that is open nothing can be lost.
    epoch: Option<Epoch>,
    example: Example,
}

impl Doubt {
    fn of_answer(checks: &'static [Check], answer: &Answer, example: Example) -> Doubt {
        let (generation, seq, epoch) = (answer.generation, answer.told.seq, answer.told.number.epoch());
        Doubt { checks, generation, seq, epoch: Some(epoch), example }
    }

    fn of_mark(node: PeerId, generation: u64, seq: Seq, what: String) -> Doubt {
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
    fn read(&mut self, source: &mut dyn BlockSource, alarms: &mut Alarms) -> Result<(), Failure> {
        let meta = source.meta();
        let (node, name, reserve) = (meta.node, meta.name(), meta.clock_reserve);
        let (mut fold, mut chain) = (JournalFold::new(node), Chain::new(meta));
        self.live |= meta.live;
        for page in log::pages::<Entry>(source, Seq(1)) {
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

    /// The ledger has a block that ends at `last`: whoever saw that, or a sequence inside the block, is judged.
    fn seen_at(&mut self, last: Seq, hash: Hash, alarms: &mut Alarms) {
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
    fn row(&mut self, place: &Place, record: &Record, alarms: &mut Alarms) {
        let Some(outcome) = record.outcome(place.seq, place.time) else { return };
        let Some(decision) = record.decision() else { return };
        let Some(fold) = self.folds.get(&outcome.id.peer) else { return };
        match fold.orders.get(&outcome.id.number) {
            // Of a number that its store gave up the ledger has what another copy of the store did.
            Some(own) if own.forgotten => {}
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

    /// A peer journals an order before it sends it; one that its present store lacks was never placed.
    fn unplaced(&self, fold: &JournalFold, id: OrderId, alarms: &mut Alarms) {
        let own_epoch = fold.opened.map_or(Epoch(0), |(_, epoch)| epoch);
        let highest = fold.orders.keys().next_back().copied().unwrap_or_default();
        if id.number.epoch() == own_epoch && (!self.live || id.number <= highest) {
            alarms.check(Check::ToldIsDone, false, || {
                Example::order(id, "has an outcome and was never placed")
            });
        }
    }

    /// V03, V04 and V12: what the journals hold and the ledger must have too.
    fn against(&mut self, ledger: &LedgerFold, all_there: bool, alarms: &mut Alarms) {
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
            for id in fold.accepted.keys() {
                self.accounted_for(*id, &format!("was accepted by {node}"), ledger, all_there, alarms);
            }
            // It was given up since it had an outcome elsewhere.
            for (number, _) in fold.orders.iter().filter(|(_, own)| own.forgotten) {
                let id = OrderId { peer: *node, number: *number };
                self.accounted_for(id, "was given up by its store", ledger, all_there, alarms);
            }
        }
        let ends_before = |seq: Seq| format!("saw {seq} of the ledger, which ends before");
        for (seq, nodes) in &self.seen {
            let doubt = |(node, generation, _): &(PeerId, u64, Hash)| {
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
        let held = ledger.sessions.has_outcome(id) || self.folds.values().any(|other| other.waits(id));
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
