//! The auditor: the documented invariants, checked from the records alone.
//!
//! In: [`Source`]s of raw blocks, on disk, in memory or live. Out: an [`Audit`], which has for each [`Check`] how many
//! cases held and how many not, with examples. It shares records and their decoding with what it audits, and nothing
//! else: the folds of a ledger and of a journal are written here anew, with checks built in, so that one mistake cannot
//! hide in both. `dump` shows the same folds as rows.
//!
//! Peers' journals and the warehouse's ledger are read in step, each log once, so that what must be kept of orders is what
//! is under way, however long the logs are (`journals`). Each long log is taken apart by a thread of its own
//! (`reading`). What only all of them together can tell is judged at the end (a hand-over may be under way in a live
//! market, hence the second look of `verify`).

mod alarms;
mod caches;
mod chain;
mod doubts;
mod fold;
mod journal;
mod journals;
mod ledger;
mod pages;
mod reading;
mod refold;
mod runs;
mod source;
mod stored;
mod verified;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

pub(crate) use alarms::Alarms;
pub use alarms::Check;
pub(crate) use alarms::{Example, Tally};
use caches::Caches;
use fold::Settled;
pub(crate) use fold::{JournalFold, Keep, LedgerFold, OwnOrder, Price, Queue};
use journals::Journals;
use ledger::Ledger;
use pages::place_of;
pub(crate) use pages::{Logged, Page, Pager, ReadRow, pages, rows};
pub use refold::Refold;
pub use source::{BlockSource, Blocks, Fact, Folded, Source, SourceError, SourceMeta, StockCache};
pub(crate) use stored::CLIENT;
pub(crate) use stored::StoredSource;
use verified::LedgerVerified;
pub(crate) use verified::{Verified, VerifiedError};

use crate::model::row::{Place, Record};
use crate::types::{PeerId, Seq, node_name};

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
    /// What answers from caches came to.
    price: Price,
    /// Where a later audit may go on, if nothing was found.
    verified: Option<Verified>,
}

impl Audit {
    /// Where a later audit may go on; none if something was found, or not all rows were there.
    pub(crate) fn verified(&self) -> Option<&Verified> {
        self.verified.as_ref().filter(|_| self.alarms.is_clean())
    }

    /// Cases, failures and examples of one check.
    pub(crate) fn of(&self, check: Check) -> &Tally {
        self.alarms.of(check)
    }

    /// What answers from caches came to, if the ledger has any.
    pub(crate) fn price(&self) -> Option<Price> {
        Some(self.price).filter(|price| price.cached)
    }

    /// Rows that were looked at.
    pub(crate) fn rows(&self) -> u64 {
        self.alarms.rows()
    }

    /// A second look, of which what it found was confirmed, is where a later audit goes on from.
    pub(crate) fn keep_of(&mut self, again: Audit) {
        self.verified = again.verified;
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
        self.lacks_a_push() || OF_BOTH.iter().any(|check| self.alarms.of(*check).failed > 0)
    }

    /// Whether a trader's cache lacks what may come yet, or its term may end.
    pub(crate) fn lacks_a_push(&self) -> bool {
        self.alarms.of(Check::Caches).examples.iter().any(|example| example.underway)
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
    audit_from(None, false, sources, examples_max)
}

/// The same, from where an earlier audit of these logs ended ([`Verified::fits`]); with `keep` a later one may go on from
/// where this one ends.
///
/// # Errors
/// See [`audit`].
pub(crate) fn audit_from(
    before: Option<Verified>,
    keep: bool,
    sources: &mut [Source],
    examples_max: usize,
) -> Result<Audit, SourceError> {
    let mut alarms = Alarms::new(examples_max);
    let mut caches = Caches::ask(sources, &alarms);
    let (ledgers, journals): (Vec<_>, Vec<_>) =
        sources.iter_mut().partition(|source| source.meta().is_ledger());
    let ledger = ledgers.into_iter().next();
    let (mut ledger_before, mut journals_before, mut archived) = (None, BTreeMap::new(), Seq(0));
    match before {
        Some(before) => {
            before.held.iter().for_each(|(check, cases)| alarms.holds(*check, *cases));
            caches.go_on(before.ledger.tip.seq, &before.ledger.fold.goods);
            (ledger_before, journals_before) = (Some(before.ledger), before.journals);
        }
        None => archived = ledger.as_ref().map_or(Seq(0), |ledger| ledger.archived_to()),
    }
    // What a journal says of its own orders is compared where all rows are there.
    let until = if ledger.is_some() && archived == Seq(0) { Keep::Uncompared } else { Keep::Unanswered };
    let passed = ledger_before.as_ref().map_or(Seq(0), |before| before.tip.seq);
    thread::scope(|scope| {
        let journals = Journals::begin(scope, journals, until, (journals_before, passed), &alarms.again());
        Auditing { journals, caches, alarms, keep }.run(ledger, ledger_before, archived)
    })
}

/// An audit under way.
struct Auditing<'a> {
    journals: Journals<'a>,
    caches: Caches,
    /// What the ledger and the journals together show.
    alarms: Alarms,
    /// A later audit is to go on from here.
    keep: bool,
}

impl Auditing<'_> {
    fn run(
        mut self,
        source: Option<&mut Source>,
        before: Option<LedgerVerified>,
        archived: Seq,
    ) -> Result<Audit, SourceError> {
        let (mut checkpoints, mut absent) = (Vec::new(), BTreeSet::new());
        // What was found in each log alone comes first, then what they show together, then what only the ends show.
        let (mut found, mut ends, of_ledger) = (self.alarms.again(), self.alarms.again(), source.is_some());
        let (mut kept, mut price, keep) = (None, Price::default(), self.keep);
        match source {
            None => self.journals.read_out()?,
            Some(source) => {
                let mut ledger = Ledger::new(source.as_mut(), before, &self.alarms)?;
                self.ledger(&mut ledger, source.as_mut())?;
                if archived == Seq(0) {
                    ledger.finish(source.meta(), self.caches, &mut ends);
                    absent = self.journals.absent(&ledger.fold.sessions);
                    self.journals.against(&ledger.fold, absent.is_empty(), &mut ends);
                }
                self.alarms.add_before(std::mem::replace(&mut ledger.alarms, found.again()));
                checkpoints.push((node_name(PeerId::WAREHOUSE), ledger.refold.finish()));
                price = ledger.fold.goods.1;
                kept = Some((ledger, source.meta().clone()));
            }
        }
        for journal in self.journals.iter_mut() {
            checkpoints.push((node_name(journal.node), journal.checkpoint()));
            found.add(std::mem::replace(&mut journal.alarms, found.again()));
        }
        found.add(self.alarms);
        let held = found.held();
        found.add(ends);
        // The folds of the nodes trust the rows, so they are compared only if nothing is wrong with those.
        if found.is_clean() {
            checkpoints.into_iter().for_each(|(name, verdict)| refold::judge(&name, verdict, &mut found));
        }
        let mut audit =
            Audit { alarms: found, warehouse: of_ledger, archived, absent, price, verified: None };
        if let Some((mut ledger, meta)) =
            kept.filter(|_| keep && archived == Seq(0) && audit.alarms.is_clean())
        {
            let logs = ledger.verified(meta.live).zip(self.journals.verified());
            audit.verified =
                logs.map(|(ledger, journals)| Verified::new(meta.cluster, held, ledger, journals));
        }
        Ok(audit)
    }

    /// Reads the ledger in step with the journals, and once more what a live one has got since.
    fn ledger(&mut self, ledger: &mut Ledger, source: &mut dyn BlockSource) -> Result<(), SourceError> {
        ledger.read_on(source, self)?;
        self.journals.read_out()?;
        if source.meta().live {
            ledger.read_on(source, self)?;
        }
        if ledger.is_whole() {
            self.journals.look_up(source)?;
        }
        ledger.chain_ends();
        Ok(())
    }

    /// Takes the next pages of the ledger in.
    fn pages(
        &mut self,
        pages: &[Page<Record>],
        ledger: &mut LedgerFold,
        whole: bool,
    ) -> Result<(), SourceError> {
        let Some(last) = pages.last().map(Page::last) else { return Ok(()) };
        let (mut blocks, mut settled) = (Vec::with_capacity(pages.len()), Vec::new());
        for page in pages {
            if let Page::Sealed { header, seal, rows } = page {
                blocks.push((header.last(), seal.hash));
                // What rows add up to is not known where those before them are elsewhere.
                if whole {
                    self.rows(place_of(header, seal), rows, ledger, &mut settled);
                }
            }
        }
        self.journals.take((ledger.restores.generation().count, last), blocks, settled)
    }

    fn rows(
        &mut self,
        place: Place,
        rows: &[(Seq, Result<Record, String>)],
        ledger: &mut LedgerFold,
        settled: &mut Vec<Settled>,
    ) {
        for (seq, record) in rows {
            let (place, Ok(record)) = (Place { seq: *seq, ..place }, record) else { continue };
            let outcome = ledger.apply(&place, record, &mut self.alarms);
            if let (Some(outcome), Some(decision)) = (outcome, record.decision()) {
                settled.push(Settled::new(&decision.order, &outcome));
            }
            self.caches.row(&place, record, &ledger.goods);
        }
    }
}

/// All checks but those of one block and its row.
fn needs_all_rows(check: Check) -> bool {
    !matches!(check, Check::Chain | Check::Readable)
        && (OF_LEDGER.contains(&check) || OF_BOTH.contains(&check))
}
