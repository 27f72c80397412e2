//! One journal as it is read: its chain, the auditor's fold of it, the node's own, and what it saw of the ledger.
//!
//! In: its blocks, and in step with them what the ledger holds. The journal is read on until its peer has seen as much, so
//! that what a row decided was placed by then. What it says late is looked up in the ledger at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chain::Chain;
use super::doubts::{Doubt, Doubts};
use super::fold::{JournalFold, Keep, Settled};
use super::pages::{Page, pages, place_of};
use super::reading::{Batches, reserved};
use super::refold::{Folding, Refold};
use super::verified::{self, JournalVerified};
use super::{Alarms, BlockSource, Check, SourceError};
use crate::model::peer::PeerState;
use crate::model::peer::entry::Entry;
use crate::model::row::Place;
use crate::types::{Generation, Hash, PeerId, Seq, Stamp};

/// How far a ledger goes that somebody has seen: how often it was restored, then the row.
type Position = (u64, Seq);

/// What all journals hear of some rows of the ledger, and one of them of its own orders.
pub(super) struct Digest {
    /// The last row, and how often the ledger was restored before it.
    pub upto: Position,
    /// Last row and hash of each block.
    pub blocks: Arc<Vec<(Seq, Hash)>>,
    pub settled: Vec<Settled>,
}

/// What a journal saw of the ledger: at that row this block ended.
pub(super) type Saw = (Generation, Seq, Hash);

/// What was looked at earlier.
#[derive(Default)]
pub(super) struct Before {
    pub journal: Option<JournalVerified>,
    /// The ledger, up to this row.
    pub passed: Seq,
}

/// See the module's text.
pub(super) struct Journal<'a> {
    pub node: PeerId,
    pub fold: JournalFold,
    /// What its blocks show.
    pub alarms: Alarms,
    /// What it saw of the ledger behind what that is known to hold.
    seen: BTreeMap<Seq, BTreeSet<(Generation, Hash)>>,
    /// The same, said when that was passed.
    pub late: Vec<Saw>,
    pub doubts: Doubts,
    pub refold: Option<Result<Folding<PeerState>, String>>,
    name: String,
    reserve: Option<Stamp>,
    chain: Chain,
    /// What it has seen of the ledger, as far as it was read.
    reached: Position,
    /// The ledger is known to hold this.
    passed: Seq,
    /// Some node is running.
    live: bool,
    /// This one is.
    running: bool,
    /// None once they were all read.
    pages: Option<Batches<'a, Page<Entry>>>,
}

impl<'a> Journal<'a> {
    /// Reads nothing yet.
    pub(super) fn new(
        source: &'a mut (dyn BlockSource + Send),
        keep: Keep,
        live: bool,
        before: Before,
        alarms: Alarms,
    ) -> Self {
        let (meta, running) = (source.meta(), source.meta().live);
        let (node, name, reserve, mut chain) = (meta.node, meta.name(), meta.clock_reserve, Chain::new(meta));
        let nothing = || JournalVerified::nothing(JournalFold::new(node, keep));
        let JournalVerified { tip, fold, seen, doubts, reached, state, .. } =
            before.journal.unwrap_or_else(nothing);
        let mut fold = fold;
        fold.own.go_on();
        let mut refold = match source.refold() {
            Ok(Some(Refold::Journal(folding))) => Some(Ok(folding)),
            Ok(_) => None,
            Err(why) => Some(Err(why)),
        };
        if tip.seq > Seq(0) {
            chain.begin_behind(tip);
            if let Some(Ok(folding)) = &mut refold {
                folding.go_on_from(tip.seq, state.as_deref().and_then(verified::state));
            }
        }
        let pages: Batches<'a, Page<Entry>> = Box::new(pages(source, tip.seq.next()));
        Journal {
            node,
            fold,
            alarms,
            seen,
            late: Vec::new(),
            doubts,
            refold,
            name,
            reserve,
            chain,
            reached,
            passed: before.passed,
            live,
            running,
            pages: Some(pages),
        }
    }

    /// What a later audit goes on from; none if it ends with a block that cannot be read.
    pub(super) fn verified(&mut self) -> Option<JournalVerified> {
        let nothing = JournalFold::new(self.node, Keep::Unanswered);
        let state = match &self.refold {
            Some(Ok(folding)) => Some(verified::parts(folding.state())?),
            _ => None,
        };
        Some(JournalVerified {
            tip: self.chain.tip()?,
            live: self.running,
            fold: std::mem::replace(&mut self.fold, nothing),
            seen: std::mem::take(&mut self.seen),
            doubts: std::mem::take(&mut self.doubts),
            reached: self.reached,
            state,
        })
    }

    /// Rows of the ledger, after those that were told before.
    pub(super) fn take(&mut self, digest: &Digest) -> Result<(), SourceError> {
        while self.pages.is_some() && self.reached < digest.upto {
            self.read_on()?;
        }
        for (last, hash) in digest.blocks.iter() {
            self.block(*last, *hash);
        }
        let Journal { fold, live, alarms, .. } = self;
        digest.settled.iter().for_each(|settled| fold.own.settled(settled, *live, alarms));
        Ok(())
    }

    /// Reads it to its end.
    pub(super) fn read_out(&mut self) -> Result<(), SourceError> {
        while self.pages.is_some() {
            self.read_on()?;
        }
        Ok(())
    }

    fn read_on(&mut self) -> Result<(), SourceError> {
        match self.pages.as_mut().and_then(Iterator::next).transpose()? {
            Some(page) => self.page(&page),
            None => self.end(),
        }
        Ok(())
    }

    fn page(&mut self, page: &Page<Entry>) {
        self.chain.page(page, &mut self.alarms);
        let Page::Sealed { header, seal, rows } = page else { return };
        let place = place_of(header, seal);
        for (seq, row) in rows {
            if let Ok(entry) = row {
                self.fold.apply(&Place { seq: *seq, ..place }, entry, &mut self.alarms);
                self.saw(entry);
            }
        }
        if let Some(Ok(folding)) = &mut self.refold {
            folding.take(header, rows.iter().filter_map(|(seq, row)| Some((*seq, row.as_ref().ok()?))));
        }
    }

    fn saw(&mut self, entry: &Entry) {
        let saw = match entry {
            Entry::Answered { told, seen, .. } => {
                let generation = self.fold.generation.count.max(self.reached.0);
                let last = told.iter().map(|told| told.seq).max().unwrap_or_default();
                self.reached = self.reached.max((generation, last));
                seen.as_ref().map(|seen| (seen.generation, seen.seq, seen.hash))
            }
            Entry::LedgerSeen { generation, seq, hash, .. } => Some((*generation, *seq, *hash)),
            _ => None,
        };
        let Some((generation, seq, hash)) = saw.filter(|(_, seq, _)| *seq > Seq(0)) else { return };
        self.reached = self.reached.max((generation.count, seq));
        if seq > self.passed {
            self.seen.entry(seq).or_default().insert((generation, hash));
        } else {
            self.late.push((generation, seq, hash));
        }
    }

    /// The ledger has a block that ends at `last`. Judges what was seen of it, or of a sequence inside the block.
    fn block(&mut self, last: Seq, hash: Hash) {
        self.passed = last;
        while let Some(entry) = self.seen.first_entry().filter(|entry| *entry.key() <= last) {
            let (seq, seen) = entry.remove_entry();
            for (generation, expected) in seen {
                self.judge((generation, seq, expected), seq == last && hash == expected);
            }
        }
    }

    /// Whether what was seen is there.
    pub(super) fn judge(&mut self, (generation, seq, _): Saw, holds: bool) {
        match holds {
            true => self.alarms.holds(Check::Durable, 1),
            false => {
                let what = format!("saw another block at {seq} of the ledger");
                self.doubts.push(Doubt::of_mark(self.node, generation, seq, what));
            }
        }
    }

    fn end(&mut self) {
        self.pages = None;
        self.chain.finish(&mut self.alarms);
        reserved(&self.name, self.reserve, self.fold.clock(), &mut self.alarms);
        self.fold.own.finish(self.live, &mut self.alarms);
    }

    /// What is in doubt once the ledger has ended.
    pub(super) fn doubts(&self) -> impl Iterator<Item = Doubt> + '_ {
        let beyond = self.seen.iter().flat_map(move |(seq, seen)| {
            seen.iter().map(move |(generation, _)| {
                let what = format!("saw {seq} of the ledger, which ends before");
                Doubt::of_mark(self.node, *generation, *seq, what)
            })
        });
        self.doubts.iter().cloned().chain(self.fold.own.doubts()).chain(beyond)
    }

    /// What comes of its checkpoint, if that is to be compared.
    pub(super) fn checkpoint(&mut self) -> Option<Result<(), String>> {
        match self.refold.as_mut()? {
            Ok(folding) => folding.finish(),
            Err(why) => Some(Err(why.clone())),
        }
    }
}
