//! The ledger as it is read: its chain, the auditor's fold of it, and the node's own.

use std::sync::mpsc::sync_channel;
use std::thread;

use super::chain::Chain;
use super::fold::LedgerFold;
use super::reading::{self, LedgerReading, reserved};
use super::refold::{Folding, Refold};
use super::verified::{self, LedgerVerified};
use super::{Alarms, Auditing, BlockSource, Caches, Page, SourceError, SourceMeta, pages};
use crate::journal::Tip;
use crate::limits::VERIFY_BATCHES_AHEAD;
use crate::model::market::Market;
use crate::model::row::Record;
use crate::types::{PeerId, Seq, node_name};

/// See the module's text.
pub(super) struct Ledger {
    pub fold: LedgerFold,
    pub refold: Refolding,
    /// What its blocks show.
    pub alarms: Alarms,
    chain: Chain,
    /// It was read up to here.
    passed: Seq,
    /// Its rows up to here are in archives that were not named; 0: none are.
    archived: Seq,
}

/// The node's own fold, as far as there is one.
pub(super) enum Refolding {
    No,
    Failed(String),
    Folding(Box<Folding<Market>>),
}

impl Refolding {
    /// Takes pages in that nothing is wrong with.
    fn take(&mut self, pages: &[Page<Record>]) {
        let Refolding::Folding(folding) = self else { return };
        for page in pages {
            if let Page::Sealed { header, rows, .. } = page {
                folding.take(header, rows.iter().filter_map(|(seq, row)| Some((*seq, row.as_ref().ok()?))));
            }
        }
    }

    pub(super) fn finish(&mut self) -> Option<Result<(), String>> {
        match self {
            Refolding::No => None,
            Refolding::Failed(why) => Some(Err(why.clone())),
            Refolding::Folding(folding) => folding.finish(),
        }
    }
}

impl Ledger {
    pub(super) fn new(
        source: &mut dyn BlockSource,
        before: Option<LedgerVerified>,
        alarms: &Alarms,
    ) -> Result<Ledger, SourceError> {
        let mut ledger = Ledger::of(source, alarms);
        if let Some(before) = before {
            ledger.go_on(before.tip);
            ledger.fold = before.fold;
            // What was archived since was looked at then.
            ledger.archived = Seq(0);
            if let Refolding::Folding(folding) = &mut ledger.refold {
                folding.go_on_from(before.tip.seq, before.state.as_deref().and_then(verified::state));
            }
        } else if let Some((tip, _)) = source.base()? {
            ledger.go_on(tip);
        }
        Ok(ledger)
    }

    fn go_on(&mut self, tip: Tip) {
        self.passed = tip.seq;
        if tip.seq > Seq(0) {
            self.chain.begin_behind(tip);
        }
    }

    fn of(source: &mut dyn BlockSource, alarms: &Alarms) -> Ledger {
        let (chain, passed) = (Chain::new(source.meta()), Seq(0));
        let refold = match source.refold() {
            Ok(Some(Refold::Ledger(folding))) => Refolding::Folding(Box::new(folding)),
            Ok(_) => Refolding::No,
            Err(why) => Refolding::Failed(why),
        };
        let (fold, archived) = (LedgerFold::default(), source.archived_to());
        Ledger { fold, refold, alarms: alarms.again(), chain, passed, archived }
    }

    /// What a later audit goes on from; none if it ends with a block that cannot be read.
    pub(super) fn verified(&mut self, live: bool) -> Option<LedgerVerified> {
        let state = match &self.refold {
            Refolding::Folding(folding) => Some(verified::parts(folding.state())?),
            _ => None,
        };
        Some(LedgerVerified { tip: self.chain.tip()?, live, fold: std::mem::take(&mut self.fold), state })
    }

    /// None of its rows are elsewhere.
    pub(super) fn is_whole(&self) -> bool {
        self.archived == Seq(0)
    }

    /// Reads it from where it was read to, to its end.
    pub(super) fn read_on(
        &mut self,
        source: &mut dyn BlockSource,
        auditing: &mut Auditing<'_>,
    ) -> Result<(), SourceError> {
        let (long, whole) = (reading::is_long(source.meta()), self.is_whole());
        let Ledger { fold, refold, alarms, chain, passed, .. } = self;
        let pages = Box::new(pages(source, passed.next()));
        thread::scope(|scope| {
            let batches = reading::ahead(scope, long, Box::new(LedgerReading { pages, chain, alarms }));
            let (mut refolded, mut trusted) = (refolder(scope, long, refold), true);
            for batch in batches {
                let batch = batch?;
                auditing.pages(&batch, fold, whole)?;
                *passed = batch.last().map_or(*passed, Page::last);
                // A row that is not as it should be may not fit the state that the node would have, and none behind it.
                let readable = |page: &Page<Record>| match page {
                    Page::Sealed { rows, .. } => rows.iter().all(|(_, row)| row.is_ok()),
                    Page::Unreadable { .. } => false,
                };
                trusted &= auditing.alarms.is_clean() && batch.iter().all(readable);
                if trusted {
                    refolded(batch);
                }
            }
            Ok(())
        })
    }

    /// The log ends.
    pub(super) fn chain_ends(&mut self) {
        self.chain.finish(&mut self.alarms);
    }

    /// What holds for all rows together.
    pub(super) fn finish(&self, meta: &SourceMeta, caches: Caches, alarms: &mut Alarms) {
        self.fold.finish(alarms);
        caches.finish(self.passed, &self.fold.offices, alarms);
        let clock = self.fold.sequence.clock();
        reserved(&node_name(PeerId::WAREHOUSE), meta.clock_reserve, clock, alarms);
    }
}

/// Takes pages to the node's fold, on a thread of its own if there are many.
fn refolder<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    long: bool,
    refold: &'scope mut Refolding,
) -> Box<dyn FnMut(Vec<Page<Record>>) + 'scope> {
    if !long {
        return Box::new(|pages| refold.take(&pages));
    }
    let (sender, receiver) = sync_channel::<Vec<Page<Record>>>(VERIFY_BATCHES_AHEAD);
    scope.spawn(move || receiver.into_iter().for_each(|pages| refold.take(&pages)));
    // It takes all there is until it is dropped.
    Box::new(move |pages| drop(sender.send(pages)))
}
