//! The auditor: the documented invariants, checked from the records alone.
//!
//! In: [`Source`]s of raw blocks, on disk, in memory or live. Out: an [`Audit`], which has for each [`Check`] how many
//! cases held and how many not, with examples. It shares records and their decoding with what it audits, and nothing
//! else: the folds of a ledger and of a journal are written here anew, with checks built in, so that one mistake cannot
//! hide in both. `dump` shows the same folds as rows.
//!
//! Peers' journals are read first, the warehouse's ledger last, and then what only both together can tell is judged. A
//! live market that is read in this order can only be further on in the ledger than in the journals, so that what a
//! journal has and the ledger lacks is a finding, not a race (a hand-over under way apart, hence the second look of
//! `verify`).

mod alarms;
mod caches;
mod chain;
mod fold;
mod journals;
mod pages;
mod source;
mod stored;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub(crate) use alarms::Alarms;
pub use alarms::Check;
pub(crate) use alarms::{Example, Tally};
use caches::Caches;
use chain::Chain;
pub(crate) use fold::{JournalFold, LedgerFold, OwnOrder, Queue};
use journals::Journals;
pub(crate) use pages::{Logged, Page, Pager, ReadRow, pages, rows};
pub use source::{BlockSource, CheckpointVerdict, Fact, Folded, Source, SourceError, SourceMeta, StockCache};
pub(crate) use stored::CLIENT;
pub(crate) use stored::StoredSource;

use crate::model::row::Record;
use crate::types::{PeerId, Seq, Stamp, node_name};

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
    alarms: Alarms,
    /// The ledger was among what was read.
    warehouse: bool,
    /// Its rows up to this one are in archives that were not named; 0: none are.
    archived: Seq,
    /// Peers with a session whose stores were not among those read.
    absent: BTreeSet<PeerId>,
}

impl Audit {
    /// Cases, failures and examples of one check.
    pub(crate) fn of(&self, check: Check) -> &Tally {
        self.alarms.of(check)
    }

    /// The checks that failed.
    #[cfg(test)]
    pub(crate) fn failed(&self) -> Vec<Check> {
        self.alarms.failed()
    }

    /// The failed cases that were kept as examples, by check; empty if nothing failed and at least one was to be kept.
    pub(crate) fn failures(&self) -> Vec<(Check, Example)> {
        let of = |check: Check| self.of(check).examples.iter().map(move |example| (check, example.clone()));
        Check::ALL.into_iter().flat_map(of).collect()
    }

    /// What a check would have needed and did not have.
    pub(crate) fn lacks(&self, check: Check) -> Vec<String> {
        match check {
            Check::Caches if self.alarms.of(check).checked == 0 => {
                vec!["a running warehouse and trader".into()]
            }
            check if self.archived > Seq(0) && needs_all_rows(check) => {
                vec![format!("archive up to {}", self.archived)]
            }
            check if OF_LEDGER.contains(&check) && !self.warehouse => vec![node_name(PeerId::WAREHOUSE)],
            check if OF_BOTH.contains(&check) => self.absent.iter().map(|peer| node_name(*peer)).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the check could not be made at all.
    pub(crate) fn unchecked(&self, check: Check) -> bool {
        let lacks_ledger =
            OF_LEDGER.contains(&check) && !self.warehouse || self.archived > Seq(0) && needs_all_rows(check);
        let tally = self.alarms.of(check);
        tally.failed == 0 && (lacks_ledger || (tally.checked == 0 && !self.lacks(check).is_empty()))
    }

    /// Whether a second look could clear a failure.
    pub(crate) fn may_be_underway(&self) -> bool {
        let caches = self.alarms.of(Check::Caches).examples.iter().any(|example| example.underway);
        caches || OF_BOTH.iter().any(|check| self.alarms.of(*check).failed > 0)
    }

    /// Keeps the failures that a second look found again.
    pub(crate) fn confirm(&mut self, again: &Audit) {
        OF_BOTH.iter().for_each(|check| self.alarms.confirm(*check, &again.alarms));
        self.alarms.confirm_underway(Check::Caches, &again.alarms);
    }
}

/// Reads all sources once and checks them. At most `examples_max` failed cases per check are kept; all are counted.
///
/// # Errors
/// A source cannot be read. What it gives and cannot be decoded is no error but a failed check.
pub(crate) fn audit(sources: &mut [Source], examples_max: usize) -> Result<Audit, SourceError> {
    let mut alarms = Alarms::new(examples_max);
    let mut journals = Journals::default();
    for source in sources.iter_mut().filter(|source| !source.meta().is_ledger()) {
        journals.read(source.as_mut(), &mut alarms)?;
    }
    let mut caches = Caches::ask(sources);
    let mut ledger = None;
    let mut archived = Seq(0);
    for source in sources.iter_mut().filter(|source| source.meta().is_ledger()).take(1) {
        archived = source.archived_to();
        ledger = Some(read_ledger(source.as_mut(), &mut journals, &mut caches, &mut alarms)?);
    }
    let mut absent = BTreeSet::new();
    if let Some(ledger) = ledger.as_ref().filter(|_| archived == Seq(0)) {
        absent = journals.absent(&ledger.sessions);
        journals.against(ledger, absent.is_empty(), &mut alarms);
    }
    // The folds of the nodes trust the rows, so they are compared only if nothing is wrong with those.
    if alarms.failed().is_empty() {
        sources.iter_mut().try_for_each(|source| checkpoint(source.as_mut(), &mut alarms))?;
    }
    Ok(Audit { alarms, warehouse: ledger.is_some(), archived, absent })
}

fn read_ledger(
    source: &mut dyn BlockSource,
    journals: &mut Journals,
    caches: &mut Caches,
    alarms: &mut Alarms,
) -> Result<LedgerFold, SourceError> {
    let mut fold = LedgerFold::default();
    let (mut chain, reserve) = (Chain::new(source.meta()), source.meta().clock_reserve);
    let (mut last, archived) = (Seq(0), source.archived_to() > Seq(0));
    if let Some((tip, _)) = source.base()? {
        chain.begin_behind(tip);
    }
    for page in pages::<Record>(source, Seq(1)) {
        let page = page?;
        chain.page(&page, alarms);
        if let Page::Sealed { header, seal, .. } = &page {
            journals.seen_at(header.last(), seal.hash, alarms);
        }
        // What rows add up to is not known where those before them are elsewhere.
        for (place, record) in page.into_rows().into_iter().filter(|_| !archived) {
            if let Ok(record) = record {
                fold.apply(&place, &record, alarms);
                journals.row(&place, &record, alarms);
                caches.row(&place, &record, &fold.goods, alarms);
                last = place.seq;
            }
        }
    }
    chain.finish(alarms);
    if archived {
        return Ok(fold);
    }
    fold.finish(alarms);
    caches.finish(last, alarms);
    reserved(&node_name(PeerId::WAREHOUSE), reserve, fold.sequence.clock(), alarms);
    Ok(fold)
}

/// All checks but those of one block and its row.
fn needs_all_rows(check: Check) -> bool {
    !matches!(check, Check::Chain | Check::Readable)
        && (OF_LEDGER.contains(&check) || OF_BOTH.contains(&check))
}

fn reserved(name: &str, reserve: Option<Stamp>, clock: Stamp, alarms: &mut Alarms) {
    if let Some(reserve) = reserve {
        alarms.check(Check::Clock, reserve >= clock, || {
            Example::node(name, format!("clock {clock} was used, {reserve} was reserved"))
        });
    }
}

fn checkpoint(source: &mut dyn BlockSource, alarms: &mut Alarms) -> Result<(), SourceError> {
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
